"""How exchanges ride on a link: each dialect implements the port (`tunnel/port.py`) in its own way."""
