"""Policies: the file's keys over the defaults, a route's over the file's, and what is refused in either place."""

import dataclasses
from pathlib import Path
from typing import get_type_hints

import pytest

from app.rules.policy import HeaderChanges, Policy
from app.settings import ConfigurationError, load
from app.settings.schema import PolicyKeys, keys_of

ROUTE = '[[routes]]\nhost = "{}.test"\ncluster = "c1"\nnamespace = "apps"\nservice = "web"\nport = 80\n'

VALUES: dict[str, tuple[str, object]] = {
    "origins": ('["Same-Origin", "A.test", "a.test:8080", "HTTPS://a.test", "*.b.test", "[::1]:3000"]',
                ("same-origin", "a.test", "a.test:8080", "https://a.test", "*.b.test", "[::1]:3000")),
    "allow_missing_origin": ("false", False),
    "allow_null_origin": ("true", True),
    "messages_per_second": ("2.5", 2.5),
    "bytes_per_second": ("1000", 1000),
    "rate_burst_seconds": ("3", 3),
    "rate_limit_action": ('"slow"', "slow"),
    "websocket_compression": ('"decline"', "decline"),
    "max_message_bytes": ("1024", 1024),
    "max_body_bytes": ("1", 1),
    "max_websockets": ("7", 7),
    "max_websockets_per_client": ("8", 8),
    "max_requests_per_client": ("9", 9),
    "sticky": ('"cookie"', "cookie"),
    "allow_trace": ("true", True),
    "upgrade_timeout": ("1", 1),
    "response_head_timeout": ("2", 2),
    "idle_timeout": ("3", 3),
    "http_write_timeout": ("4", 4),
    "websocket_write_timeout": ("86400", 86400),
    "request_headers": ('{ set = { X-Team = "a\\tü" }, remove = ["Cookie"] }',
                        HeaderChanges([(b"x-team", "a\tü".encode())], frozenset({b"cookie"}))),
    "response_headers": ('{ set = { "Host" = "x" } }', HeaderChanges([(b"host", b"x")], frozenset())),
}  # fmt: skip


def policies(folder: Path, text: str) -> tuple[Policy, list[Policy]]:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(str(file), {})
    return settings.policy, [route.policy for route in settings.routes.routes]


def test_every_field_of_a_policy_is_a_key():
    fields = {field.name for field in dataclasses.fields(Policy)}
    assert fields == set(get_type_hints(Policy))
    assert set(keys_of(PolicyKeys)) == set(VALUES) == fields - {"rewrite"}  # which is a route's own, in keys of its own


def test_nothing_written_is_the_defaults(tmp_path: Path):
    assert policies(tmp_path, ROUTE.format("a")) == (Policy(), [Policy()])


@pytest.mark.parametrize("key", VALUES)
def test_the_files_value_holds_for_all_routes_and_a_routes_own_wins(tmp_path: Path, key: str):
    written, value = VALUES[key]
    expected = dataclasses.replace(Policy(), **{key: value})
    assert expected != Policy()
    assert policies(tmp_path, f"{key} = {written}\n{ROUTE.format('a')}") == (expected, [expected])
    text = f"{ROUTE.format('a')}{key} = {written}\n{ROUTE.format('b')}"
    assert policies(tmp_path, text) == (Policy(), [expected, Policy()])


def test_a_route_lifts_a_limit_in_words(tmp_path: Path):
    limits = (
        "messages_per_second",
        "bytes_per_second",
        "max_body_bytes",
        "max_websockets",
        "max_websockets_per_client",
        "max_requests_per_client",
    )
    whole = "".join(f"{name} = 5\n" for name in limits)
    lifted = "".join(f'{name} = "unlimited"\n' for name in limits)
    default, (first, second) = policies(tmp_path, whole + ROUTE.format("a") + lifted + ROUTE.format("b"))
    assert [getattr(default, name) for name in limits] == [getattr(second, name) for name in limits] == [5] * 6
    assert first == Policy()


def test_a_routes_header_changes_replace_the_files(tmp_path: Path):
    text = f'request_headers = {{ set = {{ a = "1" }}, remove = ["b"] }}\n{ROUTE.format("a")}request_headers = {{}}\n'
    default, (own,) = policies(tmp_path, text)
    assert default.request_headers == HeaderChanges([(b"a", b"1")], frozenset({b"b"}))
    assert own.request_headers == HeaderChanges([], frozenset())


