"""Random crontabs, the system's and users': legal ones, odd ones that cron takes, and broken ones.

Above each entry stands a variable ``AT``, which names the entry in the environment of its job: so
two equal lines are told apart, and the place of a variable is tried with each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from kirikae.model.crontab.fields import SPANS, Span

_NICKNAMES = (
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
    "@reboot",
)
_TAILS = (".5", "#2", "-3", "*", "~30", "/2", ";", "%", "-9,4", "*,7", "]")
_BROKEN = (
    "",
    ",",
    "5,",
    ",5",
    "5,,6",
    "*,",
    "5/15",
    "0/5",
    "*/0",
    "*/",
    "*/-5",
    "1a",
    "*/5a",
    "5-a",
    "+5",
    "-5",
    "5-",
    "1--3",
    "?",
    "L",
    "H",
    "~",
    "61",
    "5-70",
    "70-5",
    "monday",
    "january",
    "su",
    "99999999999999999999",
)
_COMMANDS = (
    "job",
    "job with  blanks ",
    "date +%d",
    "date +\\%d",
    "mail %first%second",
    "a \\\\% b",
    "%",
    "%%",
    "x%y\\%z%",
    "tail\\",
    "in\\%\\%side%std\\%in\\",
    "echo '%'",
    "job # no comment",
    "jøb 仕事",
    "ø" * 499,
    "-n job",
    "7 job",
    "",
)
_BROKEN_COMMANDS = ("* job", "*", "z" * 999, "ø" * 500)
_VARIABLES = (
    "A=1",
    "B = two words  ",
    '"C"="  quoted  "',
    "'D'='single'",
    "E=$A",
    "F=1 # no comment",
    'G=a"b"',
    "1FOO=x",
    "F-O=x",
    "=x",
    "MAILTO=root",
    'MAILTO=""',
    "SHELL=/bin/other",
    "HOME=/nowhere",
    "USER=somebody",
    "LOGNAME=somebody",
    "TZ=Asia/Tokyo",
    "CRON_TZ=Asia/Tokyo",
    "RANDOM_DELAY=30",
    "LONG=" + "v" * 1000,
    "WIDE=" + "ø" * 600,
    " H=leading",
    "A=2",
)
_BROKEN_VARIABLES = (
    "MAILTO=",
    "FOO=",
    'FOO="a" b',
    'FOO="open',
    'FOO="a\\"b"',
    "export A=b",
    "FOO",
    "A B=c",
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How often this author does something odd, or something that cron refuses, in a thousand."""

    odd: int
    broken: int


LEGAL = Habits(0, 0)
ODD = Habits(250, 0)
BROKEN = Habits(150, 40)


class Author:
    """Writes crontabs; the same ones for the same seed.  ``system``: with a column of users."""

    def __init__(self, seed: str, habits: Habits, system: bool) -> None:
        self._random = Random(seed)
        self._habits = habits
        self._system = system

    def file(self, name: str) -> str:
        """A file with one to eight entries."""
        lines: list[str] = []
        for number in range(self._random.randint(1, 8)):
            lines += self._between()
            lines.append(f"AT={name}.{number}")
            lines.append(self._entry())
        end = "" if self._broken() else "\n"
        return "\n".join(lines) + end

    def _odd(self) -> bool:
        return self._random.randrange(1000) < self._habits.odd

    def _broken(self) -> bool:
        return self._random.randrange(1000) < self._habits.broken

    def _between(self) -> list[str]:
        found = self._random.choice((0, 0, 1, 2))
        lines = [self._random.choice(("", "# a comment", "  # another", "\t", *_VARIABLES))]
        if self._broken():
            return [self._random.choice(_BROKEN_VARIABLES)]
        return lines if found == 1 else []

    def _entry(self) -> str:
        blank = self._random.choice((" ", " ", "\t", "  "))
        user = "nobody-of-this-name" if self._broken() else "root"
        column = f"{user}{blank}" if self._system else ""
        line = f"{self._times(blank)}{blank}{column}{self._command()}"
        if self._odd():
            line = self._random.choice(("  ", "\t", "")) + line
        return line + "\r" if self._odd() and self._random.random() < 0.2 else line

    def _command(self) -> str:
        if self._broken():
            return self._random.choice(_BROKEN_COMMANDS)
        return self._random.choice(_COMMANDS) if self._odd() else "job"

    def _times(self, blank: str) -> str:
        if self._random.random() < 0.08:
            return self._random.choice(_NICKNAMES)
        if self._broken():
            return self._random.choice(("@DAILY", "@every", "* * * *", "@ daily", "* *"))
        return blank.join(self._field(span) for span in SPANS)

    def _field(self, span: Span) -> str:
        if self._broken():
            return self._random.choice(_BROKEN)
        often = {"minute": 0.1, "hour": 0.35, "day": 0.5, "month": 0.75, "weekday": 0.5}
        if self._random.random() < often[span.name]:
            text = "*"
        else:
            count = self._random.choice((1, 1, 1, 1, 2, 3))
            text = ",".join(self._item(span) for _ in range(count))
        if self._odd() and self._random.random() < 0.2:
            text += self._random.choice(_TAILS)
        return text

    def _item(self, span: Span) -> str:
        chance = self._random.random()
        if chance < 0.15:
            return f"*/{self._random.choice((1, 2, 3, 5, 7, 10, 15, 20, 30, 45))}"
        if chance < 0.45:
            step = f"/{self._random.randint(1, 12)}" if self._random.random() < 0.3 else ""
            return f"{self._range(span)}{step}"
        if self._odd() and chance < 0.5:
            return "*"
        return self._value(span, self._random.randint(span.low, span.high))

    def _range(self, span: Span) -> str:
        first = self._random.randint(span.low, span.high)
        last = self._random.randint(span.low, span.high)
        if first > last and not self._odd():
            first, last = last, first
        return f"{self._value(span, first)}-{self._value(span, last)}"

    def _value(self, span: Span, value: int) -> str:
        named = {number: name for name, number in span.names.items()}
        if value in named and self._random.random() < 0.4:
            return self._random.choice((str.upper, str.lower, str.title))(named[value])
        return f"{value:02}" if self._odd() else str(value)
