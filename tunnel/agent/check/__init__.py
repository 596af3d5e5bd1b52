"""`tunnel-agent check`: tries what an agent would do, step by step, and says what fails and what to do about it."""
