"""What every drill is told alike: what is asked, and from how many processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from kirikae.console.options import seconds
from kirikae.drill.engine import Settings
from kirikae.drill.targets import Target
from kirikae.drill.targets import read as read_targets
from kirikae.drill.targets import target as target_of
from kirikae.model.errors import UsageProblem
from kirikae.model.project import Check
from kirikae.model.values import milliseconds_from

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--target", "urls", multiple=True, help="A URL to GET; may be repeated."),
    click.option(
        "--targets",
        "file",
        type=click.Path(path_type=Path),
        help="A file of targets, in either of vegeta's forms.",
    ),
    click.option(
        "--expect", type=click.IntRange(100, 599), multiple=True, help="A status that is right."
    ),
    click.option(
        "--expect-text", "text", default="", help="A right answer has this in its body, as it is."
    ),
    click.option("--slow", help="Answers later than this are slow, such as 500ms."),
    click.option("--timeout", callback=seconds, default="30s", show_default=True),
    click.option(
        "--connections", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True
    ),
    click.option(
        "--processes", type=click.IntRange(1, 64), help="Default: one for each core but one."
    ),
    click.option("--insecure", is_flag=True, help="Take any certificate."),
)
BASE = click.option("--base", help="Ask the project file's checks there: http://host:port.")
HTML = click.option(
    "--html", type=click.Path(path_type=Path), help="Write a page with charts there."
)
KEEP = click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Keep the run there (.npz): `kirikae drill report` judges and shows it anew.",
)


def asking(command: Command) -> Command:
    """Gives a verb the options that ``Asking.of`` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked, and how."""

    urls: Sequence[str]
    file: Path | None
    base: str | None
    expected: frozenset[int]
    text: bytes
    settings: Settings
    slow_s: float | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asking:
        """Raises UsageProblem."""
        return cls(
            urls=options["urls"],
            file=options["file"],
            base=options.get("base"),
            expected=frozenset(options["expect"]),
            text=str(options["text"]).encode(),
            settings=Settings(
                processes=options["processes"] or max(1, (os.cpu_count() or 1) - 1),
                timeout_s=options["timeout"],
                connections=options["connections"],
                insecure=options["insecure"],
            ),
            slow_s=slow_of(options["slow"]),
        )

    def targets(self, checks: Sequence[Check] = ()) -> list[Target]:
        """``checks``: of the project file.  Raises UsageProblem."""
        asked = (
            bool(self.urls),
            self.file is not None,
            self.base is not None,
        )
        if sum(asked) != 1:
            raise UsageProblem("say what to ask: --target URL, or --targets FILE")
        if self.base is not None:
            return list(_of_checks(self.base, checks))
        if self.file is not None:
            named = read_targets(self.file)
        else:
            named = [target_of("GET", url, "--target") for url in self.urls]
        return [replace(each, expected=self.expected, text=self.text) for each in named]


def _of_checks(base: str, checks: Sequence[Check]) -> Iterator[Target]:
    """Their status and their text are judged."""
    if not checks:
        raise UsageProblem("--base asks the project file's `checks`, and there are none")
    for check in checks:
        one = target_of("GET", base.rstrip("/") + check.get, "--base")
        text = (check.contains or "").encode()
        yield replace(one, expected=frozenset({check.expect}), text=text)


def slow_of(text: str | None) -> float | None:
    """Seconds.  Raises UsageProblem."""
    if text is None:
        return None
    try:
        return milliseconds_from(text) / 1000
    except ValueError as error:
        raise UsageProblem(f"--slow: {error}") from error
