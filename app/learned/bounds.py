"""How many learned routes there may be, and how often they are looked at."""

LOOK_SECONDS = 60.0
"""How often to look for expired routes."""
ROUTES_PER_CLUSTER = 10_000
ROUTES_IN_ALL = 20_000
"""About 1 KiB each. Room for two full clusters, so that one alone cannot lock out the others."""
PATHS_PER_HOST = 100
"""Each request to the host goes through them one by one."""
MOST_EXPIRED = 1_000
"""Routes that are remembered when they have expired. Each costs 0.5 KiB."""
