"""The agent's way to its services: what it may reach, the dial, and the connection."""
