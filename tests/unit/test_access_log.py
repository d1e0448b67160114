"""The load balancer's access log as figures: one vote per client, what is nobody's error, which
route."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from kirikae.aws import logs_bucket
from kirikae.aws.elbv2 import TargetGroup
from kirikae.model.evidence import Verdict
from kirikae.move.judge import Margins
from kirikae.traffic.access_log import AccessLog, Request, Votes, request_of
from kirikae.traffic.batches import Batch
from kirikae.traffic.figures import Asked, Unread
from kirikae.traffic.trial import Trial

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


BOUND = {"old": [1.0], "new": [1.0]}


def votes(requests, per_client=True, route=lambda request: ""):
    counted = Votes(per_client)
    for request in requests:
        counted.add(request, route(request))
    return counted.routes(BOUND)


def test_a_client_has_one_vote():
    """Five errors of one client, retried in a burst, are one bad vote of three; who waited once of
    two times waited by half."""
    requests = [read(status=500)._replace(client="a") for _ in range(5)]
    requests += [
        read()._replace(client=c, seconds=t) for c, t in (("b", 0.05), ("c", 0.05), ("c", 2.0))
    ]
    clients = votes(requests)[""]["old"]
    assert (clients.requests, clients.errors, clients.served) == (3, 1, 8)
    assert clients.within == {1.0: 2.5}
    each = votes(requests, per_client=False)[""]["old"]
    assert (each.requests, each.errors, each.served) == (8, 5, None)
    assert each.within == {1.0: 7}


def test_a_vote_is_the_failed_part_whichever_side_answered():
    """A client of twenty requests of which one fails is no worse on the side that answered
    nineteen."""
    requests = [read()._replace(client="a", bad=n == 0) for n in range(19)]
    requests.append(read()._replace(client="a", side="new"))
    sides = votes(requests)[""]
    assert sides["old"].errors == pytest.approx(1 / 19, abs=1e-6)
    assert (sides["old"].requests, sides["new"].requests, sides["new"].errors) == (1, 1, 0)
    assert (sides["old"].asked, sides["new"].asked) == (19, 1)


def minutes_of_clients(share: int, errors: float, minutes: int) -> Iterator[Batch]:
    """300 clients, each of which asks twenty times a minute."""
    rng = random.Random(share)
    for minute in range(minutes):
        counted = Votes(per_client=True)
        for number in range(300 * 20):
            side = "new" if rng.random() < share / 1000 else "old"
            bad = rng.random() < (errors if side == "new" else 0.001)
            counted.add(Request(60.0 * minute, side, str(number % 300), bad, 0.1, "/"))
        yield Batch(60.0 * minute, 60.0, share, counted.routes(BOUND), 1)


@pytest.mark.parametrize("share", [10, 50])
def test_harm_of_clients_that_ask_often_is_found(share):
    """Ten times the errors at 1% and at 5%, within an hour; no share is called another one."""
    trial = Trial(Margins(), (10, 50, 250, 500, 750, 900, 1000))
    for batch in minutes_of_clients(share, 0.01, 60):
        look = trial.look(batch)
        assert look.reason.key != "traffic.mismatch"
        if look.verdict is Verdict.FAIL:
            return
    raise AssertionError(look)


@pytest.mark.parametrize("share", [750, 900])
def test_where_most_are_on_the_new_side_clients_that_ask_often_are_no_harm(share):
    """Almost every client is on both sides, with many requests here and few there."""
    trial = Trial(Margins(), (10, 50, 250, 500, 750, 900, 1000))
    for batch in minutes_of_clients(share, 0.001, 24):
        look = trial.look(batch)
        assert look.verdict is not Verdict.FAIL and look.reason.key != "traffic.mismatch"


def test_all_routes_together_are_one_vote():
    """Three requests for one route and one for another: three quarters and a quarter."""
    paths = ("/a", "/a", "/a", "/b")
    requests = [read()._replace(client="a", path=path, bad=path == "/b") for path in paths]
    routes = votes(requests, route=lambda request: request.path)
    assert {route: sides["old"].requests for route, sides in routes.items()} == {
        "/a": 0.75,
        "/b": 0.25,
    }
    assert Batch(0.0, 1.0, 10, routes).side("old")[:2] == (1.0, 0.25)


def test_who_never_got_an_answer_was_not_fast():
    """A hung request has no time: it is slower than every bound."""
    hung = votes([read("-1", 504, "-")])[""]["old"]
    assert (hung.errors, hung.within) == (1, {1.0: 0})


def test_4xx_and_methods_are_counted():
    """Answers of their own kind; a POST changes something."""
    line = LINE.format(took="0.1", status=403, target="403", path="/").replace('"GET', '"POST')
    refused = request_of(line, {OLD: "old"})
    arm = votes([refused, read()])[""]["old"]
    assert arm.rejected == 0.5 and arm.errors == 0
    assert arm.mix == {"per_client": 4.0, "writes": 1.0}
