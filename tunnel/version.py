"""The version of both programs, and of both distributions. The charts and pyproject.toml are held to it by tests."""

VERSION = "0.1.0"
