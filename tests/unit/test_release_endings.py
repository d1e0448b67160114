"""A deployment ends in one of seven endings, each with its exit code; nothing is judged by what
somebody else deployed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.aws.errors import AwsRefused
from kirikae.model.errors import Exit
from kirikae.model.project import NewFleet
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import service_deployment
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.ending import EXITS, Ending, Sight, judged
from kirikae.release.errors import DefinitionProblem, NotFinished, RolledBack
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from kirikae.release.service_deployment import ServiceDeployment, counts_of
from tests.fleet import StandInService

CAUSE = "EssentialContainerExited; Essential container in task exited; app exited with 3"
GOOD = Sight("", "COMPLETED", True, 2, True)


def seen(**changes):
    return Sight(**{**{name: getattr(GOOD, name) for name in Sight.__slots__}, **changes})


@pytest.mark.parametrize(
    ("sight", "ending"),
    [
        (GOOD, Ending.SUCCEEDED),
        (seen(rollout="IN_PROGRESS"), None),
        (seen(rollout="IN_PROGRESS", status="SUCCESSFUL"), Ending.SUCCEEDED),
        (seen(serves=False), None),
        (seen(desired=0, serves=True), Ending.SCALED_TO_ZERO),
        (seen(rollout="FAILED"), Ending.ROLLED_BACK),
        (seen(rollout="", is_primary=False, status="ROLLBACK_SUCCESSFUL"), Ending.ROLLED_BACK),
        (seen(rollout="", is_primary=False, status="ROLLBACK_IN_PROGRESS"), None),
        (seen(rollout="", is_primary=False, status="ROLLBACK_FAILED"), Ending.STOPPED),
        (seen(status="STOPPED"), Ending.STOPPED),
        (seen(status="STOP_REQUESTED"), Ending.STOPPED),
        (seen(is_primary=False), Ending.SUPERSEDED),
        (seen(is_primary=False, former_serves=True), Ending.ROLLED_BACK),
        (seen(rollout="IN_PROGRESS", paused=True), Ending.PAUSED),
    ],
)
def test_each_sight_has_its_ending(sight, ending):
    assert judged(sight) is ending


@given(
    st.builds(
        Sight,
        st.sampled_from(["", "IN_PROGRESS", "SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL"]),
        st.sampled_from(["", "IN_PROGRESS", "COMPLETED", "FAILED"]),
        st.booleans(),
        st.integers(0, 2),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
def test_nothing_succeeds_that_does_not_serve_as_the_primary_one_with_tasks(sight):
    if judged(sight) is Ending.SUCCEEDED:
        assert sight.is_primary and sight.serves and sight.desired > 0 and not sight.paused


def test_only_success_is_done_and_only_a_rollback_was_taken_back():
    assert {ending for ending, code in EXITS.items() if code is Exit.DONE} == {Ending.SUCCEEDED}
    assert EXITS[Ending.ROLLED_BACK] is Exit.BACKED_OUT and set(EXITS) == set(Ending)


@given(st.floats(0, 100_000))
def test_news_is_late_by_a_twentieth_of_the_wait_at_most_and_by_a_second(waited):
    """And however short the wait, AWS is not asked more than five times a second."""
    pause = service_deployment.pause_s(waited)
    assert 0.2 <= pause <= 1
    assert pause <= max(0.2, waited * 0.05)


def row(*entries, **more):
    rows = [
        {
            "id": name,
            "rolloutState": state,
            "runningCount": running,
            "pendingCount": 0,
            "desiredCount": 1,
            "taskDefinition": f"arn:aws:ecs:x:1:task-definition/web:{revision}",
            "createdAt": 5,
        }
        for name, state, running, revision in entries
    ]
    return {"deployments": rows, "events": [], "desiredCount": 1, **more}


@pytest.fixture
def looks(monkeypatch):
    """Successive looks: (the service, its service deployment)."""

    def use(*pairs):
        left = list(pairs)

        def service(*_):
            return left[0][0]

        def way(*_):
            found = left[0][1]
            if len(left) > 1:
                left.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(service_deployment.ecs, "service", service)
        monkeypatch.setattr(service_deployment.ecs_definitions, "service_deployment", way)
        monkeypatch.setattr(service_deployment.Stops, "of", lambda *_: ())

    return use


def wait(**more):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    deployment = ServiceDeployment(
        None, "c", "s", "mine", clock=lambda: now[0], sleep=sleep, arn="arn:mine", **more
    )
    return list(deployment.wait(5))


MINE = ("mine", "IN_PROGRESS", 0, 2)
FORMER = ("former", "COMPLETED", 1, 1)
DONE = ("mine", "COMPLETED", 1, 2)


@pytest.mark.parametrize(
    ("after", "way", "ending", "error"),
    [
        (row(FORMER), {"status": "ROLLBACK_SUCCESSFUL"}, Ending.ROLLED_BACK, RolledBack),
        (row(MINE, FORMER), {"status": "STOPPED"}, Ending.STOPPED, NotFinished),
        (row(("theirs", "IN_PROGRESS", 0, 3), MINE), {}, Ending.SUPERSEDED, NotFinished),
        (row(FORMER), {}, Ending.ROLLED_BACK, RolledBack),
        (row(MINE, FORMER), {"status": "IN_PROGRESS"}, Ending.TIMED_OUT, NotFinished),
        (
            row(MINE, FORMER),
            {"lifecycleHookDetails": [{"status": "AWAITING_ACTION"}], "status": "IN_PROGRESS"},
            Ending.PAUSED,
            NotFinished,
        ),
    ],
)
def test_what_a_deployment_ended_in_is_told(looks, after, way, ending, error):
    """By its own service deployment where AWS tells of it, else by the service's entries."""
    looks((row(MINE, FORMER), {"status": "IN_PROGRESS"}), (after, way))
    with pytest.raises(error) as caught:
        wait(former="arn:aws:ecs:x:1:task-definition/web:1")
    assert caught.value.ending is ending and caught.value.exit == EXITS[ending]


