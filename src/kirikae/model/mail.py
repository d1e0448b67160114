"""The mail relay beside a service or a job: where Postfix writes."""

from __future__ import annotations

RELAY_WRITES = ("/etc/postfix", "/var/lib/postfix", "/var/spool/postfix")
"""Configuration, caches, queue: in memory in a task; ``relay.sh`` fills what is empty."""
