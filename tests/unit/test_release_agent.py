"""Hosts that fetch their releases themselves: the list they read, what the agent does with it under
every shell, and what kirikae makes of its reports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from kirikae.model.errors import StoreBroken
from kirikae.model.project import Check, OldDeployer
from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release.agent.desired import Desired, Order, Recipe, in_a_line
from kirikae.release.agent.place import AgentPlace
from kirikae.release.agent.report import Came, Report
from kirikae.release.agent_fleet import AgentFleet
from kirikae.release.errors import InTheWay, NotFinished, RolledBack
from kirikae.release.ledger import Ledger, Outcome
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from tests.agents import Agents
from tests.fleet import StandInHosts
from tests.pace import eventually

SHELLS = ["dash", "bash", "busybox sh"]
ODD = "printf '%s %s\\n' 'a\\tb' \"$RELEASE_ID\" >>@HOST@/odd\necho two >>@HOST@/odd"


class World:
    """Two hosts on which r1 serves, releases r2 and ``broken``, and their agents, which look only
    when they are told to."""

    def __init__(self, folder, shell="sh", names=("web1", "web2"), **settings):
        self.hosts = StandInHosts(folder / "hosts", *names)
        self.agents = Agents(self.hosts, folder / "place", shell)
        store = SqliteStore(folder / "state.db")
        self.ledger = Ledger(store, "test", "shop", "me")
        self.lock = Lock(store, "test", "shop")
        self.releases = Releases(store, "test", "shop", folder / "releases")
        for name in ("r2", "broken"):
            source = folder / name
            source.mkdir()
            (source / ("BROKEN" if name == "broken" else "app")).write_text(name)
            self.releases.create(name, source, "me", 1.0)
        given = {"root": "/@HOST@/srv", "reload": "true", "patience": "1s", "within": "60s"}
        self.settings = OldDeployer(agent="/place", **{**given, **settings})
        self.recipe = Recipe(self.settings, 80, "X-Release-Id", [Check(get="/", contains="ok")])
        self.place = AgentPlace(self.agents)
        self.told: list[str] = []

    @property
    def fleet(self) -> AgentFleet:
        from kirikae.hosts.ssh import Host

        hosts = [Host(f"ssh://{name}") for name in self.hosts.names]
        return AgentFleet(
            hosts, self.recipe, self.releases, self.place, lambda _: None, self.told.append
        )

    def order(self, release, order="1", host="web1"):
        manifest, archive = self.releases.get(release)
        self.place.offer(manifest, archive)
        wanted = Order(order, release, manifest.sha256)
        self.place.change(self.recipe, lambda desired: desired.with_host(host, wanted))

    def deploy(self, release):
        return deploying.deploy(release, [self.fleet], self.ledger, self.lock)

    def close(self):
        self.agents.close()
        self.hosts.close()


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr("kirikae.release.agent_fleet.POLL_S", 0.01)
    found = World(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_agent_does_what_is_written_under_every_shell(tmp_path, shell):
    """Commands of several lines arrive as they were; what was done is not done again."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} here")
    world = World(tmp_path, shell, reload=ODD)
    world.order("r2")
    assert world.agents.once("web1").returncode == 0
    report = world.place.report("web1")
    assert (report.outcome, report.release) == (Came.SERVES, "r2")
    assert report.folder.endswith("/srv/releases/r2") and world.hosts.current("web1") == "r2"
    wanted = "a\\tb r2\ntwo\n"
    assert (tmp_path / "hosts/web1/odd").read_text() == wanted
    assert world.agents.once("web1").returncode == 0
    assert (tmp_path / "hosts/web1/odd").read_text() == wanted
    assert world.hosts.leftovers("web1") == [".agent.web1"]
    world.close()


