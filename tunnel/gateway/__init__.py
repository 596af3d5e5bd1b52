"""The side that is dialled: agents' links, the registry that chooses among them, the carriers of three dialects."""
