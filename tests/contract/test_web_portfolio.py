"""A portfolio in a bucket of a real S3 (kirikae local's keeper): read, copied, watched."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kirikae.aws.s3_store import store_at
from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.here import Here
from kirikae.console.web.places import Places, places_of_bucket
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.move import Move, Phase
from kirikae.move.journal import Journal
from kirikae.traffic.kind import TRAFFIC
from tests.keeper import KeeperProcess
from tests.pace import eventually
from tests.unit.test_web import PROJECT
from tests.webs import Browser, site_of
from tests.world import PLAN, WORLD, known

URL = "s3://portfolio/teams"
STORE = "store: s3://portfolio/journals\n"


@pytest.fixture
def keeper(tmp_path, monkeypatch) -> Iterator[KeeperProcess]:
    found = KeeperProcess(tmp_path)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    yield found
    found.kill()


def put(key: str, body: bytes) -> None:
    Aws("eu-west-1").client("s3").put_object(Bucket="portfolio", Key=key, Body=body)


def test_project_files_of_a_bucket(keeper, tmp_path):
    """Journals in S3 are read; one that is a file elsewhere is unknown, never `not started`; what
    is no text, and a key that leads out of the folder, are told and hide nobody."""
    s3 = Aws("eu-west-1").client("s3")
    s3.create_bucket(
        Bucket="portfolio", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    copies = tmp_path / "copies"
    copies.mkdir()
    with pytest.raises(UsageProblem, match="no kirikae"):
        places_of_bucket(URL, Here(), copies)
    put("teams/pay/kirikae.yml", (STORE + PROJECT.replace("shop", "pay")).encode())
    put("teams/pay/kirikae.staging.yml", b'fleets:\n  old: {hosts: ["ssh://stage1"]}\n')
    put("teams/alone/kirikae.yml", PROJECT.encode())
    put("teams/odd/kirikae.yml", b"service: \xff\xfe")
    put("teams/../out/kirikae.yml", PROJECT.encode())
    put("teams/readme.md", b"no project file")
    store = store_at(Aws("eu-west-1"), "s3://portfolio/journals")
    journal = Journal(store, "test", "pay", "me", "here")
    journal.write(Move("earth", PLAN, Phase.RUNNING, 500, seq=1, attempt=1, stepped=1))
    places = Places(lambda: places_of_bucket(URL, Here(environment=os.environ), copies))
    assert sorted(places) == ["alone.kirikae", "pay.kirikae", "pay.kirikae.staging"]
    browser = Browser(site_of(tmp_path / "none.yml", places=places)).sign_in()

    def seen() -> dict[str, dict]:
        return {each["place"]: each for each in browser.get("/?json").json()["services"]}

    eventually(lambda: all(each["looked_at"] for each in seen().values()), "all are looked at")
    eventually(lambda: "share" in seen()["pay.kirikae"]["moves"][0], "its journal is read")
    found = seen()
    assert found["pay.kirikae"]["moves"][0]["share"] == "50%"
    assert found["pay.kirikae.staging"]["environment"] == "staging"
    eventually(
        lambda: "on the machine that moves it" in str(seen()["alone.kirikae"]["moves"]),
        "its journal is said to be elsewhere",
    )
    assert "s3://portfolio/teams/odd/kirikae.yml" in found["odd.kirikae"]["trouble"]
    assert [each for each in found if "out" in each and found[each]["trouble"]]
    assert not (tmp_path / "out").exists()
    # What the bucket has no more is gone; a bucket that does not answer leaves the last list.
    s3.delete_object(Bucket="portfolio", Key="teams/alone/kirikae.yml")
    places._kept.fresh_s = 0.0
    eventually(lambda: "alone.kirikae" not in places, "it is gone")
    keeper.kill()
    eventually(lambda: places.now() and places.trouble, "that is told", 60)
    assert "pay.kirikae" in places
    keeper.start()


def test_a_bucket_that_is_not_there(keeper, tmp_path):
    """It is the portfolio's, and the message says so."""
    with pytest.raises(KirikaeError, match="no bucket nowhere for the portfolio"):
        places_of_bucket("s3://nowhere/x", Here(), tmp_path)
