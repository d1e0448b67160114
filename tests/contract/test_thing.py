"""What every thing that moves must keep: one suite for each kind (World, traffic, later others)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.jobs.job import Owner
from kirikae.jobs.ledger import Ledger, Mark
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Phase
from kirikae.model.said import LANGUAGES, Said, Words, said
from kirikae.model.share import WHOLE
from kirikae.move.errors import HandOnKnob
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench, Thing
from kirikae.move.sqlite_store import SqliteStore
from tests.conftest import WEB_IMAGE
from tests.consumers import Hosts
from tests.contract.test_ledger import TOKEN, served
from tests.logs_place import LogsPlace
from tests.pace import eventually
from tests.shop import Shop
from tests.tidy import gone
from tests.world import PLAN, WORDS, WORLD, World, WorldThing

NAME = "web"


@dataclass
class Case:
    """A thing, its journal, and a hand that turns the share behind its back."""

    thing: Thing
    journal: Journal
    turn: Callable[[int], None]
    words: Words

    def move(self, phase: Phase = Phase.PLANNED, share: int = 0) -> Move:
        """As the journal has it: planned first, then as it is asked for."""
        if not self.journal.names():
            self.journal.write(Move(NAME, self.thing.plan(), seq=1))
        return Move(NAME, self.thing.plan(), phase, share, seq=1, stepped=1, attempt=1)

    def found(self) -> int | None:
        return self.thing.compare(self.move(Phase.SETTLED, WHOLE)).found

    def begin(self) -> None:
        self.thing.prepare(self.move())
        self.thing.start(self.move(Phase.PREPARED))


def _world(folder: Path) -> Case:
    journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
    world = World(folder / "world")
    return Case(WorldThing(world), journal, world.turn, kinds.words().plus(WORDS))


PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: thing-a}
  new: {cluster: thing, ecs_service: b, target_group: thing-b}
checks:
  - {get: /, expect: 200, contains: shop}
moves:
  web:
    kind: traffic
    router: {listener_rule: RULE}
    plan: ["10%", "50%", "100%"]
    judge: {worse_requests_at_most: "4%", bake: 1s, warm_up: 0s, fast_enough: 1s}
    figures: {period: 1s, lateness: 2s}
"""


@pytest.fixture(scope="module")
def shop(local: Any) -> Iterator[Shop]:
    shop = Shop(local, "thing")
    for side in ("a", "b"):
        shop.serve(side, "shop r1", 1)
    for side in ("a", "b"):
        shop.complete(side)
        shop.serving(side, 1)
    yield shop


def _traffic(folder: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Case:
    for key, value in shop.local.environment.items():
        monkeypatch.setenv(key, value)
    shop.weigh(999, 0)
    project = kinds.read_project(PROJECT.replace("RULE", shop.rule), "kirikae.yml")
    journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
    settings = project.moves[NAME]
    bench = Bench(NAME, project, Aws(project.region), journal, time.time, folder)
    thing = kinds.kind_of(settings).open(settings, bench)
    return Case(thing, journal, lambda share: shop.weigh(1000 - share, share), kinds.words())


WORKERS = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: thing-a, hosts: ["ssh://w1", "ssh://w2"]}
  new: {cluster: queues, ecs_service: b, target_group: thing-b}
moves:
  web:
    kind: workers
    queue: mail
    old: {units: [celery@1.service, celery@2.service]}
    new: {ecs_service: mail, tasks: 10}
