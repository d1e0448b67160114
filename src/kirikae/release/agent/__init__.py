"""Hosts that fetch their releases themselves: what they shall run, what they report, and the agent
on them."""
