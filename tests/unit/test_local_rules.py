"""The rules of kirikae local that need no engine."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.local.ecs.capacity import check_strategy, most_crowded, next_provider, wanted_share
from kirikae.local.ecs.containers import (
    creation,
    environment_file,
    seen_as,
    should_restart,
    with_overrides,
)
from kirikae.local.ecs.deployments import STEADY, with_event
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.images import Images
from kirikae.local.ecs.logs import as_events
from kirikae.local.ecs.order import gate, launch_order
from kirikae.local.ecs.pause import elf
from kirikae.local.ecs.permitted import check_container, units
from kirikae.local.ecs.rolling import (
    breaker_threshold,
    ceiling_live,
    floor_healthy,
    retry_delay_s,
    rolling_tick,
    stuck,
)
from kirikae.local.ecs.services import failed_to_serve
from kirikae.local.ecs.usage import Usage
from kirikae.local.elb.actions import forward_groups, quoted
from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.elb.conditions import acl, glob_regex
from kirikae.local.elb.configuration import server_state
from kirikae.local.elb.configuration import weights as weights_of
from kirikae.local.elb.figures import read_line
from kirikae.local.elb.health import after_check, code_matches
from kirikae.local.elb.statistics import of_latency
from kirikae.local.errors import AwsError, LocalError, StartFailed
from kirikae.local.pages import page
from kirikae.local.state import State
from kirikae.local.stores import Stores, as_go_prints
from kirikae.local.wire import Json, Query, validate
from kirikae.model.fargate import SIZES, size_problem
from kirikae.traffic.settings import Figures
from kirikae.traffic.weights import share_of, weights_for


@given(
    st.integers(1, 12),
    st.sampled_from([0, 50, 75, 90, 100]),
    st.sampled_from([100, 125, 150, 200, 300]),
    st.randoms(use_true_random=False),
)
def test_a_rolling_deployment_keeps_its_bounds_and_ends(desired, minimum, maximum, rng):
    """Live never above the ceiling, healthy never below the floor, and it finishes unless it is
    stuck by its own percentages."""
    leaving = [True] * desired
    arriving = []
    for _ in range(400):
        tick = rolling_tick(desired, minimum, maximum, leaving, arriving)
        leaving.sort()
        del leaving[: tick.stop_leaving]
        assert sum(leaving) + sum(arriving) >= min(floor_healthy(desired, minimum), desired)
        arriving += [False] * tick.start
        assert len(leaving) + len(arriving) <= max(ceiling_live(desired, maximum), desired)
        arriving = [healthy or rng.random() < 0.5 for healthy in arriving]
        if not leaving and arriving == [True] * desired:
            return
    assert stuck(desired, minimum, maximum)


@given(
    st.integers(1, 8),
    st.sampled_from([50, 90, 100]),
    st.sampled_from([100, 125, 200]),
    st.randoms(use_true_random=False),
)
def test_sick_former_tasks_stay_until_somebody_else_serves(desired, minimum, maximum, rng):
    """API reference, DeploymentConfiguration: replacements first, else one by one.  A target group
    without a healthy target sends to all, so the last ones still served; and it ends."""
    leaving = [rng.random() < 0.3 for _ in range(desired)]
    arriving = []
    floor = floor_healthy(desired, minimum)
    for _ in range(400):
        tick = rolling_tick(desired, minimum, maximum, leaving, arriving)
        leaving.sort()
        before = len(leaving) + sum(arriving)
        del leaving[: tick.stop_leaving]
        serving = len(leaving) + sum(arriving)
        assert serving >= min(floor, before) or (tick.stop_leaving == 1 and not tick.start)
        arriving += [False] * tick.start
        arriving = [healthy or rng.random() < 0.5 for healthy in arriving]
        if not leaving and arriving == [True] * desired:
            return
    assert stuck(desired, minimum, maximum)


def test_two_sick_tasks_are_not_stopped_before_their_replacement_is_healthy():
    """An overload fails the checks of both while a deployment begins: they went on serving."""
    assert rolling_tick(2, 100, 200, [False, False], []).stop_leaving == 0
    assert rolling_tick(2, 100, 200, [False, False], [False, False]).stop_leaving == 0
    assert rolling_tick(2, 100, 200, [False, False], [True, False]).stop_leaving == 1
    assert rolling_tick(2, 100, 200, [False, False], [True, True]).stop_leaving == 2


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum"), [(1, 100, 100), (2, 75, 100), (3, 100, 125)]
)
def test_percentages_that_can_never_move_are_known(desired, minimum, maximum):
    """The stuck cases of the documentation."""
    assert stuck(desired, minimum, maximum)


def test_breaker_and_retry():
    """From 3 to 200; waits grow from the third failure in a row."""
    assert [breaker_threshold(n) for n in (1, 25, 1000)] == [3, 13, 200]
    assert breaker_threshold(1000, {"type": "UNBOUNDED_PERCENT", "value": 50}) == 500
    assert breaker_threshold(1, {"type": "UNBOUNDED_PERCENT", "value": 1}) == 1
    assert breaker_threshold(1000, {"type": "COUNT", "value": 7}) == 7
    assert breaker_threshold(30, {"type": "BOUNDED_PERCENT", "value": 20}) == 6
    assert [retry_delay_s(n) for n in (0, 2, 3, 5, 40)] == [0, 0, 1, 4, 900]


@given(st.integers(0, 1000))
def test_every_share_fits_two_weights_exactly(share):
    """Permille go into ALB's 0 to 999 and come back the same; 1 gets some, 1000 gets all."""
    old, new = weights_for(share)
    assert 0 <= old <= 999 and 0 <= new <= 999
    assert share_of({"o": old, "n": new}, "o", "n") == share


