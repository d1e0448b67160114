#!/usr/bin/env python3
"""How many megabytes of logs a CPU-second re-partitions, beside gawk and pigz in the same run.

``python benchmarks/logs.py [MEGABYTES] [ltsv]``: days of access logs by Japan time, packed by gzip,
become one packed object for each hour of UTC.  Figures are MB (10^6 plain bytes) for each
CPU-second of user and system time; ours with and without line sums, line by line and by the fast
path; the scan alone; a whole backfill by one process and by two; everything as JSON and as
Parquet.  Counts of lines of every hour must be equal, or it fails.

gawk, pigz and Miller are Debian's packages (``apt-get install gawk pigz miller``), DuckDB is
Python's (``pip install duckdb``); what is not there does not run.  Miller takes the first day only.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from zoneinfo import ZoneInfo

from kirikae.logs import work
from kirikae.logs.backfill import Backfill
from kirikae.logs.derived import Derive, Fate
from kirikae.logs.folder import FolderObjects
from kirikae.logs.formats import Clock, format_named
from kirikae.logs.layout import Layout
from kirikae.logs.makers import Json, Parquet
from kirikae.logs.manifest import Manifest
from kirikae.logs.owners import Owners
from kirikae.logs.records import Records, columns_of
from kirikae.logs.sums import Sums
from kirikae.logs.throttle import Throttle
from kirikae.logs.trees import Door
from kirikae.logs.work import Hand, Parts, Trees, peeked
from kirikae.logs.worker import Place
from kirikae.logs.zones import Grain

TOKYO = ZoneInfo("Asia/Tokyo")
BEGIN = datetime(2026, 11, 20, tzinfo=TOKYO)
ROUNDS = 3
_TIMES_THE_DATA = 8
FORMAT = sys.argv[2] if len(sys.argv) > 2 else "combined"
AWK = r"""
BEGIN { split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
        for (n in names) month[names[n]] = n }
{ key = form == "ltsv" ? substr($0, 6, 13) : substr($4, 2, 14)
  if (!(key in hour)) {
    split(key, part, /[\/:T-]/)
    day = form == "ltsv" ? part[1] " " part[2] " " part[3] \
                         : part[3] " " month[part[2]] " " part[1]
    when = mktime(day " " part[4] " 00 00") - 32400
    hour[key] = strftime("%Y%m%d%H", when)
  }
  print | ("pigz -1 -p 1 > " folder "/" hour[key] ".gz") }
"""


def written(folder: Path, megabytes: int) -> int:
    """Days of an access log with Japanese paths, agents and referers; plain bytes."""
    rng = random.Random(17)
    agents = [f"Mozilla/5.0 (X11; Linux {n}) AppleWebKit/{500 + n}.36" for n in range(40)]
    days = max(2, megabytes // 16)
    each = megabytes * 1_000_000 // days
    total = 0
    for day in range(days):
        lines: list[bytes] = []
        length = 0
        count = each // 170
        for number in range(count):
            seconds = number * 86400 / count - (3600 if rng.random() < 0.002 else 0)
            when = BEGIN + timedelta(days=day, seconds=max(0, seconds))
            line = _line(rng, when, rng.choice(agents))
            lines.append(line)
            length += len(line)
        name = folder / (BEGIN + timedelta(days=day)).strftime("%Y/%m/%d/web.log.gz")
        name.parent.mkdir(parents=True)
        name.write_bytes(gzip.compress(b"".join(lines), 6, mtime=0))
        total += length
    return total


def _line(rng: random.Random, when: datetime, agent: str) -> bytes:
    host = f"10.{rng.randrange(4)}.{rng.randrange(256)}.{rng.randrange(256)}"
    path = f"/items/{rng.randrange(9000)}?page={rng.randrange(20)}"
    size = rng.randrange(50000)
    referer = f"https://shop.example/c/{rng.randrange(90)}"
    if FORMAT == "ltsv":
        text = (
            f"time:{when.isoformat(timespec='seconds')}\thost:{host}\treq:GET {path} HTTP/1.1\t"
            f"status:200\tsize:{size}\treferer:{referer}\tua:{agent}\n"
        )
    else:
        text = (
            f'{host} - - [{when:%d/%b/%Y:%H:%M:%S +0900}] "GET {path} HTTP/1.1" 200 {size} '
            f'"{referer}" "{agent}"\n'
        )
    return text.encode()


def _made_elsewhere(folder: Path, megabytes: int) -> int:
    """In a process of its own, whose memory is not ours."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(written, folder, megabytes).result()


