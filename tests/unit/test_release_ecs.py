"""A release on ECS: what AWS would refuse is told before anything is registered, what is not sent
is named, and a task that stops says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirikae.aws import shapes
from kirikae.aws.elbv2 import Target
from kirikae.aws.errors import AwsRefused
from kirikae.console import release as console
from kirikae.model.project import NewFleet
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release import service_deployment, stopped
from kirikae.release.definitions import load
from kirikae.release.ecs_fleet import EcsFleet, change
from kirikae.release.errors import DefinitionProblem, NotFinished, NothingRuns, RolledBack
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from kirikae.release.service_deployment import ServiceDeployment
from kirikae.release.status import ServiceNow, Standing
from kirikae.release.stopped import Stops
from tests.fleet import StandInService, around_of

TASK = {"family": "web", "containerDefinitions": [{"name": "app", "image": "httpd"}]}
PLACE = NewFleet(cluster="c", ecs_service="shop", target_group="g")


def fleet(folder, task=TASK, service=None, exists=True):
    (folder / "ecs").mkdir(exist_ok=True)
    (folder / "ecs/ecs-task-def.json").write_text(json.dumps(task))
    (folder / "ecs/ecs-service-def.json").write_text(json.dumps(service or {}))
    aws = StandInService(folder / "service.json", exists)
    told = []
    releases = Releases(SqliteStore(folder / "s.db"), "test", "shop", folder / "releases")
    made = EcsFleet(aws, PLACE, releases, folder / "ecs", {}, 5, told.append)
    return made, aws, told


# --- before anything is registered


LEFTOVERS = {"ipcMode": "", "pidMode": "", "revision": 7, "status": "ACTIVE"}
"""What `ecspresso init` writes, and what AWS answers (trial of November 2026, F12)."""


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_ecspresso_init_leaves_is_read_as_never_set(tmp_path, wrapped):
    """Bare, or inside of `taskDefinition`, with keys in whatever case."""
    inner = {**TASK, **LEFTOVERS, "Cpu": "256"}
    new, _, _ = fleet(tmp_path, {"taskDefinition": inner} if wrapped else inner)
    assert new.steps("r2")[0].parameters == {**TASK, "cpu": "256"}


@pytest.mark.parametrize(
    ("task", "service", "says"),
    [
        ({**TASK, "ipcMode": "all"}, {}, "ipcMode is 'all'; it may be host, task, none"),
        (TASK, {"capacityProviderStrategy": {}}, "capacityProviderStrategy must be a list, not {}"),
        ({**TASK, "famly": "x"}, {}, "famly is no key that AWS knows; did you mean family?"),
        ({"family": "web"}, {}, "ecs-task-def.json: containerDefinitions is missing"),
        (
            {**TASK, "containerDefinitions": [{"name": "app", "image": "x", "cpu": "256"}]},
            {},
            r"containerDefinitions\[0\].cpu must be a whole number without quotes, not '256'",
        ),
        ({**TASK, "family": "{{ must_env `NOWHERE` }}"}, {}, "NOWHERE is not set"),
        (TASK, {"services": [{}]}, "ecs-service-def.json: everything stands inside `services`"),
    ],
)
def test_what_aws_would_refuse_is_told_by_the_dry_run_and_nothing_is_registered(
    tmp_path, task, service, says
):
    """With file, place and remedy; the real run asks the same before its first change."""
    new, aws, _ = fleet(tmp_path, task, service)
    known = aws.revisions()
    with pytest.raises(DefinitionProblem, match=says):
        deploying.steps("r2", [new])
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me")
    with pytest.raises(DefinitionProblem, match=says):
        deploying.deploy("r2", [new], ledger, Lock(SqliteStore(tmp_path / "s.db"), "test", "shop"))
    assert aws.revisions() == known and ledger.all() == []


@pytest.mark.parametrize("exists", [True, False])
def test_every_key_of_the_service_definition_is_sent_or_named_with_the_reason(tmp_path, exists):
    """Also `cluster`, and what `ecspresso init` copied of a service's state."""
    given_ = {
        "cluster": "other",
        "serviceName": "shop",
        "desiredCount": 2,
        "launchType": "FARGATE",
        "platformVersion": "LATEST",
        "enableECSManagedTags": True,
        "platformFamily": "Linux",
        "runningCount": 2,
    }
    new, _, told = fleet(tmp_path, TASK, given_, exists)
    step = new.steps("r2")[-1]
    named = {key for key in given_ if f"`{key}` is not sent: " in step.says}
    kirikae_s_own = {"serviceName"}
    assert named | set(step.parameters) | kirikae_s_own == set(given_) | kirikae_s_own
    assert {"cluster", "platformFamily", "runningCount"} <= named
    assert ("launchType" in named) is exists and ("desiredCount" in named) is exists
    assert step.parameters["platformVersion"] == "LATEST"
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me")
    lock = Lock(SqliteStore(tmp_path / "s.db"), "test", "shop")
    assert deploying.deploy("r2", [new], ledger, lock).trouble is None
    assert "`cluster` is not sent: the project file names it" in told


