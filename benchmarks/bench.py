"""What the benchmarks share: a kirikae local of their own, and one line per result with the
machine's core count."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Endpoint, web_image


@contextmanager
def local_endpoint() -> Iterator[Endpoint]:
    from kirikae.local import control

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
