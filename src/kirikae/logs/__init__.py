"""Logs move between trees of any zone and layout, with a proof that no line is lost or doubled."""
