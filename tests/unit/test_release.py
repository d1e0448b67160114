"""Releases: definition files, the order of fleets, the ledger, the health gate, and a wait that
tells the truth."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.aws.elbv2 import Target
from kirikae.console import release as console
from kirikae.console.here import Here
from kirikae.console.kinds import read_project
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Answer
from kirikae.model.errors import AwsUnreachable, UsageProblem
from kirikae.model.project import Check, NewFleet
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import balancer, service_deployment
from kirikae.release import deploy as deploying
from kirikae.release.balancer import Balancer
from kirikae.release.command_fleet import CommandFleet
from kirikae.release.definitions import load, render
from kirikae.release.ecs_fleet import EcsFleet, change
from kirikae.release.errors import (
    DefinitionProblem,
    GateShut,
    NoDeployer,
    NoRelease,
    NotFinished,
    NothingBefore,
    ReleaseTaken,
    RolledBack,
    UnderWay,
)
from kirikae.release.fleet import Step
from kirikae.release.fleets import Fleets
from kirikae.release.gate import Gate
from kirikae.release.hosts_fleet import HostsFleet
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import RELEASE_ID, Releases, new_id
from kirikae.release.on_host import OnHost, units_in
from kirikae.release.service_deployment import ServiceDeployment
from kirikae.release.status import ServiceNow, Standing
from tests.fleet import around_of

PROJECT = """
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a}
  new: {cluster: c, ecs_service: shop, target_group: b}
