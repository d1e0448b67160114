"""What people who decide need to know, from the survey alone: what ends, what is gained, what it
takes, what it costs, the risks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from kirikae.build.sizes import Size, size_of
from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.console.surveyed import bundles_of, is_about_survey, survey_findings, today
from kirikae.model.fargate import dollars_a_day
from kirikae.model.finding import Finding, Severity
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.survey.errors import NoSurvey
from kirikae.survey.known import support
from kirikae.survey.workload import workload

_GAINS = ("JB04", "ST03", "ST04", "CF12", "CF05")
"""Findings whose end is a gain, in the order in which they are told."""
_COUNTED = ("JB04", "CF12")
"""One finding speaks of several things."""
_GRAVEST_FIRST = [severity.value for severity in Severity]
MONTH_DAYS = 30
_DAYS_OF_A_KIND = {
    Severity.BLOCKS.value: (1.0, 5.0),
    Severity.HIGH.value: (0.5, 3.0),
    Severity.WORK.value: (0.25, 1.0),
}
"""Person-days for the first place of a kind of work, least and most: a rule of thumb (ours)."""
_DAYS_OF_A_PLACE = (0.1, 0.25)
"""For each further place of the same kind."""


class End(NamedTuple):
    """The day from which nobody maintains something."""

    name: str
    day: date

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"name": self.name, "ends": self.day.isoformat()}


class Point(NamedTuple):
    """A sentence, and what stands behind it."""

    title: Said
    text: Said

    def plain(self, speech: Speech) -> str:
        """Both in one text, for ``--json``."""
        title = speech.say(self.title)
        text = speech.say(self.text)
        return f"{title} {text}"


class Task(NamedTuple):
    """Work of one kind: how grave, which finding, in how many places, on which machines."""

    severity: str
    code: str
    places: int
    machines: str

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return self._asdict()


class Effort(NamedTuple):
    """Person-days, and what they are the sum of."""

    least: float
    most: float
    kinds: dict[str, int]
    further: int

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``, with the rates."""
        rates: dict[str, Any] = {name: list(rate) for name, rate in _DAYS_OF_A_KIND.items()}
        return self._asdict() | {"rates": rates, "rate_of_a_further_place": list(_DAYS_OF_A_PLACE)}


def effort_of(tasks: Iterable[Task]) -> Effort:
    """A rate for each kind of work, a smaller one for each further place of it."""
    least = most = 0.0
    kinds = dict.fromkeys(_DAYS_OF_A_KIND, 0)
    further = 0
    for task in tasks:
        low, high = _DAYS_OF_A_KIND[task.severity]
        more = task.places - 1
        least += low + more * _DAYS_OF_A_PLACE[0]
        most += high + more * _DAYS_OF_A_PLACE[1]
        kinds[task.severity] += 1
        further += more
    return Effort(round(least, 1), round(most, 1), kinds, further)


