"""What a fault does and what undoes it, as data: one act is a name and its arguments.

As data it can be shown before (``--dry-run``), written down before it is done, and done by another
process after the one that began it was killed.  Every act may be repeated.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kirikae.aws import ecs, elbv2, trouble
from kirikae.aws.session import Aws
from kirikae.drill import agent
from kirikae.drill.errors import CannotBeDone
from kirikae.model.errors import KirikaeError

_AGAIN_AFTER_S = (0.5, 1.0, 2.0)
MARK = "kirikae.drill"
"""Label of containers in task definitions that a drill registered."""


class Engine(Protocol):
    """The container engine of this machine; raises KirikaeError where it refuses."""

    def act(self, *words: str) -> str:
        """Run it with these words; what it wrote."""
        ...

    def has_container(self, name: str) -> bool:
        """Is it one of this machine?"""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """Where acts are carried out.  ``interrupt_spot``: takes one Spot task away as AWS does; only
    kirikae local can be asked for that."""

    aws: Aws
    engine: Engine
    interrupt_spot: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """``name``: one of ``ACTS``."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {"act": self.name, **self.arguments}

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Act:
        """Raises KeyError."""
        return cls(str(raw["act"]), {key: raw[key] for key in raw if key != "act"})

    def __str__(self) -> str:
        return " ".join((self.name, *map(_shown, self.arguments.items())))


def _shown(argument: tuple[str, Any]) -> str:
    key, value = argument
    return " ".join(value) if isinstance(value, list) else f"{key}={value}"


def carry_out(ground: Ground, act: Act) -> None:
    """Raises KirikaeError."""
    ACTS[act.name](ground, **act.arguments)


def _stop_task(
    ground: Ground,
    cluster: str,
    task: str,
) -> None:
    """SIGTERM, and SIGKILL after the container's stopTimeout."""
    trouble.stop_task(
        ground.aws,
        cluster,
        task,
        "kirikae drill",
    )


def _interrupt_spot(ground: Ground, task: str) -> None:
    if ground.interrupt_spot is None or not ground.interrupt_spot(task):
        raise CannotBeDone(
            f"{task} is not the oldest Spot task of kirikae local; AWS has no call that takes "
            "Fargate Spot capacity away: `kirikae drill fault kill-task` stops a task as politely"
        )


def _set_service(
    ground: Ground,
    cluster: str,
    service: str,
    changes: Mapping[str, Any],
    only_if: Mapping[str, Any] | None = None,
) -> None:
    """``only_if``: what the service must say now, or somebody else has changed it meanwhile, and it
    is left as it is."""
    if only_if is not None:
        found = ecs.service(ground.aws, cluster, service) or {}
        if any(found.get(key) != value for key, value in only_if.items()):
            return
    ecs.update_service(
        ground.aws,
        cluster,
        service,
        dict(changes),
    )


def _release_bad(
    ground: Ground,
    cluster: str,
    service: str,
    definition: str,
    container: str,
    mark: str,
) -> None:
    """A revision of the same family whose main container ends at once."""
    bad = trouble.copied_definition(ecs.task_definition(ground.aws, definition))
    for each in bad["containerDefinitions"]:
        if each["name"] == container:
            each["entryPoint"] = ["/kirikae-drill-bad-release"]
            each["command"] = []
            each["dockerLabels"] = {**each.get("dockerLabels", {}), MARK: mark}
    made = ecs.register_task_definition(ground.aws, bad)
    ecs.update_service(
        ground.aws,
        cluster,
        service,
        {"taskDefinition": made},
    )


def _take_back(
    ground: Ground,
    cluster: str,
    service: str,
    definition: str,
    mark: str,
) -> None:
    """To the former revision, unless another one than the bad one was released meanwhile; what this
    drill registered is deregistered."""
    found = ecs.service(ground.aws, cluster, service)
    if found is not None and trouble.is_marked(
        ecs.task_definition(ground.aws, found["taskDefinition"]), MARK, mark
    ):
        ecs.update_service(
            ground.aws,
            cluster,
            service,
            {"taskDefinition": definition},
        )
    trouble.deregister_marked(
        ground.aws,
        definition.rpartition("/")[2].partition(":")[0],
        MARK,
        mark,
    )