def test_weights_that_say_nothing_about_the_share():
    """A third group, or nothing at all."""
    assert share_of({"o": 0, "n": 0}, "o", "n") is None
    assert share_of({"o": 500, "n": 400, "x": 99}, "o", "n") is None


@given(weights=st.lists(st.integers(0, 999), min_size=2, max_size=5).filter(any))
def test_thresholds_give_each_group_its_weight(weights):
    """Cumulative, never falling, and a group of weight 0 is never drawn."""
    groups = [{"TargetGroupArn": f"arn:tg/{n}/{n}", "Weight": w} for n, w in enumerate(weights)]
    rule = {"id": "r", "actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}
    found = weights_of([rule])
    ends = [found[f"r/{n}"] for n in range(len(weights))]
    assert ends == sorted(ends) and ends[-1] == 100_000
    for n, weight in enumerate(weights):
        drawn = ends[n] - (ends[n - 1] if n else 0)
        assert abs(drawn - 100_000 * weight / sum(weights)) <= 1
        assert weight or not drawn


def test_server_states():
    """Only healthy targets serve; unhealthy ones when nobody else is left; draining ones never."""
    assert server_state({"state": "healthy"}, False) == "ready"
    assert [server_state({"state": s}, True) for s in ("unhealthy", "draining", "initial")] == [
        "ready",
        "maint",
        "maint",
    ]
    assert server_state({"state": "unhealthy"}, False) == "maint"


def test_conditions_become_tests():
    """ALB's globs, anchored; the host without its port."""
    assert glob_regex("/a*b?.c") == r"'^/a.*b.\.c$'"
    assert acl({"Field": "path-pattern", "Values": ["/x/*"]}) == "path -m reg '^/x/.*$'"
    assert "hdr(host),field(1,:)" in acl(
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example"]}}
    )
    assert quoted('say "100%"') == '"say \\"100%\\""'
    assert forward_groups([{"Type": "forward", "TargetGroupArn": "a"}]) == [("a", 1)]


GROUP = {"healthy_threshold": 2, "unhealthy_threshold": 3}


def test_health_thresholds_are_exact():
    """Two passes make healthy, three failures unhealthy, one success in between starts the count
    again."""
    target = {"state": "initial", "reason": "", "passes": 0, "failures": 0}
    states = []
    for failure in ("", "", "x", "x", "", "x", "x", "x", "", ""):
        target = after_check(target, GROUP, failure)
        states.append(target["state"])
    assert states == ["initial"] + ["healthy"] * 6 + ["unhealthy"] * 2 + ["healthy"]


def test_matchers():
    """Lists and ranges of codes."""
    assert (
        code_matches("200-299,302", 204)
        and code_matches("200-299,302", 302)
        and not code_matches("200", 500)
    )


def test_log_lines_are_counted_for_whom_they_concern():
    """A target's 5xx, the balancer's own, a refused connection, and a client that went away."""
    served = read_line("R l tg-a s1 200 12 -- 100 900 r1 1")
    assert (served.listener, served.group, served.response_ms, served.rule) == ("l", "a", 12, "r1")
    assert served.counts() == {
        "RequestCount": 1,
        "ProcessedBytes": 1000,
        "HTTPCode_Target_2XX_Count": 1,
    }
    assert read_line("R l tg-a s1 500 12 -- 0 0 r 1").counts()["HTTPCode_Target_5XX_Count"] == 1
    refused = read_line("R l tg-a s1 503 -1 SC 0 0 r 1").counts()
    assert (
        refused["HTTPCode_ELB_5XX_Count"]
        == refused["HTTPCode_ELB_503_Count"]
        == refused["TargetConnectionErrorCount"]
        == 1
    )
    broken = read_line("R l tg-a s1 502 -1 SH 0 0 r 1").counts()
    assert broken["HTTPCode_ELB_502_Count"] == 1 and not broken["TargetConnectionErrorCount"]
    assert read_line("R l tg-a s1 400 -1 CR 0 0 r 1") is None
    assert read_line("[NOTICE] something else") is None


def test_latency_statistics():
    """Percentiles by nearest rank; TC and PR with an exclusive lower and an inclusive upper
    bound."""
    times = Counter({10: 90, 200: 9, 1000: 1})
    assert of_latency(times, "p50") == 0.01 and of_latency(times, "p99") == 0.2
    assert of_latency(times, "TC(0.2:)") == 1 and of_latency(times, "TC(:0.2)") == 99
    assert of_latency(times, "PR(0.01:)") == 10
    assert of_latency(times, "Average") == pytest.approx((900 + 1800 + 1000) / 1000 / 100)
    with pytest.raises(AwsError, match="not known"):
        of_latency(times, "median")


def test_containers_start_after_those_they_depend_on():
    """And a circle is told."""
    chain = [
        {"name": "c", "dependsOn": [{"containerName": "b"}]},
        {"name": "a"},
        {"name": "b", "dependsOn": [{"containerName": "a"}]},
    ]
    assert [c["name"] for c in launch_order(chain)] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="circle"):
        launch_order([{"name": "a", "dependsOn": [{"containerName": "a"}]}])


