"""Rules on several hosts: what differs between hosts of one fleet, and what one host alone does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kirikae.model.bundle import Code, Text
from kirikae.model.finding import Finding, Trace
from kirikae.survey.catalogue import present
from kirikae.survey.rules.jobs import crontabs
from kirikae.survey.view import View

_FILES_SHOWN = 5
_PACKAGES_SHOWN = 8
_NOT_RELEASED = ("/etc", "/usr")
"""Where code of packages and configuration lies."""


def drift(views: Sequence[View]) -> list[Finding]:
    """What differs between hosts of one fleet."""
    if len(views) < 2:
        return []
    return [finding for rule in _RULES for finding in rule(views)]


def _hosts(views: Sequence[View]) -> list[str]:
    return [view.bundle.host for view in views]


# --- files


def files_differ(views: Sequence[View]) -> Iterator[Finding]:
    """A file that somebody wrote, and that is another one elsewhere or not there."""
    marks: dict[str, dict[str, str]] = defaultdict(dict)
    for view in views:
        for text in view.own_texts:
            marks[text.path][view.bundle.host] = text.fingerprint
    for path, by_host in sorted(marks.items()):
        if len(by_host) < len(views) or len(set(by_host.values())) > 1:
            hosts = ", ".join(_hosts(views))
            says = f"{path} differs between {hosts}{_first_differences(views, path)}"
            yield present("CF05", path, says, *_fingerprints(views, path, by_host))


def _fingerprints(views: Sequence[View], path: str, by_host: dict[str, str]) -> Iterator[Trace]:
    for view in views:
        mark = by_host.get(view.bundle.host)
        yield view.trace(path, "not there" if mark is None else f"fingerprint {mark}")


def _first_differences(views: Sequence[View], path: str) -> str:
    """For each host the first line that not all have."""
    lines = [_lines_of(view.bundle.text(path)) for view in views]
    common = set.intersection(*lines)
    shown = [
        f"{host}: {min(own - common).strip()}"
        for host, own in zip(_hosts(views), lines, strict=True)
        if own - common
    ]
    return f" ({'; '.join(shown)})" if shown else ""


def _lines_of(text: Text | None) -> set[str]:
    return set() if text is None else set(text.lines)


# --- secrets


class _Secret(NamedTuple):
    fingerprint: str
    trace: Trace


def secrets_differ(views: Sequence[View]) -> Iterator[Finding]:
    """Cookies or logins of one side would not be known on the other."""
    values: dict[str, dict[str, _Secret]] = defaultdict(dict)
    for view in views:
        for service in view.applications:
            for name, variable in view.environment(service).items():
                if variable.secret:
                    values[name][view.bundle.host] = _Secret(variable.value, variable.trace)
    for name, by_host in values.items():
        if len({secret.fingerprint for secret in by_host.values()}) > 1:
            says = f"{name} has another value on each of {', '.join(by_host)}"
            yield present("ST11", name, says, *(secret.trace for secret in by_host.values()))


# --- code


def code_differs(views: Sequence[View]) -> Iterator[Finding]:
    """Trees that all hosts have."""
    by_view = [_released(view) for view in views]
    everywhere = set.intersection(*(set(trees) for trees in by_view))
    for root in sorted(everywhere):
        trees = [found[root] for found in by_view]
        if len({tree.fingerprint for tree in trees}) > 1:
            names = ", ".join(_differing_files(trees)[:_FILES_SHOWN]) or "see the hosts"
            says = f"the code under {root} differs: {names}"
            traces = (
                view.trace(root, tree.fingerprint) for view, tree in zip(views, trees, strict=True)
            )
            yield present("ST18", root, says, *traces)


def _released(view: View) -> dict[str, Code]:
    return {code.root: code for code in view.bundle.code if not code.root.startswith(_NOT_RELEASED)}


def _differing_files(trees: Sequence[Code]) -> list[str]:
    names = {name for tree in trees for name in tree.files}
    return sorted(name for name in names if len({tree.files.get(name) for tree in trees}) > 1)


# --- packages


def packages_differ(views: Sequence[View]) -> Iterator[Finding]:
    by_view = [{each.name: each.version for each in view.bundle.packages} for view in views]
    every = {name for versions in by_view for name in versions}
    names = sorted(name for name in every if len({versions.get(name) for versions in by_view}) > 1)
    if not names:
        return
    shown = names[:_PACKAGES_SHOWN]
    traces = (
        view.trace("dpkg", f"{name} {versions.get(name, 'missing')}")
        for view, versions in zip(views, by_view, strict=True)
        for name in shown
    )
    says = f"{len(names)} packages differ: {', '.join(shown)}"
    yield present("CF22", "packages", says, *traces, count=len(names))


_RULES: tuple[Callable[[Sequence[View]], Iterator[Finding]], ...] = (
    files_differ,
    secrets_differ,
    code_differs,
    packages_differ,
)


# --- what one host alone does


def single_points(views: Sequence[View]) -> list[Finding]:
    """Jobs that one host alone runs: when it fails, they do not run."""
    traces: dict[str, list[Trace]] = defaultdict(list)
    for view in views:
        for crontab in crontabs(view):
            for line in crontab.jobs:
                traces[line.text.strip()].append(view.quote(line))
    alone = [
        trace
        for found in traces.values()
        if len({trace.host for trace in found}) == 1
        for trace in found
    ]
    if not alone:
        return []
    hosts = ", ".join(sorted({trace.host for trace in alone}))
    says = f"{len(alone)} jobs run on {hosts} alone"
    return [present("JB04", hosts, says, *alone, count=len(alone))]
