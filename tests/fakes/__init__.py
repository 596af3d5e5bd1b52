"""What stands in for the parts around the one under test; one set for all tests.

| module | stands in for |
|---|---|
| `loop` | an event loop and its clock, in virtual time; `dialogue` runs a test on it |
| `clock` | a clock for what takes one as an argument |
| `transport` | a socket, between a protocol and its far end |
| `stream`, `pipe` | a byte stream of a link; both ends of one |
| `sink` | the door, as an upstream sees it |
| `exchange`, `link` | an upstream and its exchanges, as a door sees them |
| `service` | a WebSocket service at the far end of such an exchange |
| `asgi` | the ASGI server around the application |
| `gateway` | what an agent dials |
| `jetstream` | the engine's connection and its bucket, as a mirror sees them |
| `bucket` | a bucket of the engine, and its mirrors on several nodes |

A stand-in for the agent that is already out there is a program of its own: tests/existing says why there are two.
"""
