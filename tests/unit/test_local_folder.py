"""The folder of kirikae local: what is somebody else's is neither used nor removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kirikae.local import control
from kirikae.local.errors import LocalError
from kirikae.local.folder import assert_empty, remove_ours
from kirikae.local.settings import Settings
from tests.command import run

SETTINGS = {
    "instance": "kirikae-0123abcd",
    "region": "ap-northeast-1",
    "port": 1,
    "control_port": 2,
    "stores_port": 3,
    "registry_port": 4,
    "figures_delay_s": 60,
    "pool": 4,
}


@pytest.mark.parametrize("names", [["src/f"], [".hidden"], ["control.log"]])
def test_up_does_not_move_into_somebody_s_folder(tmp_path, names):
    """Nothing is written, nothing is started."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LocalError, match="name an empty one"):
        assert_empty(tmp_path)
    told = run("local", "--dir", str(tmp_path), "up", "--json")
    assert told.exit_code == 1 and told.json["outcome"] == "refused"
    assert sorted(tmp_path.rglob("*")) == before


def test_only_what_kirikae_local_made_is_removed(tmp_path):
    """Also what a killed process had begun to write; the user's own stays, whatever it is
    called."""
    ours = [
        "settings.json",
        "lock",
        "state.db",
        "state.db-wal",
        "haproxy.sock",
        ".haproxy.cfg.a1b2c3d4",
        "registry/blob/x",
        "accesslogs/lb",
    ]
    mine = ["src/f", "registry.txt", "state.dbx/f", ".env", "my-settings.json"]
    for name in [*ours, *mine]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert remove_ours(tmp_path) == [".env", "my-settings.json", "registry.txt", "src", "state.dbx"]
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert [name for name in left if (tmp_path / name).is_file()] == sorted(mine)


def test_an_empty_folder_goes_too(tmp_path):
    """As before."""
    place = tmp_path / "l"
    place.mkdir()
    (place / "settings.json").write_text("{}")
    assert remove_ours(place) == [] and not place.exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    """Somebody who may write there must not have a folder elsewhere emptied."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "f").write_text("mine")
    place = tmp_path / "l"
    place.mkdir()
    (place / "registry").symlink_to(victim)
    remove_ours(place)
    assert (victim / "f").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"editor": "tabs"}',
        json.dumps({**SETTINGS, "run": "/"}),
        json.dumps({**SETTINGS, "run": "/home"}),
        json.dumps({**SETTINGS, "run": "DIR", "instance": "web; rm"}),
        json.dumps({**SETTINGS, "run": "DIR", "port": "80"}),
        json.dumps({**SETTINGS, "run": "DIR", "pool": True}),
        json.dumps({**SETTINGS, "run": "DIR", "from_the_future": 1}),
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
@pytest.mark.parametrize("verb", ["up", "status", "down", "env"])
def test_somebody_s_settings_are_told_and_kept(tmp_path, text, verb):
    """One line that names the file and what to do; nothing is removed."""
    (tmp_path / "settings.json").write_text(text.replace("DIR", str(tmp_path)))
    (tmp_path / "f").write_text("mine")
    told = run("local", "--dir", str(tmp_path), verb, "--json")
    assert told.exit_code == 1 and "settings.json was not written by" in told.stdout
    assert (tmp_path / "f").exists() and (tmp_path / "settings.json").exists()


def test_settings_of_ours_are_read(tmp_path):
    """Also those of before a setting came."""
    written = {**SETTINGS, "run": str(tmp_path)}
    del written["pool"]
    (tmp_path / "settings.json").write_text(json.dumps(written))
    assert Settings.load(tmp_path).pool == 4


def test_sockets_lie_where_nobody_else_may_enter(tmp_path):
    """``/tmp`` is everybody's: a folder that somebody made there before is not used."""
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    control.assert_ours_alone(mine)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    link = tmp_path / "link"
    link.symlink_to(mine)
    for place in (open_to_all, link):
        with pytest.raises(LocalError, match="nobody else may enter"):
            control.assert_ours_alone(place)


def test_status_of_a_folder_that_was_never_used(tmp_path: Path):
    """No settings: nothing runs, and that is no error of the settings."""
    assert control.status(tmp_path) is None
