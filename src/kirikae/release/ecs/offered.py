"""What a plugin offers: a function for templates, and one of the same name for Jsonnet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kirikae.model.errors import KirikaeError
from kirikae.release.ecs.gotmpl.builtins import Known
from kirikae.release.ecs.gotmpl.environment import must_env, of_environment
from kirikae.release.ecs.jsonnet import Native
from kirikae.release.errors import DefinitionProblem, TemplateProblem

DEFAULTS = ("ssm", "secretsmanager", "caller")
"""Plugins that everybody has; a name of theirs that another plugin has first is passed over."""


@dataclass(frozen=True, slots=True)
class Offer:
    """``plugin``: whose functions these are, for the message where two have one name."""

    plugin: str
    templates: Mapping[str, Known] = field(default_factory=dict)
    natives: Mapping[str, Native] = field(default_factory=dict)

    def prefixed(self, prefix: str) -> Offer:
        return Offer(
            self.plugin,
            {prefix + name: known for name, known in self.templates.items()},
            {prefix + name: native for name, native in self.natives.items()},
        )


@dataclass(frozen=True, slots=True)
class Functions:
    """All that a file may call."""

    templates: Mapping[str, Known]
    natives: Mapping[str, Native]

    def joined(self, offer: Offer) -> Functions:
        """Raises DefinitionProblem for a name that is taken."""
        taken = [name for name in offer.templates if name in self.templates]
        if taken and offer.plugin not in DEFAULTS:
            raise DefinitionProblem(
                f"template function {taken[0]} already exists: set `func_prefix` of the plugin "
                f"{offer.plugin}"
            )
        return Functions({**offer.templates, **self.templates}, {**offer.natives, **self.natives})


def of_variables(values: Mapping[str, str]) -> Functions:
    """``env``, ``must_env`` and ``json_escape``."""
    natives = {
        "env": Native(("name", "default"), lambda name, other: values.get(name) or other),
        "must_env": Native(("name",), lambda name: must_env(values, name)),
    }
    return Functions(of_environment(values), natives)


def asked_once(ask: Callable[..., Any]) -> Callable[..., Any]:
    """AWS is asked once for each; what it refuses is told at the place that asked."""
    remembered = cache(ask)

    def call(*words: Any) -> Any:
        try:
            return remembered(*words)
        except TemplateProblem:
            raise
        except KirikaeError as error:
            raise TemplateProblem(str(error)) from error

    return call
