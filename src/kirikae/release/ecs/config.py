"""The configuration file of ecspresso: where it lies, what it says, and the functions that its
plugins offer to the definitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kirikae.aws.session import Aws
from kirikae.model.texts import shortened
from kirikae.release.ecs import goduration, versions
from kirikae.release.ecs.gotmpl.template import render
from kirikae.release.ecs.jsonnet import External, evaluated
from kirikae.release.ecs.offered import DEFAULTS, Functions, of_variables
from kirikae.release.ecs.plugins import Bench, Plugin, offered
from kirikae.release.ecs.reading import JSONNET, Surroundings, lines_with, parsed, rendered
from kirikae.release.ecs.reading import text_of as read_text
from kirikae.release.errors import DefinitionProblem, UnknownFunction

NAME = "ecspresso.yml"
_NAMES = (NAME, "ecspresso.yaml", "ecspresso.json", "ecspresso.jsonnet")
DEFAULT_CLUSTER = "default"
DEFAULT_TIMEOUT_S = 600.0
_TEXTS = ("region", "cluster", "service", "service_definition", "task_definition")
_SECTIONS = {
    "appspec": ("Hooks",),
    "codedeploy": ("application_name", "deployment_config_name", "deployment_group_name"),
}
"""Section -> its keys."""
_KNOWN = frozenset(
    [
        *_TEXTS,
        "required_version",
        "timeout",
        "plugins",
        "appspec",
        "codedeploy",
        "ignore",
        "express_definition",
        "filter_command",
    ]
)


@dataclass(frozen=True, slots=True)
class EcsConfig:
    """``service`` empty: the task definition stands alone.  ``timeout_s`` None: no limit.

    ``remarks``: what whoever wrote the file should know.
    """

    path: Path
    region: str
    cluster: str
    service: str
    service_definition: Path | None
    task_definition: Path | None
    timeout_s: float | None
    around: Surroundings
    ignored_tags: frozenset[str] = frozenset()
    codedeploy: Mapping[str, str] = field(default_factory=dict)
    appspec: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a configuration is asked for.  ``file`` None: the default, in ``folder``."""

    folder: Path
    environment: Mapping[str, str]
    open_aws: Callable[[str], Aws]
    """By region."""
    file: Path | None = None
    external: External = field(default_factory=External)


