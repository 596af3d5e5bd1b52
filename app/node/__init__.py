"""What one process shares: the gateway, its exchanges, its drain, admission and stickiness."""
