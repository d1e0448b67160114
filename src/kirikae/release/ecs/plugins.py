"""The plugins of an ecspresso configuration: tfstate, cloudformation, ssm, secretsmanager and
external; besides, who calls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.aws import lookups
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.release.ecs.gotmpl.builtins import Known
from kirikae.release.ecs.gotmpl.values import sprintf
from kirikae.release.ecs.jsonnet import Native
from kirikae.release.ecs.offered import Offer, asked_once
from kirikae.release.ecs.state_place import read_state
from kirikae.release.ecs.tfstate import State, text_of
from kirikae.release.errors import DefinitionProblem, TemplateProblem

_PATIENCE_S = 30.0
_MOST_WORDS = 100
OpenAws = Callable[[], Aws]
"""AWS is asked only where a file does."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry of ``plugins``."""

    name: str
    config: Mapping[str, Any]
    prefix: str = ""

    @property
    def kind(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Bench:
    """What plugins work with."""

    folder: Path
    environment: Mapping[str, str]
    aws: OpenAws


def offered(plugin: Plugin, bench: Bench) -> Offer:
    """Raises DefinitionProblem."""
    makers = {
        "tfstate": _tfstate,
        "cloudformation": _cloudformation,
        "ssm": _ssm,
        "secretsmanager": _secretsmanager,
        "external": _external,
        "caller": _caller,
    }
    maker = makers.get(plugin.kind)
    if maker is None:
        known = ", ".join(name for name in makers if name != "caller")
        raise DefinitionProblem(f"plugin {plugin.name} is not available; known are {known}")
    return maker(plugin, bench).prefixed(plugin.prefix)


# --- Terraform


def _tfstate(plugin: Plugin, bench: Bench) -> Offer:
    place = plugin.config.get("path") or plugin.config.get("url")
    if not isinstance(place, str):
        raise DefinitionProblem("the plugin tfstate needs `path` or `url`, as text")
    if plugin.config.get("path") and not Path(place).is_absolute():
        place = str(bench.folder / place)
    optional = plugin.config.get("optional") is True

    def state() -> State:
        try:
            return read_state(
                place,
                bench.environment,
                bench.aws,
            )
        except AwsUnreachable:
            raise
        except KirikaeError:
            if not optional:
                raise
            return State(place, {})

    opened = asked_once(state)

    def lookup(address: str) -> Any:
        return opened().lookup(address)

    def formatted(form: str, *words: Any) -> str:
        return text_of(lookup(sprintf(form, words)))

    return Offer(
        plugin.name,
        {
            "tfstate": Known(lambda address: text_of(lookup(address)), [str]),
            "tfstatef": Known(
                formatted,
                [str],
                any_rest=True,
            ),
        },
        {"tfstate": Native(("address",), lookup)},
    )


# --- AWS


def _cloudformation(plugin: Plugin, bench: Bench) -> Offer:
    output = asked_once(
        lambda stack, key: lookups.stack_output(
            bench.aws(),
            stack,
            key,
        )
    )
    export = asked_once(lambda name: lookups.stack_export(bench.aws(), name))
    return Offer(
        plugin.name,
        {"cfn_output": Known(output, [str, str]), "cfn_export": Known(export, [str])},
        {
            "cfn_output": Native(("stack", "key"), output),
            "cfn_export": Native(("name",), export),
        },
    )


def _ssm(plugin: Plugin, bench: Bench) -> Offer:
    asked = asked_once(lambda name: lookups.parameter(bench.aws(), name))

    def listed(name: str, index: int | None = None) -> str:
        value, kind = asked(name)
        return _part_of(
            name,
            value,
            kind,
            None if index is None else int(index),
        )

    return Offer(
        plugin.name,
        {
            "ssm": Known(
                listed,
                [str, int],
                least=1,
            )
        },
        {
            "ssm": Native(("name",), listed),
            "ssm_list": Native(("name", "index"), listed),
        },
    )


def _part_of(
    name: str,
    value: str,
    kind: str,
    index: int | None,
) -> str:
    """An index is given exactly for a list.  Raises TemplateProblem."""
    if kind != "StringList":
        if index is not None:
            raise TemplateProblem(f"the parameter {name} is a {kind}, not a StringList: no index")
        return value
    parts = value.split(",")
    if index is None:
        raise TemplateProblem(
            f"the parameter {name} is a StringList: say which of its {len(parts)} values, such as "
            f"{{{{ ssm `{name}` 0 }}}}"
        )
    if not 0 <= index < len(parts):
        raise TemplateProblem(f"the parameter {name} has {len(parts)} values, not {index + 1}")
    return parts[index]


def _secretsmanager(plugin: Plugin, bench: Bench) -> Offer:
    arn = asked_once(lambda name: lookups.secret_arn(bench.aws(), name))
    return Offer(
        plugin.name,
        {"secretsmanager_arn": Known(arn, [str])},
        {"secretsmanager_arn": Native(("name",), arn)},
    )


def _caller(plugin: Plugin, bench: Bench) -> Offer:
    who = asked_once(lambda: lookups.identity(bench.aws()))
    return Offer(
        plugin.name,
        {"caller_identity": Known(who)},
        {"caller_identity": Native((), who)},
    )


# --- a command of the user's


def _external(plugin: Plugin, bench: Bench) -> Offer:
    name, command, many, parser, timeout_s = _external_settings(plugin.config)

    def call(*words: Any) -> Any:
        return _answer_of(
            name,
            [*command, *map(str, words)],
            parser,
            timeout_s,
            bench,
        )

    asked = asked_once(call)
    return Offer(
        plugin.name,
        {name: Known(lambda *words: text_of(asked(*words)), [str] * many)},
        {name: Native(tuple(f"argument_{number}" for number in range(many)), asked)},
    )


def _external_settings(config: Mapping[str, Any]) -> tuple[str, list[str], int, str, float]:
    """(name, command, words, parser, seconds).  Raises DefinitionProblem."""
    name = config.get("name")
    command = config.get("command")
    many = config.get("num_args", 0)
    parser = config.get("parser", "string")
    timeout_s = config.get("timeout") or _PATIENCE_S
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionProblem(f"the plugin external needs `name`, a function's, not {name!r}")
    if not isinstance(command, list) or not command:
        raise DefinitionProblem(f"the plugin external {name} needs `command`, a list of words")
    if not isinstance(many, int) or not 0 <= many <= _MOST_WORDS:
        raise DefinitionProblem(f"the plugin external {name}: num_args is {many!r}")
    if parser not in ("string", "json"):
        raise DefinitionProblem(f"the plugin external {name}: parser is json or string")
    if not isinstance(timeout_s, int | float):
        raise DefinitionProblem(f"the plugin external {name}: timeout is {timeout_s!r} seconds")
    return name, list(map(str, command)), many, parser, float(timeout_s)


def _answer_of(
    name: str,
    words: list[str],
    parser: str,
    timeout_s: float,
    bench: Bench,
) -> Any:
    """Raises TemplateProblem."""
    try:
        done = subprocess.run(
            words,
            cwd=bench.folder,
            env=dict(bench.environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise TemplateProblem(f"the command of {name} does not answer: {error}") from error
    if done.returncode:
        why = " ".join(done.stderr.split())[:200]
        raise TemplateProblem(f"the command of {name} ended with {done.returncode}: {why}")
    if parser == "string":
        return done.stdout.rstrip("\n")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise TemplateProblem(f"the command of {name} answered no JSON: {error}") from error
