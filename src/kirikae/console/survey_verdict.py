"""Where each host's service can run, from what was found on it: on Fargate, on EC2 capacity, or
where it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kirikae.console.decision import MONTH_DAYS, Facts, facts_of
from kirikae.console.findings import Manner
from kirikae.console.here import Answer, Here
from kirikae.console.surveyed import bundles_of
from kirikae.model.ec2 import READ, capacity
from kirikae.model.finding import Finding
from kirikae.model.project import Project
from kirikae.model.said import Said, said

_NOT_SEEN = ("SV01", "SV02", "SV03", "SV04")
_STAYS = ("ST06", "ML04")
"""Data of a server, mail that arrives: a container keeps neither."""
_NEEDS_EC2 = ("PR10", "PR11")
"""Rights of the kernel; a container engine: Fargate has no privileged containers."""
_MODULES = "PK09"
_KERNEL = "PR15"
_NOT_ON_FARGATE = ("vm.", "fs.", "kernel.")
"""Of sysctl, Fargate takes net.* and the IPC namespace alone (ECS API, SystemControl)."""


class Place(StrEnum):
    """Where a host's service can run.  ``UNKNOWN``: too little of the host was seen."""

    UNKNOWN = "unknown"
    STAYS = "stays"
    EC2 = "ec2"
    FARGATE = "fargate"


@dataclass(frozen=True, slots=True)
class Judged:
    """One host, and the findings that decide."""

    host: str
    place: Place
    reasons: tuple[Finding, ...]

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "host": self.host,
            "place": self.place.value,
            "reasons": [{"code": each.code, "where": each.where} for each in self.reasons],
        }


def judged(host: str, findings: Sequence[Finding]) -> Judged:
    """What is gravest decides; what somebody answers for does not."""
    by_place: dict[Place, list[Finding]] = {place: [] for place in Place}
    for finding in findings:
        if not finding.accepted:
            by_place[_asks_for(finding)].append(finding)
    for place in (Place.UNKNOWN, Place.STAYS, Place.EC2):
        if by_place[place]:
            return Judged(host, place, tuple(by_place[place]))
    return Judged(host, Place.FARGATE, ())


def _asks_for(finding: Finding) -> Place:
    """The place that this finding alone would ask for."""
    if finding.code in _NOT_SEEN:
        return Place.UNKNOWN
    if finding.code in _STAYS:
        return Place.STAYS
    loads = finding.code == _MODULES and finding.blocks
    if finding.code in _NEEDS_EC2 or loads or _sets_the_kernel(finding):
        return Place.EC2
    return Place.FARGATE


def _sets_the_kernel(finding: Finding) -> bool:
    """The line of sysctl stands in its evidence, as the host has it."""
    if finding.code != _KERNEL:
        return False
    return any(trace.says.startswith(_NOT_ON_FARGATE) for trace in finding.evidence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of all hosts, with what the new side costs a day as far as that is known."""

    hosts: Sequence[Judged]
    cost: Sequence[Said]

    def to_plain(self, manner: Manner) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "hosts": [each.to_plain() for each in self.hosts],
            "cost": [manner.speech.say(each) for each in self.cost],
        }

    def lines(self, manner: Manner) -> Iterator[str]:
        """For people."""
        for each in self.hosts:
            place = said(f"console.verdict.{each.place}")
            head = said("console.verdict.host", host=each.host, place=place)
            yield manner.speech.say(head)
            for finding in each.reasons:
                yield f"  {finding.code} {manner.says(finding)}"
        for sentence in self.cost:
            yield manner.speech.say(sentence)

    def answer(self, manner: Manner) -> Answer:
        """Always Exit.DONE: a host that stays is no failure."""
        return Answer(self.to_plain(manner), list(self.lines(manner)))


def verdict(
    here: Here,
    project: Project,
    findings: Sequence[Finding],
    yen: float | None = None,
) -> Verdict:
    """Of the hosts that were surveyed; EC2 capacity is priced beside Fargate, so that they can be
    compared.  Raises NoSurvey, BundleProblem."""
    facts = facts_of(here, yen)
    hosts = []
    for bundle in bundles_of(here, project).every:
        own = [each for each in findings if bundle.host in (*each.hosts, each.where)]
        hosts.append(judged(bundle.host, own))
    return Verdict(hosts, [*facts.cost(), *cost_of_ec2(facts)])


def cost_of_ec2(facts: Facts) -> list[Said]:
    """Instances that hold the same tasks, by list price; a service of unknown size has no price."""
    if facts.size is None:
        return []
    region = facts.project.region
    found = capacity(
        region,
        facts.size.cpu,
        facts.size.memory,
        facts.project.build.tasks,
    )
    if found is None:
        return [said("console.verdict.no_price_of_ec2", region=region)]
    text = said(
        "console.verdict.price_of_ec2",
        many=found.many,
        name=found.instance.name,
        day=found.day,
        month=found.day * MONTH_DAYS,
        region=region,
        read=READ,
    )
    return [text, *facts.in_yen(found.day)]