@dataclass(frozen=True, slots=True)
class Facts:
    """``size`` is None where no service could be told apart; ``yen`` is what somebody says that a
    dollar costs, None: nobody did."""

    project: Project
    findings: Sequence[Finding]
    hosts: int
    ends: Sequence[End]
    size: Size | None
    day: date
    yen: float | None = None

    def gains(self) -> list[Point]:
        """What the findings promise, and what every such move brings."""
        counts = self._counts()
        points = []
        for code in _GAINS:
            if code in counts:
                points.append(_point("gains", code, n=counts[code]))
        points.append(_point("gains", "releases"))
        points.append(_point("gains", "growth"))
        return points

    def _counts(self) -> Counter[str]:
        """Code -> how many findings; of jobs, how many jobs."""
        counts: Counter[str] = Counter()
        for finding in self.findings:
            many = finding.count
            if finding.code not in _COUNTED or many is None:
                many = 1
            counts[finding.code] += many
        return counts

    def risks(self) -> list[Point]:
        """The same three for every service: they are told, whatever was found."""
        return [_point("risks", name) for name in ("worse", "tool", "overlooked")]

    def tasks(self) -> list[Task]:
        """Gravest first; without what somebody answers for and what is only good to know."""
        by_kind: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in self._open():
            kind = (_severity(finding), finding.code)
            by_kind[kind].append(finding)
        tasks = []
        for (severity, code), found in by_kind.items():
            task = Task(severity, code, len(found), _machines(found))
            tasks.append(task)
        return sorted(tasks, key=_order)

    def _open(self) -> Iterator[Finding]:
        """Findings that somebody still has to see to."""
        for finding in self.findings:
            if not finding.accepted and finding.severity is not Severity.HYGIENE:
                yield finding

    def cost(self) -> list[Said]:
        """Of running both sides."""
        project = self.project
        if self.size is None:
            return [said("console.report.cost_no_size")]
        size = self.size
        region = project.region
        tasks = project.build.tasks
        day = dollars_a_day(region, size.cpu, size.memory, tasks)
        if day is None:
            return [said("console.report.cost_unknown", region=region)]
        text = said(
            "console.report.cost_text",
            hosts=len(project.fleets.old.hosts),
            tasks=tasks,
            vcpu=size.cpu / 1024,
            memory=size.memory / 1024,
            day=day,
            month=day * MONTH_DAYS,
            region=region,
        )
        sentences = [text, *self.in_yen(day)]
        if not size.measured:
            sentences.append(said("console.report.cost_guess"))
        return sentences

    def in_yen(self, day: float) -> list[Said]:
        """The same money, where somebody said what a dollar costs: no rate is ours to say."""
        if self.yen is None:
            return []
        yen = day * self.yen
        blanks = {"rate": self.yen, "day": yen, "month": yen * MONTH_DAYS}
        return [said("console.report.cost_yen", **blanks)]

    def effort(self) -> Said:
        """How many person-days the work is, and how that comes about."""
        found = effort_of(self.tasks())
        return said(
            "console.report.effort",
            least=found.least,
            most=found.most,
            first=found.kinds[Severity.BLOCKS.value],
            grave=found.kinds[Severity.HIGH.value],
            work=found.kinds[Severity.WORK.value],
            further=found.further,
        )

    def to_plain(self, speech: Speech) -> dict[str, Any]:
        """Plain data for ``--json``; sentences in the page's language."""
        return {
            "language": speech.language,
            "ends": [end.to_plain() for end in self.ends],
            "gains": [point.plain(speech) for point in self.gains()],
            "takes": [task.to_plain() for task in self.tasks()],
            "effort": effort_of(self.tasks()).to_plain() | {"says": speech.say(self.effort())},
            "cost": self.cost_in_words(speech),
            "risks": [point.plain(speech) for point in self.risks()],
        }

    def cost_in_words(self, speech: Speech) -> str:
        """All sentences as one text."""
        sentences = map(speech.say, self.cost())
        return " ".join(sentences)


def _point(part: str, name: str, **blanks: object) -> Point:
    """A title and a text of ``console.report``."""
    key = f"console.report.{part}.{name}"
    title = said(f"{key}.title", **blanks)
    text = said(f"{key}.text", **blanks)
    return Point(title, text)


def _severity(finding: Finding) -> str:
    """What blocks the first visitor comes first, whatever else it is, and nothing else does."""
    if finding.stops("traffic"):
        return Severity.BLOCKS.value
    if finding.severity is Severity.BLOCKS:
        return Severity.HIGH.value
    return finding.severity.value


def _machines(found: Iterable[Finding]) -> str:
    """Names, each once; none for what was seen of AWS."""
    names: set[str] = set()
    for finding in found:
        names.update(finding.hosts)
    return ", ".join(sorted(names))


def _order(task: Task) -> tuple[int, str]:
    """Gravest first, then by code."""
    return _GRAVEST_FIRST.index(task.severity), task.code


def facts_of(here: Here, yen: float | None = None) -> Facts:
    """``yen``: what a dollar costs, as somebody says.  Raises NoSurvey, BundleProblem."""
    project = load_project(here)
    bundles = bundles_of(here, project)
    if not bundles.fleet:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    surveyed = survey_findings(here, project)
    found = [finding for finding in surveyed if not is_about_survey(finding)]
    try:
        built = workload(bundles.fleet, project.build, project.accepted)
        size: Size | None = size_of(built, project.build.tasks)
    except NoSurvey:
        size = None
    return Facts(
        project=project,
        findings=found,
        hosts=len(bundles.every),
        ends=_ends(found),
        size=size,
        day=today(),
        yen=yen,
    )


def _ends(found: Sequence[Finding]) -> list[End]:
    """What the survey found to end, soonest first."""
    days = support().ends()
    ends = (
        End(finding.where, days[finding.where])
        for finding in found
        if finding.code == "PR13" and finding.where in days
    )
    return sorted(ends, key=lambda end: end.day)
