"""What the verbs of ``kirikae ecs`` need together: the configuration, its files, and AWS.

A project file is not needed; where one is, its account is the only one that is acted in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from kirikae.console.here import Here
from kirikae.console.options import LANG
from kirikae.console.speech import Speech
from kirikae.model.errors import UsageProblem
from kirikae.release.ecs import goduration
from kirikae.release.ecs.config import EcsConfig, Wanted, load
from kirikae.release.ecs.envfile import variables
from kirikae.release.ecs.jsonnet import External

OpenAws = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Given:
    """The options that every verb has."""

    config: Path | None = None
    envfiles: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class EcsDesk:
    """``aws``: of a region; by default the configuration's."""

    here: Here
    config: EcsConfig
    environment: Mapping[str, str]
    open_aws: OpenAws
    speech: Speech = field(default_factory=Speech)

    @property
    def aws(self) -> Any:
        return self.open_aws(self.config.region)


def environment_of(here: Here, given: Given) -> Mapping[str, str]:
    """Files of variables win over the process's own."""
    return {**here.environment, **variables(given.envfiles)}


def aws_opener(here: Here, given: Given) -> OpenAws:
    """Opens AWS once for a region; in another account than the project file's, never."""
    opened: dict[str, Any] = {}

    def open_region(region: str) -> Any:
        if region not in opened:
            opened[region] = _opened(here, region, given.role)
        return opened[region]

    return open_region


def opened_aws(here: Here) -> Any:
    """To read only, of the region of the environment or the profile, in the project's account.
    Raises UsageProblem, WrongAccount."""
    return _opened(replace(here, read_only=True), "", None)


def _opened(here: Here, region: str, role: str | None) -> Any:
    from kirikae.aws.assumed import assumed
    from kirikae.aws.session import Aws, configured_region

    chosen = region or configured_region()
    if not chosen:
        raise UsageProblem("no region: name it in the configuration (`region`), or set AWS_REGION")
    aws = Aws(chosen, here.read_only)
    if role:
        aws = assumed(aws, chosen, role, here.read_only)
    if Path(here.project_file).is_file():
        from kirikae.console.context import load_project

        aws.identity(load_project(here).account)
    return aws


def open_ecs_desk(here: Here, given: Given) -> EcsDesk:
    """Raises DefinitionProblem."""
    environment = environment_of(here, given)
    open_aws = aws_opener(here, given)
    external = External(given.texts, given.codes)
    config = load(Wanted(Path(), environment, open_aws, given.config, external))
    return EcsDesk(
        here,
        config,
        environment,
        open_aws,
        Speech(here.language(given.lang)),
    )


def seconds_of(timeout: str) -> float | None:
    """None: nought is no limit.  Raises UsageProblem."""
    try:
        return goduration.seconds(timeout) or None
    except ValueError as error:
        raise UsageProblem(f"--timeout: {error}") from error


# --- options


class _Whole(click.types.StringParamType):
    """A text that a variable of the environment holds whole: click would part it at blanks, and
    paths at colons."""

    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [rv]


def _parts(text: str, separator: str) -> list[str]:
    """As ecspresso's own options are parted; a backslash before the separator keeps it."""
    parts = re.split(rf"(?<!\\){separator}", text)
    return [part.replace(f"\\{separator}", separator) for part in parts if part]


def _files(_: click.Context, __: click.Parameter, values: Sequence[str]) -> list[Path]:
    return [Path(part) for value in values for part in _parts(value, ",")]


def _pairs(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    found = {}
    for value in (part for each in values for part in _parts(each, ";")):
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r}: write NAME=VALUE")
        found[name] = text
    return found


_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="ECSPRESSO_CONFIG",
        help="The configuration (default: ecspresso.yml, .yaml, .json, .jsonnet).",
    ),
    click.option(
        "--envfile",
        "envfiles",
        type=_Whole(),
        envvar="ECSPRESSO_ENVFILE",
        multiple=True,
        callback=_files,
        metavar="PATH",
        help="A file of variables, NAME=value a line, or several with commas; later ones win.",
    ),
    click.option(
        "--ext-str",
        "texts",
        type=_Whole(),
        envvar="ECSPRESSO_EXT_STR",
        multiple=True,
        callback=_pairs,
        metavar="NAME=VALUE",
        help="An external variable for Jsonnet, as text; several with semicolons.",
    ),
    click.option(
        "--ext-code",
        "codes",
        type=_Whole(),
        envvar="ECSPRESSO_EXT_CODE",
        multiple=True,
        callback=_pairs,
        metavar="NAME=CODE",
        help="An external variable for Jsonnet, as code; several with semicolons.",
    ),
    click.option(
        "--assume-role-arn",
        "role",
        envvar="ECSPRESSO_ASSUME_ROLE_ARN",
        help="Act as this role.",
    ),
    LANG,
)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb, given to it together as ``given``."""

    def together(*words: Any, **named: Any) -> Any:
        names = ("config", "envfiles", "texts", "codes", "role", "lang")
        given = Given(**{name: named.pop(name) for name in names})
        return command(*words, given=given, **named)

    together.__doc__ = command.__doc__
    together.__name__ = command.__name__
    wrapped: Callable[..., Any] = together
    if hasattr(command, "__click_params__"):
        wrapped.__click_params__ = command.__click_params__  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
