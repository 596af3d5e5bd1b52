"""Which proxy the environment names, and what its refusals say."""

import pytest
from python_socks import ProxyError

from tunnel.agent.proxies import is_usable, proxy_for, refusal

NAMED = {"HTTPS_PROXY": "http://p:1"}


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        (NAMED, "http://p:1"),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ({"ALL_PROXY": "socks5://s:1"}, "socks5://s:1"),
        ({"all_proxy": "socks5://s:1", "ALL_PROXY": "http://q:1"}, "socks5://s:1"),
        (NAMED | {"ALL_PROXY": "socks5://s:1"}, "http://p:1"),
        ({"ALL_PROXY": "socks5h://u:h@s:1"}, "socks5://u:h@s:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),  # links are TLS
        (NAMED | {"no_proxy": "other", "NO_PROXY": "*"}, "http://p:1"),
        ({"ALL_PROXY": "socks5://s:1", "NO_PROXY": "g.example"}, None),
    ],
)
def test_variables(environment: dict[str, str], proxy: str | None):
    assert proxy_for("g.example", 443, environment) == proxy


@pytest.mark.parametrize(
    ("entries", "host", "excluded"),
    [
        ("example", "g.example", True),
        ("a, .example", "g.example", True),
        ("*.example", "g.example", True),
        ("EXAMPLE", "g.example", True),
        ("*", "g.example", True),
        ("example", "gexample", False),
        ("", "g.example", False),
        (".", "g.example", False),
        ("g.example:8443", "g.example", True),
        ("g.example:443", "g.example", False),
        (".example:8443,x", "g.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/8", "g.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:8443", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", False),
        ("10.0.0.0/99, ,:,[", "10.0.0.1", False),
    ],
)
def test_exclusions(entries: str, host: str, *, excluded: bool):
    found = proxy_for(host, 8443, NAMED | {"NO_PROXY": entries})
    assert (found is None) is excluded


@pytest.mark.parametrize(
    ("proxy", "usable"),
    [
        ("http://p", True),
        ("https://u:h@p:1", True),
        ("socks4://10.0.0.1:1080", True),
        ("socks5://[fd00::1]:1080", True),
        ("ftp://p", False),
        ("http://", False),
        ("http://u:h@:80", False),
        ("http://p:99999", False),
        ("http://p:0", False),
        ("http://a..b:80", False),
        ("http://[fd00::1", False),
    ],
)
def test_usable(proxy: str, *, usable: bool):
    assert is_usable(proxy) is usable


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            "HTTP proxy rejected connection with status 407",
            "the proxy http://p:3128 answered 407: it wants credentials",
        ),
        ("HTTP proxy rejected connection with status 403", "the proxy http://p:3128 answered 403: it does not let us"),
        ("HTTP proxy rejected connection with status 502", "the proxy http://p:3128 answered 502"),
        ("HTTP proxy returned an invalid response", "the proxy http://p:3128 failed: HTTP proxy returned an invalid"),
    ],
)
def test_a_refusal_names_the_proxy_without_its_credentials(said: str, text: str):
    told = refusal("http://user:hush@p:3128", ProxyError(said))
    assert told.startswith(text)
    assert "hush" not in told