def cpu() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def ours(old: Path, new: Path, quick: bool = True) -> None:
    """As a backfill does it, without the manifest."""
    source = FolderObjects(old)
    target = FolderObjects(new)
    trees = Trees(
        Layout("%Y/%m/%d/", "Asia/Tokyo", Grain.DAY, format=FORMAT),
        Layout("%Y%m%d%H/"),
        time.time(),
    )
    hand = Hand(trees, quick)
    for listed in source.list():
        packing, chunks = peeked(source.read(listed))
        parts = Parts(packing=packing)
        hand.read(chunks, listed.key, parts.take)
        for label, body, _ in parts.finished():
            target.create(trees.part_key(label, listed), body)


def without_sums(old: Path, new: Path) -> None:
    """What hashing costs: lines and bytes are still counted, since they are checked."""
    real = work.sums_of_block
    work.sums_of_block = lambda block: Sums(block.count(b"\n"), len(block))
    try:
        ours(old, new)
    finally:
        work.sums_of_block = real


def scan(old: Path, new: Path) -> None:
    """Which lines belong where; nothing is written or hashed."""
    real = work.sums_of_block
    work.sums_of_block = lambda block: Sums(block.count(b"\n"), len(block))
    try:
        source = FolderObjects(old)
        layout = Layout("%Y/%m/%d/", "Asia/Tokyo", Grain.DAY, format=FORMAT)
        hand = Hand(Trees(layout, Layout("%Y%m%d%H/"), time.time()))
        for listed in source.list():
            hand.read(source.read(listed), listed.key)
    finally:
        work.sums_of_block = real


def plainly(old: Path, new: Path) -> None:
    ours(old, new, quick=False)


def duckdb(old: Path, new: Path) -> None:
    """By a regular expression: read as CSV, it drops lines that it cannot read and says nothing.

    Each line's text is kept; what it writes is one file of each hour, packed by gzip.
    """
    import duckdb as engine

    time_of = {
        "combined": r"strptime(regexp_extract(l, '\[([^\]]{20})', 1), '%d/%b/%Y:%H:%M:%S')",
        "ltsv": r"strptime(regexp_extract(l, 'time:([^+\t]*)', 1), '%Y-%m-%dT%H:%M:%S')",
    }[FORMAT]
    source = (
        f"read_csv('{old}/**/*.gz', columns={{'l': 'VARCHAR'}}, delim='\x01', quote='', escape='',"
    )
    source += " header=false, auto_detect=false)"
    hour = f"strftime({time_of} - INTERVAL 9 HOUR, '%Y%m%d%H')"
    options = (
        "FORMAT CSV, DELIM '\\x01', QUOTE '', ESCAPE '', HEADER false, COMPRESSION gzip, "
        "PARTITION_BY (h), WRITE_PARTITION_COLUMNS false, OVERWRITE_OR_IGNORE"
    )
    with engine.connect() as base:
        base.execute("SET threads = 1")
        base.execute(f"COPY (SELECT l, {hour} AS h FROM {source}) TO '{new}' ({options})")
    for folder in new.glob("h=*"):
        for number, file in enumerate(folder.iterdir()):
            target = new / folder.name[2:]
            target.mkdir(exist_ok=True)
            file.rename(target / f"{number}.gz")
        folder.rmdir()


def miller(old: Path, new: Path) -> None:
    """The first day only, and only where lines have labels."""
    file = sorted(old.rglob("*.gz"))[0]
    verbs = (
        '$h = strftime(strptime(splitax($time, "+")[1], "%Y-%m-%dT%H:%M:%S") - 32400, "%Y%m%d%H");'
        f'tee > "{new}/" . $h . ".ltsv", mapexcept($*, "h")'
    )
    words = ["mlr", "--fs", "tab", "--ps", ":", "--gzin", "put", "-q", verbs, str(file)]
    subprocess.run(words, check=True)
    subprocess.run(["sh", "-c", f"pigz -1 -p 1 {new}/*.ltsv"], check=True)


def gawk_and_pigz(old: Path, new: Path) -> None:
    files = " ".join(str(file) for file in sorted(old.rglob("*.gz")))
    script = f"pigz -dc -p 1 {files} | gawk -v folder={new} -v form={FORMAT} -f {new}.awk"
    Path(f"{new}.awk").write_text(AWK)
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    subprocess.run(["sh", "-c", script], check=True, env=environment)


def counted(folder: Path) -> Counter[str]:
    """Lines of each hour."""
    found: Counter[str] = Counter()
    for file in folder.rglob("*.gz"):
        hour = str(file.relative_to(folder))[:10]
        found[hour] += gzip.decompress(file.read_bytes()).count(b"\n")
    return found


def measured(what: Callable[[Path, Path], None], old: Path, work_in: Path) -> tuple[float, Path]:
    """The best of some rounds: others are at work on this machine."""
    best = float("inf")
    for number in range(ROUNDS):
        new = work_in / f"{what.__name__}-{number}"
        new.mkdir()
        before = cpu()
        what(old, new)
        best = min(best, cpu() - before)
        if number < ROUNDS - 1:
            shutil.rmtree(new)
    return best, new


