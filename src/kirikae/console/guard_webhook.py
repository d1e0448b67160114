"""Tickets as events for whoever takes them: each with a key by which a second one is known.

A webhook cannot be asked what is there, so a ledger says what it took.  An event is written down
after it was taken; stopped in between, the next run sends it again under the same key.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.console.guard_http import Api
from kirikae.guard.tickets import Act, Deed, Ticket, mark_in, state_in
from kirikae.model.errors import UsageProblem

_KEYS = {"mark", "number", "sent", "open", "state"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """``ledger``: the file, a line for each event that was taken; it is kept from run to run."""

    api: Api
    ledger: Path
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        url: str,
        token: str,
        ledger: Path,
    ) -> Webhook:
        """``token``: empty where the address alone is the secret.  Raises UsageProblem."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(
            Api(
                url,
                headers,
                speaks_json=False,
            ),
            ledger,
            _read(ledger),
        )

    def there(self) -> list[Ticket]:
        """As the ledger says."""
        found = []
        for mark, row in self._rows.items():
            known = mark_in(mark)
            assert known is not None, "looked at as it was read"
            state = state_in(str(row["state"]))
            found.append(
                Ticket(
                    int(row["number"]),
                    known,
                    bool(row["open"]),
                    state,
                )
            )
        return found

    def carry_out(
        self,
        act: Act,
        title: str,
        body: str,
    ) -> int:
        """The number of the ticket in the ledger.  Raises NotSent."""
        mark = str(act.mark)
        former = self._rows.get(
            mark,
            {
                "number": len(self._rows) + 1,
                "sent": 0,
                "state": None,
            },
        )
        event = {
            "key": _sum(mark),
            "deed": act.deed.value,
            "number": former["number"],
            "code": act.mark.code,
            "title": title,
            "text": body,
            "finding": None if act.finding is None else act.finding.to_plain(),
        }
        once = {"Idempotency-Key": _sum(f"{mark} {former['sent']}")}
        self.api.ask(
            "POST",
            "",
            event,
            once,
        )
        row = {
            "mark": mark,
            "number": former["number"],
            "sent": former["sent"] + 1,
            "open": act.deed is not Deed.CLOSE,
            "state": former["state"] if act.state is None else str(act.state),
        }
        _append(self.ledger, row)
        self._rows[mark] = row
        return int(row["number"])


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _append(ledger: Path, row: dict[str, Any]) -> None:
    """A line that was torn by a crash is taken away: its event is sent again, under the same
    key."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a+b") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _read(ledger: Path) -> dict[str, dict[str, Any]]:
    """Mark -> its newest line.  Raises UsageProblem for a file that guard did not write."""
    try:
        lines = ledger.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageProblem(f"{ledger}: {error.strerror}") from error
    rows = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if row.keys() != _KEYS or mark_in(row["mark"]) is None:
                raise ValueError("no row of guard")
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageProblem(
                f"{ledger}:{number}: no line of guard's ({error}); restore the file: without it "
                "every ticket would be sent again"
            ) from error
        rows[row["mark"]] = row
    return rows
