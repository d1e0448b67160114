"""State is found wherever it lies: inside code, docroot, alias, release root, home."""

from __future__ import annotations

from datetime import date

import pytest

from kirikae.model.finding import Confidence
from kirikae.survey.evidence import traces_of
from kirikae.survey.fleet import drift
from kirikae.survey.rules import findings_of
from kirikae.survey.survey import findings
from tests.made_host import BEGAN, NOW, RELEASED, Machine

TODAY = date(2026, 11, 21)
STATE = ("ST01", "ST03", "ST04", "ST05", "ST08", "ST16")


def seen(machine):
    return {(each.code, each.where): each for each in findings_of(machine.view(), TODAY)}


def state(machine):
    """Code and place of what is state and blocks."""
    return {
        key
        for key, finding in seen(machine).items()
        if key[0] in (*STATE, "ST21") and finding.blocks
    }


def own_service(user="deploy", folder="/opt/app", uid=1000):
    """A unit of somebody's own that works where its code lies, all of it the service's own."""
    machine = Machine()
    machine.unit("app", user=user, folder=folder, command=f"/usr/bin/python3 {folder}/app.py")
    machine.release(folder, {"app.py": "print()", "static/logo.png": "", "lib/x.py": ""}, uid=uid)
    return machine


# --- inside of code


def test_what_a_service_rewrites_between_its_code_is_state():
    """A1: data/state.json and uploads/N.jpg in the folder of the unit, all owned by one user."""
    machine = own_service()
    machine.file("/opt/app/data/state.json", 1000, NOW - 2)
    for number in range(5):
        machine.file(f"/opt/app/uploads/{number}.jpg", 1000, NOW - 100 * number)
    found = seen(machine)
    assert found["ST01", "/opt/app/data"].confidence is Confidence.OBSERVED
    assert found["ST04", "/opt/app/uploads"].confidence is Confidence.OBSERVED
    assert state(machine) == {("ST01", "/opt/app/data"), ("ST04", "/opt/app/uploads")}


def test_what_a_release_brought_is_code_and_no_state():
    """Pictures, documents and JSON that came with the code; the service owns all of it."""
    machine = own_service()
    for name in ("public/a.png", "public/b.jpg", "fixtures/x.json", "images/1.gif", "media/2.pdf"):
        machine.file(f"/opt/app/{name}", 1000, RELEASED - 999, came=RELEASED + 5)
    assert state(machine) == set()


def test_uploads_in_a_docroot_that_its_web_server_s_user_owns():
    """The layout of WordPress: the web server began after the last upload."""
    machine = Machine()
    machine.unit(
        "nginx", command="/usr/sbin/nginx", FragmentPath="/lib/systemd/system/nginx.service"
    )
    machine.unit(
        "php8.2-fpm",
        "www-data",
        command="/usr/sbin/php-fpm8.2",
        FragmentPath="/lib/systemd/system/x",
    )
    files = {
        "index.php": "",
        "wp-login.php": "",
        "wp-content/index.php": "",
        "wp-content/x/a.css": "",
    }
    machine.release("/var/www/html", files, uid=33)
    for month in ("01", "02"):
        machine.file(
            f"/var/www/html/wp-content/uploads/2026/{month}/p.jpg",
            33,
            BEGAN - 5 * 86400 + int(month),
        )
    [finding] = [each for key, each in seen(machine).items() if key[0] == "ST04"]
    assert finding.where == "/var/www/html/wp-content/uploads"
    assert "php8.2-fpm" in finding.says or "php8.2-fpm" in str(finding.evidence)
    assert ("ST04", finding.where) in state(machine)


def test_a_folder_that_the_service_owns_in_code_that_it_does_not():
    """Root's code, the service's folder: written or not, it is there to be written into."""
    machine = own_service(uid=0)
    machine.folder("/opt/app/storage", 1000)
    found = seen(machine)
    assert found["ST01", "/opt/app/storage"].confidence is Confidence.CONFIGURED
    assert not found["ST01", "/opt/app/storage"].blocks


