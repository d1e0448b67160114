"""Images and definitions from the survey: the same bytes, one place for each path, nothing secret,
nothing guessed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from dataclasses import replace

import botocore.session
import pytest
from botocore.validate import ParamValidator

from kirikae.build.errors import CannotBuild, EngineProblem
from kirikae.build.images import app_dockerfile, ignore_file
from kirikae.build.places import Places
from kirikae.build.plan import plan
from kirikae.build.sidecar import nginx_conf
from kirikae.build.sizes import size_of
from kirikae.build.written import RECORD, State, checksum, state_of
from kirikae.console import build, release
from kirikae.console.here import Here
from kirikae.console.kinds import read_project
from kirikae.model.build_settings import BuildSettings
from kirikae.model.errors import UsageProblem
from kirikae.model.fargate import SIZES
from kirikae.model.workload import Measured, WebServer
from kirikae.release.definitions import render
from kirikae.release.errors import NoRelease
from kirikae.survey.errors import NoSurvey
from kirikae.survey.front import _static
from kirikae.survey.survey import findings
from kirikae.survey.workload import workload
from tests.unit.test_survey import DATA as BUNDLES
from tests.unit.test_survey import TODAY, altered, captured

PROJECT = """
service: bookshop
environment: test
account: "123456789012"
fleets:
  old: {hosts: [ssh://web1, ssh://web2], target_group: a}
  new: {cluster: c, ecs_service: bookshop-web, target_group: b}
build: {subnets: [subnet-1]}
accepted:
  - {finding: CF05, where: /etc/nginx/sites-available/bookshop, why: w, use: web2, by: me,
     until: 2099-01-01}
"""
VALUES = {
    "RELEASE_ID": "r2",
    "IMAGE_APP": "sha256:a",
    "IMAGE_WEB": "sha256:b",
    "TARGET_GROUP_ARN": "arn:tg",
}


def made(text=PROJECT, bundles=None):
    project = read_project(text, "kirikae.yml")
    found = workload(
        bundles or [captured("web1"), captured("web2")], project.build, project.accepted
    )
    return found, plan(found, project)


def test_the_same_survey_gives_the_same_bytes():
    """And the answers are all given: nothing is asked."""
    found, first = made()
    assert (
        found.questions == ()
        and dict(first.files) == dict(made()[1].files)
        and first.base_key == made()[1].base_key
    )


def test_the_definitions_are_what_aws_takes():
    """botocore's own validation of RegisterTaskDefinition and CreateService."""
    model = botocore.session.get_session().get_service_model("ecs")
    _, written = made()
    for name, operation, more in (
        ("ecs/ecs-task-def.json", "RegisterTaskDefinition", {}),
        ("ecs/ecs-service-def.json", "CreateService", {"serviceName": "s"}),
    ):
        plain = json.loads(render(written.files[name], name, VALUES))
        report = ParamValidator().validate(
            {**plain, **more}, model.operation_model(operation).input_shape
        )
        assert not report.has_errors(), report.generate_report()


def test_the_task_is_what_the_host_ran():
    """Command, folder, numeric user, locale, secrets by name only, a read-only root with the
    survey's caches writable."""
    _, written = made()
    task = json.loads(render(written.files["ecs/ecs-task-def.json"], "t", VALUES))
    app, web = task["containerDefinitions"]
    names = {e["name"]: e["value"] for e in app["environment"]}
    assert (
        names["SHOP_REGION"] == "jp"
        and "BOOKSHOP_DEBUG_SQL" not in names
        and names["RELEASE_ID"] == "r2"
    )
    assert app["secrets"] == [
        {"name": "BOOKSHOP_DB_PASSWORD", "valueFrom": "/bookshop/bookshop-db-password"}
    ]
    assert app["readonlyRootFilesystem"] and "/var/cache/bookshop" in [
        t["containerPath"] for t in app["linuxParameters"]["tmpfs"]
    ]
    assert (
        web["portMappings"] == [{"containerPort": 8080}]
        and int(task["memory"]) in SIZES[int(task["cpu"])]
    )
    docker = written.files["image/app.Dockerfile"]
    assert (
        "USER 999:997" in docker
        and '"--chdir", "/srv/bookshop/current"' in docker
        and "COPY layers/code/ /srv/bookshop/current/" in docker
    )
    base = written.files["image/base.Dockerfile"]
    assert "ja_JP.UTF-8 UTF-8" in base and "Asia/Tokyo" in base and "FROM ${DISTRIBUTION}" in base
    packages = written.files["image/base.packages"]
    assert (
        "python3-flask=2.2.2-3\n" in packages
        and "openssh" not in packages
        and "postgresql" not in packages
        and "nginx" not in packages
    )


def test_the_sidecar_has_the_virtual_host_of_the_host_that_is_right():
    """Port 8080, no root; web1's limit is the one that was not chosen."""
    _, written = made()
    conf = written.files["image/nginx.conf"]
    assert (
        "listen 8080 default_server;" in conf
        and "client_max_body_size 8m;" in conf
        and "2m" not in conf
    )
    assert (
        "COPY release/static/ /srv/bookshop/current/static/"
        in written.files["image/web.Dockerfile"]
    )


def test_a_difference_that_nobody_has_answered_for_stops_the_writing():
    """Which of two hosts is right is a person's answer."""
    found, _ = made(PROJECT.split("accepted:")[0])
    assert any("use: HOST" in q for q in found.questions)


def test_nothing_secret_is_written():
    """Neither a fingerprint nor a static key."""
    for name, text in made()[1].files.items():
        assert "<masked" not in text and "Tanuki" not in text and "AWS_SECRET" not in text, name


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("access_log /var/log/nginx/shop.access.log;", "access_log /dev/stdout;"),
        ("access_log /var/log/nginx/a.log main buffer=32k flush=1m;", "access_log /dev/stdout;"),
        ("  access_log /var/log/a.log combined;", "  access_log /dev/stdout combined;"),
        ("access_log /var/log/$host.log own;", "access_log /dev/stdout own;"),
        ("error_log /var/log/nginx/e.log warn;", "error_log stderr warn;"),
        ("error_log /var/log/nginx/e.log;", "error_log stderr;"),
        ("access_log off;", "access_log off;"),
        ("access_log syslog:server=10.0.0.1 main;", "access_log syslog:server=10.0.0.1 main;"),
        ("location /s/ { access_log /a.log; alias /x/; }", None),
        ("# access_log /var/log/a.log;", "# access_log /var/log/a.log;"),
    ],
)
def test_logs_of_a_site_go_to_where_a_task_can_write(line, written):
    """Almost every site has them, and nginx would not start."""
    web = WebServer(
        "nginx", "1", "/etc/nginx/sites-enabled/a", ("log_format own '$uri';", line), 80, ()
    )
    conf = nginx_conf(web, 8080, {}, made()[0])
    wanted = written or "location /s/ { access_log /dev/stdout; alias /x/; }"
    assert f"    {wanted}" in conf.splitlines()


