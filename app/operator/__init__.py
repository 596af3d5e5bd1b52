"""The operator's endpoints, which need the admin token, and the reload of the configuration."""
