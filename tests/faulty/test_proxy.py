"""Whole moves of real containers through a faulty AWS: the world equals the journal, the button
always wins, no harm passes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Endpoint
from tests.faulty.real import Lane, RealWalk
from tests.shop import Hammer

pytestmark = [pytest.mark.engine, pytest.mark.shares]
MOVES = 300
BESIDE = 1
"""So many lanes of each kind in the long proof."""


def walked(seed: int, lane: Lane, folder: Path, presses: bool | None = None) -> RealWalk:
    folder.mkdir()
    with Hammer(lane.port, 2, 0.02, lane.path):
        walk = RealWalk(seed, lane, folder, presses).go()
        walk.check()
    return walk


@pytest.fixture(scope="module")
def lanes(local: Endpoint) -> Iterator[dict[str, Lane]]:
    """One whose new side is well, and one whose new side fails."""
    made = {name: Lane(local, f"faulty-{name}", name == "ill") for name in ("well", "ill")}
    for lane in made.values():
        lane.ready()
    yield made


@pytest.mark.parametrize(
    ("name", "presses"),
    [("well", False), ("well", True), ("ill", False)],
    ids=["settles", "the button wins", "no harm passes"],
)
def test_a_move_through_it(lanes, tmp_path, name, presses):
    walked(1, lanes[name], tmp_path / name, presses)


@pytest.mark.prove
def test_three_hundred_moves(local: Endpoint, tmp_path: Path):
    """Lanes beside each other, one move after the other on each; two of three sides are well."""
    lanes = [Lane(local, f"proof-{n}", n % 3 == 2) for n in range(3 * BESIDE)]
    for lane in lanes:
        lane.ready()

    def on(number: int) -> list[RealWalk]:
        seeds = range(number, MOVES, len(lanes))
        return [walked(seed, lanes[number], tmp_path / str(seed)) for seed in seeds]

    with ThreadPoolExecutor(len(lanes)) as pool:
        walks = [walk for some in pool.map(on, range(len(lanes))) for walk in some]
    assert len(walks) == MOVES
    pressed = sum(walk.pressed for walk in walks)
    ill = sum(walk.lane.ill and not walk.pressed for walk in walks)
    drivers = sum(len(walk.codes) for walk in walks)
    print(
        f"{MOVES} moves through a faulty AWS, {drivers} drivers: the button won {pressed} of "
        f"{pressed} times, {ill} of {ill} that fail were backed out, each world as its journal says"
    )
