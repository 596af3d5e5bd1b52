"""Peer links: one authenticated yamux connection to each other node, and the exchanges that hop over it.

A node dials each other node (`dialler`) at its internal listener (`listener`); after an HTTP/1.1 upgrade (`handshake`)
both speak yamux (`session`), and only the dialler opens streams. A stream begins with a preamble and one answer
(`preamble`). The node that got a request asks (`upstream`); the node that has the agent serves (`serving`).
"""
