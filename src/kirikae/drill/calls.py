"""Database calls of each request, from traces: the same statement again and again is N+1.

Read are OpenTelemetry's traces as the Collector's file exporter writes them: one JSON object a line
(OTLP/JSON, ``resourceSpans``).  Which span is a database's says ``db.system`` or
``db.system.name``; the statement is ``db.query.text`` or ``db.statement`` (semantic conventions for
database calls).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kirikae.drill.errors import RunProblem
from kirikae.model.catalogue import load
from kirikae.model.finding import Confidence, Finding, Trace
from kirikae.model.texts import shortened

AGAIN = 5
"""So often in one request the same statement is a loop over rows, and no choice."""
_OFTEN = 0.1
"""Of a route's requests: fewer are exceptions."""
_FEWEST = 3
_MOST_STATEMENT = 300
_SERVER = (2, "SPAN_KIND_SERVER")
_LITERALS = re.compile(
    r"'(?:[^']|'')*'"
    r"|\$[0-9]+"
    r"|%s"
    r"|(?<![A-Za-z_0-9])[0-9]+(?:\.[0-9]+)?(?![A-Za-z_0-9])"
    r"|(?<=[\s(,=]):\w+"
)
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")


@dataclass(frozen=True, slots=True)
class Span:
    """``parent`` empty: it has none.  ``statement``: of a database call, without its values; None:
    it is none.  ``route``: of a request that a service answers; None: it is none."""

    trace: str
    key: str
    parent: str
    statement: str | None
    route: str | None


@dataclass(slots=True)
class OfRoute:
    """``requests``: one counter of statements for each."""

    requests: list[Counter[str]] = field(default_factory=list)

    def each(self, statement: str) -> list[int]:
        """How often each request called it."""
        return [request[statement] for request in self.requests]

    @property
    def mean(self) -> float:
        """Database calls a request."""
        return sum(request.total() for request in self.requests) / max(1, len(self.requests))


@dataclass(frozen=True, slots=True)
class Calls:
    """``lost``: database calls of no request that is in these traces."""

    routes: Mapping[str, OfRoute]
    lost: int

    @property
    def any(self) -> bool:
        """Does any trace tell of a database call?"""
        return any(route.mean for route in self.routes.values())


def read(paths: Iterable[Path]) -> Iterator[Span]:
    """Raises RunProblem."""
    for path in paths:
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield from _line(line, f"{path}:{number}")
        except (OSError, UnicodeDecodeError) as error:
            raise RunProblem(f"{path}: cannot be read: {error}") from error


def _line(line: str, where: str) -> Iterator[Span]:
    try:
        found = json.loads(line)
        spans = [
            span
            for resource in found["resourceSpans"]
            for scope in resource.get("scopeSpans", [])
            for span in scope.get("spans", [])
        ]
        yield from [_span(each) for each in spans]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunProblem(
            f"{where}: {shortened(line)} is no trace ({error!r}); the OpenTelemetry Collector's "
            "file exporter writes them, one JSON object with `resourceSpans` a line"
        ) from error


def _span(raw: Mapping[str, Any]) -> Span:
    told = {each["key"]: _value(each.get("value", {})) for each in raw.get("attributes", [])}
    return Span(
        trace=str(raw["traceId"]),
        key=str(raw["spanId"]),
        parent=str(raw.get("parentSpanId") or ""),
        statement=_statement(told, str(raw.get("name", ""))),
        route=_route(told, str(raw.get("name", ""))) if raw.get("kind") in _SERVER else None,
    )


def _value(raw: Mapping[str, Any]) -> str:
    return str(next(iter(raw.values()), ""))


def _statement(told: Mapping[str, str], name: str) -> str | None:
    if not (told.get("db.system.name") or told.get("db.system")):
        return None
    text = told.get("db.query.text") or told.get("db.statement") or name
    bare = _LISTS.sub("(?)", _LITERALS.sub("?", " ".join(text.split())))
    return bare[:_MOST_STATEMENT]


def _route(told: Mapping[str, str], name: str) -> str:
    route = told.get("http.route")
    method = told.get("http.request.method") or told.get("http.method") or ""
    return f"{method} {route}".strip() if route else name


def calls_of(spans: Iterable[Span]) -> Calls:
    """Each database call belongs to the nearest request above it."""
    known = {(each.trace, each.key): each for each in spans}
    routes: dict[str, OfRoute] = {}
    requests: dict[tuple[str, str], Counter[str]] = {}
    for key, span in known.items():
        if span.route is not None:
            requests[key] = Counter()
            routes.setdefault(span.route, OfRoute()).requests.append(requests[key])
    lost = 0
    for span in known.values():
        if span.statement is None:
            continue
        owner = _request_above(span, known)
        if owner is None:
            lost += 1
        else:
            requests[owner][span.statement] += 1
    return Calls(routes, lost)


def _request_above(span: Span, known: Mapping[tuple[str, str], Span]) -> tuple[str, str] | None:
    """None: it is not in these traces.  A circle of parents has none."""
    seen = set()
    at: Span | None = span
    while at is not None and at.key not in seen:
        if at.route is not None:
            return at.trace, at.key
        seen.add(at.key)
        at = known.get((at.trace, at.parent))
    return None


def findings(calls: Calls) -> Iterator[Finding]:
    """One for each route and statement; the most calls first."""
    found = [
        (float(np.median([many for many in each if many >= AGAIN])), name, statement, each)
        for name, route in calls.routes.items()
        if len(route.requests) >= _FEWEST
        for statement in {key for request in route.requests for key in request}
        if _is_loop(each := route.each(statement))
    ]
    for median, name, statement, each in sorted(found, key=lambda one: (-one[0], *one[1:3])):
        says = (
            f"{name} calls the database {median:g} times with the same statement (the middle of "
            f"{sum(many >= AGAIN for many in each)} of {len(each)} requests; at most {max(each)})"
        )
        entry = load("kirikae.drill")["DR10"]
        yield entry.found(name, says, [Trace("", name, statement)], Confidence.OBSERVED)


def _is_loop(each: list[int]) -> bool:
    return sum(many >= AGAIN for many in each) >= max(1, _OFTEN * len(each))
