"""Evaluate Jsonnet with the engine that ecspresso embeds (go-jsonnet), and with its native
functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.model.errors import KirikaeError
from kirikae.release.errors import DefinitionProblem

_NO_VARIABLE = re.compile(r"Undefined external variable: (\w+)")
_NULL_CALLED = "Unexpected type null, expected function"
_NATIVE = re.compile(r"""std\.native\(\s*['"]([^'"]+)['"]\s*\)""")


@dataclass(frozen=True, slots=True)
class Native:
    """A function of ``std.native``; all of its parameters must be given."""

    parameters: Sequence[str]
    call: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class External:
    """External variables: texts (``--ext-str``) and code (``--ext-code``)."""

    texts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)


def evaluated(path: Path, natives: Mapping[str, Native], external: External) -> str:
    """The JSON that a Jsonnet file stands for.  Raises DefinitionProblem."""
    engine = _engine(path)
    raised: list[KirikaeError] = []

    def kept(native: Native) -> tuple[tuple[str, ...], Callable[..., Any]]:
        """The engine tells of a fault inside of a function only that there was one."""

        def call(*words: Any) -> Any:
            try:
                return native.call(*words)
            except KirikaeError as error:
                raised.append(error)
                raise

        return tuple(native.parameters), call

    try:
        return str(
            engine.evaluate_file(
                str(path),
                ext_vars=dict(external.texts),
                ext_codes=dict(external.codes),
                native_callbacks={name: kept(native) for name, native in natives.items()},
            )
        )
    except RuntimeError as error:
        absent = _absent(str(error), path, natives)
        why = "; ".join([*map(str, raised), *absent, _in_lines(str(error)), *_given_by(str(error))])
        raise DefinitionProblem(f"{path}: {why}") from error


def _given_by(message: str) -> list[str]:
    """What to do about an external variable that nobody gave."""
    found = _NO_VARIABLE.search(message)
    return [f"give it: --ext-str {found[1]}=TEXT, or --ext-code {found[1]}=CODE"] if found else []


def _absent(message: str, path: Path, natives: Mapping[str, Native]) -> list[str]:
    """The native functions that a file asks for and nobody offers: the engine only says that
    something was null."""
    if _NULL_CALLED not in message:
        return []
    asked = _NATIVE.findall(path.read_text(encoding="utf-8", errors="replace"))
    unknown = sorted({name for name in asked if name not in natives})
    return [
        f"nobody offers the native function {name}: its plugin is not one of `plugins`, or has "
        "another `func_prefix`"
        for name in unknown
    ]


def _in_lines(message: str) -> str:
    return "\n".join(line.replace("\t", "  ").rstrip() for line in message.strip().splitlines())


def _engine(path: Path) -> Any:
    try:
        import _gojsonnet
    except ImportError as error:
        raise DefinitionProblem(
            f"{path}: Jsonnet needs one more package: pip install 'kirikae[ecspresso]'"
        ) from error
    return _gojsonnet