"""


def test_templates_know_env_and_must_env():
    """What is not understood is refused with its line, never guessed."""
    values = {"A": "1", "EMPTY": ""}
    assert (
        render('{{ must_env `A` }}-{{env `B` `x`}}-{{- env `EMPTY` "y" -}}', "f", values) == "1-x-y"
    )
    with pytest.raises(DefinitionProblem, match=r"f:2: .*B is not set"):
        render("\n{{ must_env `B` }}", "f", values)
    with pytest.raises(DefinitionProblem, match=r"f:1: .*A1 is not set\nf:2: .*A2 is not set"):
        render("{{ must_env `A1` }}\n{{ must_env `A2` }}", "f", values)
    with pytest.raises(DefinitionProblem, match=r"f:1: .*nope.* not defined"):
        render("{{ nope }}", "f", values)


@given(st.text(alphabet=st.sampled_from('{}` "envmust_-A1\n'), max_size=60))
def test_any_text_is_rendered_or_refused(text):
    """No template makes it fall over."""
    try:
        rendered = render(text, "f", {"A": "1"})
    except DefinitionProblem:
        return
    assert isinstance(rendered, str)


def test_bad_files_are_named(tmp_path):
    """Missing, broken, and not an object."""
    with pytest.raises(DefinitionProblem, match=r"fleets\.new\.definitions"):
        load(tmp_path, "ecs-task-def.json", {})
    (tmp_path / "x.json").write_text('{"a": \n!}')
    with pytest.raises(DefinitionProblem, match=r"x\.json:2"):
        load(tmp_path, "x.json", {})
    (tmp_path / "y.json").write_text("[]")
    with pytest.raises(DefinitionProblem, match="one object"):
        load(tmp_path, "y.json", {})


def test_the_desired_count_is_left_alone():
    """Capacity belongs to whoever scales the service: it is set at creation only."""
    definition = {"desiredCount": 2, "deploymentConfiguration": {"maximumPercent": 200}}
    place = NewFleet(cluster="c", ecs_service="s", target_group="g")
    create = change(False, "s", {"family": "f"}, definition).steps(place)
    update = change(True, "s", {"family": "f"}, definition).steps(place)
    assert [step.operation for step in create] == ["RegisterTaskDefinition", "CreateService"]
    assert [step.operation for step in update] == ["RegisterTaskDefinition", "UpdateService"]
    assert create[1].parameters == {**definition, "serviceName": "s"}
    assert update[1].parameters == {"deploymentConfiguration": {"maximumPercent": 200}}


def service(
    state: str, deployment: str = "ecs-svc/1", primary: str = "ecs-svc/1"
) -> dict[str, Any]:
    row = {
        "id": deployment,
        "rolloutState": state,
        "rolloutStateReason": "why.",
        "runningCount": 2 if state == "COMPLETED" else 1,
        "pendingCount": 1,
        "desiredCount": 2,
        "taskDefinition": "x/new:2",
        "createdAt": 5,
    }
    first = [{**row, "id": primary, "taskDefinition": "x/old:1"}] if primary != deployment else []
    return {
        "deployments": [*first, row],
        "events": [
            {"id": "e", "message": "hello", "createdAt": 6},
            {"id": "d", "message": "before our time", "createdAt": 4},
        ],
    }


@pytest.fixture
def looks(monkeypatch):
    """Successive answers of DescribeServices; an exception is raised."""

    def use(*answers: Any) -> Any:
        left = list(answers)

        def look(aws: Any, cluster: str, name: str) -> Any:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(service_deployment.ecs, "service", look)
        monkeypatch.setattr(service_deployment.ecs, "stopped_tasks", lambda *_: [])
        clock = iter(range(1000)).__next__
        waited = ServiceDeployment(None, "c", "s", "ecs-svc/1", clock, lambda seconds: None)
        return waited.wait(100)

    return use


def test_waiting_ends_when_this_deployment_is_complete(looks):
    """Events are told once; a silence in between is no failure."""
    seen = list(looks(service("IN_PROGRESS"), AwsUnreachable("silence"), service("COMPLETED")))
    assert seen[-1].done and [e for p in seen for e in p.events] == ["hello"]


def test_a_failed_deployment_is_no_success(looks):
    """Rolled back is an outcome of its own (many tools call it done)."""
    with pytest.raises(RolledBack, match=r"old:1"):
        list(looks(service("IN_PROGRESS"), service("FAILED", primary="ecs-svc/2")))


def test_somebody_else_s_deployment_is_not_waited_for(looks):
    """It took over: ours is unclear, and that is said."""
    with pytest.raises(NotFinished, match="took over"):
        list(looks(service("IN_PROGRESS", primary="ecs-svc/2")))
    with pytest.raises(NotFinished, match="gone"):
        list(looks(None))
    with pytest.raises(NotFinished, match="still going on"):
        list(looks(service("IN_PROGRESS")))


def ledger_in(folder):
    return Ledger(SqliteStore(folder / "s.db"), "test", "shop", "me", lambda: 5.0)


def test_the_ledger_says_what_was_begun_and_how_it_ended(tmp_path):
    """Also when the deploy was killed in between: the same release goes on with its entry, another
    one closes it."""
    ledger = ledger_in(tmp_path)
    killed = ledger.note(ledger.begin("r1", "new"), previous={"service": "arn:0"})
    assert ledger.begin("r1", "new") == killed and killed.at == 5.0
    ledger.end(ledger.begin("r2", "new"), Outcome.DONE, "arn:2")
    assert [(each.seq, each.release, each.outcome) for each in ledger.all()] == [
        (1, "r1", "not finished"),
        (2, "r2", "done"),
    ]
    assert ledger.all()[0].detail == "given up for r2"
    last = ledger.serving("new")
    assert last is not None and last.detail == "arn:2" and ledger.serving("old") is None


FORMER = json.loads((Path(__file__).parents[1] / "data/former/releases.json").read_text())
"""Keys and bodies of a store that the former version wrote: done on both fleets, rolled back, not
finished, and one that was killed in the middle."""


def test_what_the_former_version_wrote_is_read_and_gone_on_with(tmp_path):
    """Key, JSON and words of an entry are the same."""
    store = SqliteStore(tmp_path / "s.db")
    for key, body in FORMER.items():
        store.create_if_absent(key, json.dumps(body))
    ledger = ledger_in(tmp_path)
    entries = [body for key, body in FORMER.items() if key.startswith("release/")]
    assert [each.to_plain() for each in ledger.all()] == entries
    assert (
        ledger.serving("old").former == "r1" and ledger.serving("new").detail_in_short == "shop:2"
    )

    killed = ledger.begin("r4", "old")
    assert (killed.seq, killed.outcome, killed.former) == (5, "deploying", "r2")
    ledger.end(killed, Outcome.DONE, "2 hosts")
    written = json.loads(store.get("release/test/shop/00000005").body)
    assert written == {**entries[4], "outcome": "done", "detail": "2 hosts"}
    again = ledger.begin("r3", "new")
    assert again.seq == 6 and again.previous == entries[3]["previous"]

    releases = Releases(store, "test", "shop", tmp_path / "releases")
    assert releases.find("r2").files == 1
    assert releases.images("r2") == {"app": "sha256:1", "web": "sha256:2"}


# --- several fleets


class Remembered:
    """A fleet that remembers what was asked of it, in the order of all fleets; ``trouble`` by
    act."""

    def __init__(self, side, acts, runs="r1", **trouble):
        self.side = side
        self._acts = acts
        self._runs = runs
        self._trouble = trouble

    def _do(self, act, *about):
        self._acts.append((self.side, act, *about))
        if act in self._trouble:
            raise self._trouble[act]

    def steps(self, release_id):
        self._do("steps", release_id)
        return [Step(f"put {release_id} on {self.side}", "op")]

    def running(self):
        self._do("running")
        return {"it": self._runs} if self._runs else {}

    def deploy(self, release_id, entry):
        self._do("deploy", release_id)
        self._runs = release_id
        return "here"

    def assert_can_go_back(self, target):
        self._do("assert_can_go_back")

    def put_back(self, target, entry):
        self._do("put_back", target.release)
        self._runs = target.release
        return "here"


def work(tmp_path):
    return ledger_in(tmp_path), Lock(SqliteStore(tmp_path / "s.db"), "test", "shop")


def outcomes(ended):
    return [(each.fleet, each.release, each.outcome) for each in ended.entries]


def test_both_fleets_get_the_release_in_the_order_that_was_asked_for(tmp_path):
    """Both are asked before the first one is touched."""
    acts = []
    fleets = [Remembered("new", acts), Remembered("old", acts)]
    ended = deploying.deploy("r2", fleets, *work(tmp_path))
    assert outcomes(ended) == [("new", "r2", "done"), ("old", "r2", "done")]
    assert ended.trouble is None and [each.former for each in ended.entries] == ["r1", "r1"]
    assert acts == [
        ("new", "steps", "r2"),
        ("old", "steps", "r2"),
        ("new", "running"),
        ("new", "deploy", "r2"),
        ("old", "running"),
        ("old", "deploy", "r2"),
    ]


def test_what_stands_in_the_way_of_the_second_fleet_keeps_the_first_as_it_is(tmp_path):
    """Nothing is locked, written down or changed."""
    acts = []
    ledger, lock = work(tmp_path)
    fleets = [Remembered("old", acts), Remembered("new", acts, steps=DefinitionProblem("no"))]
    with pytest.raises(DefinitionProblem):
        deploying.deploy("r2", fleets, ledger, lock)
    assert [act for _, act, *_ in acts] == ["steps", "steps"] and ledger.all() == []


def test_a_second_fleet_that_fails_goes_back_by_itself_and_the_first_keeps_the_release(tmp_path):
    """Each fleet's own way back; the ledger says which is which."""
    acts = []
    ledger, lock = work(tmp_path)
    fleets = [Remembered("old", acts), Remembered("new", acts, deploy=RolledBack("it fell"))]
    ended = deploying.deploy("r2", fleets, ledger, lock)
    assert outcomes(ended) == [("old", "r2", "done"), ("new", "r2", "rolled back")]
    assert isinstance(ended.trouble, RolledBack) and ended.entries[-1].detail == "it fell"
    assert ledger.all() == list(ended.entries)
    assert ledger.serving("new") is None and ledger.serving("old").release == "r2"


