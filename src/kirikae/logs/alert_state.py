"""What an alert must remember: which lines it heard, what it still counts, what it could not send.

Written after a message was sent: killed in between, it sends it once more, and loses none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.hosts.files import write_durably
from kirikae.logs.alerts import Message, Seen, Windows
from kirikae.logs.errors import TreeTrouble
from kirikae.logs.listening import Ear
from kirikae.logs.patterns import Rule
from kirikae.model.errors import KirikaeError

FORMAT = 1
MOST_UNSENT = 200
Send = Callable[[Mapping[str, Any]], None]
"""Raises KirikaeError where it was not delivered."""


@dataclass
class AlertState:
    """One rule at one place.  ``unsent``: messages that wait for the chat to answer again."""

    seen: Seen
    windows: Windows
    first: float
    """Nothing from before is told."""
    unsent: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    """Of those that waited, the oldest beyond ``MOST_UNSENT``."""

    @classmethod
    def at(
        cls,
        file: Path,
        rule: Rule,
        overlap_s: float,
        since: float,
    ) -> AlertState:
        """As it was left, or anew.  A rule that was changed counts anew, and hears nothing twice.

        Raises TreeTrouble."""
        try:
            raw = json.loads(file.read_text("utf-8"))
            seen = Seen(overlap_s, raw["since"], dict(raw["ids"]))
            windows = Windows.from_plain(rule, raw["windows"])
            return cls(seen, windows, raw["first"], list(raw["unsent"]), raw["left_out"])
        except FileNotFoundError:
            return cls(Seen(overlap_s, since), Windows(rule), since)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise TreeTrouble(
                f"{file} cannot be read ({type(error).__name__}: {error}); take it away, then run "
                "this again: lines of the last minutes may be told twice"
            ) from error

    def keep(self, file: Path) -> None:
        """Raises TreeTrouble."""
        plain = {
            "format": FORMAT,
            "since": self.seen.since,
            "first": self.first,
            "ids": self.seen.ids,
            "windows": self.windows.to_plain(),
            "unsent": self.unsent,
            "left_out": self.left_out,
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_durably(file, json.dumps(plain))
        except OSError as error:
            raise TreeTrouble(f"{file}: {error}; see to the disk and the folder") from error


@dataclass
class Alert:
    """Listens, tells, remembers; one round at a time."""

    ear: Ear
    state: AlertState
    file: Path
    send: Send
    complain: Callable[[str], None]
    told: int = 0
    heard: int = 0

    def look(self, now: float) -> None:
        """Raises TreeTrouble, AwsUnreachable."""
        messages: list[Message] = []
        for heard in self.ear.fresh(now):
            self.heard += 1
            message = self.state.windows.heard(heard, now)
            if message is not None:
                messages.append(message)
        messages += self.state.windows.ended(now)
        self.state.unsent += [each.to_plain() for each in messages]
        self._send_all()
        self.state.seen.asked(now)
        self.state.keep(self.file)

    def _send_all(self) -> None:
        """In order; the first one that is not delivered keeps the others waiting."""
        waiting = self.state.unsent
        while waiting:
            try:
                self.send(waiting[0])
            except KirikaeError as error:
                self.complain(f"not delivered, {len(waiting)} wait: {error}")
                break
            waiting.pop(0)
            self.told += 1
        beyond = len(waiting) - MOST_UNSENT
        if beyond > 0:
            self.state.left_out += beyond
            del waiting[:beyond]
            self.complain(f"{beyond} of those that waited were left out")
