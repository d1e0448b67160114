"""Another tree of the same folders: fewer objects of the same lines, or another form of them.

The new tree stays as it is.  A folder is made once all of it is proven: its objects are read as
they were listed, what was made is read again, and only where both count the same there is a proof.
Nothing is overwritten: where late lines changed a folder after it was made, that is told.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any

from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject
from kirikae.logs.folder import digest_of
from kirikae.logs.formats import header_length
from kirikae.logs.layout import OURS
from kirikae.logs.makers import Maker, Making
from kirikae.logs.proof import FORMAT
from kirikae.logs.sums import NOTHING, Sums
from kirikae.model.errors import Changed, Taken
from kirikae.model.objects import Listed, Objects

MEGABYTE = 1_000_000


class Fate(StrEnum):
    """Of a folder."""

    MADE = "made"
    UNCHANGED = "unchanged"
    STALE = "stale"
    """It was made before, of other objects: take those away, then it is made anew."""
    DIFFERS = "differs"
    """What was read again is not what was put in: there is no proof."""
    UNREADABLE = "unreadable"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Result:
    """``objects``: from how many, to how many."""

    label: str
    fate: Fate
    objects: tuple[int, int] = (0, 0)
    sums: Sums | None = None
    unparsed: int = 0
    why: str = ""

    def to_plain(self) -> dict[str, Any]:
        return {
            "folder": self.label,
            "fate": str(self.fate),
            "from": self.objects[0],
            "to": self.objects[1],
            "sums": None if self.sums is None else self.sums.to_plain(),
            "unparsed": self.unparsed,
            "why": self.why,
        }


@dataclass
class _Making:
    """One folder while it is made."""

    put_in: Sums = NOTHING
    lines: int = 0
    """Counted apart from what became of them."""
    unparsed: int = 0
    keys: list[Mapping[str, Any]] = field(default_factory=list)
    came_out: Sums = NOTHING
    header: bytes = b""


@dataclass
class Derive:
    """``size``: plain bytes of an object, about.  ``headed``: objects of the tree begin with lines
    of ``#`` that are none."""

    new: Objects
    target: Objects
    maker: Maker
    size: int = 256 * MEGABYTE
    headed: bool = False

    def folder(self, label: str) -> Result:
        """Raises TreeTrouble, AwsRefused, AwsUnreachable."""
        listed = _directly_in(self.new, label)
        if not listed:
            return Result(label, Fate.EMPTY)
        mark = digest_of("".join(f"{each.key} {each.etag}\n" for each in listed))
        stem = f"{label}{self.maker.name}-{mark}-"
        there = _directly_in(self.target, label)
        others = [each.key for each in there if not each.key.startswith(stem)]
        if others:
            return Result(label, Fate.STALE, (len(listed), len(there)), why=others[0])
        proof = f"{OURS}proof/{self.maker.name}-{label.strip('/').replace('/', '_')}-{mark}.jsonl"
        if self.target.look(proof) is not None:
            return Result(label, Fate.UNCHANGED, (len(listed), len(there)))
        try:
            made = self._made(listed, stem)
        except (BrokenObject, Changed) as error:
            return Result(label, Fate.UNREADABLE, (len(listed), 0), why=str(error))
        return self._proven(label, listed, made, proof)

    def _made(self, listed: list[Listed], stem: str) -> _Making:
        made = _Making()
        making: Making | None = None
        room = 0
        for block in self._blocks(listed, made):
            if making is None:
                making = self.maker.open(made.header)
                room = self.size
            making.add(block)
            made.lines += block.count(b"\n")
            room -= len(block)
            if room <= 0:
                self._kept(made, making, stem)
                making = None
        if making is not None:
            self._kept(made, making, stem)
        return made

    def _blocks(self, listed: list[Listed], made: _Making) -> Iterator[bytes]:
        for each in listed:
            for number, block in enumerate(Blocks(inflated(self.new.read(each)))):
                length = header_length(block) if self.headed and number == 0 else 0
                made.header = made.header or block[:length]
                if len(block) > length:
                    yield block[length:]

    def _kept(
        self,
        made: _Making,
        making: Making,
        stem: str,
    ) -> None:
        """Written where nothing is, and read again from there."""
        key = f"{stem}{len(made.keys):05d}{self.maker.end}"
        with making.close() as body:
            try:
                there = self.target.create(key, body)
            except Taken:
                there = _found(self.target, key)
        with self._whole(there) as again:
            sums = self.maker.read_again(again)
        made.put_in += making.put_in
        made.unparsed += making.unparsed
        made.came_out += sums
        row = {"key": key, "etag": there.etag, "size": there.size, "sums": sums.to_plain()}
        made.keys.append(row)

    def _whole(self, listed: Listed) -> IO[bytes]:
        body = io.BytesIO()
        for chunk in self.target.read(listed):
            body.write(chunk)
        body.seek(0)
        return body

    def _proven(
        self,
        label: str,
        listed: list[Listed],
        made: _Making,
        proof: str,
    ) -> Result:
        objects = (len(listed), len(made.keys))
        if made.put_in.lines != made.lines:
            why = f"{made.lines} lines were read, {made.put_in.lines} put in: a fault of kirikae"
            return Result(label, Fate.DIFFERS, objects, made.put_in, made.unparsed, why)
        if made.put_in != made.came_out:
            why = f"{made.put_in.lines} lines were put in, {made.came_out.lines} read again"
            return Result(label, Fate.DIFFERS, objects, made.put_in, made.unparsed, why)
        head = {
            "format": FORMAT,
            "folder": label,
            "made": self.maker.name,
            "from": self.new.url,
            "to": self.target.url,
            "sums": made.put_in.to_plain(),
            "unparsed": made.unparsed,
        }
        sources = [{"from": each.key, "etag": each.etag, "size": each.size} for each in listed]
        rows = [head, *sources, *made.keys]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            self.target.create(proof, io.BytesIO(text.encode()))
        except Taken:
            pass
        return Result(label, Fate.MADE, objects, made.put_in, made.unparsed)


def _directly_in(objects: Objects, label: str) -> list[Listed]:
    """In this folder, not in one below it."""
    return [each for each in objects.list(label) if "/" not in each.key[len(label) :]]


def _found(objects: Objects, key: str) -> Listed:
    found = objects.look(key)
    if found is None:
        raise Changed(f"{key} was there and is gone")
    return found
