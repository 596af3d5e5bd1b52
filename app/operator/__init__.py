"""What the admin token opens, and the reload of the configuration."""
