"""Experiments of the Chaos Toolkit, as far as they can be carried out; the rest is refused with its
file and line, never skipped.

Source: chaostoolkit.org, "The Chaos Engineering Experiment" (the format), and the actions of its
AWS extension by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kirikae.drill.errors import ExperimentProblem, TargetsProblem
from kirikae.drill.targets import Target, target
from kirikae.model.texts import shortened

_BLANK = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_WINDOWS: Mapping[str, tuple[str, ...]] = {
    "default": ("@before", "@after"),
    "before-method-only": ("@before",),
    "after-method-only": ("@after",),
    "during-method-only": ("@during",),
    "continuously": ("",),
}
_WHOLE = (
    "chaosaws.ecs.probes.are_all_desired_tasks_running",
    "chaosaws.ecs.probes.service_is_deploying",
)
_UNDONE_ANYWAY = (
    "chaosaws.elbv2.actions.register_target",
    "chaosaws.fis.actions.stop_experiment",
)
"""Rollbacks of what the fault's own undoing takes back always."""
_MOST_BYTES = 1_000_000
_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Chaos:
    """What of the file is carried out.  ``options``: as those of ``drill fault``.  ``lasts_s``: the
    pause after the action."""

    title: str
    fault: str
    options: Mapping[str, str]
    targets: tuple[Target, ...]
    limits: tuple[str, ...]
    lasts_s: float | None
    watches_whole: bool


@dataclass(frozen=True, slots=True)
class _Action:
    """An action of the AWS extension: which fault it is, and how its arguments are called here.
    Arguments that are in no table are refused."""

    fault: str
    arguments: Mapping[str, str]


def _action(fault: str, **arguments: str) -> _Action:
    return _Action(fault, arguments)