"""


class Queued:
    """A queue and a service that would consume it, with no task yet."""

    def __init__(self, local: Any) -> None:
        self.local = local
        self.ecs = local.client("ecs")
        sqs = local.client("sqs")
        local.scope.owns |= {"service queues/", "task queues/"}
        url = sqs.create_queue(QueueName="mail", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
        local.scope.add(lambda: gone(sqs.delete_queue, QueueUrl=url))
        self.ecs.create_cluster(clusterName="queues")
        container = {
            "name": "worker",
            "image": WEB_IMAGE,
            "command": ["sleep", "3600"],
            "stopTimeout": 30,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/moved-mail",
                    "awslogs-region": local.status["region"],
                    "awslogs-stream-prefix": "mail",
                },
            },
            "linuxParameters": {"initProcessEnabled": True},
        }
        logs = local.client("logs")
        logs.create_log_group(logGroupName="/ecs/moved-mail")
        local.scope.add(lambda: gone(logs.delete_log_group, logGroupName="/ecs/moved-mail"))
        definition = self.ecs.register_task_definition(
            family="mail",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            executionRoleArn="arn:aws:iam::123456789012:role/run",
            containerDefinitions=[container],
        )["taskDefinition"]["taskDefinitionArn"]
        subnet = local.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.ecs.create_service(
            cluster="queues",
            serviceName="mail",
            taskDefinition=definition,
            desiredCount=0,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        )
        local.scope.add(
            lambda: gone(self.ecs.delete_service, cluster="queues", service="mail", force=True)
        )

    def turn(self, share: int) -> None:
        self.ecs.update_service(cluster="queues", service="mail", desiredCount=share // 100)


@pytest.fixture(scope="module")
def queued(local: Any) -> Queued:
    return Queued(local)


def _workers(folder: Path, queued: Queued, monkeypatch: pytest.MonkeyPatch) -> Case:
    hosts = Hosts(folder / "hosts", ("w1", "w2"), ("celery@1.service", "celery@2.service")).make()
    for key, value in {**queued.local.environment, **hosts.environment}.items():
        monkeypatch.setenv(key, value)
    queued.turn(0)
    project = kinds.read_project(WORKERS, "kirikae.yml")
    journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
    settings = project.moves[NAME]
    bench = Bench(NAME, project, Aws(project.region), journal, time.time, folder)
    thing = kinds.kind_of(settings).open(settings, bench)
    return Case(thing, journal, queued.turn, kinds.words())


ENGINE = [pytest.mark.engine, pytest.mark.shares]


JOBS_PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: thing-a}
  new: {cluster: thing, ecs_service: b, target_group: thing-b}
moves:
  web:
    kind: jobs
    crontab: batch
    ledger: "LEDGER"
    token_file: token
    plan: ["10%", "50%", "100%"]
    bake: 0s
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[tuple[str, Ledger]]:
    """One that another process owns: here a thread."""
    book = sqlite_ledger(tmp_path / "jobs.db")
    with served(book) as url:
        yield url, book
    book.close()


def _jobs(folder: Path, url: str, book: Ledger) -> Case:
    """Ten jobs, and a scheduler that has just been heard."""
    lines = [f"# kirikae: id=j{number}\n{number} 4 * * * true\n" for number in range(10)]
    (folder / "batch").write_text("".join(lines))
    (folder / "token").write_text(f"{TOKEN}\n")
    book.raise_mark("batch", Mark(0, int(time.time() // 60) + 60))
    project = kinds.read_project(JOBS_PROJECT.replace("LEDGER", url), "kirikae.yml")
    journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
    settings = project.moves[NAME]
    bench = Bench(NAME, project, None, journal, time.time, folder)

    def turn(share: int) -> None:
        book.own([f"j{number}" for number in range(10)], Owner.OLD)
        book.own([f"j{number}" for number in range(share // 100)], Owner.NEW)

    return Case(kinds.kind_of(settings).open(settings, bench), journal, turn, kinds.words())


def _logs(folder: Path) -> Case:
    """Three days of the past, moved and proven; the hand writes the view as kirikae would."""
    place = LogsPlace(folder)
    place.fill(days=3)
    place.backfill_and_verify()
    view = place.thing.view
    begins = place.thing._begins(place.thing.judged())
    return Case(place.thing, place.journal, lambda share: view.set(share, begins), kinds.words())


@pytest.fixture(
    params=[
        "world",
        "jobs",
        "logs",
        pytest.param("traffic", marks=ENGINE),
        pytest.param("workers", marks=ENGINE),
    ]
)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    if request.param == "world":
        return _world(tmp_path)
    if request.param == "logs":
        return _logs(tmp_path)
    if request.param == "workers":
        return _workers(tmp_path, request.getfixturevalue("queued"), monkeypatch)
    if request.param == "jobs":
        return _jobs(tmp_path, *request.getfixturevalue("ledger"))
    return _traffic(tmp_path, request.getfixturevalue("shop"), monkeypatch)


def test_its_plan_rises_to_the_whole(case):
    """Shares that the world can really have."""
    plan = case.thing.plan()
    assert list(plan) == sorted(set(plan)) and plan[-1] == WHOLE and plan[0] >= 1
    assert case.thing.subject and case.thing.look_every_s > 0


def test_a_share_is_set_and_read_back_and_setting_it_again_changes_nothing(case):
    """Set, don't add."""
    case.begin()
    for share in (*case.thing.plan(), 0):
        for _ in range(2):
            case.thing.shift(NAME, share, None)
            assert case.found() == share


def test_a_hand_on_the_knob_is_told_with_the_share_that_was_found(case):
    """And the share is left as it is."""
    case.begin()
    case.turn(300)
    with pytest.raises(HandOnKnob) as caught:
        case.thing.shift(NAME, 500, (100, 500))
    assert (caught.value.found, caught.value.expected) == (300, 100)
    assert case.found() == 300


def test_the_red_button_needs_no_journal(case):
    """Nothing was written, and share 0 is set all the same."""
    case.turn(500)
    case.thing.shift("a move that nobody planned", 0, None)
    assert case.found() == 0