def test_after_a_fleet_that_fails_the_next_one_is_not_begun(tmp_path):
    """It keeps what it runs, and has no entry."""
    acts = []
    ledger, lock = work(tmp_path)
    fleets = [Remembered("old", acts, deploy=NotFinished("look")), Remembered("new", acts)]
    ended = deploying.deploy("r2", fleets, ledger, lock)
    assert outcomes(ended) == [("old", "r2", "not finished")]
    assert isinstance(ended.trouble, NotFinished)
    assert ("new", "deploy", "r2") not in acts and len(ledger.all()) == 1


def test_both_fleets_go_back_in_the_order_that_was_asked_for(tmp_path):
    """To what each of them ran, which need not be the same."""
    acts = []
    ledger, lock = work(tmp_path)
    fleets = [Remembered("old", acts, "r1"), Remembered("new", acts, "r0")]
    deploying.deploy("r2", fleets, ledger, lock)
    acts.clear()
    ended = deploying.roll_back(fleets, ledger, lock)
    assert outcomes(ended) == [("old", "r1", "done"), ("new", "r0", "done")]
    assert [each for each in acts if each[1] == "put_back"] == [
        ("old", "put_back", "r1"),
        ("new", "put_back", "r0"),
    ]


def test_nothing_goes_back_when_one_fleet_has_nothing_before(tmp_path):
    """Not even the other fleet: both, or neither."""
    acts = []
    ledger, lock = work(tmp_path)
    fleets = [Remembered("old", acts), Remembered("new", acts, runs="")]
    with pytest.raises(NothingBefore, match="the old fleet before"):
        deploying.roll_back(fleets, ledger, lock)
    deploying.deploy("r2", fleets, ledger, lock)
    acts.clear()
    with pytest.raises(NothingBefore, match=r"the new fleet before.*release status"):
        deploying.roll_back(fleets, ledger, lock)
    assert acts == [] and len(ledger.all()) == 2


