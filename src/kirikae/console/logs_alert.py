"""``kirikae logs alert``: tell people of lines with a keyword, with the line, and not too often."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click

from kirikae.aws.errors import AwsRefused
from kirikae.console.here import Answer, Here, to_json, would
from kirikae.console.jobs_common import ended_by_signals
from kirikae.console.logs_chat import chat, sentence
from kirikae.console.logs_sources import (
    EVERY,
    FOR,
    GROUPS,
    SINCE,
    WHERE,
    assert_one,
    aws_at_hand,
    group_source,
    patiently,
    project_at_hand,
    rounds,
    tree_source,
)
from kirikae.console.options import DRY, LANG, STREAM, seconds
from kirikae.console.speech import Speech
from kirikae.logs.alert_state import Alert, AlertState, Send
from kirikae.logs.alerts import Heard, Seen, redacted
from kirikae.logs.listening import Ear, Source
from kirikae.logs.patterns import Rule, infrastructure, rule_of
from kirikae.model.errors import AwsUnreachable, Exit, UsageProblem
from kirikae.model.project import Project
from kirikae.model.said import said, text
from kirikae.model.shown import clean

_TRIED = 50
"""So many lines TestMetricFilter takes (API reference)."""


@click.command("alert")
@WHERE
@GROUPS
@click.option(
    "--keyword",
    "keywords",
    multiple=True,
    required=True,
    metavar="WORD",
    help="Lines with this in them (again for one of several); large and small letters differ.",
)
@click.option(
    "--without",
    "without",
    multiple=True,
    metavar="WORD",
    help="But not with this (again for more).",
)
@click.option(
    "--slack",
    metavar="env:NAME|ssm:NAME",
    help="Where the incoming webhook stands (default: `notify.slack` of the project file).",
)
@click.option(
    "--window",
    "window_s",
    metavar="TIME",
    default="60s",
    show_default=True,
    callback=seconds,
    help="The first line of its kind is told at once, its repetitions once in this time.",
)
@click.option(
    "--at-most",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="So many kinds of lines in a window; the rest is counted together.",
)
@click.option(
    "--overlap",
    "overlap_s",
    metavar="TIME",
    default="5m",
    show_default=True,
    callback=seconds,
    help="Ask again for so long a time: lines come late.",
)
@click.option(
    "--infrastructure",
    is_flag=True,
    help="Print the same rule as metric filters and an alarm (they carry no line), and end.",
)
@click.option("--name", metavar="NAME", help="Of the rule (default: from its keywords).")
@SINCE
@FOR
@EVERY
@DRY
@LANG
@STREAM
@click.pass_obj
def alert(
    here: Here,
    move: str | None,
    groups: tuple[str, ...],
    keywords: tuple[str, ...],
    without: tuple[str, ...],
    slack: str | None,
    window_s: float,
    at_most: int,
    overlap_s: float,
    infrastructure: bool,
    name: str | None,
    since: float,
    for_s: float | None,
    every_s: float,
    dry_run: bool,
    lang: str | None,
    as_json: bool,
) -> Answer:
    """Tell people of lines with a keyword: the line, two before it, once a window.

    Of log groups, or of the new tree of MOVE. What was told is remembered in .kirikae/logs/: after
    a restart no line is lost; one may be told twice. Secrets and addresses are masked. --dry-run
    looks once (with --since), tells nobody, and lets CloudWatch Logs try the pattern.
    """
    rule = rule_of(keywords, without, window_s, at_most)
    assert_one(move, groups)
    desk = _Desk(here, move, groups, rule, name, Speech(here.language(lang), "logs"), as_json)
    if infrastructure:
        return _infrastructure(desk)
    if dry_run:
        return _try(desk, since)
    here.assert_may_change("logs alert")
    return _listen(desk, _Times(since, overlap_s, for_s, every_s), slack)


@dataclass(frozen=True, slots=True)
class _Times:
    since_s: float
    overlap_s: float
    for_s: float | None
    every_s: float


@dataclass
class _Desk:
    """What every way of this verb needs."""

    here: Here
    move: str | None
    groups: tuple[str, ...]
    rule: Rule
    named: str | None
    speech: Speech
    as_json: bool

    @property
    def name(self) -> str:
        """Fit for a file, a metric and an alarm: the same for the same rule at the same place."""
        if self.named is not None:
            if not all(letter.isalnum() or letter in "-_." for letter in self.named):
                raise UsageProblem("--name: letters, digits, - _ and . only")
            return self.named
        rule = [self.move or "", *self.groups, "", *self.rule.keywords, "", *self.rule.without]
        digest = hashlib.sha256("\n".join(rule).encode()).hexdigest()[:8]
        return f"kirikae-alert-{digest}"

    @property
    def file(self) -> Path:
        return self.here.folder / ".kirikae" / "logs" / f"{self.name}.json"

    @cached_property
    def project(self) -> Project | None:
        return project_at_hand(self.here)

    @cached_property
    def aws(self) -> Any:
        return aws_at_hand(self.here, self.project)

    def source(self) -> Source:
        if self.move is not None:
            return tree_source(self.here, self.move)
        return group_source(self.aws, self.groups, self.rule.asked)


def _infrastructure(desk: _Desk) -> Answer:
    """Raises UsageProblem for a tree: metric filters are of log groups."""
    if not desk.groups:
        raise UsageProblem(
            "--infrastructure: metric filters belong to log groups; name one: --group"
        )
    notify = None if desk.project is None else desk.project.notify
    topic = None if notify is None else notify.sns
    plain = infrastructure(desk.rule, desk.name, desk.groups, topic)
    lines = []
    for number, each in enumerate(plain["metric_filters"], start=1):
        lines.append(f"# metric-filter-{number}.json: aws logs put-metric-filter --cli-input-json")
        lines.append(to_json(each))
    lines.append("# alarm.json: aws cloudwatch put-metric-alarm --cli-input-json")
    lines.append(to_json(plain["alarm"]))
    return Answer(plain, lines)


def _try(desk: _Desk, since_s: float) -> Answer:
    """One look back; nobody is told and nothing remembered."""
    now = time.time()
    ear = Ear(desk.source(), desk.rule.hits, Seen(0.0, now - since_s), now - since_s)
    found = ear.fresh(now)
    shown = [redacted(heard.line) for heard in found]
    lines = [*map(clean, shown), desk.speech.say(said("logs.alert.would", lines=len(found)))]
    differs: list[str] | None = None
    if desk.groups:
        try:
            differs = _differs(desk, found)
        except (AwsRefused, AwsUnreachable) as error:
            lines.append(desk.speech.say(said("logs.alert.untried", why=text(str(error)))))
    lines += [desk.speech.say(said("logs.alert.differs", line=line)) for line in differs or ()]
    plain = {
        "name": desk.name,
        "pattern": desk.rule.asked,
        "would_tell": shown,
        "differs": differs,
    }
    if differs:
        return Answer(plain, lines, Exit.FOUND)
    return would(lines, plain)


def _differs(desk: _Desk, found: list[Heard]) -> list[str]:
    """Lines that the service's own reading of the metric filters would not count."""
    from kirikae.aws.logs import pattern_hits

    tried = [heard.line for heard in found[-_TRIED:] if heard.line]
    if not tried:
        return []
    hit: set[int] = set()
    for pattern in desk.rule.counted:
        hit |= pattern_hits(desk.aws, pattern, tried)
    return [redacted(line) for number, line in enumerate(tried) if number not in hit]


