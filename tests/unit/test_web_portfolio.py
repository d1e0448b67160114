"""Hundreds of project files on one page: none hides another, and none is waited for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.here import Here
from kirikae.console.web import portfolio
from kirikae.console.web.places import Places, places_in
from kirikae.model.errors import AwsUnreachable, UsageProblem
from kirikae.model.move import Hold, Move, Phase, Why
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from tests.pace import PACE, eventually
from tests.unit.test_web import PROJECT, folder  # noqa: F401 - a fixture
from tests.webs import Browser, site_of
from tests.world import PLAN


def service(
    folder: Path,  # noqa: F811
    name: str,
    held: Hold | None = None,
    moves: bool = True,
) -> None:
    """A project file whose move is at half."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "kirikae.yml").write_text(PROJECT.replace("service: shop", f"service: {name}"))
    if moves:
        journal = Journal(SqliteStore(place / ".kirikae/state.db"), "test", name, "me", "here")
        journal.write(Move("earth", PLAN, Phase.RUNNING, 500, held, seq=1, attempt=1, stepped=1))


def reading(folder: Path) -> Browser:  # noqa: F811
    places = Places(lambda: places_in(folder / "all", Here(environment={})))
    return Browser(site_of(folder / "kirikae.yml", places=places)).sign_in()


@pytest.fixture(autouse=True)
def no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "extra_cost_per_day", lambda aws, project: None)


def test_a_portfolio_shows_what_needs_somebody_first(folder):  # noqa: F811
    """One that cannot be read is told by file and line, and hides nobody."""
    service(folder / "all", "calm")
    service(folder / "all", "stuck", Hold(Why.BY_HAND))
    (folder / "all" / "broken").mkdir()
    (folder / "all" / "broken" / "kirikae.staging.yml").write_text("service: shop\nfleets: [")
    browser = reading(folder)
    plain = browser.get("/?json").json()
    shown = plain["services"]
    assert shown[0]["service"] == "stuck" and shown[2]["service"] == "calm"
    assert "kirikae.staging.yml:2" in shown[1]["trouble"]
    assert plain["need_somebody"] == 2 and plain["not_looked_at"] == 0
    told = browser.get("/").text
    assert "/p/calm.kirikae/move/earth" in told and "50%" in told
    assert browser.get("/p/calm.kirikae/move/earth").status_code == 200
    assert browser.get("/p/nowhere/moves").status_code == 404
    only = browser.get("/?find=CALM").text
    assert "/p/calm.kirikae/" in only and "/p/stuck.kirikae/" not in only
    with pytest.raises(UsageProblem, match="no kirikae"):
        places_in(folder / "nothing", Here())


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_cost_that_is_not_known_is_not_zero(folder, monkeypatch, language):  # noqa: F811
    """The sum says of how many services it is; another account's figures are none of this one."""
    for name in ("cheap", "silent", "new"):
        service(folder / "all", name)

    def asked(aws, project):
        if project.service == "silent":
            raise AwsUnreachable("AWS does not answer: timed out")
        return 12.5 if project.service == "cheap" else None

    monkeypatch.setattr(portfolio, "extra_cost_per_day", asked)
    browser = reading(folder)
    browser.get("/")
    eventually(lambda: browser.get("/?json").json()["cost_known_of"] == 1, "costs are asked")
    eventually(lambda: "timed out" in browser.get("/").text, "the last one is asked")
    plain = browser.get("/?json").json()
    assert plain["cost_per_day_usd"] == 12.5
    assert sorted(str(each["cost_per_day_usd"]) for each in plain["services"]) == [
        "12.5",
        "None",
        "None",
    ]
    told = browser.get("/", **{"Accept-Language": language}).text
    assert "$12.50" in told and "$0.00" not in told


def test_no_file_hides_behind_another_of_its_name(tmp_path):
    """Dots of folders are dots of addresses, too; and what is too much is told."""
    for place in ("a/b", "a.b"):
        service(tmp_path, place, moves=False)
    listed = places_in(tmp_path, Here())
    assert list(listed.files) == ["a.b.kirikae"]
    [(hidden, why)] = listed.broken.items()
    assert hidden.endswith("a.b/kirikae.yml") and "a/b/kirikae.yml: rename a folder" in why


def test_a_file_that_comes_later_is_there_without_a_new_start(folder):  # noqa: F811
    """And one that is taken away is gone; a folder that is lost leaves the last list."""
    service(folder / "all", "first")
    places = Places(lambda: places_in(folder / "all", Here(environment={})))
    places._kept.fresh_s = 0.0
    service(folder / "all", "second")
    eventually(lambda: list(places) == ["first.kirikae", "second.kirikae"], "it is found")
    (folder / "all").rename(folder / "elsewhere")
    eventually(lambda: places.now() and "no kirikae" in places.trouble, "it is told")
    assert list(places) == ["first.kirikae", "second.kirikae"]
    browser = Browser(site_of(folder / "kirikae.yml", places=places)).sign_in()
    assert "no kirikae" in browser.get("/").text


def test_three_hundred_services_are_there_in_two_seconds(folder):  # noqa: F811
    """What has not been looked at by then is told as that, and comes by itself."""
    for number in range(300):
        service(folder / "all", f"shop{number}", moves=number % 10 == 0)
    browser = reading(folder)
    began = time.monotonic()
    plain = browser.get("/?json").json()
    took_s = time.monotonic() - began
    assert len(plain["services"]) == 300 and took_s < 2.0 * PACE.slowness()

    def at_half() -> int:
        seen = browser.get("/?json").json()
        assert seen["not_looked_at"] < 300
        return sum(
            each["moves"][0].get("share") == "50%" for each in seen["services"] if each["moves"]
        )

    eventually(lambda: at_half() == 30, "all are looked at", 60, at_half)


def test_a_journal_that_hangs_keeps_no_other_service_back(folder, monkeypatch):  # noqa: F811
    """Its row says that it has not answered."""
    service(folder / "all", "calm")
    service(folder / "all", "hangs")
    read = Journal.read

    def slow(self, name):
        if "hangs" in self._scope:
            time.sleep(5)
        return read(self, name)

    monkeypatch.setattr(Journal, "read", slow)
    browser = reading(folder)
    began = time.monotonic()
    shown = browser.get("/?json").json()["services"]
    assert time.monotonic() - began < 3 * PACE.slowness()
    assert {each["service"] for each in shown if each["looked_at"]} >= {"calm"}


def test_another_accounts_aws_is_not_asked_what_a_move_stands_at(folder, monkeypatch):  # noqa: F811
    """Its names may be the same; the page says which account the credentials are of."""
    from kirikae.aws.session import Caller

    monkeypatch.undo()
    monkeypatch.setattr(kinds, "KINDS", kinds.KINDS)
    monkeypatch.setattr(Aws, "caller", lambda self: Caller("999999999999", "arn:x"))
    monkeypatch.chdir(folder)
    (folder / "kirikae.yml").write_text(
        PROJECT.split("moves:")[0]
        + "moves:\n  web: {kind: traffic, router: {listener_rule: b/main}}\n"
    )
    told = Browser(site_of(folder / "kirikae.yml")).sign_in().get("/p/home/move/web").text
    assert "999999999999" in told
