"""kirikae local on a real engine and a real HAProxy, through boto3 as anybody would."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kirikae.local import control
from tests.conftest import WEB_IMAGE, Endpoint, web_image
from tests.pace import eventually
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine
PATIENT = {"Delay": 1, "MaxAttempts": 600}


@pytest.fixture(scope="module")
def shop(local: Endpoint) -> Iterator[Shop]:
    """Two services that say a and b."""
    shop = Shop(local, "shop")
    shop.serve("a", "a", 2)
    shop.serve("b", "b", 1)
    shop.complete("a")
    shop.complete("b")
    yield shop


def test_weights_are_met_within_binomial_error(shop):
    """Asked 0.1%, 1%, 50%: got so; 0 and all are exact."""
    for a, b in ((999, 1), (990, 10), (500, 500)):
        shop.weigh(a, b)
        got = 0
        n = 2000
        p = b / (a + b)
        got = sum(shop.get() == "b" for _ in range(n))
        assert abs(got - n * p) < 4.5 * (n * p * (1 - p)) ** 0.5 + 1, (a, b, got)
    for a, b, only in ((999, 0, "a"), (0, 999, "b")):
        shop.weigh(a, b)
        assert {shop.get() for _ in range(300)} == {only}


def test_nothing_is_lost_while_weights_turn_tasks_are_replaced_and_the_control_plane_dies(shop):
    """The promise of the front door, in small; make prove and the benchmarks run it long."""
    local = shop.local
    with Hammer(shop.port) as hammer:
        shop.ecs.update_service(cluster="shop", service="a", forceNewDeployment=True)
        for n in range(20):
            shop.weigh(n * 50, 999 - n * 50)
            if n == 10:
                status = control.status(local.directory)
                assert status is not None
                os.kill(status["pid"], signal.SIGKILL)
                control.up(local.directory, None, "ap-northeast-1")
            time.sleep(0.1)
        shop.complete("a")
    assert hammer.failures == [] and hammer.count > 1000


def test_a_deregistered_target_gets_no_request(shop):
    """Found in the first rehearsal: HAProxy's state was misread and a drained host went on being
    asked."""
    shop.weigh(999, 0)
    shop.serving("a", 2)
    found = shop.elb.describe_target_health(TargetGroupArn=shop.groups["a"])[
        "TargetHealthDescriptions"
    ]
    target = found[0]["Target"]
    shop.elb.deregister_targets(TargetGroupArn=shop.groups["a"], Targets=[target])
    eventually(lambda: len(shop.health("a")) == 1, "it is gone")
    before = _sessions(shop, "a")
    for _ in range(100):
        shop.get()
    after = _sessions(shop, "a")
    busy = [slot for slot in after if after[slot] > before.get(slot, 0)]
    assert len(busy) == 1
    shop.elb.register_targets(TargetGroupArn=shop.groups["a"], Targets=[target])
    shop.serving("a", 2)


def _sessions(shop: Shop, side: str) -> Counter[str]:
    """slot -> requests so far, as HAProxy counts them."""
    import socket

    backend = "tg-" + shop.groups[side].rpartition("/")[2]
    settings = json.loads((shop.local.directory / "settings.json").read_text())
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.connect(settings["run"] + "/haproxy.sock")
        runtime.sendall(b"show stat\n")
        text = b""
        while part := runtime.recv(65536):
            text += part
    rows = [
        line.split(",") for line in text.decode().splitlines() if line.startswith(f"{backend},s")
    ]
    return Counter({row[1]: int(row[7]) for row in rows})


def test_figures_count_every_request(shop):
    """RequestCount is what was sent, per target group, by the second and by the minute; latency has
    all its statistics."""
    shop.weigh(0, 999)
    before = _figure_at_rest(shop, "b", "RequestCount", "Sum", 60)
    for _ in range(150):
        shop.get()
    eventually(
        lambda: _figure(shop, "b", "RequestCount", "Sum", 60) - before >= 150,
        "the figures came",
        10,
        lambda: _figure(shop, "b", "RequestCount", "Sum", 60),
    )
    assert _figure(shop, "b", "RequestCount", "Sum", 60) - before == 150
    assert _figure(shop, "b", "RequestCount", "Sum", 1) == _figure(
        shop, "b", "RequestCount", "Sum", 60
    )
    slow, quick = (
        _figure(shop, "b", "TargetResponseTime", s, 60) for s in ("TC(0.5:)", "TC(:0.5)")
    )
    # How many were slow is the machine's affair; that each is counted on one side is not.
    assert slow + quick == _figure(shop, "b", "RequestCount", "Sum", 60) and quick > 0


def _figure_at_rest(shop: Shop, *which: Any) -> float:
    """What was asked before this test has been counted: the figure does not change any more."""
    seen = [_figure(shop, *which)]

    def rests() -> bool:
        time.sleep(1)
        seen.append(_figure(shop, *which))
        return seen[-1] == seen[-2]

    eventually(rests, "the figure rests")
    return seen[-1]


def _figure(shop: Shop, side: str, metric: str, statistic: str, period: int) -> float:
    end = datetime.now(UTC)
    dimension = {"Name": "TargetGroup", "Value": shop.groups[side].split(":", 5)[5]}
    metric_stat = {
        "Metric": {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": metric,
            "Dimensions": [dimension],
        },
        "Period": period,
        "Stat": statistic,
    }
    answer = shop.local.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "x", "MetricStat": metric_stat}],
        StartTime=end - timedelta(hours=1),
        EndTime=end,
    )
    return float(sum(answer["MetricDataResults"][0]["Values"]))


def test_a_killed_task_is_replaced(shop):
    """SIGKILL of the container: the task says why it ended, the service starts another, the
    listener never stops."""
    victim = shop.ecs.list_tasks(cluster="shop", serviceName="b")["taskArns"][0]
    container = f"{shop.local.status['instance']}-task-{victim.rpartition('/')[2]}-web"
    subprocess.run(["docker", "kill", "-s", "KILL", container], check=True, capture_output=True)

    def ended() -> bool:
        task = shop.ecs.describe_tasks(cluster="shop", tasks=[victim])["tasks"][0]
        return bool(task["lastStatus"] == "STOPPED")

    eventually(ended, "the task is over")
    task = shop.ecs.describe_tasks(cluster="shop", tasks=[victim])["tasks"][0]
    assert (
        task["stopCode"] == "EssentialContainerExited" and task["containers"][0]["exitCode"] == 137
    )
    shop.serving("b", 1)


def test_a_failing_deployment_is_rolled_back(local):
    """An image that is not there: tasks fail to start, the breaker trips, the last good definition
    serves on."""
    shop = Shop(local, "breaks")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    shop.serve("a", "good", deploymentConfiguration=breaker)
    shop.complete("a")
    good = shop.service("a")["taskDefinition"]
    shop.ecs.update_service(
        cluster="breaks", service="a", taskDefinition=shop.define("bad", image="not-there:1")
    )
    eventually(
        lambda: any(d["rolloutState"] == "FAILED" for d in shop.service("a")["deployments"]),
        "the breaker tripped",
        60,
        lambda: shop.state("a"),
    )
    found = shop.complete("a")
    assert found["taskDefinition"] == good and shop.get() == "good"
    stopped = shop.ecs.list_tasks(cluster="breaks", desiredStatus="STOPPED")["taskArns"]
    reasons = {
        t["stoppedReason"]
        for t in shop.ecs.describe_tasks(cluster="breaks", tasks=stopped)["tasks"]
    }
    assert any("CannotPullContainerError" in r for r in reasons)


def test_a_task_that_ends_by_itself(local):
    """Exit code, stop code, and the list of stopped tasks."""
    ecs = local.client("ecs")
    ecs.create_cluster(clusterName="jobs")
    ecs.register_task_definition(
        family="job",
        containerDefinitions=[
            {"name": "j", "image": WEB_IMAGE, "memory": 64, "command": ["sh", "-c", "exit 7"]}
        ],
    )
    task = ecs.run_task(cluster="jobs", taskDefinition="job")["tasks"][0]["taskArn"]
    ecs.get_waiter("tasks_stopped").wait(cluster="jobs", tasks=[task], WaiterConfig=PATIENT)
    seen = ecs.describe_tasks(cluster="jobs", tasks=[task])["tasks"][0]
    assert (seen["stopCode"], seen["containers"][0]["exitCode"]) == ("EssentialContainerExited", 7)
    assert ecs.list_tasks(cluster="jobs", desiredStatus="STOPPED")["taskArns"] == [task]


def test_secrets_come_from_the_stores(local):
    """A parameter and a secret's key reach the container; a missing one is the task's stopped
    reason."""
    ecs = local.client("ecs")
    ecs.create_cluster(clusterName="secrets")
    local.client("ssm").put_parameter(Name="/t/password", Value="p4ss", Type="SecureString")
    secret = local.client("secretsmanager").create_secret(Name="t", SecretString='{"k": "v4lue"}')[
        "ARN"
    ]
    check = 'test "$P" = p4ss && test "$S" = v4lue'
    secrets = [
        {"name": "P", "valueFrom": "/t/password"},
        {"name": "S", "valueFrom": f"{secret}:k::"},
    ]
    container = {
        "name": "c",
        "image": WEB_IMAGE,
        "memory": 64,
        "command": ["sh", "-c", check],
        "secrets": secrets,
    }
    ecs.register_task_definition(family="told", containerDefinitions=[container])
    secrets[0]["valueFrom"] = "/t/missing"
    ecs.register_task_definition(family="untold", containerDefinitions=[container])
    tasks = [
        ecs.run_task(cluster="secrets", taskDefinition=f)["tasks"][0]["taskArn"]
        for f in ("told", "untold")
    ]
    ecs.get_waiter("tasks_stopped").wait(cluster="secrets", tasks=tasks, WaiterConfig=PATIENT)
    told, untold = ecs.describe_tasks(cluster="secrets", tasks=tasks)["tasks"]
    assert told["containers"][0]["exitCode"] == 0
    assert (
        untold["stopCode"] == "TaskFailedToStart"
        and "ResourceInitializationError" in untold["stoppedReason"]
    )


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("run_task", {"cluster": "shop", "taskDefinition": "nothing"}, "ClientException"),
    ("run_task", {"cluster": "nowhere", "taskDefinition": "shop"}, "ClusterNotFoundException"),
    (
        "run_task",
        {"cluster": "shop", "taskDefinition": "shop", "count": 11},
        "InvalidParameterException",
    ),
    (
        "run_task",
        {"cluster": "shop", "taskDefinition": "shop", "overrides": {"cpu": "512"}},
        "InvalidParameterException",
    ),
    ("stop_task", {"cluster": "shop", "task": "0" * 32}, "InvalidParameterException"),
    ("update_service", {"cluster": "shop", "service": "none"}, "ServiceNotFoundException"),
    ("delete_service", {"cluster": "shop", "service": "a"}, "InvalidParameterException"),
    ("delete_cluster", {"cluster": "shop"}, "ClusterContainsServicesException"),
    (
        "create_task_set",
        {"cluster": "shop", "service": "a", "taskDefinition": "shop"},
        "InvalidParameterException",
    ),
    (
        "execute_command",
        {"cluster": "shop", "task": "a", "command": "ls", "interactive": True},
        "InvalidParameterException",
    ),
    (
        "create_service",
        {"cluster": "shop", "serviceName": "a", "taskDefinition": "shop"},
        "InvalidParameterException",
    ),
    ("register_task_definition", {"family": "f", "containerDefinitions": []}, "ClientException"),
    (
        "register_task_definition",
        {
            "family": "f",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "999",
            "memory": "1",
            "containerDefinitions": [{"name": "a", "image": "x"}],
        },
        "ClientException",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "code"), REFUSALS)
def test_refusals_bear_aws_s_names(shop, operation, parameters, code):
    """What AWS refuses is refused with AWS's error code; what is not carried out says so
    cleanly."""
    with pytest.raises(ClientError) as caught:
        getattr(shop.ecs, operation)(**parameters)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_rules_choose_by_path_and_priority(shop):
    """A fixed answer for one path, the weights for the rest; a group in use cannot be deleted."""
    fixed = {
        "Type": "fixed-response",
        "FixedResponseConfig": {
            "StatusCode": "418",
            "ContentType": "text/plain",
            "MessageBody": "tea, 100%",
        },
    }
    rule = shop.elb.create_rule(
        ListenerArn=shop.listener,
        Priority=5,
        Conditions=[{"Field": "path-pattern", "Values": ["/tea*"]}],
        Actions=[fixed],
    )["Rules"][0]["RuleArn"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        shop.get("/teapot")
    assert caught.value.code == 418 and caught.value.read() == b"tea, 100%"
    assert shop.get() in ("a", "b")
    path = {"Field": "path-pattern", "Values": ["/x"]}
    with pytest.raises(ClientError, match="PriorityInUse"):
        shop.elb.create_rule(
            ListenerArn=shop.listener, Priority=5, Conditions=[path], Actions=[fixed]
        )
    shop.elb.delete_rule(RuleArn=rule)
    with pytest.raises(ClientError, match="ResourceInUse"):
        shop.elb.delete_target_group(TargetGroupArn=shop.groups["a"])


def test_sticky_clients_stay_with_their_target(shop):
    """lb_cookie: the same server for the same cookie; weights between groups are not touched by
    it."""
    shop.weigh(999, 0)
    sticky = [{"Key": "stickiness.enabled", "Value": "true"}]
    shop.elb.modify_target_group_attributes(TargetGroupArn=shop.groups["a"], Attributes=sticky)
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/") as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("AWSALB=")
    before = _sessions(shop, "a")
    for _ in range(40):
        asked = urllib.request.Request(f"http://127.0.0.1:{shop.port}/", headers={"Cookie": cookie})
        urllib.request.urlopen(asked).read()
    after = _sessions(shop, "a")
    assert sum(after[slot] > before[slot] for slot in after) == 1
    shop.elb.modify_target_group_attributes(
        TargetGroupArn=shop.groups["a"],
        Attributes=[{"Key": "stickiness.enabled", "Value": "false"}],
    )


def test_sticky_clients_stay_with_their_group(shop):
    """Group stickiness: the cookie of the first answer keeps its group, also when the weights have
    turned since."""
    forward = shop.forward(999, 0)
    forward[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = {
        "Enabled": True,
        "DurationSeconds": 60,
    }
    shop.elb.modify_rule(RuleArn=shop.rule, Actions=forward)
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/") as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("AWSALBTG=")
    for weight, group in zip((0, 999), forward[0]["ForwardConfig"]["TargetGroups"], strict=True):
        group["Weight"] = weight
    shop.elb.modify_rule(RuleArn=shop.rule, Actions=forward)
    for sent, expected in ((cookie, "a"), ("AWSALBTG=unknown", "b"), ("x=y", "b")):
        asked = urllib.request.Request(f"http://127.0.0.1:{shop.port}/", headers={"Cookie": sent})
        assert {urllib.request.urlopen(asked).read().strip().decode() for _ in range(20)} == {
            expected
        }, sent
    shop.weigh(999, 0)


def test_rules_choose_by_host_header_and_method(shop):
    """Each condition alone, and the host without its port and in any case."""
    conditions = [
        (
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example"]}},
            {"Host": "Shop.Example:8080"},
            "GET",
        ),
        (
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["tea*"]},
            },
            {"X-Kind": "teapot"},
            "GET",
        ),
        (
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}},
            {},
            "PUT",
        ),
    ]
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418"}}
    for condition, headers, method in conditions:
        made = shop.elb.create_rule(
            ListenerArn=shop.listener, Priority=7, Conditions=[condition], Actions=[fixed]
        )
        connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
        connection.request(method, "/", headers=headers)
        assert connection.getresponse().status == 418, condition
        connection.close()
        assert shop.get() == "a"
        shop.elb.delete_rule(RuleArn=made["Rules"][0]["RuleArn"])


def test_a_change_that_the_balancer_refuses_leaves_nothing_behind(shop):
    """Found by reading once more: a refused rule stayed in the store and blocked every later
    change."""
    # Python takes it for a regular expression, PCRE does not: only HAProxy itself can say so.
    bad = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["(?a:x)"]}}
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418"}}
    with pytest.raises(ClientError, match=r"nothing was changed: HAProxy refuses .*regex"):
        shop.elb.create_rule(
            ListenerArn=shop.listener, Priority=8, Conditions=[bad], Actions=[fixed]
        )
    assert len(shop.elb.describe_rules(ListenerArn=shop.listener)["Rules"]) == 1
    made = shop.elb.create_rule(
        ListenerArn=shop.listener,
        Priority=8,
        Conditions=[{"Field": "path-pattern", "Values": ["/x"]}],
        Actions=[fixed],
    )
    shop.elb.delete_rule(RuleArn=made["Rules"][0]["RuleArn"])


def test_haproxy_and_moto_are_started_again(local):
    """Both ended by hand: noticed, and up again."""
    for name in ("haproxy.pid", "stores.pid"):
        pid = int((local.directory / name).read_text())
        os.kill(pid, signal.SIGKILL)
        eventually(
            lambda name=name, pid=pid: int((local.directory / name).read_text()) != pid,
            f"{name} is another",
            30,
        )
    eventually(lambda: _answers(local), "the endpoint answers", 30)


def _answers(local: Endpoint) -> bool:
    try:
        local.client("sts").get_caller_identity()
        local.client("ecs").list_clusters()
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
        return False
    return True


def test_one_process_owns_the_directory(local):
    """A second control plane on the same state refuses at once."""
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "kirikae.local.server", str(local.directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "another process owns" in done.stderr


def test_up_right_after_a_sigkill_takes_up_what_is_there(local):
    """Found under load: the killed process may still be listed for a moment."""
    for _ in range(5):
        status = control.status(local.directory)
        assert status is not None
        os.kill(status["pid"], signal.SIGKILL)
        after = control.up(local.directory, None, "ap-northeast-1")
        assert after["pid"] != status["pid"] and after["endpoint"] == status["endpoint"]


def test_down_removes_everything_that_up_made(tmp_path):
    """Containers, network, processes and the folder."""
    status = control.up(tmp_path / "l", None, "ap-northeast-1")
    eventually(lambda: len(_containers(status["instance"])) >= 2, "the pool is there")
    assert control.up(tmp_path / "l", None, "ap-northeast-1")["pid"] == status["pid"]
    by_another_name = control.status(tmp_path / "x" / ".." / "l")
    assert by_another_name is not None and by_another_name["pid"] == status["pid"]
    control.down(tmp_path / "l")
    assert _containers(status["instance"]) == [] and not (tmp_path / "l").exists()
    listed = subprocess.run(
        ["docker", "network", "ls", "-q", "--filter", f"name={status['instance']}"],
        capture_output=True,
        check=True,
    )
    assert listed.stdout == b""


def _containers(instance: str) -> list[str]:
    done = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=kirikae.instance={instance}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.prove
def test_nothing_is_lost_in_300_000_requests(tmp_path):
    """The whole of it: weights, replacements, reloads and SIGKILLs in one run under wrk."""
    import sys

    sys.path.insert(0, "benchmarks")
    import zero_loss

    directory = tmp_path / "l"
    web_image()
    try:
        _, (requests, lost) = zero_loss.run(
            Endpoint(directory, control.up(directory, None, "ap-northeast-1", figures_delay_s=0))
        )
    finally:
        control.down(directory)
    print(
        f"\n  load balancing: {requests} requests over 50 weight changes, 20 "
        f"replacements, 5 reloads, 3 SIGKILLs: {lost} lost"
    )
    assert lost == 0 and requests >= zero_loss.LEAST
