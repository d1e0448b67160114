"""What ALB and ECS take of names, values and bodies: nothing else reaches the store, and nothing at
all becomes more than data in HAProxy's configuration or in the engine's paths."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.elb.actions import fixed_response, quoted, redirect
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.wire import matches
from tests.local_plane import LocalPlane

EVIL = "x\n    use_backend evil"
FIXED = {
    "Type": "fixed-response",
    "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "ok"},
}


class Balancer:
    """One with a listener and a target group, without HAProxy."""

    def __init__(self, folder: Path) -> None:
        self.plane = LocalPlane(folder)
        self.balancer = self.ask("CreateLoadBalancer", Name="a", Subnets=["subnet-1", "subnet-2"])[
            "LoadBalancers"
        ][0]["LoadBalancerArn"]
        self.group = self.ask(
            "CreateTargetGroup", Name="a", Protocol="HTTP", Port=80, TargetType="ip", VpcId="vpc-1"
        )["TargetGroups"][0]["TargetGroupArn"]
        self.listener = self.listen(19001, FIXED)["Listeners"][0]["ListenerArn"]

    def ask(self, operation: str, **params: Any) -> Any:
        return asyncio.run(self.plane.elb.operations()[operation](params))

    def listen(self, port: int, *actions: Any) -> Any:
        return self.ask(
            "CreateListener",
            LoadBalancerArn=self.balancer,
            Port=port,
            Protocol="HTTP",
            DefaultActions=list(actions),
        )

    def rule(self, *conditions: Any, action: Any = FIXED) -> Any:
        return self.ask(
            "CreateRule",
            ListenerArn=self.listener,
            Priority=1,
            Conditions=list(conditions),
            Actions=[action],
        )

    def rows(self) -> Any:
        state = self.plane.state
        return state.snapshot(
            state.balancers, state.listeners, state.rules, state.groups, state.targets
        )


@pytest.fixture
def elb(tmp_path: Path) -> Any:
    found = Balancer(tmp_path)
    yield found
    found.plane.close()


def header(name: str, value: str = "x") -> dict[str, Any]:
    return {
        "Field": "http-header",
        "HttpHeaderConfig": {"HttpHeaderName": name, "Values": [value]},
    }


def pair(**of: str) -> dict[str, Any]:
    return {"Field": "query-string", "QueryStringConfig": {"Values": [of]}}


def plain(field: str, *values: str) -> dict[str, Any]:
    return {"Field": field, "Values": list(values)}


def method(value: str) -> dict[str, Any]:
    return {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": [value]}}


def source(value: str) -> dict[str, Any]:
    return {"Field": "source-ip", "SourceIpConfig": {"Values": [value]}}


@pytest.mark.parametrize(
    "condition",
    [
        header(EVIL),
        header("a b"),
        header("x" * 41),
        header(""),
        header("Host"),
        header("a'b"),
        header("X", EVIL),
        header("X", "x" * 129),
        header("X", "ü"),
        method(EVIL),
        method("get"),
        method("GET POST"),
        method("X" * 41),
        source(EVIL),
        source("10.0.0.0"),
        source("10.0.0.0/33"),
        source("0.0.0.0/0 evil"),
        pair(Value=EVIL),
        pair(Key=EVIL, Value="x"),
        pair(Key="k"),
        pair(Value=""),
        pair(Value="x" * 129),
        plain("path-pattern", EVIL),
        plain("path-pattern", "/a b"),
        plain("path-pattern", "/%41"),
        plain("path-pattern", "/" * 129),
        plain("path-pattern"),
        plain("path-pattern", ""),
        plain("host-header", EVIL),
        plain("host-header", "a_b"),
        plain("http-header", "x"),
        plain("query-string", "x"),
        plain("no-such-field", "x"),
        {"Field": "host-header"},
        {"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["("]}},
        {"Field": "host-header", "HostHeaderConfig": {"RegexValues": [EVIL]}},
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["a.b"], "RegexValues": ["a"]}},
        {"Field": "source-ip", "SourceIpConfig": {"RegexValues": ["1"]}},
        {"Field": "path-pattern", "HostHeaderConfig": {"Values": ["a.b"]}},
        {"Field": "path-pattern", "Values": ["/a"], "PathPatternConfig": {"Values": ["/b"]}},
    ],
    ids=str,
)
def test_conditions_that_alb_refuses(elb, condition):
    """With ValidationError, and nothing is kept."""
    before = elb.rows()
    with pytest.raises(AwsError) as told:
        elb.rule(condition)
    assert told.value.code == "ValidationError" and elb.rows() == before


def test_a_rule_has_conditions_and_not_too_many(elb):
    """At least one, at most five values, and each field once."""
    six = {"Field": "path-pattern"}
    six["PathPatternConfig"] = {"Values": [f"/{n}" for n in range(6)]}
    for conditions in ([], [six], [plain("host-header", "a.b"), plain("host-header", "c.d")]):
        with pytest.raises(AwsError, match="rule"):
            elb.rule(*conditions)
    elb.rule(header("X", "a"), header("X", "b"), plain("path-pattern", "/x"))


def fixed(**of: str) -> dict[str, Any]:
    return {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", **of}}


def redirected(**of: str) -> dict[str, Any]:
    return {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **of}}


@pytest.mark.parametrize(
    "action",
    [
        fixed(StatusCode="200 content-type x"),
        fixed(StatusCode=f"200{EVIL}"),
        fixed(StatusCode="200\n"),
        fixed(StatusCode="301"),
        fixed(StatusCode="99"),
        fixed(StatusCode="٢٠٠"),
        fixed(MessageBody="a\x00b"),
        fixed(MessageBody="a\x1bb"),
        fixed(ContentType="Fake content type"),
        fixed(ContentType=EVIL),
        {"Type": "fixed-response"},
        redirected(),
        redirected(Query="a=b"),
        redirected(Host=EVIL),
        redirected(Path=EVIL),
        redirected(Path="no-slash"),
        redirected(Path="/#{nonsense}"),
        redirected(Query=EVIL, Path="/x"),
        redirected(Port="0"),
        redirected(Port="65536"),
        redirected(Port="80 x"),
        redirected(Port="٨٠"),
        {"Type": "redirect"},
        {"Type": "forward"},
        {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"Weight": 1}]}},
        {"Type": "forward", "TargetGroupArn": ""},
        {"Type": "authenticate-oidc"},
    ],
    ids=str,
)
def test_actions_that_alb_refuses(elb, action):
    """As actions of a rule, of a new listener and of a changed one; and nothing is kept."""
    before = elb.rows()
    for change in (
        lambda: elb.rule(plain("path-pattern", "/x"), action=action),
        lambda: elb.listen(19002, action),
        lambda: elb.ask("ModifyListener", ListenerArn=elb.listener, DefaultActions=[action]),
    ):
        with pytest.raises(AwsError):
            change()
    assert elb.rows() == before


@pytest.mark.parametrize("duration_s", [None, 0, -1, 604_801])
def test_stickiness_has_a_duration(elb, duration_s):
    """ELB API reference, TargetGroupStickinessConfig: 1 to 604800 seconds, and required."""
    sticky = {"Enabled": True}
    if duration_s is not None:
        sticky["DurationSeconds"] = duration_s
    groups = [{"TargetGroupArn": elb.group}]
    forward = {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}
    with pytest.raises(AwsError, match="DurationSeconds"):
        elb.rule(plain("path-pattern", "/x"), action={"Type": "forward", "ForwardConfig": forward})


def test_no_actions_poison_nothing(elb):
    """They were kept once, and from then on every change failed."""
    for change in (
        lambda: elb.listen(19002),
        lambda: elb.ask("ModifyListener", ListenerArn=elb.listener, DefaultActions=[]),
        lambda: elb.ask(
            "CreateRule",
            ListenerArn=elb.listener,
            Priority=1,
            Conditions=[plain("path-pattern", "/x")],
            Actions=[],
        ),
    ):
        with pytest.raises(AwsError, match="action"):
            change()
    elb.listen(19003, FIXED)


@pytest.mark.parametrize(
    "address",
    [
        "i-0123456789abcdef0",
        "localhost",
        "8.8.8.8",
        "2001:db8::1",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1\n",
        "10.0.0.1 evil",
        "",
    ],
)
def test_targets_are_private_addresses(elb, address):
    """ELB API reference, CreateTargetGroup.TargetType; one bad target of several registers none."""
    targets = [{"Id": "10.0.0.1"}, {"Id": address}]
    with pytest.raises(AwsError) as told:
        elb.ask("RegisterTargets", TargetGroupArn=elb.group, Targets=targets)
    assert told.value.code == "ValidationError" and elb.plane.state.targets.all() == []


@pytest.mark.parametrize("name", ["a_b", "-a", "a-", "", "x" * 33, "a b", EVIL, "ä"])
def test_names_of_load_balancers_and_groups(elb, name):
    """1 to 32 alphanumeric characters or hyphens, neither first nor last."""
    with pytest.raises(AwsError, match=r"alphanumeric|cannot be longer|cannot begin"):
        elb.ask("CreateLoadBalancer", Name=name, Subnets=["subnet-1"])
    with pytest.raises(AwsError, match=r"alphanumeric|cannot be longer|cannot begin"):
        elb.ask(
            "CreateTargetGroup", Name=name, Protocol="HTTP", Port=80, TargetType="ip", VpcId="vpc-1"
        )


@pytest.mark.parametrize(
    "change",
    [
        {"HealthCheckPath": "no-slash"},
        {"HealthCheckPath": "/a b"},
        {"HealthCheckPath": "/a\r\nX: y"},
        {"HealthCheckPort": "x"},
        {"HealthCheckPort": "0"},
        {"HealthCheckPort": "65536"},
        {"Matcher": {"HttpCode": "199"}},
        {"Matcher": {"HttpCode": "200-500"}},
        {"Matcher": {"HttpCode": "200,"}},
        {"Matcher": {"HttpCode": "٢٠٠"}},
        {"ProtocolVersion": "GRPC"},
        {"IpAddressType": "ipv6"},
    ],
    ids=str,
)
def test_checks_that_alb_refuses_or_that_would_be_dropped(elb, change):
    """When a group is made; a check also when it is changed."""
    base = {"Name": "b", "Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": "vpc-1"}
    with pytest.raises(AwsError):
        elb.ask("CreateTargetGroup", **base, **change)
    if any(key.startswith(("HealthCheck", "Matcher")) for key in change):
        with pytest.raises(AwsError):
            elb.ask("ModifyTargetGroup", TargetGroupArn=elb.group, **change)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_logs.s3.bucket", "../moto-api/reset"),
        ("access_logs.s3.bucket", "a/b"),
        ("access_logs.s3.prefix", "../x"),
        ("access_logs.s3.prefix", EVIL),
        ("idle_timeout.timeout_seconds", "6²"),
        ("idle_timeout.timeout_seconds", "٦٠"),
        ("idle_timeout.timeout_seconds", "60\n"),
    ],
)
def test_attributes_of_load_balancers(elb, key, value):
    """Nothing leads out of its bucket, and a number is one in ASCII."""
    asked = [{"Key": key, "Value": value}]
    with pytest.raises(AwsError):
        elb.ask("ModifyLoadBalancerAttributes", LoadBalancerArn=elb.balancer, Attributes=asked)


def test_a_fault_in_the_middle_leaves_nothing_behind(elb, monkeypatch):
    """Whatever it is: the rows are as they were, and the next call goes through."""
    before = elb.rows()
    with monkeypatch.context() as patch:
        patch.setattr(elb.plane.door, "assert_all", _fails)
        with pytest.raises(KeyError):
            elb.listen(19002, FIXED)
    assert elb.rows() == before
    elb.listen(19002, FIXED)


async def _fails() -> None:
    raise KeyError("a fault of ours")


def test_rows_that_cannot_be_written_are_told(elb):
    """A store of before the checks may hold some: the gate is written without any listener."""
    state = elb.plane.state
    rule = next(each for each in state.rules.all() if each["default"])
    state.rules.put(rule["arn"], {**rule, "actions": []})
    with pytest.raises(LocalError, match="cannot be told to HAProxy"):
        elb.plane.configuration.rendered()
    assert "frontend aws" in elb.plane.configuration.gate().text
    assert "19001" not in elb.plane.configuration.gate().text


@pytest.mark.parametrize("text", [EVIL, "a\r\n\tb", 'a"b', "a\\", "$HOME ${HOME} #x", "ü"])
def test_a_text_in_quotes_is_one_word_of_one_line(text):
    """Whoever the words came from."""
    inside = quoted(text)[1:-1]
    assert not any(character in inside for character in "\n\r\t")
    assert '"' not in inside.replace("\\\\", "").replace('\\"', "")
    assert "$" not in inside.replace("\\$", "")
    lines = [fixed_response({"StatusCode": "200", "MessageBody": text}, "{ x }")]
    lines += redirect({"StatusCode": "HTTP_301", "Host": text, "Path": f"/{text}"}, "{ x }", "http")
    assert not any("\n" in line for line in lines)


def test_patterns_of_the_model_hold_to_the_last_character():
    """Python's ``$`` would let a line break pass; classes that Python spells otherwise are
    known."""
    assert matches(r"^(2|4|5)\d\d$", "200") and not matches(r"^(2|4|5)\d\d$", "200\n")
    assert matches(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "名前 1:a") and not matches(
        r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a\nb"
    )
    assert matches(r"\p{Unknown}", "anything")


# --- ECS


def register(folder: Path, container: dict[str, Any], **of: Any) -> Any:
    plane = LocalPlane(folder)
    base = {"name": "web", "image": "x", "memory": 64}
    params = {"family": "f", "containerDefinitions": [{**base, **container}], **of}
    try:
        return asyncio.run(plane.ecs.operations()["RegisterTaskDefinition"](params))
    finally:
        plane.close()


@pytest.mark.parametrize("added", ["ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_MODULE", "MKNOD"])
def test_a_container_gets_no_capability_that_fargate_does_not_give(tmp_path, added):
    """ECS API reference, KernelCapabilities: only SYS_PTRACE is added; any may be dropped."""
    for names in ([added], ["SYS_PTRACE", added]):
        with pytest.raises(AwsError, match=f"{added} cannot be added on Fargate"):
            register(tmp_path, {"linuxParameters": {"capabilities": {"add": names}}})
    fine = {"add": ["SYS_PTRACE"], "drop": ["ALL", "NET_RAW"]}
    register(tmp_path, {"linuxParameters": {"capabilities": fine}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("devices", [{"hostPath": "/dev/fuse"}]),
        ("sharedMemorySize", 256),
        ("maxSwap", 0),
        ("swappiness", 0),
    ],
)
def test_what_fargate_has_not_of_linux_is_refused_by_name(tmp_path, key, value):
    """ECS API reference, LinuxParameters; 0 is a value, too."""
    with pytest.raises(AwsError, match=f"linuxParameters.{key} is not supported on Fargate"):
        register(tmp_path, {"linuxParameters": {key: value}})


@pytest.mark.parametrize(
    "tmpfs",
    [
        {"containerPath": "tmp", "size": 1},
        {"containerPath": "/tmp", "size": 0},
        {"containerPath": "/tmp", "size": 1, "mountOptions": ["size=9g;exec"]},
        {"containerPath": "/tmp", "size": 1, "mountOptions": ["rw suid"]},
    ],
    ids=str,
)
def test_tmpfs_is_a_place_and_a_size(tmp_path, tmpfs):
    """Fargate has it; its options are single words."""
    fine = {"containerPath": "/tmp", "size": 8, "mountOptions": ["noexec", "mode=1777"]}
    register(tmp_path, {"linuxParameters": {"tmpfs": [fine]}})
    with pytest.raises(AwsError, match="tmpfs"):
        register(tmp_path, {"linuxParameters": {"tmpfs": [tmpfs]}})


BAD_NAMES = ["a b", "a/b", "../x", "a:1", "ä", "x" * 256, "", "a\n"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_ecs(tmp_path, name):
    """Letters, numbers, hyphens and underscores, up to 255: containers' and volumes' names become
    names in the engine's paths, families' and clusters' parts of ARNs."""
    plane = LocalPlane(tmp_path)
    ask = plane.ecs.operations()
    container = {"name": "web", "image": "x", "memory": 64}
    volume = {"volumes": [{"name": name}]}
    asyncio.run(ask["CreateCluster"]({}))
    asyncio.run(ask["RegisterTaskDefinition"]({"family": "f", "containerDefinitions": [container]}))
    named = [{**container, "name": name}]
    for operation, params in (
        ("CreateCluster", {"clusterName": name}),
        ("CreateService", {"serviceName": name, "taskDefinition": "f"}),
        ("RegisterTaskDefinition", {"family": name, "containerDefinitions": [container]}),
        ("RegisterTaskDefinition", {"family": "g", "containerDefinitions": named}),
        ("RegisterTaskDefinition", {"family": "g", "containerDefinitions": [container], **volume}),
    ):
        with pytest.raises(AwsError) as told:
            asyncio.run(ask[operation](params))
        assert told.value.code == "ClientException"
    plane.close()


