"""Exchanges carried as messages: what the `json` and `chunk` dialects have in common."""
