"""A gateway of a made-up next release: its values have members, and its streams flags and extensions, that are unknown.

`python -m tests.system.nodes.next_version ...`, then what `app` takes. The wrapped functions are in place before
anything that uses them is imported.
"""

import json
import struct
import sys
from collections.abc import Callable
from typing import Any

from app.cluster import beats, links
from app.cluster.peer import preamble

UNKNOWN_FLAG = 0x80
EXTENSIONS = b"\x00\x09\x00\x04next"


def with_more(encoded: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def more(value: Any) -> bytes:
        members = json.loads(encoded(value))
        for agent in members.get("agents", {}).values():
            agent["zone"] = "z1"
        return json.dumps({**members, "next": {"zone": "z1", "numbers": [1, 2.5, None]}}).encode()

    return more


def extended(encode: Callable[[preamble.Preamble], bytes]) -> Callable[[preamble.Preamble], bytes]:
    def longer(wanted: preamble.Preamble) -> bytes:
        raw = encode(wanted)
        head = raw[:2] + bytes((raw[2] | UNKNOWN_FLAG,))
        return head + raw[3:-4] + struct.pack(">I", len(EXTENSIONS)) + EXTENSIONS

    return longer


if __name__ == "__main__":
    beats.encoded = with_more(beats.encoded)
    links.encoded = with_more(links.encoded)
    preamble.encode = extended(preamble.encode)

    from app.__main__ import main  # it imports the rest

    main(sys.argv[1:])