def test_the_shapes_are_those_of_aws_s_own_model():
    """Whatever the installed botocore knows."""
    assert {"cluster", "serviceName"} <= shapes.parameters_of("ecs", "CreateService")
    assert shapes.problems("ecs", "RegisterTaskDefinition", TASK) == []
    wrong = {**TASK, "tags": [{"key": 1}], "runtimePlatform": "LINUX", "memory": True}
    assert shapes.problems("ecs", "RegisterTaskDefinition", wrong) == [
        "tags[0].key must be text in quotes, not 1",
        "runtimePlatform must be an object, not 'LINUX'",
        "memory must be text in quotes, not True",
    ]


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["family", "containerDefinitions", "name", "cpu", "tags", "x", ""]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(PLAIN, PLAIN)
def test_any_definition_is_taken_or_told_what_is_wrong(tmp_path_factory, task, service):
    """Never a traceback, whatever the two files hold."""
    folder = tmp_path_factory.mktemp("ecs")
    for name, plain in (("t.json", task), ("s.json", service)):
        (folder / name).write_text(json.dumps(plain))
    try:
        read = [load(folder, name, {}) for name in ("t.json", "s.json")]
    except DefinitionProblem as error:
        assert str(folder) in str(error)
        return
    wanted = change(True, "s", read[0], read[1], "c", 1)
    for operation, parameters in (
        ("RegisterTaskDefinition", wanted.task),
        ("UpdateService", wanted.service),
    ):
        assert all(isinstance(each, str) for each in shapes.problems("ecs", operation, parameters))
    assert wanted.steps(PLACE)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"family":\n NaN}', "t.json:2: NaN is no number"),
        (b'{"family": "a",\n "family": "b"}', "t.json:1, 2: the key 'family' stands twice"),
        (b" " * 300_000, "more than 256 kB"),
        (b"{{" * 100_000, "t.json:1: bad character"),
        ('{"family": "a"}'.encode("utf-16"), "t.json:1: the file is UTF-16"),
        (b"[" * 100_000, "cannot be read"),
        (b'{\n"family": "\xff"}', "t.json:2: not UTF-8 text"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
    ],
)
def test_a_file_that_is_no_json_for_everybody_is_refused(tmp_path, body, says):
    """What one reader takes and another does not is not guessed at."""
    (tmp_path / "t.json").write_bytes(body)
    with pytest.raises(DefinitionProblem, match=says):
        load(tmp_path, "t.json", {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ecs-task-def.jsonnet", "{ family: std.native('must_env')('NAME') }"),
        ("ecs-task-def.yml", "family: {{ must_env `NAME` }}\n"),
        ("ecs-task-def.json", '{"family": "{{ must_env `NAME` }}"}'),
    ],
)
def test_a_definition_is_read_in_whichever_form_it_lies_there(tmp_path, name, text):
    """ecspresso takes Jsonnet, too."""
    (tmp_path / name).write_text(text)
    assert load(tmp_path, "ecs-task-def.json", {"NAME": "web"}) == {"family": "web"}


