"""A stand-in for the agent that is already out there, on its JSON path, as a process of its own.

An independent reading of the wire protocol: it imports nothing of the product, so that a mistake in the gateway's
reading of the protocol cannot hide behind the same mistake here. Beside that path it dials the controller once, and
registers routes over REST one by one. It refuses what the original refuses, in the same
silence, and it keeps the original's defects: what it does wrong here, it does wrong there.

There are two stand-ins, because they prove different things. This one covers the JSON path and is held to recordings
of the original, line by line (`test_recordings.py`). It never speaks yamux. The one in Go (tests/go/agent) covers
yamux with the libraries of the original, hashicorp/yamux and gorilla/websocket, and answers nothing of the JSON path.
What both say, handshakes, registration, heartbeats and pings, `test_stand_ins.py` compares with the same recordings.

It prints what it drops or refuses as one line on standard error that begins with the protocol's section:
`section 5.3: ...`.
"""
