"""The access log moves from paths in Japan time to paths in UTC, while the shop is under load and
people go on searching it: Nailbook's move.

It goes on beside the acts of the web tier, in a thread of its own.  A query counts the lines of the
past each second; whatever the view's boundary is, it must count each line once.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archive
import boto3
from archive import BUCKET, NEW, OLD, Past, Shipper
from athena import Athena
from botocore.exceptions import BotoCoreError, ClientError
from story import Story
from tool import Kirikae
from trouble import Trouble
from waiting import until

MOVE = "access"
FOUND = 6
WAITING = 5
RATE = 30
"""Requests a second of the first backfill: slow enough to be killed in its middle."""
KILLED_AT = 45
"""Objects that are in the new tree then."""
PLAN = ("10%", "50%", "100%")
_READ = Path(__file__).resolve().parent / "athena.py"


class Counting:
    """The lines of the past, each second, through the view."""

    def __init__(self, past: Past) -> None:
        self._athena = Athena()
        moment = f"TIMESTAMP '{past.until:%Y-%m-%d %H:%M:%S} UTC'"
        logged = "parse_datetime(logged, 'dd/MMM/yyyy:HH:mm:ss Z')"
        self._sql = f"SELECT count(*) FROM default.{MOVE} WHERE {logged} < {moment}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="counting")
        self.counted: Counter[int] = Counter()
        """How often which number was counted."""
        self.unanswered = 0

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(1):
            try:
                [[number]] = self._athena.run(self._sql)
                self.counted[int(number or 0)] += 1
            except (Trouble, BotoCoreError, ClientError):
                self.unanswered += 1


class Logs:
    """``ship`` and ``begin`` are acts, and so is ``end``; in between it moves."""

    def __init__(
        self,
        kirikae: Kirikae,
        story: Story,
        project: Path,
        still_s: float,
    ) -> None:
        """``project``: the folder of the project file; ``still_s``: how long nothing may move."""
        self._kirikae = kirikae
        self._story = story
        self._project = project
        self._still_s = 4 * still_s
        self._trouble: Trouble | None = None
        self._moving = threading.Thread(target=self._move, daemon=True, name="logs")
        self._facts: dict[str, Any] = {}

    # --- what there is

    def ship(self, region: str, take: Callable[[], list[bytes]]) -> None:
        """``take`` answers the lines that nginx has written since it was asked last."""
        archive.create(region)
        self._past = archive.write_past(time.time())
        self._shipper = Shipper(take)
        self._shipper.begin()
        self._story.tell(
            f"{self._past.lines.total()} lines of {archive.HOURS} hours lie under paths in Japan "
            f"time; since {self._past.on:%H:%M} UTC the shipper writes both trees, the new one by "
            "Firehose"
        )

    def begin(self) -> None:
        """The project file is whole when the acts of the other moves go on."""
        self._write_move({})
        measured = self._json("logs", "double", "status", MOVE)
        since = measured["measured"]
        first = min(map(archive.time_of, self._new_lines_of_the_past()))
        if since != f"{first:%Y-%m-%dT%H:%M:%SZ}":
            raise Trouble(f"the double write began {first}, and kirikae measured {since}")
        self._write_move({"double_write_since": since})
        self._kirikae("logs", "double", "on", MOVE, show=False)
        self._kirikae("logs", "classify", MOVE)
        self._moving.start()

    def _new_lines_of_the_past(self) -> list[bytes]:
        lines = Counter[bytes]()
        for found in archive.tree(NEW).values():
            lines += found
        return [line for line in lines if line in self._past.lines]

    def _write_move(self, more: dict[str, str]) -> None:
        """Whole or not at all: other drivers read it meanwhile."""
        apply = f"{sys.executable} {_READ}"
        move = {
            "kind": "logs",
            "old": {
                "at": f"s3://{BUCKET}/{OLD}%Y/%m/%d/%H/",
                "zone": "Asia/Tokyo",
                "writer": "fluentd",
            },
            "new": {
                "at": f"s3://{BUCKET}/{NEW}%Y/%m/%d/%H/",
                "time": "arrival",
                "writer": "firehose",
            },
            "readers": {
                "file": "views/access.sql",
                "view": MOVE,
                "old": "access_old",
                "new": "access_utc",
                "apply": apply,
            },
            "plan": list(PLAN),
            "advance": "auto",
            "bake": "5s",
            "agree": 1,
            **more,
        }
        file = self._project / "kirikae.yml"
        head, found, rest = file.read_text().partition("\nmoves:\n")
        if not found:
            raise Trouble("the project file has no `moves`")
        rest = re.sub(rf"\A  {MOVE}: .*\n", "", rest)
        (self._project / "views").mkdir(exist_ok=True)
        fresh = file.with_suffix(".fresh")
        told = re.sub(r'"(\d{4}-\d\d-\d\dT[\d:]+Z)"', r"\1", json.dumps(move))  # YAML's own times
        fresh.write_text(f"{head}{found}  {MOVE}: {told}\n{rest}")
        fresh.replace(file)

    # --- the move, beside everything else

    def _move(self) -> None:
        try:
            self._move_the_past()
            self._prove()
            self._shift()
        except Trouble as trouble:
            self._trouble = trouble

    def _move_the_past(self) -> None:
        """Killed in the middle, and begun again: the end is the same."""
        words = ("logs", "backfill", MOVE)
        before = len(archive.tree(NEW))
        running = self._kirikae.begin(*words, "--rate", str(RATE), "--at-once", "2", show=False)
        until(
            "the backfill is in its middle",
            lambda: self._moved(before),
            lambda moved: moved >= KILLED_AT or running.over,
            self._still_s,
        )
        if running.over:
            raise Trouble(f"the backfill ended before it could be killed: {running.text}")
        running.kill()
        moved = self._moved(before)
        self._story.mark("kill", f"the backfill of the logs was killed with SIGKILL after {moved}")
        self._kirikae(*words, expect=(0, WAITING), show=False)
        self._story.tell(f"the backfill went on: {self._moved(before)} objects are in the new tree")

    def _moved(self, before: int) -> int:
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=NEW)
        names = [each["Key"].rpartition("/")[2] for page in pages for each in page["Contents"]]
        return sum(not name.startswith(archive.STREAM) for name in names)

    def _prove(self) -> None:
        """A line is lost in one hour, and one doubled in another: kirikae tells both, and finds no
        fault with any other hour."""
        lost, doubled = self._plant()
        found = self._verified("--deep", expect=(FOUND,))
        failed = {each["folder"]: each for each in found["folders"] if each["verdict"] == "fail"}
        if set(failed) != {lost, doubled}:
            raise Trouble(f"planted: {lost} and {doubled}; found: {sorted(failed)}")
        for folder, says in ((lost, "a lost line"), (doubled, "a doubled line")):
            sentences = "; ".join(failed[folder]["sentences"])
            self._story.tell(f"planted: {says}; kirikae tells {folder}: {sentences}")
        self._repair()
        again = self._verified()
        if again["fail"] or again["pass"] < found["pass"] + len(failed):
            raise Trouble(f"repaired, and the proof says {again['fail']} fail")
        self._facts |= {"folders": again["pass"], "lost": lost, "doubled": doubled}

    def _verified(self, *more: str, expect: tuple[int, ...] = (0, WAITING)) -> dict[str, Any]:
        return self._json("logs", "verify", MOVE, *more, expect=expect)

    def _json(self, *words: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self._kirikae(*words, "--json", expect=expect, show=False).text
        )
        return told

    def _plant(self) -> tuple[str, str]:
        """The folders.  Both objects keep their names; only their lines are others."""
        moved = [key for key in sorted(archive.tree(NEW)) if archive.STREAM not in key]
        lost, doubled = moved[10], moved[30]
        s3 = boto3.client("s3")
        for key, change in (
            (lost, lambda lines: lines[1:]),
            (doubled, lambda lines: [*lines, lines[0]]),
        ):
            body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            lines = gzip.decompress(body).splitlines(keepends=True)
            packed = gzip.compress(b"".join(change(lines)))
            s3.put_object(Bucket=BUCKET, Key=key, Body=packed)
        self._planted = (lost, doubled)
        return _folder(lost), _folder(doubled)

    def _repair(self) -> None:
        """What is wrong goes by hand, and so does the manifest, which is a cache: the backfill
        looks at every object again, and writes those two anew."""
        s3 = boto3.client("s3")
        for key in self._planted:
            s3.delete_object(Bucket=BUCKET, Key=key)
        for file in (self._project / ".kirikae" / "logs").glob(f"{MOVE}.db*"):
            file.unlink()
        self._kirikae("logs", "backfill", MOVE, expect=(0, WAITING), show=False)

    def _shift(self) -> None:
        """The view's boundary goes from hour to hour; people's query runs all the time."""
        athena = Athena()
        text = self._json("logs", "tables", MOVE, "--projection")["sql"]
        for statement in filter(str.strip, text.split(";\n")):
            athena.run(statement)
        view = self._json("logs", "tables", MOVE, "--view")["sql"]
        athena.run(view)
        counting = Counting(self._past)
        counting.begin()
        shares: list[str] = []
        until(
            "the view shows the new tree alone",
            lambda: self._stepped(shares),
            lambda told: "settled" in told,
            self._still_s,
        )
        until("it was counted there", counting.counted.total, lambda n: n > 5, self._still_s)
        counting.end()
        self._assert_counted(counting)
        self._facts |= {
            "counted": counting.counted.total(),
            "unanswered": counting.unanswered,
            "shares": shares,
        }

    def _stepped(self, shares: list[str]) -> str:
        """One look, and a step where it is time."""
        told = self._kirikae("move", "step", MOVE, expect=(0, WAITING), show=False).text
        found = re.findall(r" is (?:running|settled) at ([\d.]+%)", told)
        for share in found:
            if share not in shares and share != "0%":
                shares.append(share)
                self._story.mark("logs", f"readers get {share} of the hours from the new tree")
        return told

    def _assert_counted(self, counting: Counting) -> None:
        right = self._past.lines.total()
        wrong = {number: times for number, times in counting.counted.items() if number != right}
        if wrong or not counting.counted:
            raise Trouble(f"of {right} lines the view showed, how often: {wrong}")

    # --- afterwards

    def end(self) -> dict[str, Any]:
        """What became of every line, of the past and of what was written meanwhile."""
        self._story.tell("the logs' move goes to its end")
        while self._moving.is_alive():
            self._moving.join(timeout=1)
            self._story.live()
        if self._trouble is not None:
            raise self._trouble
        self._shipper.end()
        shipped = self._shipper.shipped
        until(
            "Firehose has delivered what it acknowledged",
            lambda: self._missing(NEW),
            lambda missing: not missing,
            self._still_s,
        )
        every = self._past.lines + shipped
        old = _whole(OLD)
        new = _whole(NEW)
        if old != every or (every - new).total():
            raise Trouble(
                f"of {every.total()} lines {(every - old).total()} are missing in the old tree, "
                f"{(every - new).total()} in the new one"
            )
        doubled = (new - every).total()
        facts = {
            "lines": every.total(),
            "now": shipped.total(),
            "missing": 0,
            "doubled_by_the_shipper": doubled,
            **self._facts,
        }
        self._story.tell(
            f"the logs: {facts['lines']} lines ({facts['now']} of them written meanwhile), none "
            f"missing in the new tree; counted {facts['counted']} times during the shift, each "
            "time right"
        )
        return facts

    def _missing(self, prefix: str) -> int:
        return (self._shipper.shipped - _whole(prefix)).total()


def _whole(prefix: str) -> Counter[bytes]:
    lines = Counter[bytes]()
    for found in archive.tree(prefix).values():
        lines.update(found)
    return lines


def _folder(key: str) -> str:
    """Of the new tree, as kirikae tells it."""
    return key.removeprefix(NEW).rpartition("/")[0] + "/"
