"""Which lines people are told of, and how often.  Pure: what is heard goes in, messages come out.

The first line of its kind is told at once, with two lines of context; what follows of the same kind
is counted, and told once a window.  Two lines are of one kind if they differ in numbers only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirikae.logs.patterns import Rule
from kirikae.model.shown import one_line

LONGEST_LINE = 2000
_KIND = 200
_SECRET = (
    # key=value and "key": "value", whatever the key is that names a secret
    (
        re.compile(
            r"(?i)([\"']?\b[\w.-]*(?:password|passwd|pwd|secret|token|api_?key|session_?id)[\w.-]*"
            r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)\b((?:authorization|cookie)[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), r"\1 ***"),
    (re.compile(r"://[^\s/@:]+:[^\s/@]+@"), "://***@"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "***"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "***@***"),
    (re.compile(r"\b(?:\d[ -]?){13,19}\b"), "***"),
)
"""What does not belong into a chat: secrets, addresses, numbers of cards (finding LG07)."""
_VARIABLE = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F-]{8,}\b|\d+")


@dataclass(frozen=True, slots=True)
class Heard:
    """One line.  ``at``: Unix seconds.  ``source``: the stream or the object that it stood in."""

    id: str
    at: float
    source: str
    line: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """``count``: lines that it speaks for.  ``first``: told at once, else at a window's end.
    ``kind``: messages of one kind belong in one thread; empty: the rest of many kinds."""

    kind: str
    first: bool
    count: int
    heard: Heard | None = None

    def to_plain(self) -> dict[str, Any]:
        heard = self.heard
        return {
            "kind": self.kind,
            "first": self.first,
            "count": self.count,
            "source": None if heard is None else heard.source,
            "at": None if heard is None else heard.at,
            "line": None if heard is None else redacted(heard.line),
            "context": [] if heard is None else [redacted(line) for line in heard.before],
        }


@dataclass(slots=True)
class _Open:
    """A kind of which one was told."""

    until: float
    count: int = 0
    last: Heard | None = None


def redacted(line: str) -> str:
    """Fit for a chat: no secrets, no terminal's orders, not too long."""
    text = one_line(line[: 4 * LONGEST_LINE])
    for pattern, instead in _SECRET:
        text = pattern.sub(instead, text)
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} ..."


def kind_of(line: str) -> str:
    """Without what differs from line to line."""
    return _VARIABLE.sub("#", redacted(line))[:_KIND]


@dataclass
class Windows:
    """What was told, and what is still counted."""

    rule: Rule
    _open: dict[str, _Open] = field(default_factory=dict)
    _others: int = 0
    _others_until: float = 0.0

    def heard(self, heard: Heard, now: float) -> Message | None:
        """A line that ``rule`` hits.  None: it is counted."""
        kind = kind_of(heard.line)
        known = self._open.get(kind)
        if known is not None:
            known.count += 1
            known.last = heard
            return None
        if len(self._open) >= self.rule.at_most:
            if not self._others:
                self._others_until = now + self.rule.window_s
            self._others += 1
            return None
        self._open[kind] = _Open(now + self.rule.window_s)
        return Message(kind, True, 1, heard)

    def ended(self, now: float) -> Iterator[Message]:
        """Of the windows that are over.  A kind that was not heard in one is new again."""
        for kind, known in list(self._open.items()):
            if known.until > now:
                continue
            if not known.count:
                del self._open[kind]
                continue
            yield Message(kind, False, known.count, known.last)
            self._open[kind] = _Open(now + self.rule.window_s)
        if self._others and self._others_until <= now:
            yield Message("", False, self._others)
            self._others = 0

    def to_plain(self) -> dict[str, Any]:
        """What must outlive this process."""
        return {
            "open": {kind: [each.until, each.count] for kind, each in self._open.items()},
            "others": self._others,
            "others_until": self._others_until,
        }

    @classmethod
    def from_plain(cls, rule: Rule, raw: Mapping[str, Any]) -> Windows:
        found = cls(rule)
        for kind, (until, count) in raw.get("open", {}).items():
            found._open[kind] = _Open(until, count)
        found._others = raw.get("others", 0)
        found._others_until = raw.get("others_until", 0.0)
        return found


@dataclass
class Seen:
    """Which lines were heard already: what is asked for overlaps, since lines come late."""

    overlap_s: float
    since: float
    ids: dict[str, float] = field(default_factory=dict)

    @property
    def begin(self) -> float:
        """From when on is to be asked."""
        return self.since - self.overlap_s

    def fresh(self, all_heard: Iterable[Heard]) -> Iterator[Heard]:
        for heard in all_heard:
            if heard.id not in self.ids:
                self.ids[heard.id] = heard.at
                yield heard

    def asked(self, until: float) -> None:
        """Everything until then was asked for; what is older than the overlap is asked no more."""
        self.since = max(self.since, until)
        # A second more: what is asked for is rounded to milliseconds.
        self.ids = {key: at for key, at in self.ids.items() if at >= self.begin - 1}
