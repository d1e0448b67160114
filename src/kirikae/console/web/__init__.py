"""The console in a browser: pages of the same values as ``--json``, and a few acts."""
