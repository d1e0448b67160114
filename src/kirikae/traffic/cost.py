"""What running both sides costs."""

from __future__ import annotations

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.model.fargate import dollars_a_day
from kirikae.model.project import Project


def extra_cost_per_day(aws: Aws, project: Project) -> float | None:
    """US dollars a day for the new side's tasks at the list price; None where the region's price or
    the service is not known."""
    fleet = project.fleets.new
    try:
        service = ecs.service(aws, fleet.cluster, fleet.ecs_service)
        if service is None:
            return None
        definition = ecs.task_definition(aws, service["taskDefinition"])
    except (KirikaeError, AwsUnreachable):
        return None
    if "cpu" not in definition or "memory" not in definition:
        return None
    tasks = max(service["desiredCount"], service["runningCount"])
    cpu = int(definition["cpu"])
    memory = int(definition["memory"])
    cost = dollars_a_day(
        project.region,
        cpu,
        memory,
        tasks,
    )
    return None if cost is None else round(cost, 2)