def test_nobody_is_asked_for_a_deployer_where_nothing_can_go_back(tmp_path):
    """The ledger is asked first, also by a dry run."""
    for dry_run in (True, False):
        with pytest.raises(NothingBefore):
            console.rolled_back(desk(tmp_path), ["old"], dry_run)


def test_one_release_of_a_service_goes_on_at_a_time(tmp_path):
    """The second is told who is at it, and touches nothing."""
    acts = []
    ledger, lock = work(tmp_path)
    with lock.held(), pytest.raises(UnderWay, match=rf"of shop .* process {os.getpid()}"):
        deploying.deploy("r2", [Remembered("old", acts)], ledger, lock)
    assert [act for _, act, *_ in acts] == ["steps"] and ledger.all() == []
    assert deploying.deploy("r2", [Remembered("old", acts)], ledger, lock).trouble is None


def test_who_has_lost_the_lock_is_told_so_before_the_next_change(tmp_path, monkeypatch):
    """A process that slept while another one took over must not wake up and act."""
    monkeypatch.setattr("kirikae.move.lease.ACT_S", 1e9)  # each question renews
    _, lock = work(tmp_path)
    store = SqliteStore(tmp_path / "s.db")
    with lock.held() as assert_ours:
        assert_ours()
        stored = store.get("lease/release/test/shop")
        other = json.loads(stored.body) | {"id": "other", "until": 1e12}
        store.replace_if_match("lease/release/test/shop", json.dumps(other), stored.tag)
        with pytest.raises(NotFinished, match="has taken over"):
            assert_ours()


# --- what the verbs answer


class TheseFleets:
    def __init__(self, *fleets):
        self._fleets = {fleet.side: fleet for fleet in fleets}

    def of(self, side):
        return self._fleets[side]


def desk(tmp_path, *fleets):
    ledger, lock = work(tmp_path)
    return console.ReleaseDesk(
        None, None, ledger, lock, TheseFleets(*fleets), around_of(tmp_path, ledger)
    )


