"""Keep services as they were asked to be: look, decide by the rolling arithmetic, start and stop
tasks.

Level-triggered: whoever changes something wakes the service; a sweep over all of them catches what
was missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from kirikae.local.ecs.capacity import most_crowded, next_provider
from kirikae.local.ecs.deployments import STEADY, finish, roll_back, with_event
from kirikae.local.ecs.names import is_live
from kirikae.local.ecs.rolling import (
    STARTS_PER_SECOND,
    breaker_threshold,
    floor_healthy,
    retry_delay_s,
    rolling_tick,
    stuck,
)
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.errors import LocalError
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.services")

SETTLE_WITHOUT_CHECKS_S = 40
"""A task that nothing checks counts as healthy this long after RUNNING (ECS API reference,
DeploymentConfiguration)."""
SWEEP_S = 5.0
_SOONEST_S = 0.02


class Services:
    def __init__(
        self,
        state: State,
        tasks: Tasks,
        start_task: Callable[[Row, Row, str], Row],
        clock: Callable[[], float] = time.time,
    ):
        self._state = state
        self._tasks = tasks
        self._start_task = start_task
        self._clock = clock
        self._wake = asyncio.Event()
        self._due: dict[str, float] = {}
        self._started: dict[str, list[float]] = defaultdict(list)

    def wake(self, arn: str = "") -> None:
        """Look at this service soon; without a name, at all of them."""
        for service in self._state.all("service") if not arn else [{"serviceArn": arn}]:
            self._due[service["serviceArn"]] = 0.0
        self._wake.set()

    def task_changed(self, task: Row) -> None:
        if arn := service_of(task):
            self.wake(arn)

    def told(self, task: Row, message: str) -> None:
        """An event of a task's load balancing, told by its service."""
        service = self._state.get("service", service_of(task))
        if service is not None:
            self._state.put(
                "service", service["serviceArn"], with_event(service, message, self._clock())
            )

    async def run(self) -> None:
        """Look at services that are due, and at every one each five seconds."""
        swept = 0.0
        while True:
            now = self._clock()
            try:
                if not 0 <= now - swept < SWEEP_S:  # also when the clock was set back
                    swept = now
                    self.sweep()
                else:
                    for arn in [arn for arn, at in self._due.items() if at <= now]:
                        del self._due[arn]
                        self.reconcile(arn, now)
            except LocalError as error:
                log.error("%s", error)
                await asyncio.sleep(1)
            nearest = min([*self._due.values(), swept + SWEEP_S])
            try:
                await asyncio.wait_for(self._wake.wait(), max(_SOONEST_S, nearest - self._clock()))
                await asyncio.sleep(
                    _SOONEST_S
                )  # what else changes at this moment is looked at together
            except TimeoutError:
                pass
            self._wake.clear()

    def sweep(self) -> None:
        """Every service once."""
        by_service: dict[str, list[Row]] = defaultdict(list)
        for task in self._state.all("task"):
            by_service[service_of(task)].append(task)
        for service in self._state.all("service"):
            if service["status"] != "INACTIVE":
                self._due.pop(service["serviceArn"], None)
                self.reconcile(
                    service["serviceArn"], self._clock(), by_service[service["serviceArn"]]
                )

    def tasks_of(self, service: Row) -> list[Row]:
        return [t for t in self._state.all("task") if service_of(t) == service["serviceArn"]]

    def healthy(self, task: Row, now: float) -> bool:
        """Does it count towards the minimum?  Checks of containers and of target groups must all be
        passed."""
        if task["lastStatus"] != "RUNNING":
            return False
        checked = any(c["_checked"] for c in task["containers"] if c["essential"])
        if checked and task["healthStatus"] != "HEALTHY":
            return False
        targets = [self._state.get("target", key) for key in self._tasks.target_keys(task)]
        if targets:
            return all(t is not None and t["state"] == "healthy" for t in targets)
        return checked or now - task["startedAt"] >= SETTLE_WITHOUT_CHECKS_S

    def unhealthy_reason(self, service: Row, task: Row, now: float) -> str:
        """Why this running task must be replaced; empty while it is well, new, or within the grace
        period."""
        if (
            task["lastStatus"] != "RUNNING"
            or now - task["startedAt"] < service["healthCheckGracePeriodSeconds"]
        ):
            return ""
        for binding, key in zip(task["_bindings"], self._tasks.target_keys(task), strict=True):
            target = self._state.get("target", key)
            if target is not None and target["state"] == "unhealthy":
                return (
                    f"Task failed ELB health checks in (target-group {binding['targetGroupArn']})"
                )
        return "Task failed container health checks" if task["healthStatus"] == "UNHEALTHY" else ""

    # --- one service

    def reconcile(self, arn: str, now: float, tasks: list[Row] | None = None) -> None:
        """May be called at any time, and does nothing where nothing is to be done."""
        service = self._state.get("service", arn)
        if service is None or service["status"] == "INACTIVE":
            return
        tasks = self.tasks_of(service) if tasks is None else tasks
        if service["status"] == "DRAINING":
            after = self._drain(service, tasks)
        else:
            after = self._count_failures(service, tasks, now)
            after = self._roll(after, [t for t in tasks if is_live(t)], now)
        # Events of tasks may have been told meanwhile by the very stops that were asked for here.
        told = (self._state.get("service", arn) or service)["events"]
        if told is not service["events"]:
            new = [e for e in told if e not in service["events"] and e not in after["events"]]
            after = {**after, "events": [*new, *after["events"]]}
        if after != service:
            self._state.put("service", arn, after)

    def _drain(self, service: Row, tasks: list[Row]) -> Row:
        for task in tasks:
            if is_live(task):
                self._tasks.stop(
                    task["id"],
                    "ServiceSchedulerInitiated",
                    f"Scaling activity initiated by (service {service['serviceName']})",
                )
        if not all(t["lastStatus"] in ("STOPPING", "DEPROVISIONING", "STOPPED") for t in tasks):
            return service
        for entry in service["deployments"]:
            finish(self._state, entry["_serviceDeployment"], "STOPPED", "The service was deleted.")
        return {**service, "status": "INACTIVE", "deployments": []}

    def _roll(self, service: Row, live: list[Row], now: float) -> Row:
        primary = service["deployments"][0]
        desired = service["desiredCount"]
        reasons = {t["id"]: self.unhealthy_reason(service, t, now) for t in live}
        ok = {t["id"]: self.healthy(t, now) for t in live}
        current = [t for t in live if t["startedBy"] == primary["id"]]
        sick = [t for t in current if reasons[t["id"]]]
        arriving = [t for t in current if not reasons[t["id"]]]
        leaving = [t for t in live if t["startedBy"] != primary["id"]]
        arriving, sick = self._scale_in(service, primary, arriving, sick, ok, now)
        tick = rolling_tick(
            desired,
            service["minimumHealthyPercent"],
            service["maximumPercent"],
            [ok[t["id"]] for t in leaving],
            [ok[t["id"]] for t in arriving],
            len(sick),
        )
        spare = sum(ok[t["id"]] for t in [*leaving, *arriving]) - floor_healthy(
            desired, service["minimumHealthyPercent"]
        )
        going = [*self._choose(leaving, tick.stop_leaving, ok, spare, now), *sick[: tick.stop_sick]]
        failed = primary["rolloutState"] == "FAILED"
        if not failed:
            service = self._stop(service, primary, going, reasons, now)
        start = 0 if failed else tick.start
        if start and now >= primary["_notBefore"]:
            service = self._start(service, primary, start, arriving, now)
        elif start:
            self._due[service["serviceArn"]] = primary["_notBefore"]
        elif (
            leaving
            and not going
            and not failed
            and stuck(desired, service["minimumHealthyPercent"], service["maximumPercent"])
        ):
            service = with_event(service, _STUCK, now)
        if fresh := [t for t in arriving if ok[t["id"]] and not t.get("_wasHealthy")]:
            service = self._first_healthy(service, fresh, now)
        if (
            not leaving
            and not sick
            and len(arriving) == desired
            and all(ok[t["id"]] for t in arriving)
        ):
            service = self._complete(service, now)
        return service

    def _scale_in(
        self,
        service: Row,
        primary: Row,
        arriving: list[Row],
        sick: list[Row],
        ok: dict[str, bool],
        now: float,
    ) -> tuple[list[Row], list[Row]]:
        """Stop what is beyond desired: sick ones, then unhealthy ones, then from the provider that
        has too many, newest first."""
        surplus = len(arriving) + len(sick) - service["desiredCount"]
        if surplus <= 0 or len(arriving) < service["desiredCount"]:
            return arriving, sick
        reason = f"Scaling activity initiated by (deployment {primary['id']})"
        going: list[Row] = []
        strategy = service.get("capacityProviderStrategy", [])
        left = [t for t in arriving if not protected(t, now)]
        while len(going) < len(arriving) - service["desiredCount"] and left:
            unhealthy = [t for t in left if not ok[t["id"]]]
            crowded = most_crowded(
                strategy,
                Counter(t.get("capacityProviderName", "") for t in arriving if t not in going),
            )
            if not unhealthy and not self._may_spare(
                service, [t for t in arriving if t not in going], ok
            ):
                break
            pick = max(
                unhealthy
                or [t for t in left if t.get("capacityProviderName", "") == crowded]
                or left,
                key=lambda t: t["createdAt"],
            )
            going.append(pick)
            left.remove(pick)
        for task in going:
            self._tasks.stop(task["id"], "ServiceSchedulerInitiated", reason)
        return [t for t in arriving if t not in going], sick

    def _may_spare(self, service: Row, arriving: list[Row], ok: dict[str, bool]) -> bool:
        """May a healthy task go?  Where protected tasks are the unhealthy ones, the minimum must be
        kept by the others."""
        return sum(ok[t["id"]] for t in arriving) > floor_healthy(
            service["desiredCount"], service["minimumHealthyPercent"]
        )

    def _choose(
        self, leaving: Iterable[Row], count: int, ok: dict[str, bool], spare: int, now: float
    ) -> list[Row]:
        """Up to ``count`` tasks that nothing protects: unhealthy ones first, and of the healthy
        ones no more than can be spared."""
        free = sorted((t for t in leaving if not protected(t, now)), key=lambda t: t["createdAt"])
        unhealthy = [t for t in free if not ok[t["id"]]]
        healthy = [t for t in free if ok[t["id"]]]
        return [*unhealthy, *healthy[: max(0, spare)]][:count]

    def _stop(
        self, service: Row, primary: Row, going: list[Row], reasons: dict[str, str], now: float
    ) -> Row:
        for task in going:
            reason = (
                reasons[task["id"]] or f"Scaling activity initiated by (deployment {primary['id']})"
            )
            self._tasks.stop(task["id"], "ServiceSchedulerInitiated", reason)
            if reasons[task["id"]] and task["_bindings"]:
                group = task["_bindings"][0]["targetGroupArn"]
                port = task["_bindings"][0]["containerPort"]
                message = (
                    f"(task {task['id']}) (port {port}) is unhealthy in (target-group "
                    f"{group}) due to (reason Health checks failed)."
                )
                service = with_event(service, message, now)
        if going:
            listed = " ".join(f"(task {t['id']})" for t in going)
            service = with_event(service, f"has stopped {len(going)} running tasks: {listed}.", now)
        return service

    def _start(
        self, service: Row, primary: Row, count: int, arriving: list[Row], now: float
    ) -> Row:
        arn = service["serviceArn"]
        recent = self._started[arn] = [at for at in self._started[arn] if now - at < 1]
        allowed = min(count, STARTS_PER_SECOND - len(recent))
        if allowed < count:
            self._due[arn] = (min(recent) if recent else now) + 1
        if allowed <= 0:
            return service
        strategy = primary.get("capacityProviderStrategy", [])
        per_provider = Counter(t.get("capacityProviderName", "") for t in arriving)
        started = []
        for _ in range(allowed):
            provider = next_provider(
                strategy,
                {
                    item["capacityProvider"]: per_provider[item["capacityProvider"]]
                    for item in strategy
                },
            )
            per_provider[provider] += 1
            started.append(self._start_task(service, primary, provider))
        recent += [now] * allowed
        listed = " ".join(f"(task {t['id']})" for t in started)
        return with_event(service, f"has started {allowed} tasks: {listed}.", now)

    def _first_healthy(self, service: Row, fresh: Iterable[Row], now: float) -> Row:
        """Tasks of the newest deployment became healthy: the breaker counts anew, and starts are
        delayed no more."""
        for task in fresh:
            self._state.change("task", task["id"], _wasHealthy=True)
        primary = service["deployments"][0]
        counted = (
            0
            if service["deploymentCircuitBreaker"].get("resetOnHealthyTask", True)
            else primary["_counted"]
        )
        changed = {"_inARow": 0, "_counted": counted}
        if all(primary[k] == v for k, v in changed.items()):
            return service
        return {
            **service,
            "deployments": [{**primary, **changed, "updatedAt": now}, *service["deployments"][1:]],
        }

    def _complete(self, service: Row, now: float) -> Row:
        primary = service["deployments"][0]
        if primary["rolloutState"] == "IN_PROGRESS":
            reason = f"ECS deployment {primary['id']} completed."
            primary = {
                **primary,
                "rolloutState": "COMPLETED",
                "rolloutStateReason": reason,
                "updatedAt": now,
            }
            deployment = self._state.get("servicedeployment", primary["_serviceDeployment"])
            back = deployment is not None and deployment["status"].startswith("ROLLBACK")
            finish(
                self._state,
                primary["_serviceDeployment"],
                "ROLLBACK_SUCCESSFUL" if back else "SUCCESSFUL",
            )
        if (
            primary["rolloutState"] == "COMPLETED"
            and service.get("_lastGood") != primary["_revision"]
        ):
            service = {**service, "_lastGood": primary["_revision"]}
        if service["deployments"] != [primary]:
            service = {**service, "deployments": [primary]}
        return with_event(service, STEADY, now)

    def _count_failures(self, service: Row, tasks: Iterable[Row], now: float) -> Row:
        """Tasks of the newest deployment that never ran, or failed their checks: delay, then the
        circuit breaker."""
        primary = service["deployments"][0]
        failed = [
            t
            for t in tasks
            if t["startedBy"] == primary["id"] and not t.get("_counted") and _failed_to_serve(t)
        ]
        if not failed:
            return service
        for task in failed:
            self._state.change("task", task["id"], _counted=True)
        in_a_row = primary["_inARow"] + len(failed)
        primary = {
            **primary,
            "failedTasks": primary["failedTasks"] + len(failed),
            "_counted": primary["_counted"] + len(failed),
            "_inARow": in_a_row,
            "_notBefore": now + retry_delay_s(in_a_row),
            "updatedAt": now,
        }
        if in_a_row >= 3:
            service = with_event(
                service, "is unable to consistently start tasks successfully.", now
            )
        service = {**service, "deployments": [primary, *service["deployments"][1:]]}
        breaker = service["deploymentCircuitBreaker"]
        threshold = breaker_threshold(
            service["desiredCount"], breaker.get("thresholdConfiguration")
        )
        if (
            primary["rolloutState"] == "IN_PROGRESS"
            and breaker["enable"]
            and primary["_counted"] >= threshold
        ):
            service = self.fail(service, _BREAKER, breaker["rollback"], now)
        return service

    def fail(self, service: Row, reason: str, rollback: bool, now: float) -> Row:
        """The newest deployment has failed: no new task of it, and back to the last completed
        revision if that is wanted."""
        primary = service["deployments"][0]
        failed = {
            **primary,
            "rolloutState": "FAILED",
            "rolloutStateReason": reason,
            "updatedAt": now,
        }
        service = {**service, "deployments": [failed, *service["deployments"][1:]]}
        with self._state.together():
            deployment = self._state.get("servicedeployment", primary["_serviceDeployment"])
            going_back = deployment is not None and deployment["status"].startswith("ROLLBACK")
            if deployment is not None:
                self._state.change(
                    "servicedeployment",
                    primary["_serviceDeployment"],
                    _failures=primary["_counted"],
                )
            if rollback and not going_back:
                service = roll_back(self._state, service, failed, reason)
            else:
                finish(
                    self._state,
                    primary["_serviceDeployment"],
                    "ROLLBACK_FAILED" if going_back else "STOPPED",
                    reason,
                )
            self._state.put("service", service["serviceArn"], service)
        return service


_STUCK = (
    "was unable to stop or start tasks during a deployment because of the service "
    "deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again."
)
_BREAKER = "ECS deployment circuit breaker: tasks failed to start."


def service_of(task: Row) -> str:
    """ARN of the service that the task belongs to; empty for a task of its own."""
    group = str(task["group"])
    if not group.startswith("service:") or not task.get("_revision"):
        return ""
    return (
        str(task["clusterArn"]).replace(":cluster/", ":service/")
        + "/"
        + group.removeprefix("service:")
    )


def protected(task: Row, now: float) -> bool:
    """Is it under task scale-in protection now?"""
    return bool(task.get("_protectedUntil", 0) > now)


def _failed_to_serve(task: Row) -> bool:
    if task["desiredStatus"] != "STOPPED":
        return False
    return task["stopCode"] == "TaskFailedToStart" or "health checks" in task["stoppedReason"]
