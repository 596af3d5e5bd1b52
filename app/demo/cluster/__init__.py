"""`--cluster`: three gateway nodes, two agents and a NATS server on this machine, to be ended and frozen at will."""