def test_an_alias_that_leads_to_uploads_is_no_code():
    """Apache's `Alias /uploads`: the collector reads its target as if it were code."""
    machine = Machine(users={"root": 0, "apache": 48})
    machine.unit(
        "httpd", "apache", command="/usr/sbin/httpd", FragmentPath="/usr/lib/systemd/system/h"
    )
    machine.code["/var/www/app/uploads"] = {"1.jpg": "", "2.jpg": ""}
    for number in (1, 2):
        machine.file(f"/var/www/app/uploads/{number}.jpg", 48, BEGAN + number)
    assert ("ST04", "/var/www/app/uploads") in state(machine)


def test_shared_beside_releases_is_state_and_the_releases_are_code():
    """F3: Capistrano's layout; the collector read the folder around all of it as code, too."""
    machine = Machine()
    root = "/srv/nippo"
    machine.unit(
        "nippo",
        "deploy",
        f"{root}/current",
        "/usr/bin/node server.js",
        EnvironmentFiles="/etc/default/nippo (ignore_errors=no)",
    )
    machine.links[f"{root}/current"] = f"{root}/releases/r2"
    machine.text("/etc/default/nippo", f"UPLOAD_DIR={root}/shared/uploads")
    for release in ("r1", "r2"):
        machine.release(
            f"{root}/releases/{release}", {"server.js": "process.env.UPLOAD_DIR"}, uid=1000
        )
    machine.code[root] = {"shared/uploads/1.jpg": "", "releases/r2/server.js": ""}
    machine.file(f"{root}/shared/uploads/1.jpg", 1000, BEGAN + 5)
    machine.file(f"{root}/shared/log/production.log", 1000, BEGAN + 5)
    machine.file(f"{root}/shared/node_modules/x/data.bin", 1000, RELEASED - 9)
    machine.file(f"{root}/shared/config/database.yml", 1000, RELEASED - 9)
    assert state(machine) == {("ST04", f"{root}/shared/uploads")}
    assert ("LG01", f"{root}/shared/log") in seen(machine)


def test_a_folder_that_a_variable_names_is_state_before_it_is_code():
    """Nothing was written since the release, and the name of the folder says nothing."""
    machine = own_service()
    machine.units[0]["Environment"] = "MEMBERS=/opt/app/members"
    machine.file("/opt/app/members/1.bin", 1000, RELEASED, came=RELEASED)
    found = seen(machine)["ST01", "/opt/app/members"]
    assert found.confidence is Confidence.PRESENT and found.blocks == ("traffic",)


def test_what_a_web_server_serves_is_not_state_because_it_is_named():
    """`root` and `alias` name what a release brought."""
    machine = own_service()
    machine.unit(
        "nginx", command="/usr/sbin/nginx", FragmentPath="/lib/systemd/system/nginx.service"
    )
    machine.text("/etc/nginx/nginx.conf", "location /static { alias /opt/app/static; }")
    assert state(machine) == set()


def test_a_single_file_between_the_code_is_told_by_itself():
    """counter.dat beside app.py does not make the code state."""
    machine = own_service()
    machine.file("/opt/app/counter.dat", 1000, NOW - 3)
    assert state(machine) == {("ST01", "/opt/app/counter.dat")}


def test_sqlite_beside_the_code_is_a_database_whatever_its_name():
    """B3: by its first bytes."""
    machine = own_service()
    machine.file("/opt/app/store", 1000, NOW - 3)
    machine.magic["/opt/app/store"] = "53514c69746520666f726d61742033"
    assert ("ST05", "/opt/app/store") in state(machine)


def test_a_tree_of_a_framework_is_classed_down_to_its_parts():
    """Laravel's storage: sessions, caches, logs and uploads under one roof."""
    machine = own_service()
    for name in (
        "app/1.pdf",
        "framework/sessions/x1",
        "framework/cache/data/0a",
        "logs/laravel.log",
    ):
        machine.file(f"/opt/app/storage/{name}", 1000, NOW - 60)
    found = seen(machine)
    assert ("ST04", "/opt/app/storage/app") in found
    assert ("ST03", "/opt/app/storage/framework/sessions") in found
    assert found["ST14", "/opt/app/storage/framework/cache"].blocks == ()
    assert ("LG01", "/opt/app/storage/logs") in found


