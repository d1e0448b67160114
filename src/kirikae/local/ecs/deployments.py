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
    ALL,
    OVER,
    PRE_SHIFT,
    SHIFT,
    begun,
    is_ending,
    keeps,
    part_of,
    turned,
)
from kirikae.local.ecs.rolling import breaker_threshold
from kirikae.local.ecs.shifting import resolved
from kirikae.local.ecs.strategies import shifts_traffic, strategy_of, watched
from kirikae.local.ecs.taskrow import STARTING
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Course,
    Deployment,
    Event,
    Revision,
    Rollback,
    Running,
    Service,
    ServiceDeployment,
    Task,
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


def new_revision(state: State, service: Service, source: Revision | None) -> Revision:
    """Fix what the service runs from now on, after ``source``."""
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
        "_bindings": resolved(fixed.get("loadBalancers", []), source, shifts_traffic(service)),
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
    with state.together():
        revision = new_revision(state, service, source)
        for entry in former:
            finish(
                state, entry["_serviceDeployment"], "STOPPED", "Superseded by a newer deployment."
            )
        sources = dict.fromkeys(entry["_revision"] for entry in former)
        deployment = new_service_deployment(state, service, revision, sources)
        deployment = _with_course(state, service, deployment, source)
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
) -> ServiceDeployment:
    """The deployment with what its strategy adds: a course, and alarms that are watched."""
    changed: ServiceDeployment = {**deployment}
    if shifts_traffic(service):
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
    """A deleted service whose last task is on its way out; its deployments end with it."""
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


def stop(
    state: State,
    service: Service,
    reason: str,
    goes_back: bool,
) -> Service:
    """The newest deployment has failed, for this reason: back to what was good before, or nothing
    more of it, as it is asked.  A roll-back that fails is only told."""
    now = time.time()
    arn = service["deployments"][0]["_serviceDeployment"]
    deployment = state.service_deployments.get(arn)
    was_back = deployment is not None and deployment["status"].startswith("ROLLBACK")
    course = deployment.get("_course") if deployment is not None else None
    if course is not None and is_ending(course):
        return service
    failed, service = failed_entry(service, reason, now)
    with state.together():
        if goes_back and not was_back and deployment is not None and course is not None:
            service = _turn_back(state, service, deployment, course, reason)
        elif goes_back and not was_back:
            service = roll_back(state, service, failed, reason)
        else:
            finish(state, arn, "ROLLBACK_FAILED" if was_back else "STOPPED", reason)
        state.services.put(service["serviceArn"], service)
    return service


def _turn_back(
    state: State,
    service: Service,
    deployment: ServiceDeployment,
    course: Course,
    reason: str,
) -> Service:
    """The service whose traffic goes back to the revision that it came from; its tasks are all
    there still."""
    now = time.time()
    arn = deployment["serviceDeploymentArn"]
    after = turned(course, reason, now)
    good = state.revisions.get(course["source"])
    entries = service["deployments"]
    kept = [entry for entry in entries if entry["_revision"] == course["source"]]
    if after == course or good is None or not kept:
        nowhere = f"{reason} There is no completed revision to go back to."
        finish(state, arn, "ROLLBACK_FAILED", nowhere)
        return service
    rollback: Rollback = {
        "reason": reason,
        "startedAt": now,
        "serviceRevisionArn": good["serviceRevisionArn"],
    }
    going_back: ServiceDeployment = {
        **deployment,
        "_course": after,
        "status": "ROLLBACK_IN_PROGRESS",
        "statusReason": reason,
        "rollback": rollback,
        "updatedAt": now,
    }
    state.service_deployments.put(arn, going_back)
    back: Deployment = {
        **kept[0],
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {kept[0]['id']}: rolling back. {reason}",
        "updatedAt": now,
        "_serviceDeployment": arn,
    }
    others = [entry for entry in entries if entry["id"] != back["id"]]
    return {**service, **what_runs(good), "deployments": [back, *others]}


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


def counts(tasks: Iterable[Task]) -> Plain:
    """How many of these tasks run, and how many are on their way up."""
    status = [task["lastStatus"] for task in tasks]
    return {
        "runningCount": status.count("RUNNING"),
        "pendingCount": sum(each in STARTING for each in status),
    }


