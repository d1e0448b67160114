"""A deployment that ends before its time: back to what was good before, or as it is."""

from __future__ import annotations

import time

from kirikae.local.ecs.course import is_ending, turned
from kirikae.local.ecs.deployments import failed_entry, finish, roll_back, what_runs
from kirikae.local.rows import Course, Deployment, Rollback, Service, ServiceDeployment
from kirikae.local.state import State


def stop(
    state: State,
    service: Service,
    reason: str,
    goes_back: bool,
) -> Service:
    """The newest deployment has failed, for this reason: back to what was good before, or nothing
    more of it, as it is asked.  A roll-back that fails is only told."""
    arn = service["deployments"][0]["_serviceDeployment"]
    deployment = state.service_deployments.get(arn)
    course = deployment.get("_course") if deployment is not None else None
    if course is not None and is_ending(course):
        return service
    was_back = deployment is not None and deployment["status"].startswith("ROLLBACK")
    failed, service = failed_entry(service, reason, time.time())
    with state.together():
        if was_back or not goes_back:
            finish(
                state,
                arn,
                "ROLLBACK_FAILED" if was_back else "STOPPED",
                reason,
            )
        elif deployment is not None and course is not None:
            service = _turn_back(
                state,
                service,
                deployment,
                course,
                reason,
            )
        else:
            service = roll_back(
                state,
                service,
                failed,
                reason,
            )
        return state.services.put(service["serviceArn"], service)


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
        finish(
            state,
            arn,
            "ROLLBACK_FAILED",
            nowhere,
        )
        return service
    state.service_deployments.put(arn, _going_back(deployment, after, now))
    back: Deployment = {
        **kept[0],
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {kept[0]['id']}: rolling back. {reason}",
        "updatedAt": now,
        "_serviceDeployment": arn,
    }
    others = [entry for entry in entries if entry["id"] != back["id"]]
    return {
        **service,
        **what_runs(good),
        "deployments": [back, *others],
    }


def _going_back(
    deployment: ServiceDeployment,
    course: Course,
    now: float,
) -> ServiceDeployment:
    """The deployment on this course, which goes back."""
    rollback: Rollback = {
        "reason": course["back"],
        "startedAt": now,
        "serviceRevisionArn": course["source"],
    }
    return {
        **deployment,
        "_course": course,
        "status": "ROLLBACK_IN_PROGRESS",
        "statusReason": course["back"],
        "rollback": rollback,
        "updatedAt": now,
    }
