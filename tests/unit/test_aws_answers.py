"""What AWS answers besides answers: every odd one is one of ours, and missing figures are none."""

from __future__ import annotations

import io
import time
from email.utils import formatdate
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import UnauthorizedSSOTokenError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from kirikae.aws import cloudwatch, ecs, elbv2
from kirikae.aws.clock import ServerClock
from kirikae.aws.cloudwatch import Query
from kirikae.aws.errors import EXPIRED, TRY_AGAIN, AwsRefused, CredentialsExpired, FiguresIncomplete
from kirikae.aws.s3_store import S3Store
from kirikae.aws.session import Aws, told
from kirikae.model.errors import AwsUnreachable, StoreBroken, Unfinished
from tests.answering import AnsweringAws

RULE = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/1/2/3"
ERROR = "<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
HTML = "<html><head><title>Sign in</title></head><body>proxy<br></body></html>"


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


class Answering:
    """An AWS that gives these answers, one after another; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> None:
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(key, "x")
        self.answers = list(answers)
        self.aws = Aws("eu-west-1")
        self.asked = 0

    def on(self, service: str) -> Aws:
        self.aws.client(service).meta.events.register("before-send", self._answer)
        return self.aws

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.asked += 1
        status, text = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        kind = "text/html" if text == HTML else "text/xml"
        headers = {"date": formatdate(time.time(), usegmt=True), "content-type": kind}
        return AWSResponse(request.url, status, headers, _Body(text.encode()))


def test_what_may_succeed_later_is_botocore_s_own_table():
    """And a newer botocore that knows more of them is noticed here."""
    theirs = {
        *ThrottledRetryableChecker._THROTTLED_ERROR_CODES,
        *TransientRetryableChecker._TRANSIENT_ERROR_CODES,
    }
    assert theirs <= TRY_AGAIN and not TRY_AGAIN & EXPIRED


@pytest.mark.parametrize("code", sorted(TRY_AGAIN))
@pytest.mark.parametrize("status", [400, 429])
def test_whatever_may_succeed_later_is_no_refusal(monkeypatch, code, status):
    """With any status."""
    aws = Answering(monkeypatch, (status, ERROR.format(code=code))).on("elbv2")
    with pytest.raises(AwsUnreachable, match=code):
        elbv2.rule(aws, RULE)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, ""),
        (503, HTML),
        (200, HTML),
        (200, ""),
        (200, "{}"),
        (200, "<DescribeRulesResponse><DescribeRulesResult/></DescribeRulesResponse>"),
        (200, "<DescribeRulesResponse><DescribeRulesResult><Rules>"),
        (302, HTML),
        (403, HTML),
        (407, HTML),
        (429, "slow down"),
    ],
)
def test_what_is_no_answer_of_aws_is_tried_again(monkeypatch, status, text):
    """HTML of a proxy, half an answer, an empty one: no refusal, and no traceback."""
    aws = Answering(monkeypatch, (status, text)).on("elbv2")
    with pytest.raises(AwsUnreachable):
        elbv2.rule(aws, RULE)


@pytest.mark.parametrize("text", [HTML, "", "{}", '{"taskDefinition": null}', "[]", "7"])
def test_what_is_no_answer_in_json_is_tried_again(monkeypatch, text):
    """Of a page botocore makes an answer of JSON without anything in it."""
    aws = Answering(monkeypatch, (200, text)).on("ecs")
    with pytest.raises(AwsUnreachable):
        ecs.task_definition(aws, "shop")


@pytest.mark.parametrize("status", [400, 403, 404, 407])
@pytest.mark.parametrize("text", [HTML, "", ERROR.format(code="AccessDenied"), "[]", "null"])
@pytest.mark.parametrize("ask", ["ecs", "cloudwatch"])
def test_an_error_without_a_code_is_no_refusal(monkeypatch, status, text, ask):
    """Of JSON's and CBOR's services: what a proxy says in its own words is not AWS's no."""
    aws = Answering(monkeypatch, (status, text)).on(ask)
    with pytest.raises(AwsUnreachable):
        if ask == "ecs":
            ecs.task_definition(aws, "shop")
        else:
            cloudwatch.maximum(aws, "AWS/ECS", "CPUUtilization", {}, 0.0, 60.0, 60)


