"""ECS: services and task definitions with all that was given to them, and how deployments went."""

from __future__ import annotations

from typing import Any

from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
_GONE = "INACTIVE"
_NO_CLUSTER = "ClusterNotFoundException"


def service(aws: Aws, cluster: str, name: str) -> Plain | None:
    """With tags, also one that is draining; None: there is none, or it is INACTIVE.  Raises
    NotThere for a cluster that is none."""
    try:
        with told():
            answer = aws.client("ecs").describe_services(
                cluster=cluster, services=[name], include=["TAGS"]
            )
    except AwsRefused as error:
        if error.code != _NO_CLUSTER:
            raise
        says = f"there is no cluster {cluster} in this account and region; correct one of them"
        raise NotThere("DescribeServices", error.code, says) from error
    found = [each for each in answer["services"] if each["status"] != _GONE]
    return dict(found[0]) if found else None


def task_definition(aws: Aws, name: str) -> Plain | None:
    """By family (the newest ACTIVE revision), ``family:revision`` or ARN, with tags; None: there
    is none."""
    try:
        with told():
            answer = aws.client("ecs").describe_task_definition(
                taskDefinition=name, include=["TAGS"]
            )
    except AwsRefused as error:
        if error.code == "ClientException" and "Unable to describe" in str(error):
            return None
        raise
    tags = answer.get("tags") or []
    return {**answer["taskDefinition"], **({"tags": tags} if tags else {})}


def namespace_name(aws: Aws, arn: str) -> str:
    """Of a namespace of Service Connect."""
    with told():
        found = aws.client("servicediscovery").get_namespace(Id=arn.rpartition("/")[2])
        return str(found["Namespace"]["Name"])


def service_deployments(aws: Aws, cluster: str, name: str) -> list[Plain]:
    """In brief, the newest first; at most one page, a hundred."""
    with told():
        client = aws.client("ecs")
        found = client.list_service_deployments(cluster=cluster, service=name)
        return list(found["serviceDeployments"])


def service_deployment(aws: Aws, arn: str) -> Plain | None:
    """None: AWS does not know it any more."""
    with told():
        answer = aws.client("ecs").describe_service_deployments(serviceDeploymentArns=[arn])
    rows = answer["serviceDeployments"]
    return dict(rows[0]) if rows else None


def service_revision(aws: Aws, arn: str) -> Plain | None:
    """What a deployment puts there; None: AWS does not know it any more."""
    with told():
        answer = aws.client("ecs").describe_service_revisions(serviceRevisionArns=[arn])
    rows = answer["serviceRevisions"]
    return dict(rows[0]) if rows else None


def execute_command(
    aws: Aws,
    cluster: str,
    task: str,
    container: str,
    command: str,
) -> Plain:
    """Open a session in a container; the answer names it and how to reach it."""
    with told():
        return dict(
            aws.client("ecs").execute_command(
                cluster=cluster,
                task=task,
                container=container,
                command=command,
                interactive=True,
            )
        )