@pytest.mark.parametrize(
    ("text", "static"),
    [
        ("location /static/ { alias /srv/shop/current/public/; expires 1h; }", ["public"]),
        ("location /static/ {\n  root /srv/shop/current;\n}", ["static"]),
        (
            "server {\n root /srv/shop/current/public;\n location / { try_files $uri @app; }\n}",
            ["public"],
        ),
        (
            "root '/srv/shop/current/public/'; location ^~ /a { root /srv/shop/current/public/a; }",
            ["public"],
        ),
        ("# root /srv/shop/current/old;\nroot /var/www/html;", []),
        ("alias /srv/shop/current/$1/x; alias /srv/shop/current/../shared;", []),
        ("location /up/ { alias /srv/shop/shared/up/; }", []),
    ],
)
def test_static_files_are_found_however_a_site_names_them(text, static):
    """`root` and `alias`, in a location and around it, on one line and on many."""
    assert list(_static(text, "/srv/shop/current")) == static


def test_a_value_with_a_secret_inside_it_is_passed_as_a_secret():
    """A URL with a password: never as a plain value, and somebody is told what to put there."""
    url = "postgres://shop:<masked:c6dbf21f3957a1b9>@db1/shop"
    change = ("SHOP_REGION=jp", f"SHOP_REGION={url}")
    bundles = [altered("web1", change), altered("web2", change)]
    found, written = made(bundles=bundles)
    task = json.loads(render(written.files["ecs/ecs-task-def.json"], "t", VALUES))
    app, _ = task["containerDefinitions"]
    assert "SHOP_REGION" not in {each["name"] for each in app["environment"]}
    assert {"name": "SHOP_REGION", "valueFrom": "/bookshop/shop-region"} in app["secrets"]
    assert any("put the whole value into /bookshop/shop-region" in note for note in written.notes)
    assert all("<masked" not in text for text in written.files.values())
    codes = {(each.code, each.where) for each in findings(bundles, [], TODAY)}
    assert ("CF12", "/etc/default/bookshop:SHOP_REGION") in codes
    assert not found.questions


