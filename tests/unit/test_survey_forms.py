"""The trial's cases in other forms: other frameworks, other places, other quotes; each a small
root that is looked at as an archive."""

from __future__ import annotations

import io
import tarfile
from datetime import date

import pytest

from kirikae.survey.bundles import read
from kirikae.survey.offline import bundle_of
from kirikae.survey.survey import findings
from kirikae.survey.trees import TarTree
from tests.made_host import Machine

KEYS = ("a" * 64, "b" * 64)
RELEASED = 1_790_000_000
WRITTEN = RELEASED + 20 * 86400
WANTS = "/etc/systemd/system/multi-user.target.wants"
USERS = (
    "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n"
    "deploy:x:1000:1000::/home/deploy:/bin/sh\n"
)


def archive(files, links, owners, written):
    """``files``: path -> text; ``owners``: beginning of a path -> uid; ``written``: beginnings of
    paths that came later than the code."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        folders = {path.rpartition("/")[0] for path in files}
        every = {
            "/".join(folder.split("/")[: at + 1])
            for folder in folders
            for at in range(1, folder.count("/") + 1)
        }
        for path in [*sorted(every), *files, *links]:
            entry = tarfile.TarInfo(f".{path}")
            owned = [uid for begins, uid in owners.items() if f"{path}/".startswith(f"{begins}/")]
            entry.uid = entry.gid = owned[0] if owned else 0
            entry.mtime = WRITTEN if path.startswith(written or "//") else RELEASED
            entry.mode = 0o755 if path in every else 0o644
            if path in links:
                entry.type, entry.linkname = tarfile.SYMTYPE, links[path]
            elif path in every:
                entry.type = tarfile.DIRTYPE
            data = files.get(path, "").encode()
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    raw.seek(0)
    return TarTree(raw, "x.tar")


def found(files, links=None, owners=None, written=()):
    whole = {
        "/etc/passwd": USERS,
        "/etc/group": "root:x:0:\nwww-data:x:33:\ndeploy:x:1000:\n",
        "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        **files,
    }
    tree = archive(whole, links or {}, owners or {}, tuple(written))
    bundle = read(bundle_of(tree, "old1", KEYS), "old1")
    return {(each.code, each.where) for each in findings([bundle], [], date(2026, 11, 27))}


def stands(seen, code, place):
    """There, or in a part of it."""
    return any(each == code and where.startswith(place) for each, where in seen)


def unit(name, user, folder, command, more=""):
    path = f"/etc/systemd/system/{name}.service"
    said = f"[Service]\nUser={user}\nWorkingDirectory={folder}\nExecStart={command}\n{more}\n"
    return {path: said}, {f"{WANTS}/{name}.service": path}


# --- state in the middle of code


def test_uploads_and_sessions_of_laravel():
    """Below `storage`, which is a part of the code."""
    files, links = unit("web", "www-data", "/srv/web", "/usr/bin/php artisan serve")
    files |= {
        "/srv/web/artisan": "<?php",
        "/srv/web/app/A.php": "<?php",
        "/srv/web/storage/app/public/a.jpg": "x",
        "/srv/web/storage/framework/sessions/abc": "x",
    }
    seen = found(files, links, {"/srv/web/storage": 33}, ["/srv/web/storage"])
    assert stands(seen, "ST04", "/srv/web/storage/app")
    assert stands(seen, "ST03", "/srv/web/storage/framework/sessions")


def test_media_and_the_database_of_django():
    """Everything belongs to one user; times and bytes tell."""
    files, links = unit("web", "deploy", "/opt/web", "/opt/web/venv/bin/gunicorn web.wsgi")
    files |= {
        "/opt/web/manage.py": "",
        "/opt/web/web/settings.py": "MEDIA_ROOT = '/opt/web/media'\n",
        "/opt/web/media/avatars/1.png": "x",
        "/opt/web/db.sqlite3": "SQLite format 3\0" + "x" * 100,
    }
    seen = found(files, links, {"/opt/web": 1000}, ["/opt/web/media", "/opt/web/db"])
    assert stands(seen, "ST04", "/opt/web/media") and ("ST05", "/opt/web/db.sqlite3") in seen


def test_a_link_of_the_live_release_names_what_it_leads_to():
    """Rails in a home: no line of code says where uploads lie, and nobody wrote there lately."""
    shop = "/home/deploy/shop"
    files, links = unit("web", "deploy", f"{shop}/current", "/usr/bin/bundle exec puma")
    files |= {f"{shop}/releases/1/config.ru": "run", f"{shop}/shared/public/uploads/a.jpg": "x"}
    links |= {
        f"{shop}/current": f"{shop}/releases/1",
        f"{shop}/releases/1/uploads": "../../shared/public/uploads",
    }
    seen = found(files, links, {"/home/deploy": 1000}, [f"{shop}/shared"])
    assert ("ST04", f"{shop}/shared/public/uploads") in seen


def test_an_application_of_java_that_is_unpacked():
    """What it came with is no data; its sessions and uploads are."""
    files, links = unit("web", "deploy", "/opt/tomcat", "/opt/tomcat/bin/catalina.sh run")
    files |= {
        "/opt/tomcat/bin/catalina.sh": "exec java",
        "/opt/tomcat/webapps/shop/WEB-INF/web.xml": "<a/>",
        "/opt/tomcat/webapps/shop/upload/a.pdf": "x",
        "/opt/tomcat/work/SESSIONS.ser": "x",
    }
    late = ["/opt/tomcat/webapps/shop/upload", "/opt/tomcat/work"]
    seen = found(files, links, {"/opt/tomcat": 1000}, late)
    assert {("ST04", "/opt/tomcat/webapps/shop/upload"), ("ST03", "/opt/tomcat/work")} <= seen
    assert not [where for code, where in seen if code == "ST01" and "WEB-INF" in where]


@pytest.mark.parametrize("quote", ['"', "'", ""])
def test_folders_that_web_servers_name_in_quotes(quote):
    """Both servers take both kinds, and a site may stand on one line."""
    site = (
        f"server {{ root {quote}/var/www/site{quote}; "
        f"location /u/ {{ alias {quote}/var/www/site/uploads/{quote}; }} }}"
    )
    files = {
        "/lib/systemd/system/nginx.service": "[Service]\nExecStart=/usr/sbin/nginx\n",
        "/etc/nginx/nginx.conf": "user www-data;\ninclude /etc/nginx/sites-enabled/*;",
        "/etc/nginx/sites-enabled/a": site,
        "/var/www/site/index.php": "<?php",
        "/var/www/site/uploads/a.jpg": "x",
    }
    links = {f"{WANTS}/nginx.service": "/lib/systemd/system/nginx.service"}
    seen = found(files, links, {"/var/www/site/uploads": 33}, ["/var/www/site/uploads"])
    assert {
        ("ST04", "/var/www/site/uploads"),
        ("AS01", "/etc/nginx/sites-enabled/a:1"),
        ("AS01", "/var/www/site"),
    } <= seen


# --- units in other places


def test_a_unit_in_usr_local_is_somebody_s_own():
    """systemd reads it there as well."""
    place = "/usr/local/lib/systemd/system/web.service"
    files = {
        place: "[Service]\nUser=deploy\nWorkingDirectory=/opt/web\nExecStart=/opt/web/run\n",
        "/opt/web/run": "x",
        "/opt/web/data/s.json": "x",
    }
    seen = found(files, {f"{WANTS}/web.service": place}, {"/opt/web": 1000}, ["/opt/web/data"])
    assert ("CF04", place) in seen and [where for code, where in seen if code == "ST01"]


def test_a_unit_among_those_of_packages_that_is_none_s():
    """Told by dpkg's lists, of which the folder is one; a packaged one beside it is no news."""
    machine = Machine()
    machine.owned["/lib/systemd/system"] = "systemd"
    machine.owned["/lib/systemd/system/mpd.service"] = "mpd"
    for name in ("web", "mpd"):
        path = f"/lib/systemd/system/{name}.service"
        machine.unit(name, user="deploy", command=f"/usr/bin/{name}", FragmentPath=path)
    told = findings([machine.bundle()], [], date(2026, 11, 27))
    assert [each.where for each in told if each.code == "CF04"] == [
        "/lib/systemd/system/web.service"
    ]


