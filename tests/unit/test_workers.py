"""Workers: which shares there are, what the judge says of both sides' messages, and units on hosts
that do not do as they are told."""

from __future__ import annotations

import random
import time

import pytest

from kirikae.console import kinds
from kirikae.hosts.errors import HostSilent
from kirikae.hosts.ssh import Host
from kirikae.jobs.errors import WorkersNotThere
from kirikae.jobs.workers.figures import counting
from kirikae.jobs.workers.ladder import Ladder
from kirikae.jobs.workers.prospects import Today, prospects_of, told
from kirikae.jobs.workers.settings import Outcomes
from kirikae.jobs.workers.tasks import Wanted
from kirikae.jobs.workers.thing import WorkersThing
from kirikae.jobs.workers.trial import Period, Trial
from kirikae.jobs.workers.units import Consumer, Counted, Units
from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.share import WHOLE
from kirikae.move.judge import Margins
from tests.consumers import Hosts

PLAN = (100, 500, 1000)
MARGINS = Margins(0.01, 0.02, 600.0)
WORDS = kinds.words()


# --- shares


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 7, 10, 33, 100, 1000])
@pytest.mark.parametrize("units", [1, 2, 5, 8, 40])
def test_a_share_is_so_many_tasks_and_never_less_than_all_of_the_work(tasks, units):
    """Set and read back exactly; both sides together can always do everything."""
    ladder = Ladder(tasks, units)
    plan = ladder.plan()
    assert list(plan) == sorted(set(plan)) and plan[-1] == WHOLE
    for share in (0, *plan):
        assert ladder.share_of(ladder.tasks_at(share)) == share
        both = ladder.tasks_at(share) / tasks + ladder.units_at(share) / units
        assert both >= 1 - 0.001
    assert (ladder.units_at(0), ladder.units_at(WHOLE)) == (units, 0)
    assert (ladder.tasks_at(0), ladder.tasks_at(WHOLE)) == (0, tasks)


def test_more_tasks_than_all_are_all_of_it():
    """Whoever scales out after the move has not turned the share."""
    assert Ladder(4, 4).share_of(9) == WHOLE


# --- lines


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ("INFO Task shop.mail[6f2e] succeeded in 0.12s: None", Counted(1, 0)),
        ("ERROR Task shop.mail[6f2e] raised unexpected: ValueError('x')", Counted(0, 1)),
        ("INFO Task shop.mail[6f2e] received", Counted(0, 0)),
        ("INFO Task shop.mail[6f2e] retry: Retry in 3s", Counted(0, 0)),
        ("", Counted(0, 0)),
    ],
)
def test_celerys_own_lines_say_what_became_of_a_message(line, counted):
    assert counting(Outcomes())([line]) == counted


# --- the judge


def trial(margins=MARGINS, oldest_s=300.0):
    return Trial(margins, PLAN, oldest_s)


def period(at, old, new, share=500, step=3, tasks=5, wanted=5, oldest_s=None):
    return Period(60.0 * at, 60.0, share, step, old, new, tasks, wanted, oldest_s)


def says(found, language="en"):
    return WORDS.say(found.evidence().reason, language)


def draw(rng, messages, rate):
    failed = sum(rng.random() < rate for _ in range(messages))
    return Counted(messages - failed, failed)


def climb(seed, rate_old, rate_new, pace=1.0, minutes=240, share=500, per_minute=60):
    """Messages a minute are taken by the consumers of both sides by their number and pace."""
    rng = random.Random(seed)
    found = trial()
    part = pace * share / (pace * share + WHOLE - share)
    for at in range(minutes):
        new = sum(rng.random() < part for _ in range(per_minute))
        found.look(
            period(at, draw(rng, per_minute - new, rate_old), draw(rng, new, rate_new), share)
        )
        if found.evidence().verdict is not Verdict.UNSURE:
            break
    return found


@pytest.mark.parametrize("seed", range(6))
def test_sides_that_are_alike_pass(seed):
    assert climb(seed, 0.01, 0.01).evidence().verdict is Verdict.PASS