def _listen(
    desk: _Desk,
    times: _Times,
    slack: str | None,
) -> Answer:
    stopped = ended_by_signals()
    first = time.time() - times.since_s
    state = AlertState.at(desk.file, desk.rule, times.overlap_s, first)
    ear = Ear(desk.source(), desk.rule.hits, state.seen, state.first)
    alert = Alert(ear, state, desk.file, _sender(desk, slack), _complain)
    for now in rounds(times.for_s, times.every_s, stopped.wait):
        patiently(partial(alert.look, now), _complain)
    plain = {"heard": alert.heard, "told": alert.told, "unsent": len(state.unsent)}
    lines = [desk.speech.say(said("logs.alert.ended", heard=alert.heard, told=alert.told))]
    return Answer(plain, lines, Exit.UNFINISHED if state.unsent else Exit.DONE)


def _sender(desk: _Desk, slack: str | None) -> Send:
    """To the chat, and to who looks on."""
    at = desk.move or ", ".join(desk.groups)
    title = f"{at}: {' | '.join(desk.rule.keywords)}"
    wants_aws = bool(desk.groups) or (slack or "").startswith("ssm:") or _asks_ssm(desk.project)
    to_chat = chat(desk.project, slack, desk.aws if wants_aws else None, title, desk.speech)

    def send(message: Mapping[str, Any]) -> None:
        if to_chat is not None:
            to_chat(message)
        if desk.as_json:
            click.echo(to_json(message))
        else:
            click.echo(clean(sentence(message, desk.speech)))

    return send


def _asks_ssm(project: Project | None) -> bool:
    notify = None if project is None else project.notify
    slack = None if notify is None else notify.slack
    return slack is not None and (slack.webhook or slack.token or "").startswith("ssm:")


def _complain(line: str) -> None:
    click.echo(line, err=True)
