# ruff: noqa: E501
"""What a service is, is decided by its processes: one host for each kind, and what is built."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kirikae.build.carried import fpm_ports
from kirikae.build.context import layer_of
from kirikae.build.difference import difference
from kirikae.build.distributions import distribution_of
from kirikae.build.masks import named
from kirikae.build.places import Places, Where
from kirikae.build.plan import masked_in, plan
from kirikae.build.smoke import container_words, undeclared
from kirikae.console.kinds import read_project
from kirikae.model.errors import UsageProblem
from kirikae.model.runtimes import runtime_of
from kirikae.model.workload import Runs
from kirikae.release.definitions import render
from kirikae.survey.errors import NoSurvey
from kirikae.survey.workload import workload
from tests.made_host import Machine
from tests.unit.test_survey import captured

_PROJECT = """
service: shop
environment: test
account: "123456789012"
fleets:
  old: {hosts: [ssh://host1], target_group: a}
  new: {cluster: c, ecs_service: shop-web, target_group: b}
build: {subnets: [subnet-1]%s}
"""
_VALUES = {"RELEASE_ID": "r2", "TARGET_GROUP_ARN": "arn:tg"}
_NGINX = """user www-data;
http {
    include /etc/nginx/mime.types;
    log_format own '$uri';
    include /etc/nginx/conf.d/*.conf;
    include /etc/nginx/sites-enabled/*;
}"""


def made(machine, more=""):
    project = read_project(_PROJECT % more, "kirikae.yml")
    bundles = [machine] if not isinstance(machine, Machine) else [machine.bundle()]
    found = workload(bundles, project.build, ())
    return found, plan(found, project)


def task(written, name="ecs-task-def.json"):
    images = {f"IMAGE_{each}": f"sha256:{each}" for each in ("APP", "WEB", "ADMIN", "WORKER")}
    return json.loads(render(written.files[f"ecs/{name}"], name, {**_VALUES, **images}))


def containers(written, name="ecs-task-def.json"):
    return {each["name"]: each for each in task(written, name)["containerDefinitions"]}


_SCRIPT = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")


def host(**more):
    machine = Machine(**more)
    machine.packages["nginx"] = "1.22.1-9"
    return machine


def in_front(machine, *sites, conf=_NGINX):
    """nginx with these sites."""
    machine.owned["/usr/sbin/nginx"] = "nginx"
    fragment = "/lib/systemd/system/nginx.service"
    machine.unit("nginx", command="/usr/sbin/nginx -g daemon", FragmentPath=fragment)
    machine.owned[fragment] = "nginx"
    machine.text("/etc/nginx/nginx.conf", conf, owner="nginx")
    for number, site in enumerate(sites):
        path = f"/etc/nginx/sites-available/s{number}"
        machine.text(path, site)
        machine.links[f"/etc/nginx/sites-enabled/s{number}"] = path


def fpm(pool, site):
    machine = host()
    machine.packages["php8.2-fpm"] = "8.2.1"
    machine.owned["/usr/sbin/php-fpm8.2"] = "php8.2-fpm"
    fragment = "/lib/systemd/system/php8.2-fpm.service"
    machine.unit("php8.2-fpm", command="/usr/sbin/php-fpm8.2 --nodaemonize", FragmentPath=fragment)
    machine.owned[fragment] = "php8.2-fpm"
    machine.text(
        "/etc/php/8.2/fpm/php-fpm.conf",
        "[global]\npid = /run/php/php8.2-fpm.pid\nerror_log = /var/log/php8.2-fpm.log",
        owner="php8.2-fpm",
    )
    machine.text("/etc/php/8.2/fpm/pool.d/shop.conf", pool)
    in_front(machine, site)
    return machine


_POOL = """[shop]
user = www-data
listen = /run/php/shop.sock
listen.owner = www-data
slowlog = /var/log/shop.slow
request_slowlog_timeout = 5s
php_admin_value[error_log] = /var/log/shop.error
env[SHOP_TITLE] = books
env[SHOP_KEY] = <masked:c6dbf21f3957a1b9>
php_value[db.pw] = <masked:0123456789abcdef>
; was <masked:0123456789abcdef>"""
_PHP_SITE = """server {
    listen 80 default_server;
    listen [::]:80 default_server;
    root /srv/shop/public;
    access_log /var/log/nginx/shop.log own;
    location ~ \\.php$ { include snippets/fastcgi-php.conf; fastcgi_pass unix:/var/run/php/shop.sock; }
}"""


def test_php_fpm_listens_on_a_port_and_logs_to_its_output():
    """A master that is no root: no chown, no file of logs, variables from the task."""
    found, written = made(fpm(_POOL, _PHP_SITE))
    assert (found.folder, found.uid, found.runtime.name) == ("/srv/shop", 33, "php-fpm")
    assert found.web.static == ("public",)
    pool = written.files[
        "image/carried/app/usr/share/kirikae/templates/etc/php/8.2/fpm/pool.d/shop.conf"
    ]
    assert "listen = 127.0.0.1:9000" in pool and "clear_env = no" in pool
    assert "php_value[db.pw] = @{PW}" in pool and "masked" not in pool
    assert "listen.owner" not in pool and "SHOP_TITLE" not in pool
    assert "php_admin_value[error_log] = /proc/self/fd/2" in pool
    main = written.files["image/carried/app/etc/php/8.2/fpm/php-fpm.conf"]
    assert "pid = /tmp/php-fpm.pid" in main and "error_log = /proc/self/fd/2" in main
    app = containers(written)["app"]
    assert {"name": "SHOP_TITLE", "value": "books"} in app["environment"]
    assert [each["name"] for each in app["secrets"]] == ["PW", "SHOP_KEY"]
    assert "/run/kirikae" in [each["containerPath"] for each in app["linuxParameters"]["tmpfs"]]
    docker = written.files["image/app.Dockerfile"]
    assert 'ENTRYPOINT ["/bin/sh", "/usr/share/kirikae/start"]' in docker
    assert "rm -rf /etc/php/8.2/fpm/pool.d" in docker and "STOPSIGNAL SIGQUIT" in docker
    assert '"--nodaemonize", "--force-stderr"' in docker and "php-fpm8.2 -t" in docker
    links = written.files["image/carried/app.links"]
    assert "/etc/php/8.2/fpm/pool.d/shop.conf /run/kirikae/etc/php" in links


def test_the_sidecar_of_php_asks_the_port_and_has_what_it_serves():
    """One listen for each port, the format of the main file, no socket."""
    _, written = made(fpm(_POOL, _PHP_SITE))
    conf = written.files["image/nginx.conf"]
    assert conf.count("listen 8080 default_server;") == 1 and "listen [" not in conf
    assert "fastcgi_pass 127.0.0.1:9000;" in conf
    assert "access_log /dev/stdout own;" in conf and "log_format own" in conf
    assert conf.count("mime.types") == 1
    web = written.files["image/web.Dockerfile"]
    assert "COPY release/public/ /srv/shop/public/" in web and "nginx -t -q" in web


def test_a_pool_keeps_its_port_and_others_find_free_ones():
    """The order of the pools is the order of their ports."""
    found = fpm_ports(["/run/a.sock", "127.0.0.1:9000", "/run/b.sock", "9001"])
    assert found == {"127.0.0.1:9000": 9000, "9001": 9001, "/run/a.sock": 9002, "/run/b.sock": 9003}


def test_mod_php_is_apache_with_what_the_host_has_switched_on():
    """On a port that needs no root; the host's SetEnv comes from the task."""
    found, written = made(captured("fourth"), ", unit: apache2")
    assert (found.folder, found.uid, found.web) == ("/srv/guestbook", 33, None)
    carried = "image/carried/app/etc/apache2"
    assert "Listen 8080" in written.files[f"{carried}/ports.conf"]
    site = written.files[f"{carried}/sites-available/000-default.conf"]
    assert "<VirtualHost *:8080>" in site and "CustomLog /proc/self/fd/1 combined" in site
    assert "PassEnv GUESTBOOK_API_KEY" in written.files[f"{carried}/conf-enabled/guestbook.conf"]
    app = containers(written)["app"]
    assert app["portMappings"] == [{"containerPort": 8080}]
    assert [each["name"] for each in app["secrets"]] == ["GUESTBOOK_API_KEY"]
    docker = written.files["image/app.Dockerfile"]
    assert "apache2 -t" in docker and "STOPSIGNAL SIGWINCH" in docker
    assert ". /etc/apache2/envvars && exec apache2 -D FOREGROUND" in docker
    assert "php8.2.load ../mods-available/php8.2.load" in written.files["image/carried/app.links"]
    assert "php-sqlite3=" in written.files["image/base.packages"]
    assert "mosquitto=" not in written.files["image/base.packages"]


def own(command, **more):
    """A unit of its own behind nginx."""
    machine = host()
    for program in ("/usr/bin/node", "/usr/bin/puma", "/usr/bin/start_server", "/usr/bin/python3"):
        machine.owned[program] = "x"
    machine.unit("shop", user="deploy", folder="/srv/shop", command=command, **more)
    in_front(machine, "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }")
    return machine


@pytest.mark.parametrize(
    ("command", "runtime", "stop", "kept"),
    [
        ("/usr/bin/node server.js", "node", "SIGTERM", ["/usr/bin/node", "server.js"]),
        ("/usr/bin/puma -d -b tcp://127.0.0.1:3000", "puma", "SIGTERM", ["/usr/bin/puma", "-b", "tcp://127.0.0.1:3000"]),
        ("/usr/bin/bundle exec unicorn -D -c a.rb", "unicorn", "SIGQUIT", ["/usr/bin/bundle", "exec", "unicorn", "-c", "a.rb"]),
        (
            "/usr/bin/start_server --port 3000 --pid-file=/run/a -- plackup -s Starlet app.psgi",
            "server-starter",
            "SIGTERM",
            ["/usr/bin/start_server", "--port", "3000", "--", "plackup", "-s", "Starlet", "app.psgi"],
        ),
        ("/srv/shop/bin/shop -port 3000", "program", "SIGTERM", ["/srv/shop/bin/shop", "-port", "3000"]),
        ("/usr/bin/java -jar shop.jar", "java", "SIGTERM", ["/usr/bin/java", "-jar", "shop.jar"]),
        ("/usr/bin/uwsgi --ini a.ini --daemonize /var/log/a", "uwsgi", "SIGINT", ["/usr/bin/uwsgi", "--ini", "a.ini"]),
    ],
)  # fmt: skip
def test_the_command_stays_in_the_foreground_and_ends_as_its_server_ends(
    command, runtime, stop, kept
):
    found, written = made(own(command))
    assert found.runtime.name == runtime == runtime_of(command).name
    docker = written.files["image/app.Dockerfile"]
    assert f"STOPSIGNAL {stop}" in docker and f"CMD {json.dumps(kept)}" in docker


def test_a_program_of_no_package_is_asked_for():
    """`build image` says how to bring it (PR12)."""
    found, written = made(own("/usr/local/bin/shopd --port 3000"))
    assert found.unpackaged == ("/usr/local/bin/shopd",)
    assert "COPY runtime/ /" in written.files["image/base.Dockerfile"]


def test_variables_stay_where_code_reads_none_in_a_way_that_is_known():
    """Perl's `$ENV{NAME}`, a binary: nothing is left out because nothing was seen."""
    machine = own("/usr/bin/start_server --port 3000 -- plackup app.psgi", Environment="HAIKU=frog")
    machine.release("/srv/shop", {"app.psgi": "print $ENV{HAIKU};"})
    _, written = made(machine)
    assert {"name": "HAIKU", "value": "frog"} in containers(written)["app"]["environment"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("app.rb", "title = ENV.fetch 'TITLE'"),
        ("app.rb", "title = ENV.key?('TITLE')"),
        ("app.pl", "my $t = $ENV{TITLE};"),
        ("app.pl", "my ($t) = @ENV{qw(TITLE)};"),
        ("main.rs", 'let t = env::var("TITLE");'),
        ("app.ex", 't = System.fetch_env!("TITLE")'),
        ("config.php", "'title' => env('TITLE', 'x'),"),
        ("server.js", "const { TITLE, ...more } = process.env;"),
        ("app.py", "settings = dict(os.environ)"),
        ("app.py", "t = getenv(name)"),
    ],
)
def test_a_variable_that_code_may_read_is_kept(name, line):
    """Also where the name stands in no way that is known; another one is read plainly."""
    machine = own("/usr/bin/start_server --port 3000 -- plackup app.psgi", Environment="TITLE=frog")
    machine.release("/srv/shop", {name: f"x = os.environ['OTHER']\n{line}"})
    _, written = made(machine)
    assert {"name": "TITLE", "value": "frog"} in containers(written)["app"]["environment"]


def test_the_collector_sends_every_line_that_reads_a_variable():
    """Whatever the rule would understand leaves the host in the first place."""
    tokens = re.search(r"^TOKENS='(.*)'$", _SCRIPT, re.M)[1].replace("'\"'\"'", "'")
    lines = ("ENV.fetch('A')", "$ENV{A}", 'env::var("A")', 'get_env("A")', "env('A')", "@ENV{A}")
    assert [line for line in lines if not re.search(tokens, line)] == []


def test_a_static_site_is_nginx_and_the_release():
    """No storey of an application, no empty container."""
    machine = host()
    machine.release("/srv/site/public", {"index.html": "x", "a.css": "y"})
    in_front(machine, "server { listen 80; root /srv/site/public; }")
    found, written = made(machine)
    assert (found.runtime.name, found.folder, found.web.static) == (
        "nginx",
        "/srv/site/public",
        (".",),
    )
    assert set(containers(written)) == {"web"} and "dependsOn" not in containers(written)["web"]
    assert (
        "image/app.Dockerfile" not in written.files and "image/base.Dockerfile" not in written.files
    )
    assert "COPY release/ /srv/site/public/" in written.files["image/web.Dockerfile"]
    service = json.loads(written.files["ecs/ecs-service-def.json"].replace("`", ""))
    assert service["loadBalancers"][0]["containerName"] == "web"


@pytest.mark.parametrize("kind", ["node", "two", "static"])
def test_what_compose_and_ecspresso_read_is_yaml(kind):
    """With the names that both look for."""
    machine = {"node": own("/usr/bin/node a.js"), "two": two()}.get(kind, host())
    if kind == "static":
        in_front(machine, "server { listen 80; root /srv/site; }")
    more = ", services: {app: {unit: shop}, admin: {unit: admin}}" if kind == "two" else ""
    _, written = made(machine, more)
    compose = YAML(typ="safe").load(written.files["image/compose.yaml"])
    assert "web" in compose["services"]
    for name, service in compose["services"].items():
        assert service["image"].endswith(":dev"), name
    deployed = YAML(typ="safe").load(written.files["ecs/ecspresso.yml"])
    assert deployed["task_definition"] == "ecs-task-def.json"


def test_a_socket_of_its_own_is_shared_with_the_sidecar():
    """As on the host, in a volume of the task."""
    machine = host()
    machine.owned["/usr/bin/puma"] = "puma"
    command = "/usr/bin/puma -b unix:///run/shop/puma.sock"
    machine.unit("shop", user="deploy", folder="/srv/shop", command=command)
    in_front(
        machine, "server { listen 80; location / { proxy_pass http://unix:/run/shop/puma.sock; } }"
    )
    _, written = made(machine)
    point = {"sourceVolume": "run-shop", "containerPath": "/run/shop"}
    both = containers(written)
    assert both["app"]["mountPoints"] == both["web"]["mountPoints"] == [point]
    assert task(written)["volumes"] == [{"name": "run-shop"}]
    assert 'VOLUME ["/run/shop"]' in written.files["image/app.Dockerfile"]


def two():
    machine = own("/usr/bin/python3 web.py --port 3000")
    machine.unit("worker", user="deploy", folder="/srv/shop", command="/usr/bin/python3 work.py")
    machine.unit(
        "admin", user="deploy", folder="/srv/admin", command="/usr/bin/node a.js --port 4000"
    )
    return machine


def test_several_services_are_told_with_the_lines_that_name_them():
    with pytest.raises(NoSurvey, match=r"build:\n  services:\n    shop: \{unit: shop.service\}"):
        made(two())


def test_several_services_run_side_by_side_and_workers_alone():
    """One image for one code; the second code is the release's part that is named."""
    services = (
        ", services: {app: {unit: shop, release: shop}, worker: {unit: worker, release: shop}, "
        "admin: {unit: admin, release: admin}}"
    )
    found, written = made(two(), services)
    assert [(one.name, one.runs, one.image) for one in found.every] == [
        ("app", Runs.IN_THE_TASK, "app"),
        ("worker", Runs.ALONE, "app"),
        ("admin", Runs.IN_THE_TASK, "admin"),
    ]
    assert set(containers(written)) == {"app", "admin", "web"}
    worker = containers(written, "worker-task-def.json")["worker"]
    assert worker["image"] == "sha256:APP" and worker["command"] == ["/usr/bin/python3", "work.py"]
    service = json.loads(written.files["ecs/worker-service-def.json"])
    assert "loadBalancers" not in service and service["desiredCount"] == 1
    assert "# release: admin/" in written.files["image/admin.Dockerfile"]
    assert "image/worker.Dockerfile" not in written.files
    assert "worker-service-def.json" in written.files["ecs/worker-ecspresso.yml"]


def test_a_service_that_nobody_runs_is_told_with_those_that_run():
    with pytest.raises(NoSurvey, match=r"names other, which host1 does not run.*shop\.service"):
        made(two(), ", services: {app: {unit: other}}")


def test_programs_of_supervisor_are_services():
    """The manager is not: ECS is one."""
    machine = host()
    machine.owned["/usr/bin/gunicorn"] = "gunicorn"
    machine.unit("supervisor", command="/usr/bin/python3 /usr/bin/supervisord -n")
    machine.text(
        "/etc/supervisor/conf.d/shop.conf",
        "[program:shop]\ncommand=/usr/bin/gunicorn --bind 127.0.0.1:3000 a:app\nuser=deploy\n"
        'directory=/srv/shop\nenvironment=TITLE="a",OTHER=b',
    )
    in_front(machine, "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }")
    found, _ = made(machine)
    assert (found.unit, found.folder, found.user) == ("shop.service", "/srv/shop", "deploy")
    assert {each.name: each.value for each in found.environment} == {"TITLE": "a", "OTHER": "b"}


def test_what_pm2_began_is_the_service():
    machine = host()
    machine.owned["/usr/bin/node"] = "nodejs"
    pid = machine.unit("pm2-deploy", user="deploy", command="PM2 v5.3.0: God Daemon (/home/deploy)")
    child = machine.process("node /srv/shop/server.js", 1000, "pm2-deploy.service", parent=pid)
    machine.cwd[child] = "/srv/shop"
    found, _ = made(machine)
    assert (found.unit, found.folder, found.runtime.name) == ("server.service", "/srv/shop", "node")
    assert found.command == ("node", "/srv/shop/server.js")


def test_locks_of_a_language_are_installed_in_a_stage_of_their_own():
    """The storey has neither the manager nor a compiler."""
    machine = own("/usr/bin/node server.js --port 3000")
    machine.release(
        "/srv/shop", {"server.js": "x", "package.json": "{}", "package-lock.json": "{}"}
    )
    _, written = made(machine)
    base = written.files["image/base.Dockerfile"]
    assert "FROM ${DISTRIBUTION} AS npm" in base and "npm ci --omit=dev" in base
    assert "COPY --from=npm /srv/shop/node_modules/ /srv/shop/node_modules/" in base


def test_two_codes_of_one_language_have_a_stage_each():
    """The second one's packages lie where its code lies, by its own lock."""
    locked = {"package.json": "{}", "package-lock.json": "{}"}
    machine = own("/usr/bin/node server.js --port 3000")
    machine.release("/srv/shop", {"server.js": "x", **locked})
    machine.release("/srv/\u7ba1\u7406 1", {"a.js": "x", **locked})
    command = "/usr/bin/node a.js --port 4000"
    machine.unit("admin", user="deploy", folder="/srv/\u7ba1\u7406 1", command=command)
    machine.unit("worker", user="deploy", folder="/srv/shop", command="/usr/bin/node work.js")
    more = (
        ", services: {app: {unit: shop, release: shop}, worker: {unit: worker, release: shop}, "
        "admin: {unit: admin, release: admin}}"
    )
    _, written = made(machine, more)
    base = written.files["image/base.Dockerfile"]
    assert base.count(" AS npm\n") == base.count(" AS npm-admin\n") == 1
    assert "[ -f /usr/share/kirikae/locks/admin/package-lock.json ]" in base
    assert "cp /usr/share/kirikae/locks/shop/package-lock.json" in base
    tree = "/srv/\u7ba1\u7406 1/node_modules/"
    assert f'COPY --from=npm-admin ["{tree}", "{tree}"]' in base


def test_state_needs_an_answer_and_gets_a_mount():
    """In memory or on a file system; without an answer a note says what to write."""
    machine = own("/usr/bin/node server.js --port 3000")
    machine.folder("/var/lib/shop/uploads", 1000)
    machine.file("/var/lib/shop/uploads/a.jpg", 1000, at=1_795_000_000)
    _, silent = made(machine)
    assert any("build.mounts: {/var/lib/shop/uploads" in note for note in silent.notes)
    mounts = ", mounts: {/var/lib/shop/uploads: {efs: fs-1, access_point: fsap-1}}"
    _, written = made(machine, mounts)
    assert not any("build.mounts: {/var/lib/shop/uploads" in note for note in written.notes)
    [volume] = task(written)["volumes"]
    assert volume["efsVolumeConfiguration"]["authorizationConfig"]["accessPointId"] == "fsap-1"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/srv", "the code of shop.service lies"),
        ("/srv/shop", "it would be hidden"),
        ("/etc", "without which no container begins"),
        ("/", "without which no container begins"),
        ("/srv/shop/uploads", None),
        ("/srv/shopping", None),
    ],
)
def test_a_mount_that_hides_what_the_image_is_made_of_is_a_question(path, told):
    more = f", mounts: {{{path}: {{efs: fs-1}}}}"
    _, written = made(own("/usr/bin/node server.js --port 3000"), more)
    assert len(written.questions) == (told is not None)
    assert told is None or told in written.questions[0]


@pytest.mark.parametrize(
    "paths",
    ["{/a/: {}, /a: {}}", "{/a//b: {}, /a/b: {}}", "{uploads: {}}", "{/a/../b: {}, /b: {}}"],
)
def test_mounts_are_paths_of_the_host_each_once(paths):
    with pytest.raises(UsageProblem, match=r"twice|begin with /"):
        read_project(_PROJECT % f", mounts: {paths}", "kirikae.yml")


def test_no_two_folders_share_a_volume():
    """Names of volumes have letters, digits and hyphens alone; paths have everything."""
    paths = ("/a/b-c", "/a-b/c", "/a/b/c", "/a/b c", "/a/b.c", "/a/b_c", "/写真", "/映像")
    mounts = ", ".join(f"'{path}': {{efs: fs-1}}" for path in paths)
    _, written = made(own("/usr/bin/node server.js --port 3000"), f", mounts: {{{mounts}}}")
    names = [volume["name"] for volume in task(written)["volumes"]]
    assert len(set(names)) == len(paths)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,254}", name) for name in names)
    assert "a-b-c" in names


def test_a_mask_is_never_written_as_a_value():
    """Wherever it came from: whoever made the file forgot it."""
    machine = own("/usr/bin/node server.js --port 3000")
    machine.units[0]["Environment"] = "LANG=ja_JP.<masked:0123456789abcdef>"
    _, written = made(machine)
    assert not [path for path, text in written.files.items() if "masked" in text.lower()]
    found = list(masked_in({"a": "x\ny <masked:01> z", "b": "\\u003cMASKED:01", "c": "masked"}))
    assert [words.split(" would")[0] for words in found] == ["line 2 of a", "line 1 of b"]
    machine = own("/usr/bin/node server.js --port 3000")
    more = ", lines: {app.Dockerfile: 'ENV KEY=<masked:01>'}"
    _, written = made(machine, more)
    assert "image/app.Dockerfile would hold" in written.questions[0]


@pytest.mark.parametrize(
    ("system", "version", "image"),
    [
        ("debian", "12", "debian:12-slim"),
        ("debian", "10", "debian:12-slim"),
        ("ubuntu", "20.04", "ubuntu:24.04"),
        ("amzn", "2", "public.ecr.aws/amazonlinux/amazonlinux:2023"),
        ("alpine", "3.20", "alpine:3.20"),
    ],
)
def test_a_system_that_nobody_maintains_is_followed_by_one_that_somebody_does(
    system, version, image
):
    machine = own("/usr/bin/node server.js")
    machine.system = system
    machine.version = version
    found, written = made(machine)
    project = read_project(_PROJECT % "", "kirikae.yml")
    assert distribution_of(found, project.build) == image
    assert ("dnf" in written.files["image/base.Dockerfile"]) is (system == "amzn")


def test_sidecars_capacity_and_logs_are_as_the_project_file_says():
    more = (
        ", logs: firelens, sidecars: [relay, datadog], architecture: arm64, "
        "capacity: {base: 3, fargate: 0, spot: 1}"
    )
    _, written = made(own("/usr/bin/node server.js --port 3000"), more)
    found = containers_with_relay(written)
    assert found["log-router"]["firelensConfiguration"] == {"type": "fluentbit"}
    assert found["app"]["logConfiguration"]["logDriver"] == "awsfirelens"
    assert found["log-router"]["logConfiguration"]["logDriver"] == "awslogs"
    assert not found["relay"]["essential"] and not found["datadog-agent"]["essential"]
    service = json.loads(written.files["ecs/ecs-service-def.json"])
    assert (
        service["capacityProviderStrategy"]
        == [
            {"capacityProvider": "FARGATE", "base": 3, "weight": 0},
            {"capacityProvider": "FARGATE_SPOT", "weight": 1},
        ]
        and "launchType" not in service
    )
    assert "| relay | mail cannot" in written.files["image/SIZES.md"]


def containers_with_relay(written):
    images = {f"IMAGE_{each}": "x" for each in ("APP", "WEB", "RELAY")}
    text = render(written.files["ecs/ecs-task-def.json"], "t", {**_VALUES, **images})
    return {each["name"]: each for each in json.loads(text)["containerDefinitions"]}


def test_own_lines_stand_in_the_files_that_they_are_for():
    more = ', lines: {app.Dockerfile: "RUN true # mine", base.Dockerfile: "RUN true # base"}'
    _, written = made(own("/usr/bin/node server.js"), more)
    app = written.files["image/app.Dockerfile"]
    assert app.index("RUN true # mine") < app.index("USER ")
    assert "RUN true # base" in written.files["image/base.Dockerfile"]


def test_several_directives_in_one_line_are_several():
    """A whole server in one line, TLS behind another directive, a text with what ends directives
    elsewhere."""
    machine = host()
    machine.owned["/usr/bin/node"] = "nodejs"
    machine.unit("shop", "deploy", "/srv/shop", "/usr/bin/node a.js --port 3000")
    in_front(
        machine,
        "server { listen 443 ssl; ssl_certificate /a; ssl_certificate_key /b; http2 on; "
        "server_name a; location / { proxy_pass http://127.0.0.1:3000; } }",
        "server { server_name b; listen 80; listen [::]:80; "
        'return 301 "https://b;{$request_uri}"; }',
        'server {\n  listen 443 ssl;\n  add_header X "a; listen 80;\n  b; c"; server_name c;\n}',
        conf="http { include /etc/nginx/sites-enabled/*; }",
    )
    _, written = made(machine)
    conf = written.files["image/nginx.conf"]
    assert "ssl" not in conf and "http2" not in conf and "listen 443" not in conf
    assert conf.count("listen 8080;") == 2 and conf.count("listen 8081;") == 1
    assert 'return 301 "https://b;{$request_uri}";' in conf
    assert 'add_header X "a; listen 80;' in conf and 'b; c"; server_name c;' in conf


# --- one verdict for every path


@given(st.lists(st.sampled_from(["base", "app", "web", "nowhere"]), max_size=4))
def test_the_four_partition_every_bundle(answers):
    """Each surveyed path has exactly one place and a reason, whatever a person answered."""
    machine = two()
    machine.file("/opt/legacy/tool")
    machine.file("/usr/local/bin/x")
    rows = [f"{{path: /opt/legacy/{n}, place: {place}, why: w}}" for n, place in enumerate(answers)]
    more = f", services: {{app: {{unit: shop}}}}, places: [{', '.join(rows)}]"
    project = read_project(_PROJECT % more, "kirikae.yml")
    bundle = machine.bundle()
    found = workload([bundle], project.build, ())
    every = list(Places(bundle, found, project.build.places).every())
    paths = [place.path for place in every]
    assert len(paths) == len(set(paths)) and all(place.reason for place in every)
    assert {folder.path for folder in bundle.folders} <= set(paths)
    assert {file.path for file in bundle.files} <= set(paths)


def test_plack_under_server_starter_as_a_real_host_ran_it():
    """Debian with systemd, nginx and Perl, asked and surveyed (`tests/built_hosts.py`)."""
    found, written = made(captured("haiku"))
    assert (found.runtime.name, found.port, found.uid, found.questions) == (
        "server-starter",
        5000,
        999,
        (),
    )
    app = containers(written)["app"]
    assert {"name": "HAIKU_TITLE", "value": "frog"} in app["environment"]
    writable = [each["containerPath"] for each in app["linuxParameters"]["tmpfs"]]
    assert writable == ["/tmp", "/run/haiku", "/var/cache/haiku"]
    docker = written.files["image/app.Dockerfile"]
    assert "perl -I. -Ilib -c app.psgi" in docker and "--pid-file" not in docker
    assert "starlet=0.31-2\n" in written.files["image/base.packages"]


def test_php_fpm_with_uploads_inside_the_docroot_as_a_real_host_ran_it():
    """The volume of the uploads is the service's and the sidecar's."""
    more = ", mounts: {/srv/photo/public/uploads: {efs: fs-1}, /var/lib/php/sessions: {}}"
    found, written = made(captured("photo"), more)
    assert (found.runtime.name, found.folder, found.uid, found.questions) == (
        "php-fpm",
        "/srv/photo",
        33,
        (),
    )
    both = containers(written)
    point = {
        "sourceVolume": "srv-photo-public-uploads",
        "containerPath": "/srv/photo/public/uploads",
    }
    assert both["app"]["mountPoints"] == both["web"]["mountPoints"] == [point]
    assert {"name": "PHOTO_TITLE", "value": "harbour"} in both["app"]["environment"]
    assert [each["name"] for each in both["app"]["secrets"]] == ["PHOTO_PASSWORD"]
    assert "fastcgi_pass 127.0.0.1:9000;" in written.files["image/nginx.conf"]
    assert written.files["image/nginx.conf"].count("listen 8080") == 1
    same_owner = "install -d -m 0755 -o 33 -g 33 /srv/photo/public/uploads"
    assert same_owner in written.files["image/web.Dockerfile"]
    assert same_owner in written.files["image/app.Dockerfile"]


@pytest.mark.parametrize("name", ["web1", "web2", "fourth", "haiku", "photo"])
def test_the_captured_hosts_leave_no_path_open(name):
    """What real hosts hold is placed without a person."""
    bundle = captured(name)
    more = {"fourth": ", unit: apache2"}.get(name, "")
    project = read_project(_PROJECT % more, "kirikae.yml")
    places = Places(bundle, workload([bundle], project.build, ()))
    assert [place.path for place in places.open()] == []
    assert Where.UNPLACED not in {place.place for place in places.every()}


def test_a_path_that_no_rule_places_is_asked_for_once_and_can_be_answered():
    machine = own("/usr/bin/node server.js")
    machine.file("/opt/legacy/bin/tool")
    machine.file("/opt/legacy/lib/a")
    project = read_project(_PROJECT % "", "kirikae.yml")
    bundle = machine.bundle()
    found = workload([bundle], project.build, ())
    assert [place.path for place in Places(bundle, found).open()] == [
        "/opt/legacy/bin",
        "/opt/legacy/lib",
    ]
    answer = ", places: [{path: /opt/legacy, place: nowhere, why: gone in 2019}]"
    project = read_project(_PROJECT % answer, "kirikae.yml")
    places = Places(bundle, found, project.build.places)
    assert places.open() == [] and "gone in 2019" in places.place("/opt/legacy/bin/tool").reason


# --- small things


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("env[DB_PW] = <masked:0123456789abcdef>", "env[DB_PW] = @{DB_PW}"),
        ('proxy_set_header X-Key "<masked:0123456789abcdef>";', 'proxy_set_header X-Key "@{KEY}";'),
        ("password = <masked:aa>", "password = @{KNOWN}"),
        ("a <masked:unknown> b", "a @{A} b"),
    ],
)
def test_a_secret_in_a_file_becomes_a_name(line, wanted):
    assert named(line, {"<masked:aa>": "KNOWN"}) == wanted


@pytest.mark.parametrize(
    ("path", "size", "layer"),
    [
        ("node_modules/a/index.js", 10, "vendor"),
        ("vendor/autoload.php", 10, "vendor"),
        ("public/logo.png", 10, "assets"),
        ("public/build/app.js", 10, "assets"),
        ("data/words.bin", 2 << 20, "assets"),
        ("src/a.php", 10, "code"),
        ("local/a.pl", 10, "code"),
    ],
)
def test_what_changes_rarely_lies_in_a_layer_of_its_own(path, size, layer):
    assert layer_of(path, size, ["composer.lock", "src"]) == layer


def test_writes_outside_of_the_mounts_are_named():
    container = {
        "name": "app",
        "image": "x",
        "environment": [{"name": "A", "value": "1"}],
        "secrets": [{"name": "S", "valueFrom": "/s"}],
        "linuxParameters": {
            "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["mode=1777"]}]
        },
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/run/app"}],
    }
    words = container_words(container, {"A": "2"}, "net", {"v": "volume"})
    assert words == [
        *("--network", "net", "-e", "A=2", "-e", "S=smoke"),
        *("--tmpfs", "/tmp:size=64m,mode=1777", "-v", "volume:/run/app", "x"),
    ]
    changed = ["/tmp/a", "/run", "/run/app/s", "/var", "/var/lib", "/var/lib/x", "/dev/null"]
    assert [each.path for each in undeclared(container, changed)] == ["/var/lib/x"]


def test_a_second_writing_shows_what_changes():
    assert difference("a", b"1\n2\n", "1\n3\n")[2:] == ["  @@ -1,2 +1,2 @@", "   1", "  -2", "  +3"]
    assert difference("a", b"\xff", "1\n") == ["  a holds no text"]
    assert difference("a", b"", "x\n" * 99)[-1].endswith("more lines")


def test_a_start_script_is_told_to_become_a_unit():
    """Under systemd's generator it was the container's command: it forks, and the task ends."""
    machine = host()
    machine.text("/etc/init.d/mikan", "#!/bin/sh\nstart-stop-daemon --chuid mikan ...\n")
    machine.unit(
        "mikan",
        folder="/srv/mikan",
        command="/etc/init.d/mikan start",
        FragmentPath="/run/systemd/generator.late/mikan.service",
        UnitFileState="generated",
        Type="forking",
    )
    with pytest.raises(NoSurvey, match=r"start script /etc/init\.d/mikan.*a unit of its own"):
        made(machine, ", services: {app: {unit: mikan.service}}")


def test_a_service_without_subnets_is_told_before_aws_refuses_it():
    """The note goes once they are given."""
    found, given = made(own("/usr/bin/start_server --port 3000"))
    assert not any("no `build.subnets`" in note for note in given.notes)
    without = _PROJECT.replace("subnets: [subnet-1]", "folder: image/") % ""
    written = plan(found, read_project(without, "k"))
    assert any("no `build.subnets`" in note for note in written.notes)
