"""Where ``logs tail`` and ``logs alert`` listen: log groups, or the new tree of a move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click

from kirikae.console.here import Here
from kirikae.console.logs_common import desk_of
from kirikae.console.options import seconds
from kirikae.logs.listening import CONTEXT, Event, GroupSource, Source, TreeSource
from kirikae.model.errors import AwsUnreachable, UsageProblem
from kirikae.model.project import Project

WHERE = click.argument("move", required=False)
GROUPS = click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME",
    help="A log group of CloudWatch Logs (instead of a move; again for more).",
)
SINCE = click.option(
    "--since",
    metavar="TIME",
    default="0s",
    show_default=True,
    callback=seconds,
    help="Begin with what was said so long ago.",
)
FOR = click.option(
    "--for",
    "for_s",
    metavar="TIME",
    default=None,
    callback=lambda ctx, param, value: None if value is None else seconds(ctx, param, value),
    help="End after so long (default: when it is interrupted).",
)
EVERY = click.option(
    "--every",
    "every_s",
    metavar="TIME",
    default="5s",
    show_default=True,
    callback=seconds,
    help="Look so often.",
)


def aws_at_hand(here: Here, project: Project | None) -> Any:
    """A session of the project's account; without a project file, of the environment's region."""
    from kirikae.aws.session import Aws, configured_region

    if project is not None:
        from kirikae.console.context import open_aws

        return open_aws(here, project)[0]
    region = configured_region()
    if region is None:
        raise UsageProblem("which region? set AWS_REGION, or `eval $(kirikae local env)`")
    return Aws(region, here.read_only)


def project_at_hand(here: Here) -> Project | None:
    """Listening to a log group needs no project file."""
    from kirikae.console.context import load_project

    return load_project(here) if Path(here.project_file).exists() else None


def assert_one(move: str | None, groups: tuple[str, ...]) -> None:
    """Raises UsageProblem."""
    if (move is None) == (not groups):
        raise UsageProblem("say where to listen: a MOVE of logs, or --group NAME (again for more)")


def tree_source(here: Here, move: str) -> Source:
    """The new tree of a move."""
    desk = desk_of(here, move)
    carrier = desk.carrier()
    return TreeSource(
        carrier.new,
        carrier.trees.new,
        desk.settings.lateness,
        lambda line: click.echo(line, err=True),
    )


def group_source(
    aws: Any,
    groups: tuple[str, ...],
    pattern: str = "",
    context: bool = True,
) -> Source:
    from kirikae.aws.logs import LogEvent, events, lines_before

    def told(event: LogEvent) -> Event:
        return Event(
            event.id,
            event.at,
            f"{event.group} {event.stream}",
            event.message,
            partial(lines_before, aws, event, CONTEXT),
        )

    def of_all(since: float) -> Iterator[Event]:
        asked = (events(aws, group, since, pattern) for group in groups)
        return map(told, chain.from_iterable(asked))

    return GroupSource(of_all, context)


def rounds(
    for_s: float | None,
    every_s: float,
    ended: Callable[[float], bool],
) -> Iterator[float]:
    """The time of each look, the last one at the end.  ``ended``: waits so long, and says whether
    it was interrupted."""
    begun = time.monotonic()
    while True:
        yield time.time()
        left = None if for_s is None else for_s - (time.monotonic() - begun)
        if left is not None and left <= 0:
            return
        if ended(every_s if left is None else min(every_s, left)):
            return


def patiently(look: Callable[[], None], tell: Callable[[str], None]) -> None:
    """Silence of AWS is told, and the next look asks for it again."""
    try:
        look()
    except AwsUnreachable as error:
        tell(str(error))
