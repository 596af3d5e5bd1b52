"""What the operator sees of an exchange: its record, the logs, the metrics."""
