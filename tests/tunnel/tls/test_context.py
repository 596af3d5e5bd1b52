"""What is trusted, and names that TLS cannot use."""

import os
import ssl
from pathlib import Path

import pytest

from tunnel.account import Account
from tunnel.errors import TlsFailedError
from tunnel.tls import TlsStream, client_context


def test_contexts_are_cached_by_their_arguments(ca_file: Path, tmp_path: Path):
    trusting = client_context(ca_file=str(ca_file), verify=True)
    assert client_context(ca_file=str(ca_file), verify=True) is trusting
    assert client_context(ca_file=None, verify=True) is client_context(ca_file=None, verify=True)
    blind = client_context(ca_file=None, verify=False)
    assert blind.verify_mode is ssl.CERT_NONE
    for context in (trusting, client_context(ca_file=None, verify=True)):
        assert context is not blind
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    for context in (trusting, blind):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_the_files_authorities_are_trusted_and_a_new_file_is_read(ca_file: Path, tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_bytes(ca_file.read_bytes())
    os.utime(path, ns=(1, 1))
    first = client_context(ca_file=str(path), verify=True)
    assert first.cert_store_stats()["x509_ca"] == 1
    os.utime(path, ns=(2, 2))
    assert client_context(ca_file=str(path), verify=True) is not first


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TlsFailedError, match=r"ca\.pem"):
        client_context(ca_file=str(path), verify=True)


@pytest.mark.parametrize("name", ["", ".apps.svc", "x" * 64 + ".svc"])
def test_a_name_that_tls_cannot_use(talk, name: str):
    inner = talk().inner
    first = inner.owner
    with pytest.raises(TlsFailedError, match="cannot start"):
        TlsStream(inner, client_context(ca_file=None, verify=False), name, account=Account())
    assert inner.owner is first