def test_who_may_not_look_at_service_deployments_is_told_by_the_service(looks):
    looks((row(MINE, FORMER), {}), (row(DONE), AwsRefused("x", "AccessDenied", "no")))
    assert wait()[-1].ending is Ending.SUCCEEDED


@pytest.mark.parametrize(
    ("stage", "status", "paused", "comes"),
    [
        ("TEST_TRAFFIC_SHIFT", "IN_PROGRESS", (), True),
        ("BAKE_TIME", "IN_PROGRESS", (), True),
        ("PRE_SCALE_UP", "IN_PROGRESS", (), False),
        ("BAKE_TIME", "ROLLBACK_IN_PROGRESS", (), False),
        ("TEST_TRAFFIC_SHIFT", "IN_PROGRESS", ("AWAITING_ACTION",), True),
        ("PRE_SCALE_UP", "IN_PROGRESS", ("AWAITING_ACTION",), False),
    ],
)
def test_a_stage_is_reached_at_it_or_beyond_it_and_never_on_the_way_back(
    looks, stage, status, paused, comes
):
    """Stages pass between two looks; a pause ahead of the stage is told as ever."""
    hooks = [{"status": each} for each in paused]
    way = {"status": status, "lifecycleStage": stage, "lifecycleHookDetails": hooks}
    looks((row(MINE, FORMER), {"status": "PENDING"}), (row(MINE, FORMER), way))
    if comes:
        last = wait(until_stage="TEST_TRAFFIC_SHIFT")[-1]
        assert (last.done, last.ending, last.stage) == (True, None, stage)
        return
    with pytest.raises(NotFinished) as caught:
        wait(until_stage="TEST_TRAFFIC_SHIFT")
    assert caught.value.ending is (Ending.PAUSED if paused else Ending.TIMED_OUT)


def test_a_rollback_ahead_of_the_stage_is_told(looks):
    """As where the end is waited for."""
    back = (row(FORMER), {"status": "ROLLBACK_SUCCESSFUL"})
    looks((row(MINE, FORMER), {"status": "IN_PROGRESS", "lifecycleStage": "SCALE_UP"}), back)
    with pytest.raises(RolledBack):
        wait(until_stage="BAKE_TIME")


def test_a_pause_that_is_waited_for_is_done_and_stable_waits_for_the_former_tasks(looks):
    paused = {"lifecycleHookDetails": [{"status": "AWAITING_ACTION"}], "lifecycleStage": "PRE"}
    looks((row(MINE, FORMER), {}), (row(MINE, FORMER), paused))
    [*_, last] = wait(wants_pause=True)
    assert last.ending is Ending.PAUSED and counts_of(last).endswith("0 on their way, PRE")
    looks((row(DONE, FORMER), {}), (row(DONE, FORMER), {}), (row(DONE), {}))
    assert len(wait(until_alone=True)) > len(wait())


def test_of_fifty_releases_every_bad_one_is_told_and_what_was_good_serves(tmp_path, monkeypatch):
    """Good, does not start, cannot be read, good ...: each ends in the ledger as what it was."""
    monkeypatch.setattr(service_deployment, "POLL_S", 0)
    monkeypatch.setattr(service_deployment.elbv2, "targets", lambda *_: [])
    aws = StandInService(tmp_path / "service.json")
    store = SqliteStore(tmp_path / "s.db")
    ledger = Ledger(store, "test", "shop", "me")
    releases = Releases(store, "test", "shop", tmp_path / "releases")
    place = NewFleet(cluster="c", ecs_service="shop", target_group="g")
    (tmp_path / "ecs").mkdir()
    (tmp_path / "ecs/ecs-service-def.json").write_text("{}")
    told = []
    fleet = EcsFleet(aws, place, releases, tmp_path / "ecs", {"IMAGE_APP": "x"}, 5, told.append)
    good = "r1"
    for number in range(50):
        kind = ("good", "broken", "unreadable")[number % 3]
        image = f"good-{number}" if kind == "good" else kind
        container = f'{{"name": "a", "image": "{image}"}}'
        text = f'{{"family": "shop", "containerDefinitions": [{container}]}}'
        broken_off = text[:-1] if kind == "unreadable" else text
        (tmp_path / "ecs/ecs-task-def.json").write_text(broken_off)
        lock = Lock(store, "test", "shop")
        if kind == "unreadable":
            with pytest.raises(DefinitionProblem, match=r"ecs-task-def\.json:1: not JSON"):
                deploying.deploy(f"r{number}", [fleet], ledger, lock)
        else:
            ended = deploying.deploy(f"r{number}", [fleet], ledger, lock)
            assert (ended.ending, ended.trouble is None) == (
                ("rolled_back", False) if kind == "broken" else (None, True)
            )
            assert [task.cause for task in ended.stopped] == ([CAUSE] if kind == "broken" else [])
        good = image if kind == "good" else good
        assert aws.serving() == good
    outcomes = [entry.outcome for entry in ledger.all()]
    assert outcomes == [Outcome.DONE, Outcome.ROLLED_BACK] * 17
