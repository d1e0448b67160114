"""CodeDeploy: deployments of ECS services, begun, looked at and stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
_MOST_AT_ONCE = 100
_GOING_ON = ("Created", "Queued", "InProgress", "Baking", "Ready")


def create(
    aws: Aws,
    group: Sequence[str],
    appspec: str,
    description: str,
    rule: str | None,
) -> str:
    """The deployment's ID.  ``group``: application and deployment group; ``rule``: a deployment
    configuration, None: the group's."""
    application, name = group
    more = {"deploymentConfigName": rule} if rule else {}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": appspec}}
    with told():
        answer = aws.client("codedeploy").create_deployment(
            applicationName=application,
            deploymentGroupName=name,
            revision=revision,
            description=description,
            **more,
        )
    return str(answer["deploymentId"])


def deployment(aws: Aws, identity: str) -> Plain:
    with told():
        answer = aws.client("codedeploy").get_deployment(deploymentId=identity)
    return dict(answer["deploymentInfo"])


def going_on(aws: Aws, group: Sequence[str]) -> list[Plain]:
    """Deployments of this group that have not ended: CodeDeploy lets one be at a time, and the one
    that takes it back."""
    application, name = group
    with told():
        answer = aws.client("codedeploy").list_deployments(
            applicationName=application,
            deploymentGroupName=name,
            includeOnlyStatuses=list(_GOING_ON),
        )
    return [deployment(aws, identity) for identity in answer["deployments"]]


def lifecycle_events(aws: Aws, identity: str) -> dict[str, str]:
    """Event -> its status, of a deployment to ECS; empty: it has no target yet."""
    with told():
        client = aws.client("codedeploy")
        targets = client.list_deployment_targets(deploymentId=identity)["targetIds"]
        if not targets:
            return {}
        answer = client.batch_get_deployment_targets(deploymentId=identity, targetIds=targets)
    return {
        str(event["lifecycleEventName"]): str(event["status"])
        for target in answer["deploymentTargets"]
        for event in (target.get("ecsTarget") or {}).get("lifecycleEvents", ())
    }


def stop(aws: Aws, identity: str) -> None:
    """And put back what served before it."""
    with told():
        aws.client("codedeploy").stop_deployment(deploymentId=identity, autoRollbackEnabled=True)


def groups_of_ecs(aws: Aws, application: str = "") -> Iterator[Plain]:
    """The deployment groups of applications that deploy to ECS, of this one or of all, each with
    the services that it drives (``ecsServices``)."""
    with told():
        client = aws.client("codedeploy")
        names = [application] if application else _ecs_applications(client)
        for name in names:
            for page in client.get_paginator("list_deployment_groups").paginate(
                applicationName=name
            ):
                for some in _in_batches(page["deploymentGroups"]):
                    answer = client.batch_get_deployment_groups(
                        applicationName=name, deploymentGroupNames=some
                    )
                    yield from answer["deploymentGroupsInfo"]


def _ecs_applications(client: Any) -> list[str]:
    found = []
    for page in client.get_paginator("list_applications").paginate():
        for some in _in_batches(page["applications"]):
            answer = client.batch_get_applications(applicationNames=some)
            found += [
                str(each["applicationName"])
                for each in answer["applicationsInfo"]
                if each.get("computePlatform") == "ECS"
            ]
    return found


def _in_batches(names: Sequence[str]) -> Iterator[list[str]]:
    """Of as many as one call takes (API reference, BatchGetApplications: 100)."""
    for begin in range(0, len(names), _MOST_AT_ONCE):
        yield [*names[begin : begin + _MOST_AT_ONCE]]
