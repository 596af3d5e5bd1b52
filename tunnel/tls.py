"""TLS over a byte stream, and itself a byte stream: the client side, for https services.

Sans-I/O: records pass through memory, and the inner stream carries them. It never waits, and it keeps no received
plaintext. What is written before the end of the handshake is kept (`write` returns False), then sent.

Invariants: it is the only owner of the inner stream. Credit: the encrypted bytes of a delivery are acknowledged to
the inner stream once the owner has acknowledged all the plaintext from them, in order; bytes that gave no plaintext
(the handshake, an unfinished record), once no plaintext is outstanding. So an owner that stops reading stops the
sender within one record (16 KiB), and a record never waits for credit that it holds itself.

An end without close_notify is a truncation (RFC 8446 section 6.1) and is reported as `stream_lost`: otherwise anybody
on the path could cut a body that ends with its connection, and it would look complete. `write_end` sends
close_notify; a TLS 1.2 service may then drop what it had not sent yet.
"""

import contextlib
import ssl
from collections import deque
from functools import lru_cache
from pathlib import Path

from tunnel.account import Account, Holding
from tunnel.errors import TlsFailedError, TunnelError
from tunnel.override import override
from tunnel.streams import ByteStream, StreamOwner
from tunnel.text import NotTextError, check_pem_file

