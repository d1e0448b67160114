"""The datapoints that policies look at, each once: when it becomes known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from kirikae.local.alarms.book import region_of
from kirikae.local.alarms.evaluating import LAG_S
from kirikae.local.alarms.figures import Figures
from kirikae.local.alarms.forms import Asked
from kirikae.local.scaling.forms import place_of
from kirikae.local.scaling.policies import Requests, Rings, Rule, Used
from kirikae.local.scaling.rows import Target
from kirikae.local.state import State
from kirikae.model.scaling import PUBLISHED_AFTER_S, Measured

MISSING = float("nan")
Latest = Callable[[str], float | None]
"""ARN of an alarm -> the datapoint that it was evaluated by last."""


class Datapoints:
    """Of all services."""

    def __init__(
        self,
        state: State,
        figures: Figures,
        latest: Latest,
        delays: bool,
    ) -> None:
        """``delays``: as late as AWS would know them; else almost at once."""
        self._state = state
        self._figures = figures
        self._latest = latest
        self._delays = delays

    async def at(
        self,
        target: Target,
        rules: list[Rule],
        moment: int,
    ) -> dict[Measured, float]:
        """Those that become known at this moment; NaN where the figure is missing.  Raises
        OSError where somebody who keeps figures does not answer."""
        found: dict[Measured, float] = {}
        for rule in rules:
            metric = rule.policy.metric
            late = self._late_s(rule)
            if metric not in found and (moment - late) % metric.period_s == 0:
                found[metric] = await self._value(
                    target,
                    rule,
                    moment - late,
                )
        return found

    def _late_s(self, rule: Rule) -> int:
        """An alarm of one's own is as late as its figures are, already."""
        if not self._delays:
            return LAG_S
        if isinstance(rule.source, Rings):
            return 0
        return int(PUBLISHED_AFTER_S[rule.policy.metric.period_s])

    async def _value(
        self,
        target: Target,
        rule: Rule,
        until: int,
    ) -> float:
        since = until - rule.policy.metric.period_s
        match rule.source:
            case Used(figure):
                return self._used(
                    target,
                    figure,
                    since,
                    until,
                )
            case Requests(group):
                return self._requests(
                    group,
                    since,
                    until,
                )
            case Rings(alarm):
                value = self._latest(alarm)
                return MISSING if value is None else value
            case Asked() as asked:
                region = region_of(target["arn"])
                points = await self._figures.points(
                    region,
                    asked,
                    since,
                    until,
                )
                return _only(points)

    def _used(
        self,
        target: Target,
        figure: str,
        since: int,
        until: int,
    ) -> float:
        """In per cent of what is reserved."""
        cluster, service = place_of(target["resource"])
        rows = self._state.gauged(
            f"ecs/{cluster}/{service}",
            since,
            until,
        )
        values = [float(row[figure]) for _, row in rows if figure in row]
        return fmean(values) if values else MISSING

    def _requests(
        self,
        group: str,
        since: int,
        until: int,
    ) -> float:
        """A minute without any is a real zero."""
        rows = self._state.counted(
            group,
            since,
            until,
        )
        counted = sum(row["counts"].get("RequestCount", 0) for _, row in rows)
        gauges = self._state.gauged(
            f"gauge/{group}",
            since,
            until,
        )
        healthy = [float(row["HealthyHostCount"]) for _, row in gauges if "HealthyHostCount" in row]
        hosts = fmean(healthy) if healthy else self._healthy_now(group)
        return counted / max(hosts, 1.0)

    def _healthy_now(self, group: str) -> float:
        targets = self._state.targets.all()
        return sum(each["group"] == group and each["state"] == "healthy" for each in targets)


def _only(points: Mapping[int, float]) -> float:
    return next(iter(points.values()), MISSING)
