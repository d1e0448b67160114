"""What a tree of logs looks like: which path stands for which time, and what its lines are.

``at`` is a template such as ``logs/%Y/%m/%d/%H/``; what follows its last slash is one of names,
such as ``%Y%m%d%H%M_*.gz``.  A tree by event time holds, below a path, what happened in its time;
one by arrival time holds what arrived then (Firehose user guide, "Custom prefixes").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from kirikae.logs.errors import NoLayout
from kirikae.logs.wrapping import Wrapped
from kirikae.logs.zones import QUARTER_S, Grain, Span, begin_of, span_of, wall_of, zone_named

Writes = Literal["event", "arrival"]
UNPARSED = "_unparsed/"
OURS = "_kirikae/"
"""Below the new tree; readers of Hive's conventions leave out what begins with an underscore."""
_WIDTHS = {
    "Y": 4,
    "m": 2,
    "d": 2,
    "H": 2,
    "M": 2,
}
_LETTERS = "YmdHM"


@dataclass(frozen=True)
class Layout:
    """One tree.

    ``prefix``: template of the folder, with ``/`` at its end.  ``name``: template of names, empty:
    they say nothing.  ``slice_s``: how long the time in a name stands for.  ``has_time``: do lines
    say when they happened?  ``wrapped``: by whom its lines are.  ``errors``: below it lies what the
    writer could not file.
    """

    prefix: str
    zone: str = "UTC"
    grain: Grain = Grain.HOUR
    writes: Writes = "event"
    format: str = "combined"
    name: str = ""
    slice_s: int | None = None
    has_time: bool = True
    key: str = ""
    wrapped: Wrapped = ""
    errors: str = ""
    _labels: dict[int, str] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes what it looks like, and not what was reckoned here."""
        known = [getattr(self, each.name) for each in fields(self) if each.init]
        return type(self), tuple(known)

    @cached_property
    def _path(self) -> re.Pattern[str]:
        return _pattern(self.prefix)

    @cached_property
    def _name(self) -> re.Pattern[str]:
        return _pattern(self.name)

    @property
    def root(self) -> str:
        """The part of the template that no time is in, up to a slash."""
        fixed = self.prefix.partition("%")[0]
        return fixed[: fixed.rfind("/") + 1]

    def span(self, key: str) -> Span | None:
        """What the key's path, or its name, says.  None: it says nothing that can be read."""
        folder, slash, name = key.rpartition("/")
        path = self._path.fullmatch(folder + slash)
        if path is None:
            return None
        begin = _time(path)
        if begin is None:
            return None
        named = self._name.fullmatch(name) if self.name and self.slice_s else None
        whole = self._spanned(begin, self.grain.length)
        finer = None if named is None else _time(named)
        if finer is None or self.slice_s is None:
            return whole
        found = self._spanned(finer, timedelta(seconds=self.slice_s))
        # A name that contradicts its folder says nothing.
        return found if whole.begin <= found.begin and found.end <= whole.end else whole

    def _spanned(
        self,
        begin: datetime,
        length: timedelta,
    ) -> Span:
        return span_of(begin, length, zone_named(self.zone))

    def label(self, epoch: int) -> str:
        """The folder in which a record of this time belongs."""
        quarter = epoch // QUARTER_S
        found = self._labels.get(quarter)
        if found is None:
            wall = wall_of(quarter * QUARTER_S, zone_named(self.zone))
            found = self._labels[quarter] = _filled(self.prefix, begin_of(wall, self.grain))
        return found

    def label_span(self, label: str) -> Span | None:
        """What such a folder stands for; None for one that stands for no time."""
        found = self._path.fullmatch(label)
        begin = None if found is None else _time(found)
        return None if begin is None else self._spanned(begin, self.grain.length)

    def labels(self, span: Span) -> tuple[str, ...]:
        """The folders that a time reaches over, in order; none for an empty one."""
        found: dict[str, None] = {}
        for at in range(span.begin, span.end, QUARTER_S):
            found[self.label(at)] = None
        if not span.empty:
            found[self.label(span.end - 1)] = None
        return tuple(found)


def layout_from(at: str, name: str = "") -> tuple[str, str]:
    """The template of folders and that of names.  Raises NoLayout."""
    prefix, slash, rest = at.rpartition("/")
    if rest and name:
        raise NoLayout(f"{at!r} ends with a template of names and `name` is one as well: give one")
    folder = prefix + slash
    _assert_known(folder + rest + name)
    letters = set(re.findall("%(.)", folder))
    if not {"Y", "m", "d"} <= letters:
        raise NoLayout(f"{at!r} does not name the day; write it such as logs/%Y/%m/%d/%H/")
    return folder, rest or name


def _assert_known(template: str) -> None:
    for letter in re.findall("%(.?)", template):
        if letter not in _WIDTHS:
            raise NoLayout(f"{template!r}: %{letter} is none of %Y %m %d %H %M")


def _pattern(template: str) -> re.Pattern[str]:
    """The same letter twice must say the same: the first is looked at, the others must agree."""
    seen: set[str] = set()
    out = []
    for part in re.split(r"(%[YmdHM]|\*)", template):
        if part == "*":
            out.append("[^/]*")
        elif not re.fullmatch("%[YmdHM]", part):
            out.append(re.escape(part))
        elif part[1] in seen:
            out.append(f"(?P={part[1]})")
        else:
            seen.add(part[1])
            out.append(rf"(?P<{part[1]}>\d{{{_WIDTHS[part[1]]}}})")
    return re.compile("".join(out))


def _time(match: re.Match[str]) -> datetime | None:
    found = match.groupdict()
    if not {"Y", "m", "d"} <= found.keys():
        return None
    parts = [int(found.get(letter) or 0) for letter in _LETTERS]
    try:
        return datetime(*parts)  # type: ignore[arg-type]
    except ValueError:
        return None


def _filled(template: str, when: datetime) -> str:
    return re.sub("%([YmdHM])", lambda part: when.strftime(f"%{part[1]}"), template)
