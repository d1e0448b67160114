"""Keywords as a filter pattern of CloudWatch Logs, and the same rule as a metric filter and an
alarm.  Pure.

CloudWatch Logs user guide, "Filter pattern syntax": terms in quotes are looked for as they stand,
large and small letters differ; ``?a ?b`` is one of both, and with any other term beside them the
question marks are ignored; ``-a`` leaves out.  A pattern has at most 1,024 characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.errors import UsageProblem

LONGEST = 1024
NAMESPACE = "kirikae/logs"


@dataclass(frozen=True, slots=True)
class Rule:
    """Lines with one of ``keywords`` and none of ``without``.

    ``window_s``: of each kind of line one message at once, then one a window with their number.
    ``at_most``: so many kinds in a window; the others are counted together.
    """

    keywords: tuple[str, ...]
    without: tuple[str, ...] = ()
    window_s: float = 60.0
    at_most: int = 10

    def hits(self, line: str) -> bool:
        """As CloudWatch Logs would find it."""
        return any(word in line for word in self.keywords) and not any(
            word in line for word in self.without
        )

    @property
    def asked(self) -> str:
        """What the service is asked for: no line is left out that ``hits`` would find."""
        return self._one_of() if len(self.keywords) > 1 else self._pattern(self.keywords[0])

    @property
    def counted(self) -> tuple[str, ...]:
        """Of metric filters.  Several keywords with something to leave out need one each: a line
        that has two of them counts twice."""
        if len(self.keywords) > 1 and not self.without:
            return (self._one_of(),)
        return tuple(self._pattern(word) for word in self.keywords)

    def _one_of(self) -> str:
        return " ".join(f"?{quoted(word)}" for word in self.keywords)

    def _pattern(self, word: str) -> str:
        return " ".join([quoted(word), *(f"-{quoted(each)}" for each in self.without)])


def quoted(word: str) -> str:
    """A term as it stands."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rule_of(
    keywords: tuple[str, ...],
    without: tuple[str, ...],
    window_s: float,
    at_most: int,
) -> Rule:
    """Raises UsageProblem for what no pattern can hold."""
    for word in (*keywords, *without):
        if not word.strip() or "\n" in word:
            raise UsageProblem(
                f"{word!r} is no keyword: write what stands in a line, such as ERROR"
            )
    rule = Rule(keywords, without, window_s, at_most)
    longest = max(map(len, (rule.asked, *rule.counted)))
    if longest > LONGEST:
        raise UsageProblem(
            f"these keywords make a pattern of {longest} characters, CloudWatch Logs takes "
            f"{LONGEST}: give fewer or shorter ones"
        )
    return rule


def infrastructure(
    rule: Rule,
    name: str,
    groups: tuple[str, ...],
    topic: str | None,
) -> dict[str, Any]:
    """The same rule without kirikae: what ``put-metric-filter`` and ``put-metric-alarm`` of AWS's
    command line take.  Such a message carries no line (CloudWatch user guide, "Alarms")."""
    return {
        "metric_filters": [
            _filter(name, group, number, pattern)
            for group in groups
            for number, pattern in enumerate(rule.counted, start=1)
        ],
        "alarm": _alarm(rule, name, topic),
    }


def _filter(
    name: str,
    group: str,
    number: int,
    pattern: str,
) -> Mapping[str, Any]:
    """Without ``defaultValue`` there would be no figure between hits."""
    transformation = {
        "metricName": name,
        "metricNamespace": NAMESPACE,
        "metricValue": "1",
        "defaultValue": 0.0,
    }
    return {
        "logGroupName": group,
        "filterName": f"{name}-{number}",
        "filterPattern": pattern,
        "metricTransformations": [transformation],
    }


def _alarm(
    rule: Rule,
    name: str,
    topic: str | None,
) -> Mapping[str, Any]:
    """CloudWatch's shortest ordinary period is a minute, and periods are whole minutes."""
    period = max(60, -(-int(rule.window_s) // 60) * 60)
    words = " or ".join(rule.keywords)
    return {
        "AlarmName": name,
        "AlarmDescription": f"lines with {words}"[:1024],
        "Namespace": NAMESPACE,
        "MetricName": name,
        "Statistic": "Sum",
        "Period": period,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [] if topic is None else [topic],
    }
