# ruff: noqa: E501
"""Hosts of many kinds, made of Debian's packages and small applications, driven, surveyed, built:
from a machine with systemd to an image that serves."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.console.here import Here
from tests.pace import eventually

ROOT = Path(__file__).parents[1]
SECRET = "zu9-Kappa-77aa"
_MASKED = (
    "systemd-udevd.service systemd-modules-load.service sys-kernel-config.mount "
    "sys-kernel-debug.mount getty.target console-getty.service systemd-networkd.service "
    "systemd-timesyncd.service"
)
_OFF = "nginx postgresql exim4"


@dataclass(frozen=True)
class MadeHost:
    """``files``: path on the host -> text.  ``release``: the folder that a release is of.
    ``drive``: requests, as a shell of the host makes them.  ``build``: lines of the project file
    below ``build``.  ``check``: path -> what its answer holds."""

    name: str
    packages: str
    files: Mapping[str, str]
    setup: str
    units: str
    release: str
    drive: str
    check: Mapping[str, str]
    build: str = ""
    stage: str = ""
    """A stage of its own before the host's, for what is compiled."""
    ready: str = "curl -fsS -o /dev/null http://127.0.0.1/"
    more: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Place in the store -> what belongs there, with ``{}`` for the secret itself."""


def _unit(command: str, user: str, folder: str, more: str = "") -> str:
    return (
        f"[Unit]\nDescription=x\n[Service]\nExecStart={command}\nUser={user}\n"
        f"WorkingDirectory={folder}\n{more}\n[Install]\nWantedBy=multi-user.target\n"
    )


def _site(upstream: str, more: str = "", name: str = "_") -> str:
    return (
        f"server {{\n    listen 80{' default_server' if name == '_' else ''};\n"
        f"    {'listen [::]:80 default_server;' if name == '_' else ''}\n    server_name {name};\n"
        f"    access_log /var/log/nginx/site.access.log;\n    {more}\n"
        f"    location / {{ proxy_pass {upstream}; proxy_set_header Host $host; }}\n}}\n"
    )


_USER = "useradd -r -M -s /usr/sbin/nologin deploy"
_NODE = """const http = require('http'), fs = require('fs'), words = require('words');
const place = process.env.DATA_DIR || '/var/cache/notes';
http.createServer((q, a) => {
  fs.writeFileSync(place + '/last', q.url);
  a.end(words.greeting + ' ' + process.env.NOTES_TITLE + ' ' + process.version);
}).listen(3000, '127.0.0.1');
"""
_PSGI = """use strict; use warnings;
my $app = sub {
  my $env = shift;
  open my $f, '>>', '/var/cache/haiku/seen' or die "cannot write: $!"; print $f "x\\n"; close $f;
  return [200, ['Content-Type' => 'text/plain'], ["haiku $ENV{HAIKU_TITLE} $]"]];
};
$app;
"""
_RACK = """require 'sinatra/base'
class Shop < Sinatra::Base
  set :environment, :production
  get('/') { File.write('/var/cache/tea/last', 'x'); "tea #{ENV.fetch('TEA_TITLE')} #{RUBY_VERSION}" }
end
run Shop
"""
_GO = """package main

import ("fmt"; "net/http"; "os")

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := os.WriteFile("/var/cache/river/last", []byte(r.URL.Path), 0600); err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		fmt.Fprintf(w, "river %s", os.Getenv("RIVER_TITLE"))
	})
	http.ListenAndServe("127.0.0.1:7000", nil)
}
"""
_FLASK = """import os
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    with open("/var/cache/%(name)s/last", "w") as file:
        file.write("x")
    return "%(name)s " + os.environ.get("TITLE", "?")
"""
_WORKER = """import os, time
while True:
    open("/var/cache/ledger/worked", "w").write(os.environ["TITLE"])
    time.sleep(1)
