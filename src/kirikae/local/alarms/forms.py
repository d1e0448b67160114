"""What an alarm is asked to be, with every default in its place; what AWS refuses, and what is not
carried out here, is refused by name.  Pure.

CloudWatch API reference, PutMetricAlarm, PutCompositeAlarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kirikae.local.alarms.evaluation import COMPARISONS, TREATMENTS, Rule
from kirikae.local.elb.cloudwatch import check_measured
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain

ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
"""State -> the member that says what happens when it begins."""
MOST_ACTIONS = 5
_LONGEST_NAME = 255
_MINUTE_S = 60
_SHORT_S = (10, 20, 30)
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_NOT_HERE = (
    "EvaluateLowSampleCountPercentile",
    "EvaluationCriteria",
    "EvaluationInterval",
    "EvaluationWindow",
    "ThresholdMetricId",
    "WarmUpConfiguration",
    "ActionConfiguration",
)
_SUPPRESSORS = (
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
    "ActionConfiguration",
)
MEASURED = ("AWS/ApplicationELB", "AWS/ECS", "AWS/SQS")
"""Of AWS's own namespaces, those that kirikae local measures; nobody may put figures into them."""
_NEEDED = ("EvaluationPeriods", "ComparisonOperator", "Threshold")
_OF_METRIC = ("Namespace", "MetricName", "Dimensions", "Unit")


def refused(why: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("ValidationError", why)


@dataclass(frozen=True, slots=True)
class Asked:
    """One statistic of one metric."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int
    unit: str = ""

    @property
    def is_measured_here(self) -> bool:
        """Else somebody puts its figures."""
        return self.namespace in MEASURED


def asked_of(form: Plain) -> Asked:
    """Of a metric alarm."""
    dimensions = sorted((each["Name"], each["Value"]) for each in form.get("Dimensions", ()))
    return Asked(
        form["Namespace"],
        form["MetricName"],
        tuple(dimensions),
        form.get("Statistic") or form["ExtendedStatistic"],
        int(form["Period"]),
        form.get("Unit", ""),
    )


def rule_of(form: Plain) -> Rule:
    """Of a metric alarm."""
    most = int(form["EvaluationPeriods"])
    least = int(form.get("DatapointsToAlarm", most))
    missing = form["TreatMissingData"]
    return Rule(
        form["ComparisonOperator"],
        float(form["Threshold"]),
        most,
        least,
        missing,
    )


def metric_form(params: Plain) -> Plain:
    """Raises AwsError."""
    form = {**params, **_single_metric(params)}
    form.pop("Metrics", None)
    form.pop("Tags", None)
    form.setdefault("ActionsEnabled", True)
    form.setdefault("TreatMissingData", "missing")
    form.setdefault("Dimensions", [])
    for member in ACTIONS.values():
        form.setdefault(member, [])
    for why in (*_not_here(form, _NOT_HERE), *_wrong_metric(form), *_wrong_numbers(form)):
        raise refused(why)
    check_figures(asked_of(form))
    return form


def check_figures(asked: Asked) -> None:
    """Raise AwsError where there would never be a figure: an alarm over nothing never rings."""
    if asked.namespace in MEASURED:
        check_measured(
            asked.namespace,
            asked.name,
            asked.statistic,
        )
    elif asked.namespace.startswith("AWS/"):
        raise refused(
            f"kirikae local measures nothing of {asked.namespace}: this would never ring or scale"
        )
    elif asked.statistic not in PLAIN:
        raise refused(
            f"{asked.statistic}: of figures that others put, kirikae local knows {', '.join(PLAIN)}"
        )


def composite_form(params: Plain) -> Plain:
    """Raises AwsError; the rule itself is read by whoever knows the alarms."""
    form = {key: value for key, value in params.items() if key != "Tags"}
    form.setdefault("ActionsEnabled", True)
    for member in ACTIONS.values():
        form.setdefault(member, [])
    for why in (*_not_here(form, _SUPPRESSORS), *_wrong_name(form)):
        raise refused(why)
    return form


def _single_metric(params: Plain) -> Plain:
    """``Metrics`` with one metric, and nothing calculated, means the same as its members."""
    queries = params.get("Metrics")
    if not queries:
        return {}
    if len(queries) > 1 or "MetricStat" not in queries[0]:
        raise refused("kirikae local does not carry out expressions in Metrics of alarms")
    told = queries[0]["MetricStat"]
    found = {key: value for key, value in told["Metric"].items() if key in _OF_METRIC}
    kind = "Statistic" if told["Stat"] in PLAIN else "ExtendedStatistic"
    unit = {"Unit": told["Unit"]} if "Unit" in told else {}
    return {
        **found,
        **unit,
        "Period": told["Period"],
        kind: told["Stat"],
    }


PLAIN = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


def _not_here(form: Plain, members: tuple[str, ...]) -> Iterator[str]:
    for member in members:
        if form.get(member):
            yield f"kirikae local does not carry out {member} of alarms"


def _wrong_name(form: Plain) -> Iterator[str]:
    name = form["AlarmName"]
    if not name or len(name) > _LONGEST_NAME:
        yield f"AlarmName: 1 to {_LONGEST_NAME} characters"
    for member in ACTIONS.values():
        if len(form[member]) > MOST_ACTIONS:
            yield f"{member}: at most {MOST_ACTIONS}"


def _wrong_metric(form: Plain) -> Iterator[str]:
    yield from _wrong_name(form)
    for member in ("MetricName", "Namespace", "Period"):
        if not form.get(member):
            yield f"The parameter {member} is required"
            return
    if bool(form.get("Statistic")) is bool(form.get("ExtendedStatistic")):
        yield "Exactly one of Statistic and ExtendedStatistic must be specified"
    if form["Namespace"] in MEASURED and form["Period"] < _MINUTE_S:
        yield f"Period {form['Period']}: kirikae local evaluates AWS's figures by whole minutes"


def _wrong_numbers(form: Plain) -> Iterator[str]:
    for member in _NEEDED:
        if member not in form:
            yield f"The parameter {member} is required"
            return
    if form["ComparisonOperator"] not in COMPARISONS:
        yield f"kirikae local does not carry out {form['ComparisonOperator']}"
    if form["TreatMissingData"] not in TREATMENTS:
        yield f"TreatMissingData: one of {', '.join(TREATMENTS)}"
    yield from _wrong_lengths(form)


def _wrong_lengths(form: Mapping[str, int]) -> Iterator[str]:
    period = form["Period"]
    periods = form["EvaluationPeriods"]
    if period not in _SHORT_S and (period < _MINUTE_S or period % _MINUTE_S):
        yield f"Period {period}: 10, 20, 30 or a multiple of 60"
        return
    if periods < 1 or not 1 <= form.get("DatapointsToAlarm", periods) <= periods:
        yield "DatapointsToAlarm: from 1 to EvaluationPeriods, which is at least 1"
    longest = _WEEK_S if period >= 3600 else _DAY_S
    if period * periods > longest:
        yield f"Period x EvaluationPeriods: at most {longest} seconds"
