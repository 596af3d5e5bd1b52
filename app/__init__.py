"""Everything that knows clients: the doors, routes, policy, errors and pages of the gateway."""