def plain(answer):
    """What --json prints, read back."""
    return json.loads(answer.json())


def test_a_deploy_answers_in_every_case_with_data_and_an_outcome(tmp_path):
    """Dry run, done, rolled back: exit code, lines and JSON tell the same."""
    acts = []
    both = desk(tmp_path, Remembered("old", acts), Remembered("new", acts))
    told = plain(console.deployed(both, "r2", ["old", "new"], dry_run=True))
    assert told["outcome"] == "dry run" and [each["says"] for each in told["steps"]] == [
        "put r2 on old",
        "put r2 on new",
    ]
    done = console.deployed(both, "r2", ["old", "new"], dry_run=False)
    assert done.exit == 0 and plain(done)["outcome"] == "done"
    assert done.lines == ["r2 serves on the old fleet (here)", "r2 serves on the new fleet (here)"]
    assert [each["fleet"] for each in plain(done)["entries"]] == ["old", "new"]

    falling = Remembered("new", acts, deploy=RolledBack("it fell"))
    failed = console.deployed(
        desk(tmp_path, Remembered("old", acts), falling), "r3", ["old", "new"], False
    )
    assert failed.exit == 4 and failed.notes == ["it fell"]
    assert failed.lines == ["r3 serves on the old fleet (here)"]
    assert plain(failed)["outcome"] == "rolled back" and plain(failed)["message"] == "it fell"
    assert [each["outcome"] for each in plain(failed)["entries"]] == ["done", "rolled back"]


def test_a_rollback_answers_in_every_case_with_data_and_an_outcome(tmp_path):
    """Dry run, done, not finished."""
    acts = []
    one = desk(tmp_path, Remembered("new", acts))
    console.deployed(one, "r2", ["new"], dry_run=False)
    told = console.rolled_back(one, ["new"], dry_run=True)
    assert told.lines == ["would put back r1 on the new fleet"]
    assert plain(told) == {"outcome": "dry run", "back_to": {"new": "r1"}}
    done = console.rolled_back(one, ["new"], dry_run=False)
    assert done.lines == ["r1 serves on the new fleet again"] and plain(done)["outcome"] == "done"
    stuck = desk(tmp_path, Remembered("new", acts, put_back=NotFinished("look at web2")))
    left = console.rolled_back(stuck, ["new"], dry_run=False)
    assert left.exit == 3 and left.lines == [] and plain(left)["outcome"] == "unfinished"


def test_the_status_shows_the_ledger_and_what_each_member_says(tmp_path):
    """Also when there is nothing yet."""
    nothing = console.shown(Standing([], None, {}))
    assert nothing.lines == ["the new fleet has no active service yet"]
    assert plain(nothing) == {
        "outcome": "done",
        "ledger": [],
        "service": None,
        "hosts": {},
        "stopped": [],
        "services": {},
    }
    ledger, _ = work(tmp_path)
    entry = ledger.end(ledger.begin("r2", "new"), Outcome.DONE, "arn/shop:2")
    some = console.shown(
        Standing([entry], ServiceNow("arn/shop:2", 1, 2), {"ssh://web1": "no release ID"})
    )
    assert some.lines[0].endswith("r2               new  done         arn/shop:2")
    assert some.lines[1:] == [
        "ssh://web1 reports no release ID",
        "the service runs shop:2: 1 of 2 tasks",
    ]
    assert plain(some)["service"] == {
        "taskDefinition": "arn/shop:2",
        "runningCount": 1,
        "desiredCount": 2,
    }


