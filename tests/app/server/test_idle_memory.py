"""What the gateway's door keeps for an idle WebSocket whose bytes pass: of its handshake nothing but the record."""

import asyncio

import pytest

from tests.app.server.browser import browsing
from tests.app.server.test_spliced_channel import Spliced, parted
from tests.fakes.kept import kept, kept_bytes
from tests.fakes.loop import dialogue, quiet
from tunnel.websocket import Message, Opcode
from tunnel.websocket.frames import encode_frame

COUNT = 10
MOST_BYTES = 640
"""For each of these three."""
EACH = {"SplicedChannel": COUNT, "SplicedCall": COUNT, "Record": COUNT}
SHARED = {"Place": 3}
"""By all of the same route, client and cluster."""
OF_THE_STAGE = ("Backlog", "Connection", "Deadlines", "KnownHosts", "ServerReception", "Wheel", "_Slot")
"""Each client of the test has a server for itself, and each end a codec, which is a `Connection`."""


@pytest.mark.parametrize("talks", [False, True])
@dialogue
async def test_an_idle_websocket_keeps_three_objects(talks: bool):
    async with Spliced() as s:
        await parted(*await browsing(s))  # what is made once does not count
        before, before_bytes = kept(), kept_bytes(EACH)
        pairs = [await browsing(s) for _ in range(COUNT)]
        for browser, service in pairs if talks else ():
            browser.say("in one frame")
            browser.bring(encode_frame(Opcode.PING, b"", masked=True))
            fragments = encode_frame(Opcode.TEXT, b"two", masked=True, fin=False)
            browser.bring(fragments + encode_frame(Opcode.CONTINUATION, b" frames", masked=True))
            assert service.heard()[0] == Message("in one frame")
        await asyncio.sleep(1.1)  # the ledger looks at them
        await quiet()
        more = {name: count for name, count in (kept() - before).items() if name not in OF_THE_STAGE}
        assert more == EACH | SHARED
        assert kept_bytes(EACH) - before_bytes <= COUNT * MOST_BYTES
        for browser, service in pairs:
            await parted(browser, service)
