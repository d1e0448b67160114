"""The red button in a real browser, at half of a move that a driver drives under load."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kirikae.console.web.pages import NAV
from tests.e2e.onlooker import Onlooker, address_and_token, seconds_until_zero
from tests.e2e.test_command_line import User, load, shop, user  # noqa: F401 - fixtures
from tests.e2e.test_web_browser import AXE, CHROMIUM
from tests.e2e.waits import until_share
from tests.pace import PACE, ended, eventually

pytestmark = [
    pytest.mark.prove,
    pytest.mark.engine,
    pytest.mark.skipif(not CHROMIUM or not AXE.exists(), reason="`scripts/prepare browser`"),
]
BACKED_OUT = 4
BUTTON_S = 2.0


@contextmanager
def console(user: User) -> Iterator[tuple[str, str]]:  # noqa: F811
    """`kirikae serve` in the user's folder."""
    served = user.begin("serve", "--listen", "127.0.0.1:0", "--json")
    lines: list[str] = []
    assert served.stdout is not None
    reading = threading.Thread(target=lines.extend, args=[served.stdout], daemon=True)
    reading.start()
    try:
        yield address_and_token(lambda: lines)
    finally:
        served.send_signal(signal.SIGTERM)
        served.wait(30)


def test_the_button_is_pressed_at_half_and_nothing_is_forwarded_two_seconds_later(
    user: User,  # noqa: F811
    load,  # noqa: F811
    tmp_path: Path,
):
    """HAProxy, containers, a driver and requests are real; no request is lost, each page is clean,
    and the page that was open all the while says it."""
    from playwright.sync_api import sync_playwright

    code, _, err = user.run("release", "deploy", "r2", "--to", "new")
    assert code == 0, err
    shots = Path(os.environ.get("KIRIKAE_SHOTS", tmp_path / "shots"))
    shutil.rmtree(shots, ignore_errors=True)
    shots.mkdir(parents=True)
    with console(user) as (origin, token), sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        onlooker = Onlooker(browser, origin, token, shots)
        driver = user.begin("move", "start", "web")
        page = onlooker.page()
        page.goto(f"{origin}/p/home/move/web", wait_until="domcontentloaded")
        until_share(user, "10%")
        page.reload(wait_until="domcontentloaded")
        page.fill("#why", "somebody wants to look at every page")
        page.click("form[action$='/hold'] button")
        page.wait_for_selector(".done")
        assert ended(driver) == 5
        # Nobody has made a survey here, so there is nothing to decide by.
        ways = [f"/p/home/{name}" for name in NAV if name != "decide"]
        onlooker.walk([*ways, "/p/home/move/web"])
        page.click("form[action$='/resume'] button")
        page.wait_for_selector(".done")
        driver = user.begin("move", "start", "web")
        eventually(lambda: user.weights()[1] >= 400, "the move is at half", 120, user.weights)
        page.wait_for_selector("text=50%")
        # Nobody has loaded the page anew: what may be done and the journal have followed.
        page.wait_for_selector("form[data-act=hold]", state="visible")
        assert not page.is_visible("form[data-act=resume]")
        page.wait_for_selector("table.journal >> text=50%")
        onlooker.look(page, "at half")
        page.fill("#name", "web")
        took_s = seconds_until_zero(
            lambda: user.weights()[1],
            lambda: page.click("button.danger", no_wait_after=True),
        )
        page.wait_for_selector(".press.over")
        assert "web: share is 0" in page.inner_text(".press")
        onlooker.look(page, "after the button")
        assert ended(driver) == BACKED_OUT
        browser.close()
    said = f"{took_s:.2f} s (slowness {PACE.slowness():.1f})"
    print(f"\nbutton to share 0: {said}; {onlooker.seen} looks at pages")
    assert onlooker.complaints == []
    assert onlooker.hosts == {origin.split("/")[2]}
    assert load.failures == []
    assert took_s < BUTTON_S * PACE.slowness()
