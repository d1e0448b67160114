"""How much of what the services of a host write does the survey find?

Seven hosts of the usual layouts are made from Debian packages and small applications, driven for
real, and looked at by the collector.  What was really written is told by the times of all files.

    python benchmarks/survey_hosts.py IMAGE [HOST ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kirikae.model.finding import Finding
from kirikae.survey.bundles import read
from kirikae.survey.collect import script
from kirikae.survey.known import debian
from kirikae.survey.paths import parent_of, under
from kirikae.survey.survey import findings

DOCKERFILE = """
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \\
    --no-install-recommends php-fpm php-sqlite3 nodejs redis-server libplack-perl starman sqlite3
RUN systemctl mask systemd-udevd.service systemd-modules-load.service sys-kernel-config.mount \\
    sys-kernel-debug.mount getty.target console-getty.service systemd-networkd.service \\
    systemd-timesyncd.service; \\
    systemctl disable nginx postgresql exim4 redis-server php8.2-fpm; true
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
_KEYS = ("a" * 64, "b" * 64)
_WRITING = ("ST", "LG", "JB", "ML")
_NOBODYS = (
    "/proc",
    "/sys",
    "/dev",
    "/run/systemd",
    "/var/log/journal",
    "/etc",
    "/root",
    "/tmp/drive",
)
_OPTIONS = (
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns=host", "--cap-add", "SYS_ADMIN"),
    *("--cap-add", "SYS_PTRACE", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
)


@dataclass(frozen=True)
class Layout:
    """A host: how it is made, which services run, and what is done to it."""

    prepare: str
    start: str
    drive: str
    init: tuple[str, ...] = ("/sbin/init",)
    cron: bool = field(default=True)


_UNIT = """cat >/etc/systemd/system/{name}.service <<'U'
[Service]
User={user}
WorkingDirectory={folder}
ExecStart={command}
{more}
[Install]
WantedBy=multi-user.target
U
"""


def unit(name: str, user: str, folder: str, command: str, more: str = "") -> str:
    """A unit file of somebody's own."""
    return _UNIT.format(name=name, user=user, folder=folder, command=command, more=more)


PHP = """
mkdir -p /var/www/html/wp-content/themes/x /var/www/html/wp-content/uploads
cat >/var/www/html/index.php <<'P'
<?php session_start(); $_SESSION['n'] = 1;
$folder = __DIR__ . '/wp-content/uploads/' . date('Y/m'); @mkdir($folder, 0755, true);
file_put_contents($folder . '/' . uniqid() . '.jpg', str_repeat('x', 2000));
$db = new PDO('sqlite:' . __DIR__ . '/wp-content/store'); $db->exec('create table if not exists e (t text)');
$db->exec("insert into e values ('x')"); file_put_contents('/var/www/html/wp-content/cache-all.html', 'x'); echo 'ok';
P
echo 'a {}' >/var/www/html/wp-content/themes/x/style.css; cp /usr/share/pixmaps/*.png /var/www/html/wp-content/themes/x/ 2>/dev/null
echo '<?php // silence' >/var/www/html/wp-content/uploads/index.php
rm -f /var/www/html/*.html; chown -R www-data: /var/www/html
cat >/etc/nginx/sites-enabled/default <<'N'
server { listen 80 default_server; root /var/www/html; index index.php;
 location ~ \\.php$ { include fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_pass unix:/run/php/php8.2-fpm.sock; } }
N
printf '[shop]\\nuser = www-data\\ngroup = www-data\\nlisten = /run/php/shop.sock\\npm = static\\npm.max_children = 2\\n' >/etc/php/8.2/fpm/pool.d/shop.conf
"""
NODE = """
useradd -m deploy; root=/srv/nippo; mkdir -p $root/releases/r1 $root/releases/r2/public $root/shared/uploads $root/shared/log $root/shared/config
for r in r1 r2; do cat >$root/releases/$r/server.js <<'J'
const http = require('http'), fs = require('fs'); let n = 0;
http.createServer((q, a) => { fs.writeFileSync(process.env.UPLOAD_DIR + '/' + (++n) + '.jpg', 'x'.repeat(999));
 fs.appendFileSync('log/production.log', q.url + '\\n'); fs.writeFileSync('tmp/sessions/' + n, '{}'); fs.writeFileSync('data/counter.json', '' + n); a.end('ok'); }).listen(3000, '127.0.0.1');
J
mkdir -p $root/releases/$r/tmp/sessions $root/releases/$r/data; echo '{"name":"nippo","dependencies":{"node-cron":"3"}}' >$root/releases/$r/package.json
echo '{"lockfileVersion": 3}' >$root/releases/$r/package-lock.json; ln -s $root/shared/log $root/releases/$r/log; done
echo 'body {}' >$root/releases/r2/public/a.css; cp /usr/share/pixmaps/*.png $root/releases/r2/public/ 2>/dev/null
ln -s $root/releases/r2 $root/current; echo "production: {}" >$root/shared/config/app.yml; chown -R deploy: $root
echo UPLOAD_DIR=$root/shared/uploads >/etc/default/nippo
""" + unit(
    "nippo",
    "deploy",
    "/srv/nippo/current",
    "/usr/bin/node server.js",
    "EnvironmentFile=/etc/default/nippo",
)
PYTHON = """
useradd -m app; mkdir -p /opt/app/static /opt/app/templates; cat >/opt/app/app.py <<'P'
import http.server, sqlite3, json, os
class H(http.server.BaseHTTPRequestHandler):
    n = 0
    def do_GET(self):
        H.n += 1
        db = sqlite3.connect('app.db'); db.execute('create table if not exists t (a)'); db.execute('insert into t values (1)'); db.commit(); db.close()
        os.makedirs('data', exist_ok=True); os.makedirs('media/avatars', exist_ok=True)
        json.dump({'n': H.n}, open('data/state.json', 'w')); open(f'media/avatars/{H.n}.png', 'w').write('x' * 500)
        os.makedirs(os.path.expanduser('~/exports'), exist_ok=True); open(os.path.expanduser(f'~/exports/{H.n}.csv'), 'w').write('a,b')
        open('app.log', 'a').write('x\\n'); self.send_response(200); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', 8000), H).serve_forever()
P
echo '<p>' >/opt/app/templates/a.html; cp /usr/share/pixmaps/*.png /opt/app/static/ 2>/dev/null; echo '{}' >/opt/app/static/manifest.json; chown -R app: /opt/app
""" + unit("app", "app", "/opt/app", "/usr/bin/python3 app.py")
PERL = """
useradd -m shop; mkdir -p /srv/shop/lib /srv/shop/tmp /srv/shop/orders/new; cat >/srv/shop/app.psgi <<'P'
use strict; my $n = 0;
sub { $n++; open my $f, '>', "tmp/cgisess_$n"; print $f 'x'; close $f; open $f, '>', "orders/new/$n.dat"; print $f 'order'; close $f;
 open $f, '>>', 'counter.dat'; print $f "x"; close $f; [200, ['Content-Type', 'text/plain'], ['ok']] };
P
echo '1;' >/srv/shop/lib/Shop.pm; chown -R shop: /srv/shop
echo '*/5 * * * * shop perl /srv/shop/batch.pl' >/etc/cron.d/shop
""" + unit(
    "shop", "shop", "/srv/shop", "/usr/bin/starman --workers 1 --listen 127.0.0.1:5000 app.psgi"
)
MAIL = """
useradd -m list1; useradd -m mailer; mkdir -p /opt/mailer/bin /var/lib/mailer/queue /var/lib/mailer/lists; chown -R mailer: /var/lib/mailer
cat >/opt/mailer/bin/send <<'S'
#!/bin/sh
date >>/var/lib/mailer/lists/sent; date >/var/lib/mailer/queue/$$; echo hello | mail -s x nobody@example.invalid 2>/dev/null || true
S
cat >/opt/mailer/bin/daemon <<'S'
#!/bin/sh
while sleep 1; do date >/var/lib/mailer/queue/$(date +%s); done
S
chmod 755 /opt/mailer/bin/*
printf '* * * * * mailer /opt/mailer/bin/send\\n' >/etc/cron.d/mailer; printf '* * * * * mailer /opt/mailer/bin/send\\n' >/etc/cron.d/mailer.old
printf '70 * * * * mailer /opt/mailer/bin/send\\n' >/etc/cron.d/broken; printf '#!/bin/sh\\n/opt/mailer/bin/send\\n' >/etc/cron.daily/digest; chmod 755 /etc/cron.daily/digest
printf '#!/bin/sh\\n' >/etc/cron.weekly/report.sh; chmod 755 /etc/cron.weekly/report.sh; printf '*/10 * * * * /opt/mailer/bin/send' >/var/spool/cron/crontabs/mailer
printf '*/15 * * * * /opt/mailer/bin/send\\n' >/var/spool/cron/crontabs/list1; chown mailer:crontab /var/spool/cron/crontabs/mailer; chown list1:crontab /var/spool/cron/crontabs/list1; chmod 600 /var/spool/cron/crontabs/*
printf '[Timer]\\nOnCalendar=*:0/30\\n[Install]\\nWantedBy=timers.target\\n' >/etc/systemd/system/bounce.timer
printf '[Service]\\nType=oneshot\\nExecStart=/opt/mailer/bin/send\\n' >/etc/systemd/system/bounce.service
""" + unit("mailer", "mailer", "/opt/mailer", "/bin/sh /opt/mailer/bin/daemon")
DATABASE = """
useradd -m etl; mkdir -p /srv/etl/out /srv/etl/bin; printf '#!/bin/sh\\nwhile sleep 1; do date >/srv/etl/out/$(date +%s).csv; done\\n' >/srv/etl/bin/loop; chmod 755 /srv/etl/bin/loop; chown -R etl: /srv/etl
sed -i 's/^save .*//; s/^# save .*//' /etc/redis/redis.conf; echo 'save 1 1' >>/etc/redis/redis.conf
""" + unit("etl", "etl", "/srv/etl", "/srv/etl/bin/loop")
PLAIN = """
useradd -m app; mkdir -p /srv/app /var/lib/app/uploads /srv/app/var; cat >/srv/app/run.sh <<'S'
#!/bin/sh
cd /srv/app
n=0; while sleep 1; do n=$((n + 1)); date >/var/lib/app/uploads/$n.jpg; date >/srv/app/var/state.dat; echo x >>/var/lib/app/app.log; done
S
chmod 755 /srv/app/run.sh; chown -R app: /srv/app /var/lib/app
"""
_GET = "for i in $(seq 1 15); do curl -s -o /dev/null {url}; sleep 0.5; done"
LAYOUTS = {
    "php": Layout(PHP, "systemctl start php8.2-fpm nginx", _GET.format(url="http://127.0.0.1/")),
    "node": Layout(
        NODE, "systemctl enable --now nippo", _GET.format(url="http://127.0.0.1:3000/a")
    ),
    "python": Layout(
        PYTHON, "systemctl enable --now app", _GET.format(url="http://127.0.0.1:8000/")
    ),
    "perl": Layout(PERL, "systemctl enable --now shop", _GET.format(url="http://127.0.0.1:5000/")),
    "mail": Layout(
        MAIL,
        "systemctl start exim4; systemctl enable --now mailer bounce.timer",
        "su mailer -s /bin/sh -c /opt/mailer/bin/send; sleep 8",
    ),
    "database": Layout(
        DATABASE,
        "systemctl start postgresql redis-server; systemctl enable --now etl",
        "su postgres -c \"psql -qc 'create table if not exists t (a int)'\"; for i in 1 2 3 4 5;"
        " do su postgres -c \"psql -qc 'insert into t values (1)'\"; redis-cli set k$i v"
        " >/dev/null; sleep 1.2; done",
    ),
    "plain": Layout(
        PLAIN,
        "su app -s /bin/sh -c 'setsid sh /srv/app/run.sh </dev/null >/dev/null 2>&1 &'",
        "sleep 8",
        init=("tail", "-f", "/dev/null"),
    ),
}


def sh(name: str, text: str, check: bool = True) -> str:
    """In the container."""
    done = subprocess.run(
        ["docker", "exec", "-i", name, "sh"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode(errors='replace')[-800:]}")
    return done.stdout.decode("utf-8", "surrogateescape")


def looked_at(image: str, host: str) -> dict[str, object]:
    """Make it, drive it, look at it, and compare."""
    layout = LAYOUTS[host]
    name = f"kirikae-survey-{host}"
    subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
    options = _OPTIONS if layout.init == ("/sbin/init",) else ()
    subprocess.run(
        ["docker", "run", "-d", "--name", name, "--hostname", host, *options, image, *layout.init],
        check=True,
        capture_output=True,
    )
    try:
        time.sleep(3)
        sh(name, layout.prepare)
        time.sleep(2)
        sh(name, f"systemctl daemon-reload 2>/dev/null; {layout.start}")
        time.sleep(3)
        sh(name, "touch /dev/shm/marker; sleep 1.1")
        sh(name, layout.drive)
        written = sh(name, "find / -xdev -newer /dev/shm/marker -type f 2>/dev/null", check=False)
        began = sh(name, "cat /proc/uptime")
        body, _, _ = script(_KEYS).rpartition("\nif has gzip")
        before = time.monotonic()
        text = sh(name, f"{body}\ntime -p main 2>/dev/null\n" if False else f"{body}\nmain\n")
        took = time.monotonic() - before
        del began
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
    Path(f"/tmp/survey-{host}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    found = findings([read(text, host)], [], datetime.now(UTC).date())
    return compared(host, written.split("\n"), found) | {"seconds": round(took, 1)}


def compared(host: str, written: list[str], found: list[Finding]) -> dict[str, object]:
    """Which written files no finding covers."""
    theirs = [path for path in written if path and not under(path, _NOBODYS)]
    system = [path for path in theirs if under(path, debian().spools)]
    services = [path for path in theirs if path not in system]
    places = [f.where for f in found if f.code.startswith(_WRITING) and f.where.startswith("/")]
    missed = sorted({parent_of(path) for path in services if not under(path, places)})
    return {
        "host": host,
        "written": len(services),
        "folders": sorted({parent_of(path) for path in services}),
        "missed": missed,
        "system": sorted({parent_of(path) for path in system}),
        "findings": [f"{f.severity} {f.code} {f.says}" for f in found],
    }


def main(image: str, hosts: list[str]) -> None:
    """One line of JSON for each host."""
    for host in hosts or list(LAYOUTS):
        print(json.dumps(looked_at(image, host), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
