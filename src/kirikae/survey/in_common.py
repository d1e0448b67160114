"""What hosts of one role should have in common and do not, or have and should not: names of pages'
files, and keys of machines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from kirikae.survey.catalogue import Findings, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import below
from kirikae.survey.view import View

Views = Sequence[View]
_ASSET = re.compile(
    r"[.-](?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,64}(\.chunk|\.min|\.bundle)?"
    r"\.(css|js|mjs|map|png|jpe?g|svg|gif|webp|woff2?|ttf|ico)$"
)
"""A name made from the content: another content, another name."""
_SHOWN = 5


def assets_differ(views: Views) -> Findings:
    """A page that one host sends names files that the other does not have."""
    for root, by_host in sorted(_assets(views).items()):
        every = set().union(*by_host.values())
        common = set.intersection(*by_host.values())
        lacking = sorted(every - common)
        if len(by_host) > 1 and lacking:
            yield present(
                "AS03",
                where=root,
                says=(
                    f"{counted(len(lacking), 'file', 'files')} of pages under {root} not all hosts "
                    "have"
                ),
                evidence=[
                    view.trace(f"{root}/{name}", "not there")
                    for view in views
                    for name in lacking[:_SHOWN]
                    if name not in by_host.get(view.bundle.host, every)
                ],
                count=len(lacking),
            )


def _assets(views: Views) -> dict[str, dict[str, set[str]]]:
    """Tree -> host -> names."""
    trees: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for view in views:
        for code in view.code:
            assets = {name for name in code.files if _ASSET.search(name)}
            if assets:
                trees[code.root][view.bundle.host] = assets
    return trees


def keys_in_common(views: Views) -> Findings:
    """What a machine is known by came with the image from which several were made."""
    hosts: dict[tuple[str, str], list[View]] = defaultdict(list)
    for view in views:
        for key in view.bundle.keys:
            if below(key.path, "/etc/ssh") or key.path == "/etc/machine-id":
                hosts[key.path, key.fingerprint].append(view)
    for (path, fingerprint), found in sorted(hosts.items(), key=lambda each: each[0]):
        if len(found) > 1:
            names = ", ".join(view.bundle.host for view in found)
            yield present(
                "SE05",
                where=path,
                says=f"{names} have the same {path}",
                evidence=[view.trace(path, f"fingerprint {fingerprint}") for view in found],
            )
