"""`make demo`: the gateway, an agent and real applications on this machine, with one command."""
