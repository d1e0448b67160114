"""What travels through the queue: a firing and its attempt, nothing that is secret.

Messages of sqsjfr and sqsjkr are understood, too: they name the command itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kirikae.aws.sqs import Outgoing, Received
from kirikae.jobs.errors import Poison
from kirikae.jobs.job import Firing, Job, Overlap, Policy, read_firing_id, token

_VERSION = 1
_GO_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Ours:
    """The worker asks the ledger for all the rest."""

    job: str
    due: int
    attempt: int
    digest: str


@dataclass(frozen=True, slots=True)
class Clocked:
    """A schedule of EventBridge says that a job is due: one more scheduler before the ledger.

    ``table`` and ``serial``: of the crontab that it was exported from."""

    job: str
    due: int
    digest: str
    table: str
    serial: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message that holds the command.  ``due``: the minute that its sender meant."""

    job: Job
    due: int


def outgoing(firing: Firing) -> Outgoing:
    """The de-duplication ID is of firing and attempt, never of the body."""
    body = {
        "kirikae": _VERSION,
        "firing": firing.id,
        "attempt": firing.attempt,
        "digest": firing.digest,
    }
    return Outgoing(
        json.dumps(body),
        _group(firing.group),
        token(firing.id, firing.attempt),
    )


def _group(text: str) -> str:
    """A group has 128 characters at most, and not all of those that an ID may have."""
    if len(text) <= 128 and re.fullmatch(r"[A-Za-z0-9!-/:-@\[-`{-~]+", text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()


SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""EventBridge Scheduler puts the time there (User Guide, "Adding context attributes")."""


def clocked_input(found: Clocked) -> str:
    """The input of a schedule; its due minute is put in when it fires, so each is another one for
    the queue."""
    body = {
        "kirikae": _VERSION,
        "job": found.job,
        "due": SCHEDULED_TIME,
        "digest": found.digest,
        "table": found.table,
        "serial": found.serial,
    }
    return json.dumps(body)


def _clocked(plain: Mapping[str, Any]) -> Clocked:
    at = datetime.fromisoformat(str(plain["due"]).replace("Z", "+00:00"))
    return Clocked(
        str(plain["job"]),
        int(at.timestamp() // 60),
        str(plain["digest"]),
        str(plain["table"]),
        int(plain["serial"]),
    )


def read(received: Received) -> Ours | Clocked | Foreign:
    """Raises Poison."""
    try:
        plain = json.loads(received.body)
    except ValueError as error:
        raise Poison(f"message {received.id} is no JSON") from error
    if not isinstance(plain, dict):
        raise Poison(f"message {received.id} is no object")
    try:
        if "kirikae" in plain and "job" in plain:
            return _clocked(plain)
        return _ours(plain) if "firing" in plain else _foreign(plain, received)
    except (KeyError, TypeError, ValueError) as error:
        raise Poison(f"message {received.id}: {type(error).__name__}: {error}") from error


def _ours(plain: Mapping[str, Any]) -> Ours:
    job, due = read_firing_id(plain["firing"])
    return Ours(
        job,
        due,
        int(plain["attempt"]),
        str(plain.get("digest", "")),
    )


def _foreign(plain: Mapping[str, Any], received: Received) -> Foreign:
    command = plain["command"]
    if not isinstance(command, str) or not command:
        raise ValueError("no command")
    asked = float(plain.get("invoked_at") or received.sent_at)
    due = int(asked // 60)
    named = str(plain.get("event_id") or received.id)
    if "invoked_at" in plain:
        # sqsjfr: the same entry sent twice, by whatever scheduler, is the same firing.
        text = json.dumps([command, plain.get("envs")], sort_keys=True)
        named = hashlib.sha256(text.encode()).hexdigest()[:16]
    job = Job(
        f"message-{named}",
        f"message {received.id}",
        "message",
        "",
        "UTC",
        command,
        environment={str(key): str(value) for key, value in (plain.get("envs") or {}).items()},
        policy=_policy(
            plain,
            received,
            due,
        ),
    )
    return Foreign(job, due)


def _policy(plain: Mapping[str, Any], received: Received, due: int) -> Policy:
    """``life_time`` counts from the sending, and is asked before the start only."""
    life_s = _life_s(plain.get("life_time", 0))
    lock = str(plain.get("lock_id") or "")
    overlap = Overlap.ALLOW
    if lock:
        overlap = Overlap.SKIP if plain.get("abort_if_locked") else Overlap.QUEUE_ONE
    within_s = received.sent_at + life_s - due * 60 if life_s else None
    return Policy(
        overlap=overlap,
        lock=lock,
        start_within_s=within_s,
    )


def _life_s(value: object) -> float:
    """Whole seconds, or a duration of Go."""
    if isinstance(value, (int, float)):
        return float(value)
    found = _GO_DURATION.fullmatch(str(value)) if value else None
    if found is None or not any(found.groups()):
        raise ValueError(f"life_time {value!r} is no time")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
