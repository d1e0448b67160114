"""Journals and figures that a former version wrote are read (files kept from November 2026)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kirikae.model.move import Hold, Move, Phase, Verb, Why
from kirikae.model.said import Words, text
from kirikae.move.engine import held_in_words
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.batches import recorded
from kirikae.traffic.trial import Trial

FORMER = Path(__file__).parents[1] / "data" / "former"
MOVES = json.loads((FORMER / "moves.json").read_text(encoding="utf-8"))
SAY = Words.of("kirikae.move", "kirikae.traffic").say


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    shutil.copy(FORMER / "state.db", tmp_path / "state.db")
    return Journal(SqliteStore(tmp_path / "state.db"), "production", "shop", "me", "here")


@pytest.mark.parametrize("name", sorted(MOVES))
def test_a_move_stands_where_the_former_version_left_it(journal, name):
    """Phase, share, numbers, intent; and what is read can be written anew."""
    was = MOVES[name]
    move = journal.read(name)
    assert (move.phase, move.share, move.seq) == (Phase(was["phase"]), was["share"], was["seq"])
    assert (move.attempt, move.stepped, move.planned) == (
        was["attempt"],
        was["stepped"],
        was["planned"],
    )
    assert (move.held is not None) == bool(was["held"])
    assert len(journal.entries(name)) == was["entries"]
    assert Move.from_plain(json.loads(json.dumps(move.to_plain()))) == move


def test_a_hold_says_why_also_where_only_a_sentence_was_kept(journal):
    """A hold by hand that begins with the words of a back-out is none."""
    held = {name: journal.read(name).held for name in MOVES}
    assert held["held"] == Hold(Why.BY_HAND, text("backed out r3 by hand, see the wiki"))
    assert held["held-without-reason"] == Hold(Why.BY_HAND)
    assert held["red-button"] == Hold(Why.BACKED_OUT)
    assert held["hand"].why is Why.HAND_ON_KNOB
    assert held["backed-out"].why is Why.BACKED_OUT
    told = SAY(held_in_words(journal.read("backed-out")))
    assert told.startswith("backed out: the new side does harm by errors: 90 of 1000")


def test_an_open_intent_is_gone_on_with(journal):
    """The act that the former driver was about to do."""
    move = journal.read("open")
    assert move.intent is not None
    assert (move.intent.verb, move.intent.share) == (Verb.SHIFT, 500)
    assert journal.write(move.done()).share == 500


def test_evidence_and_approvals_are_read(journal):
    """Sentences as they were written; who said yes."""
    entries = journal.entries("running")
    shift = next(e for e in entries if e.move.intent and e.move.intent.verb is Verb.SHIFT)
    assert SAY(shift.evidence.reason).startswith("no harm beyond the margins")
    assert shift.evidence.figures["new_requests"] == 1000
    assert shift.approver.endswith("user/boss")
    running = journal.read("running")
    assert journal.approved_by(running) == ["arn:aws:iam::123456789012:user/sre"]
    assert journal.note(running, "old-side") == {"healthy": 3}
    assert not journal.claim(running, "told-6")


def test_figures_get_the_looks_that_they_got(journal):
    """Of format 1 and 2, probes among them: the same verdict at every look, on evidence that is
    never stronger (it is divided by the dispersion now)."""
    running = journal.read("running")
    batches = recorded(journal, running)
    assert len(batches) == 32 and batches[0].start == 1795000099.0
    trial = Trial(Margins(), running.plan)
    was = json.loads((FORMER / "running-looks.json").read_text())
    for batch, look in zip(batches, was, strict=True):
        plain = trial.look(batch).to_plain()
        assert {key: plain[key] for key in ("t", "verdict", "exposed")} == {
            key: look[key] for key in ("t", "verdict", "exposed")
        }
        for metric in ("errors", "p50", "p95", "p99"):
            key = f"harm_{metric}"
            assert plain["log_e"][key] <= max(look["log_e"][key], 0.0) + 1e-9
