"""Service revisions, service deployments and the ``deployments`` list of a service: rows, and how
they are shown.

A *revision* is what one deployment runs, fixed for ever.  A *service deployment* is one way from a
revision to another; a roll-back belongs to the service deployment that failed.  Each way also has
an entry ``ecs-svc/...`` in its service's ``deployments``, newest first."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kirikae.local.ecs.rolling import breaker_threshold
from kirikae.local.state import Row, State

_EVENTS_KEPT = 100
_SAME_EVENT_S = 6 * 3600
STEADY = "has reached a steady state."
_REVISION_KEYS = (
    "taskDefinition",
    "loadBalancers",
    "networkConfiguration",
    "platformVersion",
    "launchType",
    "capacityProviderStrategy",
)
_FINAL = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


def _number() -> str:
    return f"{secrets.randbelow(10**19):019d}"


def new_revision(state: State, service: Row) -> Row:
    """Fix what the service runs from now on."""
    arn = service["serviceArn"].replace(":service/", ":service-revision/") + f"/{_number()}"
    row = {
        "serviceRevisionArn": arn,
        "serviceArn": service["serviceArn"],
        "clusterArn": service["clusterArn"],
        "createdAt": time.time(),
        "_images": {},
        **{k: service[k] for k in _REVISION_KEYS if service.get(k)},
    }
    return state.put("revision", arn, row)


def new_service_deployment(state: State, service: Row, target: Row, sources: Iterable[str]) -> Row:
    arn = service["serviceArn"].replace(":service/", ":service-deployment/") + f"/{_number()}"
    now = time.time()
    row = {
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
    return state.put("servicedeployment", arn, row)


def new_deployment(revision: Row, service_deployment: str) -> Row:
    """An entry of a service's ``deployments``."""
    now = time.time()
    key = f"ecs-svc/{_number()}"
    return {
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
        **{
            k: revision[k]
            for k in (
                "networkConfiguration",
                "platformVersion",
                "launchType",
                "capacityProviderStrategy",
            )
            if k in revision
        },
    }


def begin(state: State, service: Row) -> Row:
    """The service with a new deployment of what it is now asked to run; an unfinished one is
    superseded.  One transaction."""
    former = service.get("deployments", [])
    with state.together():
        revision = new_revision(state, service)
        for entry in former:
            finish(
                state, entry["_serviceDeployment"], "STOPPED", "Superseded by a newer deployment."
            )
        deployment = new_service_deployment(
            state, service, revision, dict.fromkeys(e["_revision"] for e in former)
        )
        entry = new_deployment(revision, deployment["serviceDeploymentArn"])
        return state.put(
            "service", service["serviceArn"], {**service, "deployments": [entry, *former]}
        )


def finish(state: State, arn: str, status: str, reason: str = "") -> None:
    """End a service deployment; one that has ended stays as it is."""
    row = state.get("servicedeployment", arn)
    if row is None or row["status"] in _FINAL:
        return
    now = time.time()
    ended: Row = {"status": status, "updatedAt": now, "finishedAt": now} | (
        {"statusReason": reason} if reason else {}
    )
    if status == "STOPPED":
        ended["stoppedAt"] = now
    state.change("servicedeployment", arn, **ended)


def roll_back(state: State, service: Row, failed: Row, reason: str) -> Row:
    """The service on its way back to the last revision that was completed; without one, the failed
    entry stays newest."""
    good = state.get("revision", service.get("_lastGood") or "")
    if good is None or good["serviceRevisionArn"] == failed["_revision"]:
        finish(
            state,
            failed["_serviceDeployment"],
            "ROLLBACK_FAILED",
            f"{reason} There is no completed revision to go back to.",
        )
        return service
    back = new_deployment(good, failed["_serviceDeployment"])
    back["rolloutStateReason"] = (
        f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
    )
    now = time.time()
    rollback = {
        "reason": reason,
        "startedAt": now,
        "serviceRevisionArn": good["serviceRevisionArn"],
    }
    if state.get("servicedeployment", failed["_serviceDeployment"]):
        state.change(
            "servicedeployment",
            failed["_serviceDeployment"],
            status="ROLLBACK_IN_PROGRESS",
            statusReason=reason,
            rollback=rollback,
            updatedAt=now,
        )
    changed = {k: good[k] for k in _REVISION_KEYS if k in good}
    return {**service, **changed, "deployments": [back, *service["deployments"]]}


def with_event(service: Row, message: str, now: float) -> Row:
    """The service with one more event, newest first.

    Equal ones are suppressed for six hours; that it has reached a steady state is told again only
    after something else."""
    text = f"(service {service['serviceName']}) {message}"
    events = service["events"]
    if message == STEADY:
        if events and events[0]["message"] == text and now - events[0]["createdAt"] < _SAME_EVENT_S:
            return service
    elif any(e["message"] == text and now - e["createdAt"] < _SAME_EVENT_S for e in events):
        return service
    event = {"id": secrets.token_hex(16), "createdAt": now, "message": text}
    return {**service, "events": [event, *events][:_EVENTS_KEPT]}


def counts(tasks: Iterable[Row]) -> Row:
    status = [t["lastStatus"] for t in tasks]
    return {
        "runningCount": status.count("RUNNING"),
        "pendingCount": sum(s in ("PROVISIONING", "PENDING", "ACTIVATING") for s in status),
    }


def _summary(revision: str, service: Row | None, tasks: Iterable[Row], target: bool) -> Row:
    own = counts(t for t in tasks if t.get("_revision") == revision)
    return {
        "arn": revision,
        "requestedTaskCount": service["desiredCount"] if service and target else 0,
        "runningTaskCount": own["runningCount"],
        "pendingTaskCount": own["pendingCount"],
    }


def show_service_deployment(row: Row, service: Row | None, tasks: list[Row]) -> Row:
    shown: Row = {k: v for k, v in row.items() if not k.startswith("_")}
    shown["sourceServiceRevisions"] = [
        _summary(arn, service, tasks, False) for arn in row["_sources"]
    ]
    shown["targetServiceRevision"] = _summary(
        row["_target"], service, tasks, row["status"] not in _FINAL
    )
    if service is not None:
        shown["deploymentConfiguration"] = show_configuration(service)
        shown["deploymentCircuitBreaker"] = _breaker(row, service)
    return shown


def _breaker(row: Row, service: Row) -> Row:
    breaker = service["deploymentCircuitBreaker"]
    threshold = breaker_threshold(service["desiredCount"], breaker.get("thresholdConfiguration"))
    if not breaker["enable"]:
        return {"status": "DISABLED", "failureCount": 0, "threshold": threshold}
    entry: Mapping[str, Any] = next(
        (e for e in service["deployments"] if e["_revision"] == row["_target"]), {}
    )
    tripped = "rollback" in row or entry.get("rolloutState") == "FAILED"
    status = (
        "TRIGGERED"
        if tripped
        else "MONITORING_COMPLETE"
        if row["status"] in _FINAL
        else "MONITORING"
    )
    return {
        "status": status,
        "failureCount": entry.get("_counted", row.get("_failures", 0)),
        "threshold": threshold,
    }


def show_configuration(service: Row) -> Row:
    return {
        "minimumHealthyPercent": service["minimumHealthyPercent"],
        "maximumPercent": service["maximumPercent"],
        "deploymentCircuitBreaker": service["deploymentCircuitBreaker"],
        "strategy": "ROLLING",
    }
