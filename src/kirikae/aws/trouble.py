"""Trouble on purpose: what a drill asks of AWS, and what undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
_READ_ONLY_KEYS = {
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
}
_LOOKED_BACK = 10
_FIS_OVER = ("completed", "stopped", "failed", "cancelled")


def stop_task(aws: Aws, cluster: str, task: str, reason: str) -> None:
    """One that has stopped stays so."""
    with told():
        aws.client("ecs").stop_task(
            cluster=cluster,
            task=task,
            reason=reason,
        )


def is_running(aws: Aws, cluster: str, task: str) -> bool:
    """And wanted to be so."""
    with told():
        found = aws.client("ecs").describe_tasks(cluster=cluster, tasks=[task])["tasks"]
    return any(each["lastStatus"] == each["desiredStatus"] == "RUNNING" for each in found)


def copied_definition(definition: Mapping[str, Any]) -> Plain:
    """As it would be registered once more."""
    return {key: value for key, value in definition.items() if key not in _READ_ONLY_KEYS}


def is_marked(definition: Mapping[str, Any], label: str, mark: str) -> bool:
    """Does one of its containers bear this label?"""
    labels = [each.get("dockerLabels", {}) for each in definition["containerDefinitions"]]
    return any(each.get(label) == mark for each in labels)


def deregister_marked(
    aws: Aws,
    family: str,
    label: str,
    mark: str,
) -> None:
    """Of the newest revisions those whose containers bear this label."""
    client = aws.client("ecs")
    with told():
        arns = client.list_task_definitions(
            familyPrefix=family,
            sort="DESC",
            maxResults=_LOOKED_BACK,
        )["taskDefinitionArns"]
        for arn in arns:
            found = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
            if is_marked(found, label, mark):
                client.deregister_task_definition(taskDefinition=arn)


def fail_over(aws: Aws, cluster: str) -> None:
    """To a reader of the Aurora cluster that AWS chooses."""
    with told():
        aws.client("rds").failover_db_cluster(DBClusterIdentifier=cluster)


def reboot(aws: Aws, instance: str) -> None:
    """A database instance of RDS."""
    with told():
        aws.client("rds").reboot_db_instance(DBInstanceIdentifier=instance)


def start_fis(aws: Aws, template: str, token: str) -> str:
    """The experiment's ID; the same token begins no second one."""
    with told():
        begun = aws.client("fis").start_experiment(
            clientToken=token,
            experimentTemplateId=template,
            tags={"kirikae.drill": token},
        )
    return str(begun["experiment"]["id"])


def stop_fis(aws: Aws, template: str, token: str) -> None:
    """What this token began; one that is over stays so."""
    client = aws.client("fis")
    with told():
        found = client.list_experiments(experimentTemplateId=template)["experiments"]
        for each in found:
            mine = each.get("tags", {}).get("kirikae.drill") == token
            if mine and each["state"]["status"] not in _FIS_OVER:
                client.stop_experiment(id=each["id"])


def all_tasks(aws: Aws, cluster: str, service: str) -> list[Plain]:
    """Of a service that run, with their attachments."""
    client = aws.client("ecs")
    found: list[Plain] = []
    with told():
        pages = client.get_paginator("list_tasks").paginate(
            cluster=cluster,
            serviceName=service,
            desiredStatus="RUNNING",
        )
        for page in pages:
            if page["taskArns"]:
                found += client.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]
    return found
