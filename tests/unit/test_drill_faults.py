"""Faults: what they do and what undoes them as data, what they cost by request, and that nothing is
left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from kirikae.aws.elbv2 import Target as Registered
from kirikae.drill.acts import ACTS, Act
from kirikae.drill.advice import advice
from kirikae.drill.columns import Error, Record
from kirikae.drill.errors import AnotherDrill, CannotBeDone, SloProblem, UndoFailed
from kirikae.drill.faults import FAULTS, Asked, prepare
from kirikae.drill.fleet import Fleet, Group, OneTask
from kirikae.drill.slo import read as read_limit
from kirikae.drill.targets import target
from kirikae.drill.undoing import Standing, Undoings
from kirikae.drill.watching import Look, changes, seen_of
from kirikae.drill.windows import Expected, Seen, Span, cost_of, windows_of
from kirikae.model.errors import KirikaeError

TASKS = tuple(
    OneTask(
        arn=f"arn:aws:ecs:ap-northeast-1:123456789012:task/shop/{number}",
        zone="ac"[number % 2],
        address=f"10.0.0.{number}",
        engine_id=f"engine{number}",
        spot=number == 2,
    )
    for number in range(3)
)
GROUP = Group(
    arn="group",
    interval_s=5,
    timeout_s=2,
    unhealthy_count=2,
    targets=tuple(Registered(each.address, 8000, "healthy", "") for each in TASKS),
)
FLEET = Fleet("shop", "web", 3, "arn:x:task-definition/web:7", "app", TASKS, GROUP, True)
ASKED = Asked(
    mark="m1",
    agent_uri="http://10.1.0.1/api/t",
    database="container:db1",
    template="EXT1",
    driver=(4242, "99"),
)


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_is_data_that_can_be_written_down_and_read_again(name):
    """Its acts are known by name, and survive JSON: another process can undo them."""
    prepared = prepare(name, FLEET, ASKED)
    assert prepared.name == name
    assert prepared.inject
    for act in (*prepared.inject, *prepared.undo):
        assert act.name in ACTS
        assert Act.from_plain(json.loads(json.dumps(act.to_plain()))) == act


STAYS = {
    "hang-task": "engine_undo",
    "drain-target": "register",
    "scale-in": "set_service",
    "net-latency": "net",
    "net-loss": "net",
    "net-blackhole": "net",
    "cpu-hog": "end_hog",
    "bad-release": "take_back",
    "db-failover": "engine_undo",
    "fis": "stop_fis",
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_what_stays_is_undone_and_what_heals_by_itself_is_not(name):
    """ECS replaces a task that was killed; a paused one stays paused."""
    undo = [act.name for act in prepare(name, FLEET, ASKED).undo]
    assert undo == ([STAYS[name]] if name in STAYS else [])


@pytest.mark.parametrize(
    ("name", "fleet", "asked", "says"),
    [
        ("kill-task", replace(FLEET, tasks=()), ASKED, "no running task"),
        (
            "kill-task",
            FLEET,
            replace(ASKED, task="9"),
            "is no running task of web; it has: 0, 1, 2",
        ),
        ("az-loss", replace(FLEET, tasks=TASKS[:1]), ASKED, "all tasks of web run in one subnet"),
        ("scheduler-loss", replace(FLEET, tasks=TASKS[:1]), ASKED, "run two schedulers"),
        ("spot-notice", replace(FLEET, tasks=TASKS[:2]), ASKED, "no task on FARGATE_SPOT"),
        ("drain-target", replace(FLEET, group=None), ASKED, "no target group"),
        ("db-failover", FLEET, replace(ASKED, database="db1"), "--database cluster:ID"),
        ("net-loss", FLEET, replace(ASKED, agent_uri=""), "task-network-packet-loss"),
        ("kirikae-loss", FLEET, replace(ASKED, driver=None), "kirikae move start"),
        ("fis", FLEET, replace(ASKED, template=""), "--template"),
        (
            "hang-task",
            replace(FLEET, tasks=(replace(TASKS[0], engine_id=""),)),
            ASKED,
            "AWS has no such action; nearest is",
        ),
    ],
)
def test_what_cannot_be_done_here_is_refused_by_name_with_the_next_step(name, fleet, asked, says):
    """Before any load is sent."""
    with pytest.raises(CannotBeDone, match=says):
        prepare(name, fleet, asked)


def test_a_zone_takes_all_its_tasks_and_its_share_says_so():
    """Two of three run in zone a."""
    prepared = prepare("az-loss", FLEET, ASKED)
    assert [task.name for task in prepared.hit] == ["0", "2"]
    assert prepared.share == pytest.approx(2 / 3)


RATE = 100
FAULT = Span(5.0, 10.0)


def record(bad, late=None) -> Record:
    """20 s of 100 requests a second of 10 ms; ``bad``: how long which requests (by due) took until
    they were given up; ``late``: answered, but so late."""
    due = np.arange(0, 20, 1 / RATE)
    done = due + 0.01
    error = np.zeros(len(due), np.uint8)
    for number, at in enumerate(due):
        if (took := bad(number, at)) is not None:
            error[number] = Error.TIMED_OUT
            done[number] = at + took
        elif late is not None and (took := late(number, at)) is not None:
            done[number] = at + took
    began = 1_000_000_000

    def ns(seconds):
        return began + (seconds * 1e9).astype(np.int64)

    status = np.where(
        error == Error.NONE,
        200,
        0,
    ).astype(np.int16)
    return Record(
        due=ns(due),
        sent=ns(due),
        first=ns(done),
        done=ns(done),
        status=status,
        error=error,
        octets=np.zeros(len(due), np.int64),
        target=np.zeros(len(due), np.int64),
        began_ns=began,
        wall=0.0,
        cores=(0.1,),
    )


TARGETS = [target("GET", "http://shop/", "test")]


def hung(number, at):
    """A third of the fleet does not answer until it is found after 3 s."""
    return 2.0 if number % 3 == 0 and 5 <= at < 8 else None


EXPECTED = Expected(RATE, 1 / 3, 12.0)
UNSEEN = Seen()


def cost(found, *limits, slow_s=None):
    read = [read_limit(each, fault=True) for each in limits]
    return cost_of(found, TARGETS, read, FAULT, EXPECTED, UNSEEN, slow_s, 1.0)


def test_recovery_lost_requests_and_what_explains_them():
    """100/s x 1/3 x 3 s = 100 lost, recovered after 3 s; the health check allowed 400."""
    found = cost(record(hung), "recovery<5s", "lost@before==0", "errors@after==0")
    assert (found.lost, found.bad) == (100, 100)
    assert found.recovery_s == pytest.approx(3.0, abs=0.05)
    assert found.expected.bad == pytest.approx(400)
    assert found.explained == pytest.approx(100, abs=2)
    assert found.plausible
    assert found.word == "pass"


def test_a_limit_without_a_window_must_hold_in_each():
    """During the fault it does not."""
    found = cost(record(hung), "errors<1%")
    assert [(each.window, each.holds) for each in found.checked] == [
        ("before", True),
        ("during", False),
        ("after", True),
    ]
    assert found.word == "fail"


def test_requests_in_flight_as_the_fault_began_belong_to_it():
    """Due before it, not done before it."""
    found = record(lambda number, at: 2.0 if 4.98 <= at < 5.0 else None)
    windows = windows_of(found, FAULT)
    due = (found.due - found.began_ns) / 1e9
    assert windows["during"][due >= 4.98].any()
    assert due[windows["during"]].min() == pytest.approx(4.98, abs=0.011)
    assert cost(found).lost == 2


def test_what_never_ends_has_not_recovered():
    """No time is told, and every limit of it is broken."""
    found = cost(
        record(lambda number, at: 1.0 if at >= 5 and number % 3 == 0 else None), "recovery<3600s"
    )
    assert found.recovery_s is None
    assert found.explained is None
    assert found.word == "fail"


def test_a_fault_that_hurts_nobody_has_recovered_at_once():
    """0 s, and a limit of it holds."""
    found = cost(record(lambda number, at: None), "recovery<1s", "lost==0", "errors<0.1%")
    assert (found.recovery_s, found.bad, found.word) == (0.0, 0, "pass")


def test_a_service_that_was_not_well_before_is_not_judged():
    """The hypothesis did not hold, and the errors are not the fault's."""
    found = cost(record(lambda number, at: 0.1 if number % 5 == 0 else None), "errors<1%")
    assert {each.key for each in found.doubts} == {
        "drill.doubt.not_steady",
        "drill.doubt.bad_before",
    }
    assert found.word == "unsure"


