"""One form for definitions that mean the same: lists whose order means nothing are sorted, what ECS
fills in is filled in, and each such change is noted with its reason.

The rules are ecspresso's, and where it still prints noise, AWS's own defaults (Amazon ECS API
reference: CreateService, RegisterTaskDefinition and their data types).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kirikae.aws import fitting
from kirikae.model.said import Said, said
from kirikae.release.ecs.gojson import ANY, ZEROS, without_empty

Plain = dict[str, Any]


class Why(StrEnum):
    """Why a place of a definition is not a difference, or what kind of one it is."""

    DEFAULT = "default"
    SORTED = "sorted"
    IGNORED = "ignored"
    MANAGED = "managed by ECS"
    SAME = "the same in other words"
    CHANGED = "changed"
    ADDED = "only in the file"
    REMOVED = "only in what runs"
    FIXED = "cannot be changed"

    @property
    def says(self) -> Said:
        return said(f"release.why.{self.name.lower()}")


@dataclass(
    frozen=True,
    slots=True,
    order=True,
)
class Note:
    """A place that was brought into the one form."""

    place: str
    why: Why
    value: str = ""


@dataclass
class Form:
    """A definition on its way into the one form."""

    plain: Plain
    notes: set[Note] = field(default_factory=set)

    def note(
        self,
        place: str,
        why: Why,
        value: Any = None,
    ) -> None:
        self.notes.add(
            Note(
                place,
                why,
                "" if value is None else json.dumps(value),
            )
        )

    def fill(
        self,
        inside: Plain,
        at: str,
        values: Mapping[str, Any],
    ) -> None:
        """What is not given has a default."""
        for key, value in values.items():
            if inside.get(key) is None:
                inside[key] = deepcopy(value)
                self.note(
                    f"{at}.{key}" if at else key,
                    Why.DEFAULT,
                    value,
                )

    def sort(
        self,
        inside: Plain,
        at: str,
        key: str,
        by: Callable[[Any], Any],
    ) -> None:
        """A list whose order means nothing."""
        given = inside.get(key)
        if isinstance(given, list):
            found = sorted(given, key=by)
            if found != given:
                self.note(f"{at}.{key}" if at else key, Why.SORTED)
            inside[key] = found

    def drop(
        self,
        inside: Plain,
        at: str,
        key: str,
        why: Why,
    ) -> None:
        if inside.pop(key, None) is not None:
            self.note(f"{at}.{key}" if at else key, why)


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _by(key: str) -> Callable[[Any], str]:
    return lambda each: str(each.get(key, "")) if isinstance(each, dict) else str(each)


def _of(plain: Plain, *keys: str) -> Plain | None:
    """The object at this place, if there is one."""
    found: Any = plain
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _each(plain: Plain, key: str) -> Iterable[tuple[str, Plain]]:
    """(place, object) of each in a list."""
    for number, each in enumerate(plain.get(key) or []):
        if isinstance(each, dict):
            yield f"{key}[{each.get('name', number)}]", each


# --- task definitions

_TASK_LISTS = (
    ("placementConstraints", _as_json),
    ("volumes", _as_json),
    ("requiresCompatibilities", str),
    ("tags", _by("key")),
    ("containerDefinitions", _by("name")),
)
_CONTAINER_LISTS = (
    ("environment", _by("name")),
    ("secrets", _by("name")),
    ("mountPoints", _as_json),
    ("volumesFrom", _as_json),
)
_HEALTH_CHECK = {
    "interval": 30,
    "timeout": 5,
    "retries": 3,
}
_VCPU = re.compile(r"\s*(\d+(?:\.\d+)?)\s*vcpu\s*", re.I)
_GB = re.compile(r"\s*(\d+(?:\.\d+)?)\s*GB\s*")


def task_form(plain: Mapping[str, Any], ignored_tags: Iterable[str] = ()) -> Form:
    form = Form(deepcopy(dict(plain)))
    task = form.plain
    _without_tags(form, ignored_tags)
    for place, container in _each(task, "containerDefinitions"):
        _container(
            form,
            place,
            container,
            task.get("networkMode"),
        )
    for key, by in _TASK_LISTS:
        form.sort(
            task,
            "",
            key,
            by,
        )
    _in_units(
        form,
        "cpu",
        _VCPU,
    )
    _in_units(
        form,
        "memory",
        _GB,
    )
    proxy = _of(task, "proxyConfiguration")
    if proxy is not None:
        form.sort(
            proxy,
            "proxyConfiguration",
            "properties",
            _by("name"),
        )
    return _finished(form)


def _container(
    form: Form,
    place: str,
    container: Plain,
    network: Any,
) -> None:
    form.fill(
        container,
        place,
        {"essential": True},
    )
    for where, port in _each(container, "portMappings"):
        _port(
            form,
            f"{place}.{where}",
            port,
            network == "awsvpc",
        )
    # Sorted once what is not given has been filled: else two sides could be ordered differently.
    form.sort(
        container,
        place,
        "portMappings",
        _as_json,
    )
    for key, by in _CONTAINER_LISTS:
        form.sort(
            container,
            place,
            key,
            by,
        )
    check = _of(container, "healthCheck")
    if check is not None:
        form.fill(
            check,
            f"{place}.healthCheck",
            _HEALTH_CHECK,
        )
    for where, mount in _each(container, "mountPoints"):
        form.fill(
            mount,
            f"{place}.{where}",
            {"readOnly": False},
        )


def _port(
    form: Form,
    at: str,
    port: Plain,
    own_network: bool,
) -> None:
    form.fill(
        port,
        at,
        {"protocol": "tcp"},
    )
    number = port.get("containerPort")
    if number is not None:
        form.fill(
            port,
            at,
            {"hostPort": number if own_network else 0},
        )


def _in_units(form: Form, key: str, unit: re.Pattern[str]) -> None:
    """``0.25 vCPU`` is 256, ``1 GB`` is 1024."""
    given = form.plain.get(key)
    found = unit.fullmatch(given) if isinstance(given, str) else None
    if found is not None:
        form.plain[key] = str(int(float(found[1]) * 1024))
        form.note(
            key,
            Why.SAME,
            given,
        )


def _without_tags(form: Form, ignored: Iterable[str]) -> None:
    names = set(ignored)
    kept = []
    for tag in form.plain.get("tags") or []:
        if isinstance(tag, dict) and tag.get("key") in names:
            form.note(f"tags.{tag['key']}", Why.IGNORED)
        else:
            kept.append(tag)
    if "tags" in form.plain:
        form.plain["tags"] = kept


def _finished(form: Form) -> Form:
    """The noughts that Go cannot leave out; nothing empty but maps."""
    form.plain = without_empty(form.plain)
    for place, values in ZEROS.items():
        for at, inside in _at(form.plain, place):
            form.fill(
                inside,
                at,
                values,
            )
    return form


def _at(plain: Plain, place: tuple[str, ...], at: str = "") -> Iterable[tuple[str, Plain]]:
    """Every object at such a place."""
    if not place:
        yield at, plain
        return
    key, *rest = place
    inner = plain.get(key)
    name = f"{at}.{key}" if at else key
    if rest[:1] == [ANY]:
        for number, each in enumerate(inner or []):
            if isinstance(each, dict):
                yield from _at(
                    each,
                    tuple(rest[1:]),
                    f"{name}[{each.get('name', number)}]",
                )
    elif isinstance(inner, dict):
        yield from _at(
            inner,
            tuple(rest),
            name,
        )


# --- services

_SERVICE_LISTS = (
    ("placementConstraints", _as_json),
    ("placementStrategy", _as_json),
    ("tags", _by("key")),
    ("volumeConfigurations", _by("name")),
    ("vpcLatticeConfigurations", _by("portName")),
)
_REPLICA = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
}
_BREAKER = {"enable": False, "rollback": False}
_BREAKER_MORE = {
    "resetOnHealthyTask": True,
    "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
}
_DAEMON = {"maximumPercent": 100, "minimumHealthyPercent": 0}
_EARLY = {"healthyPercent": 100, "sourceServiceRevisionCleanup": "BLOCKING"}
_HOOK_TIMEOUT = {"timeoutInMinutes": 1440, "action": "ROLLBACK"}
_HOOK = {"targetType": "AWS_LAMBDA", "timeoutConfiguration": _HOOK_TIMEOUT}
_SENT_BY_NAME = ("cluster", "service", "taskDefinition")
_TRAFFIC_STRATEGIES = ("BLUE_GREEN", "LINEAR", "CANARY")


def service_form(plain: Mapping[str, Any], ignored_tags: Iterable[str] = ()) -> Form:
    """In the shape of UpdateService, with tags."""
    form = Form(deepcopy(dict(plain)))
    service = form.plain
    _without_tags(form, ignored_tags)
    form.fill(
        service,
        "",
        {"availabilityZoneRebalancing": "DISABLED"},
    )
    _scheduling(form)
    _deployment(form)
    _network(form)
    _balancers(form)
    for key, by in _SERVICE_LISTS:
        form.sort(
            service,
            "",
            key,
            by,
        )
    taken = {*fitting.members("ecs", "UpdateService"), "tags"} - {*_SENT_BY_NAME}
    form.plain = {key: value for key, value in service.items() if key in taken}
    form.fill(
        form.plain,
        "",
        {"enableECSManagedTags": False, "enableExecuteCommand": False},
    )
    form.fill(
        form.plain,
        "",
        {"propagateTags": "NONE"},
    )
    return _finished(form)


def _scheduling(form: Form) -> None:
    service = form.plain
    if service.get("launchType") == "FARGATE":
        form.fill(
            service,
            "",
            {"platformVersion": "LATEST"},
        )
    if any(
        each.get("capacityProvider", "").startswith("FARGATE")
        for _, each in _each(service, "capacityProviderStrategy")
    ):
        form.fill(
            service,
            "",
            {"platformVersion": "LATEST"},
        )
    form.fill(
        service,
        "",
        {"schedulingStrategy": "REPLICA"},
    )
    if service["schedulingStrategy"] == "DAEMON":
        form.drop(
            service,
            "",
            "placementStrategy",
            Why.IGNORED,
        )
        form.drop(
            service,
            "",
            "desiredCount",
            Why.MANAGED,
        )
    if service.get("loadBalancers"):
        form.fill(
            service,
            "",
            {"healthCheckGracePeriodSeconds": 0},
        )


def _deployment(form: Form) -> None:
    service = form.plain
    if service["schedulingStrategy"] == "DAEMON":
        form.fill(
            service,
            "",
            {"deploymentConfiguration": _DAEMON},
        )
        return
    if service.get("deploymentConfiguration") is None:
        service["deploymentConfiguration"] = {}
        form.note("deploymentConfiguration", Why.DEFAULT)
    inside = service["deploymentConfiguration"]
    at = "deploymentConfiguration"
    form.fill(
        inside,
        at,
        {"deploymentCircuitBreaker": _BREAKER, **_REPLICA},
    )
    breaker = _of(inside, "deploymentCircuitBreaker")
    if breaker is not None:
        form.fill(
            breaker,
            f"{at}.deploymentCircuitBreaker",
            _BREAKER_MORE,
        )
    early = _of(inside, "earlySuccessCriteria")
    if early is not None:
        form.fill(
            early,
            f"{at}.earlySuccessCriteria",
            _EARLY,
        )
    for where, hook in _each(inside, "lifecycleHooks"):
        _hook(
            form,
            f"{at}.{where}",
            hook,
        )


def _hook(form: Form, at: str, hook: Plain) -> None:
    form.fill(
        hook,
        at,
        _HOOK,
    )
    timeout = _of(hook, "timeoutConfiguration")
    if timeout is not None:
        form.fill(
            timeout,
            f"{at}.timeoutConfiguration",
            _HOOK_TIMEOUT,
        )


def _network(form: Form) -> None:
    network = _of(
        form.plain,
        "networkConfiguration",
        "awsvpcConfiguration",
    )
    if network is None:
        return
    at = "networkConfiguration.awsvpcConfiguration"
    form.fill(
        network,
        at,
        {"assignPublicIp": "DISABLED"},
    )
    form.sort(
        network,
        at,
        "subnets",
        str,
    )
    form.sort(
        network,
        at,
        "securityGroups",
        str,
    )


def _balancers(form: Form) -> None:
    """Who swaps target groups by itself owns them."""
    controller = (_of(form.plain, "deploymentController") or {}).get("type")
    strategy = (_of(form.plain, "deploymentConfiguration") or {}).get("strategy")
    for where, balancer in _each(form.plain, "loadBalancers"):
        if controller == "CODE_DEPLOY":
            form.drop(
                balancer,
                where,
                "targetGroupArn",
                Why.MANAGED,
            )
        elif strategy in _TRAFFIC_STRATEGIES:
            _pair(
                form,
                where,
                balancer,
            )


def _pair(form: Form, where: str, balancer: Plain) -> None:
    """ECS swaps the two target groups at each deployment: in whichever order they stand."""
    advanced = _of(balancer, "advancedConfiguration")
    if advanced is None:
        return
    both = [balancer.get("targetGroupArn"), advanced.get("alternateTargetGroupArn")]
    if all(isinstance(each, str) for each in both) and both != sorted(both, key=str):
        balancer["targetGroupArn"], advanced["alternateTargetGroupArn"] = sorted(both, key=str)
        form.note(f"{where}.targetGroupArn", Why.MANAGED)
