"""The agent's way to its services: which it may reach, the dial, and the connection."""
