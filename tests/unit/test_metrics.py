"""What monitoring is told: the looks of the verbs of status, and nothing that nobody knows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from kirikae.aws.errors import WrongAccount
from kirikae.aws.session import Aws
from kirikae.console import kinds, measured
from kirikae.console.drill_reports import DrillSeen, drills_in
from kirikae.console.exposition import Family, Sample, known, name_of, text_of
from kirikae.console.here import Here
from kirikae.console.measured import Kept, Measured, MoveSeen, ReleasesSeen, SurveySeen
from kirikae.console.metrics import dashboard
from kirikae.console.metrics_families import families
from kirikae.console.outlook import Standing
from kirikae.model.errors import AwsUnreachable
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, Severity
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import text
from kirikae.move.journal import Journal
from kirikae.move.lease import Holder
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ledger import Deployed, Outcome
from kirikae.release.status import ServiceNow
from tests.command import run
from tests.unit.test_every_verb import PROJECT
from tests.unit.test_every_verb import folder as project_folder
from tests.world import PLAN

folder = project_folder
DOCS = Path(__file__).parents[2] / "docs"
ACCEPTED = """\
accepted:
  - {finding: CF05, where: '/etc/"odd"\\x', why: w, by: SRE, until: 2027-01-31}
"""
FIGURES = {
    "old_requests": 900.0,
    "new_requests": 100.0,
    "old_errors": 1.0,
    "new_errors": 2.0,
    "log_harm": 1.5,
    "bar_harm": 4.6,
    "baked_s": 60.0,
}


REPORTS = {
    "load": {
        "figures": {"requests": 7, "ok": 5, "lost": 2, "latency_ms": {"p50": 12.0, "p99": None}}
    },
    "day": {
        "faults": [
            {"fault": "kill-task", "recovery_s": 3.5, "lost": 1},
            {"fault": "az-loss", "recovery_s": None, "lost": 4},
        ]
    },
    "simulated": {"tasks": 3, "slow": True},
}


@pytest.fixture
def seen(folder) -> Measured:
    """A whole look: one move of each that a page can hold."""
    project = kinds.read_project(PROJECT + ACCEPTED, "kirikae.yml")
    move = replace(Move("web", (10, 1000), seq=7, share=10), phase=Phase.RUNNING)
    stands = Standing(move, (), Holder(1, "here"), None, None, 10)
    web = MoveSeen(
        "web", "traffic", stands, Evidence(Verdict.UNSURE, text("few"), 10, FIGURES), 5.0
    )
    ledger = [Deployed(1, "r1", "new", "me", 1.0, Outcome.DONE)]
    return Measured(
        project,
        [web, MoveSeen("never", "jobs"), MoveSeen("lost", "jobs", trouble="locked")],
        ReleasesSeen(ledger, {"b": ServiceNow("b:1", 2, 3), "gone": None}),
        SurveySeen(
            [Finding("ST03", "/x", "s", "r", Severity.BLOCKS, blocks=("traffic",))],
            {"web1": 3600.0, "web2": None},
        ),
        9.0,
        drills_of(REPORTS),
    )


def drills_of(reports: dict[str, Any]) -> list[DrillSeen]:
    with TemporaryDirectory() as folder:
        for name, plain in reports.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(plain))
        troubles: list[str] = []
        found = drills_in(Path(folder), troubles)
        assert troubles == []
        return sorted(found, key=lambda each: (each.report, each.fault))


def series(found: str) -> dict[str, str]:
    lines = [line for line in found.splitlines() if not line.startswith("#")]
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines})
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}


def test_a_move_is_told_as_status_and_watch_tell_it(seen):
    found = series(text_of(families(seen)))
    web = '{move="web",kind="traffic"'
    assert found[f"kirikae_move_share{web}}}"] == "10"
    assert found[f"kirikae_move_found_share{web}}}"] == "10"
    assert found[f"kirikae_move_next_share{web}}}"] == "1000"
    assert found[f'kirikae_move_phase{web},phase="running"}}'] == "1"
    assert found[f'kirikae_move_phase{web},phase="settled"}}'] == "0"
    assert found[f'kirikae_move_held{web},why="backed out"}}'] == "0"
    assert found[f'kirikae_move_verdict{web},verdict="unsure"}}'] == "1"
    assert found[f"kirikae_move_driven{web}}}"] == "1"
    assert found['kirikae_move_traffic_requests{move="web",side="new"}'] == "100"
    assert found['kirikae_move_traffic_log_harm{move="web"}'] == "1.5"
    assert found['kirikae_move_traffic_baked_seconds{move="web"}'] == "60"
    assert found['kirikae_release_serving{fleet="new",release="r1"}'] == "1"
    assert found['kirikae_survey_blocking_findings{kind="traffic"}'] == "1"
    assert found['kirikae_survey_blocking_findings{kind="jobs"}'] == "0"


def test_what_is_not_known_is_missing_and_never_zero(seen):
    """No share of a move that was never planned, that could not be looked at, or whose weights say
    nothing; no tasks of a service that is not there; no age of a host that nobody looked at."""
    [web, *others] = seen.moves
    unknown = replace(web, standing=replace(web.standing, share_found=None), evidence=None)
    found = series(text_of(families(replace(seen, moves=[unknown, *others], releases=None))))
    names = {each.partition("{")[0] for each in found}
    assert "kirikae_move_found_share" not in names and "kirikae_move_verdict" not in names
    assert not [name for name in names if name.startswith(("kirikae_release", "kirikae_move_tr"))]
    assert found['kirikae_move_looked_at{move="lost",kind="jobs"}'] == "0"
    assert found['kirikae_move_looked_at{move="never",kind="jobs"}'] == "1"
    of_others = [each for each in found if 'move="never"' in each or 'move="lost"' in each]
    assert len(of_others) == 2
    assert not [each for each in found if "web2" in each]
    assert not [s for s in families(seen) for x in s.samples if x.labels.get("service") == "gone"]


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_number_that_is_none_makes_no_sample(value):
    assert known(value, {}) == []


def test_drills_are_told_by_their_reports(seen, tmp_path):
    """A service that never was as before has no time of recovery; a report that is of no drill is
    none; one that cannot be read is a trouble of the scrape."""
    told = series(text_of(families(seen)))
    assert told['kirikae_drill_requests{report="load",fault="",verdict="lost"}'] == "2"
    assert told['kirikae_drill_latency_seconds{report="load",fault="",quantile="0.5"}'] == "0.012"
    assert told['kirikae_drill_recovery_seconds{report="day",fault="kill-task"}'] == "3.5"
    assert told['kirikae_drill_lost_requests{report="day",fault="az-loss"}'] == "4"
    assert not [each for each in told if "recovery" in each and "az-loss" in each]
    assert not [each for each in told if "simulated" in each or 'quantile="0.99"' in each]
    (tmp_path / "torn.json").write_text("{")
    troubles: list[str] = []
    assert drills_in(tmp_path, troubles) == [] and "torn.json" in troubles[0]


def test_labels_and_help_are_escaped():
    """Prometheus, "Exposition formats": backslash, double quote and line feed in labels; backslash
    and line feed in help."""
    odd = 'a\\b"c\nd'
    told = text_of([Family("x", odd, [Sample(math.inf, {"l": odd}), Sample(0.25)])])
    assert told == ('# HELP x a\\\\b"c\\nd\n# TYPE x gauge\nx{l="a\\\\b\\"c\\nd"} +Inf\nx 0.25\n')
    assert name_of("kirikae_move", "logs", "p99.5-late_s") == "kirikae_move_logs_p99_5_late_seconds"


def test_the_same_labels_stand_once():
    """Prometheus refuses a whole page for one series that stands twice."""
    assert text_of([Family("x", "", [Sample(1), Sample(2)])]).splitlines()[2:] == ["x 2"]


def test_a_held_move_says_why(seen):
    [web, *_] = seen.moves
    order = Order(Verb.BACK_OUT, 0, text("red"))
    held = web.standing.move.intending(order).done()
    found = series(
        text_of(
            families(replace(seen, moves=[replace(web, standing=replace(web.standing, move=held))]))
        )
    )
    assert found['kirikae_move_held{move="web",kind="traffic",why="backed out"}'] == "1"
    assert found['kirikae_move_share{move="web",kind="traffic"}'] == "0"


def expressions(panel_or_list: Any) -> Iterator[tuple[str, str]]:
    for panel in panel_or_list:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def test_every_expression_of_the_dashboard_asks_for_what_is_exported(seen):
    """Its names, the labels it selects by, and those that its legends show."""
    exported = {
        family.name: set.union(*(set(sample.labels) for sample in family.samples))
        for family in families(seen)
    }
    board = dashboard()
    asked = [*expressions(board["panels"])]
    assert len(asked) > 15
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
            assert label in exported[name]
    for expression, legend in asked:
        names = re.findall(r"kirikae_\w+", expression)
        assert names, expression
        for name in names:
            labels = exported[name]
            assert set(re.findall(r"(\w+)=~?\"", expression)) <= labels, expression
            if not expression.startswith("count("):
                assert set(re.findall(r"{{(\w+)}}", legend)) <= labels, (expression, legend)


def test_the_page_about_them_names_each_one_and_its_labels(seen):
    """And none that is not there; figures of a kind of move are told by example."""
    page = (DOCS / "how-to" / "metrics.md").read_text(encoding="utf-8")
    exported = {family.name: family for family in families(seen)}
    for name in re.findall(r"kirikae_[a-z_]+[a-z]", page):
        assert name in exported or name == "kirikae_move", name
    for name, family in exported.items():
        if not name.startswith("kirikae_move_traffic_"):
            [row] = [
                line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line
            ]
            for label in family.samples[0].labels:
                assert f"`{label}`" in row, (name, label)


def test_the_dashboard_asks_no_other_host():
    assert "http" not in json.dumps(dashboard())


def test_the_verb_prints_what_is_scraped_and_says_what_it_could_not_see(folder):
    """AWS does not answer here: the releases are missing, the move of a file is told."""
    store = SqliteStore(folder / ".kirikae" / "state.db")
    Journal(store, "test", "shop", "me", "here").write(Move("earth", PLAN, seq=1))
    ran = run("metrics")
    assert ran.exit_code == 6 and ran.stderr
    assert series(ran.stdout)['kirikae_move_share{move="earth",kind="world"}'] == "0"
    plain = run("metrics", "--json").json
    assert plain["outcome"] == "found" and plain["troubles"]
    names = {each["name"] for each in plain["families"]}
    assert "kirikae_move_share" in names and "kirikae_release_serving" not in names
    assert run("metrics", "--grafana", "--json").json["dashboard"] == dashboard()


def test_where_aws_does_not_answer_the_journal_and_the_survey_are_told(folder, monkeypatch):
    """Only another account keeps everything back."""

    def unreachable(self, account):
        raise AwsUnreachable("AWS does not answer")

    monkeypatch.setattr(Aws, "identity", unreachable)
    store = SqliteStore(folder / ".kirikae" / "state.db")
    Journal(store, "test", "shop", "me", "here").write(Move("earth", PLAN, seq=1))
    seen = measured.measured(Here())
    found = series(text_of(families(seen)))
    assert found['kirikae_move_share{move="earth",kind="world"}'] == "0"
    assert "kirikae_survey_findings" in {each.partition("{")[0] for each in found}
    assert "AWS does not answer" in seen.troubles[0]

    def wrong(self, account):
        raise WrongAccount("this is account 1, not 2")

    monkeypatch.setattr(Aws, "identity", wrong)
    with pytest.raises(WrongAccount):
        measured.measured(Here())


def test_one_look_serves_all_who_scrape_for_a_while():
    now = [0.0]
    looks = iter(["first", "second"])
    page = Kept(lambda: next(looks), lambda: now[0])
    assert [page(), page()] == ["first", "first"]
    now[0] = measured.KEPT_S
    assert page() == "second"


def test_an_old_look_is_never_told_as_new():
    now = [0.0]
    page = Kept(iter(["first"]).__next__, lambda: now[0])
    page()
    now[0] = measured.KEPT_S
    with pytest.raises(StopIteration):
        page()
