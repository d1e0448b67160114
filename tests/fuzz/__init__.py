"""Input that nobody meant: seeded, on what reads files, hosts and words."""
