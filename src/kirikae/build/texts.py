"""Texts that are made from the template files of this room, which a reader can open.

A name that a template asks for and nobody gives is an error, never an empty place.
"""

from __future__ import annotations

import json
import shlex
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kirikae.build.hcl import hcl, label
from kirikae.build.note import NOTE

if TYPE_CHECKING:
    from jinja2 import Environment


def text_of(template: str, **values: Any) -> str:
    """The text of a template file, with these values in it."""
    return _environment().get_template(template).render(note=NOTE, **values)


@cache
def _environment() -> Environment:
    """Imported where a text is made: no other verb pays for it."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # no page: Dockerfiles and configuration
    )
    environment.filters["quoted"] = shlex.quote
    environment.filters["words"] = as_words
    environment.filters["hcl"] = hcl
    environment.filters["label"] = label
    return environment


def _source(name: str) -> str:
    """A file of this room."""
    return (files("kirikae.build") / "templates" / name).read_text(encoding="utf-8")


def as_words(command: tuple[str, ...]) -> str:
    """The exec form of a Dockerfile."""
    return json.dumps(list(command), ensure_ascii=False)