def test_what_a_package_manager_of_a_language_brought_is_code():
    """Written after the release, into the middle of it."""
    machine = own_service()
    for name in (
        "node_modules/x/data.bin",
        "venv/lib/y.dat",
        "vendor/bundle/z.bin",
        "__pycache__/a",
    ):
        machine.file(f"/opt/app/{name}", 1000, NOW - 60)
    assert state(machine) == set()


def test_code_that_the_service_itself_writes_is_told():
    """Cached pages and compiled templates: ST10, and no state."""
    machine = own_service()
    machine.release("/opt/app", {f"lib/{n}.py": "" for n in range(8)}, uid=1000)
    for number in range(3):
        machine.file(f"/opt/app/pages/{number}.html", 1000, NOW - 50)
    assert ("ST10", "/opt/app/pages") in seen(machine) and state(machine) == set()
    for number in range(30):
        machine.file(f"/opt/app/lib/new{number}.py", 1000, NOW - 50)
    assert not [key for key in seen(machine) if key[0] == "ST10"], "a release without a restart"


def test_code_that_nobody_names_is_told_by_its_look():
    """A docroot that the collector did not read: its code is no state, its uploads are."""
    machine = Machine()
    machine.unit("php8.2-fpm", "www-data", FragmentPath="/lib/systemd/system/x")
    for name in ("index.php", "lib/a.php", "lib/b.php", "theme/a.css", "theme/logo.png"):
        machine.file(f"/var/www/shop/{name}", 33)
    for number in range(20):
        machine.file(f"/var/www/shop/pictures/{number}.jpg", 33, NOW - 60 - number)
    assert state(machine) == {("ST04", "/var/www/shop/pictures")}


def test_a_program_without_an_ending_is_code():
    """/srv/etl/bin/loop, beside what it writes."""
    machine = Machine()
    machine.unit("etl", "deploy", "/srv/etl", "/srv/etl/bin/loop")
    machine.file("/srv/etl/bin/loop", 1000, mode="755")
    machine.file("/srv/etl/out/1.csv", 1000, NOW - 5)
    assert state(machine) == {("ST04", "/srv/etl/out")}


def test_files_of_sessions_are_told_by_their_names():
    """Perl's CGI::Session in a folder that is called tmp."""
    machine = own_service()
    for number in range(3):
        machine.file(f"/opt/app/tmp/cgisess_{number}", 1000, NOW - 5)
    assert state(machine) == {("ST03", "/opt/app/tmp")}


def test_what_root_s_own_service_writes_is_told_by_its_time():
    """Root may write anywhere, and its files say nothing of who wrote them."""
    machine = Machine()
    machine.unit("collector", command="/usr/bin/python3 /opt/c/c.py")
    machine.file("/data/metrics/2026/11/27/a.bin", 0, NOW - 5)
    machine.file("/data/old/b.bin", 0, RELEASED)
    assert state(machine) == {("ST01", "/data/metrics/2026/11")}


def test_collected_assets_are_no_state_though_a_service_owns_them():
    """mailman3: 409 of 410 files in web/ are build output."""
    machine = Machine(users={"root": 0, "list": 38})
    machine.unit("mailman3-web", "list", FragmentPath="/lib/systemd/system/m.service")
    for number in range(30):
        machine.file(f"/var/lib/mailman3/web/static/{number}.css", 38, NOW - 50)
    assert state(machine) == set()