def test_a_drop_in_says_what_it_says():
    """Its limit counts, and its secret is told once, where it stands."""
    over = "/etc/systemd/system/redis.service.d/override.conf"
    packaged = "/lib/systemd/system/redis.service"
    files = {
        packaged: "[Service]\nExecStart=/usr/bin/redis-server\n",
        over: "[Service]\nLimitNOFILE=200000\nEnvironment=PASSWORD=Hemlock-73-x\n",
    }
    seen = found(files, {f"{WANTS}/redis.service": packaged})
    assert {("PR14", "redis.service"), ("CF04", over)} <= seen
    assert [where for code, where in seen if code == "CF12"] == [f"{over}:PASSWORD"]


SCRIPT = """#!/bin/sh
# Provides: shop
DAEMON=/srv/shop/bin/run
DAEMON_OPTS="--port 80"
{user}
start() {{
    {start}
}}
"""


@pytest.mark.parametrize(
    ("user", "start"),
    [
        ("RUNAS=deploy", "start-stop-daemon --start --chuid $RUNAS --exec $DAEMON -- $DAEMON_OPTS"),
        ("USER=deploy", "daemon --user=$USER $DAEMON $DAEMON_OPTS"),
        ("", "su - deploy -c $DAEMON"),
    ],
)
def test_a_host_of_before_systemd(user, start):
    """CentOS 6: a script and a link of a run level make a service, with its user and its folder."""
    files = {
        "/etc/init.d/shop": SCRIPT.format(user=user, start=start),
        "/etc/init.d/sshd": "#!/bin/sh\n",
        "/srv/shop/bin/run": "x",
        "/srv/shop/bin/uploads/a.jpg": "x",
    }
    links = {f"/etc/rc.d/rc3.d/S85{name}": f"../../init.d/{name}" for name in ("shop", "sshd")}
    seen = found(files, links, {"/srv/shop": 1000}, ["/srv/shop/bin/uploads"])
    assert [where for code, where in seen if code.startswith("ST") and "uploads" in where]
    assert "SV03" not in {code for code, _ in seen}