def test_a_configuration_of_ecspresso_beside_the_definitions_names_them(tmp_path):
    """With its plugins; one that means another service is refused."""
    new, _, _ = fleet(tmp_path)
    place = tmp_path / "ecs"
    (place / "td.json").write_text(
        '{"family": "{{ tfstate `output.name` }}", "containerDefinitions": []}'
    )
    (place / "terraform.tfstate").write_text(
        '{"version": 4, "outputs": {"name": {"value": "bookshop", "type": "string"}}}'
    )
    config = """
cluster: c
service: shop
service_definition: ecs-service-def.json
task_definition: td.json
plugins: [{name: tfstate, config: {path: terraform.tfstate}}]
"""
    (place / "ecspresso.yml").write_text(config)
    assert new.steps("r2")[0].parameters["family"] == "bookshop"
    by_arn = config.replace("cluster: c", "cluster: arn:aws:ecs:eu-west-1:123456789012:cluster/c")
    (place / "ecspresso.yml").write_text(by_arn)
    assert new.steps("r2")
    (place / "ecspresso.yml").write_text(config.replace("shop", "another", 1))
    with pytest.raises(DefinitionProblem, match=r"`service` is another, and the project file"):
        new.steps("r2")


# --- what serves, and what only is registered


def row(state="COMPLETED", desired=1, running=1, **more):
    own = {
        "id": "ecs-svc/1",
        "rolloutState": state,
        "rolloutStateReason": "tasks failed to start.",
        "runningCount": running,
        "pendingCount": 0,
        "desiredCount": desired,
        "taskDefinition": "arn:aws:ecs:x:1:task-definition/web:7",
        "createdAt": 5,
        **more,
    }
    return {"deployments": [own], "events": [], "loadBalancers": [{"targetGroupArn": "tg"}]}


def task(code=3, reason="Essential container in task exited", at=0, **more):
    return {
        "taskArn": f"arn:aws:ecs:x:1:task/c/0a1b{at}",
        "taskDefinitionArn": "arn:aws:ecs:x:1:task-definition/web:7",
        "startedBy": "ecs-svc/1",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": reason,
        "stoppedAt": datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=at),
        "containers": [{"name": "app", "exitCode": code}, {"name": "web", "exitCode": 137}],
        **more,
    }


LOGGED = {
    "containerDefinitions": [
        {
            "name": "app",
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/web",
                    "awslogs-stream-prefix": "app",
                    "awslogs-region": "eu-west-1",
                },
            },
        },
        {"name": "web"},
    ]
}


@pytest.fixture
def aws(monkeypatch):
    """Successive looks at a service, its dead tasks, the state of its targets, its log."""

    def use(*rows, dead=(), states=("healthy",), log=("Error: Cannot find module 'express'",)):
        left = list(rows)
        monkeypatch.setattr(
            service_deployment.ecs,
            "service",
            lambda *_: left.pop(0) if len(left) > 1 else left[0],
        )
        monkeypatch.setattr(stopped.ecs, "tasks", lambda *_: list(dead))
        monkeypatch.setattr(stopped.ecs, "task_definition", lambda *_: LOGGED)
        answers = list(states)
        monkeypatch.setattr(
            service_deployment.elbv2,
            "targets",
            lambda *_: [Target("a", 1, answers.pop(0) if len(answers) > 1 else answers[0], "")],
        )

        def last_lines(aws, region, group, stream, count):
            assert (group, stream.rpartition("/")[0]) == ("/ecs/web", "app/app")
            if isinstance(log, Exception):
                raise log
            return list(log)

        monkeypatch.setattr(stopped.logs, "last_lines", last_lines)
        clock = iter(range(10_000)).__next__
        return ServiceDeployment(None, "c", "shop", "ecs-svc/1", clock, lambda seconds: None)

    return use


def test_a_service_of_no_tasks_is_not_called_serving(aws):
    """Its deployment is COMPLETED at once, and nothing was proven."""
    with pytest.raises(NothingRuns, match=r"set to web:7, but its desired count is 0") as caught:
        list(aws(row(desired=0, running=0)).wait(10))
    assert caught.value.exit == 3


