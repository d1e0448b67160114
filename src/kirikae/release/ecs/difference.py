"""What a file would change of what runs: each difference with its place and its reason, and the
text that ecspresso's users know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.said import Said, said
from kirikae.release.ecs.canonical import Form, Note, Why
from kirikae.release.ecs.gojson import written
from kirikae.release.ecs.linediff import unified

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place; ``local`` is the file's value, ``remote`` that of what runs (None: none)."""

    place: str
    why: Why
    remote: Any = None
    local: Any = None

    @property
    def says(self) -> Said:
        remote = _short(self.remote)
        local = _short(self.local)
        values = {Why.ADDED: local, Why.REMOVED: remote}.get(self.why, f"{remote} -> {local}")
        return said("release.diff.differs", place=self.place, why=self.why.says, values=values)

    def to_plain(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "why": str(self.why),
            "remote": self.remote,
            "local": self.local,
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """``text``: a unified diff, empty where nothing would change.  ``hidden``: places that are
    written differently and mean the same, with the reason."""

    target: str
    text: str
    differences: tuple[Difference, ...]
    hidden: tuple[Note, ...]

    def to_plain(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "diff": self.text,
            "differences": [each.to_plain() for each in self.differences],
            "hidden": [{"place": each.place, "why": str(each.why)} for each in self.hidden],
        }


def compared(
    target: str,
    remote: Form | None,
    local: Form,
    remote_name: str,
    local_name: str,
) -> Compared:
    """``remote`` None: there is none yet, and everything is new."""
    there = {} if remote is None else remote.plain
    left = written(there)
    right = written(local.plain)
    text = unified(
        left,
        right,
        remote_name,
        local_name,
    )
    noted = set() if remote is None else remote.notes ^ local.notes
    found = tuple(
        _differences(
            there,
            local,
            frozenset() if remote is None else remote.notes,
        )
    )
    places = {each.place for each in found}
    hidden = sorted(note for note in noted if note.place not in places)
    return Compared(
        target,
        text,
        found,
        tuple(hidden),
    )


def _differences(there: Mapping[str, Any], local: Form, noted: Any) -> Iterator[Difference]:
    """A value that one side leaves to ECS is told as the default that it is."""
    filled = {note.place for note in (*noted, *local.notes) if note.why is Why.DEFAULT}
    for place, remote, here in _walk(
        there,
        local.plain,
        "",
    ):
        if remote is _ABSENT:
            yield Difference(
                place,
                Why.ADDED,
                None,
                here,
            )
        elif here is _ABSENT:
            yield Difference(
                place,
                Why.REMOVED,
                remote,
            )
        else:
            why = Why.DEFAULT if place in filled else Why.CHANGED
            yield Difference(
                place,
                why,
                remote,
                here,
            )


def _walk(remote: Any, local: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    """Every place at which two values are not the same."""
    if remote == local and type(remote) is type(local):
        return
    if isinstance(remote, dict) and isinstance(local, dict):
        for key in sorted({*remote, *local}):
            place = f"{at}.{key}" if at else key
            yield from _walk(
                remote.get(key, _ABSENT),
                local.get(key, _ABSENT),
                place,
            )
    elif isinstance(remote, list) and isinstance(local, list):
        yield from _in_lists(
            remote,
            local,
            at,
        )
    elif remote != local or type(remote) is not type(local):
        yield at, remote, local


def _in_lists(remote: list[Any], local: list[Any], at: str) -> Iterator[tuple[str, Any, Any]]:
    """By name where each has one, else by place."""
    key = _name_key(remote + local)
    if key is not None:
        left = {each[key]: each for each in remote}
        right = {each[key]: each for each in local}
        for name in sorted({*left, *right}):
            place = f"{at}[{name}]"
            yield from _walk(
                left.get(name, _ABSENT),
                right.get(name, _ABSENT),
                place,
            )
        return
    for number in range(max(len(remote), len(local))):
        one = remote[number] if number < len(remote) else _ABSENT
        other = local[number] if number < len(local) else _ABSENT
        yield from _walk(
            one,
            other,
            f"{at}[{number}]",
        )


def _name_key(items: list[Any]) -> str | None:
    """``name`` or ``key``, where every object has another one."""
    for key in ("name", "key"):
        names = [each.get(key) for each in items if isinstance(each, dict)]
        if len(names) == len(items) and all(isinstance(name, str) for name in names):
            return key
    return None


def _short(value: Any) -> str:
    text = json.dumps(
        value,
        ensure_ascii=False,
        sort_keys=True,
    )
    return text if len(text) <= 80 else f"{text[:80]}..."
