"""A stand-in for the agent that is already out there, on its JSON path, as a process of its own.

An independent reading of the wire protocol: it imports nothing of the product, so that a mistake in the gateway's
reading of the protocol cannot hide behind the same mistake here. It refuses what the original refuses, in the same
silence, and it keeps the original's defects: what it does wrong here, it does wrong there.

It never speaks yamux (the original's own libraries do, in tests/go), and prints what it drops or refuses as one
line on standard error that begins with the protocol's section: `section 5.3: ...`.
"""
