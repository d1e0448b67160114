"""The rule of a composite alarm: states of other alarms, joined by AND, OR and NOT.  Pure.

CloudWatch API reference, PutCompositeAlarm.AlarmRule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kirikae.local.alarms.rows import ALARM, MISSING, OK
from kirikae.local.errors import RuleError

MOST = 100
"""Alarms that one rule may name."""
_DEEPEST = 50
"""Ours: of brackets in brackets."""
_WORD = re.compile(
    r"""\s*(?:(?P<mark>[()])
    |(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|(?P<bare>[^"()\s]+))\s*\)
    |(?P<word>AND|OR|NOT|TRUE|FALSE|AT_LEAST)\b)""",
    re.VERBOSE | re.IGNORECASE,
)
StateOf = Callable[[str], str]
"""Name or ARN of an alarm -> its state."""


@dataclass(frozen=True, slots=True)
class Is:
    """Is this alarm in this state?"""

    state: str
    alarm: str

    def holds(self, state_of: StateOf) -> bool:
        """As the alarms are now."""
        return state_of(self.alarm) == self.state


@dataclass(frozen=True, slots=True)
class Fixed:
    """TRUE or FALSE."""

    value: bool

    def holds(self, state_of: StateOf) -> bool:
        """Always the same."""
        return self.value


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    of: Expression

    def holds(self, state_of: StateOf) -> bool:
        """As the alarms are now."""
        return not self.of.holds(state_of)


@dataclass(frozen=True, slots=True)
class Joined:
    """All of them, or any."""

    needs_all: bool
    parts: tuple[Expression, ...]

    def holds(self, state_of: StateOf) -> bool:
        """As the alarms are now."""
        found = (part.holds(state_of) for part in self.parts)
        return all(found) if self.needs_all else any(found)


Expression = Is | Fixed | Not | Joined


def alarms_in(expression: Expression) -> Iterator[str]:
    """Names or ARNs, some more than once."""
    match expression:
        case Is():
            yield expression.alarm
        case Not():
            yield from alarms_in(expression.of)
        case Joined():
            for part in expression.parts:
                yield from alarms_in(part)


def read_rule(text: str) -> Expression:
    """Raises RuleError."""
    reader = _Reader(text)
    found = reader.joined("OR")
    if reader.peek() is not None:
        raise RuleError(f"AlarmRule: {reader.rest()!r} is not expected")
    if len(set(alarms_in(found))) > MOST:
        raise RuleError(f"AlarmRule: more than {MOST} alarms")
    return found


class _Reader:
    """OR binds less than AND, and AND less than NOT."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0
        self._deep = 0

    def rest(self) -> str:
        """What is not read yet, in short."""
        return self._text[self._at :].strip()[:40]

    def peek(self) -> re.Match[str] | None:
        """The next word; None at the end.  Raises RuleError for what is none."""
        if not self.rest():
            return None
        found = _WORD.match(self._text, self._at)
        if found is None:
            raise RuleError(f"AlarmRule: {self.rest()!r} cannot be read")
        return found

    def _takes(self, word: str) -> bool:
        """Step over it, if it is the next one."""
        found = self.peek()
        if found is None or word not in ((found["word"] or "").upper(), found["mark"]):
            return False
        self._at = found.end()
        return True

    def joined(self, word: str) -> Expression:
        """One part, or several with this word between them."""
        parts = [self._part(word)]
        while self._takes(word):
            parts.append(self._part(word))
        return parts[0] if len(parts) == 1 else Joined(word == "AND", tuple(parts))

    def _part(self, word: str) -> Expression:
        return self.joined("AND") if word == "OR" else self._negated()

    def _negated(self) -> Expression:
        is_not = False
        while self._takes("NOT"):
            is_not = not is_not
        found = self._single()
        return Not(found) if is_not else found

    def _single(self) -> Expression:
        if self._takes("("):
            return self._in_brackets()
        found = self.peek()
        if found is None:
            raise RuleError("AlarmRule ends too early")
        word = (found["word"] or "").upper()
        if word == "AT_LEAST":
            raise RuleError("kirikae local does not carry out AT_LEAST in AlarmRule")
        if word not in ("TRUE", "FALSE") and found["state"] is None:
            raise RuleError(f"AlarmRule: {self.rest()!r} is not expected")
        self._at = found.end()
        if found["state"] is None:
            return Fixed(word == "TRUE")
        return Is(_STATES[found["state"].upper()], found["quoted"] or found["bare"])

    def _in_brackets(self) -> Expression:
        self._deep += 1
        if self._deep > _DEEPEST:
            raise RuleError("AlarmRule: too many brackets in brackets")
        found = self.joined("OR")
        if not self._takes(")"):
            raise RuleError("AlarmRule: a bracket is not closed")
        self._deep -= 1
        return found


_STATES = {state: state for state in (ALARM, OK, MISSING)}
