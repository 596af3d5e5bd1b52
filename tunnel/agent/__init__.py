"""Our agent: runs inside a cluster, dials out to gateways, and connects their streams to services.

Never imports the gateway's side: registry, link, dialects, app. What it may reach is in `services`, and
nothing is reachable that was not named there.
"""
