"""What is written down of an exchange: its record, the logs, the metrics."""
