"""Extensions of a WebSocket: offered where its bytes will pass as they are, and agreed on by its two ends."""

import pytest

from app.public.extensions import reserved_bits
from tests.app.server.browser import Browser, told
from tests.app.stage import Stage
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tunnel.errors import LinkLostError
from tunnel.websocket import Closed
from tunnel.websocket.frames import encode_frame

FIELD = b"Sec-WebSocket-Extensions"
OFFER = b"permessage-deflate; client_max_window_bits, x-own"
SQUEEZED = b"\xc1" + encode_frame(1, b"\xaa\x56\x4a", masked=False)[1:]


def offered(exchange: FakeExchange) -> list[bytes]:
    return [value for name, value in exchange.head.headers if name.lower() == FIELD.lower()]


async def asked(stage: Stage, *offers: bytes) -> Browser:
    browser = Browser(stage)
    browser.shake_hands(*[b"%b: %b\r\n" % (FIELD, offer) for offer in offers])
    await quiet()
    return browser


def agreed(browser: Browser) -> list[bytes]:
    """What the client's 101 says."""
    lines = browser.wire.written.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [line.partition(b": ")[2] for line in lines if line.lower().startswith(FIELD.lower())]


@pytest.mark.parametrize(
    ("passes", "settings", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"websocket_compression": "decline"}, False),
        (True, {"messages_per_second": 1000}, True),
        (True, {"messages_per_second": 1000, "rate_limit_action": "slow"}, False),
        (True, {"rate_limit_action": "slow"}, True),
    ],
)
@dialogue
async def test_what_is_offered(passes: bool, settings: dict[str, object], expected: bool):
    async with Stage(**settings) as s:  # type: ignore[arg-type]
        s.link.passes_bytes = passes
        browser = await asked(s, OFFER)
        assert offered(s.exchange) == ([OFFER] if expected else [])
        FakeService(s.exchange).accept()
        await quiet()
        spliced = passes and settings.get("rate_limit_action") != "slow"
        assert (s.exchange.stream is not None) == (spliced or ("messages_per_second" not in settings and passes))
        assert agreed(browser) == []
        browser.wire.lose()
        assert told(FakeService(s.exchange))


@dialogue
async def test_an_offer_in_several_fields_is_one():
    async with Stage() as s:
        s.link.passes_bytes = True
        browser = await asked(s, b"permessage-deflate", b"x-own; a=b")
        assert offered(s.exchange) == [b"permessage-deflate, x-own; a=b"]
        browser.wire.lose()


@dialogue
async def test_a_client_that_offers_none_offers_none():
    async with Stage() as s:
        s.link.passes_bytes = True
        browser = await asked(s)
        assert offered(s.exchange) == []
        browser.wire.lose()


@pytest.mark.parametrize("first", [True, False])
@dialogue
async def test_a_retry_writes_the_offer_anew(first: bool):
    async with Stage(links=2) as s:
        for link, passes in zip(s.links, (first, not first), strict=True):
            link.passes_bytes = passes
        browser = await asked(s, OFFER)
        tried = next(link for link in s.links if link.exchanges)
        other = next(link for link in s.links if link is not tried)
        assert offered(tried.only) == ([OFFER] if tried.passes_bytes else [])
        tried.available = False
        tried.only.fail(LinkLostError("gone"))
        await quiet()
        assert offered(other.only) == ([OFFER] if other.passes_bytes else [])
        FakeService(other.only).accept()
        await quiet()
        assert (other.only.stream is not None) == other.passes_bytes
        browser.wire.lose()
        assert told(FakeService(other.only))


@dialogue
async def test_the_agreement_reaches_the_client_and_compressed_frames_pass():
    async with Stage() as s:
        s.link.passes_bytes = True
        browser = await asked(s, OFFER)
        service = FakeService(s.exchange)
        service.accept(more=[(FIELD, b"permessage-deflate; client_max_window_bits=12")])
        await quiet()
        assert agreed(browser) == [b"permessage-deflate; client_max_window_bits=12"]
        service.exchange.bring(SQUEEZED)
        assert browser.wire.written.endswith(SQUEEZED)
        browser.bring(b"\xa1" + encode_frame(1, b"x", masked=True)[1:])
        assert browser.wire.written.endswith(b"reserved bits without an extension"), "another bit than deflate's"
        assert told(service) == [Closed(1002, "reserved bits without an extension")]
        await quiet()


@dialogue
async def test_compressed_frames_that_nobody_agreed_on_are_refused():
    async with Stage() as s:
        s.link.passes_bytes = True
        browser = await asked(s, OFFER)
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        service.exchange.bring(SQUEEZED)
        assert browser.closed() == (1011, "reserved bits without an extension")
        assert told(service) == [Closed(1002, "reserved bits without an extension")]
        browser.wire.lose()
        await quiet()


@pytest.mark.parametrize(
    ("offer", "answer"),
    [(b"x-own", b"permessage-deflate"), (OFFER, b"permessage-deflate, x-other"), (b"", b"permessage-deflate")],
)
@pytest.mark.parametrize("passes", [True, False])
@dialogue
async def test_an_extension_that_was_not_offered_is_502(offer: bytes, answer: bytes, passes: bool):
    async with Stage() as s:
        s.link.passes_bytes = passes
        browser = await asked(s, *([offer] if offer else []))
        FakeService(s.exchange).accept(more=[(FIELD, answer)])
        await quiet()
        assert browser.visitor.status == 502
        assert s.exchange.resets
        assert s.exchange.stream is None
        browser.wire.lose()


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([], 0), ([b""], 0), ([b" , "], 0), ([b"permessage-deflate"], 0x40),
        ([b"Permessage-Deflate; server_no_context_takeover"], 0x40), ([b"x-own"], 0x70),
        ([b"permessage-deflate, x-own"], 0x70), ([b"permessage-deflate", b"x-own"], 0x70),
    ],
)  # fmt: skip
def test_the_bits_that_an_agreement_allows(values: list[bytes], bits: int):
    assert reserved_bits([(b"X", b"permessage-bzip"), *[(FIELD, value) for value in values]]) == bits
