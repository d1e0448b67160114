"""Somebody with a real browser at a console that runs as a process of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.test_web_browser import LOOKS, faults
from tests.pace import eventually


def address_and_token(lines: Callable[[], Sequence[str]]) -> tuple[str, str]:
    """What `kirikae serve --json` says once it serves.  ``lines``: what it has said so far."""

    def told() -> str:
        return next((line for line in lines() if "origins" in line), "")

    plain = json.loads(eventually(told, "the console serves"))
    token = Path(plain["token_file"]).read_text(encoding="utf-8").strip()
    return next(each for each in plain["origins"] if "127.0.0.1" in each), token


class Onlooker:
    """Somebody with a browser; what it complains of is kept."""

    def __init__(self, browser: Any, origin: str, token: str, shots: Path) -> None:
        self._browser = browser
        self._token = token
        self._shots = shots
        self.origin = origin
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.seen = 0

    def page(self, language: str = "en-GB", width: int = 1280, scheme: str = "light") -> Any:
        """One that has signed in."""
        page = self._browser.new_context(
            locale=language, viewport={"width": width, "height": 900}, color_scheme=scheme
        ).new_page()
        page.on("request", lambda asked: self.hosts.add(asked.url.split("/")[2]))
        page.on("console", lambda said: self.complaints.append(f"{page.url}: {said.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.goto(f"{self.origin}/sign-in")
        self.look(page, f"{language} {width} {scheme}")
        page.fill("#token", self._token)
        page.press("#token", "Enter")
        page.wait_for_url(lambda url: "/sign-in" not in url)
        return page

    def look(self, page: Any, who: str) -> None:
        """At what is open there now: rules of accessibility, width; and a picture."""
        way = page.url.removeprefix(self.origin)
        self.complaints += (f"{who} {way}: {told}" for told in faults(page))
        name = "".join(each if each.isalnum() else "-" for each in f"{who}{way}")
        page.screenshot(path=self._shots / f"{name}.png", full_page=True)
        self.seen += 1

    def walk(self, ways: list[str]) -> None:
        """Every page, in both languages, wide and narrow, light and dark."""
        for language, width, scheme in LOOKS:
            page = self.page(language, width, scheme)
            for way in ways:
                answer = page.goto(f"{self.origin}{way}", wait_until="domcontentloaded")
                if answer.status != 200:
                    self.complaints.append(f"{language} {way}: {answer.status}")
                self.look(page, f"{language} {width} {scheme}")
            page.context.close()


def seconds_until_zero(weight: Callable[[], int], press: Callable[[], None]) -> float:
    """From the press until the load balancer forwards nothing to the new side."""
    done: list[float] = []
    began = time.monotonic()

    def look() -> None:
        while not done and time.monotonic() - began < 120:
            if weight() == 0:
                done.append(time.monotonic())
            time.sleep(0.02)

    looking = threading.Thread(target=look)
    looking.start()
    press()
    looking.join()
    assert done, "the share is not 0 two minutes after the press"
    return done[0] - began
