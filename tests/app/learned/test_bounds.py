"""What an agent's call may cost before it is refused: lengths come before expressions, counts before parsing."""

import json
import re

import msgspec
import pytest

from app.learned import ClaimError, claims
from app.learned.bodies import OBJECTS, VALUES, BodyError, Named, SyncBody, Text, named_by_sync
from app.rules import paths
from app.rules.hosts import HOST_FIELD_BYTES
from app.settings import Grant, hosts, targets
from tests.fakes.growth import FACTOR, calls_of, grows_linearly

MIB = 1024 * 1024
GRANT = Grant(("a",), hosts=("*.a.test",))
GOOD = Named("x.a.test", "/", "apps", "web", 80)


class Short:
    """An expression that must never see more than this."""

    def __init__(self, expression: "re.Pattern[str]", longest: int) -> None:
        self.expression = expression
        self.longest = longest
        self.seen = 0

    def fullmatch(self, text: str) -> "re.Match[str] | None":
        self.seen += 1
        assert len(text) <= self.longest
        return self.expression.fullmatch(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "a" * 4 * MIB}, {"host": "a." * 2 * MIB + "a.test"}, {"host": "[" * 4 * MIB}, {"host": "1." * MIB},
        {"path": "/" + "a" * 4 * MIB}, {"path": "/" * 4 * MIB}, {"path": "/a" * 2 * MIB},
        {"namespace": "a" * 4 * MIB}, {"service": "a-" * 2 * MIB}, {"port": "1" * 4 * MIB},
    ],
)  # fmt: skip
def test_no_expression_sees_what_is_too_long(changed: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    host = Short(hosts._HOST, HOST_FIELD_BYTES)
    prefix, label = Short(paths._PREFIX, paths.PREFIX_CHARACTERS), Short(targets._LABEL, 63)
    monkeypatch.setattr(hosts, "_HOST", host)
    monkeypatch.setattr(paths, "_PREFIX", prefix)
    monkeypatch.setattr(targets, "_LABEL", label)
    parts = {"host": GOOD.host, "path": GOOD.path, "namespace": "apps", "service": "web", "port": 80, **changed}
    with pytest.raises(ClaimError) as caught:
        claims.checked(GRANT, (), "a", Named(**parts))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 400
    assert claims.checked(GRANT, (), "a", GOOD).host == "x.a.test"
    assert host.seen >= 1
    assert prefix.seen >= 1
    assert label.seen >= 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"ingresses":[' + b"{}," * (OBJECTS + 1) + b"{}]}",
        b'{"ingresses":[' + b"{}," * (4 * MIB // 3) + b"{}]}",
        b'{"ingresses":[{"rules":[' + b"{}," * (4 * MIB // 3) + b"{}]}]}",
        b'{"x":[' + b"[]," * (VALUES + 1) + b"[]]}",
        b'{"x":[' + b"1," * (2 * MIB) + b"1]}",
    ],
)
def test_a_body_of_too_many_parts_is_refused_unread(body: bytes, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    monkeypatch.setattr(msgspec.json, "decode", lambda *_, **__: read.append(1))
    with pytest.raises(BodyError, match="more than 65536 objects or 400000 values"):
        Text(body).decoded(SyncBody)
    assert read == []


def body_of(routes: int) -> bytes:
    path = {"path": "/", "path_type": "Prefix", "service_name": "traefik", "service_port": 80}
    return json.dumps(
        {
            "ingresses": [
                {
                    "namespace": "apps", "annotations": {"a": "b"}, "ingress_name": f"i{number}",
                    "rules": [{"host": f"h{number}.a.test", "tls": True, "paths": [path]}],
                }
                for number in range(routes)
            ]
        }
    ).encode()  # fmt: skip


def test_a_full_cluster_is_within_the_bounds():
    named = [each for each in named_by_sync(Text(body_of(10_000)).decoded(SyncBody)) if each is not None]
    assert (len(named), named[-1].host) == (10_000, "h9999.a.test")


def test_the_parts_of_a_sync_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch):
    body = Text(body_of(100)).decoded(SyncBody)
    decode, read = msgspec.json.decode, []

    def counted(part: msgspec.Raw, **kind: object) -> object:
        read.append(len(bytes(part)))
        return decode(part, **kind)

    monkeypatch.setattr(msgspec.json, "decode", counted)
    before = 0
    for _ in named_by_sync(body):
        assert len(read) - before <= 1  # between two steps, in which others have their turn
        before = len(read)
    assert len(read) == 200
    assert max(read) < 400


def test_reading_and_checking_a_sync_costs_what_it_names():
    def cost(routes: int) -> int:
        text = body_of(routes)

        def check() -> None:
            for named in named_by_sync(Text(text).decoded(SyncBody)):
                if named is not None:
                    claims.checked(GRANT, (), "a", named)

        return calls_of(check)

    assert grows_linearly(cost(100), cost(100 * FACTOR))


def test_parts_of_a_body_are_counted_as_they_come():
    text = Text(b'{"routes":[{},', b"{},{}")
    text.add(b',{}],"cluster_uuid":"c1"}')
    assert text.decoded(SyncBody).cluster_uuid == "c1"
    for _ in range(OBJECTS):
        text.add(b"{")
    with pytest.raises(BodyError, match="more than"):
        text.decoded(SyncBody)