def test_a_release_that_does_not_pass_goes_back_once(world):
    """And is not tried again until it is ordered again."""
    world.order("broken")
    assert world.agents.once("web1").returncode == 1
    report = world.place.report("web1")
    assert report.outcome is Came.BACK and "answered 500, not 200" in report.detail
    assert world.hosts.current("web1") == "r1" and "r1 serves again" in report.detail
    before = report.at
    assert world.agents.once("web1").returncode == 1
    assert world.place.report("web1").at == before


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_an_archive_that_is_not_the_one_changes_nothing(world, damage):
    """What ran before serves, and the report says what is wrong."""
    world.order("r2")
    archive = world.agents.folder / "web1/archives/r2.tar.gz"
    if damage == "gone":
        archive.unlink()
    else:
        archive.write_bytes(
            b"<html>error</html>" if damage == "other" else archive.read_bytes()[:9]
        )
    assert world.agents.once("web1").returncode == 1
    report = world.place.report("web1")
    assert report.outcome is Came.FAILED and world.hosts.current("web1") == "r1"
    assert ("cannot be fetched" if damage == "gone" else "arrived damaged") in report.detail


@pytest.mark.parametrize("text", ["", "<html>", "kirikae-desired 1\nhost web1 1 r2 ab\n"])
def test_half_a_list_is_no_list(world, text):
    """Nothing is done, and that is no success."""
    (world.agents.folder / "web1/desired").write_text(text)
    done = world.agents.once("web1")
    assert done.returncode == 75 and "no list of kirikae's, or not a whole one" in done.stderr
    assert world.hosts.current("web1") == "r1"


@pytest.mark.parametrize("release", ["../../etc", ".hidden", "a/b", "$(reboot)"])
def test_an_id_that_leads_elsewhere_is_refused(world, release):
    """Whoever wrote it."""
    wanted = Order("1", release, "-")
    world.place.change(world.recipe, lambda desired: desired.with_host("web1", wanted))
    assert world.agents.once("web1").returncode == 75
    assert world.hosts.current("web1") == "r1"


def test_nothing_is_asked_of_a_host_that_is_not_named(world):
    """Unless there is something for new hosts."""
    world.order("r2", host="web2")
    assert world.agents.once("web1").returncode == 0
    report = world.place.report("web1")
    assert (report.outcome, report.release) == (Came.IDLE, "r1")
    assert world.hosts.current("web1") == "r1"


