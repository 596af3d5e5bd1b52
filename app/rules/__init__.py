"""Routes, policy and the answers of our own. Pure: no clock, no I/O."""