def test_a_release_of_which_nothing_runs_is_not_done_in_the_ledger(tmp_path, monkeypatch):
    """And the dry run says so beforehand."""
    monkeypatch.setattr(service_deployment, "POLL_S", 0.01)
    new, aws_, _ = fleet(tmp_path)
    real = aws_.describe_services

    def without_tasks(**_):
        answer = real()
        for each in answer["services"]:
            each["desiredCount"] = 0
            for deployment in each["deployments"]:
                deployment |= {"desiredCount": 0, "runningCount": 0}
        return answer

    aws_.describe_services = without_tasks
    assert "its desired count is 0: nothing will run" in new.steps("r2")[-1].says
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me")
    ended = deploying.deploy(
        "r2", [new], ledger, Lock(SqliteStore(tmp_path / "s.db"), "test", "shop")
    )
    assert isinstance(ended.trouble, NothingRuns)
    assert ledger.all()[-1].outcome is Outcome.NOT_FINISHED and ledger.serving("new") is None
    [now] = console.shown(Standing([], ServiceNow("arn/shop:2", 0, 0), {})).lines
    assert now == "the service is set to shop:2, and its desired count is 0: nothing runs"


def test_a_release_serves_once_its_tasks_run_and_the_load_balancer_takes_one(aws):
    """COMPLETED alone is not enough."""
    waited = aws(row(running=0), row(), row(), states=("unhealthy", "initial", "healthy"))
    seen = list(waited.wait(100))
    assert [progress.done for progress in seen] == [False, False, False, True]
    with pytest.raises(NotFinished, match="still going on"):
        list(aws(row(), states=("unhealthy",)).wait(10))


# --- why


def _without(key):
    found = row()
    del found["deployments"][0][key]
    return found


@pytest.mark.parametrize(
    "half",
    [
        {"deployments": [], "events": []},
        {"events": []},
        {"deployments": None},
        row(runningCount=None),
        row(createdAt=None),
        row(id=None),
        *map(_without, ("id", "desiredCount", "pendingCount", "runningCount", "taskDefinition")),
    ],
)
def test_half_an_answer_says_nothing_and_is_looked_at_again(aws, half):
    """The deploy goes on; where nothing else comes, that is what is told, and not that the
    deployment goes on."""
    assert [each.done for each in aws(half, half, row()).wait(100)] == [True]
    with pytest.raises(NotFinished, match="AWS does not say what became") as caught:
        list(aws(half).wait(5))
    assert caught.value.ending == "timed_out"


def test_events_of_which_half_came_are_passed_over(aws):
    whole = row()
    whole["events"] = [
        {"id": "1", "message": "no time"},
        {"id": "2", "createdAt": 9, "message": "m"},
    ]
    [progress] = aws(whole).wait(10)
    assert progress.events == ("m",)
    [progress] = aws({**row(), "events": None, "loadBalancers": None}).wait(10)
    assert progress.done


def test_a_change_that_ecs_took_without_a_deployment_is_not_called_done(tmp_path):
    """What came of it is not known."""
    new, _, _ = fleet(tmp_path)
    with pytest.raises(NotFinished, match="names no deployment of it"):
        new.wait_for({"deployments": []}, "")


def test_a_crash_loop_is_told_with_its_cause_and_last_words_while_it_goes_on(aws):
    """Once for each cause, and again in the end with how often it happened."""
    dead = [task(at=1), task(at=2), task(at=3)]
    waited = aws(row("IN_PROGRESS"), row("IN_PROGRESS", failedTasks=3), dead=dead)
    seen = []
    with pytest.raises(NotFinished) as caught:
        for progress in waited.wait(10):
            seen += progress.stopped
    assert [each.times for each in seen] == [3]
    assert seen[0].lines() == [
        "3 tasks stopped: EssentialContainerExited; Essential container in task exited; "
        "app exited with 3",
        "    app | Error: Cannot find module 'express'",
    ]
    assert "app exited with 3" in str(caught.value)
    assert caught.value.stopped[0].task == "0a1b3"


