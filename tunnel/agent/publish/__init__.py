"""The command `http`: publishes ports of this machine, or of others that it reaches, through gateways."""