HANDSHAKE_SECONDS = 10.0
"""Two round trips and a signature; a service that speaks no TLS may wait for ever for the end of our first message."""
_HINT = "check that the route's scheme and port are those of a service that speaks TLS"
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""How OpenSSL calls what is no TLS record."""
READ_BYTES = 65536
"""The size of one read. OpenSSL returns one record, at most 16 KiB."""


def client_context(*, ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """Trusts the system's authorities, only those in `ca_file`, or, without `verify`, any certificate.

    TLS 1.2 or newer, HTTP/1.1 by ALPN. Cached by its arguments until the file changes, because authorities are
    rotated while the gateway runs. Raises TlsFailedError if the file cannot be used.
    """
    if not verify:
        return _context(None, 0, verify=False)
    if ca_file is None:
        return _context(None, 0, verify=True)
    try:
        return _context(ca_file, Path(ca_file).stat().st_mtime_ns, verify=True)
    except NotTextError as error:
        msg = f"{ca_file} {error}"
        raise TlsFailedError(msg) from None
    except (OSError, ssl.SSLError) as error:
        msg = f"no certificate authorities in {ca_file}: {error}"
        raise TlsFailedError(msg) from None


@lru_cache(maxsize=64)
def _context(ca_file: str | None, _modified_ns: int, *, verify: bool) -> ssl.SSLContext:
    if ca_file is not None:
        check_pem_file(Path(ca_file))
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A service that renegotiates could stall our writes at any time. TLS 1.3 has no renegotiation.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsStream(ByteStream, StreamOwner):
    """A `ByteStream` of plaintext over a `ByteStream` of TLS records, which it owns.

    The handshake starts at once; set `owner` before anything is received. A failed handshake, or a certificate that
    is not valid for `server_hostname`, is reported as `stream_lost(TlsFailedError)`, and the inner stream is reset.
    Raises TlsFailedError, with `inner` untouched, for a name that TLS cannot use. `write` calls `stream_lost` only if
    OpenSSL itself fails.
    """

    owner: StreamOwner

    __slots__ = (
        "_closed_by_peer",
        "_end_held",
        "_ended",
        "_established",
        "_given",
        "_held",
        "_holding",
        "_incoming",
        "_inner",
        "_inner_writable",
        "_name",
        "_outgoing",
        "_over",
        "_owner_waits",
        "_tls",
        "_uncounted_bytes",
    )

    def __init__(self, inner: ByteStream, context: ssl.SSLContext, server_hostname: str, *, account: Account) -> None:
        self._inner = inner
        self._name = server_hostname
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
        except (ValueError, ssl.SSLError) as error:
            msg = f"TLS with {server_hostname!r} cannot start: {error}"
            raise TlsFailedError(msg) from None
        self._held: list[bytes] = []
        """Plaintext written before the end of the handshake."""
        self._holding = Holding(account)
        """Counts `_held`. What was received and not acknowledged yet is counted by the inner stream."""
        self._given: deque[tuple[int, int]] = deque()
        """Each delivery not acknowledged yet: its outstanding plaintext, and the encrypted bytes it came from."""
        self._uncounted_bytes = 0
        """Encrypted bytes received that belong to no delivery yet."""
        self._established = False
        self._ended = False
        """Our direction has ended."""
        self._end_held = False
        """Our close_notify waits for the handshake."""
        self._closed_by_peer = False
        """The peer sent close_notify."""
        self._over = False
        """Reset or lost: the owner is not called again."""
        self._owner_waits = False
        """`write` returned False, and `stream_writable` has not been called since."""
        self._inner_writable = True
        inner.owner = self
        self._flush()

    def __repr__(self) -> str:
        if self._over:
            state = "over"
        elif not self._established:
            state = "in its handshake"
        else:
            state = f"{self._tls.version()}, our end {'closed' if self._ended else 'open'}"
            state += f", theirs {'closed' if self._closed_by_peer else 'open'}"
        return f"<TlsStream to {self._name}, {state}>"

    @property
    @override
    def held_bytes(self) -> int:
        """Counted in encrypted bytes, which are hardly more than their plaintext."""
        return self._inner.held_bytes + self._holding.size_bytes

    def write(self, data: bytes, /) -> bool:
        """Encrypt and pass on. Before the end of the handshake: keep it, and return False."""
        if self._over or self._ended or not data:
            return True
        if self._established:
            self._encrypt(data)
        else:
            self._held.append(data)
            self._holding.add(len(data))
        writable = self._established and self._inner_writable
        self._owner_waits |= not writable
        return writable

    def write_end(self) -> None:
        """Send close_notify, then end the inner stream, after what was written."""
        if self._over or self._ended:
            return
        self._ended = True
        if self._established:
            self._send_end()
        else:
            self._end_held = True

    def reset(self) -> None:
        """Abort both directions, without close_notify."""
        if not self._over:
            self._drop()
            self._inner.reset()

    @property
    def is_shaking_hands(self) -> bool:
        """The handshake is not over."""
        return not (self._established or self._over)

    def give_up_handshake(self) -> None:
        """`HANDSHAKE_SECONDS` have passed: fail, unless the handshake is over."""
        if self.is_shaking_hands:
            self._fail(f"no handshake within {HANDSHAKE_SECONDS:g} s; {_HINT}")

    def acknowledge(self, size: int, /) -> None:
        """The consumer took `size` bytes of plaintext. Raises ValueError for more than was delivered."""
        if self._over:
            return
        credit = 0
        while size:
            if not self._given:
                raise ValueError("more bytes acknowledged than were received")
            outstanding, encrypted = self._given[0]
            if size < outstanding:
                self._given[0] = (outstanding - size, encrypted)
                break
            size -= outstanding
            credit += encrypted
            self._given.popleft()
        self._return_credit(credit)

    # --- called by the inner stream

    def data_received(self, data: bytes, /) -> None:
        """Take records, cut anywhere."""
        if self._over:
            return
        self._uncounted_bytes += len(data)
        if self._closed_by_peer:
            self._return_credit(0)  # nothing is valid after close_notify, so it is dropped
            return
        self._incoming.write(data)
        if self._established or self._shake_hands():
            self._deliver()
        self._return_credit(0)

    def end_received(self) -> None:
        """The inner stream ended; that is in order only after close_notify."""
        if self._over or self._closed_by_peer:
            return
        when = "without close_notify" if self._established else f"during the handshake; {_HINT}"
        self._fail(f"the service ended the connection {when}")

    def stream_lost(self, error: TunnelError, /) -> None:
        """The inner stream is gone, and this one with it."""
        if not self._over:
            self._drop()
            self.owner.stream_lost(error)

    def stream_writable(self) -> None:
        """The inner stream can take more."""
        self._inner_writable = True
        self._tell_writable()

    # --- inside

    def _shake_hands(self) -> bool:
        """Continue the handshake. True: it is over, and succeeded."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLCertVerificationError as error:
            self._flush()  # the alert
            self._fail(f"certificate refused: {error.verify_message}")
            return False
        except ssl.SSLError as error:
            self._flush()
            self._fail(f"{_text_of(error)}; {_HINT}" if error.reason in _NOT_TLS else _text_of(error))
            return False
        self._established = True
        self._flush()
        held, self._held = self._held, []
        self._holding.close()
        if held:
            self._encrypt(b"".join(held))
        return not self._over

    def _deliver(self) -> None:
        """Give the owner what can be read, and tell it if the stream ended."""
        plaintext, fault = self._decrypt()
        self._flush()  # what TLS itself answers: key updates, alerts
        if self._end_held:
            self._end_held = False
            self._send_end()
        if plaintext:
            self._given.append((len(plaintext), self._uncounted_bytes))
            self._uncounted_bytes = 0
            self.owner.data_received(plaintext)
        if fault is not None:
            self._fail(fault)
        elif self._closed_by_peer and not self._over:
            self.owner.end_received()
        self._tell_writable()

    def _decrypt(self) -> tuple[bytes, str | None]:
        """All the plaintext there is, and the error after it, if any."""
        parts: list[bytes] = []
        fault = None
        try:
            while part := self._tls.read(READ_BYTES):
                parts.append(part)
            self._closed_by_peer = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # as b"", but our close_notify went out before
            self._closed_by_peer = True
        except ssl.SSLError as error:
            fault = _text_of(error)
        return b"".join(parts), fault

    def _encrypt(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            self._fail(_text_of(error))
            return
        self._flush()

    def _send_end(self) -> None:
        # Call unwrap() only when all received data was read: it treats unread data as an error. It also fails if the
        # peer's close_notify has not arrived, but it has sent ours by then.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._inner.write_end()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._inner_writable = self._inner.write(self._outgoing.read())

    def _tell_writable(self) -> None:
        if self._owner_waits and self._established and self._inner_writable and not self._over:
            self._owner_waits = False
            if not self._ended:
                self.owner.stream_writable()

    def _return_credit(self, encrypted: int) -> None:
        if not self._given:
            encrypted += self._uncounted_bytes
            self._uncounted_bytes = 0
        if encrypted and not self._over:
            self._inner.acknowledge(encrypted)

    def _fail(self, reason: str) -> None:
        if self._over:
            return
        self._drop()
        self._inner.reset()
        self.owner.stream_lost(TlsFailedError(f"TLS with {self._name}: {reason}"))

    def _drop(self) -> None:
        self._over = True
        self._held.clear()
        self._holding.close()
        self._given.clear()


def _text_of(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
