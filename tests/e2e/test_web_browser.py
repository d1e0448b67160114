"""A real browser reads every page in both languages, and presses the red button."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kirikae.console.here import Here
from kirikae.console.web import portfolio as pages
from kirikae.console.web.app import app
from kirikae.console.web.door import Door
from kirikae.console.web.pages import NAV
from kirikae.console.web.places import Places, places_in
from kirikae.model.move import Hold, Why
from kirikae.survey.shelf import Shelf
from tests.pace import eventually
from tests.unit.test_survey import bundle_text
from tests.unit.test_web import EARTH, folder, running, share  # noqa: F401 - a fixture
from tests.unit.test_web_portfolio import service
from tests.webs import TOKEN, site_of

CHROMIUM = shutil.which("chromium") or ""
AXE = Path(__file__).parents[2] / ".cache" / "clients" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [
    ("en-GB", 1280, "light"),
    ("ja", 390, "dark"),
    ("ja", 1280, "light"),
    ("en-GB", 390, "dark"),
]


@contextmanager
def serving(project_file: Path, **changed: object) -> Iterator[str]:
    """A console in this process; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        origin = f"http://127.0.0.1:{port}"
        door = Door(frozenset({origin}), f"kirikae-{port}")  # cookies know no ports
        site = replace(site_of(project_file), door=door, **changed)  # type: ignore[arg-type]
        server = uvicorn.Server(uvicorn.Config(app(site), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            eventually(lambda: server.started, "the console serves")
            yield origin
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def served(folder: Path) -> Iterator[str]:  # noqa: F811
    """With a survey of a real host, so that there is something to decide by."""
    Shelf(folder / ".kirikae" / "bundles").put("web1", bundle_text("web1"))
    with serving(folder / "kirikae.yml") as origin:
        yield origin


@pytest.fixture
def portfolio(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: F811
    """Forty services, one of them held, one that cannot be read."""
    monkeypatch.setattr(pages, "extra_cost_per_day", lambda aws, project: None)
    for number in range(40):
        service(folder / "all", f"shop{number}", Hold(Why.BY_HAND) if number == 7 else None)
    (folder / "all" / "shop9" / "kirikae.yml").write_text("service: shop9\nfleets: [")
    places = Places(lambda: places_in(folder / "all", Here(environment={})))
    with serving(folder / "kirikae.yml", places=places) as origin:
        yield origin


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
def test_every_page_in_a_browser_and_the_red_button(folder, served, portfolio):  # noqa: F811
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
            for way in [EARTH, *(f"/p/home/{each}" for each in NAV)]:
                page.goto(f"{served}{way}", wait_until="domcontentloaded")
                found += (f"{name} {way}: {told}" for told in faults(page))
            page.goto(f"{portfolio}/sign-in")
            page.fill("#token", TOKEN)
            page.press("#token", "Enter")
            page.wait_for_selector("table.portfolio >> text=shop7")
            found += (f"{name} portfolio: {told}" for told in faults(page))
        page.goto(f"{served}{EARTH}", wait_until="domcontentloaded")
        page.fill("#name", "earth")
        page.press("#name", "Enter")
        page.wait_for_selector(".press.over")
        assert share(folder) == 0 and "earth: share is 0" in page.inner_text(".press")
        browser.close()
    assert found == [] and hosts == {served.split("/")[2], portfolio.split("/")[2]}