def test_a_release_is_created_once_and_a_dry_run_creates_none(tmp_path):
    """The same files under the same ID are the same release."""
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app").write_text("app")
    here = Here(str(tmp_path / "kirikae.yml"))
    told = plain(console.created(here, "r1", tmp_path / "code", dry_run=True))
    assert told["outcome"] == "dry run" and told["files"] == 1
    assert not (tmp_path / ".kirikae/releases").exists()
    made = plain(console.created(here, "r1", tmp_path / "code", dry_run=False))
    assert made["id"] == "r1" and made["outcome"] == "done" and made["size"] == told["size"]
    assert plain(console.created(here, "r1", tmp_path / "code", dry_run=False)) == made
    with pytest.raises(UsageProblem, match="`kirikae release create` changes something"):
        console.created(replace(here, read_only=True), "r2", tmp_path / "code", dry_run=False)
    with pytest.raises(UsageProblem, match="not a release ID"):
        console.created(here, "../r1", tmp_path / "code", dry_run=False)


# --- which fleet a side has


def fleets(tmp_path, **replaced):
    text = PROJECT
    for key, value in replaced.items():
        text = text.replace(f"{key}: {{", f"{key}: {{{value}, ")
    return Fleets(
        read_project(text, "kirikae.yml"), None, None, None, tmp_path, {}, 10, lambda text: None
    )


def test_a_side_is_hosts_or_ecs_unless_a_command_is_named(tmp_path):
    """As the project file says; what it does not say is told with the key to add."""
    ours = fleets(tmp_path, old="deployer: {root: /srv, reload: x}, hosts: [ssh://web1]")
    assert isinstance(ours.of("old"), HostsFleet) and isinstance(ours.of("new"), EcsFleet)
    theirs = fleets(
        tmp_path,
        old="deployer: {command: x}, hosts: [ssh://web1]",
        new="deployer: {command: y}",
    )
    old, new = theirs.of("old"), theirs.of("new")
    assert isinstance(old, CommandFleet) and old.needs_archive and len(old.hosts) == 1
    assert isinstance(new, CommandFleet) and not new.needs_archive and not new.hosts
    with pytest.raises(NoDeployer, match=r"fleets\.old\.deployer"):
        fleets(tmp_path).of("old")
    with pytest.raises(NoDeployer, match=r"fleets\.old\.hosts"):
        fleets(tmp_path, old="deployer: {command: x}").of("old")


def by_command(tmp_path, command, timeout_s=10):
    releases = Releases(SqliteStore(tmp_path / "s.db"), "test", "shop", tmp_path / "releases")
    return CommandFleet(
        side="new",
        command=command,
        folder=tmp_path,
        environment={"PATH": os.environ["PATH"]},
        timeout_s=timeout_s,
        releases=releases,
        needs_archive=False,
        ledger=ledger_in(tmp_path),
        hosts=[],
        gate=gate(),
        tell=lambda text: None,
    )


def test_a_command_is_given_the_release_and_its_exit_code_is_believed(tmp_path):
    """Ended well, ended badly, not ended in time; an ID that was never made has no checksum."""
    ledger, lock = work(tmp_path)
    said = by_command(tmp_path, 'echo "$RELEASE_ID $RELEASE_SHA256" >told')
    assert deploying.deploy("r5", [said], ledger, lock).trouble is None
    assert (tmp_path / "told").read_text() == "r5 \n"
    for fleet, why in (
        (by_command(tmp_path, "exit 9"), "exit code 9; what it did before is not known"),
        (by_command(tmp_path, "sleep 60", timeout_s=0.1), "did not end within 0 s"),
    ):
        ended = deploying.deploy("r6", [fleet], ledger, lock)
        assert isinstance(ended.trouble, NotFinished) and why in str(ended.trouble)
        assert ledger.all()[-1].outcome == "not finished"


# --- the health gate


class Answering:
    """A host that gives these answers, one a question; the last one for ever."""

    name = "web1"

    def __init__(self, *answers):
        self.left = list(answers)
        self.asked = 0

    def get(self, port, path):
        self.asked += 1
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status=200, body="ok", release="r2"):
    return Answer(status, {"x-release-id": release} if release else {}, body)


def gate(*checks, patience_s=10.0):
    clock = iter(range(1000)).__next__
    return Gate(80, checks, "X-Release-Id", patience_s, clock, lambda seconds: None)


