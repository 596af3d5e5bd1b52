"""Exchanges of a link's upstreams, begun as a door begins them, on a link that must end with nothing held."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tunnel.port import Exchange, Headers, RequestHead, Target
from tunnel.yamux import Limits

TARGET = Target("c1", "apps", "web", 8080)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def opened(
    line: Line,
    method: bytes = b"GET",
    target: bytes = b"/",
    *,
    length: int | None = 0,
    fresh: bool = False,
    upgrade: bool = False,
    to: Target = TARGET,
    sink: FakeSink | None = None,
) -> tuple[Exchange, FakeSink]:
    fields: Headers = [(b"Host", b"a.test")]
    sink = sink or FakeSink()
    head = RequestHead(method, target, fields, length, upgrade)
    exchange = line.link.upstream(to).open(head, sink, fresh)
    assert sink.calls == []
    return exchange, sink


@contextmanager
def line_of(limits: Limits | None = None) -> Iterator[Line]:
    """A ready link; at the end of the test it holds no byte, no stream and no exchange of anybody."""
    line = Line(limits=limits, ready=True)
    yield line
    line.run()
    assert line.link.active == 0
    assert line.account.held_bytes == 0, "before the link ends"
    line.link.lost("end of the test")
    assert line.account.held_bytes == 0
    assert len(line.link.carrier._streams) == 0
