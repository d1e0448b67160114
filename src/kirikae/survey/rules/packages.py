"""Packages that somebody chose, and who may log in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kirikae.model.bundle import Package
from kirikae.model.finding import Trace
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.counted import counted
from kirikae.survey.known import debian, matches
from kirikae.survey.sections import number
from kirikae.survey.view import View

_SHOWN = 30
_FILES_AT_MOST = 20


def _asked_for(view: View) -> Iterator[Package]:
    """Neither somebody's dependency nor part of every Debian."""
    for package in view.bundle.packages:
        if not package.automatic and not package.standard:
            yield package


def _of_a_host(package: Package) -> bool:
    """Of use on a host only, by the list of ``debian.toml``."""
    return matches(package.name, debian().host_only)


def _traces(view: View, packages: Sequence[Package]) -> Iterator[Trace]:
    """Names and versions, as dpkg has them."""
    for package in packages:
        yield view.trace("dpkg", f"{package.name} {package.version}")


def chosen(view: View) -> Findings:
    """The base image gets what the service needs of them."""
    packages = [
        package
        for package in _asked_for(view)
        if package.section != "libs" and not _of_a_host(package)
    ]
    if packages:
        many = len(packages)
        names = ", ".join(package.name for package in packages[:_SHOWN])
        yield present(
            "PK01",
            where="packages",
            says=f"{counted(many, 'package was', 'packages were')} chosen: {names}",
            evidence=_traces(view, packages),
            count=many,
        )


def for_a_host_only(view: View) -> Findings:
    """They are left out of the image."""
    packages = [package for package in _asked_for(view) if _of_a_host(package)]
    if packages:
        many = len(packages)
        yield present(
            "PK05",
            where="packages",
            says=f"{counted(many, 'package is', 'packages are')} of use on a host only",
            evidence=_traces(view, packages),
            count=many,
        )


def not_as_packaged(view: View) -> Findings:
    """Files that a package brought, and that somebody changed or took away."""
    found = [each for each in view.bundle.changed if each.kind == "packaged"]
    if len(found) > _FILES_AT_MOST:
        yield present(
            "CF03",
            where="packages",
            says=f"{counted(len(found), 'file is', 'files are')} not what packages brought",
            evidence=(view.trace(each.path, each.state) for each in found[:_SHOWN]),
            count=len(found),
        )
        return
    for each in found:
        package = view.bundle.owner(each.path) or "its package"
        what = "is gone" if each.state == "missing" else f"is not what {package} brought"
        yield present(
            "CF03",
            where=each.path,
            says=f"{each.path} {what}",
            evidence=[view.trace(each.path, f"{each.state}; of package {package}")],
        )


def people_log_in(view: View) -> Findings:
    """Nobody logs in to a task; ECS Exec takes its place."""
    keys = number(view.bundle.meta.get("public_key_logins", ""))
    if keys:
        yield present(
            "SE04",
            where="authorized_keys",
            says=f"{counted(keys, 'key', 'keys')} may log in",
            evidence=[view.trace("authorized_keys", counted(keys, "key", "keys"))],
            count=keys,
        )


RULES = (
    chosen,
    for_a_host_only,
    not_as_packaged,
    people_log_in,
)