OF_LIBRARIES = """
NODE_ENV RAILS_ENV RACK_ENV APP_ENV APP_DEBUG APP_KEY FLASK_ENV DJANGO_SETTINGS_MODULE MIX_ENV
SECRET_KEY_BASE DATABASE_URL REDIS_URL SENTRY_DSN OTEL_SERVICE_NAME DD_ENV NEW_RELIC_APP_NAME PGHOST
PGSSLMODE MYSQL_HOST GIN_MODE ASPNETCORE_ENVIRONMENT SPRING_PROFILES_ACTIVE PHP_INI_SCAN_DIR RUBYOPT
BUNDLE_GEMFILE GEM_HOME JAVA_OPTS CATALINA_OPTS NPM_CONFIG_LOGLEVEL DEBUG LOG_LEVEL RUST_LOG
SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS http_proxy no_proxy HTTP_PROXY PYTHONUNBUFFERED
UV_THREADPOOL_SIZE UWSGI_PROCESSES WEB_CONCURRENCY MALLOC_ARENA_MAX LD_PRELOAD GOMAXPROCS PORT
XDG_CACHE_HOME OPENSSL_CONF ERL_FLAGS KAFKA_OPTS OMP_NUM_THREADS GUNICORN_CMD_ARGS RAILS_MAX_THREADS
CELERY_BROKER_URL
"""


def test_what_frameworks_and_libraries_read_is_kept():
    """Their code is looked at by nobody: without NODE_ENV Express tells users its stack traces."""
    names = OF_LIBRARIES.split()
    more = "".join(f"\n|{name}=v" for name in [*names, "BOOKSHOP_OF_2014"])
    change = ("SHOP_REGION=jp", f"SHOP_REGION=jp{more}")
    _, written = made(bundles=[altered("web1", change), altered("web2", change)])
    task = json.loads(render(written.files["ecs/ecs-task-def.json"], "t", VALUES))
    app, _ = task["containerDefinitions"]
    given = {each["name"] for each in app["environment"]}
    assert set(names) <= given and "BOOKSHOP_OF_2014" not in given
    [note] = [each for each in written.notes if each.startswith("BOOKSHOP_OF_2014")]
    assert "no code reads it (CF08)" in note and "`build.environment`" in note


def test_what_the_project_file_calls_a_secret_is_one():
    """Whatever its value looks like on the hosts."""
    text = PROJECT.replace("[subnet-1]", "[subnet-1], secrets: {SHOP_REGION: /shop/region}")
    task = json.loads(render(made(text)[1].files["ecs/ecs-task-def.json"], "t", VALUES))
    app, _ = task["containerDefinitions"]
    assert {"name": "SHOP_REGION", "valueFrom": "/shop/region"} in app["secrets"]
    assert "SHOP_REGION" not in {each["name"] for each in app["environment"]}


@pytest.mark.parametrize(
    "value", ["{{ name }}", "{{ must_env `HOME` }}", "{{{x}}}", "a{{b}}c{{", "\\{{"]
)
def test_a_value_of_a_host_is_no_template(value):
    """It reaches the task as it stood on the hosts."""
    change = ("SHOP_REGION=jp", f"SHOP_REGION={value}")
    bundles = [altered("web1", change), altered("web2", change)]
    found, written = made(bundles=bundles)
    [there] = [each.value for each in found.environment if each.name == "SHOP_REGION"]
    task = json.loads(render(written.files["ecs/ecs-task-def.json"], "t", VALUES))
    app, _ = task["containerDefinitions"]
    assert {"name": "SHOP_REGION", "value": there} in app["environment"]
    assert "{{" in there


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/srv/shop/current", "COPY layers/code/ /srv/shop/current/"),
        ("/srv/my shop", 'COPY ["layers/code/", "/srv/my shop/"]'),
        ("/srv/$shop", 'COPY ["layers/code/", "/srv/\\\\$shop/"]'),
    ],
)
def test_a_path_of_a_host_is_data_for_docker(path, line):
    """Blanks and dollar signs begin nothing of their own."""
    found, _ = made()
    text = app_dockerfile(replace(found, folder=path), BuildSettings())
    assert line in text.splitlines()