def backfilled(old: Path, new: Path, workers: int) -> tuple[float, float, float]:
    """With manifest, sums and fsync, as it is used, in a process of its own: seconds of CPU, of
    the wall, and the most memory (MiB) that this process had."""
    before = cpu()
    layout = Layout("%Y/%m/%d/", "Asia/Tokyo", Grain.DAY, format=FORMAT)
    target = Layout("%Y%m%d%H/")
    now = time.time()
    place = Place(
        Trees(layout, target, now),
        Owners(target, now, 900),
        Door(f"{old}/"),
        Door(f"{new}/"),
    )
    manifest = Manifest(new.with_suffix(".db"))
    begun = time.monotonic()
    done = Backfill(place, manifest, Throttle(time.monotonic, time.sleep), workers).run()
    assert set(done.states) == {"done"}, done
    wall = time.monotonic() - begun
    status = Path("/proc/self/status").read_text()
    return cpu() - before, wall, int(status.split("VmHWM:")[1].split()[0]) / 1024


def both_workers(old: Path, work_in: Path, total: float, truth: Counter[str]) -> None:
    """One process, then two, on eight times the data: else the start of two processes is most of
    what is measured.  CPU and the wall."""
    many = work_in / "many"
    for file in old.rglob("*.gz"):
        for number in range(_TIMES_THE_DATA):
            copy = many / file.relative_to(old).with_name(f"web{number}.log.gz")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    total *= _TIMES_THE_DATA
    truth = Counter({hour: _TIMES_THE_DATA * count for hour, count in truth.items()})
    for workers in (1, 2):
        new = work_in / f"backfill-{workers}"
        new.mkdir()
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            used, seconds, peak = pool.submit(backfilled, many, new, workers).result()
        if counted(new) != truth:
            sys.exit(f"a backfill by {workers} counts other lines")
        print(
            f"backfill by {workers}   {total / used:6.0f} MB per CPU-second, "
            f"{total / seconds:.0f} MB per second on the wall"
            + (f", at most {peak:.0f} MiB of memory" if workers == 1 else "")
        )


def converted(old: Path, work_in: Path) -> None:
    """All lines as one folder, as JSON and as Parquet, read again and counted."""
    files = sorted(old.rglob("*.gz"))
    folder = work_in / "day" / "x"
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number}.gz")
    body = b"".join(gzip.decompress(file.read_bytes()) for file in files)
    clock = Clock.at(TOKYO, time.time())
    columns = columns_of(FORMAT, body[:100_000].split(b"\n")[:-1])
    records = Records(format_named(FORMAT), clock, columns)
    makers: list[Json | Parquet] = [Json(records)]
    if importlib.util.find_spec("pyarrow"):
        makers.append(Parquet(records))
    for maker in makers:
        target = FolderObjects(work_in / maker.name)
        before = cpu()
        result = Derive(FolderObjects(work_in / "day"), target, maker).folder("x/")
        used = cpu() - before
        if result.fate is not Fate.MADE or result.sums is None:
            sys.exit(f"{maker.name}: {result}")
        if result.sums.lines != body.count(b"\n"):
            sys.exit(f"{maker.name} counts other lines")
        rate = len(body) / 1e6 / used
        print(f"as {maker.name:12} {rate:6.0f} MB per CPU-second, read again and counted")


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    with tempfile.TemporaryDirectory() as name:
        old = Path(name) / "old"
        old.mkdir()
        total = _made_elsewhere(old, megabytes) / 1e6
        there = bool(shutil.which("gawk") and shutil.which("pigz"))
        print(f"{total:.0f} MB; best of {ROUNDS}; load {os.getloadavg()[0]:.0f}")
        truth: Counter[str] | None = None
        whats = [scan, without_sums, ours, plainly, *([gawk_and_pigz] if there else [])]
        if importlib.util.find_spec("duckdb"):
            whats.append(duckdb)
        for what in whats:
            seconds, new = measured(what, old, Path(name))
            print(f"{what.__name__:15} {total / seconds:6.0f} MB per CPU-second")
            if what is scan:
                continue
            found = counted(new)
            truth = truth or found
            if found != truth:
                sys.exit(f"{what.__name__} counts other lines: {found - truth}, {truth - found}")
        print("every hour has the same lines")
        assert truth is not None
        both_workers(old, Path(name), total, truth)
        converted(old, Path(name))
        if FORMAT == "ltsv" and shutil.which("mlr"):
            day = len(gzip.decompress(sorted(old.rglob("*.gz"))[0].read_bytes())) / 1e6
            seconds, _ = measured(miller, old, Path(name))
            print(f"{'miller':15} {day / seconds:6.0f} MB per CPU-second")


if __name__ == "__main__":
    main()