def test_a_fault_that_knocks_on_to_others_is_told():
    """All tasks were bad for as long as one of three should have been."""
    found = cost(record(lambda number, at: 0.5 if 5 <= at < 8 else None))
    assert found.plausible is False


def test_what_is_slow_is_bad_and_not_lost():
    """Answered, but later than a user waits."""
    found = cost(
        record(lambda number, at: None, lambda number, at: 0.7 if 6 <= at < 7 else None),
        slow_s=0.5,
    )
    assert (found.bad, found.lost) == (100, 0)
    assert found.windows["during"].counts["slow"] == 100


@pytest.mark.parametrize("text", ["lost@during==0", "recovery<3s", "p99[GET /]@after<1s"])
def test_limits_of_a_fault_are_none_of_plain_load(text):
    """They are read where there is a fault, and refused elsewhere."""
    assert read_limit(text, fault=True).of_fault
    with pytest.raises(SloProblem, match="drill fault"):
        read_limit(text)


def looked(at, running=3, healthy=3, deployments=1, definition=FLEET.definition):
    targets = frozenset((each.address, 8000) for each in TASKS[3 - healthy :])
    return Look(at, 3, running, 0, definition, deployments, targets)


def test_detection_and_wholeness_are_what_was_seen():
    """The first target that was taken out; the first look after the last that lacked something."""
    looks = [
        looked(4.5),
        looked(5.5, running=2),
        looked(7.0, running=2, healthy=2),
        looked(9.0, healthy=2),
        looked(10.0),
        looked(11.0),
    ]
    assert seen_of(looks, FLEET, 5.0) == Seen(2.0, 5.0)
    assert seen_of(looks[:4], FLEET, 5.0) == Seen(2.0, None)
    assert seen_of(looks[:1], FLEET, 5.0) == Seen(None, None)
    assert [at for at, _ in changes(looks)] == [5.5, 7.0, 9.0, 10.0]


