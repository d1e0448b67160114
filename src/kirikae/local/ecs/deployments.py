"""Service revisions, service deployments and the ``deployments`` list of a service: rows, and how
they are shown.

A *revision* is what one deployment runs, fixed for ever.  A *service deployment* is one way from a
revision to another; a roll-back belongs to the service deployment that failed.  Each way also has
an entry ``ecs-svc/...`` in its service's ``deployments``, newest first."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile

from kirikae.local.ecs.course import (
    begun,
    keeps,
    part_of,
)
from kirikae.local.ecs.shifting import resolved
from kirikae.local.ecs.strategies import shifts_traffic, strategy_of, watched
from kirikae.local.rows import (
    Course,
    Deployment,
    Event,
    Revision,
    Rollback,
    Running,
    Service,
    ServiceDeployment,
    Watch,
)
from kirikae.local.state import State

# botocore's model of Service: the newest 100 events are shown.
_EVENTS_KEPT = 100
_SAME_EVENT_S = 6 * 3600
_CAUSES = ("was unable", "is unable")
"""Beginnings of events that tell why something does not go on."""
STEADY = "has reached a steady state."
FINAL = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


def _number() -> str:
    """Nineteen digits, as in the ARNs that AWS makes."""
    return f"{secrets.randbelow(10**19):019d}"


def what_runs(row: Service | Revision) -> Running:
    """The part that a revision fixes, without what is not set."""
    part: Running = {"taskDefinition": row["taskDefinition"]}
    if balancers := row.get("loadBalancers"):
        part["loadBalancers"] = balancers
    if network := row.get("networkConfiguration"):
        part["networkConfiguration"] = network
    if platform := row.get("platformVersion"):
        part["platformVersion"] = platform
    if launch := row.get("launchType"):
        part["launchType"] = launch
    if strategy := row.get("capacityProviderStrategy"):
        part["capacityProviderStrategy"] = strategy
    return part


def new_revision(
    state: State,
    service: Service,
    source: Revision | None,
    shifts: bool,
) -> Revision:
    """Fix what the service runs from now on, after ``source``; ``shifts``: in its other target
    group."""
    arn = service["serviceArn"].replace(":service/", ":service-revision/") + f"/{_number()}"
    fixed = what_runs(service)
    row: Revision = {
        **fixed,
        "taskDefinition": service["taskDefinition"],
        "serviceRevisionArn": arn,
        "serviceArn": service["serviceArn"],
        "clusterArn": service["clusterArn"],
        "createdAt": time.time(),
        "_images": {},
        "_bindings": resolved(fixed.get("loadBalancers", []), source, shifts),
    }
    return state.revisions.put(arn, row)


def new_service_deployment(
    state: State,
    service: Service,
    target: Revision,
    sources: Iterable[str],
) -> ServiceDeployment:
    """The row of a way from the revisions ``sources`` to ``target``; it is written down and in
    progress."""
    arn = service["serviceArn"].replace(":service/", ":service-deployment/") + f"/{_number()}"
    now = time.time()
    row: ServiceDeployment = {
        "serviceDeploymentArn": arn,
        "serviceArn": service["serviceArn"],
        "clusterArn": service["clusterArn"],
        "createdAt": now,
        "startedAt": now,
        "updatedAt": now,
        "status": "IN_PROGRESS",
        "_target": target["serviceRevisionArn"],
        "_sources": list(sources),
    }
    return state.service_deployments.put(arn, row)


def new_deployment(revision: Revision, service_deployment: str) -> Deployment:
    """An entry of a service's ``deployments``."""
    now = time.time()
    key = f"ecs-svc/{_number()}"
    entry: Deployment = {
        "id": key,
        "taskDefinition": revision["taskDefinition"],
        "createdAt": now,
        "updatedAt": now,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {key} in progress.",
        "failedTasks": 0,
        "_revision": revision["serviceRevisionArn"],
        "_serviceDeployment": service_deployment,
        "_inARow": 0,
        "_counted": 0,
        "_notBefore": 0.0,
    }
    if "networkConfiguration" in revision:
        entry["networkConfiguration"] = revision["networkConfiguration"]
    if "platformVersion" in revision:
        entry["platformVersion"] = revision["platformVersion"]
    if "launchType" in revision:
        entry["launchType"] = revision["launchType"]
    if "capacityProviderStrategy" in revision:
        entry["capacityProviderStrategy"] = revision["capacityProviderStrategy"]
    return entry


