"""Virtual users of the bookshop: an open-model load in which every answer is judged by the one who
asked.

Arrivals are a Poisson process at the rate that a file gives (it may change); an idle user takes
each.  A user logs in once, then browses, uploads, orders, and checks that it is still logged in and
sees its own data.  Verdicts: ok, slow, wrong (lost session or wrong content), lost (no answer, or a
server error).  Each second one JSON line goes to the output file.

With ``--most`` the users ask without a pause instead: what the shop answers at its most.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

TIMEOUT_S = 15.0
OWED_S = 0.5
"""A generator that was held up asks at once for what it owes of so long, and forgets the rest."""
ACTIONS = {
    "book": 43,
    "home": 12,
    "me": 15,
    "css": 6,
    "upload": 4,
    "picture": 5,
    "order": 10,
    "orders": 5,
}


@dataclass
class User:
    name: str
    cookies: dict[str, str] = field(default_factory=dict)
    pictures: set[str] = field(
        default_factory=lambda: {"none"}
    )  # more than one while an upload's answer is unknown
    orders: set[str] = field(default_factory=set)


@dataclass
class Second:
    rows: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counter)
    times_ms: dict[str, list[int]] = field(default_factory=lambda: {"old": [], "new": []})


class Wrong(Exception):
    """The answer is not what this user must see."""


class Load:
    """``rate``: requests a second, asked before each arrival.  ``slow_s``: longer is slow."""

    def __init__(
        self,
        url: str,
        users: list[User],
        out: Path,
        rate: Callable[[], float] = lambda: 0.0,
        slow_s: float = 1.0,
        seed: int = 1,
    ) -> None:
        self._url = url
        self._idle = list(users)
        self._out = out
        self._rate = rate
        self._slow_s = slow_s
        self._random = random.Random(seed)
        self._seconds: dict[int, Second] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._stop = False
        self.sessions_lost: set[str] = set()
        self.stalled = 0

    async def run(self) -> None:
        async with _session() as self._http:
            writer = asyncio.create_task(self._write())
            await self._arrivals()
            await asyncio.gather(*self._running, return_exceptions=True)
            writer.cancel()
            self._flush(everything=True)

    async def _arrivals(self) -> None:
        due = time.monotonic()
        while not self._stop:
            due += self._random.expovariate(self._rate())
            due = max(due, time.monotonic() - OWED_S)
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if not self._idle:
                self.stalled += 1
                await asyncio.sleep(0)
                continue
            user = self._idle.pop(self._random.randrange(len(self._idle)))
            task = asyncio.create_task(self._visit(user))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def most(self, seconds: float) -> list[int]:
        """Every user asks without a pause for so long; the milliseconds of all answers."""
        until = time.monotonic() + seconds

        async def go_on(user: User) -> None:
            while time.monotonic() < until:
                await self._visit(user)

        async with _session() as self._http:
            await asyncio.gather(*(go_on(user) for user in self._idle))
        return [ms for second in self._seconds.values() for ms in second.times_ms["old"]]

    def stop(self) -> None:
        self._stop = True

    async def _visit(self, user: User) -> None:
        action = self._next_action(user)
        began = time.perf_counter()
        seen = {"side": "none", "release": "", "status": ""}
        verdict, reason = await self._judged(user, action, seen)
        took_s = time.perf_counter() - began
        if verdict == "ok" and took_s > self._slow_s:
            verdict = "slow"
        second = self._seconds.setdefault(int(time.time()), Second())
        second.rows[seen["side"], verdict, action, reason, seen["release"]] += 1
        if seen["side"] in second.times_ms:
            second.times_ms[seen["side"]].append(round(took_s * 1000))
        self._idle.append(user)

    def _next_action(self, user: User) -> str:
        if "sid" not in user.cookies:
            return "login"
        return self._random.choices(list(ACTIONS), list(ACTIONS.values()))[0]

    async def _judged(self, user: User, action: str, seen: dict[str, str]) -> tuple[str, str]:
        """(verdict, reason) of the one who asked."""
        try:
            await getattr(self, f"_{action}")(user, seen)
        except Wrong as wrong:
            if seen["status"] == "401":
                self.sessions_lost.add(user.name)
            return "wrong", str(wrong)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return "lost", type(error).__name__
        if seen["status"].startswith("5"):
            return "lost", f"status {seen['status']}"
        return "ok", ""

    async def _ask(
        self, user: User, seen: dict[str, str], method: str, path: str, **body: Any
    ) -> str:
        """The body of the answer; server errors return "" and are counted by their status."""
        cookie = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
        headers = {"Cookie": cookie} if cookie else {}
        url = self._url + path
        async with self._http.request(method, url, headers=headers, **body) as answer:
            _read_headers(answer, seen)
            for name, morsel in answer.cookies.items():
                user.cookies[name] = morsel.value
            content = await answer.read()
        if answer.status >= 500:
            return ""
        if answer.status == 401:
            raise Wrong("logged out")
        if answer.status != 200:
            raise Wrong(f"status {answer.status} for {path}")
        if (method, path) == ("GET", "/picture"):
            return hashlib.sha1(content).hexdigest()
        return content.decode(errors="replace")

    @staticmethod
    def _must(condition: bool, what: str, seen: dict[str, str]) -> None:
        if not condition and not seen["status"].startswith("5"):
            raise Wrong(what)

    async def _login(self, user: User, seen: dict[str, str]) -> None:
        text = await self._ask(user, seen, "POST", "/login", data={"name": user.name})
        self._must(text == f"welcome {user.name}\n", "a strange welcome", seen)

    async def _home(self, user: User, seen: dict[str, str]) -> None:
        self._must(
            "Book number 1<" in await self._ask(user, seen, "GET", "/"), "no books at home", seen
        )

    async def _book(self, user: User, seen: dict[str, str]) -> None:
        book = self._random.randint(1, 200)
        text = await self._ask(user, seen, "GET", f"/books/{book}")
        self._must(f"Book number {book}<" in text and "ISBN" in text, "another book", seen)

    async def _css(self, user: User, seen: dict[str, str]) -> None:
        self._must(
            "max-width" in await self._ask(user, seen, "GET", "/static/shop.css"),
            "another style sheet",
            seen,
        )

    async def _me(self, user: User, seen: dict[str, str]) -> None:
        text = await self._ask(user, seen, "GET", "/me")
        self._must(text.startswith(f"name={user.name} "), "somebody else's page", seen)
        self._sees_own_picture(user, text.rstrip("\n").rpartition("picture=")[2], seen)

    def _sees_own_picture(self, user: User, digest: str, seen: dict[str, str]) -> None:
        if not seen["status"].startswith("5"):
            self._must(digest in user.pictures, "another picture", seen)
            user.pictures = {digest}

    async def _upload(self, user: User, seen: dict[str, str]) -> None:
        body = self._random.randbytes(self._random.randint(1000, 6000))
        digest = hashlib.sha1(body).hexdigest()
        user.pictures |= {digest}
        text = await self._ask(user, seen, "POST", "/picture", data=body)
        if text:
            self._must(text == digest + "\n", "another digest", seen)
            user.pictures = {digest}

    async def _picture(self, user: User, seen: dict[str, str]) -> None:
        digest = await self._ask(user, seen, "GET", "/picture")
        self._sees_own_picture(
            user, "none" if digest == hashlib.sha1(b"").hexdigest() else digest, seen
        )

    async def _order(self, user: User, seen: dict[str, str]) -> None:
        text = await self._ask(
            user, seen, "POST", "/orders", data={"book": str(self._random.randint(1, 200))}
        )
        if text:
            number = text.splitlines()[0]
            self._must(number.startswith("order=") and user.name in text, "a strange receipt", seen)
            user.orders.add(number)

    async def _orders(self, user: User, seen: dict[str, str]) -> None:
        text = await self._ask(user, seen, "GET", "/orders")
        self._must(user.orders <= set(text.splitlines()), "orders are missing", seen)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self._flush()

    def _flush(self, everything: bool = False) -> None:
        now = int(time.time())
        with self._out.open("a") as file:
            for second in sorted(s for s in self._seconds if everything or s < now - 1):
                kept = self._seconds.pop(second)
                times = {side: _quantiles(values) for side, values in kept.times_ms.items()}
                rows = [[*key, count] for key, count in sorted(kept.rows.items())]
                line = {
                    "t": second,
                    "rows": rows,
                    "ms": times,
                    "sessions_lost": len(self.sessions_lost),
                    "stalled": self.stalled,
                }
                file.write(json.dumps(line) + "\n")


def _session() -> aiohttp.ClientSession:
    """Cookies are kept per user, not per session."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    )


