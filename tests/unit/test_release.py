"""Releases: definition files, the plan of calls, the ledger, and a wait that tells the truth."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.model.errors import AwsUnreachable
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy
from kirikae.release.definitions import load, render
from kirikae.release.errors import DefinitionProblem, NotFinished, RolledBack
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import RELEASE_ID, NoRelease, Releases, ReleaseTaken, new_id


def test_templates_know_env_and_must_env_and_nothing_else():
    """What is not understood is refused with its line, never guessed."""
    values = {"A": "1", "EMPTY": ""}
    assert (
        render('{{ must_env `A` }}-{{env `B` `x`}}-{{- env `EMPTY` "y" -}}', "f", values) == "1-x-y"
    )
    with pytest.raises(DefinitionProblem, match=r"f:2: .*B is not set"):
        render("\n{{ must_env `B` }}", "f", values)
    with pytest.raises(DefinitionProblem, match=r"f:1: .*only env and must_env"):
        render("{{ if eq 1 1 }}", "f", values)


@given(st.text(alphabet=st.sampled_from('{}` "envmust_-A1\n'), max_size=60))
def test_any_text_is_rendered_or_refused(text):
    """No template makes it fall over."""
    try:
        rendered = render(text, "f", {"A": "1"})
    except DefinitionProblem:
        return
    assert isinstance(rendered, str)


def test_bad_files_are_named(tmp_path):
    """Missing, broken, and not an object."""
    with pytest.raises(DefinitionProblem, match=r"fleets\.new\.definitions"):
        load(tmp_path, "ecs-task-def.json", {})
    (tmp_path / "x.json").write_text('{"a": \n!}')
    with pytest.raises(DefinitionProblem, match=r"x\.json:2"):
        load(tmp_path, "x.json", {})
    (tmp_path / "y.json").write_text("[]")
    with pytest.raises(DefinitionProblem, match="one object"):
        load(tmp_path, "y.json", {})


def test_the_plan_leaves_the_desired_count_alone():
    """Capacity belongs to whoever scales the service."""
    definition = {"desiredCount": 2, "deploymentConfiguration": {"maximumPercent": 200}}
    create = deploy.plan(False, "c", "s", {"family": "f"}, definition)
    update = deploy.plan(True, "c", "s", {"family": "f"}, definition)
    assert [c.operation for c in create] == ["RegisterTaskDefinition", "CreateService"]
    assert create[1].parameters["desiredCount"] == 2 and create[1].parameters["serviceName"] == "s"
    assert "desiredCount" not in update[1].parameters


def service(
    state: str, deployment: str = "ecs-svc/1", primary: str = "ecs-svc/1"
) -> dict[str, Any]:
    row = {
        "id": deployment,
        "rolloutState": state,
        "rolloutStateReason": "why.",
        "runningCount": 1,
        "pendingCount": 1,
        "desiredCount": 2,
        "taskDefinition": "x/new:2",
        "createdAt": 5,
    }
    first = [{**row, "id": primary, "taskDefinition": "x/old:1"}] if primary != deployment else []
    return {
        "deployments": [*first, row],
        "events": [
            {"id": "e", "message": "hello", "createdAt": 6},
            {"id": "d", "message": "before our time", "createdAt": 4},
        ],
    }


@pytest.fixture
def looks(monkeypatch):
    """Successive answers of DescribeServices; an exception is raised."""

    def use(*answers: Any) -> Any:
        left = list(answers)

        def look(aws: Any, cluster: str, name: str) -> Any:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(deploy.ecs, "service", look)
        return deploy.wait(
            None, "c", "s", "ecs-svc/1", 100, iter(range(1000)).__next__, lambda s: None
        )  # type: ignore[arg-type]

    return use


def test_waiting_ends_when_this_deployment_is_complete(looks):
    """Events are told once; a silence in between is no failure."""
    seen = list(looks(service("IN_PROGRESS"), AwsUnreachable("silence"), service("COMPLETED")))
    assert seen[-1].done and [e for p in seen for e in p.events] == ["hello"]


def test_a_failed_deployment_is_no_success(looks):
    """Rolled back is an outcome of its own (many tools call it done)."""
    with pytest.raises(RolledBack, match=r"old:1"):
        list(looks(service("IN_PROGRESS"), service("FAILED", primary="ecs-svc/2")))


def test_somebody_else_s_deployment_is_not_waited_for(looks):
    """It took over: ours is unclear, and that is said."""
    with pytest.raises(NotFinished, match="took over"):
        list(looks(service("IN_PROGRESS", primary="ecs-svc/2")))
    with pytest.raises(NotFinished, match="gone"):
        list(looks(None))
    with pytest.raises(NotFinished, match="still going on"):
        list(looks(service("IN_PROGRESS")))


def test_the_ledger_says_what_was_begun_and_how_it_ended(tmp_path):
    """Also when the deploy was killed in between: the same release goes on with its entry, another
    one closes it."""
    ledger = Ledger(SqliteStore(tmp_path / "s.db"), "test", "shop", "me", lambda: 5.0)
    killed = ledger.note(ledger.begin("r1", "new"), previous={"service": "arn:0"})
    assert ledger.begin("r1", "new") == killed and killed.at == 5.0
    ledger.end(ledger.begin("r2", "new"), "done", "arn:2")
    assert [(d.seq, d.release, d.outcome) for d in ledger.all()] == [
        (1, "r1", "not finished"),
        (2, "r2", "done"),
    ]
    last = ledger.serving("new")
    assert last is not None and last.detail == "arn:2" and ledger.serving("old") is None


def test_a_release_is_the_same_whoever_packs_it_and_never_changes(tmp_path):
    """Same files, same bytes; other files under a taken ID are refused; a damaged archive is
    noticed."""
    source = tmp_path / "src"
    (source / "static").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git/config").write_text("secret")
    (source / "static/a.css").write_text("a")
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("static/a.css")
    releases = Releases(SqliteStore(tmp_path / "s.db"), "test", "shop", tmp_path / "releases")
    made = releases.create("r1", source, "me", 5.0)
    assert made == releases.create("r1", source, "somebody else", 9.0) and made.files == 2
    with tarfile.open(releases.archive_file("r1")) as tar:
        assert (
            tar.getnames() == ["link", "run", "static", "static/a.css"]
            and tar.getmember("run").mode == 0o755
        )
    (source / "static/a.css").write_text("b")
    with pytest.raises(ReleaseTaken, match="choose a new ID"):
        releases.create("r1", source, "me", 5.0)
    with pytest.raises(NoRelease, match=r"known: r1.*release create r2"):
        releases.get("r2")
    releases.archive_file("r1").write_bytes(b"other")
    with pytest.raises(NoRelease, match="not what was released"):
        releases.get("r1")
    assert RELEASE_ID.fullmatch(new_id(tmp_path, 0.0)) and new_id(tmp_path, 0.0).startswith(
        "r19700101T000000Z"
    )
