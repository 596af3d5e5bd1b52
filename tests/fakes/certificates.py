"""Certificates for listeners under test, by an authority that is made for the run."""

import ssl
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

NAME = "gateway.example.test"


class Authority:
    """Issues certificates into a folder, as `tls.crt` and `tls.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"

    def issue(
        self, name: str = NAME, *others: str, not_before: datetime | None = None, not_after: datetime | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> trustme.LeafCert:  # fmt: skip
        """A certificate that clients of this authority trust."""
        return self._authority.issue_cert(
            name, *others, not_before=not_before, not_after=not_after, key_type=key_type
        )  # fmt: skip

    def write(self, leaf: trustme.LeafCert) -> None:
        """Put a certificate and its key in place, each in one piece."""
        self.put(self.certificate, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        self.put(self.key, leaf.private_key_pem.bytes())

    def put(self, file: Path, content: bytes) -> None:
        other = file.with_suffix(".next")
        other.write_bytes(content)
        other.replace(file)

    def client(self) -> ssl.SSLContext:
        """A client that trusts this authority, and nobody else."""
        return ssl.create_default_context(cafile=self.file)


def encrypted(leaf: trustme.LeafCert) -> bytes:
    """Its key, with a passphrase."""
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


def serial(connection: ssl.SSLSocket | ssl.SSLObject) -> str:
    """Which certificate the other end has."""
    told = connection.getpeercert()
    assert told is not None
    number = told["serialNumber"]
    assert isinstance(number, str)
    return number
