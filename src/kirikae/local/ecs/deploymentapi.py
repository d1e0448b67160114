"""What is asked of service deployments and service revisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.course import CLEAN_UP, acted_on
from kirikae.local.ecs.definitions import Definitions
from kirikae.local.ecs.ending import stop
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import invalid, missing
from kirikae.local.ecs.shifting import show_resolved
from kirikae.local.ecs.shown import show_brief
from kirikae.local.ecs.showndeployments import show_service_deployment
from kirikae.local.ecs.taskrow import tasks_of
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Revision, Service, ServiceDeployment
from kirikae.local.state import State
from kirikae.local.wire import Handlers

# botocore's model of DescribeServiceDeployments and DescribeServiceRevisions: 20 ARNs.
_MOST = 20
Row = TypeVar("Row")


class DeploymentApi:
    """How the deployments of services went, and how one is stopped."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        definitions: Definitions,
        lookup: Lookup,
        agenda: Agenda,
    ) -> None:
        """Keeps no state of its own: every answer is read from the store when it is asked for."""
        self._state = state
        self._clusters = clusters
        self._definitions = definitions
        self._lookup = lookup
        self._agenda = agenda

    async def list_deployments(self, params: Plain) -> Plain:
        """One page of a service's deployments, newest first, of the asked statuses and times.

        Raises AwsError for a service that is not there.
        """
        cluster = self._clusters.find(params.get("cluster"))
        service = self._lookup.known_service(cluster, params["service"])
        rows = [
            row
            for row in self._state.service_deployments.all()
            if row["serviceArn"] == service["serviceArn"] and _asked(row, params)
        ]
        rows.sort(key=lambda row: -row["createdAt"])
        return page("serviceDeployments", [show_brief(row) for row in rows], params, 100)

    async def describe_deployments(self, params: Plain) -> Plain:
        """By ARN, at most 20; an unknown one stands in ``failures`` as MISSING."""
        arns = params["serviceDeploymentArns"]
        found, failures = _named(arns, self._state.service_deployments.get)
        return {
            "serviceDeployments": [self._show(row) for row in found],
            "failures": failures,
        }

    def _show(self, row: ServiceDeployment) -> Plain:
        """Also a deployment whose service is gone can be shown; then nothing runs of it."""
        service = self._state.services.get(row["serviceArn"])
        tasks = [] if service is None else tasks_of(service, self._state.tasks.all())
        return show_service_deployment(row, service, tasks)

    async def describe_revisions(self, params: Plain) -> Plain:
        """By ARN, at most 20; an unknown one stands in ``failures`` as MISSING."""
        arns = params["serviceRevisionArns"]
        found, failures = _named(arns, self._state.revisions.get)
        shown = [self._show_revision(row) for row in found]
        return {
            "serviceRevisions": shown,
            "failures": failures,
        }

    def _show_revision(self, row: Revision) -> Plain:
        """A revision as AWS shows it.

        A container's digest appears once the first task of the deployment has settled its image.
        """
        definition = self._definitions.find(row["taskDefinition"])
        images = []
        for container in definition["containerDefinitions"]:
            name = container["name"]
            image = {
                "containerName": name,
                "image": container["image"],
            }
            if name in row["_images"]:
                image["imageDigest"] = row["_images"][name]
            images.append(image)
        shown: Plain = {key: value for key, value in row.items() if not key.startswith("_")}
        if balancers := show_resolved(row):
            shown["resolvedConfiguration"] = {"loadBalancers": balancers}
        return {
            **shown,
            "containerImages": images,
            "platformFamily": "Linux",
        }

    async def stop(self, params: Plain) -> Plain:
        """ROLLBACK (the default) goes back to the last completed revision; ABORT leaves everything
        as it is now."""
        arn = params["serviceDeploymentArn"]
        row, service = self._deploying(arn)
        goes_back = params.get("stopType", "ROLLBACK") == "ROLLBACK"
        course = row.get("_course")
        if goes_back and course is not None and course["stage"] == CLEAN_UP:
            raise AwsError(
                "ConflictException",
                "The service deployment is in CLEAN_UP: the former revision's tasks are stopping. "
                "Deploy it again to go back to it.",
            )
        reason = "The deployment was stopped by StopServiceDeployment."
        stop(self._state, service, reason, goes_back)
        self._agenda.wake(service["serviceArn"])
        return {"serviceDeploymentArn": arn}

    async def go_on(self, params: Plain) -> Plain:
        """ContinueServiceDeployment: a pause hook is answered, so that the deployment goes on or
        back.  Raises AwsError where no such hook waits."""
        arn = params["serviceDeploymentArn"]
        row, service = self._deploying(arn)
        course = row.get("_course")
        action = params.get("action", "CONTINUE")
        after = acted_on(course, params["hookId"], action) if course is not None else None
        if after is None:
            raise invalid(
                f"The hook {params['hookId']} does not await an action "
                "(DescribeServiceDeployments, lifecycleHookDetails)."
            )
        changed: ServiceDeployment = {**row, "_course": after, "updatedAt": time.time()}
        self._state.service_deployments.put(arn, changed)
        self._agenda.wake(service["serviceArn"])
        return {"serviceDeploymentArn": arn}

    def _deploying(self, arn: str) -> tuple[ServiceDeployment, Service]:
        """A deployment that is in progress, and its service."""
        row = self._state.service_deployments.get(arn)
        if row is None:
            raise AwsError(
                "ServiceDeploymentNotFoundException", "The service deployment was not found."
            )
        service = self._state.services.get(row["serviceArn"])
        if row["status"] != "IN_PROGRESS" or service is None or service["status"] != "ACTIVE":
            raise AwsError(
                "ConflictException",
                f"The service deployment is {row['status']} and cannot be stopped.",
            )
        return row, service


def _asked(row: ServiceDeployment, params: Plain) -> bool:
    """Of an asked status, and from an asked time."""
    times = params.get("createdAt", {})
    created = row["createdAt"]
    since = float(times.get("after", 0))
    until = float(times.get("before", created))
    return row["status"] in params.get("status", [row["status"]]) and since <= created <= until


def _named(arns: Sequence[str], get: Callable[[str], Row | None]) -> tuple[list[Row], list[Plain]]:
    """Those that are there, and an entry of ``failures`` for each that is not."""
    if not 1 <= len(arns) <= _MOST:
        raise invalid(f"1 to {_MOST} ARNs can be asked for at once.")
    rows = {arn: get(arn) for arn in arns}
    found = [row for row in rows.values() if row is not None]
    return found, [missing(arn) for arn, row in rows.items() if row is None]


OPERATIONS: Handlers[DeploymentApi] = {
    "ListServiceDeployments": DeploymentApi.list_deployments,
    "DescribeServiceDeployments": DeploymentApi.describe_deployments,
    "StopServiceDeployment": DeploymentApi.stop,
    "ContinueServiceDeployment": DeploymentApi.go_on,
    "DescribeServiceRevisions": DeploymentApi.describe_revisions,
}
