"""Watch a host: what was really written there, told by looks at the times of its files.

Each look names what was written since the one before it, so a look that comes late misses nothing
but what was made and removed in between; of that the folder's own time still tells.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from typing import Any, NamedTuple

from kirikae.hosts.ssh import Host
from kirikae.model.bundle import Missing, Watched
from kirikae.survey import rows
from kirikae.survey.errors import BundleProblem
from kirikae.survey.paths import parent_of
from kirikae.survey.sections import Sections, number, unpacked

FORMAT = 1
_NAMED_IN_A_FOLDER = 50
"""Further files of a folder are counted, not named."""


class Look(NamedTuple):
    """What one look saw; ``at`` is the host's own time when it began."""

    at: int
    written: tuple[Watched, ...]
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """Everything that was seen of one host.

    ``began`` and ``looked`` are the host's own times of the first and of the last look.
    """

    host: str
    began: int
    looked: int
    looks: int = 0
    written: Mapping[str, Watched] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()

    @property
    def watched_s(self) -> int:
        """A clock that was put back has watched nothing."""
        return max(0, self.looked - self.began)

    def after(
        self,
        look: Look,
    ) -> Watch:
        """With what one more look saw."""
        known = dict(self.written)
        crowd = Counter(parent_of(path) for path, each in known.items() if not each.folder)
        for each in look.written:
            _take(known, crowd, each)
        missing = dict.fromkeys([*self.missing, *look.missing])
        return replace(
            self,
            looked=look.at,
            looks=self.looks + 1,
            written=known,
            missing=tuple(missing),
        )

    def anew(self) -> Watch:
        """One more period, after one that is over; what was seen stays seen."""
        return replace(self, began=self.looked, looks=0)

    def to_plain(self) -> dict[str, Any]:
        """Plain data, as it is kept."""
        return {
            "format": FORMAT,
            "host": self.host,
            "began": self.began,
            "looked": self.looked,
            "looks": self.looks,
            "written": [asdict(each) for each in self.written.values()],
            "missing": [list(each) for each in self.missing],
        }


def _take(
    known: dict[str, Watched],
    crowd: Counter[str],
    new: Watched,
) -> None:
    """The same path again is one more time; a crowd is counted at its folder."""
    before = known.get(new.path)
    if before is not None:
        if new.last > before.last:
            known[new.path] = _again(before, new)
        return
    folder = parent_of(new.path) or "/"
    if new.folder or crowd[folder] < _NAMED_IN_A_FOLDER:
        known[new.path] = new
        crowd[folder] += not new.folder
        return
    around = known.get(folder) or replace(new, path=folder, folder=True, size=0)
    known[folder] = replace(
        around,
        last=max(around.last, new.last),
        files=around.files + 1,
    )


def _again(
    before: Watched,
    new: Watched,
) -> Watched:
    """Written once more."""
    return replace(
        before,
        uid=new.uid,
        size=new.size,
        last=new.last,
        times=before.times + 1,
    )


def watch_from(
    text: str,
    name: str,
) -> Watch:
    """What was kept.  Raises BundleProblem."""
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']}")
        seen = [Watched(**each) for each in plain["written"]]
        return Watch(
            host=str(plain["host"]),
            began=int(plain["began"]),
            looked=int(plain["looked"]),
            looks=int(plain["looks"]),
            written={each.path: each for each in seen},
            missing=tuple(Missing(*each) for each in plain["missing"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BundleProblem(
            f"{name} is not what `kirikae survey watch` wrote ({error}); remove it, and watch again"
        ) from error


def script(since: int | None) -> str:
    """What runs on the host; None: it says only what time it is there."""
    body = (files("kirikae.survey") / "watch.sh").read_text(encoding="utf-8")
    return f"SINCE={'' if since is None else since}\n{body}"


def look_at(
    host: Host,
    since: int | None,
    timeout_s: float,
) -> Look:
    """One look.  Raises HostSilent, CommandFailed, BundleProblem."""
    return look_from(unpacked(host.run(script(since), timeout_s=timeout_s)), host.name)


def look_from(
    text: str,
    host: str,
) -> Look:
    """What a host answered.  Raises BundleProblem."""
    sections = Sections(text)
    now = number(sections.pairs("meta").get("now", ""))
    if now is None:
        raise BundleProblem(f"{host} did not say what time it is there; look again")
    seen = sections.rows("written", 6, rows.written)
    said = (
        Missing(section.arguments, " ".join(section.lines)) for section in sections.named("missing")
    )
    return Look(now, seen, (*said, *sections.lost))
