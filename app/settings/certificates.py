"""The certificate of the public listener and its key: read from their files, checked, and made a TLS context.

The first certificate of the file is ours, and its chain follows. Every fault raises ConfigurationError and names the
key that it is about; nothing is half read. A certificate that is not valid now is not a fault: clients decide about it,
and a gateway that does not start serves nobody.
"""

import re
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tunnel.text import NotTextError, check_pem

from .errors import ConfigurationError
from .pipes import A_PIPE, is_pipe
from .settings import Settings

_FILE_BYTES = 1024 * 1024
_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PEM_KEY = "PRIVATE KEY-----"
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""The last one: there is a certificate, but none for a key of this type."""
_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
_UTC_TIME = 0x17
_EXPLICIT_VERSION = 0xA0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, ready to be served."""

    context: ssl.SSLContext = field(repr=False)
    not_before: float
    not_after: float
    """Seconds since the epoch, like `not_before`."""
    digest: bytes = field(repr=False)
    """Of both files: equal for the same contents."""

    def warning(self, now: float | None = None) -> str | None:
        """Why clients will refuse it now. None: it is valid."""
        now = time.time() if now is None else now
        if now > self.not_after:
            return f"the certificate expired on {_day(self.not_after)}; renew it"
        if now < self.not_before:
            return f"the certificate is not valid before {_day(self.not_before)}; check it, and the clock"
        return None

    def __str__(self) -> str:
        return f"valid until {_day(self.not_after)}"


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate that the settings name. None: they name none. Raises ConfigurationError."""
    place, key_place = settings.tls_places
    if settings.tls_certificate is None or settings.tls_key is None:
        if settings.tls_certificate is not None:
            raise ConfigurationError(f"{place}: needs tls_key as well; set both or neither")
        if settings.tls_key is not None:
            raise ConfigurationError(f"{key_place}: needs tls_certificate as well; set both or neither")
        return None
    file, key_file = Path(settings.tls_certificate), Path(settings.tls_key)
    text, fault = _text(file, place)
    key_text, key_fault = _text(key_file, key_place)
    found = _PEM_CERTIFICATE.search(text)
    if found is None and not fault:
        fault = f"{place}: {file} has no certificate; write it in PEM, with its chain after it"
    if _PEM_KEY not in key_text and not key_fault:
        key_fault = f"{key_place}: {key_file} has no private key; write it in PEM, without a passphrase"
    if found is None or key_fault:
        raise ConfigurationError(*filter(None, (fault, key_fault)))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        not_before, not_after = _validity(ssl.PEM_cert_to_DER_cert(found[0]))
    except (ssl.SSLError, ValueError, IndexError) as error:
        raise ConfigurationError(f"{place}: {file} is not a valid PEM certificate: {_reason(error)}") from None
    context = _context()
    _load(context, file, key_file, place, key_place)
    return Certificate(context, not_before, not_after, sha256(f"{text}\0{key_text}".encode()).digest())


def _context() -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/1.1 by ALPN.

    Sessions are not resumed. The keys of tickets would be as old as the context, for months, and whoever gets them can
    read recorded TLS 1.2 sessions. Nor does another node know them.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


def _load(context: ssl.SSLContext, file: Path, key_file: Path, place: str, key_place: str) -> None:
    def encrypted() -> str:  # else OpenSSL asks on the terminal
        raise ConfigurationError(f"{key_place}: {key_file} is encrypted; write the key without a passphrase")

    try:
        context.load_cert_chain(file, key_file, encrypted)
    except ssl.SSLError as error:
        if error.reason in _NOT_A_PAIR:
            fault = f"{key_place}: {key_file} is not the key of the certificate in {file}"
        elif error.reason in _TOO_WEAK:
            fault = f"{place}: {file} cannot be used: {_reason(error)}"
        else:
            fault = f"{key_place}: {key_file} is not a valid PEM key: {_reason(error)}"
        raise ConfigurationError(fault) from None
    except OSError as error:  # it was there a moment ago
        raise ConfigurationError(f"{place}: {file} or {key_file} cannot be read: {error.strerror}") from None


def _text(file: Path, place: str) -> tuple[str, str]:
    """What the file says, and what is wrong with it: one of the two is empty."""
    if is_pipe(file):
        return "", f"{place}: {file} {A_PIPE}"
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES + 1)
        if len(content) > _FILE_BYTES:
            return "", f"{place}: {file} is too long; write only PEM into it"
        check_pem(content)
    except OSError as error:
        return "", f"{place}: {file} cannot be read: {error.strerror}"
    except NotTextError as error:
        return "", f"{place}: {file} {error}"
    return content.decode("ascii", "replace"), ""


def _validity(der: bytes) -> tuple[float, float]:
    """When a certificate begins and ceases to be valid (RFC 5280 section 4.1). Raises ValueError or IndexError."""
    at, _ = _extent(der, 0)  # Certificate
    at, _ = _extent(der, at)  # TBSCertificate
    if der[at] == _EXPLICIT_VERSION:
        at = _extent(der, at)[1]
    for _ in ("serialNumber", "signature", "issuer"):
        at = _extent(der, at)[1]
    at, _ = _extent(der, at)  # Validity
    return _time(der, at), _time(der, _extent(der, at)[1])


def _extent(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at `at` begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin])
    return begin, begin + length


def _time(der: bytes, at: int) -> float:
    """A UTCTime or GeneralizedTime (RFC 5280 section 4.1.2.5), in seconds since the epoch."""
    begin, end = _extent(der, at)
    text = der[begin:end].decode("ascii")
    if der[at] == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error).partition(" (_ssl.c")[0]
