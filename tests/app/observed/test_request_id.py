"""Ids of requests: whose are believed, and what they look like."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observed import request_id
from app.observed.request_id import new_request_id, request_id_of, with_request_id

GOOD = string.ascii_letters + string.digits + "._:/+=@-"


def is_new(value: str) -> bool:
    return len(value) == 32 and set(value) <= set("0123456789abcdef")


@pytest.mark.parametrize("value", [b"a", b"a" * 128, GOOD.encode(), b"Root=1-67891233-abcdef012345678912345678"])
def test_a_good_one_of_a_trusted_peer_is_kept(value: bytes):
    assert request_id_of([(b"host", b"h"), (b"X-Request-Id", value)], trusted=True) == value.decode()


def test_an_untrusted_peers_is_not():
    assert is_new(request_id_of([(b"x-request-id", b"chosen")], trusted=False))


@pytest.mark.parametrize("value", [b"", b"a" * 129, b"a b", b"a\n", b"a\r\nx: y", b'a"', b"\xc3\xa4", b"a;b", b"{}"])
def test_a_bad_one_is_replaced(value: bytes):
    assert is_new(request_id_of([(b"x-request-id", value)], trusted=True))


def test_two_of_them_name_nothing():
    assert is_new(request_id_of([(b"x-request-id", b"one"), (b"x-request-id", b"two")], trusted=True))


def test_none_at_all():
    assert is_new(request_id_of([(b"x-request-ix", b"one")], trusted=True))


@given(st.binary(max_size=200))
def test_whatever_comes_the_id_is_plain(value: bytes):
    got = request_id_of([(b"x-request-id", value)], trusted=True)
    assert 1 <= len(got) <= 128
    assert set(got) <= set(GOOD)


def test_ids_differ_over_many_refills():
    assert len({new_request_id() for _ in range(10_000)}) == 10_000


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="no fork here")
def test_a_forked_process_has_ids_of_its_own():
    new_request_id()  # so that some are left in the pool
    reader, writer = os.pipe()
    assert request_id.made
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.write(writer, new_request_id().encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    theirs = os.read(reader, 64).decode()
    os.close(reader)
    assert is_new(theirs)
    assert theirs != new_request_id()


def test_it_becomes_the_only_one_of_a_head():
    headers = [(b"X-Request-ID", b"forged"), (b"host", b"h"), (b"x-request-id", b"again"), (b"x-request-ix", b"kept")]
    assert with_request_id(headers, "r1") == [(b"host", b"h"), (b"x-request-ix", b"kept"), (b"x-request-id", b"r1")]
    assert len(headers) == 4