def test_a_deployment_that_went_back_is_told_with_its_cause(aws):
    """And what serves, or that nothing does."""
    failed = row("FAILED")["deployments"][0]
    primary = {**failed, "id": "ecs-svc/2", "taskDefinition": "x/web:6", "runningCount": 0}
    looked = {"deployments": [primary, failed], "events": []}
    pull = "CannotPullContainerError: no.such/image:2\n   is not there"
    dead = [
        task(
            reason=pull,
            stopCode="TaskFailedToStart",
            containers=[{"name": "app", "reason": "CannotPull"}],
        )
    ]
    with pytest.raises(RolledBack) as caught:
        list(aws(looked, dead=dead).wait(10))
    assert str(caught.value) == (
        "the deployment failed: tasks failed to start. Nothing serves: the service is set to "
        "web:6, and 0 of 1 tasks run; a task stopped: TaskFailedToStart; CannotPullContainerError: "
        "no.such/image:2 is not there; app did not run (CannotPull)"
    )
    primary["runningCount"] = 1
    with pytest.raises(RolledBack, match=r"What serves is web:6; a task stopped"):
        list(aws(looked, dead=dead).wait(10))


def test_a_log_that_cannot_be_read_is_told_in_one_line(aws):
    """The cause is told all the same."""
    aws(row(), dead=[task()], log=AwsRefused("GetLogEvents", "AccessDenied", "no\nright"))
    [why] = Stops(None, "c", "shop").of("ecs-svc/1")
    assert why.lines()[1] == (
        "    app: its log /ecs/web app/app/0a1b0 was not read: AWS refused GetLogEvents: "
        "AccessDenied: no right"
    )


def test_tasks_that_were_stopped_on_purpose_or_are_of_another_deployment_explain_nothing(aws):
    """A scale-in is no cause; a failed health check is one."""
    scaled_in = task(stopCode="ServiceSchedulerInitiated", reason="Scaling activity")
    other = task(startedBy="ecs-svc/0")
    aws(row(), dead=[scaled_in, other])
    assert Stops(None, "c", "shop").of("ecs-svc/1") == ()
    sick = task(stopCode="ServiceSchedulerInitiated", reason="Task failed ELB health checks in x")
    aws(row(), dead=[sick])
    assert len(Stops(None, "c", "shop").of("ecs-svc/1")) == 1


def test_the_cause_is_in_the_deploy_s_answer_and_in_the_status(tmp_path, monkeypatch):
    """Lines and JSON tell the same; the ledger's line is one line whatever AWS wrote."""
    monkeypatch.setattr(service_deployment, "POLL_S", 0.01)
    broken = {**TASK, "containerDefinitions": [{"name": "app", "image": "broken"}]}
    new, _, _ = fleet(tmp_path, broken)
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me")
    lock = Lock(SqliteStore(tmp_path / "s.db"), "test", "shop")

    class Only:
        def of(self, side):
            return new

    desk = console.ReleaseDesk(None, None, ledger, lock, Only(), around_of(tmp_path, ledger))
    answer = console.deployed(desk, "r2", ["new"], dry_run=False)
    assert answer.exit == 4 and "app exited with 3" in answer.notes[0]
    [why] = json.loads(answer.json())["stopped"]
    assert why["containers"][0]["exit_code"] == 3
    entry = ledger.end(
        ledger.all()[-1], Outcome.NOT_FINISHED, "AWS refused\n   - it\n   - and more"
    )
    shown = console.shown(Standing([entry], ServiceNow("a/b:1", 0, 1), {}, [*_stops(tmp_path)]))
    assert all("\n" not in line for line in shown.lines)
    assert shown.lines[0].endswith("AWS refused - it - and more")
    assert "app exited with 3" in shown.lines[-1]


def _stops(folder):
    aws_ = StandInService(folder / "service.json")
    failed = json.loads((folder / "service.json").read_text())["service"]["deployments"]
    found = [Stops(aws_, "c", "shop").of(each["id"]) for each in failed]
    return [each for one in found for each in one]
