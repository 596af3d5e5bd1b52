"""The operator's API below `/-/`: what is asked, what is answered, and the table that door and OpenAPI read."""
