"""Lines that people are told of: at once, once a window, with their context, without secrets; and
the same rule as a metric filter and an alarm."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from kirikae.aws.errors import AwsRefused
from kirikae.aws.logs import LogEvent, events, lines_before
from kirikae.aws.session import Aws
from kirikae.console.logs_chat import sentence
from kirikae.console.speech import Speech
from kirikae.logs.alert_state import MOST_UNSENT, Alert, AlertState
from kirikae.logs.alerts import Heard, Seen, Windows, kind_of, redacted
from kirikae.logs.errors import TreeTrouble
from kirikae.logs.listening import Ear
from kirikae.logs.patterns import rule_of
from kirikae.model.errors import AwsUnreachable, KirikaeError, UsageProblem
from tests.command import run
from tests.logs_place import LogsPlace
from tests.unit.test_notify import Hook, hook

__all__ = ["hook"]
REGION = "ap-northeast-1"


def heard(line: str, number: int = 0, at: float = 0.0) -> Heard:
    return Heard(f"{line} {number}", at, "app/1", line)


RULE = rule_of(("ERROR",), (), 60.0, 2)


def test_the_first_line_is_told_at_once_and_the_others_once_a_window():
    """Lines that differ in numbers are of one kind; a kind that is quiet for a window is new."""
    windows = Windows(RULE)
    first = windows.heard(heard("ERROR 17 in task a1b2c3d4e5"), 0.0)
    assert first is not None and first.first and first.count == 1
    assert [windows.heard(heard(f"ERROR {n} in task ffffffff{n}"), 1.0) for n in range(5)] == [
        None
    ] * 5
    assert list(windows.ended(59.0)) == []
    [again] = windows.ended(60.0)
    assert (again.first, again.count, again.kind) == (False, 5, first.kind)
    assert list(windows.ended(120.0)) == []
    assert windows.heard(heard("ERROR 18 in task 00000000"), 121.0) is not None


def test_many_kinds_are_counted_together():
    """However many there are, a window has few messages."""
    windows = Windows(RULE)
    words = [f"ERROR {'x' * n}" for n in range(1, 100)]
    told = [message for word in words if (message := windows.heard(heard(word), 0.0))]
    assert len(told) == RULE.at_most
    [rest] = windows.ended(60.0)
    assert (rest.kind, rest.count) == ("", 97)


SECRETS = [
    ("password=hunter2 user=x", "password=*** user=x"),
    ('{"api_key": "abc def", "n": 1}', '{"api_key": ***, "n": 1}'),
    ("Authorization: Bearer abcdefgh.ijk", "Authorization: ***"),
    ("GET https://u:p@host/x", "GET https://***@host/x"),
    ("key AKIAABCDEFGHIJKLMNOP used", "key *** used"),
    ("mail to hanako.yamada@example.co.jp failed", "mail to ***@*** failed"),
    ("card 4111 1111 1111 1111 refused", "card ***refused"),
    ("ERROR at 2026-11-27 10:00:00 id 12345", "ERROR at 2026-11-27 10:00:00 id 12345"),
    ("bell \x07 and \x1b[31mred", "bell \ufffd and red"),
]


@pytest.mark.parametrize(("line", "shown"), SECRETS)
def test_what_does_not_belong_into_a_chat_is_masked(line, shown):
    """And what belongs there is left."""
    assert redacted(line) == shown


def test_a_kind_holds_no_secret():
    """It is kept in a file."""
    assert "hunter2" not in kind_of("ERROR password=hunter2")


class Place:
    """Lines by time; ``fails``: how often the chat does not answer."""

    def __init__(self, folder: Path, lines: list[Heard], fails: int = 0) -> None:
        self.lines = lines
        self.fails = fails
        self.sent: list[Any] = []
        self.complaints: list[str] = []
        self.file = folder / "alert.json"

    def heard(self, since: float, now: float, wanted: Any) -> Iterator[Heard]:
        yield from (line for line in self.lines if line.at >= since and wanted(line.line))

    def send(self, message: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise KirikaeError("no")
        self.sent.append(message)

    def alert(self, since: float = 0.0) -> Alert:
        state = AlertState.at(self.file, RULE, 10.0, since)
        ear = Ear(self, RULE.hits, state.seen, state.first)
        return Alert(ear, state, self.file, self.send, self.complaints.append)


def test_a_late_line_is_heard_and_none_twice_also_after_a_restart(tmp_path):
    """What is asked for overlaps; what was heard is remembered."""
    place = Place(tmp_path, [heard("ERROR a", at=5.0), heard("fine", at=5.5)])
    place.alert().look(6.0)
    place.lines.append(heard("ERROR b", at=4.0))
    alert = place.alert()
    alert.look(8.0)
    alert.look(9.0)
    assert [each["line"] for each in place.sent] == ["ERROR a", "ERROR b"]
    assert place.alert(since=100.0).state.first == 0.0


def test_what_was_not_delivered_waits_in_its_order_and_outlives_the_process(tmp_path):
    """At least once: killed after a message and before the file, it is sent again, never lost."""
    place = Place(tmp_path, [heard("ERROR a", at=5.0), heard("ERROR b", at=5.0)], fails=2)
    place.alert().look(6.0)
    assert place.sent == [] and "2 wait" in place.complaints[0]
    place.alert().look(7.0)
    assert place.sent == []
    place.alert().look(8.0)
    assert [each["line"] for each in place.sent] == ["ERROR a", "ERROR b"]


def test_what_was_counted_before_a_restart_is_told_by_its_kind(tmp_path):
    """The lines themselves are not kept in the file."""
    lines = [heard(f"ERROR {number}", number, 5.0) for number in range(4)]
    place = Place(tmp_path, lines)
    place.alert().look(6.0)
    place.alert().look(70.0)
    assert [each["count"] for each in place.sent] == [1, 3]
    assert sentence(place.sent[1], Speech("en", "logs")) == "3 more like: ERROR #"
    assert sentence(place.sent[1], Speech("ja", "logs")).endswith("ERROR #")


def test_a_chat_that_is_away_for_days_fills_no_disk(tmp_path):
    """The oldest are left out, and that is told."""
    place = Place(tmp_path, [], fails=10**9)
    alert = place.alert()
    alert.state.unsent = [{"n": n} for n in range(MOST_UNSENT + 5)]
    alert.look(1.0)
    assert len(alert.state.unsent) == MOST_UNSENT and alert.state.left_out == 5
    assert alert.state.unsent[-1] == {"n": MOST_UNSENT + 4}


def test_a_source_that_fails_in_the_middle_loses_no_line(tmp_path):
    """Nothing counts as heard until all was."""
    place = Place(tmp_path, [heard("ERROR a", at=1.0)])
    whole = place.heard

    def broken(since: float, now: float, wanted: Any) -> Iterator[Heard]:
        yield from whole(since, now, wanted)
        raise AwsUnreachable("silence")

    alert = place.alert()
    place.heard = broken  # type: ignore[method-assign]
    with pytest.raises(AwsUnreachable):
        alert.look(2.0)
    place.heard = whole  # type: ignore[method-assign]
    alert.look(3.0)
    assert [each["line"] for each in place.sent] == ["ERROR a"]


def test_a_file_that_was_cut_is_told(tmp_path):
    """With what to do."""
    (tmp_path / "alert.json").write_text('{"since": 1')
    with pytest.raises(TreeTrouble, match="take it away"):
        Place(tmp_path, []).alert()


# --- patterns


@pytest.mark.parametrize(
    ("keywords", "without", "asked", "counted"),
    [
        (("ERROR",), (), '"ERROR"', ('"ERROR"',)),
        (("a", "b"), (), '?"a" ?"b"', ('?"a" ?"b"',)),
        (("a",), ("x",), '"a" -"x"', ('"a" -"x"',)),
        # question marks are ignored beside any other term
        (("a", "b"), ("x",), '?"a" ?"b"', ('"a" -"x"', '"b" -"x"')),
        (("障害", 'say "no"'), (), '?"障害" ?"say \\"no\\""', ('?"障害" ?"say \\"no\\""',)),
    ],
)
def test_keywords_as_filter_patterns(keywords, without, asked, counted):
    """Japanese ones are quoted terms, since a regular expression may not have them."""
    rule = rule_of(keywords, without, 60.0, 10)
    assert (rule.asked, rule.counted) == (asked, counted)


@pytest.mark.parametrize("words", [("",), (" ",), ("a\nb",), ("x" * 1100,)])
def test_what_no_pattern_can_hold_is_refused(words):
    """Before anything is asked."""
    with pytest.raises(UsageProblem):
        rule_of(words, (), 60.0, 10)


# --- the verbs


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The verbs that go on until they are interrupted listen to signals; here others do."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "x")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("logs", REGION)


def said_in(client: Any, lines: list[str]) -> None:
    client.create_log_group(logGroupName="/shop")
    client.create_log_stream(logGroupName="/shop", logStreamName="app/1")
    now = int(time.time() * 1000) - 10_000
    rows = [{"timestamp": now + n, "message": line} for n, line in enumerate(lines)]
    if not rows:
        return
    client.put_log_events(logGroupName="/shop", logStreamName="app/1", logEvents=rows)


def test_a_chat_is_told_with_two_lines_of_context(groups, hook: Hook, tmp_path, monkeypatch):
    """Masked, and each line once, however often the verb is started."""
    monkeypatch.chdir(tmp_path)
    said_in(groups, ["one", "two", "three", "ERROR token=abc", "ERROR token=def"])
    words = ["logs", "alert", "--group", "/shop", "--keyword", "ERROR", "--slack", "env:HOOK"]
    for _ in range(2):
        ran = run(*words, "--since", "1m", "--for", "0s", "--json")
        assert ran.exit_code == 0, ran.stderr
    assert hook.texts == ["*/shop: ERROR*\n/shop app/1:\n    two\n    three\n    ERROR token=***"]


def test_a_chat_that_says_no_is_told_in_the_exit_code(groups, hook: Hook, tmp_path, monkeypatch):
    """3: run it again, nothing is lost."""
    monkeypatch.chdir(tmp_path)
    said_in(groups, ["ERROR a"])
    words = ["logs", "alert", "--group", "/shop", "--keyword", "ERROR", "--slack", "env:HOOK"]
    hook.status = 500
    ran = run(*words, "--since", "1m", "--for", "0s", "--json")
    assert ran.exit_code == 3 and ran.json["unsent"] == 1 and "secret" not in ran.stderr
    hook.status = 200
    assert run(*words, "--for", "0s").exit_code == 0
    assert len(hook.texts) == 2 and "ERROR a" in hook.texts[1]


def test_a_dry_run_tells_nobody_and_says_what_it_would_tell(
    groups, hook: Hook, tmp_path, monkeypatch
):
    """Nothing is remembered either; that the service did not try the pattern is told."""
    monkeypatch.chdir(tmp_path)
    said_in(groups, ["ERROR a", "fine"])
    words = ["logs", "alert", "--group", "/shop", "--keyword", "ERROR", "--since", "1m"]

    def refused(*_: Any) -> set[int]:
        raise AwsRefused("TestMetricFilter", "AccessDenied", "no")

    monkeypatch.setattr("kirikae.aws.logs.pattern_hits", refused)
    ran = run(*words, "--dry-run", "--json")
    assert ran.exit_code == 0 and ran.json["would_tell"] == ["ERROR a"], ran.stderr
    assert ran.json["differs"] is None and hook.texts == [] and not (tmp_path / ".kirikae").exists()
    monkeypatch.setattr("kirikae.aws.logs.pattern_hits", lambda *_: set())
    ran = run(*words, "--dry-run", "--json")
    assert ran.exit_code == 6 and ran.json["differs"] == ["ERROR a"]


def test_the_same_rule_as_metric_filters_and_an_alarm(groups, tmp_path, monkeypatch):
    """What is printed is what AWS takes."""
    monkeypatch.chdir(tmp_path)
    said_in(groups, [])
    words = ["--group", "/shop", "--keyword", "a", "--keyword", "b", "--without", "x"]
    plain = run("logs", "alert", *words, "--infrastructure", "--json").json
    for each in plain["metric_filters"]:
        groups.put_metric_filter(**each)
    boto3.client("cloudwatch", REGION).put_metric_alarm(**plain["alarm"])
    found = groups.describe_metric_filters(logGroupName="/shop")["metricFilters"]
    assert [each["filterPattern"] for each in found] == ['"a" -"x"', '"b" -"x"']
    assert plain["alarm"]["TreatMissingData"] == "notBreaching"


def test_lines_as_they_come(groups, tmp_path, monkeypatch):
    """All of them, in the order of time; an empty page with a token is not the last."""
    monkeypatch.chdir(tmp_path)
    said_in(groups, ["one", "two \x1b[31m", "three"])
    ran = run("logs", "tail", "--group", "/shop", "--since", "1m", "--for", "0s", "--json")
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row.get("line") for row in rows] == ["one", "two \x1b[31m", "three", None]
    assert rows[-1] == {"outcome": "done", "lines": 3}
    ran = run("logs", "tail", "--group", "/shop", "--since", "1m", "--for", "0s", "--keyword", "t")
    assert [line.split("  ")[1] for line in ran.stdout.splitlines()] == ["two ", "three"]


class Pages:
    """A service that answers empty pages first."""

    def __init__(self, pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []

    def client(self, service: str) -> Any:
        return self

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return self.pages.pop(0)


def test_an_empty_page_is_not_the_last():
    """As long as there is a token."""
    event = {"eventId": "1", "timestamp": 5, "logStreamName": "s", "message": "m"}
    pages = Pages([{"events": [], "nextToken": "a"}, {"events": [event]}])
    found = list(events(pages, "/shop", 0.0))  # type: ignore[arg-type]
    assert [each.message for each in found] == ["m"] and pages.asked[1]["nextToken"] == "a"


def test_lines_of_the_same_millisecond_that_follow_are_no_context(groups):
    """Only what stands before it."""
    groups.create_log_group(logGroupName="/shop")
    groups.create_log_stream(logGroupName="/shop", logStreamName="s")
    now = int(time.time() * 1000)
    rows = [{"timestamp": now, "message": word} for word in ("a", "b", "ERROR", "c")]
    groups.put_log_events(logGroupName="/shop", logStreamName="s", logEvents=rows)
    event = LogEvent("1", now / 1000, "/shop", "s", "ERROR")
    assert lines_before(Aws(REGION), event, 2) == ["a", "b"]


def test_a_tree_is_listened_to(tmp_path, monkeypatch):
    """New objects of the new tree, each read once; what grows is read on."""
    place = LogsPlace(tmp_path)
    label = time.strftime("%Y/%m/%d/%H/", time.gmtime())
    words = ["logs", "alert", "web", "--keyword", "ERROR", "--since", "1m", "--for", "0s"]
    place.put_new(f"{label}a.log", b"one\ntwo\nERROR 1 a\n")
    assert place.run(*words).stdout.splitlines()[:4] == [
        f"{label}a.log:",
        "    one",
        "    two",
        "    ERROR 1 a",
    ]
    place.put_new(f"{label}a.log", b"one\ntwo\nERROR 1 a\nERROR of another kind\n")
    told = place.run(*words).stdout
    assert "ERROR of another kind" in told and "    ERROR 1 a\n    ERROR of" in told
    assert len([line for line in told.splitlines() if line.endswith("a.log:")]) == 1


def test_where_to_listen_must_be_said(tmp_path, monkeypatch):
    """One place, not none and not both; a webhook is never written itself."""
    place = LogsPlace(tmp_path)
    for words in ([], ["web", "--group", "/x"]):
        assert place.run("logs", "tail", *words).exit_code == 2
    ran = place.run("logs", "alert", "web", "--keyword", "x", "--slack", "https://hooks/secret")
    assert ran.exit_code == 2 and "hooks/secret" not in ran.stderr
    assert place.run("logs", "alert", "web", "--keyword", "x", "--infrastructure").exit_code == 2


def test_what_was_heard_long_ago_is_forgotten():
    """Memory follows the overlap, not the life of the process."""
    seen = Seen(10.0, 0.0)
    for second in range(1000):
        list(seen.fresh([heard("x", second, float(second))]))
        seen.asked(float(second))
    assert len(seen.ids) < 15