def begin(state: State, service: Service) -> Service:
    """The service with a new deployment of what it is now asked to run; an unfinished one is
    superseded.  One transaction."""
    former = service["deployments"]
    source = _source_of(state, service)
    # What was left half way must be led out of its traffic first, however it goes on.
    shifts = shifts_traffic(service) or course_of(state, service) is not None
    with state.together():
        revision = new_revision(state, service, source, shifts)
        for entry in former:
            finish(
                state, entry["_serviceDeployment"], "STOPPED", "Superseded by a newer deployment."
            )
        sources = dict.fromkeys(entry["_revision"] for entry in former)
        deployment = new_service_deployment(state, service, revision, sources)
        deployment = _with_course(state, service, deployment, source, shifts)
        entry = new_deployment(revision, deployment["serviceDeploymentArn"])
        changed: Service = {
            **service,
            "deployments": [entry, *former],
        }
        return state.services.put(service["serviceArn"], changed)


def _source_of(state: State, service: Service) -> Revision | None:
    """What a new deployment takes over from: the last good revision, while it is there, else the
    oldest; None for a service's first."""
    entries = service["deployments"]
    if not entries:
        return None
    good = [entry for entry in entries if entry["_revision"] == service.get("_lastGood")]
    return state.revisions.get((good or entries[-1:])[0]["_revision"])


def _with_course(
    state: State,
    service: Service,
    deployment: ServiceDeployment,
    source: Revision | None,
    shifts: bool,
) -> ServiceDeployment:
    """The deployment with what its strategy adds: a course, and alarms that are watched."""
    changed: ServiceDeployment = {**deployment}
    if shifts:
        comes_from = source["serviceRevisionArn"] if source is not None else ""
        others = len({entry["_revision"] for entry in service["deployments"]}) > 1
        strategy = strategy_of(service)
        changed["_course"] = begun(strategy, comes_from, others, deployment["createdAt"])
    if (alarms := watched(strategy_of(service))) is not None:
        watch: Watch = {
            "names": alarms["alarmNames"],
            "rollback": alarms["rollback"],
            "status": "",
            "triggered": [],
            "bake_s": 0.0,
        }
        changed["_watch"] = watch
    return state.service_deployments.put(deployment["serviceDeploymentArn"], changed)


def course_of(state: State, service: Service) -> Course | None:
    """The course that the service is on: of a deployment that goes on, or that was stopped on its
    way and left several revisions behind.  None for a service that keeps to one, or rolls."""
    entries = service["deployments"]
    if not entries:
        return None
    deployment = state.service_deployments.get(entries[0]["_serviceDeployment"])
    if deployment is None or (len(entries) == 1 and deployment["status"] in FINAL):
        return None
    return deployment.get("_course")


def kept_entries(state: State, service: Service) -> list[Deployment]:
    """Deployments whose tasks are kept at the wanted number: the newest, and while traffic is
    shifted the one that it comes from."""
    entries = service["deployments"]
    course = course_of(state, service)
    if course is None:
        return entries[:1]
    target = state.service_deployments[entries[0]["_serviceDeployment"]]["_target"]
    return [
        entry for entry in entries if keeps(course, part_of(course, target, entry["_revision"]))
    ]


