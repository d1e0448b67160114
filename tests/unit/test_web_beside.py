"""Prometheus and Slack at the console: no session, but each shows that it may ask."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from kirikae.console.chat.signed import signature
from kirikae.console.chat.slack import MOST_BYTES, Chat
from kirikae.console.web.app import app
from kirikae.console.web.site import ALONE, Site
from tests.unit.test_chat import CHAT, SECRET, URL
from tests.unit.test_web import PROJECT, journal_of, running, share
from tests.unit.test_web import folder as web_folder
from tests.unit.test_web import site as web_site
from tests.webs import ORIGIN, TOKEN, Browser, site_of

folder = web_folder
site = web_site
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def guest(site: Site) -> TestClient:
    return TestClient(app(site), base_url=ORIGIN)


@pytest.mark.parametrize("way", ["/metrics", f"/metrics/{ALONE}"])
def test_a_scrape_shows_a_token(guest, folder, way):
    running(folder)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        refused = guest.get(way, headers=headers)
        assert refused.status_code == 401 and "kirikae_" not in refused.text
    found = guest.get(way, headers=BEARER)
    assert found.status_code == 200
    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'kirikae_move_share{move="earth",kind="world"} 500' in found.text.splitlines()
    assert TOKEN not in found.text


def test_who_is_signed_in_sees_the_figures_too(site):
    assert "kirikae_info" in Browser(site).sign_in().get("/metrics").text


def test_the_sixth_wrong_token_of_a_scrape_waits_and_the_sign_in_does_not(guest, site):
    for _ in range(5):
        guest.get("/metrics", headers={"Authorization": "Bearer wrong"})
    assert guest.get("/metrics", headers=BEARER).status_code == 429
    assert Browser(site).sign_in().get("/metrics").status_code == 200


def test_what_cannot_be_looked_at_is_no_page_of_zeros(guest, folder):
    (folder / "kirikae.yml").write_text("service: [")
    found = guest.get("/metrics", headers=BEARER)
    assert found.status_code == 503 and "kirikae_" not in found.text


def test_of_several_project_files_one_is_named(folder, site):
    two = Site({"a": site.places[ALONE], "b": site.places[ALONE]}, site.door, site.keys)
    guest = TestClient(app(two), base_url=ORIGIN)
    found = guest.get("/metrics", headers=BEARER)
    assert found.status_code == 404 and "/metrics/a, /metrics/b" in found.text
    assert guest.get("/metrics/b", headers=BEARER).status_code == 200
    assert guest.get("/metrics/c", headers=BEARER).status_code == 404
    assert guest.post("/slack/c").status_code == 404


def slack(guest: TestClient, text: str, now: float, secret: str = SECRET) -> int:
    body = urlencode(
        {"user_id": "U0SATO", "team_id": "T0001", "text": text, "response_url": URL}
    ).encode()
    stamp = str(int(now))
    signed = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature(secret, stamp, body),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return guest.post("/slack", content=body, headers=signed).status_code


def test_slack_is_heard_where_it_has_signed_and_nobody_else(guest, folder, monkeypatch):
    """Without cookie, Origin and CSRF token; its answers go to Slack, and here to nobody."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Chat, "tell", lambda self, url, message: sent.append(message))
    (folder / "kirikae.yml").write_text(PROJECT + CHAT.format(language="en"))
    running(folder)
    site = site_of(folder / "kirikae.yml")
    here = replace(site.places[ALONE], environment={"SIGNING": SECRET})
    guest = TestClient(app(replace(site, places={ALONE: here})), base_url=ORIGIN)
    assert slack(guest, "status", time.time(), "forged") == 401
    assert guest.post("/slack").status_code == 401
    assert guest.post("/slack", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert guest.get("/slack").status_code == 405
    assert guest.post("/slack", headers={"Host": "evil"}).status_code == 421
    assert not sent
    assert slack(guest, "status earth", time.time()) == 200
    assert "earth" in sent[-1]["text"]
    assert slack(guest, "back-out earth", time.time()) == 200
    assert share(folder) == 500 and journal_of(folder).read("earth").seq == 1