def test_after_a_kill_the_way_back_is_known(world, tmp_path):
    """Killed in the reload of a release that does not pass: the next look still goes back."""
    world.settings = world.settings.model_copy(
        update={"reload": "echo $$ >@HOST@/at; [ -e @HOST@/go ] || exec /bin/sleep 60"}
    )
    world.recipe = Recipe(world.settings, 80, "X-Release-Id", [Check(get="/")])
    world.order("broken")
    script, conf = world.agents.script, world.agents.folder / "web1.conf"
    running = subprocess.Popen(
        ["sh", str(script), "-f", str(conf), "once"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    at = tmp_path / "hosts/web1/at"
    eventually(lambda: at.exists() and at.read_text().strip(), "the reload has begun")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    os.kill(int(at.read_text()), signal.SIGKILL)  # timeout(1) has a group
    (tmp_path / "hosts/web1/go").touch()
    assert world.hosts.current("web1") == "broken"
    assert world.agents.once("web1").returncode == 1
    assert world.place.report("web1").outcome is Came.BACK
    assert world.hosts.current("web1") == "r1"


def test_a_deploy_goes_host_by_host_and_new_hosts_get_it_at_the_end(world):
    """Until then a host that starts gets what served before."""
    world.agents.start()
    world.agents.all_told()
    ended = world.deploy("r2")
    assert ended.trouble is None and set(world.hosts.serving()) == {"r2"}
    assert world.place.desired().default.release == "r2"
    ended = world.deploy("broken")
    assert isinstance(ended.trouble, RolledBack) and set(world.hosts.serving()) == {"r2"}
    assert "web1: broken: back" in str(ended.trouble)
    assert world.place.desired().default.release == "r2"
    assert world.ledger.all()[-1].outcome is Outcome.ROLLED_BACK
    web2 = [line for line in world.told if "web2" in line]
    assert web2 == ["r2 serves on web2"]


def test_a_host_that_is_down_catches_up_by_itself(tmp_path, monkeypatch):
    """It is named, the deploy is not done, and it fetches the release once it is back."""
    monkeypatch.setattr("kirikae.release.agent_fleet.POLL_S", 0.01)
    world = World(tmp_path, within="5s", silent=1)
    world.agents.silent.add("web2")
    world.agents.start()
    eventually(lambda: world.place.report("web1"), "web1 has reported")
    ended = world.deploy("r2")
    assert isinstance(ended.trouble, NotFinished) and "web2 did not report" in str(ended.trouble)
    assert world.hosts.current("web1") == "r2" and world.hosts.current("web2") == "r1"
    world.agents.silent.clear()
    eventually(lambda: world.hosts.current("web2") == "r2", "web2 has caught up")
    eventually(lambda: world.place.report("web2"), "web2 has reported")
    assert world.deploy("r2").trouble is None
    world.close()


@pytest.mark.parametrize("many", [10, pytest.param(100, marks=pytest.mark.prove)])
def test_many_hosts_take_it_in_batches_and_those_that_are_down_are_named(
    tmp_path, monkeypatch, many
):
    """Two of them; they fetch it by themselves once they are back."""
    monkeypatch.setattr("kirikae.release.agent_fleet.POLL_S", 0.05)
    names = [f"web{number:03}" for number in range(many)]
    size = max(4, many // 4)
    world = World(tmp_path, names=names, within=f"{max(10, many)}s", silent=2, batch=size)
    down = names[1:3]
    for name in names:
        world.agents.once(name)
    world.agents.silent.update(down)
    world.agents.start(hands=4)
    ended = world.deploy("r2")
    assert isinstance(ended.trouble, NotFinished), ended
    told = f"r2 serves on {many - 2} of {many} hosts; {', '.join(down)} did not report"
    assert told in str(ended.trouble)
    serving = dict(zip(names, world.hosts.serving(), strict=True))
    assert {name for name, release in serving.items() if release != "r2"} == set(down)
    world.agents.silent.clear()
    eventually(lambda: set(world.hosts.serving()) == {"r2"}, "all have caught up", 120)
    assert world.deploy("r2").trouble is None
    world.close()


def test_without_an_agent_nothing_is_changed(world):
    """And it is said how to get one."""
    with pytest.raises(InTheWay, match="no agent has ever reported from web1, web2"):
        world.fleet.steps("r2")
    assert world.place.desired() == Desired()


def test_what_is_written_is_read_again():
    """The list, and that half of one is refused."""
    settings = OldDeployer(root="/srv/shop/", reload="a\nb\\n", agent="s3://shop/agents")
    recipe = Recipe(settings, 8000, None, [Check(get="/up", contains="it's ok")])
    desired = Desired(Order("d", "r1", "ab"), {"web1": Order("1", "r2", "cd")})
    text = desired.text(recipe)
    assert Desired.read(text, "here") == desired
    lines = text.splitlines()
    assert "root /srv/shop" in lines and "check 200 /up it's ok" in lines
    assert f"reload {in_a_line(settings.reload)}" in lines
    with pytest.raises(StoreBroken, match="not a whole one"):
        Desired.read(text[:-5], "here")


def test_half_a_report_is_none():
    """A host may write it at this moment."""
    whole = (
        "kirikae-report 1\nhost web1\norder 1\nrelease r2\noutcome serves\nfolder /a\nat 5\n"
        "seconds 2\naddresses 10.0.0.1 \ndetail \nend\n"
    )
    found = Report.read(whole)
    assert (found.outcome, found.addresses, found.says) == (
        Came.SERVES,
        ("10.0.0.1",),
        "r2: serves",
    )
    assert Report.read(whole[:-4]) is None
    assert Report.read(whole.replace("serves", "dances")) is None
