"""The red button sets share 0 whatever is broken, and says what a tired person must know."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from kirikae.aws.errors import AwsRefused, WrongAccount
from kirikae.aws.session import Aws
from kirikae.console import kinds, pressing
from kirikae.model.errors import AwsUnreachable, StoreBroken
from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import text
from kirikae.move import button, sqlite_store
from kirikae.move.button import Finger, back_out, set_to_zero
from kirikae.move.errors import StillThere
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.kind import TRAFFIC
from tests.command import run
from tests.world import PLAN, SAY, WORLD, Bench, World, WorldThing, known

ARN = "arn:aws:iam::123456789012:user/sre"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  earth: {kind: world, file: world, advance: auto}
  moon: {kind: world, file: moon}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    (tmp_path / "world").write_text("100\n")
    return tmp_path


def share(folder: Path, name: str = "world") -> int:
    return World(folder / name).share


def journal_of(folder: Path) -> Journal:
    return Journal(SqliteStore(folder / ".kirikae" / "state.db"), "test", "shop", "me", "here")


def running(folder: Path, phase: Phase = Phase.RUNNING, at: int = 100) -> Journal:
    """A journal that says so, by one entry."""
    journal = journal_of(folder)
    journal.write(Move("earth", PLAN, phase, at, seq=1, attempt=1, stepped=1))
    return journal


def test_share_first_then_the_journal(folder):
    """The usual way: 0%, written down with who and why, exit code 4, and the last line says so."""
    journal = running(folder)
    ran = run("back-out", "earth", "--reason", "smoke")
    assert ran.exit_code == 4 and share(folder) == 0
    assert ran.stderr.splitlines()[-1] == "earth: share is 0"
    last = journal.last("earth")
    assert last.who == ARN and SAY(last.move.held.reason) == "smoke"


# --- what the journal does not know


def test_a_store_that_knows_nothing_is_not_believed(folder):
    """A colleague's fresh checkout: the weights say 10%; 0 is set, said, and the exit code is 3."""
    ran = run("back-out", "earth")
    assert ran.exit_code == 3 and share(folder) == 0
    assert "its weights gave the new side 10%" in ran.stderr and "not started" in ran.stderr
    assert ran.stderr.splitlines()[-1] == "earth: share is 0"


@pytest.mark.parametrize("phase", [Phase.PLANNED, Phase.ABANDONED, Phase.RETIRED])
def test_weights_say_more_than_a_phase(folder, phase):
    """A move that is not live by its journal, with weight above 0."""
    running(folder, phase, 0)
    ran = run("back-out", "earth", "--json")
    assert ran.exit_code == 3 and ran.json["outcome"] == "unfinished"
    assert ran.json["shares"] == {"earth": "0%"} and share(folder) == 0


def test_nothing_on_the_new_side_is_said(folder):
    """Not started, and the weights agree: wrong usage, as before."""
    (folder / "world").unlink()
    ran = run("back-out", "earth")
    assert ran.exit_code == 2 and "nothing of it is on the new side" in ran.stderr


def test_all_never_says_nothing_and_never_ends_with_0_over_weight(folder):
    """One with weight, one without; neither is known to the store."""
    ran = run("back-out", "--all")
    assert ran.exit_code == 3 and share(folder) == 0
    assert "moon: nothing of it is on the new side" in ran.stdout
    again = run("back-out", "--all")
    assert again.exit_code == 0 and "no move of this project is live" in again.stdout


def test_all_leaves_a_retired_move_at_100_alone_and_says_how_to_take_it_back(folder):
    """It is where it should be for ever; named, it is backed out."""
    (folder / "world").write_text("1000\n")
    running(folder, Phase.RETIRED, 1000)
    ran = run("back-out", "--all")
    assert ran.exit_code == 6 and share(folder) == 1000
    assert "`kirikae back-out earth`" in ran.stdout
    assert run("back-out", "earth").exit_code == 3 and share(folder) == 0


def test_all_takes_a_retired_move_back_that_does_not_stand_at_100(folder):
    """Somebody turned it: 0."""
    (folder / "world").write_text("900\n")
    running(folder, Phase.RETIRED, 1000)
    assert run("back-out", "--all").exit_code == 3 and share(folder) == 0


