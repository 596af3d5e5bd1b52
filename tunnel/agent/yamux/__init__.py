"""The yamux dialect at the agent: each stream is spliced to one connection to a service."""