def test_exits_are_read_from_the_engine():
    """Exit code, memory, and a container that somebody removed."""
    ended = {
        "Id": "x",
        "State": {
            "Running": False,
            "Status": "exited",
            "OOMKilled": True,
            "ExitCode": 137,
            "FinishedAt": "2026-11-21T00:00:00.5Z",
        },
    }
    assert seen_as(ended)["exitCode"] == 137 and "OutOfMemoryError" in seen_as(ended)["reason"]
    assert seen_as(None)["lastStatus"] == "STOPPED"


def test_fargate_sizes():
    """Every pair of the table, and the two ways to be wrong."""
    assert all(
        not size_problem(cpu, memory) for cpu, memories in SIZES.items() for memory in memories
    )
    assert "choose one of" in size_problem(999, 512) and "does not go with" in size_problem(
        256, 4096
    )
    cpu = {"1 vCPU": 1024, "1vcpu": 1024, ".5 vCPU": 512, "0.25vCPU": 256, "256": 256}
    assert {text: units(text, "vcpu") for text in cpu} == cpu
    memory = {"2 GB": 2048, "2GB": 2048, "0.5GB": 512, "512": 512}
    assert {text: units(text, "gb") for text in memory} == memory
    for text in ("2 GB", "1.5", "x", "", "1 vCPU 2", "NaN", "٣"):
        with pytest.raises(AwsError, match="Invalid 'cpu' or 'memory'"):
            units(text, "vcpu")


