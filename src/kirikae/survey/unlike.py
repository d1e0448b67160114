"""What is not alike on hosts of one role, beside their files: time zone, users, services, limits,
environment, runtimes.  What was not looked at on a host says nothing about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kirikae.model.bundle import MASKED
from kirikae.survey.catalogue import Findings, present
from kirikae.survey.view import View

Views = Sequence[View]
_NOT_THERE = "not there"
_DOES_NOT_RUN = "does not run"


class Fact(NamedTuple):
    """What a host says of one thing."""

    code: str
    what: str
    value: str


def majority(by_host: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """What more than half of the hosts have, and the hosts that have something else; without a
    majority None and all hosts."""
    [(value, many)] = Counter(by_host.values()).most_common(1)
    if many * 2 <= len(by_host):
        return None, list(by_host)
    return value, [host for host, each in by_host.items() if each != value]


def told(by_host: Mapping[str, str]) -> str:
    """The difference in words: who is unlike the others, else what each has."""
    value, others = majority(by_host)
    if value is None:
        return ", ".join(f"{host}: {each}" for host, each in by_host.items())
    unlike = ", ".join(f"{host}: {by_host[host]}" for host in others)
    return f"{unlike}; the other {len(by_host) - len(others)}: {value}"


def facts_differ(views: Views) -> Findings:
    """One finding for each thing that is not the same on all hosts that were asked for it."""
    table: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for view in views:
        for fact in _facts(view):
            table[fact.code, fact.what][view.bundle.host] = fact.value
    for (code, what), by_host in table.items():
        for view in views:
            host = view.bundle.host
            silent = None if host in by_host else _silence(view, what)
            if silent is not None:
                by_host[host] = silent
        if len(set(by_host.values())) > 1:
            yield present(
                code,
                where=what,
                says=f"{what} is not the same: {told(by_host)}",
                evidence=[
                    view.trace(what, by_host[view.bundle.host])
                    for view in views
                    if view.bundle.host in by_host
                ],
            )


def _silence(view: View, what: str) -> str | None:
    """What it means that a host says nothing of this; None: it was not asked for it."""
    kind, _, name = what.partition(" ")
    if kind == "user" and view.bundle.users:
        user = view.bundle.users.get(name)
        return _NOT_THERE if user is None else f"uid {user.uid}"
    if kind == "service" and view.bundle.processes:
        return _DOES_NOT_RUN
    if kind in ("variable", "limit"):
        of = name.rpartition(" of ")[2]
        return _NOT_THERE if any(of == service.name for service in view.services) else None
    return None


def _facts(view: View) -> Iterator[Fact]:
    bundle = view.bundle
    if bundle.zone:
        yield Fact(
            "CF23",
            "the time zone",
            bundle.zone,
        )
    if bundle.distribution:
        yield Fact(
            "CF23",
            "the operating system",
            bundle.distribution,
        )
    for uid in sorted(view.uids):
        name = bundle.user_names.get(uid)
        if name is not None:
            yield Fact("CF23", f"user {name}", f"uid {uid}")
    for service in view.services:
        running = bool(service.processes) or service.unit.running
        yield Fact("CF23", f"service {service.name}", "runs" if running else _DOES_NOT_RUN)
        for name in ("LimitNOFILE", "LimitNPROC"):
            said = service.unit.get(name)
            if said:
                yield Fact("CF23", f"limit {name} of {service.name}", said)
    yield from _variables(view)


def _variables(view: View) -> Iterator[Fact]:
    """What units declare; secrets are compared by their fingerprints elsewhere (ST11)."""
    for service in view.applications:
        for name, variable in view.environment(service).items():
            value = "a secret" if MASKED in variable.value else variable.value
            yield Fact("CF10", f"variable {name} of {service.name}", value)
