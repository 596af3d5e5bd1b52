"""Agents' WebSockets, and the REST calls of the existing agent."""
