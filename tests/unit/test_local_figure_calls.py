"""Calls for figures and for pages that AWS refuses are refused on kirikae local, too: a script that
passes here does not break on its first day there."""

from __future__ import annotations

import asyncio
import json

import pytest

from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.errors import AwsError
from tests.local_plane import LocalPlane


@pytest.fixture
def plane(tmp_path):
    found = LocalPlane(tmp_path)
    yield found
    found.close()


def query(name, statistic="Average", metric="CPUUtilization"):
    about = {"Namespace": "AWS/ECS", "MetricName": metric}
    return {"Id": name, "MetricStat": {"Metric": about, "Period": 60, "Stat": statistic}}


QUERIES = {
    "a capital first": ([query("Cpu")], "a small letter first"),
    "a digit first": ([query("1cpu")], "a small letter first"),
    "nothing": ([query("")], "a small letter first"),
    "one twice": ([query("cpu"), query("cpu", "Maximum")], "stands twice"),
    "no percentile": ([query("cpu", "p200")], "answers Average"),
    "no figure of ECS": ([query("cpu", metric="RequestCount")], "not measured"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries_that_cloudwatch_refuses(plane, name):
    """Also where there is no figure that would show it (API reference, MetricDataQuery.Id)."""
    queries, says = QUERIES[name]
    asked = {"MetricDataQueries": queries, "StartTime": 0, "EndTime": 600}
    with pytest.raises(AwsError, match=says) as refused:
        asyncio.run(CloudWatch(plane.state).get_metric_data(asked))
    assert refused.value.code == "InvalidParameterValueException"


@pytest.mark.parametrize(
    ("period", "code"), [(60, "InvalidParameterCombinationException"), (0, "")]
)
def test_more_points_than_a_call_answers(plane, period, code):
    """1,440 of GetMetricStatistics; a period of none is refused before anything is divided by
    it."""
    asked = {"Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Statistics": ["Average"]}
    figures = CloudWatch(plane.state)
    window = {"StartTime": 0, "Period": period}
    with pytest.raises(AwsError) as refused:
        asyncio.run(figures.get_metric_statistics({**asked, **window, "EndTime": 1441 * 60}))
    assert refused.value.code == (code or "InvalidParameterValueException")
    if period:
        whole = figures.get_metric_statistics({**asked, **window, "EndTime": 1440 * 60})
        assert asyncio.run(whole)["Datapoints"] == []


@pytest.mark.parametrize("size", [0, 51, -1])
def test_pages_of_scaling_have_one_to_fifty(plane, size):
    """As the reference says of each MaxResults."""
    params = {"ServiceNamespace": "ecs", "MaxResults": size}
    headers = {"X-Amz-Target": "AnyScaleFrontendService.DescribeScalableTargets"}
    scaling = plane.services()["application-autoscaling"]
    answer = asyncio.run(scaling.serve(headers, json.dumps(params).encode()))
    told = json.loads(answer.body)
    assert answer.status == 400 and told["__type"].endswith("ValidationException")
    assert "between 1 and 50" in told["message"]
