"""What the benchmarks share: a kirikae local of their own, and one line per result with the
machine's core count."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Endpoint, web_image


@contextmanager
def local_endpoint() -> Iterator[Endpoint]:
    """Whoever stops a benchmark by SIGTERM leaves nothing running either."""
    from kirikae.local import control

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{sys.argv[0]} was stopped"))
    web_image()
    with tempfile.TemporaryDirectory(prefix="kb") as folder:
        directory = Path(folder) / "l"
        try:
            yield Endpoint(
                directory, control.up(directory, None, "ap-northeast-1", figures_delay_s=0)
            )
        finally:
            control.down(directory)


def result(name: str, text: str) -> None:
    print(f"{name}: {text} ({os.cpu_count()} cores)")