def test_all_backs_out_what_is_live_whatever_else_is_broken(folder, monkeypatch):
    """One that is refused keeps nobody else from it."""
    running(folder)
    (folder / "moon").write_text("500\n")
    real = WorldThing.shift

    def shift(self, name, to, expected):
        if name == "moon":
            raise AwsRefused("ModifyRule", "AccessDenied", "no")
        real(self, name, to, expected)

    monkeypatch.setattr(WorldThing, "shift", shift)
    ran = run("back-out", "--all", "--json")
    assert ran.exit_code == 3 and share(folder) == 0 and share(folder, "moon") == 500
    assert ran.json["ends"] == {"earth": "backed out", "moon": "still"}
    told = run("back-out", "--all").stderr.splitlines()
    assert told[-1] == "moon: share is STILL 50%"
    assert "echo 0 >moon" in told and "echo 0 >world" not in told


# --- a store that cannot be used


def broken_file(folder: Path) -> None:
    (folder / ".kirikae").mkdir()
    (folder / ".kirikae" / "state.db").write_text("no database " * 500)


def no_folder(folder: Path) -> None:
    (folder / ".kirikae").write_text("a file where a folder is needed")


def newer(folder: Path) -> None:
    store = SqliteStore(folder / ".kirikae" / "state.db")
    store.create_if_absent("move/test/shop/earth/00000001", json.dumps({"format": 99}))


def no_json(folder: Path) -> None:
    store = SqliteStore(folder / ".kirikae" / "state.db")
    store.create_if_absent("move/test/shop/earth/00000001", "<html>proxy</html>")


def half(folder: Path) -> None:
    store = SqliteStore(folder / ".kirikae" / "state.db")
    store.create_if_absent("move/test/shop/earth/00000001", json.dumps({"format": 3, "move": 1}))


def broken_lease(folder: Path) -> None:
    running(folder)
    store = SqliteStore(folder / ".kirikae" / "state.db")
    store.create_if_absent("lease/test/shop/earth", "{}")


@pytest.mark.parametrize("fault", [broken_file, no_folder, newer, no_json, half, broken_lease])
@pytest.mark.parametrize("which", ["earth", "--all"])
def test_a_store_that_cannot_be_used_stops_nothing(folder, fault, which):
    """0%, exit code 3, what is not written down, no traceback."""
    fault(folder)
    ran = run("back-out", which)
    assert ran.exit_code == 3 and share(folder) == 0
    assert "the journal does not say so yet" in ran.stderr and "press once more" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "earth: share is 0" in ran.stderr.splitlines()


class _Refusing:
    """A bucket that refuses, however."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def refuse(self, *_):
        raise self.error

    get = list = create_if_absent = replace_if_match = refuse


@pytest.mark.parametrize(
    "error",
    [
        AwsRefused("GetObject", "AccessDenied", "403"),
        AwsUnreachable("what came back is no answer of AWS"),
        StoreBroken("301"),
    ],
)
def test_a_bucket_that_refuses_stops_nothing(folder, monkeypatch, error):
    """403, HTML of a proxy, 301."""
    from kirikae.console import context

    monkeypatch.setattr(context, "open_store", lambda *_: _Refusing(error))
    ran = run("back-out", "earth")
    assert ran.exit_code == 3 and share(folder) == 0 and str(error) in ran.stderr


def test_a_locked_file_does_not_keep_the_share(folder, monkeypatch):
    """A backup holds the journal's file: 0 before it is asked, and an end soon after."""
    running(folder)
    monkeypatch.setattr(pressing, "STORE_PATIENCE_S", 0.2)
    lock = sqlite3.connect(folder / ".kirikae" / "state.db", isolation_level=None)
    lock.execute("begin exclusive")
    seen: list[float] = []
    real = WorldThing.shift

    def shift(self, *words):
        real(self, *words)
        seen.append(time.monotonic())

    monkeypatch.setattr(WorldThing, "shift", shift)
    began = time.monotonic()
    ran = run("back-out", "earth")
    assert ran.exit_code == 3 and share(folder) == 0 and "locked" in ran.stderr
    assert seen and seen[0] - began < 2
    lock.close()
    assert run("back-out", "earth").exit_code == 4, "the file is free again"