@pytest.mark.parametrize("seed", range(6))
def test_a_side_that_fails_more_is_backed_out_with_the_counts(seed):
    found = climb(seed, 0.01, 0.1)
    assert found.evidence().verdict is Verdict.FAIL and "messages failed, against" in says(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_side_that_hangs_is_found_by_what_it_does_not_finish(seed):
    """It fails nothing: it finishes nothing, and the old side does the work."""
    found = climb(seed, 0.01, 0.01, pace=0.02)
    assert found.evidence().verdict is Verdict.FAIL
    assert "less than half of what they should" in says(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_side_that_is_a_little_slower_is_no_harm(seed):
    """Prefetching and other machines make consumers differ: half is enough."""
    assert climb(seed, 0.01, 0.01, pace=0.7).evidence().verdict is Verdict.PASS


def test_false_back_outs_are_as_rare_as_promised():
    """Identical sides, long runs: at most 1% of attempts."""
    failed = 0
    for seed in range(150):
        rng = random.Random(seed)
        found = trial(Margins(0.01, 0.0001, 600.0))  # never proven: it goes on to the end
        for at in range(60):
            new = sum(rng.random() < 0.5 for _ in range(40))
            found.look(period(at, draw(rng, 40 - new, 0.02), draw(rng, new, 0.02)))
        failed += found.evidence().verdict is Verdict.FAIL
    assert failed <= 1


def test_no_task_for_three_rounds_is_harm_and_one_round_is_looked_at_again():
    found = trial()
    for at in range(3):
        found.look(period(at, Counted(10), Counted(), tasks=0))
        expected = Verdict.UNSURE if at < 2 else Verdict.FAIL
        assert found.evidence().verdict is expected
    assert "5 tasks ran on the new side in 3 rounds" in says(found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "no figures of this step yet"),
        ((period(0, Counted(), Counted()),), "neither side finished a message"),
        ((period(0, Counted(3), Counted()),), "the new side has finished no message"),
        ((period(0, Counted(3), Counted(3), oldest_s=301.0),), "the oldest message has waited"),
        ((period(0, Counted(3), Counted(3)),), "not shown yet"),
    ],
)
def test_what_was_not_seen_is_never_a_pass(given, words):
    found = trial().at(3, 500)
    for each in given:
        found.look(each)
    assert found.evidence().verdict is Verdict.UNSURE and words in says(found)
    assert "{" not in says(found, "ja")


def test_a_backlog_keeps_a_proven_step_back():
    """Proven, and the queue grows: no consumer of the old side is taken away now."""
    found = climb(1, 0.01, 0.01)
    assert found.evidence().verdict is Verdict.PASS
    found.look(period(500, Counted(30), Counted(30), oldest_s=900.0))
    assert found.evidence().verdict is Verdict.UNSURE and "15 minutes" in says(found)


def test_a_recorded_attempt_gets_the_verdict_that_it_got():
    """Plain data and back."""
    for each in (
        period(0, Counted(3, 1), Counted(2), oldest_s=3.0),
        period(1, Counted(), Counted()),
    ):
        assert Period.from_plain(each.to_plain()) == each


def test_figures_are_told_in_both_languages():
    found = trial()
    found.look(period(0, Counted(30, 2), Counted(20, 1), oldest_s=12.0))
    line = told(found.evidence().figures)
    assert line is not None
    assert "new 20 done 1 failed | old 30 done 2 failed | oldest 12 s" in WORDS.say(line.line)
    assert "21 件中 1 件" in WORDS.say(line.sentence, "ja")


def test_prospects_are_unknown_where_the_old_side_finished_nothing():
    ladder = Ladder(4, 4)
    unknown = prospects_of(MARGINS, ladder, None)
    assert unknown.seconds is None
    known = prospects_of(MARGINS, ladder, Today(2.0, 0.01))
    assert known.seconds is not None and known.seconds >= 4 * MARGINS.bake_s
    for prospects in (unknown, known):
        for step in prospects.steps:
            assert all("{" not in WORDS.say(each, "ja") for each in step.says)


# --- units on hosts


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    made = Hosts(tmp_path, ("w1", "w2"), ("celery@1.service", "celery@2.service")).make()
    for key, value in made.environment.items():
        monkeypatch.setenv(key, value)
    return made


def units_of(hosts):
    return Units([Host(f"ssh://{name}") for name in hosts.names], hosts.units)


