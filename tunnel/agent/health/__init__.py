"""The agent's own endpoints, for probes, scrapers and people: a small HTTP/1.1 listener that carries nothing else."""