def _deregister(
    ground: Ground,
    group: str,
    target: str,
    port: int,
) -> None:
    elbv2.deregister(ground.aws, group, [(target, port)])


def _register(
    ground: Ground,
    cluster: str,
    task: str,
    group: str,
    target: str,
    port: int,
) -> None:
    """Only while its task runs: else its address may be another one's by now."""
    if trouble.is_running(ground.aws, cluster, task):
        elbv2.register(ground.aws, group, [(target, port)])


def _engine(ground: Ground, words: list[str]) -> None:
    """An engine that is busy may fail to freeze a container at the first time."""
    for pause_s in _AGAIN_AFTER_S:
        try:
            ground.engine.act(*words)
            return
        except KirikaeError:
            time.sleep(pause_s)
    ground.engine.act(*words)


def _engine_undo(
    ground: Ground,
    container: str,
    words: list[str],
) -> None:
    """A container that is gone needs no undoing; one that is as wanted refuses."""
    if not ground.engine.has_container(container):
        return
    state = ground.engine.act(
        "inspect",
        "-f",
        "{{.State.Status}}",
        container,
    )
    if words[0] == "unpause" and state != "paused":
        return
    ground.engine.act(*words)


def _hog(
    ground: Ground,
    container: str,
    mark: str,
    loops: int,
    seconds: int,
) -> None:
    """So many endless loops in the container; each ends by itself after a time."""
    loop = (
        f": {mark}; end=$(($(cut -d. -f1 /proc/uptime)+{seconds})); "
        "while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do "
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done"
    )
    for _ in range(loops):
        ground.engine.act(
            "exec",
            "-d",
            container,
            "sh",
            "-c",
            loop,
        )


def _end_hog(
    ground: Ground,
    container: str,
    mark: str,
) -> None:
    """By the mark in its command line; the processes are the container's own."""
    if not ground.engine.has_container(container):
        return
    kill = (
        "for each in /proc/[0-9]*; do "
        f"case $(tr '\\0' ' ' <$each/cmdline 2>/dev/null) in *': {mark};'*) "
        "[ ${each#/proc/} = $$ ] || kill -9 ${each#/proc/};; esac; done; true"
    )
    ground.engine.act(
        "exec",
        container,
        "sh",
        "-c",
        kill,
    )


def _net(
    ground: Ground,
    uri: str,
    kind: str,
    verb: str,
    body: Mapping[str, Any],
) -> None:
    agent.ask(
        uri,
        kind,
        verb,
        body,
    )


def _kill_process(
    ground: Ground,
    pid: int,
    started: str,
) -> None:
    """Only the process that was meant: IDs are used again."""
    if agent.started(pid) != started:
        raise CannotBeDone(f"process {pid} is no longer the driver; look at `kirikae move status`")
    os.kill(pid, signal.SIGKILL)


def _fail_over(ground: Ground, cluster: str) -> None:
    trouble.fail_over(ground.aws, cluster)


def _reboot(ground: Ground, instance: str) -> None:
    trouble.reboot(ground.aws, instance)


def _start_fis(
    ground: Ground,
    template: str,
    token: str,
) -> None:
    """The token makes it one experiment, however often it is asked for."""
    trouble.start_fis(
        ground.aws,
        template,
        token,
    )


def _stop_fis(
    ground: Ground,
    template: str,
    token: str,
) -> None:
    """What the token began; an experiment that is over stays so."""
    trouble.stop_fis(
        ground.aws,
        template,
        token,
    )


ACTS: Mapping[str, Callable[..., None]] = {
    "stop_task": _stop_task,
    "interrupt_spot": _interrupt_spot,
    "set_service": _set_service,
    "release_bad": _release_bad,
    "take_back": _take_back,
    "deregister": _deregister,
    "register": _register,
    "engine": _engine,
    "engine_undo": _engine_undo,
    "hog": _hog,
    "end_hog": _end_hog,
    "net": _net,
    "kill_process": _kill_process,
    "fail_over": _fail_over,
    "reboot": _reboot,
    "start_fis": _start_fis,
    "stop_fis": _stop_fis,
}