def show_service_deployment(
    row: ServiceDeployment, service: Service | None, tasks: list[Task]
) -> Plain:
    """A service deployment as AWS shows it.

    One that is over, or whose service is gone (None), asks for no tasks any more.
    """
    shown: Plain = {key: value for key, value in row.items() if not key.startswith("_")}
    shown["sourceServiceRevisions"] = [_summary(arn, 0, tasks) for arn in row["_sources"]]
    going_on = service is not None and row["status"] not in FINAL
    wanted = service["desiredCount"] if service is not None and going_on else 0
    shown["targetServiceRevision"] = _summary(row["_target"], wanted, tasks)
    if (course := row.get("_course")) is not None:
        shown |= _show_course(course)
        _show_traffic(shown, course)
    if (watch := row.get("_watch")) is not None:
        shown["alarms"] = {
            "status": watch["status"] or "MONITORING",
            "alarmNames": watch["names"],
            "triggeredAlarmNames": watch["triggered"],
        }
    if service is not None:
        shown["deploymentConfiguration"] = show_configuration(service)
        shown["deploymentCircuitBreaker"] = _show_breaker(row, service)
    return shown


def _summary(revision: str, wanted: int, tasks: Iterable[Task]) -> Plain:
    """A revision's ARN with its number of wanted, running and starting tasks."""
    own = counts(task for task in tasks if task["_revision"] == revision)
    return {
        "arn": revision,
        "requestedTaskCount": wanted,
        "runningTaskCount": own["runningCount"],
        "pendingTaskCount": own["pendingCount"],
    }


def _show_course(course: Course) -> Plain:
    """The stage, and the hooks that were reached."""
    shown: Plain = {}
    if course["stage"] != OVER:
        # The model's stages have no PRE_PRODUCTION_TRAFFIC_SHIFT, which only hooks know.
        shown["lifecycleStage"] = SHIFT if course["stage"] == PRE_SHIFT else course["stage"]
    details = []
    for hook in course["hooks"]:
        detail = {
            "hookId": hook["id"],
            "targetType": hook["targetType"],
            "status": hook["status"],
            "expiresAt": hook["expiresAt"],
            "timeoutAction": hook["timeoutAction"],
        }
        details.append(detail | ({"targetArn": hook["target"]} if hook["target"] else {}))
    return {**shown, "lifecycleHookDetails": details}


def _show_traffic(shown: Plain, course: Course) -> None:
    """Per cent of production and test traffic of each revision."""
    for summary in (shown["targetServiceRevision"], *shown["sourceServiceRevisions"]):
        is_target = summary is shown["targetServiceRevision"]
        is_source = summary["arn"] == course["source"]
        for key in ("production", "test"):
            share = course["production"] if key == "production" else course["test"]
            permille = share if is_target else (ALL - share if is_source else 0)
            summary[f"requested{key.title()}TrafficWeight"] = permille / 10


def _show_breaker(row: ServiceDeployment, service: Service) -> Plain:
    """How near the circuit breaker is to its threshold.

    Without an entry of its own (the deployment is over) the failures that were counted last are
    told.
    """
    breaker = service["deploymentCircuitBreaker"]
    threshold = breaker_threshold(service["desiredCount"], breaker.get("thresholdConfiguration"))
    if not breaker["enable"]:
        return {
            "status": "DISABLED",
            "failureCount": 0,
            "threshold": threshold,
        }
    own = [entry for entry in service["deployments"] if entry["_revision"] == row["_target"]]
    failures = own[0]["_counted"] if own else row.get("_failures", 0)
    if "rollback" in row or (own and own[0]["rolloutState"] == "FAILED"):
        status = "TRIGGERED"
    else:
        status = "MONITORING_COMPLETE" if row["status"] in FINAL else "MONITORING"
    return {
        "status": status,
        "failureCount": failures,
        "threshold": threshold,
    }


def show_configuration(service: Service) -> Plain:
    """How the service deploys, in the shape of a request's ``deploymentConfiguration``."""
    return {
        "minimumHealthyPercent": service["minimumHealthyPercent"],
        "maximumPercent": service["maximumPercent"],
        "deploymentCircuitBreaker": service["deploymentCircuitBreaker"],
        **strategy_of(service),
    }
