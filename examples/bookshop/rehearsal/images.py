"""Which images this checkout's rehearsals have made: those, and no others, are removed with them.

Other checkouts on this machine use the same names, so a name alone is nobody's: the ledger says
which image stood behind it when it was made here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEDGER = Path(__file__).resolve().parents[3] / ".kirikae" / "rehearsal-images.json"


def there(*names: str) -> dict[str, str]:
    """Name -> ID of what this machine's engine has by these names; one ending in ``:`` stands for
    all of its tags."""
    wanted = [word for name in names for word in ("--filter", f"reference={name}".rstrip(":"))]
    shown = ["--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    done = subprocess.run(
        ["docker", "images", *wanted, *shown], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in done.stdout.splitlines())
    return {name: image for name, image in rows if not name.endswith(":<none>")}


@contextmanager
def made(*names: str, ledger: Path = LEDGER) -> Iterator[None]:
    """What is new behind these names after this was made here; also if it failed half way."""
    before = there(*names)
    try:
        yield
    finally:
        new = {name: image for name, image in there(*names).items() if before.get(name) != image}
        if new:
            _write(ledger, {**_read(ledger), **new})


def remove_made(ledger: Path = LEDGER) -> list[str]:
    """Names of those that were removed.  What others have made anew by the same name stays, and so
    does what a container is made of: the engine refuses to remove that."""
    own = _read(ledger)
    found = there(*own) if own else {}
    removed = []
    for name, image in reversed(own.items()):
        if found.get(name) != image:
            own = _without(own, name)
            continue
        done = subprocess.run(["docker", "rmi", name], capture_output=True, check=False)
        if done.returncode == 0:
            removed.append(name)
            own = _without(own, name)
    _write(ledger, own)
    return removed


def _without(own: dict[str, str], name: str) -> dict[str, str]:
    return {each: image for each, image in own.items() if each != name}


def _read(ledger: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(ledger.read_text())
    except FileNotFoundError:
        return {}
    return found


def _write(ledger: Path, own: dict[str, str]) -> None:
    if not own:
        ledger.unlink(missing_ok=True)
        return
    ledger.parent.mkdir(exist_ok=True)
    beside = ledger.with_suffix(".new")
    beside.write_text(json.dumps(own, indent=1) + "\n")
    beside.replace(ledger)
