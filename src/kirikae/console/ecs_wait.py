"""``kirikae ecs wait --wait-until codedeploy:EVENT``: until CodeDeploy has come so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kirikae.aws import codedeploy as api
from kirikae.console.ecs import ended, staged
from kirikae.console.ecs_desk import EcsDesk
from kirikae.console.here import Answer
from kirikae.console.progress import Progress
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.release import codedeploy_group
from kirikae.release.ending import Ending
from kirikae.release.errors import NotFinished, RolledBack

_POLL_S = 2.0
_DONE = "Succeeded"
_OVER = ("Failed", "Stopped")


def event_waited(
    desk: EcsDesk,
    event: str,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Of the deployment that goes on now.  Raises KirikaeError where none does."""
    identity = _going_on(desk)
    deadline = clock() + timeout_s
    progress = Progress()
    while True:
        try:
            events = api.lifecycle_events(desk.aws, identity)
            info = api.deployment(desk.aws, identity)
            if _has_come(events, info, event):
                return staged(desk, event)
            _assert_goes_on(desk, info)
            progress.step(", ".join(f"{name} {status}" for name, status in events.items()))
        except AwsUnreachable:
            pass  # says nothing about the deployment
        except (NotFinished, RolledBack) as error:
            return ended(error, desk.config.service)
        if clock() > deadline:
            late = f"after {timeout_s:.0f} s {identity} has not come to {event}, and goes on"
            return ended(NotFinished(late, ending=Ending.TIMED_OUT), desk.config.service)
        sleep(_POLL_S)


def _going_on(desk: EcsDesk) -> str:
    config = desk.config
    named = codedeploy_group.named_in(config.plain.get("codedeploy") or {})
    group = codedeploy_group.found(desk.aws, config.cluster, config.service, named)
    rows = api.going_on(desk.aws, group.pair)
    if not rows:
        raise KirikaeError(
            f"no deployment of {group.name} in CodeDeploy goes on: there is nothing to wait for"
        )
    return str(rows[0]["deploymentId"])


def _has_come(events: dict[str, str], info: dict[str, Any], event: str) -> bool:
    """An event that was skipped counts once all is done: a failure skips what comes after it."""
    return events.get(event) == _DONE or info["status"] == _DONE


def _assert_goes_on(desk: EcsDesk, info: dict[str, Any]) -> None:
    """Raises NotFinished, RolledBack."""
    name = info["deploymentId"]
    status = info["status"]
    if status == "Ready":
        raise NotFinished(
            f"{name} waits for somebody: `aws deploy continue-deployment --deployment-id {name} "
            "--deployment-wait-type READY_WAIT`, or stop it",
            ending=Ending.PAUSED,
        )
    if status in _OVER:
        _failed(desk, info)


def _failed(desk: EcsDesk, info: dict[str, Any]) -> None:
    """Nothing is raised while another deployment still takes it back."""
    error = info.get("errorInformation") or {}
    why = f"{error.get('code', info['status'])}: {error.get('message', 'AWS says not why')}"
    name = info["deploymentId"]
    back = (info.get("rollbackInfo") or {}).get("rollbackDeploymentId")
    went_back = api.deployment(desk.aws, str(back))["status"] if back else "Failed"
    if went_back == _DONE:
        raise RolledBack(
            f"{name} failed ({why}); {back} put back what served before",
            ending=Ending.ROLLED_BACK,
        )
    if went_back not in _OVER:
        return
    raise NotFinished(f"{name} has ended ({why}); look at what serves", ending=Ending.STOPPED)