def test_a_script_began_when_it_began_and_not_with_its_last_sleep():
    """`while sleep 1` on a real host: what it wrote passed for what came with the code."""
    machine = Machine()
    pid = machine.unit("etl", "deploy", "/srv/etl", "/bin/sh /srv/etl/loop", began=RELEASED + 5)
    machine.process("/bin/sleep 1", 1000, "etl.service", NOW - 1, parent=pid)
    machine.release("/srv/etl", {"loop.sh": ""}, uid=1000)
    machine.file("/srv/etl/out/1.csv", 1000, RELEASED + 10)
    assert state(machine) == {("ST04", "/srv/etl/out")}


# --- by whom


@pytest.mark.parametrize("user", ["list", "proxy", "news"])
def test_a_service_that_runs_as_a_user_of_every_machine_has_state(user):
    """B1: mailman3 runs as `list`, squid as `proxy`, INN as `news`."""
    machine = Machine(users={"root": 0, user: 38})
    machine.unit("mailman3", user, FragmentPath="/lib/systemd/system/mailman3.service")
    machine.file("/var/lib/mailman3/lists/a", 38, NOW - 5)
    machine.file("/var/lib/mailman3/queue/b", 38, NOW - 5)
    assert {("ST01", "/var/lib/mailman3/lists"), ("ST08", "/var/lib/mailman3/queue")} <= state(
        machine
    )


def test_two_services_of_one_user_are_both_named_and_which_one_is_left_open():
    """B10: nginx only shares the user with php-fpm."""
    machine = Machine()
    for name in ("nginx", "php8.2-fpm"):
        machine.unit(name, "www-data", FragmentPath="/lib/systemd/system/x")
    machine.file("/var/lib/gallery/1", 33, NOW - 5)
    finding = seen(machine)["ST01", "/var/lib/gallery"]
    assert "nginx or php8.2-fpm writes into" in finding.says


def test_a_job_that_writes_there_is_named_beside_the_service_of_its_user():
    """By the owner of a folder nobody tells which of them it is."""
    machine = own_service()
    machine.file("/opt/app/data/tally.txt", 1000, NOW - 2)
    assert "job" not in seen(machine)["ST01", "/opt/app/data"].says
    machine.text("/etc/cron.d/app", "5 1 * * * deploy tally >> /opt/app/data/tally.txt\n")
    says = seen(machine)["ST01", "/opt/app/data"].says
    assert says.startswith("app or a job of /etc/cron.d/app writes")


def test_marker_files_of_packages_are_nothing_that_a_service_writes():
    """B4: `a2ensite` and apt leave empty files and their own pages, newer than the machine."""
    machine = Machine()
    machine.unit("apache2", FragmentPath="/lib/systemd/system/apache2.service")
    machine.owned["/lib/systemd/system/apache2.service"] = "apache2"
    machine.owned["/var/www/html"] = "apache2"
    machine.installed["apache2"] = NOW - 500
    machine.file("/var/lib/apache2/site/enabled_by_admin/x", 0, NOW - 500, size=0)
    machine.file("/var/www/html/index.html", 0, NOW - 480)
    assert state(machine) == set()


def test_a_skeleton_of_a_home_is_no_state():
    """A11: .bashrc and its like are nobody's data."""
    machine = own_service()
    machine.folder("/home/deploy", 1000)
    for name in (".bashrc", ".profile", ".bash_logout", ".ssh/authorized_keys"):
        machine.file(f"/home/deploy/{name}", 1000)
    assert state(machine) == set()
    machine.file("/home/deploy/exports/members.csv", 1000, NOW - 5)
    assert ("ST04", "/home/deploy/exports") in state(machine) or (
        "ST01",
        "/home/deploy/exports",
    ) in state(machine)


def test_a_new_file_deep_below_a_folder_that_nobody_owns_is_found():
    """T3: nested, and below /opt; another tool stopped at the first folder that it knew."""
    machine = own_service(folder="/srv/app")
    machine.folder("/opt", 0)
    machine.file("/opt/exports/a/b/c/new.dat", 1000, NOW - 9)
    machine.folders["/opt/exports"] = ("755", 1000, 1000)
    assert ("ST01", "/opt/exports") in state(machine)