@pytest.mark.parametrize("image", ["a b", "../containers/json", "a?b", "x%2e", "a\nb", "x" * 256])
def test_images_are_names(tmp_path, image):
    """Nothing that would lead elsewhere in the engine's API."""
    with pytest.raises(AwsError, match="image"):
        register(tmp_path, {"image": image})
    register(tmp_path, {"image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/a/b:1@sha256"})


@pytest.mark.parametrize(
    "efs",
    [
        {"fileSystemId": "fs-1/../x"},
        {"fileSystemId": "x"},
        {"fileSystemId": "fs-1", "rootDirectory": "/a:b"},
        {"fileSystemId": "fs-1", "authorizationConfig": {"accessPointId": "../x"}},
    ],
    ids=str,
)
def test_file_systems_are_named_by_their_ids(tmp_path, efs):
    """They become names of the engine's volumes."""
    with pytest.raises(AwsError, match="invalid"):
        register(tmp_path, {}, volumes=[{"name": "v", "efsVolumeConfiguration": efs}])


def test_creates_may_be_repeated_with_the_same_settings(elb):
    """ELB API reference, CreateTargetGroup and CreateListener: "each call succeeds"."""
    group = {"Name": "a", "Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": "vpc-1"}
    again = elb.ask("CreateTargetGroup", **group)["TargetGroups"][0]["TargetGroupArn"]
    assert again == elb.group
    with pytest.raises(AwsError, match="different settings"):
        elb.ask("CreateTargetGroup", **{**group, "Port": 81})
    with pytest.raises(AwsError, match="different settings"):
        elb.ask("CreateTargetGroup", **group, HealthCheckPath="/other")
    assert elb.listen(19001, FIXED)["Listeners"][0]["ListenerArn"] == elb.listener
    with pytest.raises(AwsError) as told:
        elb.listen(19001, fixed(MessageBody="another"))
    assert told.value.code == "DuplicateListener"
    assert len(elb.plane.state.listeners.all()) == len(elb.plane.state.groups.all()) == 1


