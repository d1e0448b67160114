"""Which code of a host is live: the release that is run, and neither former nor failed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kirikae.model.bundle import Bundle, Code
from kirikae.survey.brought import keeps_releases
from kirikae.survey.paths import around, below, parent_of, under


def former_releases(bundle: Bundle, run_from: Sequence[str]) -> list[str]:
    """Releases that lie on the host and that nothing leads to.

    ``run_from``: folders in which services work, as they name them.
    """
    led_to = {bundle.resolve(link) for link in bundle.links}
    led_to.update(bundle.resolve(folder) for folder in run_from)
    # Somebody leads to it, or into it.
    ways = {folder for place in led_to for folder in around(place)}
    found = []
    for folder in bundle.folders:
        if keeps_releases(parent_of(folder.path)) and folder.path not in ways:
            found.append(folder.path)
    return found


def live_code(bundle: Bundle, former: Sequence[str]) -> Iterator[Code]:
    """Trees of code, each file once: without former releases, and without trees that are read by
    themselves."""
    roots = [code.root for code in bundle.code]
    whole = [root for root in roots if not holds_releases(bundle, root)]
    for code in bundle.code:
        root = code.root
        part = any(below(root, around) for around in whole)
        if not part and not under(root, former):
            inner = [] if root in whole else roots
            yield _without(code, [*former, *inner])


def holds_releases(bundle: Bundle, root: str) -> bool:
    """A folder around releases is not one of them."""
    inside = bundle.under(root)
    return any(keeps_releases(folder.path) for folder in inside)


def _without(code: Code, apart: Sequence[str]) -> Code:
    """The tree without these parts of it."""
    inside = [folder for folder in apart if below(folder, code.root)]
    if not inside:
        return code
    files = {
        name: mark
        for name, mark in code.files.items()
        if not under(f"{code.root}/{name}".rstrip("/"), inside)
    }
    lines = tuple(line for line in code.lines if not under(line.path, inside))
    return replace(
        code,
        files=files,
        lines=lines,
    )