# --- what runs by time


def test_timers_of_a_user_s_own_systemd():
    """Root's systemctl does not show them; one that nobody enabled is told as dead."""
    folder = "/home/deploy/.config/systemd/user"
    files = {
        f"{folder}/{name}.timer": "[Timer]\nOnCalendar=*-*-* 03:00\n" for name in ("report", "old")
    }
    links = {f"{folder}/timers.target.wants/report.timer": "../report.timer"}
    seen = found(files, links)
    assert ("JB01", f"{folder}/report.timer") in seen and ("JB15", f"{folder}/old.timer") in seen


def test_a_crontab_that_another_program_reads():
    """supercronic: its lines are jobs, wherever the file lies."""
    files, links = unit(
        "tasks", "deploy", "/srv/app", "/usr/local/bin/supercronic /srv/app/crontab"
    )
    files["/srv/app/crontab"] = "*/5 * * * * /srv/app/run\n# 1 2 * * * /srv/app/old\n"
    seen = found(files, links)
    assert {("JB01", "/srv/app/crontab"), ("JB16", "tasks.service")} <= seen


@pytest.mark.parametrize(
    ("command", "runs_by_time"),
    [
        ("/bin/sh -c 'while true; do /opt/a/run; sleep 300; done'", True),
        ("/bin/bash -c 'while :; do run; sleep 5m; done'", True),
        ("/usr/bin/watch -n 60 /opt/a/run", True),
        ("/opt/a/run --while-idle --sleep 3", False),
    ],
)
def test_a_loop_that_sleeps_is_a_scheduler(command, runs_by_time):
    """What it does stands in no crontab."""
    files, links = unit("loop", "deploy", "/opt/a", command)
    seen = found({**files, "/opt/a/run": "x"}, links)
    assert (("JB16", "loop.service") in seen) is runs_by_time


