"""Keep services as they were asked to be: look, decide by the rolling arithmetic, start and stop
tasks.

Level-triggered: whoever changes something wakes the service; a sweep over all of them catches what
was missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.capacity import next_provider
from kirikae.local.ecs.crew import Crew, crew_of, going, provider_of, surplus, tick_of
from kirikae.local.ecs.deployments import (
    STEADY,
    course_of,
    deleted,
    finish,
    kept_entries,
    with_event,
)
from kirikae.local.ecs.ending import stop
from kirikae.local.ecs.rolling import STARTS_PER_SECOND, breaker_threshold, retry_delay_s, stuck
from kirikae.local.ecs.taskrow import (
    ENDING,
    is_live,
    protected,
    service_of,
    target_keys,
    tasks_of,
)
from kirikae.local.ecs.tasksets import alone, drop_task_set
from kirikae.local.errors import LocalError
from kirikae.local.rows import (
    Deployment,
    Event,
    Service,
    ServiceDeployment,
    Task,
    TaskSet,
    Watch,
)
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.services")

SETTLE_WITHOUT_CHECKS_S = 40
"""A task that nothing checks counts as healthy this long after RUNNING (ECS API reference,
DeploymentConfiguration)."""
SWEEP_S = 5.0
_UNSTEADY = 3
"""Failures in a row of which a service tells."""
_STUCK = (
    "was unable to stop or start tasks during a deployment because of the service "
    "deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again."
)
_NO_INSTANCE = (
    "was unable to place a task because no container instance met all of its requirements."
)
_BREAKER = "ECS deployment circuit breaker: tasks failed to start."
_SCHEDULER = "ServiceSchedulerInitiated"


class Stopper(Protocol):
    """What ends tasks."""

    def stop(
        self,
        task_id: str,
        code: str,
        reason: str,
    ) -> None:
        """Ask for this task's end."""


StartTask = Callable[[Service, Deployment, str], Task | None]
"""Start one task of this deployment of the service, on this capacity provider; None where no
container instance has room for it."""
Room = Callable[[], int | None]
"""How many more tasks may be asked for now; None: as many as are wanted."""


def _any_number() -> int | None:
    """No limit: what ``room`` answers where nobody paces the starts."""
    return None


