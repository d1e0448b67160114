"""Keep services as they were asked to be: look, decide by the rolling arithmetic, start and stop tasks."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable

from kirikae.local.ecs.rolling import breaker_threshold, retry_delay_s, rolling_tick, stuck
from kirikae.local.ecs.tasks import Tasks, live_tasks
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.ecs.services")

SETTLE_WITHOUT_CHECKS_S = 40
"""A task that nothing checks counts as healthy this long after RUNNING (ECS API reference, DeploymentConfiguration)."""
SWEEP_S = 1.0
_EVENTS_KEPT = 100
_SAME_EVENT_S = 6 * 3600


def new_deployment(definition: str) -> Row:
    now = time.time()
    key = f"ecs-svc/{secrets.randbelow(10**19):019d}"
    return {
        "id": key, "taskDefinition": definition, "createdAt": now, "updatedAt": now, "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {key} in progress.", "failedTasks": 0, "failuresInARow": 0, "notBefore": 0.0,
    }  # fmt: skip


def with_event(service: Row, message: str, now: float) -> Row:
    """The service with one more event, newest first; an equal one within six hours is not told again."""
    text = f"(service {service['serviceName']}) {message}"
    events = service["events"]
    if text.endswith("has reached a steady state.") and events and events[0]["message"] == text:
        return service
    if not text.endswith("steady state.") and any(e["message"] == text and now - e["createdAt"] < _SAME_EVENT_S for e in events):
        return service
    event = {"id": secrets.token_hex(16), "createdAt": now, "message": text}
    return {**service, "events": [event, *events][:_EVENTS_KEPT]}


class Services:
    def __init__(self, state: State, tasks: Tasks, start_task: Callable[[Row, Row], Row]) -> None:
        self._state, self._tasks, self._start_task = state, tasks, start_task
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Look at every service when something changed, and each second."""
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), SWEEP_S)
            except TimeoutError:
                pass
            self._wake.clear()
            for service in self._state.all("service"):
                if service["status"] != "INACTIVE":
                    self.reconcile(service["serviceArn"], time.time())

    def tasks_of(self, service: Row) -> list[Row]:
        group = f"service:{service['serviceName']}"
        return [t for t in self._state.all("task") if t["group"] == group and t["clusterArn"] == service["clusterArn"]]

    def healthy(self, task: Row, now: float) -> bool:
        if task["lastStatus"] != "RUNNING":
            return False
        checked = any(c["healthStatus"] != "NONE" for c in task["containers"])
        if checked and task["healthStatus"] != "HEALTHY":
            return False
        targets = [self._state.get("target", key) for key in self._tasks.target_keys(task)]
        if targets:
            return all(t is not None and t["state"] == "healthy" for t in targets)
        return checked or now - task["startedAt"] >= SETTLE_WITHOUT_CHECKS_S

    def unhealthy_reason(self, service: Row, task: Row, now: float) -> str:
        """Why this running task must be replaced; empty while it is well, new, or within the grace period."""
        if task["lastStatus"] != "RUNNING" or now - task["startedAt"] < service["healthCheckGracePeriodSeconds"]:
            return ""
        for binding, key in zip(task["bindings"], self._tasks.target_keys(task), strict=True):
            target = self._state.get("target", key)
            if target is not None and target["state"] == "unhealthy":
                return f"Task failed ELB health checks in (target-group {binding['targetGroupArn']})"
        return "Task failed container health checks" if task["healthStatus"] == "UNHEALTHY" else ""

    # --- one service ----------------------------------------------------------------------------------------------

    def reconcile(self, arn: str, now: float) -> None:
        """Level-triggered: may be called at any time, and does nothing where nothing is to be done."""
        service = self._state.get("service", arn)
        if service is None:
            return
        before = service
        tasks = self.tasks_of(service)
        if service["status"] == "DRAINING":
            service = self._drain(service, tasks)
        else:
            service = self._count_failures(service, tasks, now)
            service = self._roll(service, live_tasks(tasks), now)
        if service != before:
            self._state.put("service", arn, service)

    def _drain(self, service: Row, tasks: list[Row]) -> Row:
        for task in live_tasks(tasks):
            self._tasks.stop(task["id"], "ServiceSchedulerInitiated", f"Scaling activity initiated by (service {service['serviceName']})")
        over = all(t["lastStatus"] in ("STOPPING", "DEPROVISIONING", "STOPPED") for t in tasks)
        return {**service, "status": "INACTIVE", "deployments": []} if over else service

    def _roll(self, service: Row, live: list[Row], now: float) -> Row:
        primary = service["deployments"][0]
        desired = service["desiredCount"]
        reasons = {t["id"]: self.unhealthy_reason(service, t, now) for t in live}
        arriving = [t for t in live if t["startedBy"] == primary["id"] and not reasons[t["id"]]]
        leaving = [t for t in live if t not in arriving]
        surplus = sorted(arriving, key=lambda t: (self.healthy(t, now), -t["createdAt"]))[: max(0, len(arriving) - desired)]
        for task in surplus:
            self._tasks.stop(task["id"], "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {primary['id']})")
        arriving = [t for t in arriving if t not in surplus]
        ok = {t["id"]: self.healthy(t, now) for t in live}
        start, stop = rolling_tick(
            desired, service["minimumHealthyPercent"], service["maximumPercent"],
            [ok[t["id"]] for t in leaving], [ok[t["id"]] for t in arriving],
        )  # fmt: skip
        if primary["rolloutState"] == "FAILED":
            start = stop = 0
        service = self._stop_leaving(service, primary, sorted(leaving, key=lambda t: ok[t["id"]])[:stop], reasons, now)
        if start and now >= primary["notBefore"]:
            service = self._start(service, primary, start, now)
        elif leaving and not start and not stop and stuck(desired, service["minimumHealthyPercent"], service["maximumPercent"]):
            service = with_event(service, _STUCK, now)
        if not leaving and len(arriving) == desired and sum(ok[t["id"]] for t in arriving) == desired:
            service = self._complete(service, now)
        return service

    def _stop_leaving(self, service: Row, primary: Row, leaving: list[Row], reasons: dict[str, str], now: float) -> Row:
        for task in leaving:
            reason = reasons[task["id"]] or f"Scaling activity initiated by (deployment {primary['id']})"
            self._tasks.stop(task["id"], "ServiceSchedulerInitiated", reason)
            if reasons[task["id"]] and task["bindings"]:
                group, port = task["bindings"][0]["targetGroupArn"], task["bindings"][0]["containerPort"]
                service = with_event(
                    service, f"(port {port}) is unhealthy in (target-group {group}) due to (reason Health checks failed).", now
                )
        if leaving:
            listed = " ".join(f"(task {t['id']})" for t in leaving)
            service = with_event(service, f"has stopped {len(leaving)} running tasks: {listed}.", now)
        return service

    def _start(self, service: Row, primary: Row, count: int, now: float) -> Row:
        started = [self._start_task(service, primary) for _ in range(count)]
        listed = " ".join(f"(task {t['id']})" for t in started)
        return with_event(service, f"has started {count} tasks: {listed}.", now)

    def _complete(self, service: Row, now: float) -> Row:
        primary = service["deployments"][0]
        if primary["rolloutState"] == "IN_PROGRESS":
            reason = f"ECS deployment {primary['id']} completed."
            primary = {**primary, "rolloutState": "COMPLETED", "rolloutStateReason": reason, "updatedAt": now}
        if primary["rolloutState"] == "COMPLETED":
            primary = {**primary, "failuresInARow": 0} if primary["failuresInARow"] else primary
            service = {**service, "lastGood": primary["taskDefinition"]}
        if service["deployments"] != [primary]:
            service = {**service, "deployments": [primary]}
        return with_event(service, "has reached a steady state.", now)

    def _count_failures(self, service: Row, tasks: Iterable[Row], now: float) -> Row:
        """Tasks of the newest deployment that never ran, or failed their checks: delay, then the circuit breaker."""
        primary = service["deployments"][0]
        failed = [t for t in tasks if t["startedBy"] == primary["id"] and not t.get("counted") and _failed_to_serve(t)]
        if not failed:
            return service
        for task in failed:
            self._state.change("task", task["id"], counted=True)
        in_a_row = primary["failuresInARow"] + len(failed)
        primary = {
            **primary, "failedTasks": primary["failedTasks"] + len(failed), "failuresInARow": in_a_row,
            "notBefore": now + retry_delay_s(in_a_row), "updatedAt": now,
        }  # fmt: skip
        if in_a_row >= 3:
            service = with_event(service, "is unable to consistently start tasks successfully.", now)
        service = {**service, "deployments": [primary, *service["deployments"][1:]]}
        breaker = service["deploymentCircuitBreaker"]
        if (
            primary["rolloutState"] == "IN_PROGRESS"
            and breaker["enable"]
            and primary["failedTasks"] >= breaker_threshold(service["desiredCount"])
        ):
            service = self._trip(service, breaker["rollback"], now)
        return service

    def _trip(self, service: Row, rollback: bool, now: float) -> Row:
        primary = service["deployments"][0]
        reason = "ECS deployment circuit breaker: tasks failed to start."
        failed = {**primary, "rolloutState": "FAILED", "rolloutStateReason": reason, "updatedAt": now}
        deployments = [failed, *service["deployments"][1:]]
        good = service.get("lastGood")
        if rollback and good and good != primary["taskDefinition"]:
            back = new_deployment(good)
            back["rolloutStateReason"] = f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
            deployments = [back, *deployments]
            service = {**service, "taskDefinition": good}
        return {**service, "deployments": deployments}


_STUCK = (
    "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again."
)


def _failed_to_serve(task: Row) -> bool:
    if task["desiredStatus"] != "STOPPED":
        return False
    return task["stopCode"] == "TaskFailedToStart" or "health checks" in task["stoppedReason"]
