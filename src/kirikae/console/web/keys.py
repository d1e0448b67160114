"""Who may come in: tokens, and what the server remembers of whoever came in.

Of a token only its SHA-256 is kept; a browser keeps nothing but the name of its session.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kirikae.model.errors import UsageProblem
from kirikae.model.said import Language

SESSION_S = 12 * 3600.0
_GUEST_S = 1800.0
"""So long may somebody look at the sign-in page."""
_SESSIONS_AT_MOST = 1000
_TRIES = 5
_TRIES_S = 60.0
_ADDRESSES_AT_MOST = 10_000


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """``people``: name -> SHA-256 of their token.  The name is empty for whoever started the
    console: AWS names that person well enough."""

    people: Mapping[str, str]

    def owner(self, token: str) -> str | None:
        """Whose token it is; None: nobody's.  Every one is compared, in the same time."""
        found = None
        digest = digest_of(token)
        for name, kept in self.people.items():
            if hmac.compare_digest(digest, kept):
                found = name
        return found


def people_from(file: Path) -> dict[str, str]:
    """Lines ``NAME SHA256``; those that are empty or begin with # are left out.

    Raises UsageProblem with the line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"--people {file}: {error}; name a file that can be read") from error
    people = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or not _is_digest(words[1]):
            raise UsageProblem(
                f"{file}:{number}: write `NAME SHA256`, the second from "
                "`printf %s TOKEN | sha256sum`"
            )
        people[words[0]] = words[1].lower()
    if not people:
        raise UsageProblem(f"{file}: it names nobody, so nobody could sign in")
    return people


def _is_digest(word: str) -> bool:
    return len(word) == 64 and all(letter in "0123456789abcdef" for letter in word.lower())


@dataclass(slots=True)
class Session:
    """``person``: None before the sign-in.  ``language``: None until somebody chooses one."""

    id: str
    csrf: str
    began: float
    person: str | None = None
    language: Language | None = None


@dataclass(slots=True)
class Sessions:
    """In memory only: a console that is started again asks everybody for the token again."""

    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, person: str | None = None, language: Language | None = None) -> Session:
        """A new one, under a name that nobody can know before."""
        made = Session(
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
            self.clock(),
            person,
            language,
        )
        with self._guard:
            if len(self._kept) >= _SESSIONS_AT_MOST:
                self._drop_one()
            self._kept[made.id] = made
        return made

    def _drop_one(self) -> None:
        """The oldest guest: who is signed in is not driven out by who is not."""
        guests = (key for key, session in self._kept.items() if session.person is None)
        del self._kept[next(guests, next(iter(self._kept)))]

    def find(self, name: str) -> Session | None:
        """None where there is none, or where it is over."""
        with self._guard:
            found = self._kept.get(name)
            if found is None:
                return None
            lasts = _GUEST_S if found.person is None else SESSION_S
            if self.clock() - found.began > lasts:
                del self._kept[name]
                return None
            return found

    def end(self, name: str) -> None:
        """Nobody comes in under this name any more."""
        with self._guard:
            self._kept.pop(name, None)


@dataclass(slots=True)
class Attempts:
    """Failed sign-ins by address: after five within a minute the sixth has to wait."""

    clock: Callable[[], float] = time.monotonic
    _failed: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def wait_s(self, address: str) -> float:
        """How long until the next one is looked at; 0: now."""
        with self._guard:
            times = self._recent(address)
            return _TRIES_S - (self.clock() - times[-_TRIES]) if len(times) >= _TRIES else 0.0

    def failed(self, address: str) -> None:
        """One more."""
        with self._guard:
            self._failed[address] = [*self._recent(address), self.clock()]
            self._failed.move_to_end(address)
            if len(self._failed) > _ADDRESSES_AT_MOST:
                self._failed.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self.clock() - _TRIES_S
        return [at for at in self._failed.get(address, []) if at > since]