def _read_headers(answer: aiohttp.ClientResponse, seen: dict[str, str]) -> None:
    served_by = answer.headers.get("X-Served-By", "")
    seen["status"] = str(answer.status)
    seen["release"] = answer.headers.get("X-Release-Id", "")
    if served_by:
        seen["side"] = "old" if served_by.startswith("web") else "new"


def _quantiles(values: list[int]) -> list[int]:
    """p50, p95 and p99; empty without values."""
    ordered = sorted(values)
    if not ordered:
        return []
    last = len(ordered) - 1
    return [ordered[min(last, int(len(ordered) * part))] for part in (0.5, 0.95, 0.99)]


class RateFile:
    """Requests a second, as a file says; read again when it was written."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._written = 0
        self._rate = 1.0
        self._looked = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._looked > 0.5:
            self._looked = now
            written = self._file.stat().st_mtime_ns
            if written != self._written:
                self._rate = float(self._file.read_text())
                self._written = written
        return self._rate


async def regulars(url: str, count: int) -> list[dict[str, Any]]:
    """Log in some users and let each upload a picture: they must still be known after every release
    and on every side."""
    load = Load(url, [], Path(os.devnull), seed=7)
    users = [User(f"regular{n}") for n in range(count)]
    async with _session() as load._http:
        for user in users:
            await load._login(user, {})
            await load._upload(user, {})
            await load._me(user, {})
    return [
        {"name": user.name, "cookies": user.cookies, "picture": min(user.pictures)}
        for user in users
    ]


async def most(url: str, count: int, seconds: float) -> dict[str, float]:
    """Requests a second and p99 (s) where so many users ask without a pause."""
    load = Load(url, [User(f"eager{n}") for n in range(count)], Path(os.devnull), seed=11)
    began = time.monotonic()
    times_ms = await load.most(seconds)
    took_s = time.monotonic() - began
    return {"per_s": len(times_ms) / took_s, "p99_s": max(_quantiles(times_ms), default=0) / 1000}


async def ask_on(load: Load) -> None:
    """Until a signal ends it."""
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, load.stop)
    await load.run()


def known_users(file: Path | None) -> list[User]:
    known = json.loads(file.read_text()) if file is not None else []
    return [User(each["name"], each["cookies"], {each["picture"]}) for each in known]


def main() -> None:
    parser = argparse.ArgumentParser(description="Virtual users of the bookshop.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate-file", type=Path, help="requests a second; may change")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds; longer is slow")
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--regulars", type=Path, help="file of users who logged in before")
    parser.add_argument(
        "--log-in-regulars", type=int, default=0, help="log that many in, write them to --out, end"
    )
    parser.add_argument(
        "--most", type=float, default=0, help="ask without a pause for so many seconds, end"
    )
    asked = parser.parse_args()
    if asked.log_in_regulars:
        found: Any = asyncio.run(regulars(asked.url, asked.log_in_regulars))
        asked.out.write_text(json.dumps(found))
    elif asked.most:
        found = asyncio.run(most(asked.url, asked.users, asked.most))
        asked.out.write_text(json.dumps(found))
    else:
        users = known_users(asked.regulars)
        users += [User(f"user{n}") for n in range(asked.users - len(users))]
        rate = RateFile(asked.rate_file)
        asyncio.run(ask_on(Load(asked.url, users, asked.out, rate, asked.slow)))


if __name__ == "__main__":
    main()
