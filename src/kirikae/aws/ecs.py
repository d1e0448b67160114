"""ECS: task definitions and services, as plain data with the API's own keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told

Plain = dict[str, Any]


def register_task_definition(aws: Aws, definition: Plain) -> str:
    """The ARN of the new revision."""
    with told():
        answer = aws.client("ecs").register_task_definition(**definition)
        return str(answer["taskDefinition"]["taskDefinitionArn"])


def task_definition(aws: Aws, name: str) -> Plain:
    """By family (the newest ACTIVE revision), ``family:revision`` or ARN.

    Raises AwsRefused where there is none.
    """
    with told():
        answer = aws.client("ecs").describe_task_definition(taskDefinition=name)
        return dict(answer["taskDefinition"])


def service(
    aws: Aws,
    cluster: str,
    name: str,
    with_tags: bool = False,
) -> Plain | None:
    """The service, or None if there is none that is active."""
    more: Plain = {"include": ["TAGS"]} if with_tags else {}
    with told():
        answer = aws.client("ecs").describe_services(
            cluster=cluster,
            services=[name],
            **more,
        )
    found = [s for s in answer["services"] if s["status"] == "ACTIVE"]
    return dict(found[0]) if found else None


def create_service(aws: Aws, cluster: str, definition: Plain) -> Plain:
    """``definition``: the request's own keys.  Raises AwsRefused, as for a name that is taken."""
    wanted = {**definition, "cluster": cluster}
    with told():
        return dict(aws.client("ecs").create_service(**wanted)["service"])


def update_service(aws: Aws, cluster: str, name: str, changes: Plain) -> Plain:
    """What ``changes`` does not name stays as it is; asking again for the same is harmless unless
    it forces a new deployment."""
    wanted = {
        **changes,
        "cluster": cluster,
        "service": name,
    }
    with told():
        return dict(aws.client("ecs").update_service(**wanted)["service"])


def tag(aws: Aws, arn: str, tags: list[dict[str, str]]) -> None:
    """Tags of other keys stay."""
    with told():
        aws.client("ecs").tag_resource(resourceArn=arn, tags=tags)


def untag(aws: Aws, arn: str, keys: Sequence[str]) -> None:
    """A key that is not there is none to take away."""
    with told():
        aws.client("ecs").untag_resource(resourceArn=arn, tagKeys=[*keys])


def tasks(aws: Aws, cluster: str, service_name: str, status: str) -> list[Plain]:
    """All tasks of the service that are wanted to be so: RUNNING (those on their way up among them)
    or STOPPED (those of about an hour)."""
    asked = {
        "cluster": cluster,
        "serviceName": service_name,
        "desiredStatus": status,
    }
    found: list[Plain] = []
    with told():
        client = aws.client("ecs")
        # A page is what DescribeTasks takes at once (API reference: a hundred).
        for page in client.get_paginator("list_tasks").paginate(**asked):
            if page["taskArns"]:
                told_of = client.describe_tasks(cluster=cluster, tasks=page["taskArns"])
                found += told_of["tasks"]
    return found


def stopped_tasks(aws: Aws, cluster: str, service_name: str, deployment: str) -> list[Plain]:
    """Those of one deployment that AWS still remembers (about an hour), the newest first."""
    stopped = tasks(
        aws,
        cluster,
        service_name,
        "STOPPED",
    )
    own = [task for task in stopped if task.get("startedBy") == deployment]
    return sorted(own, key=_stopped_at, reverse=True)


def _stopped_at(task: Plain) -> float:
    """A task that is about to stop comes last."""
    at = task.get("stoppedAt")
    return at.timestamp() if at is not None else float("inf")


def cluster_exists(aws: Aws, name: str) -> None:
    """Raises NotThere."""
    with told():
        answer = aws.client("ecs").describe_clusters(clusters=[name])
    if not any(c["status"] == "ACTIVE" for c in answer["clusters"]):
        raise NotThere(
            "DescribeClusters", "ClusterNotFoundException", f"there is no cluster {name}"
        )
