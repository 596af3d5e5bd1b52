"""What a route rewrites: its keys, and what is said of wrong ones."""

from pathlib import Path

import pytest

from app.rules.rewrite import Rewrite
from app.settings import ConfigurationError, Settings, load
from tests.app.settings.entries import HTTPS, route

NOTHING = "the route's path is /, so there is nothing to strip; give the route a path like /app, or leave this out"
HOST = "write the host that the service expects, like localhost:5173 or app.internal"
TEXT = "valid: a string of at least one character, without control characters"


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return load(str(file), {})


def errors_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as wrong:
        loaded(folder, text)
    return [line.partition("gateway.toml:")[2] for line in wrong.value.errors]


@pytest.mark.parametrize(
    ("keys", "rewrite"),
    [
        ({}, None),
        ({"strip_prefix": "false", "https_redirect": "false"}, None),
        ({"host_header": '"localhost:5173"'}, Rewrite(b"localhost:5173")),
        ({"host_header": '"app.internal"', **HTTPS}, Rewrite(b"app.internal", scheme="https")),
        ({"path": '"/app"', "strip_prefix": "true"}, Rewrite(strip_prefix=b"/app")),
        ({"path": '"/app/"', "strip_prefix": "true", "add_prefix": '"/base/"'}, Rewrite(None, b"/app", b"/base")),
        ({"https_redirect": "true"}, Rewrite(https_redirect=True)),
    ],
)
def test_the_keys(tmp_path: Path, keys: dict[str, str], rewrite: Rewrite | None):
    (found,) = loaded(tmp_path, route(**keys)).routes.routes
    assert found.policy.rewrite == rewrite


@pytest.mark.parametrize(
    ("keys", "key", "text"),
    [
        ({"strip_prefix": "true"}, "strip_prefix", NOTHING),
        ({"host_header": '"http://localhost"'}, "host_header", f"'http://localhost' is not valid; {HOST}"),
        ({"host_header": '"a:99999"'}, "host_header", f"'a:99999' is not valid; {HOST}"),
        ({"host_header": '""'}, "host_header", f"'' is not valid; {TEXT}"),
        ({"add_prefix": '"base"'}, "add_prefix", "'base' is not valid; write a prefix like /base"),
        ({"add_prefix": '"/"'}, "add_prefix", '"/" adds nothing; write a prefix like /base, or leave this out'),
        ({"add_prefix": '"/a/../b"'}, "add_prefix", "'/a/../b' is not valid; write a prefix like /base"),
        ({"https_redirect": '"yes"'}, "https_redirect", "'yes' is not valid; valid: true or false"),
    ],
)
def test_what_is_said_of_wrong_ones(tmp_path: Path, keys: dict[str, str], key: str, text: str):
    assert errors_of(tmp_path, route(**keys)) == [f"7: routes[0].{key}: {text}"]


def test_all_of_them_are_told_at_once(tmp_path: Path):
    errors = errors_of(tmp_path, route(host_header='"a b"', strip_prefix="true", add_prefix='"x"'))
    assert [error.partition(":")[2].split(":")[0].strip() for error in errors] == [
        "routes[0].host_header", "routes[0].strip_prefix", "routes[0].add_prefix"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "key", ['host_header = "a"', "strip_prefix = true", 'add_prefix = "/a"', "https_redirect = true"]
)
def test_they_are_a_routes_own(tmp_path: Path, key: str):
    (error,) = errors_of(tmp_path, key)
    assert error.startswith(f"1: {key.split(maxsplit=1)[0]}: unknown key")


WARNING = (
    "https_redirect is set, but nothing tells the gateway that clients came by https; set tls_certificate, or "
    "trusted_proxies for the proxy that ends TLS"
)


@pytest.mark.parametrize(
    ("top", "warned"), [("", True), ('trusted_proxies = ["10.0.0.1"]\n', False), ('tls_certificate = "a"\n', False)]
)
def test_a_redirect_in_circles_is_warned_of(tmp_path: Path, top: str, warned: bool):
    settings = loaded(tmp_path, top + route(https_redirect="true"))
    assert (WARNING in settings.warnings()) is warned
