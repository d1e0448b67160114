"""Findings and facts of hosts in, files out: images, task and service definitions, sidecars, sizes.
No network, no subprocess."""