"""
_MAILS = """import os, subprocess, sys
subprocess.run(["/usr/sbin/sendmail", "-t"], input=b"To: a@example.com\\n\\nhi\\n", check=False)
"""
_PHP = """<?php
session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
file_put_contents(__DIR__ . '/uploads/' . uniqid() . '.jpg', 'x') or http_response_code(500);
echo 'photo ' . getenv('PHOTO_TITLE') . ' ' . (getenv('PHOTO_PASSWORD') ? 'keyed' : 'no key');
"""
_MOD_PHP = """<?php
file_put_contents('/var/lib/guestbook/uploads/' . uniqid(), 'x') or http_response_code(500);
echo 'guestbook ' . (getenv('GUESTBOOK_API_KEY') ? 'keyed' : 'no key');
"""
_POOL = """[photo]
user = www-data
group = www-data
listen = /run/php/photo.sock
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = 2
slowlog = /var/log/photo.slow.log
request_slowlog_timeout = 5s
php_admin_value[error_log] = /var/log/photo.error.log
env[PHOTO_TITLE] = harbour
env[PHOTO_PASSWORD] = {secret}
"""
_PHP_SITE = """server {
    listen 80 default_server;
    listen [::]:80 default_server;
    root /srv/photo/public;
    index index.php;
    access_log /var/log/nginx/photo.log;
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~ \\.php$ { include snippets/fastcgi-php.conf; fastcgi_pass unix:/run/php/photo.sock; }
}
"""
_MOUNT = "mounts: {%s: {efs: fs-1}}"

PHP = MadeHost(
    name="photo",
    packages="php8.2-fpm",
    files={
        "/srv/photo/public/index.php": _PHP,
        "/srv/photo/public/style.css": "body {}",
        "/srv/photo/lib/a.php": "<?php\nfunction a() { return 1; }\n",
        "/etc/php/8.2/fpm/pool.d/photo.conf": _POOL.format(secret=SECRET),
        "/etc/nginx/sites-enabled/photo": _PHP_SITE,
    },
    setup="rm -f /etc/nginx/sites-enabled/default /etc/php/8.2/fpm/pool.d/www.conf; "
    "install -d -o www-data /srv/photo/public/uploads",
    units="nginx php8.2-fpm",
    release="/srv/photo",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "photo harbour keyed", "/style.css": "body"},
    build="mounts: {/srv/photo/public/uploads: {efs: fs-1}, /var/lib/php/sessions: {}}",
    secrets={"/photo/photo-password": "{}"},
)
MOD_PHP = MadeHost(
    name="guestbook",
    packages="apache2 libapache2-mod-php",
    files={
        "/srv/guestbook/public/index.php": _MOD_PHP,
        "/etc/apache2/conf-enabled/guestbook.conf": "<Directory /srv/guestbook/public>\n"
        f"Require all granted\n</Directory>\nSetEnv GUESTBOOK_API_KEY {SECRET}\n",
    },
    setup="install -d -o www-data /var/lib/guestbook/uploads; "
    "sed -i 's#/var/www/html#/srv/guestbook/public#' /etc/apache2/sites-available/000-default.conf",
    units="apache2",
    release="/srv/guestbook",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "guestbook keyed"},
    build="mounts: {/var/lib/guestbook/uploads: {efs: fs-1}}",
    secrets={"/guestbook/guestbook-api-key": "{}"},
)
PERL = MadeHost(
    name="haiku",
    packages="libplack-perl starlet libserver-starter-perl",
    files={
        "/srv/haiku/app.psgi": _PSGI,
        "/etc/default/haiku": "HAIKU_TITLE=frog\n",
        "/etc/systemd/system/haiku.service": _unit(
            "/usr/bin/start_server --port 127.0.0.1:5000 --pid-file /run/haiku/pid -- "
            "/usr/bin/plackup -s Starlet --max-workers 2 app.psgi",
            "deploy",
            "/srv/haiku",
            "EnvironmentFile=/etc/default/haiku\nRuntimeDirectory=haiku\nCacheDirectory=haiku",
        ),
        "/etc/nginx/sites-enabled/haiku": _site("http://127.0.0.1:5000"),
    },
    setup=f"rm -f /etc/nginx/sites-enabled/default; {_USER}",
    units="nginx haiku",
    release="/srv/haiku",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "haiku frog 5."},
)
RUBY = MadeHost(
    name="tea",
    packages="puma ruby-sinatra",
    files={
        "/srv/tea/config.ru": _RACK,
        "/srv/tea/public/a.txt": "leaf",
        "/etc/default/tea": "TEA_TITLE=sencha\nRACK_ENV=production\n",
        "/etc/systemd/system/tea.service": _unit(
            "/usr/bin/puma -b unix:///run/tea/puma.sock config.ru",
            "deploy",
            "/srv/tea",
            "EnvironmentFile=/etc/default/tea\nRuntimeDirectory=tea\nCacheDirectory=tea",
        ),
        "/etc/nginx/sites-enabled/tea": _site(
            "http://unix:/run/tea/puma.sock",
            "location /static/ { alias /srv/tea/public/; proxy_set_header X-Tea-Key "
            f"{SECRET}; proxy_set_header X-Tea-Token {SECRET}2; }}",
        ),
    },
    setup=f"rm -f /etc/nginx/sites-enabled/default; {_USER}",
    units="nginx tea",
    release="/srv/tea",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "tea sencha 3.", "/static/a.txt": "leaf"},
    secrets={"/tea/key": "{}", "/tea/token": "{}2"},
)
NODE = MadeHost(
    name="notes",
    packages="nodejs",
    files={
        "/srv/notes/server.js": _NODE,
        "/srv/notes/package.json": '{"name": "notes", "version": "1.0.0"}',
        "/srv/notes/node_modules/words/index.js": (
            "exports.greeting = 'notes ' + require('../../public/made/greeting.js');\n"
        ),
        "/srv/notes/db.js": "exports.url = process.env.NOTES_DB;\n",
        "/srv/notes/front/build.js": (
            "const fs = require('fs'); fs.mkdirSync('public/made', {recursive: true});\n"
            "fs.writeFileSync('public/made/greeting.js', \"module.exports = 'made';\");\n"
        ),
        "/srv/notes/node_modules/words/package.json": '{"name": "words", "version": "1.0.0"}',
        "/etc/default/notes": f"NOTES_TITLE=reed\nNODE_ENV=production\nNOTES_DB=pg://a:{SECRET}@d/b\n",
        "/etc/systemd/system/notes.service": _unit(
            "/usr/bin/node server.js",
            "deploy",
            "/srv/notes",
            "EnvironmentFile=/etc/default/notes\nCacheDirectory=notes",
        ),
        "/etc/nginx/sites-enabled/notes": _site("http://127.0.0.1:3000"),
    },
    setup=f"rm -f /etc/nginx/sites-enabled/default; {_USER}; cd /srv/notes; node front/build.js",
    units="nginx notes",
    release="/srv/notes",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "notes made reed v"},
    build="assets: {command: node front/build.js, sources: [front/], output: public/made, "
    "packages: [nodejs]}",
    secrets={"/notes/notes-db": "pg://a:{}@d/b"},
)
BINARY = MadeHost(
    name="river",
    packages="",
    stage="FROM ${BASE} AS go\nRUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install "
    "-y -qq --no-install-recommends golang-go >/dev/null 2>&1\nCOPY files/main.go /x/main.go\n"
    "RUN cd /x && CGO_ENABLED=0 go build -o /x/river main.go\n",
    files={
        "/main.go": _GO,
        "/etc/default/river": "RIVER_TITLE=kamo\n",
        "/etc/systemd/system/river.service": _unit(
            "/srv/river/bin/river",
            "deploy",
            "",
            "EnvironmentFile=/etc/default/river\nCacheDirectory=river",
        ),
        "/etc/nginx/sites-enabled/river": _site("http://127.0.0.1:7000"),
    },
    more="COPY --from=go /x/river /srv/river/bin/river\n",
    setup=f"rm -f /main.go /etc/nginx/sites-enabled/default; {_USER}",
    units="nginx river",
    release="/srv/river",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "river kamo"},
)
TWO = MadeHost(
    name="ledger",
    packages="nodejs",
    files={
        "/srv/ledger/app.py": _FLASK % {"name": "ledger"},
        "/srv/ledger/worker.py": _WORKER,
        "/srv/admin/server.js": _NODE.replace("notes", "admin")
        .replace("NOTES", "ADMIN")
        .replace("words = require('words')", "words = {greeting: 'admin'}"),
        "/etc/default/ledger": "TITLE=ink\n",
        "/etc/default/admin": "ADMIN_TITLE=seal\n",
        "/etc/systemd/system/ledger.service": _unit(
            "/usr/bin/gunicorn --bind 127.0.0.1:8000 app:app",
            "deploy",
            "/srv/ledger",
            "EnvironmentFile=/etc/default/ledger\nCacheDirectory=ledger",
        ),
        "/etc/systemd/system/ledger-worker.service": _unit(
            "/usr/bin/python3 worker.py",
            "deploy",
            "/srv/ledger",
            "EnvironmentFile=/etc/default/ledger\nCacheDirectory=ledger",
        ),
        "/etc/systemd/system/admin.service": _unit(
            "/usr/bin/node server.js",
            "deploy",
            "/srv/admin",
            "EnvironmentFile=/etc/default/admin\nCacheDirectory=admin",
        ),
        "/etc/nginx/sites-enabled/admin": _site("http://127.0.0.1:3000", name="admin.example.com"),
        "/etc/nginx/sites-enabled/ledger": _site("http://127.0.0.1:8000"),
    },
    setup=f"rm -f /etc/nginx/sites-enabled/default; {_USER}",
    units="nginx ledger ledger-worker admin",
    release="/srv",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; "
    "curl -fsS -H 'Host: admin.example.com' http://127.0.0.1/; done",
    check={"/": "ledger ink"},
    build="services: {app: {unit: ledger, release: ledger/}, worker: {unit: ledger-worker, release: "
    "ledger/}, admin: {unit: admin, release: admin/}}",
)
MAIL = MadeHost(
    name="bell",
    packages="supervisor",
    files={
        "/srv/bell/app.py": _FLASK % {"name": "bell"},
        "/srv/bell/remind.py": _MAILS,
        "/srv/bell/outbox.py": 'import os\nPASSWORD = os.environ.get("BELL_PASSWORD")\n',
        "/etc/supervisor/conf.d/bell.conf": "[program:bell]\n"
        "command=/usr/bin/gunicorn --bind 127.0.0.1:8000 app:app\nuser=deploy\n"
        f"directory=/srv/bell\nenvironment=TITLE=bronze,BELL_PASSWORD={SECRET}\n",
        "/etc/nginx/sites-enabled/bell": _site("http://127.0.0.1:8000"),
        "/etc/cron.d/bell": "".join(
            f"*/{n} * * * * deploy cd /srv/bell && python3 remind.py {n}\n"
            for n in (1, 2, 5, 10, 15)
        ),
    },
    setup=f"rm -f /etc/nginx/sites-enabled/default; {_USER}; install -d -o deploy /var/cache/bell",
    units="nginx supervisor exim4",
    release="/srv/bell",
    drive="for n in 1 2 3; do curl -fsS http://127.0.0.1/; done",
    check={"/": "bell bronze"},
    secrets={"/bell/bell-password": "{}"},
)
ALL = (PHP, MOD_PHP, PERL, RUBY, NODE, BINARY, TWO, MAIL)


def machine_image(host: MadeHost, base: str) -> str:
    """Built once for what it is made of."""
    hosts = _hosts()
    name = f"kirikae-test-built-{host.name}:{hosts.digest_of(base, repr(host))}"
    if hosts.image_exists(name):
        return name
    install = ""
    if host.packages:
        install = (
            "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "
            f"--no-install-recommends {host.packages} >/dev/null 2>&1\n"
        )
    text = (
        f"ARG BASE\n{host.stage}FROM ${{BASE}}\n{install}"
        f"RUN systemctl disable {_OFF} >/dev/null 2>&1; systemctl mask {_MASKED} >/dev/null 2>&1; "
        "mkdir -p ~/.ssh\n"
        f"COPY files/ /\n{host.more}RUN {host.setup}; systemctl enable {host.units} >/dev/null 2>&1\n"
        'STOPSIGNAL SIGRTMIN+3\nCMD ["/sbin/init"]\n'
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, body in {
            "/Dockerfile": text,
            **{f"/files{p}": b for p, b in host.files.items()},
        }.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(body.encode())
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(body.encode()))
    hosts.run(
        "docker",
        "build",
        "-q",
        "-t",
        name,
        "--build-arg",
        f"BASE={base}",
        "-",
        given=context.getvalue(),
    )
    return name


def _hosts():
    sys.path.insert(0, str(ROOT / "examples/bookshop/rehearsal"))
    import hosts

    return hosts


@contextmanager
def running(host: MadeHost) -> Iterator[str]:
    """The name of its container, once it serves and has been asked."""
    hosts = _hosts()
    image = machine_image(host, hosts.debian("vm", hosts.VM_PACKAGES, print))
    name = f"kirikae-test-built-{host.name}-of-{os.getpid()}"
    hosts.run(
        "docker",
        "run",
        "-d",
        "--name",
        name,
        "--hostname",
        host.name,
        *hosts.systemd_options(),
        image,
    )
    try:

        def serves() -> bool:
            done = subprocess.run(
                ["docker", "exec", name, "sh", "-c", host.ready], capture_output=True
            )
            return done.returncode == 0

        def told() -> str:
            shown = "systemctl --failed --no-legend; journalctl -n 40 --no-pager; " + host.ready
            return subprocess.run(
                ["docker", "exec", name, "sh", "-c", shown], capture_output=True, text=True
            ).stdout

        eventually(serves, told, 60)
        hosts.run("docker", "exec", name, "sh", "-c", host.drive)
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


def surveyed(name: str) -> str:
    """What the survey's script says of it."""
    from kirikae.survey.collect import script
    from kirikae.survey.sections import unpacked

    done = subprocess.run(
        ["docker", "exec", "-i", name, "sh", "-s"],
        input=script(("a" * 64, "b" * 64)).encode(),
        capture_output=True,
        check=True,
    )
    return unpacked(done.stdout)