def found_in(folder: Path) -> Path | None:
    """The first configuration of ecspresso that lies there."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def load(wanted: Wanted) -> EcsConfig:
    """Raises DefinitionProblem."""
    path = wanted.file or found_in(wanted.folder)
    if path is None:
        raise DefinitionProblem(
            f"{wanted.folder / NAME}: there is none (nor {', '.join(_NAMES[1:])}); name one with "
            "--config, or write it with `kirikae ecs init --service NAME`"
        )
    return _Loading(
        wanted,
        path,
        wanted.environment.get("AWS_REGION", ""),
    ).done()


@dataclass
class _Loading:
    """One reading of a configuration; ``region`` changes once the file has said its own."""

    wanted: Wanted
    path: Path
    region: str
    opened: dict[str, Aws] = field(default_factory=dict)

    def aws(self) -> Aws:
        if self.region not in self.opened:
            self.opened[self.region] = self.wanted.open_aws(self.region)
        return self.opened[self.region]

    @property
    def bench(self) -> Bench:
        return Bench(
            self.path.parent,
            self.wanted.environment,
            self.aws,
        )

    def done(self) -> EcsConfig:
        functions = with_defaults(of_variables(self.wanted.environment), self.bench)
        try:
            text = self._text(functions)
        except DefinitionProblem as problem:
            if not isinstance(problem.__cause__, UnknownFunction):
                raise
            # A key calls a function of a plugin that the same file names: plugins first.
            functions = self._joined(functions, self._plugins_first(functions, problem))
            text = self._text(functions)
            plain = self._plain(text)
            self.region = str(plain.get("region") or self.region)
        else:
            plain = self._plain(text)
            self.region = str(plain.get("region") or self.region)
            functions = self._joined(
                functions,
                plain.get("plugins"),
                text,
            )
        around = Surroundings(functions, self.wanted.external)
        return _config(
            self.path,
            text,
            plain,
            self.region,
            around,
        )

    def _text(self, functions: Functions) -> str:
        around = Surroundings(functions, self.wanted.external)
        return rendered(
            self.path,
            around,
            self.path.suffix in (".json", JSONNET),
        )

    def _plain(self, text: str) -> Mapping[str, Any]:
        plain = parsed(self.path, text)
        if not isinstance(plain, dict):
            raise DefinitionProblem(f"{self.path}: the file must hold one object")
        return plain

    def _joined(
        self,
        functions: Functions,
        plugins: Any,
        text: str = "",
    ) -> Functions:
        for plugin in _plugins(self.path, plugins):
            try:
                functions = functions.joined(offered(plugin, self.bench))
            except DefinitionProblem as problem:
                [line, *_] = lines_with(text, re.escape(plugin.name)) or [1]
                raise DefinitionProblem(f"{self.path}:{line}: {problem}") from problem
        return functions

    def _plugins_first(self, functions: Functions, problem: DefinitionProblem) -> Any:
        """Raises ``problem`` where the file can only be read once its templates are carried
        out."""
        try:
            return self._plugins_as_written(functions)
        except DefinitionProblem:
            raise problem from None

    def _plugins_as_written(self, functions: Functions) -> Any:
        """From the file before its templates are carried out, which must be YAML or JSON then."""
        if self.path.suffix == JSONNET:
            raw = evaluated(
                self.path,
                functions.natives,
                self.wanted.external,
            )
        else:
            raw = read_text(self.path)
        plain = self._plain(raw)
        self.region = str(self._filled(plain.get("region") or "", functions) or self.region)
        return self._filled(plain.get("plugins"), functions)

    def _filled(self, value: Any, functions: Functions) -> Any:
        """With the templates of every text carried out."""
        if isinstance(value, str):
            return render(
                value,
                str(self.path),
                functions.templates,
            )
        if isinstance(value, list):
            return [self._filled(each, functions) for each in value]
        if isinstance(value, dict):
            return {key: self._filled(each, functions) for key, each in value.items()}
        return value


def with_defaults(functions: Functions, bench: Bench) -> Functions:
    """And the functions of the plugins that everybody has."""
    for name in DEFAULTS:
        functions = functions.joined(offered(Plugin(name, {}), bench))
    return functions


def _plugins(path: Path, plugins: Any) -> list[Plugin]:
    """Raises DefinitionProblem."""
    if plugins is None:
        return []
    if not isinstance(plugins, list):
        raise DefinitionProblem(f"{path}: `plugins` is a list of name and config")
    found = []
    for each in plugins:
        config = each.get("config") or {} if isinstance(each, dict) else None
        if not isinstance(config, dict) or not isinstance(each.get("name"), str):
            raise DefinitionProblem(f"{path}: each of `plugins` has a `name` and a `config`")
        found.append(
            Plugin(
                each["name"],
                config,
                str(each.get("func_prefix") or ""),
            )
        )
    return found


def _config(
    path: Path,
    text: str,
    plain: Mapping[str, Any],
    region: str,
    around: Surroundings,
) -> EcsConfig:
    """Raises DefinitionProblem with file, line and key."""
    place = _Place(path, text)
    for key in _TEXTS:
        if not isinstance(plain.get(key, ""), str | None):
            raise place.refused(key, f"must be text, not {shortened(plain[key])}: quote it")
    if plain.get("express_definition"):
        raise place.refused("express_definition", "services of Express mode are not driven")
    timeout_s = place.timeout(plain.get("timeout"))
    place.assert_version(plain.get("required_version"))
    return EcsConfig(
        path=path,
        region=region,
        cluster=plain.get("cluster") or DEFAULT_CLUSTER,
        service=plain.get("service") or "",
        service_definition=place.file(plain.get("service_definition")),
        task_definition=place.file(plain.get("task_definition")),
        timeout_s=timeout_s,
        around=around,
        ignored_tags=_ignored(place, plain.get("ignore")),
        codedeploy=place.section("codedeploy", plain.get("codedeploy"), str),
        appspec=place.section("appspec", plain.get("appspec"), list),
        plain=plain,
        remarks=tuple(place.remarks(plain)),
    )


def _ignored(place: _Place, ignore: Any) -> frozenset[str]:
    if not ignore:
        return frozenset()
    tags = ignore.get("tags") if isinstance(ignore, dict) else None
    if not isinstance(tags, list):
        raise place.refused("ignore", "has one key, `tags`: a list of names")
    return frozenset(map(str, tags))


@dataclass(frozen=True, slots=True)
class _Place:
    """The rendered file, to tell of a key with its line."""

    path: Path
    text: str

    def refused(self, key: str, why: str) -> DefinitionProblem:
        return DefinitionProblem(f"{self.path}:{self._line(key)}: `{key}` {why}")

    def _line(self, key: str) -> int:
        return (lines_with(self.text, rf"(?m)^\s*\"?{re.escape(key)}\"?\s*:") or [1])[0]

    def section(self, key: str, given: Any, kind: type) -> dict[str, Any]:
        """Its keys and values, all of one kind; a value that is empty says nothing."""
        if not given:
            return {}
        if not isinstance(given, dict):
            raise self.refused(key, f"has keys and values ({', '.join(_SECTIONS[key])})")
        for name, value in given.items():
            if name in _SECTIONS[key] and value and not isinstance(value, kind):
                wanted = "a list" if kind is list else "text"
                raise self.refused(name, f"in `{key}` must be {wanted}, not {shortened(value)}")
        return {name: value for name, value in given.items() if value}

    def file(self, named: str | None) -> Path | None:
        return self.path.parent / named if named else None

    def timeout(self, given: Any) -> float | None:
        """Nought is no limit."""
        if given is None:
            return DEFAULT_TIMEOUT_S
        try:
            return goduration.seconds(given) or None
        except ValueError as error:
            raise self.refused("timeout", f"cannot be read: {error}") from error

    def assert_version(self, constraints: Any) -> None:
        if not constraints:
            return
        try:
            fits = versions.satisfies(str(constraints))
        except ValueError as error:
            raise self.refused("required_version", f"cannot be read: {error}") from error
        if not fits:
            raise self.refused(
                "required_version",
                f"is {constraints}, and kirikae reads these files as ecspresso "
                f"{versions.COMPATIBLE} does",
            )

    def _unknown(self, keys: Iterable[Any], known: Sequence[str], where: str = "") -> Iterator[str]:
        for key in keys:
            if key not in known:
                close = get_close_matches(
                    str(key),
                    known,
                    1,
                )
                guess = f"; did you mean {close[0]}?" if close else ""
                yield f"{self.path}:{self._line(str(key))}: `{key}` is not known{where}{guess}"

    def remarks(self, plain: Mapping[str, Any]) -> Iterator[str]:
        """What is read otherwise than whoever wrote it may think."""
        yield from self._unknown(plain, sorted(_KNOWN))
        for section, known in _SECTIONS.items():
            yield from self._unknown(plain.get(section) or {}, known, f" in `{section}`")
        timeout = plain.get("timeout")
        if isinstance(timeout, int | float) and timeout > goduration.LONG_S:
            yield (
                f"{self.path}:{self._line('timeout')}: `timeout: {timeout}` is read as seconds; "
                "with a unit, such as 10m, everybody reads it alike"
            )
        if plain.get("filter_command"):
            yield f"{self.path}:{self._line('filter_command')}: `filter_command` is passed over"