def test_units_stop_host_by_host_and_start_again_in_the_reverse_order(hosts):
    """The first unit of every host goes first: no host is emptied while another is full."""
    units = units_of(hosts)
    for keep in (4, 3, 2, 1, 0):
        assert units.keep(keep) == [] and hosts.running() == keep
    assert units.keep(2) == []
    assert [hosts.state(name, "celery@2.service") for name in hosts.names] == ["active"] * 2


def test_a_unit_that_drains_takes_no_new_messages_and_is_not_gone(hosts):
    hosts.set("w1", "celery@1.service", "deactivating")
    states = units_of(hosts).states()
    drains = states[Consumer("w1", "celery@1.service")]
    assert drains.drains and not drains.runs and drains.stop_s == 90.0


def test_a_unit_that_is_not_there_is_not_stopped_but_unknown(hosts):
    (hosts.folder / "hosts" / "w2" / "celery@2.service").unlink()
    assert not units_of(hosts).states()[Consumer("w2", "celery@2.service")].loaded


def test_a_host_that_does_not_answer_is_told_and_the_others_are_turned(hosts):
    """Not asked is not stopped: looks raise; the button does what it can, and says what it could
    not."""
    hosts.away("w1")
    units = units_of(hosts)
    with pytest.raises(HostSilent, match="w1"):
        units.states()
    troubles = units.keep(0)
    assert len(troubles) == 1 and "w1" in troubles[0]
    assert [hosts.state("w2", unit) for unit in hosts.units] == ["inactive"] * 2


def test_the_red_button_takes_the_tasks_away_before_it_asks_a_host(hosts):
    """A host that is away, or hangs, cannot keep it; what could not be started there is told."""
    wanted: list[tuple[int, list[str]]] = []

    def w2() -> list[str]:
        return [hosts.state("w2", unit) for unit in hosts.units]

    class Service:
        name = "mail"

        def look(self):
            return Wanted(2, 2, 0, "mail:1", False)

        def want(self, tasks):
            wanted.append((tasks, w2()))

    settings = kinds.read_project(PROJECT, "kirikae.yml").moves["mail"]
    thing = WorkersThing(None, None, settings, None, time.time)
    thing.service = Service()
    thing.units = units_of(hosts)
    assert thing.units.keep(0) == []
    hosts.away("w1")
    with pytest.raises(WorkersNotThere, match="w1"):
        thing.shift("mail", 0, None)
    assert wanted == [(0, ["inactive"] * 2)], "no unit had been started when the tasks went"
    assert w2() == ["active"] * 2


def test_lines_are_counted_in_the_period_in_which_they_were_logged(hosts):
    """Each line once, whatever the borders: journalctl's --until takes its own second as well."""
    start = int(time.time()) - 100
    for second in range(20):
        hosts.logged("w1", "Task a[1] succeeded in 1s: None", start + second)
        hosts.logged("w2", "Task a[1] raised unexpected: E()", start + second + 0.5)
    units = units_of(hosts)
    count = counting(Outcomes())
    parts = [units.counted(start + at, start + at + 5, count) for at in (0, 5, 10, 15)]
    assert parts == [Counted(5, 5)] * 4


# --- the project file

PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://w1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  mail:
    kind: workers
    queue: shop-mail
    old: {units: [celery@1.service]}
    new: {ecs_service: shop-mail, tasks: 2}
"""


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("celery@1.service", "'a; rm -rf /'", "is no name of a systemd unit"),
        ("celery@1.service", "'--force'", "is no name of a systemd unit"),
        ("[celery@1.service]", "[a, a]", "a unit is named twice"),
        ("queue: shop-mail", "queue: 'a b'", "queue"),
        ("tasks: 2", "tasks: 0", "tasks"),
        ("tasks: 2}", "tasks: 2}\n    outcomes: {done: '('}", "is no regular expression"),
        ("tasks: 2}", "tasks: 2}\n    figures: {period: 20m}", "must not be longer than"),
    ],
)
def test_what_would_be_refused_later_is_refused_in_the_file(was, becomes, words):
    assert kinds.read_project(PROJECT, "kirikae.yml").moves["mail"].kind == "workers"
    with pytest.raises(UsageProblem, match=words) as caught:
        kinds.read_project(PROJECT.replace(was, becomes), "kirikae.yml")
    assert "kirikae.yml:" in str(caught.value)
