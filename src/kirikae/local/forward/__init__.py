"""The Forward protocol, by which log drivers send lines: its receiver, and FireLens around it."""
