"""Base storeys that fit a release's locks, contexts in layers, scripts that carry secrets, the
beginning of a container."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from kirikae.build.environment import Environment
from kirikae.build.errors import CannotBuild
from kirikae.build.secrets import SecretRow, rows_of, script
from kirikae.build.texts import text_of
from kirikae.console import assets, build, release
from kirikae.console.images import locks_label, storeys_in
from kirikae.console.kinds import read_project
from kirikae.model.errors import ProjectProblem, UsageProblem
from tests.unit.test_build import ORDER, PROJECT, calls, here, release_made
from tests.unit.test_build_kinds import fpm, made, two

__all__ = ["here"]


def with_lock(folder, body="1"):
    """A folder as `build write` writes it for a Node service."""
    base = folder / "image/base.Dockerfile"
    base.write_text(
        base.read_text() + "RUN [ -f /usr/share/kirikae/locks/package-lock.json ] || true\n"
    )
    (folder / "code/package-lock.json").write_text(body)
    (folder / "code/package.json").write_text("{}")


def labels(words):
    given = [words[at + 1] for at, word in enumerate(words) if word == "--label"]
    return dict(each.split("=", 1) for each in given)


def test_the_base_storey_holds_the_locks_that_a_release_does_not_bring(here):
    """Their checksums are its label, and part of its key."""
    build.written(here, force=False, dry_run=False)
    with_lock(here.folder)
    release_made(here)
    order = build.BaseOrder("r2", None, None, if_stale=True)
    assert build.base_made(here, order, dry_run=True).outcome == "dry run"
    first = build.base_made(here, order, dry_run=False).plain["base"]
    [words] = calls(here, "build")
    assert set(json.loads(labels(words)["kirikae.base.locks"])) == {
        "package-lock.json",
        "package.json",
    }
    assert (here.folder / "context/locks/package-lock.json").read_text() == "1"
    assert build.base_made(here, order, dry_run=False).plain["base"] == first
    assert len(calls(here, "build")) == 1
    build.base_made(here, build.BaseOrder("r2", None, None, if_stale=False), dry_run=False)
    assert len(calls(here, "build")) == 2
    (here.folder / "code/package-lock.json").write_text("2")
    release.created(here, "r3", here.folder / "code", dry_run=False)
    order = build.BaseOrder("r3", None, None, if_stale=True)
    assert build.base_made(here, order, dry_run=False).plain["base"] != first


def of_a_part(folder, names=("package-lock.json", "package.json")):
    """Another service of the release, whose code and packages lie in `admin/`."""
    base = folder / "image/base.Dockerfile"
    stage = "RUN if [ -f '/usr/share/kirikae/locks/admin/package-lock.json' ]; then true; fi\n"
    base.write_text(base.read_text() + stage)
    app = (folder / "image/app.Dockerfile").read_text()
    text = app.replace("ARG BASE", "# release: admin/\nARG BASE", 1)
    (folder / "image/admin.Dockerfile").write_text(text)
    (folder / "code/admin").mkdir()
    (folder / "code/admin/server.js").write_text("x")
    for name in names:
        (folder / "code/admin" / name).write_text("{}")


def test_each_part_of_a_release_has_locks_of_its_own(here):
    """Two Node services on one host: the second one's packages are not the first one's."""
    build.written(here, force=False, dry_run=False)
    with_lock(here.folder)
    of_a_part(here.folder)
    release_made(here)
    made = build.images_made(here, ORDER, dry_run=False).plain
    [base, *_] = calls(here, "build")
    assert set(json.loads(labels(base)["kirikae.base.locks"])) == {
        *("package-lock.json", "package.json"),
        *("admin/package-lock.json", "admin/package.json"),
    }
    assert made["left_out"] == []


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), "has neither it nor admin/node_modules/"),
        (("package-lock.json", "package.json"), None),
        (("node_modules/a.js",), None),
        (("package-lock.json", "yarn.lock"), None),
        (("yarn.lock", "node_modules/a.js"), None),
        (("package-lock.json", "poetry.lock"), "admin/poetry.lock, by which kirikae installs"),
        (("package-lock.json", "poetry.lock", "requirements.txt"), None),
        (("package-lock.json", "pnpm-lock.yaml"), None),
    ],
)
def test_packages_that_are_in_no_image_are_told(here, names, told):
    """Never left out in silence."""
    build.written(here, force=False, dry_run=False)
    of_a_part(here.folder, ())
    (here.folder / "code/admin/node_modules").mkdir()
    for name in names:
        (here.folder / "code/admin" / name).write_text("{}")
    release_made(here)
    answer = build.images_made(here, ORDER, dry_run=False)
    assert len(answer.plain["left_out"]) == (0 if told is None else 1)
    assert told is None or told in "\n".join(answer.lines)


def test_what_the_release_brings_itself_is_not_installed(here):
    build.written(here, force=False, dry_run=False)
    with_lock(here.folder)
    (here.folder / "code/node_modules/a").mkdir(parents=True)
    (here.folder / "code/node_modules/a/index.js").write_text("x")
    release_made(here)
    build.images_made(here, ORDER, dry_run=False)
    base, app, _ = calls(here, "build")
    assert labels(base)["kirikae.base.locks"] == "{}" and labels(app)["kirikae.base"]


def test_a_base_whose_locks_do_not_fit_is_refused_with_the_next_step(here):
    """Last night's base under a commit that changed a lock: the failure that two storeys invite."""
    build.written(here, force=False, dry_run=False)
    with_lock(here.folder)
    release_made(here)
    engine = here.folder / "engine"
    text = engine.read_text()
    stale = locks_label({"package-lock.json": b"0"})
    shown = json.dumps({"kirikae.base.locks": stale})
    case = 'case ["image", "inspect", "-f", "{{json .Config.Labels}}", tag]:'
    engine.write_text(
        text.replace("match words:", f"match words:\n    {case}\n        print({shown!r})")
    )
    order = build.ImageOrder("r2", None, None, "shop-base:old")
    with pytest.raises(CannotBuild, match=r"stale for r2.*`kirikae build base r2`"):
        build.images_made(here, order, dry_run=False)
    engine.write_text(
        text.replace("match words:", f"match words:\n    {case}\n        print('{{}}')")
    )
    with pytest.raises(CannotBuild, match="has no label"):
        build.images_made(here, order, dry_run=False)