def test_a_host_serves_after_three_good_rounds_in_a_row():
    """One bad answer in between begins anew: old workers may still answer after a reload."""
    host = Answering(answer(), answer(), answer(release="r1"), answer(), answer(), answer())
    gate(Check(get="/")).wait(host, "r2")
    assert host.asked == 6


def test_a_host_that_does_not_serve_in_time_is_told_with_the_reason():
    """Status, text, release, and a port that nobody listens at."""
    check = Check(get="/books", contains="ISBN")
    for wrong, says in (
        (answer(status=500), "web1: GET /books answered 500, not 200"),
        (answer(body="none"), "web1: GET /books did not contain 'ISBN'"),
        (answer(body="ISBN", release="r1"), "came from release r1, not r2"),
        (answer(body="ISBN", release=None), "came from release none, not r2"),
        (CommandFailed("web1: refused", 1, ""), "^web1: refused$"),
    ):
        with pytest.raises(GateShut, match=says):
            gate(check).wait(Answering(wrong), "r2")
    with pytest.raises(HostSilent):
        gate(check).wait(Answering(HostSilent("web1 is off")), "r2")


@pytest.mark.parametrize(
    ("command", "units"),
    [
        ("systemctl reload nginx", ["nginx"]),
        (
            "sudo -n systemctl --quiet try-reload-or-restart app@1.service nginx",
            ["app@1.service", "nginx"],
        ),
        ("nginx -t && systemctl restart app; systemctl reload nginx", ["app", "nginx"]),
        ("systemctl restart app && echo done", ["app"]),
        ("kill -HUP $(cat /run/app.pid)", []),
        ("systemctl restart $UNIT", []),
    ],
)
def test_the_units_that_a_reload_names_are_asked_for_their_last_words(command, units):
    assert units_in(command) == units


class Logging:
    """A host whose journal says this."""

    name = "web1"

    def __init__(self, said):
        self.said = said
        self.scripts = []

    def run(self, script, **_):
        self.scripts.append(script)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_what_the_service_logged_last_is_told_without_a_terminal_s_orders():
    host = Logging(b"Error: Cannot find module 'express'\n\x1b[31mexit 1\n")
    said = OnHost(host, "/srv/shop").last_words("systemctl restart shop")
    assert said == "; shop logged last: Error: Cannot find module 'express' | exit 1"
    assert "units=shop" in host.scripts[0]


class Locally:
    """A host that is this one, with a journal and units of its own."""

    name = "web1"

    def __init__(self, folder, journal, unit):
        self.folder = folder
        for name, text in (("journalctl", journal), ("systemctl", unit)):
            (folder / f"{name}.said").write_text(text)
            program = folder / name
            program.write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\ncat {folder}/{name}.said\n')
            program.chmod(0o755)

    def run(self, script, **_):
        path = f"{self.folder}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "-s"], input=script.encode(), env={"PATH": path}, capture_output=True, check=True
        ).stdout


def test_whoever_still_works_in_a_former_release_is_named_with_what_mends_it(tmp_path):
    """gunicorn under WorkingDirectory=ROOT/current, at SIGHUP: systemd followed the link once."""
    former, serves = tmp_path / "releases/r1", tmp_path / "releases/r2"
    former.mkdir(parents=True)
    serves.mkdir()
    (tmp_path / "current").symlink_to("releases/r1")
    place = OnHost(Locally(tmp_path, "", ""), str(tmp_path))
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path / "current") as sleeping:
        try:
            assert place.left_behind() == "", "it works where `current` leads"
            (tmp_path / "current").unlink()
            (tmp_path / "current").symlink_to(serves)
            told = place.left_behind()
        finally:
            sleeping.kill()
    assert told.startswith(f"; sleep (process {sleeping.pid}) still works in {former}: ")
    assert f"--chdir {tmp_path}/current" in told and "`drain: true`" in told
    assert place.left_behind() == ""


