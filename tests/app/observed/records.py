"""Records of exchanges that went well, to be changed with `replace`."""

from dataclasses import replace

from app.observed.record import Record
from tunnel.port import Target

TARGET = Target("c1", "apps", "web", 80)
GOOD = Record(
    "http", "r1", "GET", b"app.example.test", b"/a", TARGET, 100.0, client="192.0.2.1", link="link-7", agent="a0",
    dialect="yamux", status=200, link_at=100.01, head_at=100.02, ended_at=100.25,
)  # fmt: skip
WEBSOCKET = replace(GOOD, kind="websocket", status=101, closed_by="client", close_code=1000, messages_up=3, bytes_up=9)