WRONG = [
    ('origins = "*"', "origins"),
    ('origins = ["null"]', "origins[0]"),
    ('origins = [""]', "origins[0]"),
    ('origins = ["a.test", "https://a.test/"]', "origins[1]"),
    ('origins = ["https://a.test/path"]', "origins[0]"),
    ('origins = ["https://"]', "origins[0]"),
    ('origins = ["*a.test"]', "origins[0]"),
    ('origins = ["*.*.a.test"]', "origins[0]"),
    ('origins = ["*."]', "origins[0]"),
    ('origins = ["https://*.a.test"]', "origins[0]"),
    ('origins = ["*.https://a.test"]', "origins[0]"),
    ('origins = ["*.a.test:8080"]', "origins[0]"),
    ('origins = ["*.[::1]"]', "origins[0]"),
    ('origins = ["a.test:0"]', "origins[0]"),
    ('origins = ["a.test:65536"]', "origins[0]"),
    ('origins = ["user@a.test"]', "origins[0]"),
    ('origins = ["ä.test"]', "origins[0]"),
    ('origins = ["a test"]', "origins[0]"),
    ("allow_missing_origin = 1", "allow_missing_origin"),
    ('allow_null_origin = "no"', "allow_null_origin"),
    ("messages_per_second = 0", "messages_per_second"),
    ("messages_per_second = -1", "messages_per_second"),
    ("messages_per_second = inf", "messages_per_second"),
    ('messages_per_second = "none"', "messages_per_second"),
    ("bytes_per_second = nan", "bytes_per_second"),
    ("rate_burst_seconds = 0", "rate_burst_seconds"),
    ('rate_limit_action = "drop"', "rate_limit_action"),
    ('websocket_compression = "deflate"', "websocket_compression"),
    ("websocket_compression = true", "websocket_compression"),
    ("max_message_bytes = 0", "max_message_bytes"),
    ('max_message_bytes = "unlimited"', "max_message_bytes"),
    ("max_body_bytes = 0", "max_body_bytes"),
    ("max_body_bytes = 1.5", "max_body_bytes"),
    ("max_websockets = 0", "max_websockets"),
    ("max_websockets_per_client = -1", "max_websockets_per_client"),
    ("max_requests_per_client = 0", "max_requests_per_client"),
    ('max_websockets = "infinite"', "max_websockets"),
    ("sticky = true", "sticky"),
    ('allow_trace = "yes"', "allow_trace"),
    ("allow_trace = 1", "allow_trace"),
    ("upgrade_timeout = 0", "upgrade_timeout"),
    ("response_head_timeout = 86401", "response_head_timeout"),
    ("idle_timeout = 0", "idle_timeout"),
    ("http_write_timeout = -1", "http_write_timeout"),
    ('websocket_write_timeout = "10"', "websocket_write_timeout"),
    ("request_headers = []", "request_headers"),
    ('request_headers = { add = { a = "1" } }', "request_headers.add"),
    ("request_headers = { set = { a = 1 } }", "request_headers.set"),
    ('request_headers = { set = { "a b" = "1" } }', "request_headers.set.a b"),
    ('request_headers = { set = { "" = "1" } }', "request_headers.set."),
    ('request_headers = { set = { a = "1\\n" } }', "request_headers.set.a"),
    ('request_headers = { set = { a = "\\r\\nb: c" } }', "request_headers.set.a"),
    ('request_headers = { set = { a = " 1" } }', "request_headers.set.a"),
    ('request_headers = { set = { a = "1", A = "2" } }', "request_headers.set.A"),
    ('request_headers = { set = { a = "1" }, remove = ["b", "A"] }', "request_headers.remove[1]"),
    ('request_headers = { remove = ["a:"] }', "request_headers.remove[0]"),
    ('request_headers = { remove = "a" }', "request_headers.remove"),
    ("request_headers = { remove = [1] }", "request_headers.remove[0]"),
    ('request_headers = { set = { Host = "x" } }', "request_headers.set.Host"),
    ('request_headers = { remove = ["host"] }', "request_headers.remove[0]"),
    ('request_headers = { set = { Content-Length = "1" } }', "request_headers.set.Content-Length"),
    ('request_headers = { set = { Sec-WebSocket-Key = "1" } }', "request_headers.set.Sec-WebSocket-Key"),
    ('response_headers = { remove = ["Transfer-Encoding"] }', "response_headers.remove[0]"),
    ('response_headers = { set = { connection = "close" } }', "response_headers.set.connection"),
    ('response_headers = { remove = ["content-length"] }', "response_headers.remove[0]"),
]


@pytest.mark.parametrize(("text", "key"), WRONG, ids=[f"{number}-{row[1]}" for number, row in enumerate(WRONG)])
def test_wrong_policies_of_the_file_and_of_a_route(tmp_path: Path, text: str, key: str):
    file = tmp_path / "gateway.toml"
    before = ROUTE.format("a") + ROUTE.format("b")
    for line, prefix, above in ((1, "", ""), (13, "routes[1].", before)):
        file.write_text(above + text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load(str(file), {})
        assert str(caught.value).startswith(f"{file}:{line}: {prefix}{key}: ")
        assert "\n" not in str(caught.value)
