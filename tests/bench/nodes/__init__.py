"""What several nodes cost: the unit costs from which `docs/capacity.md` computes, and how they behave in numbers."""
