"""Other nodes: the engine that joins them, what they tell each other, and the links between them.

Imported only where `[cluster]` is set. A node without it never comes here.
"""
