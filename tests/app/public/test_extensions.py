"""What a 101 agrees to, by its fields alone; the handshakes around it are in `../server/test_spliced_extensions.py`."""

import pytest

from app.public.extensions import agreed_in, reserved_bits
from tunnel.port import Headers

NAME = b"Sec-WebSocket-Extensions"


@pytest.mark.parametrize(
    ("headers", "agreed", "bits"),
    [
        ([], [], 0),
        ([(NAME, b"")], [], 0),  # a field without a value agrees to nothing, and clients trip over it
        ([(NAME, b"permessage-deflate")], [b"permessage-deflate"], 0x40),
        ([(NAME, b"PerMessage-Deflate; server_max_window_bits=10")], None, 0x40),
        ([(NAME, b"x-mux"), (b"upgrade", b"websocket")], [b"x-mux"], 0x70),
        ([(NAME, b"permessage-deflate, x-mux")], [b"permessage-deflate, x-mux"], 0x70),
        ([(NAME, b"permessage-deflate"), (NAME.lower(), b"x-mux")], [b"permessage-deflate", b"x-mux"], 0x70),
    ],
)
def test_what_is_agreed(headers: Headers, agreed: list[bytes] | None, bits: int):
    expected = [value for _, value in headers] if agreed is None else agreed
    assert agreed_in(headers) == [(NAME.lower(), value) for value in expected]
    assert reserved_bits(headers) == bits
