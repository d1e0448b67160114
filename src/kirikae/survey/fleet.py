"""Rules on several hosts: what differs between hosts of one fleet, and what one host alone does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from kirikae.model.bundle import Code, Text
from kirikae.model.finding import Finding, Trace
from kirikae.survey.brought import is_code, is_settings
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.counted import counted
from kirikae.survey.in_common import assets_differ, keys_in_common
from kirikae.survey.paths import parent_of, under
from kirikae.survey.roots import kind_of, written
from kirikae.survey.unlike import facts_differ, majority
from kirikae.survey.view import Declared, View

_FILES_SHOWN = 5
_PACKAGES_SHOWN = 8
_ALIKE = 2
_NOT_RELEASED = ("/etc", "/usr")
"""Where code of packages and configuration lies."""
Value = TypeVar("Value")
Views = Sequence[View]
Table = Mapping[str, Mapping[str, Value]]
"""Name -> host -> what it is there; a host that does not have it is left out."""


def drift(views: Views) -> list[Finding]:
    """What differs between hosts of one fleet."""
    if len(views) < 2:
        return []
    return [finding for rule in _RULES for finding in rule(views)]


def _table(views: Views, rows: Callable[[View], Iterable[tuple[str, Value]]]) -> Table[Value]:
    """Every host's rows by name.  Hosts without a name are left out, which is a difference too."""
    found: dict[str, dict[str, Value]] = defaultdict(dict)
    for view in views:
        host = view.bundle.host
        for name, value in rows(view):
            found[name][host] = value
    return found


def _differ(values: Iterable[Hashable]) -> bool:
    """Is there more than one of them?"""
    return len(set(values)) > 1


# --- files


def files_differ(views: Views) -> Findings:
    """A file that somebody wrote on one host at least, and that is another one elsewhere or not
    there.

    Where it was not looked at it is not missing.
    """
    own = {text.path for view in views for text in view.own_texts}
    for path in sorted(own):
        by_host = _marks(views, path)
        if _differ(by_host.values()):
            looked = [view for view in views if view.bundle.host in by_host]
            between = f"{_between(by_host)}{_first_differences(looked, path)}"
            yield present(
                "CF05",
                where=path,
                says=f"{path} differs {between}",
                evidence=(view.trace(path, _told(by_host[view.bundle.host])) for view in looked),
            )


def _marks(views: Views, path: str) -> dict[str, str]:
    """Host -> fingerprint, of those that were looked at."""
    by_host = {}
    for view in views:
        mark = _mark(view, path)
        if mark is not None:
            by_host[view.bundle.host] = mark
    return by_host


def _between(by_host: Mapping[str, str]) -> str:
    """Who is unlike the others, where most of several are alike."""
    value, others = majority(by_host)
    alike = len(by_host) - len(others)
    if value is None or alike < _ALIKE:
        return f"between {', '.join(by_host)}"
    return f"on {', '.join(others)} from the other {alike}"


def _mark(view: View, path: str) -> str | None:
    """The fingerprint of a file on a host; empty: it is not there; None: nobody has looked."""
    text = view.bundle.text(path)
    if text is not None:
        return text.fingerprint
    looked = bool(view.bundle.folders) and not any(
        missing.where == path for missing in view.bundle.missing
    )
    there = any(file.path == path for file in view.bundle.files)
    return "" if looked and not there else None


def _told(mark: str) -> str:
    return f"fingerprint {mark}" if mark else "not there"


def _first_differences(views: Views, path: str) -> str:
    """For each host the first line that not all have."""
    lines = {}
    for view in views:
        text = view.bundle.text(path)
        lines[view.bundle.host] = _lines_of(text)
    common = set.intersection(*lines.values())
    shown = []
    for host, every in lines.items():
        own = every - common
        if own:
            first = min(own).strip()
            shown.append(f"{host}: {first}")
    return f" ({'; '.join(shown)})" if shown else ""


def _lines_of(text: Text | None) -> set[str]:
    """None of a file that is not there."""
    return set() if text is None else set(text.lines)


# --- secrets


def secrets_differ(views: Views) -> Findings:
    """Cookies or logins of one side would not be known on the other."""
    for name, by_host in _table(views, _secrets).items():
        secrets = by_host.values()
        if _differ(secret.value for secret in secrets):
            hosts = ", ".join(by_host)
            yield present(
                "ST11",
                where=name,
                says=f"{name} has another value on each of {hosts}",
                evidence=(secret.trace for secret in secrets),
            )


def _secrets(view: View) -> Iterator[tuple[str, Declared]]:
    """By name.

    Values are fingerprints by the project's key: equal ones are the same secret, and nobody can
    read them.
    """
    for service in view.applications:
        for name, variable in view.environment(service).items():
            if variable.secret:
                yield name, variable


# --- code


def code_differs(views: Views) -> Findings:
    """Trees that all hosts have; what a service writes in the middle of them is state."""
    places = [path for view in views for path in written(view)]
    trees = _table(views, _released)
    for root in sorted(trees):
        by_host = trees[root]
        if len(by_host) == len(views) and _differ(tree.fingerprint for tree in by_host.values()):
            yield from _tree_differs(
                views,
                root,
                by_host,
                places,
            )