def test_pages():
    """A token leads to the rest; nonsense is refused."""
    first = page("x", list(range(5)), {"maxResults": 2}, 10)
    assert first == {"x": [0, 1], "nextToken": "2"}
    assert page("x", list(range(5)), {"nextToken": "4"}, 10) == {"x": [4]}
    with pytest.raises(AwsError, match="Invalid token"):
        page("x", [], {"nextToken": "abc"}, 10)


def test_events_are_told_once():
    """A cause that lasts is told once until a steady state came in between; a steady state only
    when something else did; what happens is told each time that it happens."""
    service = {"serviceName": "s", "events": []}
    cause = "is unable to consistently start tasks successfully."
    registered = "registered 1 targets in (target-group g)"
    for text in (cause, registered, cause, STEADY, STEADY, registered, registered, cause):
        service = with_event(service, text, 1000.0)
    told = [event["message"].removeprefix("(service s) ") for event in service["events"][::-1]]
    assert told == [cause, registered, STEADY, registered, registered, cause]
    assert STEADY == "has reached a steady state."
    service = with_event({"serviceName": "s", "events": []}, "drains.", 1.0, "ecs-svc/1")
    assert service["events"][0]["message"] == "(service s, taskSet ecs-svc/1) drains."


def test_bad_requests_are_refused_in_aws_s_words():
    """Wrong type, unknown member, bad enum, missing member, no JSON."""
    ecs = Json("ecs", "InvalidParameterException")
    for body, said in (
        (b'{"count": "three", "taskDefinition": "x"}', "Invalid type"),
        (b'{"taskDefinition": "x", "colour": 1}', "colour"),
        (b'{"taskDefinition": "x", "propagateTags": "MOON"}', "is not one of"),
        (b"{}", "Missing required"),
        (b"{", "not JSON"),
    ):
        with pytest.raises(AwsError, match=said):
            ecs.params("RunTask", body)


def test_query_requests_and_answers():
    """Nested lists come in by their dotted names; errors go out as XML, escaped."""
    elb = Query("elbv2", "ValidationError")
    body = (
        b"Action=RegisterTargets&TargetGroupArn=a"
        b"&Targets.member.1.Id=10.0.0.1&Targets.member.1.Port=80"
    )
    assert elb.params("RegisterTargets", body) == {
        "TargetGroupArn": "a",
        "Targets": [{"Id": "10.0.0.1", "Port": 80}],
    }
    answer, kind = elb.error(AwsError("RuleNotFound", "<x>"), "id")
    assert kind == "text/xml" and b"&lt;x&gt;" in answer
    shape = elb.model.operation_model("CreateTargetGroup").input_shape
    with pytest.raises(AwsError, match="is not one of"):
        validate(shape, {"Name": "a", "Protocol": "CARRIER-PIGEON"}, "ValidationError")


def test_state_is_there_again(tmp_path):
    """Rows survive; a transaction that fails leaves nothing."""
    state = State(tmp_path / "s.db")
    state.tasks.put("a", {"n": 1})
    with pytest.raises(RuntimeError), state.together():
        state.tasks.put("a", {"n": 2})
        raise RuntimeError
    state.close()
    assert State(tmp_path / "s.db").tasks.get("a") == {"n": 1}


def test_the_pause_program_is_an_elf():
    """A header and the code, made here; for this machine only."""
    program = elf(b"\x0f\x05", "x86_64")
    assert program[:4] == b"\x7fELF" and len(program) == 120 + 2
    with pytest.raises(LocalError, match="aarch64"):
        elf(b"", "aarch64")


