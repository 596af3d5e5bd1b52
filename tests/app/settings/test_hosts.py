"""Hosts and paths of routes: other letters, ports, patterns and whole addresses, and what is told to write instead."""

from pathlib import Path

import pytest

from app.settings import ConfigurationError, load
from app.settings.errors import WrongKeyError
from app.settings.hosts import host_pattern
from tests.app.settings.entries import agent, route


@pytest.mark.parametrize(
    ("text", "key", "form"),
    [
        (route(host='"müller.example"'), "routes[0].host", "xn--mller-kva.example"),
        (route(host='"Shop.MÜLLER.example."'), "routes[0].host", "shop.xn--mller-kva.example"),
        (route(host='"*.straße.example"'), "routes[0].host", "*.xn--strae-oqa.example"),
        (route(host='"mu\u0308ller.example:80"'), "routes[0].host", "xn--mller-kva.example"),
        (route(host='"例え。テスト"'), "routes[0].host", "xn--r8jz45g.xn--zckzah"),
        ('control_hosts = ["müller.example"]', "control_hosts[0]", "xn--mller-kva.example"),
        ('public_url = "https://müller.example:8443/x"', "public_url", "xn--mller-kva.example"),
        ('origins = ["https://müller.example:8443"]', "origins[0]", "xn--mller-kva.example"),
        ('origins = ["*.müller.example"]', "origins[0]", "xn--mller-kva.example"),
        ('admin_bind = "müller.example:80"', "admin_bind", ""),
        ('[[agents]]\ntoken = "x"\nclusters = ["a"]\nhosts = ["*.müller.example"]', "agents[0].hosts[0]",
         "*.xn--mller-kva.example"),
        (route(host='"mü ller.example"'), "routes[0].host", ""),
        (route(host='"müller.☃️.example/"'), "routes[0].host", ""),
        (route(host='"%s.example"' % ("ü" * 63)), "routes[0].host", ""),
        (route(host='"%s"' % ("ü" * 2_000)), "routes[0].host", ""),
    ],
)  # fmt: skip
def test_a_host_with_other_letters_is_named_as_it_must_be_written(tmp_path: Path, text: str, key: str, form: str):
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    message = str(caught.value)
    assert f": {key}: " in message
    assert message.isascii()
    assert message.endswith(f'is not valid; write it in ASCII: "{form}"') if form else "xn--" not in message


@pytest.mark.parametrize(
    ("key", "written", "hint"),
    [
        # Ports and patterns, and what else people copy from an address bar or another proxy.
        ("host", "a.test:8443", "routes ignore ports, write a.test"),
        ("host", "A.test.:80", "routes ignore ports, write a.test"),
        ("host", "*.a.test:443", "routes ignore ports, write *.a.test"),
        ("host", "a.test:", "routes ignore ports, write a.test"),
        ("host", "https://a.test/x", "write the host alone: a.test"),
        ("host", "https://A.test:8443", "write the host alone: a.test"),
        ("host", "//a.test", "write a host name, or *. and a domain for its subdomains"),
        ("host", "a.test/x", "write the host alone: a.test"),
        ("host", "http://me@a.test/?q", "write the host alone: a.test"),
        ("host", "a b.test", "write a host name, or *. and a domain for its subdomains"),
        ("host", "*", "a star stands for whole labels, at the beginning: write *.example.com"),
        ("host", "a.*.test", "a star stands for whole labels, at the beginning: write *.test"),
        ("host", "*.*.test", "a star stands for whole labels, at the beginning: write *.test"),
        ("host", "*a.test", "a star stands for whole labels, at the beginning: write *.a.test"),
        ("host", "**.a.test", "a star stands for whole labels, at the beginning: write *.a.test"),
        ("host", "a.test.*", "a star stands for whole labels, at the beginning: write *.example.com"),
        ("host", "https://*.a.test", "write the host alone: *.a.test"),
        ("path", "/*", "a prefix needs no star; write /"),
        ("path", "/api*", "a prefix needs no star; write /api"),
        ("path", "/api/*", "a prefix needs no star; write /api"),
        ("path", "/api/**", "a prefix needs no star; write /api"),
        ("path", "/a/*/b", "a prefix needs no star; write /a"),
        ("path", "/a b/*", "a prefix needs no star; write a prefix like / or /api"),
        ("path", "*", "write a prefix like / or /api"),
        ("path", "a.test/api", "write a prefix like / or /api"),
        ("path", ":8080/api", "write a prefix like / or /api"),
    ],
)
def test_ports_and_patterns_of_a_route(tmp_path: Path, key: str, written: str, hint: str):
    file = tmp_path / "gateway.toml"
    file.write_text(route(**{key: f'"{written}"'}), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    line = 2 if key == "host" else 7
    assert str(caught.value) == f"{file}:{line}: routes[0].{key}: {written!r} is not valid; {hint}"


@pytest.mark.parametrize("host", ["A.Test", "a.test.", "my_app.test", "*.A.test.", "10.0.0.1", "xn--mller-kva.example"])
def test_hosts_that_are_as_good(tmp_path: Path, host: str):
    file = tmp_path / "gateway.toml"
    file.write_text(route(host=f'"{host}"') + agent(token='"x"', clusters='["c1"]', hosts=f'["{host}"]'))
    assert load(str(file), {}).routes.hosts == {host.lower().removesuffix(".")}


def test_what_is_far_too_long_for_a_host_gets_no_hint():
    """An agent may have sent a megabyte of it."""
    with pytest.raises(WrongKeyError, match="write a host name, or"):
        host_pattern("https://a.test" + "/" * 1_000_000, ())