def _tree_differs(
    views: Views,
    root: str,
    by_host: Mapping[str, Code],
    places: Sequence[str],
) -> Findings:
    """Code that somebody changed, told from data that some service wrote."""
    every = list(by_host.values())
    code: list[str] = []
    data: list[str] = []
    for name in _differing_files(every):
        if _of_no_account(name) or _is_written(f"{root}/{name}", places):
            continue
        brought = is_code(name) or is_settings(name)
        (code if brought else data).append(name)
    if code or not all(tree.files for tree in every):
        yield _hot_fix(
            views,
            root,
            code,
            by_host,
        )
    yield from _data_differs(
        views,
        root,
        data,
        by_host,
    )


def _hot_fix(
    views: Views,
    root: str,
    names: Sequence[str],
    by_host: Mapping[str, Code],
) -> Finding:
    """Somebody changed code on a host."""
    shown = ", ".join(names[:_FILES_SHOWN])
    return present(
        "ST18",
        where=root,
        says=f"the code under {root} differs: {shown or 'see the hosts'}",
        evidence=(view.trace(root, by_host[view.bundle.host].fingerprint) for view in views),
    )


def _data_differs(
    views: Views,
    root: str,
    names: Sequence[str],
    by_host: Mapping[str, Code],
) -> Findings:
    """Files that are no code and not the same everywhere: some service wrote them."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = f"{root}/{name}"
        folders[path if parent_of(path) == root else parent_of(path)].append(name)
    for folder, inside in folders.items():
        yield present(
            "ST04" if kind_of(folder.removeprefix(root)) == "upload" else "ST01",
            where=folder,
            says=f"{folder} lies between code, is none, and differs between hosts",
            evidence=(
                view.trace(f"{root}/{name}", by_host[view.bundle.host].files.get(name, "not there"))
                for name in inside[:_FILES_SHOWN]
                for view in views
            ),
        )


def _is_written(path: str, written: Iterable[str]) -> bool:
    """It lies in what a service writes, or is a folder around some of it, of which only the whole
    was compared."""
    for folder in written:
        if under(path.rstrip("/"), [folder]) or (path.endswith("/") and folder.startswith(path)):
            return True
    return False


def _of_no_account(name: str) -> bool:
    """Logs and what a runtime compiles."""
    return name.endswith((".log", ".pyc", ".pid")) or "__pycache__" in name


def _released(view: View) -> Iterator[tuple[str, Code]]:
    """Live code that was deployed, without what packages bring."""
    for code in view.code:
        if not code.root.startswith(_NOT_RELEASED):
            yield code.root, code


def _differing_files(trees: Sequence[Code]) -> list[str]:
    """Names of files that are not the same in all trees, or not in all of them."""
    names: set[str] = set()
    for tree in trees:
        names.update(tree.files)
    differing = []
    for name in sorted(names):
        marks = (tree.files.get(name) for tree in trees)
        if _differ(marks):
            differing.append(name)
    return differing


# --- packages


def packages_differ(views: Views) -> Findings:
    """Another version, or a package that not all hosts have; one finding for all of them."""
    looked = [view for view in views if view.bundle.packages]
    versions = _table(looked, _versions)
    names = sorted(
        name
        for name, by_host in versions.items()
        if len(by_host) < len(looked) or _differ(by_host.values())
    )
    if names:
        shown = names[:_PACKAGES_SHOWN]
        yield present(
            "CF22",
            where="packages",
            says=f"{counted(len(names), 'package differs', 'packages differ')}: {', '.join(shown)}",
            evidence=_of_packages(
                looked,
                shown,
                versions,
            ),
            count=len(names),
        )


def _versions(view: View) -> Iterator[tuple[str, str]]:
    """Of every package that is installed."""
    for package in view.bundle.packages:
        yield package.name, package.version


def _of_packages(
    views: Views,
    names: Sequence[str],
    versions: Table[str],
) -> Iterator[Trace]:
    """Each host's version of each of these packages."""
    for view in views:
        for name in names:
            version = versions[name].get(view.bundle.host, "missing")
            yield view.trace("dpkg", f"{name} {version}")


_RULES: tuple[Callable[[Views], Findings], ...] = (
    files_differ,
    secrets_differ,
    code_differs,
    packages_differ,
    facts_differ,
    assets_differ,
    keys_in_common,
)


# --- what one host alone does


def single_points(views: Views) -> list[Finding]:
    """Jobs that one host alone runs: when it fails, they do not run."""
    alone = list(_jobs_on_one_host(views))
    if not alone:
        return []
    hosts = ", ".join(sorted({trace.host for trace in alone}))
    finding = present(
        "JB04",
        where=hosts,
        says=f"{counted(len(alone), 'job runs', 'jobs run')} on {hosts} alone",
        evidence=alone,
        count=len(alone),
    )
    return [finding]


def _jobs_on_one_host(views: Views) -> Iterator[Trace]:
    """Two equal lines are two jobs, and another host's equal line runs both there."""
    traces: dict[str, list[Trace]] = defaultdict(list)
    for view in views:
        for job in view.schedules.jobs:
            traces[job.says].append(view.quote(job.line))
    for found in traces.values():
        if not _differ(trace.host for trace in found):
            yield from found