def test_configured_sessions_in_files_that_nobody_writes_block_nothing():
    """T7: php.ini names files, the application keeps its sessions in a database of its own."""
    machine = Machine()
    machine.unit("php8.2-fpm", "www-data", FragmentPath="/lib/systemd/system/x")
    machine.text("/etc/php/8.2/fpm/php.ini", "session.save_handler = files", owner="php8.2-fpm")
    machine.folder("/var/lib/php/sessions", 0, "1733")
    machine.file("/var/lib/dbconfig-common/sqlite3/mail/mail", 33, NOW - 5)
    begins = "53514c69746520666f726d61742033"
    machine.magic["/var/lib/dbconfig-common/sqlite3/mail/mail"] = begins
    found = seen(machine)
    sessions = found["ST02", "/var/lib/php/sessions"]
    assert sessions.confidence is Confidence.CONFIGURED and not sessions.blocks
    assert ("ST03", "/var/lib/php/sessions") not in found, "each fact once"
    assert ("ST05", "/var/lib/dbconfig-common/sqlite3/mail/mail") in found


def test_sessions_of_a_module_of_httpd_are_php_s():
    """A7: on RPM hosts they came as sessions of anybody's (ST03)."""
    machine = Machine()
    machine.unit("httpd", "www-data", FragmentPath="/usr/lib/systemd/system/httpd.service")
    machine.text(
        "/etc/httpd/conf.modules.d/10-php.conf",
        "LoadModule php5_module modules/libphp5.so",
        owner="php",
    )
    machine.text(
        "/etc/httpd/conf.d/php.conf",
        'php_value session.save_handler "files"\n'
        'php_value session.save_path    "/var/lib/php/session"',
        owner="php",
    )
    machine.file("/var/lib/php/session/sess_1", 33, NOW - 5)
    machine.folder("/var/lib/php/session", 33, "770")
    found = seen(machine)
    assert found["ST02", "/var/lib/php/session"].confidence is Confidence.OBSERVED
    assert ("ST03", "/var/lib/php/session") not in found


def test_links_of_a_surveyed_host_lead_nowhere_but_into_it():
    """T1: `current` is an absolute link; this machine's own files have no say."""
    machine = own_service(folder="/srv/app/releases/r1")
    machine.links["/srv/app/current"] = "/srv/app/releases/r1"
    machine.links["/srv/app/releases/r1/uploads"] = "/etc/hostname-of-this-machine/../../data/up"
    bundle = machine.bundle()
    assert bundle.resolve("/srv/app/current/uploads") == "/data/up"
    assert bundle.resolve("/srv/app/current/../../../../etc") == "/etc"


# --- between hosts


def two(**files):
    """Two equal hosts, and what only the first has."""
    hosts = []
    for name in ("host1", "host2"):
        machine = own_service()
        machine.name = name
        hosts.append(machine)
    return hosts


def test_state_that_differs_between_hosts_is_never_drift_of_the_code():
    """F3: who accepts ST18 loses every photo, who obeys it puts them into a release."""
    first, second = two()
    for number, machine in enumerate((first, second)):
        machine.file(f"/opt/app/uploads/{number}.jpg", 1000, NOW - 50)
        machine.code["/opt/app"] |= {f"uploads/{number}.jpg": "", "app.log": str(number)}
    assert "ST18" not in {each.code for each in drift([first.view(), second.view()])}
    second.code["/opt/app"] |= {"app.py": "patched"}
    [hot] = [each for each in drift([first.view(), second.view()]) if each.code == "ST18"]
    assert "app.py" in hot.says and "uploads" not in hot.says


def test_data_that_only_its_difference_tells_is_state():
    """It came with the code, by its time, and no service was seen to write it."""
    first, second = two()
    for number, machine in enumerate((first, second)):
        machine.file(f"/opt/app/members/{number}.bin", 1000, RELEASED)
        machine.code["/opt/app"] |= {f"members/{number}.bin": ""}
    found = {each.code: each for each in drift([first.view(), second.view()])}
    assert "ST18" not in found and found["ST01"].where == "/opt/app/members"
    assert "traffic" in found["ST01"].blocks