@pytest.mark.parametrize("at", [100, 1000])
def test_a_disk_that_hangs_keeps_neither_the_share_nor_another_move(folder, monkeypatch, at):
    """A network share whose server is gone: no call on it ever comes back."""
    running(folder)
    (folder / "world").write_text(f"{at}\n")
    (folder / "moon").write_text("500\n")
    monkeypatch.setattr(pressing, "STORE_PATIENCE_S", 0.1)
    monkeypatch.setattr(sqlite_store, "_HANGS_S", 0.2)
    server = threading.Event()

    def connect(*_, **__):
        server.wait()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite_store.sqlite3, "connect", connect)
    ran = run("back-out", "--all")
    server.set()
    assert ran.exit_code == 3 and share(folder) == share(folder, "moon") == 0
    assert "did not answer" in ran.stderr and "check the disk" in ran.stderr
    assert "earth: share is 0" in ran.stderr.splitlines()


# --- who we are


@pytest.mark.parametrize(
    "error",
    [AwsRefused("GetCallerIdentity", "AccessDenied", "no"), AwsUnreachable("no answer")],
)
def test_an_identity_that_is_not_told_stops_nothing(folder, monkeypatch, error):
    """The local user's name stands in the journal."""

    def identity(self, account):
        raise error

    monkeypatch.setattr(Aws, "identity", identity)
    journal = running(folder)
    assert run("back-out", "earth").exit_code == 4 and share(folder) == 0
    assert journal.last("earth").who.startswith("local user ")


def test_an_identity_that_does_not_answer_is_not_waited_for(folder, monkeypatch):
    """A second, and on."""
    monkeypatch.setattr(Aws, "identity", lambda self, account: time.sleep(6) or ARN)
    running(folder)
    began = time.monotonic()
    assert run("back-out", "earth").exit_code == 4 and share(folder) == 0
    assert time.monotonic() - began < 5


def test_the_wrong_account_is_never_touched(folder, monkeypatch):
    """The one refusal that stands; the last line says that nothing was set."""

    def identity(self, account):
        raise WrongAccount("these credentials are of account 9")

    monkeypatch.setattr(Aws, "identity", identity)
    running(folder)
    ran = run("back-out", "earth")
    assert ran.exit_code == 3 and share(folder) == 100
    assert ran.stderr.splitlines()[-1] == "earth: share is STILL 10%"
    assert "echo 0" not in ran.stderr, "nobody is told to type anything with another account's keys"


# --- the project file


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("service: shop\n", "service: shop\ncolour: red\n"),
        ("advance: auto}", "advance: tomorrow}"),
        ("advance: auto}", "advance: auto, windoes: [x]}"),
        ('["ssh://web1"]', "[1, 2]"),
        ("moon: {kind: world, file: moon}", "moon: {kind: comet}"),
        ("service: shop\n", "service: shop\ntime_zone: Mars\naccepted: [1]\nnotify: {}\n"),
    ],
)
def test_a_fault_elsewhere_in_the_project_file_stops_nothing(folder, text, by):
    """Somebody's half edit: told, and read past."""
    running(folder)
    (folder / "kirikae.yml").write_text(PROJECT.replace(text, by))
    ran = run("back-out", "earth")
    assert ran.exit_code == 4 and share(folder) == 0
    assert "kirikae.yml:" in ran.stderr and "the project file has faults" in ran.stderr


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ('account: "123456789012"', "account: 1"),
        ("service: shop\n", "service: shop\nregoin: eu-west-1\n"),
        ("target_group: a", "target_groop: a"),
        ("moves:", "mooves:"),
        ("moves:", "moves: ["),
    ],
)
def test_what_is_needed_is_never_guessed(folder, text, by):
    """Another account, region or side than was meant would be worse: a clear error."""
    running(folder)
    (folder / "kirikae.yml").write_text(PROJECT.replace(text, by))
    ran = run("back-out", "earth")
    assert ran.exit_code == 2 and share(folder) == 100
    assert "kirikae.yml" in ran.stderr and "Traceback" not in ran.stderr


