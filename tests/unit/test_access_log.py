"""The load balancer's access log as figures: one vote per client, what is nobody's error, which
route."""

from __future__ import annotations

import pytest

from kirikae.aws import logs_bucket
from kirikae.aws.elbv2 import TargetGroup
from kirikae.traffic.access_log import AccessLog, Votes, request_of
from kirikae.traffic.figures import Asked, Unread

OLD = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/old/50dc6c495c0c9188"
LINE = (
    "https 2026-11-21T03:00:05.250000Z app/shop/50dc6c495c0c9188 203.0.113.7:41234 "
    "10.0.0.5:80 0.001 {took} 0.000 {status} {target} 34 366 "
    '"GET https://shop.example:443{path} HTTP/2.0" "curl/8 \\x22x\\x22" ECDHE TLSv1.3 '
    + OLD
    + ' "Root=1-58337262-36d2" "shop.example" '
    '"arn:aws:acm:x" 10 2026-11-21T03:00:05.000000Z "forward" "-" "-" "10.0.0.5:80" '
    '"{target}" "-" "-" TID_1'
)


def read(took: str = "0.120", status: int = 200, target: str = "200", path: str = "/pay/7?card=1"):
    return request_of(LINE.format(took=took, status=status, target=target, path=path), {OLD: "old"})


def test_a_line_is_a_request_of_its_side():
    """Arrival, client, time, path without its query."""
    request = read()
    assert (
        request is not None
        and request.side == "old"
        and not request.bad
        and request.seconds == 0.12
        and request.path == "/pay/7"
    )
    assert request.client.startswith("203.0.113.7") and "curl" in request.client
    assert request.at == 1795230005.0


def test_what_the_balancer_answers_for_a_side_is_its_error_and_a_client_that_left_is_nobody_s():
    """502 without an answer of the target; 460; lines of others, and lines that are none."""
    refused = read("-1", 502, "-")
    assert refused is not None and refused.bad and refused.seconds is None
    assert (
        read("-1", 460, "-") is None
        and read(status=404, target="404") is not None
        and not read(status=404).bad
    )
    assert request_of(LINE.format(took="0.1", status=200, target="200", path="/"), {}) is None


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        LINE.replace("https://shop.example:443{path}", "http://[x:80/"),
        LINE.replace("2026-11-21T03:00:05.000000Z", "yesterday"),
        LINE.format(took="nan", status=200, target="200", path="/"),
        LINE.format(took="1e999", status=200, target="200", path="/"),
        LINE.format(took="0.1", status="two", target="200", path="/"),
    ],
)
def test_a_line_that_cannot_be_read_says_so(line):
    """Whatever a client sent: one kind of error, which whoever reads a file counts."""
    text = line.format(took="0.1", status=200, target="200", path="/") if "{" in line else line
    with pytest.raises(ValueError):
        request_of(text, {OLD: "old"})


def test_what_cannot_be_read_is_nobody_s_and_is_counted(monkeypatch):
    """One line of an anonymous client, one damaged file: the requests beside them count."""
    good = LINE.format(took="0.1", status=200, target="200", path="/")
    bad = LINE.replace("https://shop.example:443{path}", "http://[x:80/")
    files = {
        "a": [good, bad.format(took="0.1", status=200, target="200"), good],
        "b": None,
    }
    monkeypatch.setattr(logs_bucket, "files", lambda *_: list(files))
    monkeypatch.setattr(logs_bucket, "lines", lambda aws, place, key: files[key])
    group = TargetGroup(OLD, "old")
    source = AccessLog(None, None, group, TargetGroup(OLD + "x", "new"), 1, (), False)
    asked = Asked(10, 1, 1795230005.0, 1795230006.0, {}, {"old": [1.0], "new": [1.0]})
    for _ in range(2):
        [batch] = source.batches(asked)
        assert batch.side("old").requests == 2, "asked again, it is told again"
        assert source.unread == Unread(lines=1, files=1)


def test_a_client_has_one_vote():
    """Five errors of one client, retried in a burst, are one bad vote of three."""
    requests = [read(status=500)._replace(client="a") for _ in range(5)]
    requests += [
        read()._replace(client=c, seconds=t) for c, t in (("b", 0.05), ("c", 0.05), ("c", 2.0))
    ]
    clients = Votes(True)
    each = Votes(False)
    for request in requests:
        clients.add(request)
        each.add(request)
    assert clients.arm([1.0])[:2] == (3, 1) and clients.arm([1.0]).within == {1.0: 2}
    assert each.arm([1.0])[:2] == (8, 5) and each.arm([1.0]).within == {1.0: 7}