@given(
    st.integers(1, 12),
    st.sampled_from([0, 50, 75, 90, 100]),
    st.sampled_from([100, 125, 150, 200, 300]),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_sick_tasks_are_replaced_within_the_bounds(desired, minimum, maximum, sick, rng):
    """A replacement comes first where the maximum allows it; else one sick task goes at a time; the
    healthy ones stay."""
    sick = min(sick, desired)
    arriving = [True] * (desired - sick)
    for _ in range(400):
        tick = rolling_tick(desired, minimum, maximum, [], arriving, sick)
        assert tick.stop_sick <= 1 or sum(arriving) + sick - tick.stop_sick >= desired
        sick -= tick.stop_sick
        arriving += [False] * tick.start
        assert len(arriving) + sick <= max(ceiling_live(desired, maximum), desired)
        arriving = [healthy or rng.random() < 0.5 for healthy in arriving]
        if not sick and arriving == [True] * desired:
            return
    raise AssertionError("a sick task was never replaced")


RUNS = {"lastStatus": "RUNNING", "healthStatus": "UNKNOWN", "_began": 0.0}
ENDED = {"lastStatus": "STOPPED", "exitCode": 0, "healthStatus": "UNKNOWN", "_began": 0.0}
WAITS = {"lastStatus": "PENDING", "healthStatus": "UNKNOWN"}


@pytest.mark.parametrize(
    ("condition", "other", "expected"),
    [
        ("START", WAITS, "wait"),
        ("START", RUNS, "go"),
        ("START", ENDED, "go"),
        ("COMPLETE", RUNS, "wait"),
        ("COMPLETE", ENDED, "go"),
        ("COMPLETE", ENDED | {"exitCode": 3}, "go"),
        ("SUCCESS", RUNS, "wait"),
        ("SUCCESS", ENDED, "go"),
        ("SUCCESS", ENDED | {"exitCode": 3}, "never"),
        ("HEALTHY", RUNS, "wait"),
        ("HEALTHY", RUNS | {"healthStatus": "HEALTHY"}, "go"),
        ("HEALTHY", ENDED, "never"),
        ("HEALTHY", RUNS | {"healthStatus": "UNHEALTHY"}, "wait"),
    ],
)
def test_when_a_dependency_is_met(condition, other, expected):
    """The agent's dependency graph, condition by condition."""
    container = {"name": "a", "dependsOn": [{"containerName": "b", "condition": condition}]}
    assert gate(container, {"b": other}, {"b": {"name": "b"}}, 1.0)[0] == expected


def test_start_timeout_bounds_the_wait():
    """Of COMPLETE, SUCCESS and HEALTHY; not of START."""
    for condition, expected in (
        ("COMPLETE", "never"),
        ("SUCCESS", "never"),
        ("HEALTHY", "never"),
        ("START", "go"),
    ):
        container = {"name": "a", "dependsOn": [{"containerName": "b", "condition": condition}]}
        found, why = gate(container, {"b": RUNS}, {"b": {"name": "b", "startTimeout": 5}}, 6.0)
        assert found == expected and ("startTimeout of 5 s" in why) == (expected == "never")


@pytest.mark.parametrize(
    ("policy", "ran_s", "code", "again"),
    [
        (None, 1000, 1, False),
        ({"enabled": False}, 1000, 1, False),
        ({"enabled": True}, 299, 1, False),
        ({"enabled": True}, 300, 0, True),
        ({"enabled": True, "ignoredExitCodes": [0]}, 300, 0, False),
        ({"enabled": True, "restartAttemptPeriod": 60}, 60, 7, True),
    ],
)
def test_restart_policy(policy, ran_s, code, again):
    """Enabled, not ignored, and it ran long enough since its last start."""
    assert (
        should_restart({"name": "a", **({"restartPolicy": policy} if policy else {})}, ran_s, code)
        is again
    )


def test_overrides_of_a_run():
    """Commands are replaced, environments merged, sizes taken; an unknown container is told by
    name."""
    web = {"name": "web", "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    definition = {"cpu": "256", "containerDefinitions": [web]}
    override = {"name": "web", "command": ["x"], "environment": [{"name": "B", "value": "2"}]}
    changed = with_overrides(definition, {"cpu": "512", "containerOverrides": [override]})
    assert changed["cpu"] == "512" and changed["containerDefinitions"][0]["command"] == ["x"]
    assert {e["name"]: e["value"] for e in changed["containerDefinitions"][0]["environment"]} == {
        "A": "1",
        "B": "2",
    }
    with pytest.raises(KeyError, match="nobody"):
        with_overrides(definition, {"containerOverrides": [{"name": "nobody"}]})


STRATEGIES = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)).filter(
    lambda t: t[1] + t[2] > 0
)


