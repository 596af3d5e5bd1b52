"""Agents' sockets, and the REST calls of the existing agent."""
