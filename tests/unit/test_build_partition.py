"""Base, app, web and nowhere partition every bundle, whatever a host holds; what no rule places is
asked for, and one answer each settles it."""

from __future__ import annotations

import posixpath

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kirikae.build.places import Places, Where
from kirikae.console.kinds import read_project
from kirikae.model.build_settings import PlacedPath
from kirikae.survey.workload import workload
from tests.made_host import Machine
from tests.unit.test_build_kinds import _PROJECT, in_front

_FOLDERS = (
    *("/etc", "/etc/nginx/conf.d", "/etc/cron.d", "/etc/shop", "/etc/default", "/root", "/boot"),
    *("/srv/shop", "/srv/shop/shared", "/srv/shop/releases/3", "/srv/other", "/opt/legacy"),
    *("/usr/local/bin", "/usr/local/lib/x", "/usr/share/doc/a", "/usr/lib", "/var/www/html"),
    *("/var/lib/shop", "/var/lib/nobody", "/var/cache/shop", "/var/log/shop", "/var/spool/shop"),
    *("/home/deploy", "/home/deploy/.nvm/bin", "/run/shop", "/tmp", "/data", "/データ/写 真", "/"),
)
_NAMES = (
    *("a.txt", "config.ini", ".env", "id_rsa", "server.key", "shop.db", "run.sh", "x.conf"),
    *("index.html", "お 店.js", "a'b\"c", "$HOME", "-rf", "shop.service", "up.jpg", "b.jks"),
)
_PACKAGES = ("nginx", "nodejs", "exim4", "libc6", "shop-tools", "openssh-server")
_PATHS = st.builds(posixpath.join, st.sampled_from(_FOLDERS), st.sampled_from(_NAMES))
_FILE = st.fixed_dictionaries(
    {
        "path": _PATHS,
        "uid": st.sampled_from([0, 33, 1000]),
        "at": st.sampled_from([1_794_100_000, 1_794_990_000, 1_795_000_000]),
        "owner": st.sampled_from([None, None, *_PACKAGES]),
        "text": st.sampled_from([None, None, "key = value", "DB_PASSWORD=<masked:aa>", "x\n;"]),
    }
)
_LINK = st.tuples(_PATHS, st.one_of(_PATHS, st.sampled_from(_FOLDERS)))
_HOSTS = st.fixed_dictionaries(
    {
        "files": st.lists(_FILE, max_size=14),
        "links": st.lists(_LINK, max_size=5),
        "folders": st.lists(st.sampled_from(_FOLDERS), max_size=6),
        "command": st.sampled_from(
            [
                "/usr/bin/node server.js --port 3000",
                "/home/deploy/.nvm/bin/run.sh",
                "/usr/local/bin/run.sh",
                "/srv/shop/run.sh",
            ]
        ),
        "in_front": st.booleans(),
        "chosen": st.sets(st.sampled_from(_PACKAGES)),
    }
)


def _machine(host):
    machine = Machine()
    machine.packages = dict.fromkeys(sorted(host["chosen"]), "1.0")
    machine.owned["/usr/bin/node"] = "nodejs"
    machine.unit("shop", user="deploy", folder="/srv/shop", command=host["command"])
    if host["in_front"]:
        in_front(machine, "server { listen 80; root /srv/shop; }")
    for folder in host["folders"]:
        machine.folder(folder)
    for file in host["files"]:
        if file["path"] in machine.texts:
            continue
        machine.file(file["path"], file["uid"], file["at"])
        if file["text"] is not None:
            machine.texts[file["path"]] = file["text"]
        if file["owner"] is not None:
            machine.owned[file["path"]] = file["owner"]
    machine.links.update(host["links"])
    return machine


def _asked(host, answers=()):
    bundle = _machine(host).bundle()
    project = read_project(_PROJECT % "", "kirikae.yml")
    return bundle, Places(bundle, workload([bundle], project.build, ()), tuple(answers))


_SECRET = (".env", "id_rsa", ".key", ".jks")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(_HOSTS, st.sampled_from(["base", "app", "web", "nowhere"]))
def test_the_four_partition_every_bundle(host, answer):
    bundle, places = _asked(host)
    every = list(places.every())
    paths = [each.path for each in every]
    surveyed = {
        *(each.path for each in bundle.folders),
        *(each.path for each in bundle.files),
        *bundle.links,
        *bundle.by_path,
    }
    assert sorted(paths) == sorted(surveyed), "each exactly once"
    assert all(each.reason and each.place in Where for each in every)
    assert [places.place(path) for path in reversed(paths)] == list(reversed(every))
    for each in every:
        if each.path.endswith(_SECRET):
            assert each.place is Where.NOWHERE, each
    unplaced = [each.path for each in every if each.place is Where.UNPLACED]
    asked = [each.path for each in places.open()]
    for path in unplaced:
        assert any(path == top or path.startswith(f"{top}/") or top == "/" for top in asked)
    answers = [PlacedPath(path=path, place=answer, why="so it is") for path in asked]
    _, settled = _asked(host, answers)
    assert settled.open() == []
    before = {each.path: each.place for each in every}
    for each in settled.every():
        if before[each.path] is not Where.UNPLACED:
            below = any(each.path == top or each.path.startswith(f"{top}/") for top in asked)
            assert below or each.place is before[each.path] or each.path in bundle.links
