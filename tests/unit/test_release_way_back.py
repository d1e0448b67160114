"""A rollback goes to the last release that was done, whatever was tried since; never to one that
was not finished."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.release.ledger import Deployed, Outcome
from kirikae.release.way_back import Good, way_back

DONE, BACK, OPEN, KILLED = (
    Outcome.DONE,
    Outcome.ROLLED_BACK,
    Outcome.NOT_FINISHED,
    Outcome.DEPLOYING,
)


def ledger(*told):
    """(release, outcome, revision, what ran before it), one after the other."""
    return [
        Deployed(
            seq,
            release,
            "new",
            "me",
            float(seq),
            outcome,
            detail=f"arn:aws:ecs:x:1:task-definition/web:{revision}" if outcome is DONE else "why",
            previous={"service": f"arn:aws:ecs:x:1:task-definition/web:{former}"} if former else {},
            rollback=bool(more),
        )
        for seq, (release, outcome, revision, former, *more) in enumerate(told, 1)
    ]


def test_after_a_deploy_that_was_not_finished_the_last_one_that_was_done_is_put_back():
    """u1 and u2 were done, u3 crash-loops: u2, not u1."""
    found = way_back(ledger(("u1", DONE, 11, None), ("u2", DONE, 12, 11), ("u3", OPEN, 13, 12)))
    assert found.says == "u2 (web:12)" and found.task_definition.endswith("/web:12")


def test_a_release_that_was_never_done_is_not_what_ran_before():
    """s1 was done, s2 crash-looped, s3 was done: s1, not s2, and so at every further rollback."""
    story = [("s1", DONE, 8, None), ("s2", OPEN, 9, 8), ("s3", DONE, 10, 9)]
    assert way_back(ledger(*story)).says == "s1 (web:8)"
    again = [*story, ("s1", DONE, 8, 10, "rollback"), ("s3", DONE, 10, 8, "rollback")]
    assert way_back(ledger(*again)).says == "s1 (web:8)"


@pytest.mark.parametrize("outcome", [OPEN, KILLED, BACK])
def test_a_rollback_that_did_not_get_there_is_gone_on_with(outcome):
    """The same command once more goes to the same release."""
    story = [("r1", DONE, 1, None), ("r2", DONE, 2, 1), ("r1", outcome, 1, 2, "rollback")]
    assert way_back(ledger(*story)).release == "r1"


def test_a_rollback_after_a_rollback_puts_back_what_the_first_one_took_away():
    """Also where the first one went to what served already."""
    story = [("r1", DONE, 1, None), ("r2", DONE, 2, 1), ("r1", DONE, 1, 2, "rollback")]
    assert way_back(ledger(*story)).release == "r2"
    story = [
        ("r1", DONE, 1, None),
        ("r2", DONE, 2, 1),
        ("r3", OPEN, 3, 2),
        ("r2", DONE, 2, 3, "rollback"),
    ]
    assert way_back(ledger(*story)).release == "r1"


def test_the_same_release_once_more_does_not_stand_in_its_own_way():
    """What is put back is what was done before the first time."""
    story = [("r1", DONE, 1, None), ("r2", DONE, 2, 1), ("r2", DONE, 3, 2)]
    assert way_back(ledger(*story)).release == "r1"


def test_what_ran_before_kirikae_came_is_put_back_where_nothing_doubtful_came_in_between():
    """A deploy that was taken back left it as it was; one that was not finished did not."""
    assert way_back(ledger(("r1", DONE, 2, 1))).says == "web:1"
    assert way_back(ledger(("r0", BACK, 2, 1), ("r1", DONE, 3, 1))).says == "web:1"
    assert way_back(ledger(("r1", OPEN, 2, 1), ("r1", DONE, 3, 1))).says == "web:1"
    assert way_back(ledger(("r0", OPEN, 2, 1), ("r1", DONE, 3, 2))) is None
    assert way_back(ledger(("r1", DONE, 2, None))) is None
    assert way_back(ledger(("r1", OPEN, 2, 1))) is None
    assert way_back([]) is None


def test_an_entry_of_a_former_version_is_read_and_says_nothing_of_rollbacks():
    """The key is only there where an entry is one."""
    [entry] = ledger(("r1", DONE, 2, 1))
    assert "rollback" not in entry.to_plain()
    assert Deployed.from_body(json.dumps(entry.to_plain())) == entry
    [taken_back] = ledger(("r1", DONE, 2, 1, "rollback"))
    assert Deployed.from_body(json.dumps(taken_back.to_plain())) == taken_back


STORIES = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "r3"]),
        st.sampled_from([DONE, OPEN, KILLED, BACK]),
        st.just(0),
        st.just(0),
    ),
    max_size=12,
)


@given(STORIES)
def test_whatever_the_ledger_says_only_what_was_done_is_put_back(story):
    """And where the newest deploy is done, another release than that one."""
    told = ledger(*[(name, end, seq, seq - 1) for seq, (name, end, *_) in enumerate(story, 1)])
    found = way_back(told)
    done = [entry for entry in told if entry.outcome is DONE]
    if found is None:
        assert len({entry.release for entry in done}) <= 1
    elif found.places:
        assert found.places == done[0].previous
    elif told[-1].outcome is DONE:
        assert found.release != told[-1].release
        assert found.release in {entry.release for entry in done}
    else:
        assert (found.release, found.detail) == (done[-1].release, done[-1].detail)


def test_a_release_is_named_with_its_revision_where_that_has_another_name():
    """On hosts there is none."""
    assert Good("r1", "2 hosts").says == "r1"
    assert (
        Good("web:1", places={"service": "arn:aws:ecs:x:1:task-definition/web:1"}).says == "web:1"
    )