class Services:
    """Looks at services and acts; what it decides by stands in ``crew`` and ``rolling``.

    Looking twice is harmless, and looking too late is only late: nothing is remembered between two
    looks but when tasks were started.
    """

    def __init__(
        self,
        state: State,
        agenda: Agenda,
        tasks: Stopper,
        start_task: StartTask,
        room: Room = _any_number,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` answers Unix seconds.

        When tasks were started is forgotten with the process: after a crash, a service may start up
        to its limit again within the same second.
        """
        self._state = state
        self._agenda = agenda
        self._tasks = tasks
        self._start_task = start_task
        self._room = room
        self._clock = clock
        self._started: dict[str, list[float]] = defaultdict(list)

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
                    for arn in self._agenda.take_due():
                        self.reconcile(arn, now)
            except LocalError as error:
                log.error("%s", error)
                await asyncio.sleep(1)
            await self._agenda.wait(swept + SWEEP_S)

    def sweep(self) -> None:
        """Every service once."""
        by_service: dict[str, list[Task]] = defaultdict(list)
        for task in self._state.tasks.all():
            by_service[service_of(task)].append(task)
        for service in self._state.services.all():
            if service["status"] != "INACTIVE":
                arn = service["serviceArn"]
                self._agenda.forget(arn)
                self.reconcile(arn, self._clock(), by_service[arn])

    # --- how a task stands

    def healthy(self, task: Task, now: float) -> bool:
        """Does it count towards the minimum?  Checks of containers and of target groups must all be
        passed."""
        if task["lastStatus"] != "RUNNING":
            return False
        checked = _is_checked(task)
        if checked and task["healthStatus"] != "HEALTHY":
            return False
        states = [self._target_state(key) for key in target_keys(task)]
        if states:
            return set(states) == {"healthy"}
        return checked or now - task["startedAt"] >= SETTLE_WITHOUT_CHECKS_S

    def _target_state(self, key: str) -> str:
        """Empty where there is no such target."""
        target = self._state.targets.get(key)
        return "" if target is None else target["state"]

    def unhealthy_reason(
        self,
        service: Service,
        task: Task,
        now: float,
    ) -> str:
        """Why this running task must be replaced; empty while it is well, new, or within the grace
        period."""
        if (
            task["lastStatus"] != "RUNNING"
            or now - task["startedAt"] < service["healthCheckGracePeriodSeconds"]
        ):
            return ""
        for binding, key in zip(task["_bindings"], target_keys(task), strict=True):
            if self._target_state(key) == "unhealthy":
                group = binding["targetGroupArn"]
                return f"Task failed ELB health checks in (target-group {group})"
        return "Task failed container health checks" if task["healthStatus"] == "UNHEALTHY" else ""

    # --- one service

    def reconcile(
        self,
        arn: str,
        now: float,
        tasks: Sequence[Task] | None = None,
    ) -> None:
        """May be called at any time, and does nothing where nothing is to be done."""
        service = self._state.services.get(arn)
        if service is None or service["status"] == "INACTIVE":
            return
        if tasks is None:
            tasks = tasks_of(service, self._state.tasks.all())
        if service["status"] == "DRAINING":
            after = self._drain(service, tasks)
        elif service.get("_controller") == "EXTERNAL":
            after = self._keep_task_sets(service, tasks, now)
        else:
            after = self._count_failures(service, tasks, now)
            live = [task for task in tasks if is_live(task)]
            if course_of(self._state, after) is None:
                after = self._roll(after, live, now)
            else:
                after = self._keep_sides(after, live, now)
        after = self._with_events_of(service, after)
        if after != service:
            self._state.services.put(arn, after)

    def _with_events_of(self, before: Service, after: Service) -> Service:
        """Events of tasks may have been told meanwhile by the very stops that were asked for."""
        told = self._state.services[before["serviceArn"]]["events"]
        if told is before["events"]:
            return after
        known: list[Event] = [*before["events"], *after["events"]]
        fresh = [event for event in told if event not in known]
        return {
            **after,
            "events": [*fresh, *after["events"]],
        }

    def _drain(self, service: Service, tasks: Sequence[Task]) -> Service:
        """Ask every task of a deleted service to stop; INACTIVE once the last one is on its way
        out."""
        reason = f"Scaling activity initiated by (service {service['serviceName']})"
        for task in tasks:
            if is_live(task):
                self._tasks.stop(task["id"], _SCHEDULER, reason)
        if not all(task["lastStatus"] in ENDING for task in tasks):
            return service
        return deleted(self._state, service)

    def _roll(
        self,
        service: Service,
        live: Sequence[Task],
        now: float,
    ) -> Service:
        """One look at an ACTIVE service.

        First what is too many goes, then former and sick tasks are exchanged, then it is seen
        whether the deployment is complete: in this order, so that a task that was just asked to
        stop is counted no more.
        """
        service, crew = self._keep(service, live, now)
        if crew.is_whole(service["desiredCount"]):
            service = self._complete(service, now)
        return service

    def _keep(
        self,
        service: Service,
        live: Sequence[Task],
        now: float,
    ) -> tuple[Service, Crew]:
        """The wanted number of the newest deployment's tasks, well ones."""
        healthy = [task["id"] for task in live if self.healthy(task, now)]
        reasons = {task["id"]: self.unhealthy_reason(service, task, now) for task in live}
        crew = crew_of(service, live, healthy, reasons)
        too_many = surplus(service, crew, now)
        for task in too_many:
            self._tasks.stop(task["id"], _SCHEDULER, _scaling(service))
        if too_many:
            service = with_event(service, _has_stopped(too_many), now)
        crew = crew.without(too_many)
        if service["deployments"][0]["rolloutState"] != "FAILED":
            service = self._exchange(service, crew, now)
        return self._first_healthy(service, crew, now), crew

    # --- task sets

    def _keep_task_sets(
        self,
        service: Service,
        tasks: Sequence[Task],
        now: float,
    ) -> Service:
        """Each by itself, as if it were the service's only deployment; a deleted one goes with its
        last task."""
        for row in self._state.task_sets.all():
            if row["serviceArn"] != service["serviceArn"] or "_entry" not in row:
                continue
            own = [task for task in tasks if task["startedBy"] == row["id"]]
            live = [task for task in own if is_live(task)]
            if row["status"] == "DRAINING":
                as_set = self._let_go(alone(service, row), live, now)
                if not live:
                    drop_task_set(self._state, row)
            else:
                as_set = self._count_failures(alone(service, row), own, now)
                as_set, _ = self._keep(as_set, live, now)
                self._save_task_set(row, as_set["deployments"][0])
            service = {**service, "events": as_set["events"]}
        return service

    def _save_task_set(self, row: TaskSet, entry: Deployment) -> None:
        """What is remembered of its starts."""
        if entry != row["_entry"]:
            changed: TaskSet = {**row, "_entry": entry}
            self._state.task_sets.put(row["taskSetArn"], changed)

    # --- two sides at once

    def _keep_sides(
        self,
        service: Service,
        live: Sequence[Task],
        now: float,
    ) -> Service:
        """Each revision by itself, as if it were the service's only one: those that the course
        keeps have the wanted number, the others' tasks go."""
        kept_now = kept_entries(self._state, service)
        for entry in service["deployments"]:
            own = [task for task in live if task["startedBy"] == entry["id"]]
            if entry not in kept_now:
                service = self._let_go(service, own, now)
                continue
            alone: Service = {**service, "deployments": [entry]}
            after, _ = self._keep(alone, own, now)
            kept = after["deployments"][0]
            entries = [kept if each is entry else each for each in service["deployments"]]
            service = {**after, "deployments": entries}
        return service

    def _let_go(
        self,
        service: Service,
        tasks: Sequence[Task],
        now: float,
    ) -> Service:
        """Ask these to stop, but for those that are protected."""
        leave = [task for task in tasks if not protected(task, now)]
        for task in leave:
            self._tasks.stop(task["id"], _SCHEDULER, _scaling(service))
        return with_event(service, _has_stopped(leave), now) if leave else service

    def is_whole(self, service: Service, entry: Deployment, tasks: Sequence[Task]) -> bool:
        """Are the wanted tasks of this deployment there, all of them healthy?"""
        now = self._clock()
        own = [task for task in tasks if task["startedBy"] == entry["id"] and is_live(task)]
        reasons = {task["id"]: self.unhealthy_reason(service, task, now) for task in own}
        healthy = [task["id"] for task in own if self.healthy(task, now)]
        crew = crew_of({**service, "deployments": [entry]}, own, healthy, reasons)
        return crew.is_whole(service["desiredCount"])

    # --- exchanging tasks

    def _exchange(
        self,
        service: Service,
        crew: Crew,
        now: float,
    ) -> Service:
        """Stop and start what the arithmetic says, as fast as it may be."""
        tick = tick_of(service, crew)
        leave = going(service, crew, tick, now)
        service = self._stop(service, crew, leave, now)
        not_before = service["deployments"][0]["_notBefore"]
        if tick.start and now >= not_before:
            return self._start(service, tick.start, crew, now)
        if tick.start:
            self._agenda.at(service["serviceArn"], not_before)
        elif crew.leaving and not leave and _is_stuck(service):
            service = with_event(service, _STUCK, now)
        return service

    def _stop(
        self,
        service: Service,
        crew: Crew,
        leave: Sequence[Task],
        now: float,
    ) -> Service:
        """Ask these tasks to stop.

        What failed its checks is marked before (``_unwell``), so that its end counts for the
        circuit breaker also after a crash.
        """
        for task in leave:
            reason = crew.reasons[task["id"]]
            if reason:
                row = self._state.tasks[task["id"]]
                self._state.tasks.put(
                    task["id"],
                    {
                        **row,
                        "_unwell": True,
                    },
                )
            self._tasks.stop(task["id"], _SCHEDULER, reason or _scaling(service))
            if reason and task["_bindings"]:
                service = with_event(service, _is_unhealthy(task), now)
        if leave:
            service = with_event(service, _has_stopped(leave), now)
        return service

    def _start(
        self,
        service: Service,
        count: int,
        crew: Crew,
        now: float,
    ) -> Service:
        """Start up to ``count`` tasks of the newest deployment, each on the capacity provider that
        is furthest below its share."""
        allowed = self._allowed(service["serviceArn"], count, now)
        if allowed <= 0:
            return service
        entry = service["deployments"][0]
        strategy = entry.get("capacityProviderStrategy", [])
        placed = Counter(map(provider_of, crew.arriving))
        started = []
        for _ in range(allowed):
            own = {name: placed[name] for name in (item["capacityProvider"] for item in strategy)}
            provider = next_provider(strategy, own)
            placed[provider] += 1
            task = self._start_task(service, entry, provider)
            if task is None:
                self._agenda.at(service["serviceArn"], now + SWEEP_S)
                service = with_event(service, _NO_INSTANCE, now)
                break
            started.append(task)
        self._started[service["serviceArn"]] += [now] * len(started)
        if not started:
            return service
        return with_event(service, f"has started {len(started)} tasks: {_listed(started)}.", now)

    def _allowed(
        self,
        arn: str,
        count: int,
        now: float,
    ) -> int:
        """How many of these may start now; the rest is looked at again in a second."""
        recent = self._started[arn] = [at for at in self._started[arn] if now - at < 1]
        allowed = min(count, STARTS_PER_SECOND - len(recent))
        room = self._room()
        if room is not None:
            allowed = min(allowed, room)
        if allowed < count:
            self._agenda.at(arn, min(recent, default=now) + 1)
        return allowed

    # --- how a deployment goes

    def _first_healthy(
        self,
        service: Service,
        crew: Crew,
        now: float,
    ) -> Service:
        """Where tasks of the newest deployment became healthy, the breaker counts anew, and starts
        are delayed no more."""
        fresh = [
            task for task in crew.arriving if crew.is_healthy(task) and not task.get("_wasHealthy")
        ]
        if not fresh:
            return service
        for task in fresh:
            row = self._state.tasks[task["id"]]
            self._state.tasks.put(
                task["id"],
                {
                    **row,
                    "_wasHealthy": True,
                },
            )
        entry = service["deployments"][0]
        resets = service["deploymentCircuitBreaker"].get("resetOnHealthyTask", True)
        counted = 0 if resets else entry["_counted"]
        if entry["_inARow"] == 0 and entry["_counted"] == counted:
            return service
        return _with_newest(
            service,
            {
                **entry,
                "_inARow": 0,
                "_counted": counted,
                "updatedAt": now,
            },
        )

    def _complete(self, service: Service, now: float) -> Service:
        """The newest deployment has all its tasks, healthy, and alone: it is COMPLETED, it is what
        a later roll-back goes back to, and former entries go.  A deployment that had FAILED never
        becomes good this way."""
        entry = service["deployments"][0]
        if entry["rolloutState"] == "IN_PROGRESS" and self._is_watched(service, entry, now):
            return service
        if entry["rolloutState"] == "IN_PROGRESS":
            entry = {
                **entry,
                "rolloutState": "COMPLETED",
                "rolloutStateReason": f"ECS deployment {entry['id']} completed.",
                "updatedAt": now,
            }
            back = self._is_going_back(entry)
            status = "ROLLBACK_SUCCESSFUL" if back else "SUCCESSFUL"
            finish(self._state, entry["_serviceDeployment"], status)
        if entry["rolloutState"] == "COMPLETED" and service.get("_lastGood") != entry["_revision"]:
            service = {
                **service,
                "_lastGood": entry["_revision"],
            }
        if service["deployments"] != [entry]:
            service = {
                **service,
                "deployments": [entry],
            }
        return with_event(service, STEADY, now)

    def _is_going_back(self, entry: Deployment) -> bool:
        """Does this entry belong to a roll-back?"""
        deployment = self._state.service_deployments.get(entry["_serviceDeployment"])
        return deployment is not None and deployment["status"].startswith("ROLLBACK")

    def _is_watched(self, service: Service, entry: Deployment, now: float) -> bool:
        """Are its alarms still to be waited for?  The time begins when its last task is well."""
        arn = entry["_serviceDeployment"]
        deployment = self._state.service_deployments.get(arn)
        watch = deployment.get("_watch") if deployment is not None else None
        if deployment is None or watch is None or deployment["status"] != "IN_PROGRESS":
            return False
        if watch["status"] == "MONITORING" and "until" not in watch:
            until = now + watch["bake_s"]
            told: Watch = {**watch, "until": until}
            changed: ServiceDeployment = {**deployment, "_watch": told}
            self._state.service_deployments.put(arn, changed)
            watch = told
        if now < watch.get("until", 0.0):
            self._agenda.at(service["serviceArn"], watch["until"])
        return watch["status"] == "" or now < watch.get("until", 0.0)

    # --- failures

    def _count_failures(
        self,
        service: Service,
        tasks: Sequence[Task],
        now: float,
    ) -> Service:
        """Tasks of the newest deployment that ended before they were ever healthy delay the next
        start; those that never ran, or failed their checks, are the circuit breaker's too."""
        entry = service["deployments"][0]
        ended = [
            task
            for task in tasks
            if task["startedBy"] == entry["id"] and not task.get("_counted") and _ended_badly(task)
        ]
        if not ended:
            return service
        for task in ended:
            row = self._state.tasks[task["id"]]
            self._state.tasks.put(
                task["id"],
                {
                    **row,
                    "_counted": True,
                },
            )
        failed = sum(map(failed_to_serve, ended))
        in_a_row = entry["_inARow"] + len(ended)
        counted: Deployment = {
            **entry,
            "failedTasks": entry["failedTasks"] + failed,
            "_counted": entry["_counted"] + failed,
            "_inARow": in_a_row,
            "_notBefore": now + retry_delay_s(in_a_row),
            "updatedAt": now,
        }
        service = _with_newest(service, counted)
        if in_a_row >= _UNSTEADY:
            text = "is unable to consistently start tasks successfully."
            service = with_event(service, text, now)
        return self._fail(service) if _trips(service) else service

    def _fail(self, service: Service) -> Service:
        """The newest deployment has failed: no new task of it, and back to the last completed
        revision if that is wanted."""
        entry = service["deployments"][0]
        arn = entry["_serviceDeployment"]
        with self._state.together():
            if (deployment := self._state.service_deployments.get(arn)) is not None:
                self._state.service_deployments.put(
                    arn,
                    {
                        **deployment,
                        "_failures": entry["_counted"],
                    },
                )
            goes_back = service["deploymentCircuitBreaker"]["rollback"]
            return stop(self._state, service, _BREAKER, goes_back)


def _is_checked(task: Task) -> bool:
    """Has an essential container of it a health check?"""
    return any(each["_checked"] for each in task["containers"] if each["essential"])


def _with_newest(service: Service, entry: Deployment) -> Service:
    """The service with another entry in the place of its newest deployment."""
    return {
        **service,
        "deployments": [entry, *service["deployments"][1:]],
    }


def _scaling(service: Service) -> str:
    """The ``stoppedReason`` that AWS gives for a task that a deployment makes superfluous."""
    return f"Scaling activity initiated by (deployment {service['deployments'][0]['id']})"


def _is_stuck(service: Service) -> bool:
    """Can these percentages never exchange a task?"""
    return stuck(
        service["desiredCount"], service["minimumHealthyPercent"], service["maximumPercent"]
    )


def _listed(tasks: Sequence[Task]) -> str:
    """As AWS lists tasks in events."""
    return " ".join(f"(task {task['id']})" for task in tasks)


def _has_stopped(tasks: Sequence[Task]) -> str:
    """The event that AWS writes for tasks that were asked to stop."""
    return f"has stopped {len(tasks)} running tasks: {_listed(tasks)}."


def _is_unhealthy(task: Task) -> str:
    """The event that AWS writes for a task that its load balancer finds unhealthy."""
    binding = task["_bindings"][0]
    return (
        f"(task {task['id']}) (port {binding['containerPort']}) is unhealthy in (target-group "
        f"{binding['targetGroupArn']}) due to (reason Health checks failed)."
    )


def _trips(service: Service) -> bool:
    """Have enough tasks of an unfinished deployment failed for the circuit breaker?"""
    breaker = service["deploymentCircuitBreaker"]
    entry = service["deployments"][0]
    if entry["rolloutState"] != "IN_PROGRESS" or not breaker["enable"]:
        return False
    configuration = breaker.get("thresholdConfiguration")
    return entry["_counted"] >= breaker_threshold(service["desiredCount"], configuration)


def _ended_badly(task: Task) -> bool:
    """Did it never run, fail its checks, or exit by itself before it was ever healthy?"""
    if failed_to_serve(task):
        return True
    exited = task["stopCode"] == "EssentialContainerExited" and task["desiredStatus"] == "STOPPED"
    return exited and not task.get("_wasHealthy")


def failed_to_serve(task: Task) -> bool:
    """Did it never run, was it stopped because it failed its checks, or did it exit before a check
    of it was ever passed?

    The last counts since December 2021, where there are checks (containers-roadmap #1206); whether
    RUNNING was seen before the exit does not matter, so that no slow machine changes the outcome.
    """
    if task["desiredStatus"] != "STOPPED":
        return False
    if task["stopCode"] == "TaskFailedToStart" or task.get("_unwell", False):
        return True
    is_checked = _is_checked(task) or bool(task["_bindings"])
    exited = task["stopCode"] == "EssentialContainerExited"
    return exited and is_checked and not task.get("_wasHealthy")
