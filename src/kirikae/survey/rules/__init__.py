"""Every rule of the survey: a table.  A rule looks at one host and finds one thing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from kirikae.model.finding import Finding
from kirikae.survey.catalogue import Findings
from kirikae.survey.rules import (
    code,
    commands,
    configuration,
    databases,
    edge,
    environment,
    jobs,
    keys,
    limits,
    logfiles,
    logs,
    mail,
    network,
    origins,
    outward,
    packages,
    php,
    processes,
    runs,
    sight,
    sizing,
    software,
    starting,
    state,
    stores,
    support,
    web,
)
from kirikae.survey.view import View

Rule = Callable[[View], Findings]

RULES: tuple[Rule, ...] = (
    *state.RULES,
    *databases.RULES,
    *php.RULES,
    *environment.RULES,
    *configuration.RULES,
    *code.RULES,
    *processes.RULES,
    *limits.RULES,
    *network.RULES,
    *web.RULES,
    *jobs.RULES,
    *logs.RULES,
    *mail.RULES,
    *packages.RULES,
    *stores.RULES,
    *origins.RULES,
    *starting.RULES,
    *commands.RULES,
    *edge.RULES,
    *outward.RULES,
    *runs.RULES,
    *logfiles.RULES,
    *software.RULES,
    *keys.RULES,
    *sizing.RULES,
    *sight.RULES,
)


def findings_of(view: View, today: date) -> list[Finding]:
    """All findings of one host."""
    found = [finding for rule in RULES for finding in rule(view)]
    return [*found, *support.ends(view, today)]
