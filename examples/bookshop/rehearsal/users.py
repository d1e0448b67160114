"""Virtual users of the bookshop: an open-model load in which every answer is judged by the one who
asked.

Arrivals are a Poisson process; an idle user takes each.  A user logs in once, then browses,
uploads, orders, and checks that it is still logged in and sees its own data.  Verdicts: ok, slow
(over a second), wrong (lost session or wrong content), lost (no answer, or a server error).  Each
second one JSON line goes to the output file."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

SLOW_S = 1.0
TIMEOUT_S = 15.0
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
    def __init__(self, url: str, users: list[User], out: Path, seed: int) -> None:
        self._url = url
        self._idle = list(users)
        self._out = out
        self._random = random.Random(seed)
        self._seconds: dict[int, Second] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._stop = False
        self.sessions_lost: set[str] = set()
        self.stalled = 0

    async def run(self, rate: float) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=jar, timeout=timeout
        ) as self._http:
            writer = asyncio.create_task(self._write())
            due = time.monotonic()
            while not self._stop:
                due += self._random.expovariate(rate)
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                if not self._idle:
                    self.stalled += 1
                    continue
                user = self._idle.pop(self._random.randrange(len(self._idle)))
                task = asyncio.create_task(self._visit(user))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await asyncio.gather(*self._running, return_exceptions=True)
            writer.cancel()
            self._flush(everything=True)

    def stop(self) -> None:
        self._stop = True

    async def _visit(self, user: User) -> None:
        action = (
            "login"
            if "sid" not in user.cookies
            else self._random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        )
        began = time.perf_counter()
        seen = {"side": "none", "release": "", "status": ""}
        verdict = "ok"
        reason = ""
        try:
            await getattr(self, f"_{action}")(user, seen)
        except Wrong as wrong:
            verdict = "wrong"
            reason = str(wrong)
            if seen["status"] == "401":
                self.sessions_lost.add(user.name)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            verdict = "lost"
            reason = type(error).__name__
        took_s = time.perf_counter() - began
        if verdict == "ok" and seen["status"].startswith("5"):
            verdict = "lost"
            reason = f"status {seen['status']}"
        if verdict == "ok" and took_s > SLOW_S:
            verdict = "slow"
        second = self._seconds.setdefault(int(time.time()), Second())
        second.rows[seen["side"], verdict, action, reason, seen["release"]] += 1
        if seen["side"] in second.times_ms:
            second.times_ms[seen["side"]].append(round(took_s * 1000))
        self._idle.append(user)

    async def _ask(
        self, user: User, seen: dict[str, str], method: str, path: str, **body: Any
    ) -> str:
        """The body of the answer; server errors return "" and are counted by their status."""
        cookie = "; ".join(f"{k}={v}" for k, v in user.cookies.items())
        async with self._http.request(
            method, self._url + path, headers={"Cookie": cookie} if cookie else {}, **body
        ) as answer:
            seen["status"] = str(answer.status)
            served_by = answer.headers.get("X-Served-By", "")
            seen["side"] = "old" if served_by.startswith("web") else "new" if served_by else "none"
            seen["release"] = answer.headers.get("X-Release-Id", "")
            for name, morsel in answer.cookies.items():
                user.cookies[name] = morsel.value
            content = await answer.read()
        if answer.status >= 500:
            return ""
        if answer.status == 401:
            raise Wrong("logged out")
        if answer.status != 200:
            raise Wrong(f"status {answer.status} for {path}")
        return (
            content.decode(errors="replace")
            if path != "/picture" or method != "GET"
            else hashlib.sha1(content).hexdigest()
        )

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


def _quantiles(values: list[int]) -> list[int]:
    """p50, p95 and p99; empty without values."""
    ordered = sorted(values)
    return (
        [ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.95, 0.99)]
        if ordered
        else []
    )


async def regulars(url: str, count: int) -> list[dict[str, Any]]:
    """Log in some users and let each upload a picture: they must still be known after every release
    and on every side."""
    load = Load(url, [], Path(os.devnull), 7)
    users = [User(f"regular{n}") for n in range(count)]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as load._http:
        for user in users:
            await load._login(user, {})
            await load._upload(user, {})
            await load._me(user, {})
    return [{"name": u.name, "cookies": u.cookies, "picture": min(u.pictures)} for u in users]


def main() -> None:
    parser = argparse.ArgumentParser(description="Virtual users of the bookshop.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=220.0)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--regulars", type=Path, help="file of users who logged in before")
    parser.add_argument(
        "--log-in-regulars", type=int, default=0, help="log that many in, write them to --out, end"
    )
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.log_in_regulars:
        asked.out.write_text(json.dumps(asyncio.run(regulars(asked.url, asked.log_in_regulars))))
        return
    known = json.loads(asked.regulars.read_text()) if asked.regulars else []
    users = [User(k["name"], k["cookies"], {k["picture"]}) for k in known]
    users += [User(f"user{n}") for n in range(asked.users - len(users))]
    load = Load(asked.url, users, asked.out, asked.seed)

    async def run() -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, load.stop)
        await load.run(asked.rate)

    asyncio.run(run())


if __name__ == "__main__":
    main()