@given(STRATEGIES, st.integers(1, 40))
def test_base_and_weight_hold_at_all_times(parts, count):
    """After every single start: the base first, then no provider is more than one task away from
    its share."""
    base, weight, spot_weight = parts
    strategy = [
        {"capacityProvider": "FARGATE", "base": base, "weight": weight},
        {"capacityProvider": "FARGATE_SPOT", "weight": spot_weight},
    ]
    now = {"FARGATE": 0, "FARGATE_SPOT": 0}
    for total in range(1, count + 1):
        now[next_provider(strategy, now)] += 1
        share = wanted_share(strategy, total)
        assert all(abs(now[name] - share[name]) <= 1 for name in now), (now, share)
        assert now["FARGATE"] >= min(total, base)
    while sum(now.values()) > 1:
        now[most_crowded(strategy, now)] -= 1
        share = wanted_share(strategy, sum(now.values()))
        assert all(abs(now[name] - share[name]) <= 1 for name in now), (now, share)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ([{"capacityProvider": "asg-1", "weight": 1}], "not found"),
        ([{"capacityProvider": "FARGATE", "weight": 0}], "greater than zero"),
        (
            [
                {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
                {"capacityProvider": "FARGATE_SPOT", "base": 1},
            ],
            "Only one",
        ),
        ([{"capacityProvider": "FARGATE", "weight": 1001}], "0 to 1000"),
    ],
)
def test_strategies_that_aws_refuses(strategy, said):
    """Unknown providers, no weight at all, two bases, weights out of range."""
    with pytest.raises(AwsError, match=said):
        check_strategy(strategy, ["FARGATE", "FARGATE_SPOT"])


CONTAINER = {"name": "a", "image": "x", "memory": 64, "essential": True}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory": 5}, "under 6 MiB"),
        ({"memory": 64, "memoryReservation": 128}, "memoryReservation"),
        ({"stopTimeout": 121}, "0 to 120"),
        ({"healthCheck": {"command": ["CMD", "x"], "interval": 1}}, "5 to 300"),
        ({"healthCheck": {"command": ["curl"]}}, "CMD-SHELL"),
        ({"dependsOn": [{"containerName": "z", "condition": "START"}]}, "no container"),
        ({"dependsOn": [{"containerName": "b", "condition": "SUCCESS"}]}, "not essential"),
        ({"dependsOn": [{"containerName": "b", "condition": "HEALTHY"}]}, "healthCheck"),
        ({"restartPolicy": {"enabled": True, "ignoredExitCodes": list(range(51))}}, "more than 50"),
        ({"restartPolicy": {"enabled": True, "restartAttemptPeriod": 10}}, "60 to 1800"),
        ({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}, "Unknown volume"),
        ({"logConfiguration": {"logDriver": "splunk"}}, "fluentd, not splunk"),
        ({"privileged": True}, "privileged"),
        ({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/k.txt"}]}, "ends in .env"),
        ({"image": ""}, "image"),
    ],
)
def test_containers_that_are_refused(change, said):
    """By AWS, or by kirikae local with its name."""
    container = CONTAINER | change
    with pytest.raises(AwsError, match=said):
        check_container("f", container, {"a": container, "b": CONTAINER | {"name": "b"}}, set())