def test_the_image_has_all_of_the_release():
    """What must not be in it was left out when the release was made: both sides run the same."""
    lines = ignore_file().splitlines()
    assert lines[-4:] == ["!release", "!release/**", "!layers", "!layers/**"]


def test_a_command_with_a_secret_stops_the_writing():
    """It would stand in the image, masked and useless, or in clear in every list of processes."""
    change = (" --chdir ", " --token <masked:c6dbf21f3957a1b9> --chdir ")
    found, _ = made(bundles=[altered("web1", change), altered("web2", change)])
    assert any("the command of bookshop.service holds a secret" in q for q in found.questions)


def test_every_path_has_one_place_and_a_reason():
    """Over all folders, files and packaged paths of a host; a path that no rule knows is told, not
    guessed."""
    project = read_project(PROJECT, "kirikae.yml")
    bundle = captured("web1")
    found, _ = made()
    known = Places(bundle, found)
    paths = (
        [f.path for f in bundle.folders]
        + [f.path for f in bundle.files]
        + sorted(bundle.owners)[:: len(bundle.owners) // 300]
    )
    places = {p: known.place(p) for p in paths}
    assert {p.place for p in places.values()} <= {
        "base",
        "app",
        "web",
        "nowhere",
        "unplaced",
    } and all(p.reason for p in places.values())
    assert project.service == "bookshop"

    def where(path):
        return known.place(path).place

    assert (
        where("/var/lib/bookshop/uploads/1") == "nowhere"
        and where("/srv/bookshop/current/bookshop/web.py") == "app"
    )
    assert (
        where("/usr/bin/gunicorn") == "base"
        and where("/etc/nginx/sites-available/bookshop") == "web"
        and where("/usr/sbin/nginx") in ("web", "nowhere")
    )
    assert (
        where("/etc/default/bookshop") == "nowhere"
        and where("/usr/sbin/sshd") == "nowhere"
        and where("/etc/ssh/ssh_host_rsa_key") == "nowhere"
    )
    assert where("/etc/td-agent/td-agent.conf") == "nowhere"
    assert where("/opt/legacy/tool") == "unplaced"


def test_sizes_show_their_arithmetic():
    """Measured: computed; not measured: said, and a question."""
    found, written = made()
    assert not written.size.measured and "not measured" in written.files["image/SIZES.md"]
    known = replace(
        found, measured=(Measured("web1", 0.9, 4, 900 * 1024), Measured("web2", 0.6, 4, 800 * 1024))
    )
    size = size_of(known, 2)
    # 1.5 vCPU / 0.6 / 2 tasks = 1.25 -> 2 vCPU; 1.2 x (900 + 64) = 1157 MiB -> the least that goes
    # with 2 vCPU
    assert (
        (size.cpu, size.memory, size.measured) == (2048, 4096, True)
        and "1.250 vCPU" in size.why
        and "1157 MiB" in size.why
    )


def test_a_host_without_one_own_service_is_told_to_name_it():
    """Nothing is guessed."""
    with pytest.raises(NoSurvey, match=r"build\.unit"):
        made(bundles=[captured("batch1")])
    with pytest.raises(NoSurvey, match="survey collect"):
        workload([], read_project(PROJECT, "k").build, ())
    nowhere = ("|WorkingDirectory=/srv/bookshop/current\n", "|WorkingDirectory=\n")
    found, _ = made(bundles=[altered("web1", nowhere)] * 2)
    assert found.folder == "/srv/bookshop/current"
    elsewhere = ("--chdir /srv/bookshop/current", "--preload")
    working = ("\t/srv/bookshop/", "\t/usr/share/")
    with pytest.raises(NoSurvey, match=r"build\.services\.app: .*folder: /srv"):
        made(bundles=[altered("web1", nowhere, elsewhere, working)])


# --- a folder with a survey


@pytest.fixture
def here(tmp_path):
    """Two surveyed hosts, a release r2, and a script in place of the container engine (a reason:
    there is none in these tests; the rehearsal builds with a real one)."""
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    for host in ("web1", "web2"):
        folder = tmp_path / ".kirikae/bundles" / host
        folder.mkdir(parents=True)
        shutil.copy(BUNDLES / f"{host}.gz", folder / "20261121T000000Z.gz")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text("print()")
    script = tmp_path / "engine"
    script.write_text(ENGINE.format(python=sys.executable, folder=str(tmp_path)))
    script.chmod(0o755)
    environment = {**os.environ, "KIRIKAE_ENGINE": str(script)}
    return Here(str(tmp_path / "kirikae.yml"), environment=environment)


ENGINE = """#!{python}
import json, os, shutil, sys
folder = {folder!r}
words = sys.argv[1:]
with open(os.path.join(folder, "calls"), "a") as log:
    log.write(json.dumps(words) + "\\n")
built = os.path.join(folder, "built")
names = open(built).read().split() if os.path.exists(built) else []
match words:
    case ["image", "inspect", "-f", "{{{{json .RepoDigests}}}}", tag]:
        print(json.dumps([tag.rpartition(":")[0] + "@sha256:d"]))
    case ["image", "inspect", "-f", _, tag]:
        print("sha256:" + tag)
    case ["image", "inspect", tag]:
        sys.exit(0 if tag in names else 1)
    case ["build", *rest]:
        kept = os.path.join(folder, "context")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(rest[-1], kept)
        with open(built, "a") as file:
            file.write(rest[rest.index("-t") + 1] + "\\n")
    case ["create", _, *_]:
        print("container")
    case ["cp", *_]:
        sys.exit("no such file")
    case ["export", _]:
        sys.stdout.buffer.write(open(os.path.join(folder, "image.tar"), "rb").read())
    case ["push" | "rm", *_]:
        pass
    case _:
        sys.exit("no such command")
"""


def release_made(here):
    release.created(here, "r2", here.folder / "code", dry_run=False)


def calls(here, verb):
    lines = (here.folder / "calls").read_text().splitlines()
    return [words for words in map(json.loads, lines) if words[0] == verb]


def test_files_are_written_once_and_an_edited_one_is_left_alone(here):
    """new, same, changed by the survey, edited by somebody; --force writes over that, too."""
    assert set(build.shown_plan(here).plain["files"].values()) == {"new"}
    told = build.written(here, force=False, dry_run=True)
    assert told.outcome == "dry run" and not (here.folder / "image").exists()
    assert build.written(here, force=False, dry_run=False).to_plain()["outcome"] == "done"
    assert build.written(here, force=False, dry_run=False).outcome == "nothing to do"

    (here.folder / "kirikae.yml").write_text(PROJECT.replace("subnet-1", "subnet-2"))
    states = build.shown_plan(here).plain["files"]
    assert [path for path, state in states.items() if state == "changed"] == [
        "ecs/ecs-service-def.json"
    ]
    conf = here.folder / "image/nginx.conf"
    conf.write_text("mine")
    told = build.written(here, force=False, dry_run=False)
    assert told.exit == 0 and conf.read_text() == "mine"
    assert any(line.lstrip().startswith("+") and "subnet-2" in line for line in told.lines)
    assert "image/nginx.conf is as somebody edited it; its plan has not changed" in told.lines
    assert "subnet-2" in (here.folder / "ecs/ecs-service-def.json").read_text()
    assert "wrote image/nginx.conf (edited)" in build.written(here, True, False).lines
    assert conf.read_text() != "mine"


def test_the_new_text_is_put_beside_what_somebody_edited(here):
    """One hand edit keeps nobody from a new survey, and is never lost."""
    build.written(here, force=False, dry_run=False)
    service = here.folder / "ecs/ecs-service-def.json"
    new = here.folder / "ecs/ecs-service-def.json.new"
    service.write_text("mine")
    (here.folder / "kirikae.yml").write_text(PROJECT.replace("subnet-1", "subnet-2"))
    would = build.written(here, force=False, dry_run=True)
    assert would.exit == 0 and not new.exists()
    told = build.written(here, force=False, dry_run=False)
    assert told.exit == 6 and told.plain["beside"] == ["ecs/ecs-service-def.json"]
    assert any("`diff ecs/ecs-service-def.json ecs/ecs" in line for line in told.lines)
    assert service.read_text() == "mine" and "subnet-2" in new.read_text()
    new.unlink()
    again = build.written(here, force=False, dry_run=False)
    assert again.outcome == "nothing to do" and again.exit == 0 and not new.exists()
    (here.folder / "kirikae.yml").write_text(PROJECT.replace("subnet-1", "subnet-3"))
    assert build.written(here, force=False, dry_run=False).exit == 6
    assert service.read_text() == "mine" and "subnet-3" in new.read_text()


def test_a_file_that_was_there_before_kirikae_is_never_written_over(here):
    """A team's own Dockerfile, met at the first writing."""
    own = here.folder / "image/app.Dockerfile"
    own.parent.mkdir()
    own.write_text("FROM ours")
    told = build.written(here, force=False, dry_run=False)
    assert told.exit == 6 and told.plain["beside"] == ["image/app.Dockerfile"]
    assert own.read_text() == "FROM ours" and (here.folder / "image/base.Dockerfile").exists()


@pytest.mark.parametrize("body", ["{", "[1]", "\x00", "[" * 9_000])
def test_a_damaged_record_of_what_was_written_is_told(here, body):
    """Half a merge in the user's git, say."""
    build.written(here, force=False, dry_run=False)
    (here.folder / "image" / RECORD).write_text(body)
    with pytest.raises(CannotBuild, match=r"cannot be read .*put it back as git has it"):
        build.written(here, force=False, dry_run=False)


def test_a_folder_where_a_file_is_to_be_written_is_told(here):
    (here.folder / "image/nginx.conf").mkdir(parents=True)
    with pytest.raises(CannotBuild, match=r"image/nginx\.conf is in the way"):
        build.written(here, force=True, dry_run=False)
    assert not (here.folder / "image/app.Dockerfile").exists()


def test_a_file_that_is_no_text_counts_as_edited():
    """Whatever lies there: it is compared, not read."""
    assert state_of("a", b"\xff", None) is State.EDITED
    assert state_of("a", b"a", None) is State.SAME and state_of("a", None, None) is State.NEW
    assert state_of("a", b"b", checksum(b"b")) is State.CHANGED


def test_nothing_is_written_while_a_question_is_open(here):
    """The plan shows it and ends as found; writing is refused with the question."""
    (here.folder / "kirikae.yml").write_text(PROJECT.split("accepted:")[0])
    shown = build.shown_plan(here)
    assert shown.exit == 6 and shown.plain["questions"]
    assert any(line.startswith("QUESTION: ") for line in shown.lines)
    with pytest.raises(CannotBuild, match=r"answered first:\n- "):
        build.written(here, force=True, dry_run=False)


def test_a_path_is_explained_or_told_to_be_unknown(here):
    """Found out by asking, not by building."""
    assert build.explained(here, "/usr/bin/gunicorn").plain["place"] == "base"
    unknown = build.explained(here, "/opt/legacy/tool/")
    assert unknown.exit == 6 and unknown.plain["place"] == "unplaced"
    with pytest.raises(UsageProblem, match="not an absolute path"):
        build.explained(here, "etc/hosts")


ORDER = build.ImageOrder("r2", None, None)


def test_images_are_made_from_the_release_and_the_base_only_once(here):
    """Base, then app and web on it; labels and the release's ID in them."""
    release_made(here)
    build.written(here, force=False, dry_run=False)
    told = build.images_made(here, ORDER, dry_run=True)
    assert told.plain["images"] == ["base", "app", "web"] and not (here.folder / "calls").exists()
    made = build.images_made(here, ORDER, dry_run=False)
    assert made.plain["images"] == {
        "app": "sha256:bookshop-app:r2",
        "web": "sha256:bookshop-web:r2",
    }
    base, app, web = calls(here, "build")
    assert base[3].startswith("bookshop-base:") and f"BASE={base[3]}" in app
    assert "DISTRIBUTION=debian:12-slim" in web and "kirikae.release=r2" in web
    assert (here.folder / "context/release/RELEASE").read_text() == "r2\n"
    assert (here.folder / "context/release/app.py").exists()
    build.images_made(here, ORDER, dry_run=False)
    assert len(calls(here, "build")) == 5


def test_images_that_are_pushed_are_named_by_their_digest(here):
    """Of the repository that was asked for."""
    release_made(here)
    build.written(here, force=False, dry_run=False)
    order = build.ImageOrder("r2", "debian:13", "registry/shop")
    made = build.images_made(here, order, dry_run=False)
    assert made.plain["images"]["app"] == "registry/shop-app@sha256:d"
    assert [words[-1] for words in calls(here, "push")] == [
        "registry/shop-app:r2",
        "registry/shop-web:r2",
    ]
    assert "DISTRIBUTION=debian:13" in calls(here, "build")[0]


def test_what_an_image_needs_first_is_told(here):
    """Files, wheels, a release, an engine."""
    with pytest.raises(NoRelease, match="release create r2"):
        build.images_made(here, ORDER, dry_run=True)
    release_made(here)
    with pytest.raises(CannotBuild, match=r"app.Dockerfile; `kirikae build write`"):
        build.images_made(here, ORDER, dry_run=True)
    build.written(here, force=False, dry_run=False)
    with pytest.raises(CannotBuild, match="no images yet"):
        build.verified(here, "r2")
    base = here.folder / "image/base.Dockerfile"
    base.write_text(base.read_text() + "COPY wheelhouse/ /x/\n")
    with pytest.raises(CannotBuild, match=r"pip download -d .*/image/wheelhouse"):
        build.images_made(here, ORDER, dry_run=True)
    build.written(here, force=True, dry_run=False)
    absent = replace(here, environment={**here.environment, "KIRIKAE_ENGINE": "not-there"})
    with pytest.raises(EngineProblem, match=r"cannot run `not-there`.*KIRIKAE_ENGINE"):
        build.images_made(absent, ORDER, dry_run=False)


def image_of(here, *entries):
    with tarfile.open(here.folder / "image.tar", "w") as tar:
        for name, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            tar.addfile(entry)


def test_what_must_not_be_in_an_image_is_found(here):
    """State of the hosts, secrets and leftovers, setuid bits; nothing else."""
    release_made(here)
    build.written(here, force=False, dry_run=False)
    build.images_made(here, ORDER, dry_run=False)
    image_of(
        here,
        ("usr/bin/python3", 0o755),
        ("./var/cache/bookshop/x", 0o644),
        ("usr/share/doc/puma/examples/puma/keystore.jks", 0o644),
    )
    clean = build.verified(here, "r2")
    assert clean.exit == 0 and clean.lines == [
        "2 images of r2: nothing found that must not be there"
    ]
    image_of(
        here,
        ("./var/lib/bookshop/uploads/1", 0o644),
        ("srv/bookshop/current/.env", 0o644),
        ("srv/bookshop/tls/server.key", 0o600),
        ("usr/bin/passwd", 0o4755),
        ("usr/local/etc/shop.jks", 0o600),
        ("etc/shop/client.p12", 0o600),
    )
    dirty = build.verified(here, "r2")
    assert dirty.exit == 6
    assert [(each["path"], each["why"]) for each in dirty.plain["unwanted"][:6]] == [
        ("/var/lib/bookshop/uploads/1", "state of the hosts"),
        ("/srv/bookshop/current/.env", "a secret, or a leftover"),
        ("/srv/bookshop/tls/server.key", "a secret, or a leftover"),
        ("/usr/bin/passwd", "setuid or setgid (mode 4755)"),
        ("/usr/local/etc/shop.jks", "a secret, or a leftover"),
        ("/etc/shop/client.p12", "a secret, or a leftover"),
    ]
    (here.folder / "image.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(EngineProblem, match="export"):
        build.verified(here, "r2")
    assert calls(here, "rm")[-1] == ["rm", "-f", "container"]


@pytest.mark.parametrize("verb", ["write", "image"])
def test_a_changing_verb_does_not_begin_under_read_only(here, verb):
    """Not even to look, unless it is a dry run."""
    reading = replace(here, read_only=True)
    with pytest.raises(UsageProblem, match=f"`kirikae build {verb}` changes something"):
        if verb == "write":
            build.written(reading, force=False, dry_run=False)
        else:
            build.images_made(reading, ORDER, dry_run=False)
    assert build.written(reading, force=False, dry_run=True).outcome == "dry run"