def test_all_tells_of_a_move_that_cannot_be_read(folder):
    """It may have weight: never exit code 0 or 4 over it."""
    running(folder)
    text = PROJECT.replace("moon: {kind: world, file: moon}", "moon: {kind: comet}")
    (folder / "kirikae.yml").write_text(text)
    ran = run("back-out", "--all")
    assert ran.exit_code == 3 and share(folder) == 0
    assert "moon: share is STILL what it was" in ran.stderr


# --- an AWS that stumbles


class Stumbling:
    """A thing whose first calls fail."""

    def __init__(self, thing: WorldThing, times: int) -> None:
        self.thing = thing
        self.times = times

    def shift(self, *words):
        self.times -= 1
        if self.times >= 0:
            raise AwsUnreachable("AWS could not answer ModifyRule: Throttling")
        self.thing.shift(*words)


def test_each_stumble_is_told_and_tried_again(tmp_path):
    """Ten answers of no use, then 0."""
    world = World(tmp_path / "world")
    world.turn(100)
    told = []
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    finger = Finger(lambda says: told.append(SAY(says)), lambda: now[0], sleep)
    set_to_zero(Stumbling(WorldThing(world), 10), "web", finger)
    assert world.share == 0 and len(told) == 10
    assert "try 10 to set share 0 was not answered" in told[-1]
    assert now[0] < 30, "short pauses"


def test_a_stumble_while_it_is_written_down_is_tried_again(folder, monkeypatch):
    """Share 0 is set; the second and the third call of AWS fail, and it ends as if none had."""
    running(folder)
    real = WorldThing.shift
    calls = iter(range(100))

    def shift(self, *words):
        if next(calls) in (1, 2):
            raise AwsUnreachable("AWS could not answer ModifyRule: Throttling")
        real(self, *words)

    monkeypatch.setattr(WorldThing, "shift", shift)
    ran = run("back-out", "earth")
    assert ran.exit_code == 4 and share(folder) == 0, ran.stderr
    assert "could not be written down, it is tried again" in ran.stderr
    assert journal_of(folder).read("earth").held is not None


def test_after_minutes_it_says_that_the_share_is_still_there(folder, monkeypatch):
    """Never an end in doubt."""
    monkeypatch.setattr(button, "PERSIST_S", 0.0)
    stumbling = Stumbling(WorldThing(World(folder / "world")), 10**9)
    with pytest.raises(StillThere, match="press again: `kirikae back-out web`"):
        set_to_zero(stumbling, "web", Finger(persist_s=0.5))
    assert share(folder) == 100


def test_a_look_is_never_believed(tmp_path):
    """A look says 0, the truth is 10%: it is set all the same."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        while bench.engine.step("web").move.share != 100:
            pass
    bench.thing.found = lambda: 0
    back_out(bench.journal, bench.thing, bench.lease, "web", text("smoke"), Finger(late_s=0.0))
    assert bench.world.share == 0


# --- status


def test_status_says_loudly_that_weights_and_journal_differ(folder):
    """Exit code 6, and JSON has the sentence."""
    running(folder)
    assert run("move", "status", "earth").exit_code == 0
    (folder / "world").write_text("500\n")
    ran = run("move", "status", "earth")
    assert ran.exit_code == 6
    assert "THE WEIGHTS DIFFER FROM THE JOURNAL: the new side has 50%" in ran.stdout
    plain = run("move", "status", "earth", "--json").json
    assert plain["outcome"] == "found" and "10%" in plain["differs"]


def test_an_open_step_is_no_difference(folder):
    """While it is carried out the world may be at either share."""
    journal = running(folder)
    move = journal.read("earth")
    journal.write(move.intending(Order(Verb.SHIFT, 500)))
    for at in (100, 500):
        (folder / "world").write_text(f"{at}\n")
        assert run("move", "status", "earth").exit_code == 0