def test_former_and_failed_releases_are_no_live_code():
    """F13: r1 lies on one host only, from a deploy that failed; `current` is a folder there."""
    first, second = two()
    for machine in (first, second):
        machine.links["/srv/x/current"] = "/srv/x/releases/r2"
        machine.release("/srv/x/releases/r2", {"a.js": "1"})
    first.release("/srv/x/releases/r1", {"a.js": "0"})
    first.text("/srv/x/releases/r1/package.json", "{}")
    assert drift([first.view(), second.view()]) == []
    assert not [key for key in seen(first) if "/releases/r1" in key[1]]


# --- what cannot be seen blocks


def test_a_host_without_a_recognised_service_blocks():
    """A6: nothing was found, because nothing was understood."""
    machine = Machine()
    machine.process("/usr/sbin/sshd -D", unit="ssh.service")
    [finding] = [each for each in findings([machine.bundle()], [], TODAY) if each.code == "SV03"]
    assert finding.blocks == ("traffic",) and "no service" in finding.says
    other = [each for each in findings([], [machine.bundle()], TODAY) if each.code == "SV03"]
    assert not other, "only a host of the fleet is there to serve"


def test_without_root_private_state_is_not_seen_and_that_blocks():
    """A9: two lines `unreadable` that block nothing are no answer."""
    machine = own_service()
    machine.root = False
    machine.folder("/var/lib/app", 1000, "700")
    [finding] = [each for each in findings([machine.bundle()], [], TODAY) if each.code == "SV04"]
    assert finding.blocks == ("traffic",) and "/var/lib/app" in str(finding.evidence)


# --- hosts without systemd


def alpine():
    machine = Machine(systemd=False, system="alpine", version="3.19", users={"root": 0, "app": 500})
    machine.process("/sbin/init", pid=1, parent=0)
    machine.process("/usr/sbin/crond -b", pid=7)
    machine.process("sh /srv/app/run.sh", uid=500, pid=20)
    machine.process("/usr/bin/python3 server.py", uid=500, pid=21, parent=20)
    machine.process("-sh", uid=500, pid=30)
    machine.cwd[21] = "/srv/app"
    return machine


def test_without_systemd_services_are_made_of_processes():
    """A6: started by /srv/app/run.sh as user `app`, writing /var/lib/app/uploads."""
    machine = alpine()
    machine.file("/var/lib/app/uploads/1.jpg", 500, NOW - 3)
    services = machine.view().services
    assert [service.name for service in services] == ["run"]
    assert services[0].uids == {500} and len(services[0].processes) == 2
    assert ("ST04", "/var/lib/app/uploads") in state(machine)
    assert "SV03" not in {each.code for each in findings([machine.bundle()], [], TODAY)}


def test_a_process_outside_any_unit_has_state_as_well():
    """`nohup` in somebody's session on a host with systemd."""
    machine = Machine()
    machine.unit("nginx", "www-data", FragmentPath="/lib/systemd/system/nginx.service")
    machine.process("/opt/q/worker", uid=1000, unit="session-3.scope")
    machine.process("-bash", uid=1000, unit="session-3.scope", parent=900)
    machine.file("/var/lib/q/jobs/1", 1000, NOW - 3)
    assert "worker" in {service.name for service in machine.view().services}
    assert any(key[1].startswith("/var/lib/q") for key in state(machine))


def test_what_is_known_of_a_folder_counts_all_that_lies_below_it():
    """A12: "0 files of 0 bytes" for a tree of uploads."""
    machine = own_service(folder="/srv/app")
    machine.folder("/srv/uploads", 1000)
    for day in ("1", "2"):
        machine.file(f"/srv/uploads/{day}/a.jpg", 1000, size=10)
    told = [trace.says for trace in traces_of(machine.view(), "/srv/uploads")]
    assert any("2 files of 20 bytes in all" in says for says in told)
