"""Releases: one release ID, put on a fleet, waited for truthfully and written down."""
