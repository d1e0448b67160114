"""`kirikae ecs delete`: no service goes that still wants tasks, or that nobody has named."""

from __future__ import annotations

import pytest

from kirikae.console import asking, ecs_desk
from tests.answering import AnsweringAws
from tests.command import run

PROJECT = """\
service: shop
environment: {environment}
account: "123456789012"
fleets:
  old: {{target_group: a}}
  new: {{cluster: c, ecs_service: shop, target_group: b}}
"""


class Cloud(AnsweringAws):
    """One service; ``wants`` is its desired count."""

    def __init__(self):
        self.wants = 0
        self.status = "ACTIVE"
        super().__init__(
            {
                "DescribeServices": lambda _: {"services": [self._row()]},
                "DeleteService": lambda _: {"service": {**self._row(), "status": "DRAINING"}},
            }
        )

    def _row(self):
        return {
            "serviceName": "shop",
            "status": self.status,
            "desiredCount": self.wants,
            "runningCount": self.wants,
        }

    @property
    def deleted(self):
        return [asked for name, asked in self.asked if name == "DeleteService"]


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (tmp_path / "ecspresso.yml").write_text("region: eu-west-1\ncluster: c\nservice: shop\n")
    aws = Cloud()
    monkeypatch.setattr(ecs_desk, "_opened", lambda *_: aws)
    return aws


@pytest.fixture
def typed(monkeypatch):
    """What somebody types; the questions are kept."""
    monkeypatch.setattr(asking.sys.stdin, "isatty", lambda: True, raising=False)
    questions = []

    def types(word):
        def answered(question, **_):
            questions.append(question)
            return word

        monkeypatch.setattr(asking.click, "prompt", answered)
        return questions

    return types


def test_it_goes_once_its_name_is_typed(cloud, typed):
    """The question names cluster, environment and what runs there."""
    questions = typed("shop ")
    found = run("ecs", "delete", "--json")
    assert (found.exit_code, found.json["status"]) == (0, "DRAINING"), found
    assert cloud.deleted == [{"cluster": "c", "service": "shop", "force": False}]
    assert all(word in questions[0] for word in ("shop", "in c", "not known", "0 tasks run"))


@pytest.mark.parametrize("word", ["", "y", "yes", "SHOP", "shop2"])
def test_any_other_word_is_a_no(cloud, typed, word):
    typed(word)
    told = run("ecs", "delete")
    assert told.exit_code == 1 and "nothing was changed" in told.stderr and not cloud.deleted


def test_nobody_at_the_terminal_is_a_no(cloud):
    told = run("ecs", "delete")
    assert told.exit_code == 2 and "--force" in told.stderr and not cloud.deleted


def test_what_wants_tasks_stays_unless_they_are_to_be_stopped(cloud, typed):
    """Refused before anybody is asked."""
    cloud.wants = 2
    questions = typed("shop")
    told = run("ecs", "delete")
    assert told.exit_code == 1 and "wants 2 tasks" in told.stderr and "--terminate" in told.stderr
    assert not questions and not cloud.deleted
    assert run("ecs", "delete", "--terminate").exit_code == 0
    assert cloud.deleted[0]["force"] is True and "2 tasks run" in questions[0]


@pytest.mark.parametrize(
    ("environment", "meant", "goes"),
    [
        ("staging", False, True),
        ("production", False, False),
        ("tokyo", False, False),
        (None, False, False),
        ("production", True, True),
        (None, True, True),
    ],
)
def test_a_script_deletes_what_may_be_production_only_if_it_says_so(
    cloud, tmp_path, environment, meant, goes
):
    """An environment that nobody names may be any."""
    if environment is not None:
        (tmp_path / "kirikae.yml").write_text(PROJECT.format(environment=environment))
    words = ["--i-mean-production"] if meant else []
    told = run("ecs", "delete", "--force", *words)
    assert (told.exit_code, bool(cloud.deleted)) == ((0, True) if goes else (1, False))
    assert goes or "--i-mean-production" in told.stderr


@pytest.mark.parametrize(("endpoint", "goes"), [("127.0.0.1:4566", True), ("vpce.aws", False)])
def test_only_an_endpoint_of_this_machine_is_no_production(cloud, monkeypatch, endpoint, goes):
    """Another one may lead to AWS itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    assert (run("ecs", "delete", "--force").exit_code == 0) is goes is bool(cloud.deleted)


def test_a_dry_run_deletes_nothing_and_is_refused_as_the_deed_would_be(cloud):
    told = run("ecs", "delete", "--dry-run")
    assert told.exit_code == 0 and "would delete the service shop in c" in told.stdout
    cloud.wants = 1
    assert run("ecs", "delete", "--dry-run").exit_code == 1 and not cloud.deleted


@pytest.mark.parametrize(("status", "code"), [("DRAINING", 1), ("INACTIVE", 2)])
def test_what_is_gone_or_going_is_told(cloud, status, code):
    cloud.status = status
    told = run("ecs", "delete", "--force", "--i-mean-production")
    assert told.exit_code == code and not cloud.deleted
