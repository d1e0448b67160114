"""CloudWatch's operations on alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from kirikae.local.alarms.book import Book, arn_of
from kirikae.local.alarms.forms import ACTIONS, asked_of, composite_form, metric_form, refused
from kirikae.local.alarms.rows import COMPOSITE, METRIC, Alarm, History
from kirikae.local.alarms.rule import alarms_in, read_rule
from kirikae.local.alarms.telling import is_policy, is_topic
from kirikae.local.errors import AwsError, RuleError
from kirikae.local.pages import TOKEN
from kirikae.local.plain import Plain
from kirikae.local.wire import Handlers

Each = TypeVar("Each")
_MOST_RECORDS = 100
_DEFAULT_RECORDS = 50
_MOST_HISTORY = 100


class Alarms:
    """Those of one region."""

    def __init__(
        self,
        book: Book,
        region: str,
        is_known_policy: Callable[[str], bool] = lambda arn: True,
    ) -> None:
        """``is_known_policy``: is there such a policy of Application Auto Scaling?"""
        self._book = book
        self._region = region
        self._is_known_policy = is_known_policy

    # --- making and changing

    async def put_metric(self, params: Plain) -> Plain:
        """PutMetricAlarm: what is not given of one that is there goes back to its default."""
        form = metric_form(params)
        self._check_actions(form, METRIC)
        self._put(
            METRIC,
            form,
            params,
        )
        return {}

    async def put_composite(self, params: Plain) -> Plain:
        """PutCompositeAlarm.  Its alarms must be there."""
        form = composite_form(params)
        self._check_actions(form, COMPOSITE)
        try:
            named = set(alarms_in(read_rule(form["AlarmRule"])))
        except RuleError as error:
            raise refused(str(error)) from error
        own = arn_of(self._region, form["AlarmName"])
        for name in sorted(named):
            if name in (own, form["AlarmName"]):
                raise refused(f"AlarmRule: {name} is the alarm itself")
            if self._book.named(self._region, name) is None:
                raise refused(f"AlarmRule: there is no alarm {name}")
        self._put(
            COMPOSITE,
            form,
            params,
        )
        return {}

    def _put(
        self,
        kind: str,
        form: Plain,
        params: Plain,
    ) -> None:
        arn = arn_of(self._region, form["AlarmName"])
        before = self._book.alarms.get(arn)
        if before is not None and before["kind"] != kind:
            raise refused(f"{before['name']} is there already, as a {before['kind']}")
        if before is not None and before["owner"]:
            raise refused(f"{before['name']} belongs to the scaling policy {before['owner']}")
        tags = {each["Key"]: each["Value"] for each in params.get("Tags", ())}
        self._book.put(
            arn,
            kind,
            form,
            tags,
            "",
        )

    def _check_actions(
        self,
        form: Plain,
        kind: str,
    ) -> None:
        """Raise AwsError for an action that nobody would carry out."""
        for member in ACTIONS.values():
            for action in form[member]:
                if is_topic(action):
                    continue
                scales = is_policy(action) and kind == METRIC and member == ACTIONS["ALARM"]
                if not scales:
                    raise refused(f"kirikae local does not carry out {action} as one of {member}")
                if not self._is_known_policy(action):
                    raise refused(f"{action}: there is no such scaling policy")

    async def delete(self, params: Plain) -> Plain:
        """DeleteAlarms: all of them, or none."""
        found = [self._named(name) for name in params["AlarmNames"]]
        for alarm in found:
            if alarm["owner"]:
                raise refused(f"{alarm['name']} belongs to the scaling policy {alarm['owner']}")
        self._check_unused({alarm["name"] for alarm in found})
        for alarm in found:
            self._book.drop(alarm)
        return {}

    def _check_unused(self, names: set[str]) -> None:
        """Raise AwsError for one that is in the rule of an alarm that stays."""
        for other in self._book.alarms.all():
            used = names & _named_by(other)
            if used and other["name"] not in names:
                why = f"{min(used)} is in the rule of the composite alarm {other['name']}"
                raise AwsError("ResourceConflict", why)

    async def set_state(self, params: Plain) -> Plain:
        """SetAlarmState: until it is evaluated again, at its next minute at the latest."""
        alarm = self._named(params["AlarmName"])
        self._book.turn(
            alarm["arn"],
            params["StateValue"],
            params["StateReason"],
            self._book.now(),
            params.get("StateReasonData", ""),
        )
        return {}

    async def enable(self, params: Plain) -> Plain:
        """EnableAlarmActions; names that are not there are passed over, as on AWS."""
        return self._switch(params, True)

    async def disable(self, params: Plain) -> Plain:
        """DisableAlarmActions."""
        return self._switch(params, False)

    def _switch(
        self,
        params: Plain,
        is_on: bool,
    ) -> Plain:
        for name in params["AlarmNames"]:
            alarm = self._book.named(self._region, name)
            if alarm is not None:
                form = {**alarm["form"], "ActionsEnabled": is_on}
                self._book.alarms.put(alarm["arn"], {**alarm, "form": form})
        return {}

    # --- looking

    async def describe(self, params: Plain) -> Plain:
        """DescribeAlarms: metric alarms alone unless others are asked for."""
        kinds = params.get("AlarmTypes") or [METRIC]
        wanted = [each for each in self._chosen(params) if each["kind"] in kinds]
        size = int(params.get("MaxRecords", _DEFAULT_RECORDS))
        page, more = _page(
            wanted,
            params,
            min(size, _MOST_RECORDS),
        )
        shown: Plain = {"MetricAlarms": [], "CompositeAlarms": []}
        for alarm in page:
            shown[f"{alarm['kind']}s"].append(show(alarm))
        return shown | more

    def _chosen(self, params: Plain) -> Iterator[Alarm]:
        names = params.get("AlarmNames")
        prefix = params.get("AlarmNamePrefix", "")
        if names and prefix:
            raise refused("AlarmNames and AlarmNamePrefix cannot be given together")
        known = sorted(self._book.alarms.all(), key=lambda each: each["name"])
        related = self._related(params)
        wanted = [set(each) for each in (names, related) if each is not None]
        for alarm in known:
            is_named = all(alarm["name"] in each for each in wanted)
            if is_named and alarm["name"].startswith(prefix) and _fits(alarm, params):
                yield alarm

    def _related(self, params: Plain) -> set[str] | None:
        """Names of an alarm's children or parents; None: neither is asked for."""
        if "ChildrenOfAlarmName" in params:
            return _named_by(self._named(params["ChildrenOfAlarmName"]))
        if "ParentsOfAlarmName" in params:
            name = params["ParentsOfAlarmName"]
            return {each["name"] for each in self._book.alarms.all() if name in _named_by(each)}
        return None

    async def describe_for_metric(self, params: Plain) -> Plain:
        """DescribeAlarmsForMetric: with just these dimensions."""
        dimensions = _pairs(params.get("Dimensions", ()))
        found = []
        for alarm in self._book.alarms.all():
            if alarm["kind"] != METRIC:
                continue
            asked = asked_of(alarm["form"])
            is_metric = (asked.namespace, asked.name) == (params["Namespace"], params["MetricName"])
            if is_metric and set(asked.dimensions) == dimensions and _same(alarm["form"], params):
                found.append(show(alarm))
        return {"MetricAlarms": found}

    async def history(self, params: Plain) -> Plain:
        """DescribeAlarmHistory: also of alarms that are gone."""
        kinds = params.get("AlarmTypes") or [METRIC]
        items = [
            item
            for history in self._book.histories.all()
            if history["kind"] in kinds and params.get("AlarmName") in (None, history["name"])
            for item in _items(history, params)
        ]
        newest_first = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        items.sort(key=lambda each: each["Timestamp"], reverse=newest_first)
        page, more = _page(
            items,
            params,
            int(params.get("MaxRecords", _MOST_HISTORY)),
        )
        return {"AlarmHistoryItems": page, **more}

    # --- tags

    async def tag(self, params: Plain) -> Plain:
        """TagResource."""
        alarm = self._of_arn(params)
        more = {each["Key"]: each["Value"] for each in params["Tags"]}
        self._book.alarms.put(alarm["arn"], {**alarm, "tags": {**alarm["tags"], **more}})
        return {}

    async def untag(self, params: Plain) -> Plain:
        """UntagResource."""
        alarm = self._of_arn(params)
        gone = params["TagKeys"]
        tags = {key: value for key, value in alarm["tags"].items() if key not in gone}
        self._book.alarms.put(alarm["arn"], {**alarm, "tags": tags})
        return {}

    async def tags(self, params: Plain) -> Plain:
        """ListTagsForResource."""
        tags = self._of_arn(params)["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}

    def _of_arn(self, params: Plain) -> Alarm:
        found = self._book.alarms.get(params["ResourceARN"])
        if found is None:
            raise AwsError("ResourceNotFoundException", f"{params['ResourceARN']} is not there")
        return found

    def _named(self, name: str) -> Alarm:
        """Raises AwsError where there is none."""
        found = self._book.named(self._region, name)
        if found is None:
            raise AwsError(
                "ResourceNotFound",
                f"There is no alarm {name}",
                404,
            )
        return found


def show(alarm: Alarm) -> Plain:
    """As DescribeAlarms tells it."""
    state = alarm["state"]
    told = {
        **alarm["form"],
        "AlarmArn": alarm["arn"],
        "AlarmConfigurationUpdatedTimestamp": alarm["configured"],
        "StateValue": state["value"],
        "StateReason": state["reason"],
        "StateUpdatedTimestamp": state["at"],
        "StateTransitionedTimestamp": alarm["transitioned"],
    }
    return {**told, "StateReasonData": state["data"]} if state["data"] else told


def _named_by(alarm: Alarm) -> set[str]:
    """Names in a composite alarm's rule, without the ARN before them."""
    if alarm["kind"] != COMPOSITE:
        return set()
    return {each.rpartition(":")[2] for each in alarms_in(read_rule(alarm["form"]["AlarmRule"]))}


def _fits(alarm: Alarm, params: Plain) -> bool:
    if params.get("StateValue") not in (None, alarm["state"]["value"]):
        return False
    prefix = params.get("ActionPrefix", "")
    actions = [each for member in ACTIONS.values() for each in alarm["form"][member]]
    return not prefix or any(each.startswith(prefix) for each in actions)


def _same(form: Plain, params: Plain) -> bool:
    """In what is asked for beside the metric."""
    members = ("Statistic", "ExtendedStatistic", "Period", "Unit")
    return all(form.get(each) == params[each] for each in members if each in params)


def _pairs(dimensions: Iterable[Plain]) -> set[tuple[str, str]]:
    return {(each["Name"], each["Value"]) for each in dimensions}


def _items(history: History, params: Plain) -> Iterator[Plain]:
    since = params.get("StartDate", float("-inf"))
    until = params.get("EndDate", float("inf"))
    for item in history["items"]:
        is_wanted = params.get("HistoryItemType") in (None, item["kind"])
        if is_wanted and since <= item["at"] <= until:
            yield {
                "AlarmName": history["name"],
                "AlarmType": history["kind"],
                "Timestamp": item["at"],
                "HistoryItemType": item["kind"],
                "HistorySummary": item["summary"],
                "HistoryData": item["data"],
            }


def _page(
    items: list[Each],
    params: Plain,
    size: int,
) -> tuple[list[Each], Plain]:
    """One page, and the token of the next one."""
    token = params.get("NextToken") or "0"
    if not TOKEN.fullmatch(token):
        raise AwsError("InvalidNextToken", "Invalid token.")
    end = int(token) + size
    return items[int(token) : end], {"NextToken": str(end)} if end < len(items) else {}


OPERATIONS: Handlers[Alarms] = {
    "PutMetricAlarm": Alarms.put_metric,
    "PutCompositeAlarm": Alarms.put_composite,
    "DeleteAlarms": Alarms.delete,
    "SetAlarmState": Alarms.set_state,
    "EnableAlarmActions": Alarms.enable,
    "DisableAlarmActions": Alarms.disable,
    "DescribeAlarms": Alarms.describe,
    "DescribeAlarmsForMetric": Alarms.describe_for_metric,
    "DescribeAlarmHistory": Alarms.history,
    "TagResource": Alarms.tag,
    "UntagResource": Alarms.untag,
    "ListTagsForResource": Alarms.tags,
}
PARTLY = {
    "PutMetricAlarm": "one metric, no expressions, anomaly bands or queries; AWS's own namespaces "
    "AWS/ApplicationELB, AWS/ECS and AWS/SQS; actions: SNS topics and policies of services",
    "PutCompositeAlarm": "without AT_LEAST and suppressors; actions: SNS topics",
    "DescribeAlarmHistory": "the last hundred items of each alarm",
}
"""Operations of which something is missing, and what."""
