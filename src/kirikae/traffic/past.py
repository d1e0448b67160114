"""The old side's last day in parts that are alike: its zones, its targets, or two days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kirikae.aws.errors import AwsRefused
from kirikae.move.dispersion import on_fewer_targets
from kirikae.move.judge import Margins
from kirikae.traffic.access_log import AccessLog
from kirikae.traffic.alike import Parts, bounds_of
from kirikae.traffic.by_target import by_target
from kirikae.traffic.figures import (
    PAST_PERIOD_S,
    CloudWatch,
    dispersion_of,
)


@dataclass(frozen=True, slots=True)
class Past:
    """``zones``: by availability zone, whether they can be told apart or not.

    ``log``: the access log, where it is the source of the move; None: it is not, or it cannot be
    read.
    """

    zones: Parts
    source: CloudWatch
    log: AccessLog | None
    margins: Margins
    until: float

    def parts(self) -> Parts:
        """As the move will count: by targets where the access log is its source."""
        targets = self._targets()
        if targets is not None and targets.told_apart:
            return targets
        return self.zones if self.zones.told_apart else self._days()

    def _targets(self) -> Parts | None:
        """As if one of them stood for a new side of one target."""
        if self.log is None:
            return None
        try:
            found = by_target(
                self.log,
                self.until,
                bounds_of(self.margins, self.zones.tau),
            )
        except AwsRefused:
            return None
        whole = [found.whole[stamp] for stamp in sorted(found.whole)]
        return replace(
            self.zones,
            by_name=found.alone,
            others=found.others,
            whole=found.asked,
            dispersion=on_fewer_targets(
                dispersion_of(whole, _compared(self.margins, self.zones.tau)),
                len(found.alone) - 1,
                1,
            ),
            of="targets",
        )

    def _days(self) -> Parts:
        days = self.source.days(self.until, bounds_of(self.margins, self.zones.tau))
        asked = sum(arm.requests for day in days.values() for arm in day.values())
        return replace(
            self.zones,
            by_name=days,
            whole=asked,
            of="days",
        )


def past_of(
    source: CloudWatch,
    log: AccessLog | None,
    margins: Margins,
    tau: Mapping[str, float],
    until: float,
) -> Past:
    """``tau``: the old side's quantiles in seconds."""
    compared = {} if margins.fast_enough_ms else tau
    by_name = source.parts(until, bounds_of(margins, compared))
    whole = by_name.pop("")
    past = dispersion_of(list(whole.values()), _compared(margins, compared))
    requests = sum(arm.requests for arm in whole.values())
    zones = Parts(
        PAST_PERIOD_S,
        by_name,
        requests,
        compared,
        past,
    )
    return Past(
        zones,
        source,
        log,
        margins,
        until,
    )


def _compared(margins: Margins, tau: Mapping[str, float]) -> Mapping[str, float]:
    """Metric -> the time in seconds above which an answer counts."""
    bound = margins.fast_enough_ms / 1000
    return {"latency": bound} if bound else tau
