"""A real browser reads every page in both languages, and presses the red button."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kirikae.console.web.app import app
from kirikae.console.web.door import Door
from kirikae.console.web.pages import NAV
from tests.pace import eventually
from tests.unit.test_web import EARTH, folder, running, share  # noqa: F401 - a fixture
from tests.webs import TOKEN, site_of

CHROMIUM = shutil.which("chromium") or ""
AXE = Path(__file__).parents[2] / ".cache" / "clients" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [
    ("en-GB", 1280, "light"),
    ("ja", 390, "dark"),
    ("ja", 1280, "light"),
    ("en-GB", 390, "dark"),
]


@pytest.fixture
def served(folder: Path) -> Iterator[str]:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        site = replace(site_of(folder / "kirikae.yml"), door=Door(frozenset({origin}), "kirikae"))
        server = uvicorn.Server(uvicorn.Config(app(site), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            eventually(lambda: server.started, "the console serves")
            yield origin
        finally:
            server.should_exit = True
            thread.join()


def faults(page: Any) -> list[str]:
    """What axe finds, and a page that is wider than the screen."""
    # By the protocol of the browser's own tools: the page's policy would not let a script in.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    told = "axe.run().then(found => found.violations.map(v => `${v.id}: ${v.nodes[0].html}`))"
    found = page.evaluate(told)
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return [*found, *(["wider than the screen"] if wide else [])]


@pytest.mark.prove
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: `scripts/prepare browser` installs it")
def test_every_page_in_a_browser_and_the_red_button(folder, served):  # noqa: F811
    """Axe's rules are clean, no console error, no other host; then 50% becomes 0."""
    from playwright.sync_api import sync_playwright

    running(folder)
    found: list[str] = []
    hosts: set[str] = set()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for language, width, scheme in LOOKS:
            context = browser.new_context(
                locale=language, viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            page.on("request", lambda asked: hosts.add(asked.url.split("/")[2]))
            name = f"{language} {width}"
            page.on(
                "console", lambda said, name=name, found=found: found.append(f"{name}: {said.text}")
            )
            page.goto(f"{served}/sign-in")
            found += (f"{name} sign-in: {told}" for told in faults(page))
            page.fill("#token", TOKEN)
            page.press("#token", "Enter")
            page.wait_for_url("**/moves")
            for way in [EARTH, *(f"/p/home/{each}" for each in NAV if each != "decide")]:
                page.goto(f"{served}{way}", wait_until="domcontentloaded")
                found += (f"{name} {way}: {told}" for told in faults(page))
        page.goto(f"{served}{EARTH}", wait_until="domcontentloaded")
        page.fill("#name", "earth")
        page.press("#name", "Enter")
        page.wait_for_selector(".press.over")
        assert share(folder) == 0 and "earth: share is 0" in page.inner_text(".press")
        browser.close()
    assert found == [] and hosts == {served.split("/")[2]}
