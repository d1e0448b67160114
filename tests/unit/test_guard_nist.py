"""Every clause of NIST SP 800-190 has one of four answers, and none is silently green."""

from __future__ import annotations

import json
from datetime import date

import pytest

from kirikae.guard.archives import images
from kirikae.guard.checks import CHECKS, NIST, PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.nist import answered, clauses
from kirikae.guard.reading import objects_in
from kirikae.guard.seen import Outcome
from kirikae.model.said import Words, words_of
from tests import guarded, images_made
from tests.command import run

ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))
WORDS = Words(words_of("kirikae.guard"))


def answers(*objects):
    things = [thing for name, text in objects for thing in objects_in(name, text)]
    return {each.clause.number: each for each in answered(things, looked_at(things, ASKED))}


def task(*changes):
    return "task.json", guarded.raw(guarded.changed(*changes))


def test_every_clause_of_the_chapter_is_answered():
    """And whatever is not pass or fail says why, in words that are there."""
    numbers = ["4.1.1 4.1.2 4.1.3 4.1.4 4.1.5", "4.2.1 4.2.2 4.2.3", "4.3.1 4.3.2 4.3.3 4.3.4"]
    numbers += ["4.3.5", "4.4.1 4.4.2 4.4.3 4.4.4 4.4.5", "4.5.1 4.5.2 4.5.3 4.5.4 4.5.5", "4.6"]
    found = answers(task(), ("Dockerfile", guarded.DOCKERFILE))
    assert list(found) == " ".join(numbers).split()
    for each in found.values():
        assert each.why or each.outcome in (Outcome.PASS, Outcome.FAIL)
        assert all(WORDS.knows(why.key) for why in each.why)


def test_every_check_of_the_profile_answers_a_clause():
    """None is looked at and then forgotten."""
    answering = {code for clause in clauses() for code in clause.codes}
    assert {check.code for check in CHECKS if NIST in check.profiles} <= answering


def test_only_what_was_looked_at_whole_is_green():
    """Of a task and a Dockerfile that is what a task is told to run with."""
    found = answers(task(), ("Dockerfile", guarded.DOCKERFILE))
    green = [number for number, each in found.items() if each.outcome is Outcome.PASS]
    assert green == ["4.4.3"]
    alone = answers(("Dockerfile", guarded.DOCKERFILE))
    assert Outcome.PASS not in {each.outcome for each in alone.values()}


@pytest.mark.parametrize(
    ("code", "number"),
    [(code, clause.number) for clause in clauses() for code in clause.codes],
)
def test_a_finding_breaks_its_clause(code, number):
    """From a task, and from a Dockerfile where the check is of one."""
    if code in guarded.FAULTY:
        assert answers(task(guarded.FAULTY[code][0]))[number].outcome is Outcome.FAIL
    if code in guarded.FAULTY_FILES:
        before, after = guarded.FAULTY_FILES[code][0]
        text = guarded.DOCKERFILE.replace(before, after, 1)
        assert answers(task(), ("Dockerfile", text))[number].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("platforms", "outcome"),
    [
        (["FARGATE"], Outcome.NOT_APPLICABLE),
        (["EC2"], Outcome.NOT_CHECKED),
        (["EC2", "FARGATE"], Outcome.NOT_CHECKED),
        (None, Outcome.NOT_CHECKED),
    ],
)
def test_the_host_is_amazons_only_where_the_task_says_so(platforms, outcome):
    """On machines of one's own it is one's own."""
    assert answers(task((("requiresCompatibilities",), platforms)))["4.5.2"].outcome is outcome


def test_the_verb_answers_in_both_languages(tmp_path, monkeypatch):
    """Exit 6 for a clause that is broken; --strict also for what nobody looked at."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("good.json").write_text(task()[1])
    tmp_path.joinpath("bad.json").write_text(task(guarded.PLANTED["FG04"])[1])
    done = run("guard", "nist", "bad.json")
    assert done.exit_code == 6 and "FG04 bad.json#app.privileged" in done.stdout
    plain = json.loads(run("guard", "nist", "good.json", "--json").stdout)
    assert len(plain["clauses"]) == 24 and plain["outcome"] == "done"
    assert "責任共有" in run("guard", "nist", "good.json", "--lang", "ja").stdout
    assert run("guard", "nist", "good.json", "--strict").exit_code == 6


def test_secrets_are_green_only_where_the_images_of_the_tasks_were_opened(tmp_path):
    """One that is another image than the task's does not count."""
    path = tmp_path / "image.tar"
    things = objects_in(*task())
    for tag, outcome in (
        (things[0].plain["containerDefinitions"][0]["image"], Outcome.PASS),
        ("other:r1", Outcome.NOT_CHECKED),
    ):
        path.write_bytes(images_made.docker([images_made.layer([])], tags=[tag]))
        both = [*things, *images("image", path)]
        found = {each.clause.number: each for each in answered(both, looked_at(both, ASKED))}
        assert found["4.1.4"].outcome is outcome
        assert found["4.1.2"].outcome is Outcome.PASS
