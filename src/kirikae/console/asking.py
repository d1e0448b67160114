"""Ask whoever sits at the terminal before something is taken away; nobody there is a no."""

from __future__ import annotations

import sys

import click

from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.shown import clean


def _assert_somebody(flag: str) -> None:
    """Raises UsageProblem."""
    if not sys.stdin.isatty():
        raise UsageProblem(f"there is no terminal to ask at: {flag} says that it is meant")


def assert_meant(question: str, flag: str) -> None:
    """Raises UsageProblem where nobody can be asked, KirikaeError for a no."""
    _assert_somebody(flag)
    if not click.confirm(clean(question), default=False, err=True):
        raise KirikaeError("it was not meant; nothing was changed")


def assert_typed(question: str, name: str, flag: str) -> None:
    """The name has to be typed, so that nobody confirms another thing than he thinks of.  Raises
    UsageProblem where nobody can be asked, KirikaeError for another name."""
    _assert_somebody(flag)
    typed = click.prompt(clean(question), default="", show_default=False, err=True)
    if typed.strip() != name:
        raise KirikaeError(f"{typed!r} is not {name}; nothing was changed")