def test_a_host_that_does_not_say_who_works_where_says_nothing():
    assert OnHost(Logging(HostSilent("web1 is gone")), "/srv/shop").left_behind() == ""


RESTARTS = "1795878055.04 systemd[1]: Scheduled restart job, restart counter is at 11.\n"


@pytest.mark.parametrize(
    ("journal", "logs_to", "says"),
    [
        (f"1795878055.03 puma[9]: boom: no such key\n{RESTARTS * 30}", "", "boom: no such key"),
        (RESTARTS * 9, "StandardOutput=append:", "boom (RuntimeError)"),
        (RESTARTS, "", "Scheduled restart job, restart counter is at 11."),
    ],
)
def test_what_the_service_said_goes_before_what_systemd_says(tmp_path, journal, logs_to, says):
    """That it started eleven times is no cause; a unit may write to a file of its own."""
    log = tmp_path / "puma.log"
    log.write_text("boom (RuntimeError)\n" + "\tfrom /usr/bin/puma:25\n" * 8)
    host = Locally(tmp_path, journal, f"{logs_to}{log}\n" if logs_to else "")
    said = OnHost(host, "/srv/shop").last_words("systemctl restart shop nginx")
    assert said == f"; shop, nginx logged last: {says}"
    assert "-u shop -u nginx" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("said", [b"", HostSilent("web1 is off"), CommandFailed("no", 1, "")])
def test_a_journal_that_says_nothing_adds_nothing(said):
    assert OnHost(Logging(said), "/srv/shop").last_words("systemctl restart shop") == ""


def test_on_the_way_back_any_release_will_do():
    """What served before may be from before there was a header."""
    gate().wait(Answering(answer(release=None)), None)


def test_the_load_balancer_is_asked_until_no_host_is_unhealthy(monkeypatch):
    """Draining and unused are in order; a host that falls out is told."""
    states = [["initial", "healthy"], ["healthy", "unused"]]
    monkeypatch.setattr(balancer.elbv2, "target_group", lambda aws, name: None)
    monkeypatch.setattr(
        balancer.elbv2,
        "targets",
        lambda aws, group: [
            Target("a", 1, state, "") for state in (states.pop(0) if states else ["unhealthy"])
        ],
    )
    clock = iter(range(0, 100000, 10)).__next__
    asked = Balancer(None, "g", clock, lambda seconds: None)
    asked.wait_until_healthy([Answering(answer())])
    assert states == []
    with pytest.raises(NotFinished, match=r"web1 for healthy: \['unhealthy'\]"):
        asked.wait_until_healthy([Answering(answer())])


# --- what is released


def test_a_release_is_the_same_whoever_packs_it_and_never_changes(tmp_path):
    """Same files, same bytes; other files under a taken ID are refused; a damaged archive is
    noticed."""
    source = tmp_path / "src"
    (source / "static").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git/config").write_text("secret")
    (source / "static/a.css").write_text("a")
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("static/a.css")
    releases = Releases(SqliteStore(tmp_path / "s.db"), "test", "shop", tmp_path / "releases")
    made = releases.create("r1", source, "me", 5.0)
    assert made == releases.create("r1", source, "somebody else", 9.0) and made.files == 2
    with tarfile.open(releases.archive_file("r1")) as tar:
        assert (
            tar.getnames() == ["link", "run", "static", "static/a.css"]
            and tar.getmember("run").mode == 0o755
        )
    (source / "static/a.css").write_text("b")
    with pytest.raises(ReleaseTaken, match="choose a new ID"):
        releases.create("r1", source, "me", 5.0)
    with pytest.raises(NoRelease, match=r"known: r1.*release create r2"):
        releases.get("r2")
    releases.archive_file("r1").write_bytes(b"other")
    with pytest.raises(NoRelease, match="not what was released"):
        releases.get("r1")
    assert RELEASE_ID.fullmatch(new_id(tmp_path, 0.0)) and new_id(tmp_path, 0.0).startswith(
        "r19700101T000000Z"
    )
