"""CloudWatch Logs where moto keeps the lines: filter patterns, and what filters do with each line
that comes."""