def test_a_service_of_a_user_s_own_systemd_is_a_service():
    """Its process bears the name of a unit that the machine's systemd does not have."""
    machine = Machine()
    machine.unit("nginx", command="/usr/sbin/nginx", FragmentPath="/lib/systemd/system/x")
    machine.process("/home/deploy/bot/run --now", 1000, "bot.service")
    machine.process("/usr/bin/dbus-daemon --session", 1000, "dbus.service")
    names = {service.name for service in machine.view().services}
    assert names == {"nginx", "run"}


# --- what no process tells: users of workers, volumes, jobs, root


APACHE = {
    "/lib/systemd/system/apache2.service": "[Service]\nExecStart=/usr/sbin/apachectl start\n",
    "/etc/apache2/apache2.conf": "User ${APACHE_RUN_USER}\nIncludeOptional sites-enabled/*.conf",
    "/etc/apache2/envvars": "export APACHE_RUN_USER=www-data\n",
}
SUPERVISED = "[program:w]\ncommand=/srv/w/run.py\nuser=deploy\ndirectory=/srv/w\n"


def packaged(name):
    return {f"{WANTS}/{name}.service": f"/lib/systemd/system/{name}.service"}


def test_an_alias_of_a_web_server_that_no_process_shows():
    """Whom its workers run as stands in its configuration, here by way of a variable."""
    site = 'DocumentRoot /srv/site\nAlias /media/ "/srv/media/"\n'
    files = {
        **APACHE,
        "/etc/apache2/sites-enabled/a.conf": site,
        "/srv/site/index.php": "<?php",
        "/srv/media/a.png": "x",
    }
    seen = found(files, packaged("apache2"), {"/srv/media": 33}, ["/srv/media"])
    assert ("ST04", "/srv/media") in seen


def test_a_script_that_writes_beside_itself_and_its_lock():
    """A board of old: data and a lock between programs of Perl; `.lock` alone is no code."""
    board = "/var/www/bbs/cgi-bin"
    files = {
        **APACHE,
        "/etc/apache2/sites-enabled/a.conf": f"ScriptAlias /cgi-bin/ {board}/\n",
        f"{board}/bbs.cgi": "#!/usr/bin/perl\nopen(F, '>>data/log.dat');",
        f"{board}/data/log.dat": "x",
        f"{board}/lock/bbs.lock": "x",
    }
    late = [f"{board}/data", f"{board}/lock"]
    seen = found(files, packaged("apache2"), dict.fromkeys(late, 33), late)
    assert ("ST01", f"{board}/data") in seen and ("ST14", f"{board}/lock") in seen


def test_a_program_that_supervisor_starts_as_another_user():
    files = {
        "/lib/systemd/system/supervisor.service": "[Service]\nExecStart=/usr/bin/supervisord\n",
        "/etc/supervisor/conf.d/w.conf": SUPERVISED,
        "/srv/w/run.py": "import os",
        "/srv/w/out/1.json": "x",
    }
    seen = found(files, packaged("supervisor"), {"/srv/w": 1000}, ["/srv/w/out"])
    assert stands(seen, "ST01", "/srv/w")


def test_a_user_that_only_lives_while_its_service_runs():
    """Its folder in /var/lib is a link to one in /var/lib/private."""
    files, links = unit("api", "", "/", "/usr/local/bin/api", "DynamicUser=yes\nStateDirectory=api")
    files |= {"/usr/local/bin/api": "x", "/var/lib/private/api/data.bin": "x"}
    links |= {"/var/lib/api": "private/api"}
    seen = found(files, links, {"/var/lib/private/api": 61184}, ["/var/lib/private"])
    assert any(where.startswith("/var/lib/private/api") for _, where in seen)


