"""The ledger's values as JSON, and a guard's ``key=value`` lines as values.

The format is public: docs/reference/jobs-ledger.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kirikae.jobs.errors import WrongRequest
from kirikae.jobs.job import Firing, Owner, Policy, State, firing_id, read_stamp, stamp
from kirikae.jobs.ledger import (
    LEASE_S,
    Admitted,
    Claim,
    Ending,
    Hold,
    Refused,
    Wanted,
    Why,
)
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.schedule import Schedule
from kirikae.model.crontab.table import read_entry
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said

Plain = Mapping[str, Any]
_LOOK_BACK_MIN = (2, 60 * 2, 60 * 25, 60 * 24 * 8, 60 * 24 * 32, 60 * 24 * 366 * 9)
_POLICY = frozenset(field.name for field in fields(Policy))
_HOLD = frozenset({"job", "due", "fence"})
_KEYS = {
    "claim": _POLICY
    | {"job", "due", "when", "zone", "dialect", "at", "side", "holder", "lease"}
    | {"attempt", "start", "admit"},
    "start": _HOLD | {"task"},
    "heartbeat": _HOLD | {"lease"},
    "finish": _HOLD | {"state", "exit", "reason", "tail", "again", "give_back"},
    "own": frozenset({"job", "owner"}),
    "owner": frozenset({"job"}),
    "health": frozenset[str](),
}


# --- JSON


def claim_from(plain: Plain) -> Claim:
    """Of JSON."""
    admit = plain.get("admit")
    return Claim(
        **{
            **plain,
            "side": Owner(plain["side"]),
            "admit": None if admit is None else Policy.from_plain(admit),
        }
    )


def wanted_from(plain: Plain) -> Wanted:
    """Of JSON."""
    return Wanted(
        **{
            **plain,
            "policy": Policy.from_plain(plain.get("policy", {})),
        }
    )


def ending_from(plain: Plain) -> Ending:
    """Of JSON."""
    return Ending(
        **{
            **plain,
            "state": State(plain["state"]),
        }
    )


def claimed_plain(found: Firing | Refused) -> dict[str, Any]:
    """As JSON."""
    if isinstance(found, Firing):
        return {
            "granted": True,
            "firing": found.to_plain(),
        }
    firing = None if found.firing is None else found.firing.to_plain()
    return {
        "granted": False,
        "why": str(found.why),
        "firing": firing,
        "until": found.until,
    }


def claimed_from(plain: Plain) -> Firing | Refused:
    """The same again."""
    firing = None if plain["firing"] is None else Firing.from_plain(plain["firing"])
    if plain["granted"]:
        assert firing is not None
        return firing
    return Refused(
        Why(plain["why"]),
        firing,
        plain["until"],
    )


def admitted_plain(found: Sequence[Admitted]) -> list[dict[str, Any]]:
    """As JSON."""
    return [
        {
            "firing": each.firing.to_plain(),
            "fresh": each.fresh,
        }
        for each in found
    ]


def admitted_from(plain: Sequence[Plain]) -> list[Admitted]:
    """The same again."""
    return [Admitted(Firing.from_plain(each["firing"]), each["fresh"]) for each in plain]


# --- lines


@dataclass(frozen=True, slots=True)
class Lines:
    """What a guard wrote.  ``values``: each key with all its lines."""

    verb: str
    values: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, verb: str, text: str) -> Lines:
        """Raises WrongRequest."""
        values: dict[str, list[str]] = {}
        for line in text.splitlines():
            if not line.strip():
                continue
            key, equals, value = line.partition("=")
            if not equals or key not in _KEYS[verb]:
                raise WrongRequest(f"{line[:60]!r} is no key of {verb}")
            values.setdefault(key, []).append(value)
        return cls(verb, values)

    def one(self, key: str, default: str | None = None) -> str:
        """Raises WrongRequest where it must be given."""
        found = self.values.get(key)
        if found:
            return found[-1]
        if default is None:
            raise WrongRequest(f"{self.verb} needs {key}=")
        return default

    def number(self, key: str, default: float | None = None) -> float:
        """Raises WrongRequest."""
        text = self.one(key, None if default is None else str(default))
        try:
            found = float(text)
        except ValueError as error:
            raise WrongRequest(f"{key}={text[:40]} is no number") from error
        if not -1e15 < found < 1e15:
            raise WrongRequest(f"{key}={text[:40]} is no number that can be")
        return found

    def whole(self, key: str) -> int | None:
        """None where it was not given.  Raises WrongRequest."""
        return int(self.number(key)) if self.values.get(key) else None

    def yes(self, key: str, default: bool = False) -> bool:
        """Raises WrongRequest."""
        text = self.one(key, "yes" if default else "no")
        if text not in ("yes", "no"):
            raise WrongRequest(f"{key}={text[:40]}: write yes or no")
        return text == "yes"

    def due(self) -> int:
        """Raises WrongRequest."""
        text = self.one("due")
        try:
            return read_stamp(text)
        except ValueError as error:
            raise WrongRequest(f"due={text[:40]} is no minute such as 20260308T0700Z") from error

    def hold(self) -> Hold:
        """Raises WrongRequest."""
        return Hold(
            self.one("job"),
            self.due(),
            int(self.number("fence")),
        )

    def lease_s(self) -> float:
        """Raises WrongRequest."""
        found = self.number("lease", LEASE_S)
        if not 1 <= found <= 86400:
            raise WrongRequest("lease= is between 1 and 86400 seconds")
        return found

    def claim(self, now: float) -> Claim:
        """Raises WrongRequest."""
        side = _chosen(
            Owner,
            self.one("side", "old"),
            "side",
        )
        admit = self.yes("admit", side is Owner.OLD)
        return Claim(
            self.one("job"),
            self.due() if "due" in self.values else self._latest_due(now),
            side,
            self.one("holder"),
            self.lease_s(),
            self.whole("attempt"),
            self._policy() if admit else None,
            self.yes("start"),
        )

    def _policy(self) -> Policy:
        given = {key: self.one(key) for key in _POLICY if key in self.values}
        try:
            return Policy.from_plain(given)
        except ValueError as error:
            raise WrongRequest(str(error)) from error

    def times(self) -> tuple[Schedule, Zone] | None:
        """The line's own; None where the caller names the minute itself.  Raises WrongRequest."""
        if "due" in self.values:
            return None
        return times_of(self.one("when"), self.one("zone", "UTC"), self._dialect())

    def _dialect(self) -> Dialect:
        found: Dialect = _chosen(Dialect, self.one("dialect", "debian"), "dialect")
        return found

    def _latest_due(self, now: float) -> int:
        at = int(self.number("at", now) // 60)
        found = latest_due(self.one("when"), self.one("zone", "UTC"), self._dialect(), at)
        if found is None:
            raise WrongRequest(f"{self.one('when')[:60]!r} was never due in nine years")
        return found

    def ending(self) -> Ending:
        """Raises WrongRequest."""
        code = self.whole("exit")
        by_code = "" if code is None else State.SUCCEEDED if code == 0 else State.FAILED
        return Ending(
            _chosen(
                State,
                self.one("state", by_code or None),
                "state",
            ),
            code,
            self.one("reason", ""),
            "\n".join(self.values.get("tail", ())),
            self.yes("again", True),
            self.yes("give_back"),
        )


def _chosen(kind: Any, text: str, key: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        known = ", ".join(str(each) for each in kind)
        raise WrongRequest(f"{key}={text[:40]} is none of {known}") from error


def times_of(when: str, zone: str, dialect: Dialect) -> tuple[Schedule, Zone]:
    """Raises WrongRequest."""
    entry = read_entry(f"{when} true", dialect, with_user=False)
    if isinstance(entry, Said) or entry.schedule is None or entry.command != "true":
        raise WrongRequest(f"when={when[:60]}: write the five time fields of the crontab line")
    try:
        return entry.schedule, Zone(zone)
    except (KeyError, ValueError, OSError) as error:
        raise WrongRequest(f"zone={zone[:60]} is no time zone such as Asia/Tokyo") from error


def latest_due(when: str, zone: str, dialect: Dialect, at: int) -> int | None:
    """The latest due minute that is not after ``at``; None: none in nine years.

    Raises WrongRequest."""
    schedule, clock = times_of(when, zone, dialect)
    for back in _LOOK_BACK_MIN:
        dues = list(clock.dues(schedule, at + 1 - back, at + 1))
        if dues:
            return dues[-1]
    return None


def claimed_lines(found: Firing | Refused, lease_s: float) -> list[str]:
    """For a shell."""
    if isinstance(found, Refused):
        lines = ["granted=no", f"why={found.why}"]
        if found.firing is not None:
            lines += [f"side={found.firing.side}", f"state={found.firing.state}"]
        if found.until is not None:
            lines.append(f"until={found.until:.0f}")
        return lines
    return [
        "granted=yes",
        f"firing={firing_id(found.job, found.due)}",
        f"job={found.job}",
        f"due={stamp(found.due)}",
        f"attempt={found.attempt}",
        f"fence={found.fence}",
        f"lease={lease_s:.0f}",
    ]
