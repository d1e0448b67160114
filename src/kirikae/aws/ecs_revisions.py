"""ECS: revisions of a task definition, who uses them, and how they and services are taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
AT_ONCE = 10
"""So many revisions DeleteTaskDefinitions takes in one call, and DescribeServices services."""
_GONE = "INACTIVE"
_ENDED = "STOPPED"


def active(aws: Aws, family: str) -> list[str]:
    """The ARNs of its ACTIVE revisions, the newest first."""
    found: list[str] = []
    with told():
        pages = aws.client("ecs").get_paginator("list_task_definitions")
        for page in pages.paginate(familyPrefix=family, status="ACTIVE", sort="DESC"):
            found += page["taskDefinitionArns"]
    return [arn for arn in found if arn.rpartition("/")[2].rpartition(":")[0] == family]


def services(aws: Aws, cluster: str) -> Iterator[Plain]:
    """All of the cluster that are not gone, with their deployments and task sets."""
    with told():
        client = aws.client("ecs")
        pages = client.get_paginator("list_services").paginate(
            cluster=cluster, PaginationConfig={"PageSize": AT_ONCE}
        )
        for page in pages:
            if page["serviceArns"]:
                answer = client.describe_services(cluster=cluster, services=page["serviceArns"])
                yield from (row for row in answer["services"] if row["status"] != _GONE)


def tasks(aws: Aws, cluster: str, family: str) -> Iterator[Plain]:
    """All of the family that have not ended, whoever began them; those that are ending, too."""
    with told():
        client = aws.client("ecs")
        for wanted in ("RUNNING", "STOPPED"):
            asked = {"cluster": cluster, "family": family, "desiredStatus": wanted}
            for page in client.get_paginator("list_tasks").paginate(**asked):
                if page["taskArns"]:
                    answer = client.describe_tasks(cluster=cluster, tasks=page["taskArns"])
                    rows = answer["tasks"]
                    yield from (row for row in rows if row.get("lastStatus") != _ENDED)


def deregister(aws: Aws, arn: str) -> None:
    """Nothing can begin to use it any more; what runs it goes on."""
    with told():
        aws.client("ecs").deregister_task_definition(taskDefinition=arn)


def delete(aws: Aws, arns: Sequence[str]) -> list[Plain]:
    """At most ``AT_ONCE``, deregistered already; the answer is AWS's failures."""
    with told():
        answer = aws.client("ecs").delete_task_definitions(taskDefinitions=[*arns])
    return list(answer.get("failures", ()))


def delete_service(aws: Aws, cluster: str, name: str, with_tasks: bool) -> Plain:
    """``with_tasks``: also while tasks are wanted; without it AWS itself refuses that."""
    with told():
        answer = aws.client("ecs").delete_service(cluster=cluster, service=name, force=with_tasks)
    return dict(answer["service"])