_ACTIONS: Mapping[str, _Action] = {
    "chaosaws.ecs.actions.stop_task": _action(
        "kill-task",
        cluster="cluster",
        service="service",
        task_id="task",
        reason="",
    ),
    "chaosaws.ecs.actions.stop_random_tasks": _action(
        "kill-task",
        cluster="cluster",
        service="service",
        task_count="count",
        reason="",
    ),
    "chaosaws.rds.actions.failover_db_cluster": _action(
        "db-failover",
        db_cluster_identifier="cluster:",
    ),
    "chaosaws.rds.actions.reboot_db_instance": _action(
        "db-failover",
        db_instance_identifier="instance:",
    ),
    "chaosaws.elbv2.actions.deregister_target": _action("drain-target", tg_name="group"),
    "chaosaws.fis.actions.start_experiment": _action(
        "fis",
        experiment_template_id="template",
        experimentTemplateId="template",
    ),
}


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Chaos:
    """JSON or YAML.  Raises ExperimentProblem."""
    try:
        text = path.read_bytes()[: _MOST_BYTES + 1].decode("utf-8")
        raw = YAML().load(text)
    except (OSError, UnicodeDecodeError, YAMLError, RecursionError) as error:
        told = str(error).splitlines()[0]
        raise ExperimentProblem(f"{path}: cannot be read: {told}") from error
    if len(text) > _MOST_BYTES or not isinstance(raw, dict):
        raise ExperimentProblem(f"{path}: is no experiment of the Chaos Toolkit")
    return _Reader(path, raw, environment).read()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Knows the file and the lines of what stands in it."""

    path: Path
    raw: Any
    environment: Mapping[str, str]

    def read(self) -> Chaos:
        for key in ("method", "steady-state-hypothesis"):
            if not self.raw.get(key):
                raise ExperimentProblem(f"{self.path}: has no {key}; nothing could be judged")
        fault, options, lasts = self._method()
        targets, limits, whole = self._hypothesis()
        for rollback in self._objects(self.raw, "rollbacks"):
            self._rollback(rollback)
        return Chaos(
            title=str(self.raw.get("title", self.path.name)),
            fault=fault,
            options=options,
            targets=targets,
            limits=limits,
            lasts_s=lasts,
            watches_whole=whole,
        )

    def _fail(self, node: Any, why: str) -> ExperimentProblem:
        """``node``: what stands on the line."""
        line = getattr(getattr(node, "lc", None), "line", None)
        where = f"{self.path}:{line + 1}" if line is not None else str(self.path)
        return ExperimentProblem(f"{where}: {why}")

    def _object(self, node: Any, key: str) -> Mapping[str, Any]:
        """What stands there as keys and values; empty where nothing does."""
        found = node.get(key)
        if found is not None and not isinstance(found, dict):
            raise self._fail(node, f"{key} has keys and values, not {shortened(found)}")
        return found or {}

    def _objects(self, node: Any, key: str) -> Sequence[Any]:
        """A list of such."""
        found = node.get(key)
        if found is not None and not isinstance(found, list):
            raise self._fail(node, f"{key} is a list, not {shortened(found)}")
        for each in found or ():
            if not isinstance(each, dict):
                raise self._fail(node, f"{key}: {shortened(each)} has no keys")
        return found or ()

    def _method(self) -> tuple[str, dict[str, str], float | None]:
        activities = self._objects(self.raw, "method")
        actions = [each for each in activities if each.get("type") == "action"]
        for each in activities:
            if each.get("type") != "action":
                raise self._fail(
                    each,
                    "probes in the method are not supported; put it into the hypothesis, which is "
                    "judged all the time",
                )
        for more in actions[1:]:
            raise self._fail(more, "one fault at a time; put this action into a file of its own")
        fault, options = self._fault(actions[0])
        pauses = self._object(actions[0], "pauses")
        if pauses.get("before"):
            raise self._fail(actions[0], "pauses.before is not supported; say --before")
        return fault, options, self._pause(actions[0], pauses.get("after"))

    def _pause(self, action: Any, after: Any) -> float | None:
        """Seconds; None: it says nothing."""
        if after is None:
            return None
        try:
            found = float(self._filled(after, action))
        except ValueError:
            found = -1.0
        if not 0 <= found <= _LONGEST_S:
            raise self._fail(action, f"pauses.after {shortened(after)} is no number of seconds")
        return found

    def _fault(self, action: Any) -> tuple[str, dict[str, str]]:
        name = self._function(action)
        known = _ACTIONS.get(name)
        if known is None:
            raise self._fail(
                action,
                f"{name} is not supported; supported are {', '.join(sorted(_ACTIONS))}",
            )
        options: dict[str, str] = {}
        for key, value in self._arguments(action).items():
            if key not in known.arguments:
                raise self._fail(action, f"{name}: the argument {key} is not supported")
            option = known.arguments[key]
            if option.endswith(":"):
                options["database"] = option + value
            elif option:
                options[option] = value
        return known.fault, options

    def _function(self, activity: Any) -> str:
        """``module.func`` of the python provider."""
        provider = self._object(activity, "provider")
        kind = provider.get("type")
        if kind != "python":
            raise self._fail(
                activity,
                f"the provider {kind!r} is not supported here; actions are those of chaosaws "
                "(python), probes also http",
            )
        return f"{provider.get('module')}.{provider.get('func')}"

    def _arguments(self, activity: Any) -> dict[str, str]:
        found = self._object(self._object(activity, "provider"), "arguments")
        return {str(key): self._filled(value, activity) for key, value in found.items()}

    def _filled(self, value: Any, node: Any) -> str:
        """``${name}`` is what the configuration says."""
        return _BLANK.sub(lambda match: self._configured(match[1], node), str(value))

    def _configured(self, name: str, node: Any) -> str:
        known = self._object(self.raw, "configuration").get(name)
        if isinstance(known, dict) and known.get("type") == "env":
            found = self.environment.get(str(known.get("key")), known.get("default"))
            if found is None:
                raise self._fail(node, f"${{{name}}}: {known.get('key')} is not set")
            return str(found)
        if known is None or isinstance(known, dict):
            raise self._fail(node, f"${{{name}}} is not in the configuration")
        return str(known)

    def _hypothesis(self) -> tuple[tuple[Target, ...], tuple[str, ...], bool]:
        hypothesis = self._object(self.raw, "steady-state-hypothesis")
        probes = self._objects(hypothesis, "probes")
        asked = [self._asked(each) for each in probes if self._is_http(each)]
        rest = [each for each in probes if not self._is_http(each)]
        for each in rest:
            name = self._function(each)
            if name not in _WHOLE:
                raise self._fail(
                    each,
                    f"{name} is not supported; supported are http and {', '.join(_WHOLE)}",
                )
        strategy = str(hypothesis.get("strategy") or "default")
        if strategy not in _WINDOWS:
            raise self._fail(hypothesis, f"the strategy {shortened(strategy)} is not supported")
        limits = tuple(f"errors{window}==0" for window in _WINDOWS[strategy])
        return tuple(asked), limits, bool(rest)

    def _is_http(self, probe: Any) -> bool:
        return self._object(probe, "provider").get("type") == "http"

    def _asked(self, probe: Any) -> Target:
        provider = probe["provider"]
        for key in provider:
            if key not in ("type", "url", "method", "headers", "timeout"):
                raise self._fail(probe, f"http: {key} is not supported")
        headers = tuple(
            (str(name), self._filled(value, probe))
            for name, value in self._object(provider, "headers").items()
        )
        try:
            found = target(
                str(provider.get("method", "GET")),
                self._filled(provider.get("url"), probe),
                f"{self.path}:{probe.lc.line + 1}",
                headers,
            )
        except TargetsProblem as error:
            raise ExperimentProblem(str(error)) from error
        return replace(found, expected=frozenset(self._statuses(probe)))

    def _statuses(self, probe: Any) -> Iterator[int]:
        """A number or a list of them: which status is right."""
        tolerance = probe.get("tolerance")
        numbers: Sequence[Any] = tolerance if isinstance(tolerance, list) else (tolerance,)
        for each in numbers:
            if isinstance(each, bool) or not isinstance(each, int) or not 100 <= each <= 599:
                raise self._fail(
                    probe,
                    f"the tolerance {shortened(tolerance)} is not supported; it is a status code, "
                    "or a list of them",
                )
            yield each

    def _rollback(self, rollback: Any) -> None:
        name = self._function(rollback)
        if name not in _UNDONE_ANYWAY:
            raise self._fail(
                rollback,
                f"the rollback {name} is not supported; what a fault did is undone always, and "
                "nothing else",
            )