def project_of(host: MadeHost, folder: Path, bundle: bytes) -> Here:
    """A folder with the project file, the survey and the release's files."""
    checks = [{"get": path, "contains": holds} for path, holds in host.check.items()]
    (folder / "kirikae.yml").write_text(
        f"service: {host.name}\nenvironment: test\naccount: '123456789012'\nfleets:\n"
        f"  old: {{hosts: [ssh://{host.name}], target_group: a}}\n"
        "  new: {cluster: tasks, ecs_service: web, target_group: b}\n"
        f"checks: {json.dumps(checks)}\n"
        f"build: {{subnets: [subnet-1], execution_role: 'arn:aws:iam::123456789012:role/run'{', ' + host.build if host.build else ''}}}\n"
    )
    shelf = folder / ".kirikae/bundles" / host.name
    shelf.mkdir(parents=True)
    (shelf / "20261121T000000Z.gz").write_bytes(bundle)
    return Here(str(folder / "kirikae.yml"), environment=dict(os.environ))


_SSH = """#!/bin/sh
shift
exec docker exec -i {name} sh -c "$*"
"""
_AWS = """#!/bin/sh
while [ $# -gt 0 ]; do case $1 in --name) place=$2 ;; esac; shift; done
cat >"$PUT/$(echo "$place" | tr / _)"
"""


