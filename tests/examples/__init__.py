"""Programs that the documentation shows, and what its tests run them in."""
