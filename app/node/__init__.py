"""What one process shares: the gateway, the ledger of its exchanges, its drain, admission and stickiness."""