def test_root_s_own_service_where_no_clock_tells():
    """In an archive what it wrote looks like what lay there: it is told, and its code is not."""
    files, links = unit("agent", "root", "/opt/agent", "/opt/agent/agent.py")
    files |= {
        "/opt/agent/agent.py": "import os",
        "/data/queue/1.msg": "x",
        "/srv/keys/id.pem": "x",
        "/usr/local/lib/x.dat": "x",
    }
    seen = found(files, links, {}, ["/data"])
    places = {where for code, where in seen if code.startswith("ST")}
    assert places == {"/data/queue"}


def test_volumes_of_containers():
    """One that holds nothing is none."""
    volumes = "/var/lib/docker/volumes"
    files = {
        "/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd\n",
        f"{volumes}/db/_data/base/1": "x",
        "/var/lib/docker/overlay2/x/diff/a": "x",
    }
    seen = found(files, packaged("docker"), {}, [volumes])
    assert [where for code, where in seen if code in ("ST01", "ST21")] == [f"{volumes}/db/_data"]


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("/srv/bin/report > /srv/reports/latest.csv", "/srv/reports/latest.csv"),
        ("/srv/bin/report >> '/srv/reports/latest.csv' 2>&1", "/srv/reports/latest.csv"),
        ("/srv/bin/report > /srv/reports/$(date +\\%F).csv", "/srv/reports"),
        ("tar -czf /srv/reports/latest.csv /etc", "/srv/reports/latest.csv"),
        ("pg_dump shop -f /srv/reports/latest.csv", "/srv/reports/latest.csv"),
        ("pg_dump --file=/srv/reports/latest.csv shop", "/srv/reports/latest.csv"),
        ("/srv/bin/report > /dev/null 2>&1", None),
        ("/srv/bin/report < /srv/reports/latest.csv", None),
    ],
)
def test_what_a_job_leaves_behind(command, place):
    files = {
        "/etc/cron.d/report": f"5 * * * * root {command}\n",
        "/srv/bin/report": "#!/bin/sh\n",
        "/srv/reports/latest.csv": "x",
    }
    seen = found(files, {}, {}, ["/srv/reports"])
    told = {where for code, where in seen if code in ("ST01", "ST04", "ST21")}
    assert told == ({place} if place else set())


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["segments_3", "_0.cfs"], "ST16"),
        (["iamglass", "postlist.glass"], "ST16"),
        (["_MAIN_1.toc", "MAIN_x.seg"], "ST16"),
        (["CURRENT", "MANIFEST-000002", "000003.log"], "ST05"),
        (["CURRENT", "000003.log"], None),
    ],
)
def test_an_index_or_a_database_is_told_by_the_names_of_its_files(names, code):
    files, links = unit("web", "deploy", "/opt/web", "/usr/bin/java -jar web.jar")
    files |= {"/opt/web/web.jar": "x", **{f"/opt/web/store/{name}": "x" for name in names}}
    seen = found(files, links, {"/opt/web": 1000}, ["/opt/web/store"])
    assert {each for each, where in seen if where == "/opt/web/store"} == {code or "ST01"}


def test_a_log_that_somebody_made_for_a_service_in_a_folder_of_root_s():
    """Opened for each line and closed again: neither its folder nor an open file speaks for it."""
    machine = Machine()
    for folder in ("/var", "/var/log", "/var/lib"):
        machine.folder(folder)
    machine.unit("shop", user="deploy", command="/usr/sbin/shop")
    machine.file("/var/log/shop.log", 1000, at=RELEASED + 86400 * 80)
    machine.file("/var/lib/shop.state", 1000, at=RELEASED)
    told = findings([machine.bundle()], [], date(2026, 11, 27))
    seen = {(each.code, each.where) for each in told}
    assert ("LG01", "/var/log/shop.log") in seen
    assert any(where == "/var/lib/shop.state" for _, where in seen)
