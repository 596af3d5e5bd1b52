"""Our agent: runs inside a cluster, dials out to gateways, and carries their exchanges to services.

Imports nothing of the gateway's side. `service/services.py` decides what may be reached, and nothing is reachable that
the operator did not name.
"""
