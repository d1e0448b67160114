"""How service deployments are shown: AWS's members of our rows, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable

from kirikae.local.ecs.course import ALL, OVER, PRE_SHIFT, SHIFT
from kirikae.local.ecs.deployments import FINAL
from kirikae.local.ecs.rolling import breaker_threshold
from kirikae.local.ecs.strategies import strategy_of
from kirikae.local.ecs.taskrow import STARTING
from kirikae.local.plain import Plain
from kirikae.local.rows import Course, Service, ServiceDeployment, Task, Watch


def counts(tasks: Iterable[Task]) -> Plain:
    """How many of these tasks run, and how many are on their way up."""
    status = [task["lastStatus"] for task in tasks]
    return {
        "runningCount": status.count("RUNNING"),
        "pendingCount": sum(each in STARTING for each in status),
    }


def show_service_deployment(
    row: ServiceDeployment,
    service: Service | None,
    tasks: list[Task],
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
        shown["alarms"] = _show_watch(watch)
    if service is not None:
        shown["deploymentConfiguration"] = show_configuration(service)
        shown["deploymentCircuitBreaker"] = _show_breaker(row, service)
    return shown


def _summary(
    revision: str,
    wanted: int,
    tasks: Iterable[Task],
) -> Plain:
    """A revision's ARN with its number of wanted, running and starting tasks."""
    own = counts(task for task in tasks if task["_revision"] == revision)
    return {
        "arn": revision,
        "requestedTaskCount": wanted,
        "runningTaskCount": own["runningCount"],
        "pendingTaskCount": own["pendingCount"],
    }


def _show_watch(watch: Watch) -> Plain:
    """Alarms that were not read yet are about to be."""
    return {
        "status": watch["status"] or "MONITORING",
        "alarmNames": watch["names"],
        "triggeredAlarmNames": watch["triggered"],
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
    return {
        **shown,
        "lifecycleHookDetails": details,
    }


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