def secrets_put(name: str, here: Here) -> dict[str, str]:
    """Place -> the value that `put-secrets.sh` brought there from the host."""
    from kirikae.console import build

    build.written(here, force=False, dry_run=False)
    places = [row["place"] for row in build.secrets_planned(here).plain["secrets"]]
    script = here.folder / "image/put-secrets.sh"
    if not script.exists():
        assert not places
        return {}
    tools = here.folder.parent / f"{here.folder.name}-tools"
    put = tools / "put"
    put.mkdir(parents=True)
    for tool, text in (("ssh", _SSH.format(name=name)), ("aws", _AWS)):
        (tools / tool).write_text(text)
        (tools / tool).chmod(0o755)
    path = {"PATH": f"{tools}:{os.environ['PATH']}", "PUT": str(put)}
    done = subprocess.run(
        ["sh", str(script)], env={**os.environ, **path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr + script.read_text()
    return {place: (put / place.replace("/", "_")).read_text() for place in places}


def release_files(name: str, host: MadeHost, folder: Path) -> Path:
    """The code as it lies on the host, without what users brought and what is built."""
    place = folder / "code"
    place.mkdir()
    packed = subprocess.run(
        [
            "docker",
            "exec",
            name,
            "tar",
            "-C",
            host.release,
            "--exclude=uploads/*",
            "--exclude=public/made",
            "-cf",
            "-",
            ".",
        ],
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(place, filter="data")
    return place


def container_base() -> str:
    """What base storeys begin with, where no registry of images can be reached."""
    hosts = _hosts()
    return hosts.debian("container", hosts.CONTAINER_PACKAGES, print)


@contextmanager
def gone_afterwards(images: Mapping[str, str]) -> Iterator[None]:
    """Images that a test made; base storeys stay, as the hosts' do: the next run needs them."""
    try:
        yield
    finally:
        for image in images.values():
            subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)


def bytes_besides(image: str, other: str) -> int:
    """The layers of an image that another one does not have."""
    shown = ["docker", "image", "inspect", "-f", "{{json .RootFS.Layers}}"]
    mine, others = (
        json.loads(subprocess.run([*shown, each], capture_output=True, check=True).stdout)
        for each in (image, other)
    )
    words = ["docker", "history", "--no-trunc", "--human=false", "--format"]
    words += ["{{.Size}} {{.CreatedBy}}", image]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    lines = [line.partition(" ") for line in said.splitlines() if line[:1].isdigit()]
    rows = [(size, by) for size, _, by in reversed(lines)]
    # Whatever only says something of an image is no layer.
    says = re.compile(r"#\(nop\)\s+(?!COPY|ADD)")
    layers = [(int(size), by) for size, by in rows if not says.search(by)]
    sizes = _without_empty(layers, len(layers) - len(mine))
    assert len(sizes) == len(mine), (rows, mine)
    return sum(size for size, layer in zip(sizes, mine, strict=True) if layer not in others)


def _without_empty(layers: list[tuple[int, str]], many: int) -> list[int]:
    """A command that changed nothing made no layer: a check is one, and checks come last."""
    left = list(layers)
    for row in reversed(layers):
        if many and row[0] == 0 and "#(nop)" not in row[1]:
            left.remove(row)
            many -= 1
    return [size for size, _ in left]
