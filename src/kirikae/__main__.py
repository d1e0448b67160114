"""``python -m kirikae`` is the same as ``kirikae``."""

from kirikae.console.main import main

main()