def test_every_act_may_be_repeated(case):
    """After a crash the same act is called again: the same world, and no error."""
    for _ in range(2):
        case.begin()
    case.thing.shift(NAME, WHOLE, None)
    settled = case.move(Phase.SETTLED, WHOLE)
    for act in (case.thing.settle, case.thing.retire):
        act(settled)
        act(settled)
    assert case.found() == WHOLE
    for _ in range(2):
        case.thing.discard(case.move(Phase.RUNNING))
    assert case.found() == 0


def test_a_ready_side_may_be_moved_to_and_figures_are_awaited_above(case, request):
    """Share 0: readiness; above: evidence, with the share that was found."""
    case.begin()
    ready = eventually(
        lambda: (e := case.thing.compare(case.move(Phase.RUNNING))).verdict is Verdict.PASS and e,
        "both sides are ready",
        watch=lambda: case.thing.compare(case.move(Phase.RUNNING)).reason.key,
    )
    assert ready.found == 0
    case.thing.shift(NAME, 500, None)
    evidence = case.thing.compare(case.move(Phase.RUNNING, 500))
    assert evidence.found == 500 and case.words.say(evidence.reason)
    assert case.thing.compare(case.move(Phase.RUNNING, 100)).verdict is not Verdict.PASS or (
        evidence.verdict is Verdict.PASS
    )


def test_looks_act_on_nothing_and_speak_both_languages(case):
    """Eight looks: the share stays, JSON can hold what they say, and each sentence is there in
    both languages."""
    case.begin()
    case.thing.shift(NAME, 100, None)
    move = case.move(Phase.RUNNING, 100)
    thing = case.thing
    prospects = thing.prospects()
    facts = [*thing.facts(None), *thing.facts(move), *prospects.facts]
    evidence = thing.recorded(move)
    told = thing.told(evidence) if evidence is not None else None
    assert thing.recorded(case.move()) is None, "nothing is on the new side yet"
    assert [step.share for step in prospects.steps] == list(thing.plan())
    assert all(not finding.blocks for finding in thing.obstacles())
    json.dumps([fact.plain for fact in facts] + [dict(s.plain) for s in prospects.steps])
    keys = [fact.key for fact in facts]
    assert "found_share" in keys
    sentences: list[Said | None] = [fact.says for fact in facts]
    sentences += [says for step in prospects.steps for says in step.says]
    sentences += [thing.removal(move), evidence.reason if evidence else None]
    sentences += [told.line, told.sentence] if told is not None else []
    for sentence in filter(None, sentences):
        for language in LANGUAGES:
            assert "{" not in case.words.say(sentence, language)
    assert case.found() == 100


def test_a_kind_tells_what_its_driver_may_do_and_what_it_turns(tmp_path):
    """IAM statements with an effect and actions; names for people who ask."""
    settings = WORLD.settings(kind="world", file="world")
    assert WORLD.turns(settings)[0].name == "world"
    assert all(statement["Effect"] == "Allow" for statement in WORLD.permissions(settings, None))
    assert said("world.share", share=1).key in WORLD.words["en"]
    assert PLAN[-1] == WHOLE


@pytest.mark.engine
@pytest.mark.shares
def test_a_driver_of_traffic_may_do_what_it_does_and_no_more(shop, tmp_path, monkeypatch):
    """Weights of its own rule; the access log's bucket where figures come from there."""
    case = _traffic(tmp_path, shop, monkeypatch)
    s3 = shop.local.client("s3")
    region = {"LocationConstraint": shop.local.status["region"]}
    s3.create_bucket(Bucket="thing-logs", CreateBucketConfiguration=region)
    attributes = {
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": "thing-logs",
        "access_logs.s3.prefix": "shop",
    }
    shop.elb.modify_load_balancer_attributes(
        LoadBalancerArn=shop.balancer,
        Attributes=[{"Key": key, "Value": value} for key, value in attributes.items()],
    )
    text = PROJECT.replace("RULE", shop.rule).replace("period: 1s", "source: access_log")
    project = kinds.read_project(text, "kirikae.yml")
    settings = project.moves[NAME]
    bench = Bench(NAME, project, Aws(project.region), case.journal, time.time, tmp_path)
    statements = {s["Sid"]: s for s in kinds.kind_of(settings).permissions(settings, bench)}
    assert statements["Shift"]["Resource"] == shop.rule
    assert statements["Log"]["Resource"] == "arn:aws:s3:::thing-logs/shop/*"
    assert statements["LogKeys"]["Action"] == ["s3:ListBucket"]
    off = [{"Key": "access_logs.s3.enabled", "Value": "false"}]
    shop.elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=off)
