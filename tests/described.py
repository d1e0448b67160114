"""Services and task definitions as AWS describes them, of many shapes, and an AWS that answers
them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]
ARN = "arn:aws:ecs:eu-west-1:123456789012"
_NAMES = st.text(alphabet="abcXYZ09_-", min_size=1, max_size=6)
_VALUES = st.text(max_size=12) | st.sampled_from(["{{ must_env `X` }}", "'", '"', "<&>", "}}"])


def _maybe(**choices: Any) -> Any:
    """Each member is there or not."""
    return st.fixed_dictionaries({}, optional=choices)


def _pairs(key: str, value: str) -> Any:
    pair = st.fixed_dictionaries({key: _NAMES, value: _VALUES})
    return st.lists(pair, max_size=3, unique_by=lambda each: each[key])


_PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 9), "hostPort": st.integers(0, 9)},
        optional={"protocol": st.just("tcp"), "name": _NAMES},
    ),
    max_size=2,
    unique_by=lambda each: each["containerPort"],
)
_MORE = _maybe(
    cpu=st.sampled_from([0, 256]),
    essential=st.booleans(),
    environment=_pairs("name", "value"),
    secrets=_pairs("name", "valueFrom"),
    portMappings=_PORTS,
    dockerLabels=st.dictionaries(_NAMES, _VALUES, max_size=2),
    healthCheck=_maybe(command=st.just(["CMD", "true"]), interval=st.just(30)),
    mountPoints=st.just([{"sourceVolume": "v", "containerPath": "/v"}]),
    stopTimeout=st.integers(2, 120),
    command=st.lists(_VALUES, max_size=2),
)
_CONTAINERS = st.lists(
    st.builds(lambda name, more: {"name": name, "image": "x", **more}, _NAMES, _MORE),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each["name"],
)
TASKS = st.builds(
    lambda containers, more: {
        "taskDefinitionArn": f"{ARN}:task-definition/web:3",
        "family": "web",
        "revision": 3,
        "status": "ACTIVE",
        "registeredBy": "me",
        "compatibilities": ["EC2"],
        "containerDefinitions": containers,
        **more,
    },
    _CONTAINERS,
    _maybe(
        cpu=st.sampled_from(["256", "1 vCPU"]),
        memory=st.sampled_from(["512", "2 GB"]),
        networkMode=st.sampled_from(["awsvpc", "bridge"]),
        volumes=st.just([{"name": "v", "host": {}}]),
        requiresCompatibilities=st.just(["FARGATE", "EC2"]),
        placementConstraints=st.just([]),
        tags=_pairs("key", "value"),
        enableFaultInjection=st.booleans(),
        runtimePlatform=st.just({"cpuArchitecture": "ARM64"}),
    ),
)
_DEPLOYMENT = _maybe(
    maximumPercent=st.integers(100, 200),
    minimumHealthyPercent=st.integers(0, 100),
    deploymentCircuitBreaker=st.just({"enable": True, "rollback": True}),
    strategy=st.just("ROLLING"),
)
SERVICES = st.builds(
    lambda more: {
        "serviceArn": f"{ARN}:service/c/shop",
        "serviceName": "shop",
        "clusterArn": f"{ARN}:cluster/c",
        "status": "ACTIVE",
        "taskDefinition": f"{ARN}:task-definition/web:3",
        "runningCount": 2,
        "pendingCount": 0,
        "roleArn": "arn:aws:iam::123456789012:role/x",
        "events": [],
        "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": "COMPLETED"}],
        **more,
    },
    _maybe(
        desiredCount=st.integers(0, 3),
        launchType=st.sampled_from(["FARGATE", "EC2"]),
        schedulingStrategy=st.sampled_from(["REPLICA", "DAEMON"]),
        platformVersion=st.just("1.4.0"),
        propagateTags=st.sampled_from(["NONE", "SERVICE"]),
        enableECSManagedTags=st.booleans(),
        deploymentConfiguration=_DEPLOYMENT,
        deploymentController=st.just({"type": "ECS"}),
        networkConfiguration=st.just(
            {"awsvpcConfiguration": {"subnets": ["s-2", "s-1"], "securityGroups": ["g-2", "g-1"]}}
        ),
        loadBalancers=st.just(
            [{"targetGroupArn": "tg", "containerName": "web", "containerPort": 80}]
        ),
        capacityProviderStrategy=st.just([{"capacityProvider": "FARGATE", "weight": 1}]),
        tags=_pairs("key", "value"),
        placementStrategy=st.just([{"type": "spread", "field": "host"}, {"type": "random"}]),
    ),
)


class Described:
    """Answers one service and one task definition, whoever asks."""

    def __init__(self, service: Row | None, task: Row | None) -> None:
        self.service = service
        self.task = task

    def client(self, _: str) -> Described:
        return self

    def describe_services(self, **_: Any) -> Row:
        return {"services": [self.service] if self.service is not None else []}

    def describe_task_definition(self, **_: Any) -> Row:
        assert self.task is not None
        plain = {key: value for key, value in self.task.items() if key != "tags"}
        return {"taskDefinition": plain, "tags": self.task.get("tags", [])}