def test_figures_of_many_days_are_asked_for_in_parts():
    """CloudWatch refuses more than 1,440 points a call: of a drill over a day there were none."""
    asked = []

    class Calls:
        def client(self, name):
            return self

        def get_metric_statistics(self, **given):
            asked.append((given["StartTime"].timestamp(), given["EndTime"].timestamp()))
            return {"Datapoints": [{"Timestamp": given["StartTime"], "Maximum": 1.0}]}

    since, until = 1_795_392_030.5, 1_795_392_030.5 + 3 * 86_400
    found = cloudwatch.maxima(Calls(), "AWS/ECS", "CPUUtilization", {}, since, until)
    assert asked[0][0] == since and asked[-1][1] == until and len(found) == len(asked) == 4
    assert [end for _, end in asked[:-1]] == [begin for begin, _ in asked[1:]]
    for begin, end in asked:
        assert (end // 60) - (begin // 60) < 1440
    assert not [begin for begin, _ in asked[1:] if begin % 60]


def test_a_refusal_stays_one(monkeypatch):
    """AccessDenied is not tried for minutes."""
    aws = Answering(monkeypatch, (403, ERROR.format(code="AccessDenied"))).on("elbv2")
    with pytest.raises(AwsRefused, match="AccessDenied"):
        elbv2.rule(aws, RULE)


@pytest.mark.parametrize("code", sorted(EXPIRED))
def test_credentials_that_ran_out_are_waited_for(monkeypatch, code):
    """Told with what to do; the next client reads what was renewed beside us."""
    answering = Answering(monkeypatch, (403, ERROR.format(code=code)))
    aws = answering.on("elbv2")
    former = aws.client("elbv2")
    with pytest.raises(CredentialsExpired, match="aws sso login"):
        elbv2.rule(aws, RULE)
    assert aws.client("elbv2") is not former


def test_an_sso_token_that_ran_out_is_waited_for_too():
    """botocore finds it out before it asks."""
    with pytest.raises(CredentialsExpired), told():
        raise UnauthorizedSSOTokenError()


def test_a_change_is_only_done_when_the_answer_says_so(monkeypatch):
    """ModifyRule answered with other weights is not believed."""
    answer = (
        "<ModifyRuleResponse><ModifyRuleResult><Rules><member><Actions><member>"
        "<Type>forward</Type><TargetGroupArn>a</TargetGroupArn></member></Actions></member>"
        "</Rules></ModifyRuleResult></ModifyRuleResponse>"
    )
    aws = Answering(monkeypatch, (200, answer)).on("elbv2")
    found = elbv2.Rule(RULE, "app/shop/1", {"a": 1}, 0, ({"Type": "forward"},))
    elbv2.set_weights(aws, found, {"a": 1})
    with pytest.raises(AwsUnreachable, match="other weights"):
        elbv2.set_weights(aws, found, {"a": 999, "b": 0})


def test_a_bucket_that_says_no_is_a_broken_store(monkeypatch):
    """Reading and listing, as writing."""
    answer = "<Error><Code>AccessDenied</Code><Message>kms</Message></Error>"
    store = S3Store(Answering(monkeypatch, (403, answer)).on("s3"), "journal")
    for call in (lambda: store.get("a"), lambda: store.list("a")):
        with pytest.raises(StoreBroken, match="cannot be read"):
            call()
    with pytest.raises(StoreBroken, match="cannot be written"):
        store.create_if_absent("a", "1")


def test_a_bucket_that_leads_elsewhere_is_no_traceback(monkeypatch):
    """A 301 that does not say where to, as a proxy sends it."""
    answer = "<Error><Code>PermanentRedirect</Code><Message>there</Message></Error>"
    store = S3Store(Answering(monkeypatch, (301, answer)).on("s3"), "journal")
    with pytest.raises(Unfinished):
        store.get("a")


# --- figures


def _answer(monkeypatch: pytest.MonkeyPatch, *pages: dict[str, Any]) -> Aws:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    aws = Aws("eu-west-1")
    left = list(pages)
    monkeypatch.setattr(
        aws.client("cloudwatch"), "get_metric_data", lambda **_: left.pop(0), raising=False
    )
    return aws


def _result(n: int, status: str, **more: Any) -> dict[str, Any]:
    return {"Id": f"q{n}", "Timestamps": [], "Values": [], "StatusCode": status, **more}


QUERIES = [
    Query("targetgroup/new/1", "app/shop/1", "RequestCount", "Sum"),
    Query("targetgroup/new/1", "app/shop/1", "HTTPCode_Target_5XX_Count", "Sum"),
]


def _read(aws: Aws) -> list[dict[int, float]]:
    return cloudwatch.metric_data(aws, QUERIES, 0, 60, 1)


@pytest.mark.parametrize("status", ["InternalError", "PartialData"])
def test_a_series_that_is_not_complete_is_no_zero(monkeypatch, status):
    """B1: errors of the new side that CloudWatch could not read are not read as none."""
    page = {"MetricDataResults": [_result(0, "Complete"), _result(1, status)]}
    with pytest.raises(FiguresIncomplete, match=f"5XX_Count of targetgroup/new/1.*{status}"):
        _read(_answer(monkeypatch, page))


def test_a_series_that_is_not_answered_is_no_zero(monkeypatch):
    """One of two results is missing."""
    page = {"MetricDataResults": [_result(0, "Complete")]}
    with pytest.raises(FiguresIncomplete, match="5XX_Count"):
        _read(_answer(monkeypatch, page))


def test_a_forbidden_series_names_the_permission(monkeypatch):
    """A refusal, not a wait."""
    page = {"MetricDataResults": [_result(0, "Complete"), _result(1, "Forbidden")]}
    with pytest.raises(AwsRefused, match="cloudwatch:GetMetricData"):
        _read(_answer(monkeypatch, page))


def test_pages_are_partial_until_the_last(monkeypatch):
    """PartialData with a token only says that more is to come."""
    first = {
        "MetricDataResults": [_result(0, "PartialData"), _result(1, "Complete")],
        "NextToken": "t",
    }
    last = {"MetricDataResults": [_result(0, "Complete")]}
    assert _read(_answer(monkeypatch, first, last)) == [{}, {}]


# --- the time


def _date(at: float) -> dict[str, str]:
    return {"date": formatdate(at, usegmt=True)}


def test_a_clock_that_agrees_is_believed():
    """It is finer than a header's second."""
    clock = ServerClock(lambda: 1000.9, lambda: 50.0)
    assert clock.now() == 1000.9
    clock.hear(_date(1000))
    assert clock.now() == 1000.9
    clock.hear({"date": "nonsense"})
    clock.hear({})
    assert clock.now() == 1000.9


@pytest.mark.parametrize("wrong_s", [90.0, -3600.0])
def test_a_clock_that_is_wrong_is_not(wrong_s):
    """AWS's own time, also while the wrong clock goes on; right again, it is believed again."""
    wrong = [wrong_s]
    steady = [50.0]
    clock = ServerClock(lambda: 1000 + steady[0] + wrong[0], lambda: steady[0])
    clock.hear(_date(1050))
    assert clock.now() == 1050
    steady[0] += 10
    assert clock.now() == 1060
    wrong[0] = 0.5
    assert clock.now() == 1060.5


def test_every_answer_is_heard(monkeypatch):
    """Errors too."""
    answering = Answering(monkeypatch, (400, ERROR.format(code="Throttling")))
    aws = answering.on("elbv2")
    aws._clock._clock = lambda: time.time() + 90
    with pytest.raises(AwsUnreachable):
        elbv2.rule(aws, RULE)
    assert abs(aws.now() - time.time()) < 3


def test_the_newest_stopped_task_is_found_behind_a_hundred_others(monkeypatch):
    """ListTasks answers a hundred at a time, the oldest first."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    pages = {None: ([f"old{n}" for n in range(100)], "more"), "more": (["new"], None)}

    def listed(asked):
        arns, token = pages[asked.get("nextToken")]
        return {"taskArns": arns, **({"nextToken": token} if token else {})}

    def described(asked):
        assert len(asked["tasks"]) <= 100
        return {"tasks": [{"taskArn": arn, "startedBy": arn[:3]} for arn in asked["tasks"]]}

    aws = AnsweringAws({"ListTasks": listed, "DescribeTasks": described})
    assert [task["taskArn"] for task in ecs.stopped_tasks(aws, "c", "s", "new")] == ["new"]
