"""Exchanges carried as messages, which the agent answers: the `json` and `chunk` dialects."""