def test_a_release_that_is_not_taken_back_is_not_whole():
    """As many tasks as before, but a deployment goes on."""
    looks = [looked(6.0, deployments=2), looked(8.0, definition="arn:x:task-definition/web:8")]
    assert seen_of(looks, FLEET, 5.0).whole_s is None
    assert seen_of([*looks, looked(9.0)], FLEET, 5.0).whole_s == 4.0


STANDING = Standing("m1", "hang-task", "web", 7.0, "local", (Act("a"), Act("b", {"n": 1})))


def test_what_undoes_a_fault_is_written_down_and_goes_when_it_is_undone(tmp_path):
    """All acts, in order; afterwards nothing stands."""
    undoings = Undoings(tmp_path / ".kirikae" / "drill")
    undoings.write(STANDING)
    assert undoings.standing() == [STANDING]
    done = []
    undoings.undo(STANDING, done.append)
    assert done == list(STANDING.undo)
    assert undoings.standing() == []


def test_an_undo_that_fails_leaves_the_fault_standing_and_does_the_others(tmp_path):
    """Exit code 3; the file stays for the next time."""
    undoings = Undoings(tmp_path)
    undoings.write(STANDING)
    done = []

    def carry_out(act):
        if act.name == "a":
            raise KirikaeError("the engine sleeps")
        done.append(act.name)

    with pytest.raises(UndoFailed, match="the engine sleeps") as failed:
        undoings.undo(STANDING, carry_out)
    assert failed.value.exit == 3
    assert done == ["b"]
    assert undoings.standing() == [STANDING]


def test_a_torn_file_is_told_and_not_skipped(tmp_path):
    """Somebody has to undo by hand what it said."""
    (tmp_path / "m1.json").write_text("{")
    with pytest.raises(UndoFailed, match="by hand"):
        Undoings(tmp_path).standing()


def test_one_drill_at_a_time_and_a_killed_one_holds_nothing(tmp_path):
    """The lock is the process's own."""
    context = multiprocessing.get_context("fork")
    holds = context.Event()

    def hold():
        with Undoings(tmp_path).alone():
            holds.set()
            signal.pause()

    other = context.Process(target=hold)
    other.start()
    holds.wait()
    with pytest.raises(AnotherDrill), Undoings(tmp_path).alone():
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with Undoings(tmp_path).alone():
        pass


def told(name, fleet=FLEET, **changed):
    """What to change after a fault of this kind that cost this."""
    found = replace(cost(record(lambda number, at: None)), **changed)
    return [
        each.key.rpartition(".")[2] for each in advice(fleet, prepare(name, fleet, ASKED), found)
    ]


WHOLE = Seen(2.0, 10.0)
SLOW_CHECK = replace(FLEET, group=replace(GROUP, interval_s=30))


def test_what_to_change_follows_from_what_it_cost():
    """Nothing for what nobody noticed."""
    assert told("kill-task", seen=WHOLE) == []
    assert told("kill-task", seen=WHOLE, lost=3, bad=3) == ["drain"]
    assert told("hang-task", SLOW_CHECK, seen=WHOLE, bad=90) == ["health_check"]
    assert told("hang-task", seen=WHOLE, bad=90) == []
    assert told("bad-release", replace(FLEET, rolls_back=False)) == ["circuit_breaker"]
    assert told("db-failover", seen=WHOLE, bad=5, recovery_s=None) == ["not_recovered", "database"]
    assert told("crash-task", seen=Seen(1.0, 90.0)) == ["slow_start"]


def test_what_the_engine_did_while_it_warmed_up_is_no_doubt():
    """Its first requests went out too late, before anything was judged; later ones are a doubt."""
    found = record(lambda number, at: None)
    late = found.sent.copy()
    late[:50] += 2 * 10**8
    assert cost(replace(found, sent=late), "errors<1%").word == "pass"
    late[600:650] += 2 * 10**8
    assert cost(replace(found, sent=late), "errors<1%").word == "unsure"


def test_nothing_follows_from_figures_that_are_in_doubt():
    """The service was ill before: no advice on draining, but to make the fault again."""
    ill = cost(record(lambda number, at: 0.1 if number % 5 == 0 else None), "errors<1%")
    assert ill.doubts and ill.lost
    told = [each.key for each in advice(FLEET, prepare("kill-task", FLEET, ASKED), ill)]
    assert told == ["drill.advice.again"]
