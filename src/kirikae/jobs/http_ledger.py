"""A ledger that another process owns, asked over HTTP: the other end of ``serving``."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from kirikae.jobs import wire
from kirikae.jobs.errors import LedgerAway, NoLedger, WrongRequest
from kirikae.jobs.job import Firing, Job, Owner
from kirikae.jobs.ledger import (
    LEASE_S,
    Admitted,
    Claim,
    Ending,
    Hold,
    Mark,
    Refused,
    Wanted,
)
from kirikae.jobs.requests import Connection

_TIMEOUT_S = 10.0
_GONE = (OSError, WrongRequest)


class HttpLedger:
    """A ``Ledger``.  Each thread keeps a connection of its own open."""

    def __init__(self, url: str, token: str, timeout_s: float = _TIMEOUT_S) -> None:
        """Raises NoLedger for an address that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise NoLedger(f"{url[:80]!r} is no ledger; write one as http://127.0.0.1:8062")
        self._url = url
        self._parts = parts
        self._token = token
        self._timeout_s = timeout_s
        self._kept = threading.local()

    def close(self) -> None:
        """This thread's connection."""
        connection = getattr(
            self._kept,
            "connection",
            None,
        )
        if connection is not None:
            connection.close()
            self._kept.connection = None

    def _connection(self) -> Connection:
        kept: Connection | None = getattr(self._kept, "connection", None)
        if kept is None:
            secure = self._parts.scheme == "https"
            port = self._parts.port or (443 if secure else 80)
            assert self._parts.hostname is not None
            kept = Connection((self._parts.hostname, port), secure, self._timeout_s)
            self._kept.connection = kept
        return kept

    def _ask(self, verb: str, **asked: Any) -> Any:
        """Every call may be repeated: a connection that fell asleep is opened anew, once."""
        body = json.dumps(asked).encode()
        try:
            try:
                status, raw = self._send(verb, body)
            except _GONE:
                self.close()
                status, raw = self._send(verb, body)
            answer = json.loads(raw)
        except (*_GONE, ValueError) as error:
            self.close()
            raise LedgerAway(
                f"the ledger at {self._url} does not answer ({type(error).__name__}: {error}); "
                "is `kirikae jobs serve` running there?"
            ) from error
        if status != 200:
            said = answer.get("error", "") if isinstance(answer, dict) else ""
            raise LedgerAway(f"the ledger at {self._url} answered {status}: {said}")
        return answer

    def _send(self, verb: str, body: bytes) -> tuple[int, bytes]:
        headers = {
            "Host": self._parts.netloc.rpartition("@")[2],
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
        }
        path = f"{self._parts.path.rstrip('/')}/v1/{verb}"
        return self._connection().ask(path, headers, body)

    def now(self) -> float:
        return float(self._ask("now"))

    def define(self, jobs: Sequence[Job]) -> None:
        self._ask("define", jobs=[job.to_plain() for job in jobs])

    def definition(self, digest: str) -> Job | None:
        plain = self._ask("definition", digest=digest)
        return None if plain is None else Job.from_plain(plain)

    def owners(self) -> Mapping[str, Owner]:
        found = self._ask("owners")
        return {job: Owner(owner) for job, owner in found.items()}

    def own(self, jobs: Sequence[str], owner: Owner, only_new: bool = False) -> None:
        self._ask(
            "own",
            jobs=list(jobs),
            owner=owner,
            only_new=only_new,
        )

    def since(self, jobs: Sequence[str], minute: int) -> Mapping[str, int]:
        found: Mapping[str, int] = self._ask(
            "since",
            jobs=list(jobs),
            minute=minute,
        )
        return found

    def mark(self, table: str) -> Mark | None:
        plain = self._ask("mark", table=table)
        return None if plain is None else Mark(**plain)

    def raise_mark(self, table: str, mark: Mark) -> Mark:
        return Mark(
            **self._ask(
                "raise-mark",
                table=table,
                mark=asdict(mark),
            )
        )

    def admit(self, wanted: Sequence[Wanted]) -> list[Admitted]:
        asked = [asdict(each) for each in wanted]
        return wire.admitted_from(self._ask("admit", wanted=asked))

    def sent(self, firings: Sequence[Firing]) -> None:
        self._ask("sent", firings=[firing.to_plain() for firing in firings])

    def unsent(self, most: int = 1000) -> list[Firing]:
        return [Firing.from_plain(plain) for plain in self._ask("unsent", most=most)]

    def claim(self, claim: Claim) -> Firing | Refused:
        return wire.claimed_from(self._ask("claim", **asdict(claim)))

    def start(self, hold: Hold, task: str = "") -> bool:
        return bool(
            self._ask(
                "start",
                hold=asdict(hold),
                task=task,
            )
        )

    def heartbeat(self, hold: Hold, lease_s: float = LEASE_S) -> bool:
        return bool(
            self._ask(
                "heartbeat",
                hold=asdict(hold),
                lease_s=lease_s,
            )
        )

    def finish(self, hold: Hold, ending: Ending) -> bool:
        return bool(
            self._ask(
                "finish",
                hold=asdict(hold),
                ending=asdict(ending),
            )
        )

    def sweep(self, most: int = 1000) -> list[Firing]:
        return [Firing.from_plain(plain) for plain in self._ask("sweep", most=most)]

    def firing(self, job: str, due: int) -> Firing | None:
        plain = self._ask(
            "firing",
            job=job,
            due=due,
        )
        return None if plain is None else Firing.from_plain(plain)

    def history(
        self,
        job: str | None = None,
        since: int | None = None,
        until: int | None = None,
        most: int = 200,
    ) -> list[Firing]:
        asked = {
            "job": job,
            "since": since,
            "until": until,
            "most": most,
        }
        return [Firing.from_plain(plain) for plain in self._ask("history", **asked)]