def test_instances_are_kept_and_never_asked(elb):
    """The default target type of AWS: there are no instances here, so their health says so, HAProxy
    is not told of them, and a task cannot be one."""
    made = elb.ask("CreateTargetGroup", Name="vms", Protocol="HTTP", Port=80, VpcId="vpc-1")[
        "TargetGroups"
    ][0]
    assert made["TargetType"] == "instance"
    arn = made["TargetGroupArn"]
    target = {"Id": "i-0123456789abcdef0"}
    elb.ask("RegisterTargets", TargetGroupArn=arn, Targets=[target])
    elb.ask(
        "ModifyListener",
        ListenerArn=elb.listener,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    health = elb.ask("DescribeTargetHealth", TargetGroupArn=arn)["TargetHealthDescriptions"][0]
    assert (health["Target"]["Id"], health["TargetHealth"]["State"]) == (target["Id"], "unused")
    assert (
        health["TargetHealth"]["Description"]
        == "kirikae local keeps this target, and asks it nothing"
    )
    unknown = elb.ask("DescribeTargetHealth", TargetGroupArn=arn, Targets=[{"Id": "i-01234567"}])
    told = unknown["TargetHealthDescriptions"][0]["TargetHealth"]
    assert told["Description"] == "Target is not registered to the target group"
    assert "i-0123456789abcdef0" not in elb.plane.door.text
    for wrong in ("10.0.0.1", "i-1", "i-0123456789abcdef0 x"):
        with pytest.raises(AwsError, match="instance ID"):
            elb.ask("RegisterTargets", TargetGroupArn=arn, Targets=[{"Id": wrong}])


def test_the_gate_is_narrow_and_patient_with_no_slow_head(elb):
    """Every frontend bounds the time of a request's head; only known networks reach the endpoint,
    and who came from where is HAProxy's word."""
    gate = elb.plane.configuration.gate().text
    defaults, _, frontend = gate.partition("frontend aws")
    assert "timeout http-request 60s" in defaults
    assert "tcp-request connection reject unless { src 127.0.0.0/8 }" in frontend
    assert "http-request set-header X-Kirikae-From %[src]" in frontend