def finish(
    state: State,
    arn: str,
    status: str,
    reason: str = "",
) -> None:
    """End a service deployment; one that has ended stays as it is."""
    row = state.service_deployments.get(arn)
    if row is None or row["status"] in FINAL:
        return
    now = time.time()
    ended: ServiceDeployment = {
        **row,
        "status": status,
        "updatedAt": now,
        "finishedAt": now,
    }
    if reason:
        ended["statusReason"] = reason
    if status == "STOPPED":
        ended["stoppedAt"] = now
    watch = row.get("_watch")
    if watch is not None and watch["status"] in ("", "MONITORING"):
        ended["_watch"] = {**watch, "status": "MONITORING_COMPLETE"}
    state.service_deployments.put(arn, ended)


def deleted(state: State, service: Service) -> Service:
    """A deleted service whose last task is on its way out; its deployments and task sets end with
    it."""
    state.task_sets.drop_where(lambda row: row["serviceArn"] == service["serviceArn"])
    for entry in service["deployments"]:
        finish(state, entry["_serviceDeployment"], "STOPPED", "The service was deleted.")
    return {
        **service,
        "status": "INACTIVE",
        "deployments": [],
    }


def failed_entry(service: Service, reason: str, now: float) -> tuple[Deployment, Service]:
    """The newest deployment as failed, and the service that has it so."""
    failed: Deployment = {
        **service["deployments"][0],
        "rolloutState": "FAILED",
        "rolloutStateReason": reason,
        "updatedAt": now,
    }
    return failed, {
        **service,
        "deployments": [failed, *service["deployments"][1:]],
    }


def roll_back(
    state: State,
    service: Service,
    failed: Deployment,
    reason: str,
) -> Service:
    """The service on its way back to the last revision that was completed; without one, the failed
    entry stays newest."""
    arn = failed["_serviceDeployment"]
    good = state.revisions.get(service.get("_lastGood") or "")
    if good is None or good["serviceRevisionArn"] == failed["_revision"]:
        nowhere = f"{reason} There is no completed revision to go back to."
        finish(state, arn, "ROLLBACK_FAILED", nowhere)
        return service
    back = new_deployment(good, arn)
    back["rolloutStateReason"] = (
        f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
    )
    if (deployment := state.service_deployments.get(arn)) is not None:
        now = time.time()
        rollback: Rollback = {
            "reason": reason,
            "startedAt": now,
            "serviceRevisionArn": good["serviceRevisionArn"],
        }
        going_back: ServiceDeployment = {
            **deployment,
            "status": "ROLLBACK_IN_PROGRESS",
            "statusReason": reason,
            "rollback": rollback,
            "updatedAt": now,
        }
        state.service_deployments.put(arn, going_back)
    return {
        **service,
        **what_runs(good),
        "deployments": [back, *service["deployments"]],
    }


def with_event(
    service: Service,
    message: str,
    now: float,
    task_set: str = "",
) -> Service:
    """The service with one more event, newest first.

    A cause that lasts is told once in six hours, as long as no steady state came in between; that
    it has reached a steady state is told again only after something else.
    """
    whose = f", taskSet {task_set}" if task_set else ""
    text = f"(service {service['serviceName']}{whose}) {message}"
    events = service["events"]
    for event in _compared(events, message):
        if event["message"] == text and now - event["createdAt"] < _SAME_EVENT_S:
            return service
    fresh: Event = {
        "id": secrets.token_hex(16),
        "createdAt": now,
        "message": text,
    }
    return {
        **service,
        "events": [fresh, *events][:_EVENTS_KEPT],
    }


def _compared(events: Sequence[Event], message: str) -> Iterable[Event]:
    """Among which events an equal one would be a repetition."""
    if message == STEADY:
        return events[:1]
    if not message.startswith(_CAUSES):
        return ()
    return takewhile(lambda event: not event["message"].endswith(STEADY), events)


def tell(
    state: State,
    service_arn: str,
    message: str,
    now: float,
    task_set: str = "",
) -> None:
    """Write an event into the service's row, where there is such a service."""
    service = state.services.get(service_arn)
    if service is not None:
        state.services.put(service_arn, with_event(service, message, now, task_set))


# --- how they are shown
