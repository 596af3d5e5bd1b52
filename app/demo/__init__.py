"""`make demo`: the gateway, agents and real applications on this machine, with one command."""