def test_log_lines_become_events():
    """In order of time; with a pattern, what does not begin an event goes on with the one
    before."""
    lines = [
        ("2026-11-21T00:00:01.5Z", "ERROR x"),
        ("2026-11-21T00:00:01.6Z", "  at y"),
        ("2026-11-21T00:00:01.4Z", "INFO z"),
    ]
    events = as_events(lines, re.compile("^[A-Z]+ "))
    assert [e["message"] for e in events] == ["ERROR x\n  at y", "INFO z"]
    assert [e["timestamp"] for e in as_events(lines, None)] == sorted(
        e["timestamp"] for e in as_events(lines, None)
    )


def test_images_of_ecr_come_from_the_loopback_registry():
    """Only where one runs; other names are the engine's own."""
    ecr = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/shop/web:r1"
    assert Images(None, "127.0.0.1:5000").place(ecr) == "127.0.0.1:5000/shop/web:r1"
    assert (
        Images(None, "").place(ecr) == "" and Images(None, "127.0.0.1:5000").place("shop:r1") == ""
    )
    assert environment_file("# x\nA=1\n\nB=a=b \n") == {"A": "1", "B": "a=b "}


def test_use_of_services_is_measured_against_what_they_reserve(tmp_path):
    """Half a vCPU used of one reserved is 50%; memory without the page cache; two points make the
    first figure."""
    state = State(tmp_path / "s.db")
    container = {"name": "a"}
    state.tasks.put(
        "t",
        {
            "id": "t",
            "clusterArn": "x:cluster/c",
            "group": "service:s",
            "lastStatus": "RUNNING",
            "cpu": "1024",
            "memory": "512",
            "containers": [container],
        },
    )
    used_ns = iter([10e9, 40e9])

    class FakeEngine:
        async def stats(self, name):
            memory = {
                "usage": 138 * 1024 * 1024,
                "stats": {"total_inactive_file": 10 * 1024 * 1024},
            }
            return {
                "cpu_stats": {"cpu_usage": {"total_usage": next(used_ns)}},
                "memory_stats": memory,
            }

    async def measured():
        usage = Usage(state, FakeEngine(), EngineNames("i"))
        await usage.measure(1000.0)
        await usage.measure(1060.0)
        answers = []
        for name in ("CPUUtilization", "MemoryUtilization"):
            dimensions = [
                {"Name": "ClusterName", "Value": "c"},
                {"Name": "ServiceName", "Value": "s"},
            ]
            metric = {"Namespace": "AWS/ECS", "MetricName": name, "Dimensions": dimensions}
            query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
            told = await CloudWatch(state).get_metric_data(
                {"StartTime": 900, "EndTime": 2000, "MetricDataQueries": [query]}
            )
            answers.append(told["MetricDataResults"][0]["Values"])
        return answers

    assert asyncio.run(measured()) == [[50.0], [25.0]]


def test_figures_come_as_late_as_cloudwatch_s(tmp_path):
    """Whole minutes only, and a minute after their end; at once where that is asked for."""
    state = State(tmp_path / "s.db")
    for second in range(600, 780):
        state.put_figure("g", second, {"counts": {"RequestCount": 1}, "times": {}})
    metric = {
        "MetricName": "RequestCount",
        "Dimensions": [{"Name": "TargetGroup", "Value": "targetgroup/n/g"}],
    }
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}

    def asked(delay_s, now):
        cloudwatch = CloudWatch(state, delay_s, lambda: now)
        told = asyncio.run(
            cloudwatch.get_metric_data(
                {"StartTime": 600, "EndTime": 800, "MetricDataQueries": [query]}
            )
        )
        return told["MetricDataResults"][0]["Timestamps"]

    assert (
        asked(0, 780) == [720.0, 660.0, 600.0]
        and asked(60, 780) == [660.0, 600.0]
        and asked(60, 719) == []
    )
    each_second = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Sum"}}
    with pytest.raises(AwsError, match="60 or a multiple"):
        asyncio.run(
            CloudWatch(state, 60).get_metric_data(
                {"StartTime": 1, "EndTime": 2, "MetricDataQueries": [each_second]}
            )
        )


