"""A move that goes on beside the acts of the web tier, in a thread of its own."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from story import Story
from tool import Kirikae, Running
from trouble import Trouble
from waiting import until

BACKED_OUT = 4
Figures = dict[str, float]


def write_move(project: Path, name: str, move: dict[str, Any]) -> None:
    """One more move in the project file, whole or not at all: other drivers read it meanwhile."""
    file = project / "kirikae.yml"
    head, found, rest = file.read_text().partition("\nmoves:\n")
    if not found:
        raise Trouble("the project file has no `moves`")
    fresh = file.with_suffix(".fresh")
    fresh.write_text(f"{head}{found}  {name}: {json.dumps(move)}\n{rest}")
    fresh.replace(file)


def lay(
    ssh: Callable[[str, str, bytes], str],
    host: str,
    path: str,
    content: bytes,
    mode: str,
    owner: str = "root:root",
) -> None:
    """A file on a host, whole or not at all."""
    fresh = f"{path}.fresh" if "/cron.d/" not in path else "/etc/fresh-crontab"
    command = (
        f"mkdir -p $(dirname {path}) && cat >{fresh} && chmod {mode} {fresh} && "
        f"chown {owner} {fresh} && mv {fresh} {path}"
    )
    ssh(host, command, content)


class Beside:
    """Its driver, from share to share.

    ``what``: what moves, in words.  ``still_s``: how long nothing may move.  ``slow``: does this
    machine's slowness explain the figures of a verdict against the new side?
    """

    def __init__(
        self,
        kirikae: Kirikae,
        story: Story,
        name: str,
        what: str,
        still_s: float,
        slow: Callable[[Figures], bool],
    ) -> None:
        self._kirikae = kirikae
        self._story = story
        self._name = name
        self._what = what
        self._still_s = still_s
        self._slow = slow
        self._trouble: Trouble | None = None
        self._thread: threading.Thread | None = None

    def begin(self, play: Callable[[], None]) -> None:
        def whole() -> None:
            try:
                play()
            except Trouble as trouble:
                self._trouble = trouble

        self._thread = threading.Thread(target=whole, daemon=True, name=self._name)
        self._thread.start()

    def end(self) -> None:
        """Once it is played.  Raises its Trouble."""
        assert self._thread is not None
        self._story.tell(f"the move of the {self._what} goes to its end")
        while self._thread.is_alive():
            self._thread.join(timeout=1)
            self._story.live()
        if self._trouble is not None:
            raise self._trouble

    def drive(self) -> Running:
        return self._kirikae.begin("move", "start", self._name, show=False)

    def reach(self, share: int, driver: Running) -> Running:
        """A driver that has brought it to this share (permille)."""

        def look() -> tuple[int, int]:
            return share_told(driver), len(driver.lines)

        def there(seen: tuple[int, int]) -> bool:
            return driver.over or seen[0] >= share

        while True:
            until(f"the {self._what} reach {share // 10}%", look, there, self._still_s)
            if not driver.over or share_told(driver) >= share:
                self._story.mark(self._name, f"{share // 10}% of the {self._what} run on ECS")
                return driver
            self._go_on_after(driver, driver.end(self._still_s))
            driver = self.drive()

    def kill(self, driver: Running) -> Running:
        """Another driver in place of one that is killed."""
        share = share_told(driver) // 10
        driver.kill()
        self._story.mark(
            "kill", f"kirikae, driving the {self._what}, was killed with SIGKILL at {share}%"
        )
        return self.drive()

    def settle(self, driver: Running) -> None:
        while (code := driver.end(self._still_s)) != 0:
            self._go_on_after(driver, code)
            driver = self.drive()

    def _go_on_after(self, driver: Running, code: int) -> None:
        """Nothing but what this machine's slowness explains is gone on after."""
        if code != BACKED_OUT or not self._only_slow():
            raise Trouble(
                f"the move of the {self._what} ended with exit code {code}: {driver.text[-1500:]}"
            )
        self._story.mark(
            "turn", f"the move of the {self._what} was backed out: this machine is slow"
        )
        self._kirikae("move", "resume", self._name)

    def _only_slow(self) -> bool:
        found = [entry["evidence"] for entry in self._kirikae.history(self._name)]
        failed = [each["figures"] for each in found if each and each["verdict"] == "fail"]
        return bool(failed) and self._slow(failed[-1])


def share_told(driver: Running) -> int:
    """The share (permille) that the driver told last; asking for it would cost a process each
    time."""
    told = re.findall(r" is (?:running|settled) at ([\d.]+)%", driver.text)
    return round(10 * float(told[-1])) if told else 0


def rows(ssh: Callable[[str, str], str], sql: str) -> list[list[str]]:
    """What the shop's database answers, cell by cell."""
    said = ssh("db1", f'su postgres -c "psql -qAt -F , -d bookshop -c \\"{sql}\\""')
    return [line.split(",") for line in said.splitlines() if line]
