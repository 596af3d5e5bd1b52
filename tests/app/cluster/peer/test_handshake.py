"""The handshake of a peer link: heads, refusals, secrets."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.peer import handshake
from app.cluster.peer.handshake import (
    HEAD_LIMIT_BYTES,
    Access,
    HandshakeError,
    HeadReader,
    Hello,
    RefusedError,
    Welcome,
    read_answer,
    read_request,
)

REQUEST = handshake.request("10.0.0.7:7000", "abcdefghijkl", "0.2.0", b"s3cret", to="n2")


def split(message: bytes) -> tuple[bytes, bytes]:
    reader = HeadReader(b"")
    head = reader.feed(message)
    assert head is not None
    return head, reader.rest


def test_what_a_dialler_sends_is_understood():
    assert read_request(split(REQUEST)[0]) == Hello("abcdefghijkl", "0.2.0", b"s3cret", "n2")
    without = handshake.request("h:1", "a", "", None, to="n2")
    assert b"Authorization" not in without
    assert read_request(split(without)[0]) == Hello("a", wanted="n2")


def test_what_a_listener_answers_is_understood():
    head, rest = split(handshake.welcome("n2", "0.2.0") + b"\x00early")
    assert read_answer(head, rest) == Welcome("n2", "0.2.0")
    assert rest == b"\x00early"


def test_a_head_comes_in_pieces():
    for size in (1, 2, 3, 7, 50):
        reader = HeadReader(b"")
        found = [reader.feed(REQUEST[at : at + size]) for at in range(0, len(REQUEST), size)]
        assert found[:-1] == [None] * (len(found) - 1)
        assert found[-1] == REQUEST[:-4]


@pytest.mark.parametrize("size", [1, 1024, HEAD_LIMIT_BYTES + 1])
def test_a_head_without_an_end_is_not_kept(size: int):
    reader = HeadReader(b"")
    for _ in range(HEAD_LIMIT_BYTES // size):
        assert reader.feed(b"x" * size) is None
    with pytest.raises(ValueError, match="a head of more than"):
        reader.feed(b"x" * size)


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"SSH-2.0-x", b"GE\r"])
def test_another_protocol_is_noticed_at_once(first: bytes):
    with pytest.raises(ValueError, match="does not speak"):
        HeadReader(handshake.REQUEST_BEGINS).feed(first)
    with pytest.raises(ValueError, match="does not speak"):
        HeadReader(handshake.ANSWER_BEGINS).feed(first)
    assert HeadReader(handshake.REQUEST_BEGINS).feed(b"GE") is None


def changed(before: bytes, after: bytes) -> bytes:
    assert before in REQUEST
    return REQUEST.replace(before, after)


REFUSED = {
    "another path": (changed(b"/-/peer ", b"/ "), 404),
    "a longer path": (changed(b"/-/peer ", b"/-/peer/x "), 404),
    "a query": (changed(b"/-/peer ", b"/-/peer?a "), 404),
    "POST": (changed(b"GET ", b"POST "), 404),
    "HTTP/1.0": (changed(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "no upgrade": (changed(b"Upgrade: tunnel-peer\r\n", b""), 426),
    "a WebSocket": (changed(b"Upgrade: tunnel-peer", b"Upgrade: websocket"), 426),
    "not in Connection": (changed(b"Connection: Upgrade", b"Connection: keep-alive"), 426),
    "no node": (changed(b"X-Tunnel-Node: abcdefghijkl\r\n", b""), 400),
    "a bad node": (changed(b"abcdefghijkl", b"../x"), 400),
    "a long node": (changed(b"abcdefghijkl", b"a" * 64), 400),
    "nobody wanted": (changed(b"X-Tunnel-To: n2\r\n", b""), 400),
    "somebody bad wanted": (changed(b"X-Tunnel-To: n2", b"X-Tunnel-To: ../x"), 400),
    "a field twice": (changed(b"Host: ", b"authorization: x\r\nHost: "), 400),
    "no colon": (changed(b"Host: ", b"Host "), 400),
    "a folded line": (changed(b"Host: ", b"X: 1\r\n 2\r\nHost: "), 400),
    "a bare line feed": (changed(b"Host: ", b"X: 1\nHost: "), 400),
    "a control": (changed(b"0.2.0", b"0.2\x00"), 400),
    "many fields": (changed(b"Host: ", b"".join(b"X%d: 1\r\n" % n for n in range(64)) + b"Host: "), 400),
}  # fmt: skip


@pytest.mark.parametrize(("message", "status"), REFUSED.values(), ids=REFUSED)
def test_bad_requests(message: bytes, status: int):
    with pytest.raises(RefusedError) as refused:
        read_request(split(message)[0])
    assert refused.value.status == status
    assert "s3cret" not in str(refused.value)
    head, rest = split(handshake.refusal(refused.value))
    with pytest.raises(HandshakeError, match=f"refused with {status}") as seen:
        read_answer(head, rest)
    assert seen.value.status == status


def test_fields_of_the_next_version_are_ignored():
    assert read_request(split(changed(b"Host: ", b"X-Tunnel-Next: 2; a=b\r\nHost: "))[0]).node == "abcdefghijkl"
    head, _ = split(handshake.welcome("n2", "9").replace(b"Upgrade: t", b"X-Tunnel-Next: 1\r\nUpgrade: t"))
    assert read_answer(head) == Welcome("n2", "9")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 1e1 No\r\n\r\n", b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nbad\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nX-Tunnel-Node: n2\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: tunnel-peer\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_node(answer: bytes):
    with pytest.raises(HandshakeError) as error:
        read_answer(*split(answer))
    assert error.value.status == 0


@given(st.binary(max_size=400))
def test_any_head_is_understood_or_refused(junk: bytes):
    for read, errors in ((read_request, RefusedError), (read_answer, HandshakeError)):
        try:
            read(junk)  # type: ignore[operator]
        except errors as error:
            assert str(error)  # noqa: PT017


SECRETS = Access((b"one", b"two"))


@pytest.mark.parametrize(
    ("access", "secret", "certificate", "may"),
    [
        (SECRETS, b"one", False, True), (SECRETS, b"two", False, True), (SECRETS, b"three", False, False),
        (SECRETS, b"", False, False), (SECRETS, None, False, False), (SECRETS, None, True, False),
        (Access(), None, True, False), (Access(), b"", False, False), (Access((b"",)), b"", False, False),
        (Access(certificates=True), None, True, True), (Access(certificates=True), b"one", False, False),
        (Access((b"one",), certificates=True), b"one", False, True),
        (Access((b"one",), certificates=True), None, True, True),
    ],
)  # fmt: skip
def test_who_may_link(access: Access, secret: bytes | None, certificate: bool, may: bool):
    assert access.allows(secret, has_certificate=certificate) is may


def test_secrets_are_not_shown():
    assert repr(SECRETS) == "<Access 2 secrets>"
    assert repr(Access((b"one",), certificates=True)) == "<Access 1 secrets, certificates>"


def test_a_refusal_says_what_to_do():
    text = handshake.refusal(RefusedError(HTTPStatus.UPGRADE_REQUIRED, "ask")).decode()
    assert text.startswith("HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nUpgrade: tunnel-peer\r\n")
    assert text.endswith("Content-Length: 4\r\n\r\nask\n")
