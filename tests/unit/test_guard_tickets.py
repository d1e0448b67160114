"""One ticket for each finding and object, however often it is looked; none is closed for what was
not looked at."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.reading import objects_in
from kirikae.guard.tickets import Deed, Ticket, acts, mark_in, mark_of
from tests import guarded
from tests.command import run

ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))
PRIVILEGED = guarded.PLANTED["FG04"]


def looks(*changes, name="task.json"):
    return looked_at(objects_in(name, guarded.raw(guarded.changed(*changes))), ASKED)


def findings(found):
    return [finding for look in found for finding in look.findings]


def deeds(found, there, wanted=None):
    chosen = findings(found) if wanted is None else wanted
    return [(act.deed, act.mark.code, act.number) for act in acts(found, chosen, there)]


def ticket(found, number=1, is_open=True):
    [(look, finding)] = [(look, each) for look in found for each in look.findings]
    return Ticket(number, mark_of(look, finding), is_open)


def test_a_ticket_is_opened_once_and_closed_when_the_finding_is_gone():
    """And opened again, not written anew, when it comes back."""
    bad = looks(PRIVILEGED)
    assert deeds(bad, []) == [(Deed.OPEN, "FG04", None)]
    assert deeds(bad, [ticket(bad)]) == []
    assert deeds(looks(), [ticket(bad)]) == [(Deed.CLOSE, "FG04", 1)]
    assert deeds(looks(), [ticket(bad, is_open=False)]) == []
    assert deeds(bad, [ticket(bad, is_open=False)]) == [(Deed.REOPEN, "FG04", 1)]
    two = [ticket(bad, 1, is_open=False), ticket(bad, 2)]
    assert deeds(bad, two) == []


def test_of_two_tickets_that_runs_at_once_opened_one_stays():
    """The older one, whoever looks; one that a person closed is none of them."""
    bad = looks(PRIVILEGED)
    three = [ticket(bad, 9), ticket(bad, 7), ticket(bad, 3, is_open=False), ticket(bad, 8)]
    found = acts(bad, findings(bad), three)
    assert [(act.deed, act.number, act.stays) for act in found] == [
        (Deed.CLOSE, 8, 7),
        (Deed.CLOSE, 9, 7),
    ]
    assert len(acts(looks(), [], three)) == 3


def test_what_was_not_looked_at_is_not_gone():
    """A value that is open now; another object; a finding below the threshold."""
    bad = looks(PRIVILEGED)
    opened = looks(((*guarded.APP, "privileged"), "{{ must_env `P` }}"))
    assert deeds(opened, [ticket(bad)]) == []
    assert deeds(looks(name="other.json"), [ticket(bad)]) == []
    assert deeds(bad, [ticket(bad)], wanted=[]) == []


def test_a_mark_is_read_back():
    """Out of whatever people wrote around it; a foreign issue has none."""
    mark = ticket(looks(PRIVILEGED)).mark
    assert mark_in(f"we know\n\n{mark}\nand more") == mark and mark_in("kirikae-guard FG04") is None


# --- GitHub


class Tracker(http.server.ThreadingHTTPServer):
    """The issues of one repository, in memory, as the REST API answers for them."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.fails_after: int | None = None
        self.tokens: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Tracker

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "page" not in asked:
            number = int(self.path.rpartition("/")[2])
            return self._answer(200, self.server.issues[number - 1])
        page = int(asked["page"][0])
        many = int(asked["per_page"][0])
        return self._answer(200, self.server.issues[(page - 1) * many : page * many])

    def do_POST(self) -> None:
        number = len(self.server.issues) + 1
        if self.server.fails_after is not None and number > self.server.fails_after:
            return self._answer(403, {})
        self.server.issues.append({**self._body(), "number": number, "state": "open"})
        return self._answer(201, self.server.issues[-1])

    def do_PATCH(self) -> None:
        issue = self.server.issues[int(self.path.rpartition("/")[2]) - 1]
        issue.update(self._body())
        self._answer(200, issue)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, plain: Any) -> None:
        self.server.tokens.add(self.headers.get("Authorization", ""))
        data = json.dumps(plain).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def tracker(tmp_path, monkeypatch) -> Iterator[Tracker]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    found = Tracker()
    yield found
    found.shutdown()
    found.server_close()


def told(tracker, *words):
    api = f"http://127.0.0.1:{tracker.server_address[1]}"
    return run("guard", "tickets", "task.json", "--github", "shop/web", "--api", api, *words)


def written(folder, *changes):
    folder.joinpath("task.json").write_text(guarded.raw(guarded.changed(*changes)))


def test_a_second_run_makes_no_second_ticket(tracker, tmp_path):
    """Nine findings, of which one is below the threshold, and NIST's own of the host's processes;
    when they are gone, all are closed."""
    written(tmp_path, *guarded.PLANTED.values())
    assert told(tracker, "--dry-run", "--json").json["outcome"] == "dry run"
    assert tracker.issues == []
    assert told(tracker).exit_code == 0 and len(tracker.issues) == 9
    again = told(tracker, "--json")
    assert again.json == {"outcome": "nothing to do", "tickets": []} and len(tracker.issues) == 9
    assert "hunter2" not in json.dumps(tracker.issues) and tracker.tokens == {"Bearer t0ken"}
    written(tmp_path)
    assert told(tracker).exit_code == 0
    assert {issue["state"] for issue in tracker.issues} == {"closed"}


def test_a_run_that_was_stopped_in_the_middle_is_gone_on_with(tracker, tmp_path):
    """Exit 3; the next run makes the rest."""
    written(tmp_path, *guarded.PLANTED.values())
    tracker.fails_after = 4
    stopped = told(tracker)
    assert stopped.exit_code == 3 and "4 of 9 done" in stopped.stderr
    tracker.fails_after = None
    assert told(tracker).exit_code == 0 and len(tracker.issues) == 9
    assert len({mark_in(issue["body"]) for issue in tracker.issues}) == 9


def test_tickets_of_many_pages_are_all_known(tracker, tmp_path):
    """The one that is ours lies on the third page."""
    written(tmp_path, PRIVILEGED)
    mark = ticket(looks(PRIVILEGED)).mark
    foreign = [{"number": n, "body": None, "state": "open"} for n in range(1, 251)]
    tracker.issues = [*foreign, {"number": 251, "body": str(mark), "state": "open"}]
    assert told(tracker, "--json").json["outcome"] == "nothing to do"


def test_who_cannot_be_asked_is_told_so(tracker, tmp_path, monkeypatch):
    """Nothing was changed; a token on the command line is refused."""
    written(tmp_path, PRIVILEGED)
    assert told(tracker, "--token", "ghp_abc").exit_code == 2
    assert told(tracker, "--token", "env:NOT_SET_AT_ALL").exit_code == 2
    gone = run(
        "guard", "tickets", "task.json", "--github", "shop/web", "--api", "http://127.0.0.1:9"
    )
    assert gone.exit_code == 1 and "does not answer" in gone.stderr
    nowhere = run("guard", "tickets", "task.json", "--github", "shop/web", "--api", "nowhere")
    assert nowhere.exit_code == 1 and "no address" in nowhere.stderr
    read_only = run("--read-only", "guard", "tickets", "task.json", "--github", "shop/web")
    assert read_only.exit_code == 2