@pytest.mark.parametrize("period", [1, 5, 10, 20, 30])
def test_every_period_that_a_project_file_may_name_is_answered(tmp_path, period):
    """A rehearsal on a slow machine judges by five seconds; it was refused here."""
    assert Figures(period=f"{period}s", lateness="0s").period == period
    state = State(tmp_path / "s.db")
    for second in range(600, 660):
        state.put_figure("g", second, {"counts": {"RequestCount": 1}, "times": {}})
    metric = {
        "MetricName": "RequestCount",
        "Dimensions": [{"Name": "TargetGroup", "Value": "targetgroup/n/g"}],
    }
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}
    asked = {"StartTime": 600, "EndTime": 660, "MetricDataQueries": [query]}
    told = asyncio.run(CloudWatch(state, 0, lambda: 700).get_metric_data(asked))
    assert told["MetricDataResults"][0]["Values"] == [period] * (60 // period)


def test_a_secret_s_json_is_handed_on_as_the_agent_does():
    """Go's %v (amazon-ecs-agent, agent/asm): so that a shell's test is the same on AWS."""
    told = {
        "text": "text",
        "": "",
        "true": True,
        "false": False,
        "<nil>": None,
        "[a b]": ["a", "b"],
        "map[a:[1 2] k:1]": {"k": 1, "a": [1, 2]},
        "3306": 3306,
        "1.5": 1.5,
        "100000": 100_000,
        "1e+06": 1_000_000,
        "1.234567e+06": 1_234_567,
        "0.0001": 0.0001,
        "1e-05": 0.00001,
        "-0.25": -0.25,
    }
    assert {as_go_prints(value): value for value in told.values()} == told


def test_a_missing_json_key_is_told_in_the_agent_s_words(monkeypatch):
    """Not only by its name."""
    stores = Stores(Path("/nowhere"), 1, "r")

    async def call(service, target, params):
        return {"SecretString": '{"k": 1}'}

    monkeypatch.setattr(stores, "call", call)
    arn = "arn:aws:secretsmanager:r:1:secret:name-abcdef"
    assert asyncio.run(stores.secret(f"{arn}:k::")) == "1"
    with pytest.raises(StartFailed, match="did not contain json key nokey"):
        asyncio.run(stores.secret(f"{arn}:nokey::"))


def test_a_task_that_exits_before_a_check_was_passed_counts_for_the_breaker():
    """Where something checks it, and however fast the exit was seen (containers-roadmap #1206);
    without a check a quick exit counts only for the pauses."""
    exited = {
        "desiredStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "_bindings": [],
        "containers": [{"_checked": False, "essential": True}],
    }
    assert not failed_to_serve(exited)
    assert failed_to_serve({**exited, "_bindings": [{}]})
    assert failed_to_serve({**exited, "containers": [{"_checked": True, "essential": True}]})
    assert not failed_to_serve({**exited, "_bindings": [{}], "_wasHealthy": True})
    assert failed_to_serve({**exited, "stopCode": "TaskFailedToStart"})


def test_the_engine_s_own_log_driver_is_handed_on():
    """json-file with its limits, where Fargate is not asked for; other options are refused."""
    logs = {"logDriver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    container = {**CONTAINER, "logConfiguration": logs}
    check_container("f", container, {"a": container}, set())
    body = creation(container, {"containerDefinitions": [container]}, "x", {}, {}, {})
    assert body["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": logs["options"]}
    for key, value in (("tag", "x"), ("max-size", "10m\n"), ("env", "A")):
        bad = {**container, "logConfiguration": {**logs, "options": {key: value}}}
        with pytest.raises(AwsError, match="does not carry out"):
            check_container("f", bad, {"a": bad}, set())