def test_a_release_lies_in_layers_by_how_often_it_changes(here):
    """The whole release, each file once, links included."""
    build.written(here, force=False, dry_run=False)
    code = here.folder / "code"
    (code / "node_modules/a").mkdir(parents=True)
    (code / "node_modules/a/index.js").write_text("x")
    (code / "logo.png").write_text("x")
    (code / "link").symlink_to("app.py")
    (code / "empty").mkdir()
    release_made(here)
    (here.folder / "image/web.Dockerfile").unlink()
    build.images_made(here, ORDER, dry_run=False)
    layers = here.folder / "context/layers"
    found = {
        path.relative_to(layers).as_posix(): path
        for path in layers.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert set(found) == {
        "vendor/node_modules/a/index.js",
        "assets/logo.png",
        "code/app.py",
        "code/link",
        "code/RELEASE",
    }
    assert (layers / "code/empty").is_dir()


_ASSETS = (
    "[subnet-1], assets: {command: 'node build.js', sources: [front/, build.js], "
    "output: static/made, packages: [nodejs]}"
)


def with_assets(here):
    text = (here.folder / "kirikae.yml").read_text()
    (here.folder / "kirikae.yml").write_text(text.replace("[subnet-1]", _ASSETS))
    code = here.folder / "code"
    (code / "front").mkdir()
    (code / "front/a.js").write_text("1")
    (code / "build.js").write_text("x")
    (code / "package-lock.json").write_text("{}")
    build.written(here, force=False, dry_run=False)
    release_made(here)


def test_assets_are_built_only_when_their_lock_or_a_source_has_changed(here):
    """Code alone changes nothing of them; the images take them from their stage."""
    with_assets(here)
    build.images_made(here, ORDER, dry_run=False)
    _, stage, app, web = calls(here, "build")
    name = stage[stage.index("-t") + 1]
    assert name.startswith("bookshop-assets:") and f"ASSETS={name}" in app
    assert f"ASSETS={name}" in web or "static/made" not in " ".join(web)
    made = here.folder / "image/app.Dockerfile"
    lines = made.read_text().splitlines()
    copied = "COPY --from=assets /static/made/ /srv/bookshop/current/static/made/"
    assert lines.index(copied) < lines.index("COPY layers/code/ /srv/bookshop/current/")
    (here.folder / "code/app.py").write_text("print(2)")
    release.created(here, "r3", here.folder / "code", dry_run=False)
    build.images_made(here, replace(ORDER, release_id="r3"), dry_run=False)
    assert sum("-assets:" in str(words) for words in calls(here, "build") if words[3] == name) == 1
    for number, path in enumerate(("front/a.js", "package-lock.json", "build.js"), 4):
        (here.folder / "code" / path).write_text(f"{number}")
        release.created(here, f"r{number}", here.folder / "code", dry_run=False)
        build.images_made(here, replace(ORDER, release_id=f"r{number}"), dry_run=False)
    names = [words[3] for words in calls(here, "build") if "-assets:" in words[3]]
    assert len(names) == len(set(names)) == 4


def test_the_stage_of_assets_gets_scripts_that_run_and_links(here, monkeypatch):
    """As the release has them; either, changed, is another image."""
    with_assets(here)
    code = here.folder / "code"
    code.joinpath("build.js").chmod(0o755)
    code.joinpath("front/shared.js").symlink_to("a.js")
    seen = {}
    kept = assets._context

    @contextlib.contextmanager
    def looked(text, inputs, release):
        with kept(text, inputs, release) as folder:
            sources = folder / "assets/sources"
            seen["runs"] = os.access(sources / "build.js", os.X_OK)
            seen["link"] = sources.joinpath("front/shared.js").read_text()
            seen["lock"] = folder.joinpath("assets/lock/package-lock.json").read_text()
            yield folder

    monkeypatch.setattr(assets, "_context", looked)
    release.created(here, "r3", code, dry_run=False)
    build.images_made(here, replace(ORDER, release_id="r3"), dry_run=False)
    assert seen == {"runs": True, "link": "1", "lock": "{}"}
    code.joinpath("build.js").chmod(0o644)
    release.created(here, "r4", code, dry_run=False)
    build.images_made(here, replace(ORDER, release_id="r4"), dry_run=False)
    code.joinpath("front/b.js").write_text("1")
    code.joinpath("front/shared.js").unlink()
    code.joinpath("front/shared.js").symlink_to("b.js")
    release.created(here, "r5", code, dry_run=False)
    build.images_made(here, replace(ORDER, release_id="r5"), dry_run=False)
    names = [words[3] for words in calls(here, "build") if "-assets:" in words[3]]
    assert len(names) == len(set(names)) == 3


@pytest.mark.parametrize(("old", "new"), [("front/", "front/../.."), ("static/made", "a/../../x")])
def test_assets_stay_in_the_release(here, old, new):
    with_assets(here)
    file = here.folder / "kirikae.yml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ProjectProblem, match=r"leads out of the release"):
        read_project(file.read_text(), "kirikae.yml")


def test_a_source_of_assets_that_a_release_has_not_is_told(here):
    with_assets(here)
    shutil.rmtree(here.folder / "code/front")
    release.created(here, "r3", here.folder / "code", dry_run=False)
    with pytest.raises(CannotBuild, match=r"r3 has no front/, which `build.assets`"):
        build.images_made(here, replace(ORDER, release_id="r3"), dry_run=False)


def test_layers_of_a_former_release_take_part_where_its_images_are_there(here):
    """On a machine that begins empty; without them everything is built, and that is no fault."""
    build.written(here, force=False, dry_run=False)
    release_made(here)
    engine = here.folder / "engine"
    text = engine.read_text()
    engine.write_text(
        text.replace("match words:", "match words:\n    case ['pull', '-q', 'r/shop-app:r1']: pass")
    )
    order = build.ImageOrder("r2", None, "r/shop", None, "r1")
    build.images_made(here, order, dry_run=False)
    _, app, web = calls(here, "build")
    assert app[app.index("--cache-from") + 1] == "r/shop-app:r1"
    assert "--cache-from" not in web
    with pytest.raises(UsageProblem):
        build.images_made(here, replace(order, former="../r1"), dry_run=False)


def test_a_dockerfile_of_before_the_layers_gets_the_release_whole(here):
    """Somebody edited his before they came."""
    build.written(here, force=False, dry_run=False)
    release_made(here)
    (here.folder / "image/web.Dockerfile").unlink()
    (here.folder / "image/app.Dockerfile").write_text("FROM x\nCOPY release/ /srv/\n")
    build.images_made(here, ORDER, dry_run=False)
    assert (here.folder / "context/release/app.py").exists()
    assert not (here.folder / "context/layers").exists()


def test_a_program_of_no_package_must_be_brought(tmp_path):
    text = "ARG DISTRIBUTION=x\n# PR12: /usr/local/bin/node is in no package: copied.\n"
    (tmp_path / "base.Dockerfile").write_text(text)
    (tmp_path / "base.packages").write_text("")
    (tmp_path / "app.Dockerfile").write_text("")
    with pytest.raises(CannotBuild, match=r"ssh HOST tar -C / -cf - usr/local/bin/node"):
        storeys_in(tmp_path, None)
    (tmp_path / "runtime/usr/local/bin").mkdir(parents=True)
    (tmp_path / "runtime/usr/local/bin/node").write_text("")
    assert storeys_in(tmp_path, None).names == ["app"]


def test_the_relay_is_an_image_beside_the_service(here):
    """The mail server that jobs have; nothing of the release is in it."""
    text = (here.folder / "kirikae.yml").read_text()
    (here.folder / "kirikae.yml").write_text(
        text.replace("[subnet-1]", "[subnet-1], sidecars: [relay]")
    )
    build.written(here, force=False, dry_run=False)
    release_made(here)
    made_images = build.images_made(here, ORDER, dry_run=False).plain["images"]
    assert set(made_images) == {"app", "web", "relay"}
    relay = calls(here, "build")[-1]
    assert "DISTRIBUTION=debian:12-slim" in relay
    assert (here.folder / "context/relay.sh").exists()


def test_a_static_site_needs_no_storey_of_an_application(here):
    """nginx and the release, on the distribution that its compose file names."""
    build.written(here, force=False, dry_run=False)
    for name in ("app.Dockerfile", "base.Dockerfile", "base.packages"):
        (here.folder / "image" / name).unlink()
    release_made(here)
    made_images = build.images_made(here, ORDER, dry_run=False).plain
    assert list(made_images["images"]) == ["web"] and made_images["base"] == ""
    [web] = calls(here, "build")
    assert "DISTRIBUTION=debian:12-slim" in web


# --- secrets


def test_each_secret_is_named_with_where_it_lies_and_where_it_goes(here):
    """Names and places, no value and no fingerprint."""
    told = build.secrets_planned(here)
    assert told.plain["secrets"] == [
        {
            "name": "BOOKSHOP_DB_PASSWORD",
            "place": "/bookshop/bookshop-db-password",
            "unit": "bookshop.service",
            "file": "",
            "line": 0,
            "before": "",
            "after": "",
            "ends": True,
        }
    ]
    assert any("put-secrets.sh" in line for line in told.lines)


def test_a_secret_that_no_task_is_given_is_named_all_the_same():
    """The hosts have it: "no secret was found" would be a comfort and not the truth."""
    machine = two()
    row = next(row for row in machine.units if row["Id"] == "shop.service")
    row["Environment"] = "API_TOKEN=<masked:0123456789abcdef> AWS_SECRET_ACCESS_KEY=<masked:ab>"
    machine.release("/srv/shop", {"app.py": "import os\nos.environ['TITLE']"})
    _, written = made(machine, ", services: {app: {unit: shop}, admin: {unit: admin}}")
    left = dict(written.secrets_left)
    assert not {row.name for row in written.secrets} & left.keys()
    assert "role" in left["AWS_SECRET_ACCESS_KEY"] and "build.secrets" in left["API_TOKEN"]


def test_a_secret_of_a_pool_is_read_from_its_file():
    found, written = made(
        fpm(
            "[a]\nlisten = 9000\nenv[DB_PW] = <masked:0123456789abcdef>",
            "server { listen 80; root /srv/a; }",
        )
    )
    [row] = written.secrets
    assert (row.name, row.unit, row.lies) == ("DB_PW", "", "/etc/php/8.2/fpm/pool.d/shop.conf:3")
    assert (row.before, row.after) == ("env[DB_PW] = ", "")
    project = read_project(PROJECT, "kirikae.yml")
    secret = {"DB_PW": "/a"}
    assert rows_of(found, project, {"app": Environment({}, secret, ())}, ["OTHER"])[1].file == ""


_SSH = """#!/bin/sh
case $2 in
  *MainPID*) printf 'A=1\\0DB_PW=two words\\nand a line\\0Z=2\\0' ;;
  *pool.conf*) printf '; env[DB_PW] = old\\nenv[DB_PW] = "Hemlock 73"\\n' ;;
  *site.conf*) printf 'set $a A;b; set $b B"c;\\n' ;;
esac
"""
_POOL_ROW = SecretRow("DB_PW", "/shop/db-pw", "", "/etc/pool.conf", 2, 'env[DB_PW] = "', '"')
_AWS = """#!/bin/sh
printf '%s|' "$@" >>"$SAID"; cat >>"$SAID"; printf '\\n' >>"$SAID"
"""


def run_script(tmp_path, rows, **more):
    for name, body in (("ssh", _SSH), ("aws", _AWS)):
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    text = script(rows, read_project(PROJECT, "kirikae.yml"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SAID": str(tmp_path / "said"), **more}
    return subprocess.run(["sh"], input=text, env=environment, capture_output=True, text=True)


def test_values_go_from_the_host_into_the_store_and_are_never_an_argument(tmp_path):
    rows = [
        SecretRow("DB_PW", "/shop/db-pw", "shop.service", ""),
        replace(_POOL_ROW, place="arn:aws:secretsmanager:x"),
        SecretRow("BY_HAND", "/shop/by-hand", "", ""),
    ]
    done = run_script(tmp_path, rows)
    assert done.returncode == 0, done.stderr
    first, line, second = (tmp_path / "said").read_text().splitlines()
    assert first.startswith("--region|ap-northeast-1|ssm|put-parameter|--name|/shop/db-pw|")
    assert first.endswith("--value|file:///dev/stdin|two words") and line == "and a line"
    assert "put-secret-value" in second and second.endswith("file:///dev/stdin|Hemlock 73")
    assert "put by hand: BY_HAND" in done.stdout and "Hemlock" not in done.stdout


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (SecretRow("A", "/a", "", "/site.conf", 1, "set $a ", "; set $b ", False), "A;b"),
        (SecretRow("B", "/b", "", "/site.conf", 1, "; set $b ", ";"), 'B"c'),
    ],
)
def test_of_two_secrets_in_one_line_each_is_found(tmp_path, row, value):
    done = run_script(tmp_path, [row])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").read_text().strip().endswith(f"stdin|{value}")


@pytest.mark.parametrize("changed", [{"line": 1}, {"before": "env[DB_PASS] = "}, {"after": "'"}])
def test_a_file_that_is_not_as_the_survey_saw_it_gives_no_value(tmp_path, changed):
    """Never another text in a secret's place."""
    done = run_script(tmp_path, [replace(_POOL_ROW, **changed)])
    assert done.returncode == 1 and "survey again" in done.stderr
    assert not (tmp_path / "said").exists()


_TWO_POOLS = """[shop]
listen = 9000
env[SHOP_TITLE] = books
php_value[db.pw] = <masked:0123456789abcdef>
php_value[other.pw] = "<masked:123456789abcdef0>"
php_value[home] = <masked:23456789abcdef01>
php_value[again.pw] = <masked:0123456789abcdef>"""
_KEYS = """server {
    listen 80; root /srv/a;
    location /a { proxy_set_header X-Api-Key <masked:3456789abcdef012>; proxy_pass http://a; }
    location /b { proxy_set_header X-Api-Key <masked:456789abcdef0123>; proxy_pass http://b; }
    location /c { proxy_set_header PATH <masked:56789abcdef01234>; proxy_pass http://b; }
}"""


def test_two_secrets_have_two_names_and_none_is_a_name_of_the_shell():
    """Equal words before two values, and words that mean something in a container."""
    _, written = made(fpm(_TWO_POOLS, _KEYS))
    rows = {row.name: row for row in written.secrets}
    assert set(rows) == {"PW", "OTHER_PW", "HOME_SECRET", "KEY", "API_KEY", "PATH_SECRET"}
    assert len({row.place for row in rows.values()}) == 6
    assert all(row.file and row.line for row in rows.values())
    assert rows["API_KEY"].lies == "/etc/nginx/sites-available/s0:4"
    assert (rows["OTHER_PW"].before, rows["OTHER_PW"].after) == ('php_value[other.pw] = "', '"')
    pool = next(text for path, text in written.files.items() if path.endswith("shop.conf"))
    assert pool.count("@{PW}") == 2 and '"@{OTHER_PW}"' in pool
    assert "X-Api-Key @{API_KEY};" in written.files["image/nginx.conf"]


def test_two_services_with_another_secret_of_one_name_have_two_places():
    machine = two()
    for unit, mask in (("shop", "0123456789abcdef"), ("admin", "123456789abcdef0")):
        row = next(row for row in machine.units if row["Id"] == f"{unit}.service")
        row["Environment"] = f"DB_PASSWORD=<masked:{mask}> SAME=<masked:3456789abcdef012>"
    _, written = made(machine, ", services: {app: {unit: shop}, admin: {unit: admin}}")
    secrets = {
        each["name"]: {row["name"]: row["valueFrom"] for row in each.get("secrets", ())}
        for each in json.loads(written.files["ecs/ecs-task-def.json"])["containerDefinitions"]
    }
    assert secrets["app"] == {"DB_PASSWORD": "/shop/app/db-password", "SAME": "/shop/same"}
    assert secrets["admin"] == {"DB_PASSWORD": "/shop/admin/db-password", "SAME": "/shop/same"}
    rows = {row.place: row.unit for row in written.secrets}
    assert rows["/shop/admin/db-password"] == "admin.service" and len(rows) == 3


def test_a_dry_run_tells_how_much_would_go_and_a_missing_value_stops(tmp_path):
    done = run_script(tmp_path, [_POOL_ROW], DRY_RUN="1")
    assert done.stdout.strip() == "10 bytes would go to /shop/db-pw"
    assert not (tmp_path / "said").exists()
    gone = run_script(tmp_path, [SecretRow("NOT_THERE", "/a", "shop.service", "")])
    assert gone.returncode == 1 and "nothing was found" in gone.stderr


# --- the beginning of a container


def started(tmp_path, template, names, **environment):
    """The script of a container, on folders of this test."""
    place = tmp_path / "templates/etc"
    place.mkdir(parents=True)
    (place / "a.conf").write_text(template)
    text = text_of("start", names=names)
    text = text.replace("/usr/share/kirikae/templates", str(tmp_path / "templates"))
    text = text.replace("/run/kirikae", str(tmp_path / "run"))
    (tmp_path / "start").write_text(text)
    words = ["sh", str(tmp_path / "start"), "cat", str(tmp_path / "run/etc/a.conf")]
    base = {"PATH": os.environ["PATH"]}
    return subprocess.run(words, env={**base, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("value", ["simple", 'a"b\\n&/$HOME `x` %s', "@{OTHER}", "日本"])
def test_values_are_put_into_templates_as_they_are(tmp_path, value):
    done = started(tmp_path, "key = @{PW}; again @{PW}\n$uri {\n", ["PW"], PW=value)
    assert done.stdout == f"key = {value}; again {value}\n$uri {{\n"
    assert (tmp_path / "run/etc/a.conf").stat().st_mode & 0o077 == 0


def test_a_name_that_is_not_set_stops_the_container(tmp_path):
    done = started(tmp_path, "@{PW} @{KEY}\n", ["PW", "KEY"], PW="a")
    assert done.returncode == 78 and "KEY is not set" in done.stderr and done.stdout == ""
