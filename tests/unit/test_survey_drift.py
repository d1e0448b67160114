"""Hosts of one role are compared by majority; own configuration is always told; what was not looked
at is never missing."""

from __future__ import annotations

from datetime import date

import pytest

from kirikae.survey.fleet import drift
from kirikae.survey.rules import findings_of
from kirikae.survey.survey import merged
from tests.made_host import NOW, RELEASED, Machine

TODAY = date(2026, 11, 21)


def seen(machine):
    found = merged(findings_of(machine.view(), TODAY))
    return {(each.code, each.where): each for each in found}


def fleet(many=2):
    machines = []
    for number in range(1, many + 1):
        machine = Machine(name=f"host{number}")
        machine.unit(
            "app", "deploy", "/opt/app", EnvironmentFiles="/etc/default/app (ignore_errors=no)"
        )
        machine.text("/etc/default/app", "MODE=live")
        machines.append(machine)
    return machines


def unlike(machines):
    return {(each.code, each.where): each for each in drift([m.view() for m in machines])}


# --- own configuration


@pytest.mark.parametrize(
    "path",
    [
        "/etc/systemd/system/app.service",
        "/etc/systemd/system/nginx.service.d/limits.conf",
        "/etc/security/limits.d/app.conf",
        "/etc/php/8.2/fpm/pool.d/shop.conf",
        "/etc/nginx/conf.d/shop.conf",
        "/etc/nginx/sites-enabled/shop",
        "/etc/sysctl.d/99-app.conf",
    ],
)
def test_own_files_in_folders_of_packages_are_told(path):
    """A2, B5: also beside a package that was installed in the same minute, and does not run."""
    machine = fleet(1)[0]
    for folder in ("systemd", "security", "php", "nginx", "sysctl.d"):
        machine.owned[f"/etc/{folder}"] = f"{folder}-common"
        machine.installed[f"{folder}-common"] = RELEASED
    machine.text(path, "a = 1")
    assert ("CF04", path) in seen(machine)


def test_what_a_package_s_scripts_wrote_is_not_told_until_somebody_touches_it():
    """B5: main.cf.proto, dynamicmaps.cf; a cluster of PostgreSQL, whether it runs or not."""
    machine = fleet(1)[0]
    for folder, package in (("postfix", "postfix"), ("postgresql", "postgresql-common")):
        machine.owned[f"/etc/{folder}"] = package
    machine.installed |= {"postfix": RELEASED, "postgresql-common": 5, "postgresql-15": RELEASED}
    written = ("/etc/postfix/main.cf.proto", "/etc/postgresql/15/main/pg_hba.conf")
    for path in written:
        machine.text(path, "a = 1")
    assert not [key for key in seen(machine) if key[0] == "CF04" and key[1] in written]
    later = fleet(1)[0]
    later.owned, later.installed = machine.owned, machine.installed
    later.texts["/etc/postgresql/15/main/pg_hba.conf"] = "a = 2"
    later.file("/etc/postgresql/15/main/pg_hba.conf", at=NOW - 50)
    assert ("CF04", "/etc/postgresql/15/main/pg_hba.conf") in seen(later)


def test_prose_is_no_setting():
    """A7: ten findings were the sentences of README.sysctl."""
    machine = fleet(1)[0]
    machine.text("/etc/sysctl.d/README.sysctl", "Kernel settings are read from here = yes")
    machine.text("/etc/sysctl.d/own.conf", "vm.swappiness = 1\nsome words")
    machine.text("/etc/security/limits.d/README", "deploy hard nofile 5")
    found = [key for key in seen(machine) if key[0] in ("PR15", "PR14", "CF04")]
    assert ("PR15", "/etc/sysctl.d/own.conf:1") in found
    assert not [where for code, where in found if "README" in where]
    assert sum(code == "PR15" for code, _ in found) == 1


def test_a_default_of_a_package_s_is_nobody_s_choice():
    """B10: HTCACHECLEAN_PATH of Debian's own /etc/default/apache-htcacheclean."""
    machine = fleet(1)[0]
    machine.text("/etc/default/app", "CACHE=/var/cache/x", owner="app")
    assert ("CF11", "CACHE") not in seen(machine)
    machine.changed.append(("conffile", "modified", "/etc/default/app"))
    assert ("CF11", "CACHE") in seen(machine)


def test_thirty_files_of_one_moment_are_thirty_files():
    """T2: another tool took files with one time for a package's."""
    machine = fleet(1)[0]
    machine.owned["/etc/nginx"] = "nginx"
    machine.installed["nginx"] = RELEASED
    for number in range(30):
        machine.text(f"/etc/nginx/conf.d/{number}.conf", "server {}")
    assert sum(key[0] == "CF04" and "/conf.d/" in key[1] for key in seen(machine)) == 30


def test_usr_merge_makes_nothing_unowned():
    """T5: /bin is /usr/bin, and dpkg knows only one of the two names."""
    machine = fleet(1)[0]
    machine.owned["/bin/ls"] = "coreutils"
    bundle = machine.bundle()
    assert bundle.owner("/usr/bin/ls") == "coreutils" and bundle.owner("/bin/ls") == "coreutils"


def test_hosts_that_variables_name_are_peers():
    """A7: DB_HOST and SMTP_HOST of an environment file."""
    machine = fleet(1)[0]
    text = "DB_HOST=db.internal\nSMTP_HOST=localhost\nCACHE_URL=redis://127.0.0.1:6379/0\nHOST=a b"
    machine.texts["/etc/default/app"] = text
    found = seen(machine)
    assert ("NW02", "db.internal") in found
    assert ("ML01", "/etc/default/app:SMTP_HOST") in found
    assert ("CF16", "/etc/default/app:CACHE_URL") in found


def test_mail_that_arrives_blocks_and_mail_that_starts_a_program_is_told():
    """ML03, ML04: roundcube and mailman had neither."""
    machine = fleet(1)[0]
    machine.text("/etc/aliases", 'root: ann\nsupport: "|/opt/desk/take"')
    machine.file("/home/deploy/Maildir/new/1", 1000)
    found = seen(machine)
    assert found["ML03", "/etc/aliases"].count == 1
    assert found["ML04", "/home/deploy/Maildir/new"].blocks == ("traffic",)


def test_figures_that_fit_the_machine_are_told_from_configuration_too():
    """CF21: pm.max_children of 40 and 150."""
    machine = fleet(1)[0]
    machine.text("/etc/php/8.2/fpm/pool.d/shop.conf", "[shop]\npm.max_children = 150")
    assert ("CF21", "/etc/php/8.2/fpm/pool.d/shop.conf:2") in seen(machine)


def test_where_no_packages_are_known_nothing_is_said_to_be_in_none():
    """A7: 66 false findings on one host."""
    machine = fleet(1)[0]
    machine.text("/etc/login.defs", "UMASK 022")
    assert ("CF04", "/etc/login.defs") in seen(machine)
    machine.more += ["@missing packages", "|neither dpkg nor rpm nor apk is here"]
    assert ("CF04", "/etc/login.defs") not in seen(machine)


# --- rpm


def test_files_of_rpm_packages_are_told_from_own_ones():
    """A7: 66 of 128 findings said that httpd's own files are in no package."""
    machine = fleet(1)[0]
    machine.system, machine.version = "amzn", "2"
    machine.text("/etc/httpd/conf/httpd.conf", "Listen 80", owner="httpd")
    machine.text("/etc/httpd/conf.d/own.conf", "Listen 81")
    machine.text("/etc/sysconfig/httpd", "A=1", owner="httpd")
    machine.changed.append(("conffile", "modified", "/etc/sysconfig/httpd"))
    found = seen(machine)
    assert ("CF04", "/etc/httpd/conf/httpd.conf") not in found
    assert ("CF04", "/etc/httpd/conf.d/own.conf") in found
    assert ("CF01", "/etc/sysconfig/httpd") in found


@pytest.mark.parametrize(
    ("package", "version", "name", "command"),
    [
        ("php", "5.4.16-48.amzn2", "PHP 5.4", "/usr/sbin/php-fpm"),
        ("ruby", "2.0.0.648-36.amzn2", "Ruby 2.0", "/usr/bin/ruby a.rb"),
        ("nodejs", "18.19.0+dfsg-6~deb12u2", "Node.js 18", "/usr/bin/node a.js"),
        ("nodejs", "2:18.12.1-1", "Node.js 18", "/usr/bin/npm start"),
        ("php8.2-common", "8.2.7-1", "PHP 8.2", "/usr/sbin/php-fpm8.2"),
        ("ruby3.1", "3.1.2-7", "Ruby 3.1", "/usr/bin/puma"),
        ("python3", "3.7.16-1.amzn2", "Python 3.7", "/usr/bin/gunicorn a"),
    ],
)
def test_the_end_of_every_runtime_that_serves_is_known(package, version, name, command):
    """F15: the one end that matters for a service of Node; what only lies there has none."""
    machine = fleet(1)[0]
    machine.packages[package] = version
    assert ("PR13", name) not in seen(machine)
    machine.unit("shop", "deploy", command=command)
    assert ("PR13", name) in seen(machine)


@pytest.mark.parametrize(
    ("exe", "name"),
    [
        ("/opt/node-v16.20.0-linux-x64/bin/node", "Node.js 16"),
        ("/home/deploy/.nvm/versions/node/v18.19.1/bin/node", "Node.js 18"),
        ("/home/deploy/.rbenv/versions/2.7.6/bin/ruby", "Ruby 2.7"),
        ("/home/deploy/.plenv/versions/5.16.3/bin/perl", "Perl 5.16"),
        ("/home/deploy/.pyenv/versions/3.8.1/bin/python", "Python 3.8"),
    ],
)
def test_runtimes_that_no_package_brought_have_ends_too(exe, name):
    machine = Machine()
    machine.unit("app", "deploy", "/opt/app", f"{exe} server")
    assert ("PR13", name) in seen(machine)


def test_perl_counts_only_where_it_serves():
    """It is on every Debian."""
    machine = fleet(1)[0]
    machine.packages["perl"] = "5.36.0-7"
    assert ("PR13", "Perl 5.36") not in seen(machine)
    machine.unit("shop", "deploy", command="/usr/bin/perl /srv/shop/app.psgi")
    assert ("PR13", "Perl 5.36") in seen(machine)


@pytest.mark.parametrize("version", ["3.19", "3.19.1"])
def test_a_system_is_known_by_its_series(version):
    machine = Machine(system="alpine", version=version)
    assert ("PR13", "Alpine 3.19") in seen(machine)


# --- between hosts


def test_unit_files_drop_ins_and_the_environment_are_compared():
    """A8: they were missed."""
    machines = fleet()
    for machine, nofile in zip(machines, ("1024", "65536"), strict=True):
        machine.text("/etc/systemd/system/app.service.d/x.conf", f"[Service]\nLimitNOFILE={nofile}")
        machine.units[0]["LimitNOFILE"] = nofile
    machines[1].texts["/etc/default/app"] = "MODE=test"
    found = unlike(machines)
    assert "65536" in found["CF05", "/etc/systemd/system/app.service.d/x.conf"].says
    assert "host2: test" in found["CF10", "variable MODE of app"].says
    assert ("CF23", "limit LimitNOFILE of app") in found


def test_time_zone_users_and_services_are_compared():
    """A8: the uid of the service's user, the time zone; a server that is stopped on one host."""
    machines = fleet()
    machines[1].zone = "Asia/Tokyo"
    machines[1].users = {"root": 0, "www-data": 33, "deploy": 1001}
    machines[1].units[0]["User"] = "deploy"
    machines[0].unit("postgresql@15-main", "www-data", FragmentPath="/lib/systemd/system/p")
    found = unlike(machines)
    assert "Asia/Tokyo" in found["CF23", "the time zone"].says
    assert "uid 1001" in found["CF23", "user deploy"].says
    assert "host2: does not run" in found["CF23", "service postgresql@15-main"].says


def test_a_user_that_serves_on_one_host_only_is_there_on_the_other():
    """It owns no process there, and that is no difference of the user."""
    machines = fleet()
    machines[0].unit("web", "www-data", FragmentPath="/lib/systemd/system/w")
    assert ("CF23", "user www-data") not in unlike(machines)


def test_files_of_a_server_that_is_stopped_are_there():
    """A4: six false findings that block, on two hosts with equal files."""
    machines = fleet()
    for machine in machines:
        machine.owned["/etc/postgresql"] = "postgresql-common"
        machine.text("/etc/postgresql/15/main/pg_hba.conf", "local all all peer")
    machines[0].unit("postgresql@15-main", FragmentPath="/lib/systemd/system/p")
    assert not [key for key in unlike(machines) if key[0] == "CF05"]


def test_what_was_not_looked_at_is_not_missing():
    """A file that could not be read, packages that nobody listed, a host without a tree."""
    machines = fleet()
    machines[0].text("/etc/app.conf", "a=1")
    machines[1].more += ["@missing /etc/app.conf", "|permission denied"]
    machines[0].packages["nginx"] = "1"
    assert not [key for key in unlike(machines) if key[1] in ("/etc/app.conf", "packages")]
    machines[1].more = []
    evidence = unlike(machines)["CF05", "/etc/app.conf"].evidence
    assert [(trace.host, trace.says) for trace in evidence][1] == ("host2", "not there")


def test_the_majority_is_named():
    """Of three hosts one is another: that one is named, with what it has."""
    machines = fleet(3)
    for machine, text in zip(machines, ("a=1", "a=1", "a=2"), strict=True):
        machine.text("/etc/app.conf", text)
        machine.zone = "Etc/UTC" if text == "a=1" else "Asia/Tokyo"
    found = unlike(machines)
    assert "differs on host3 from the other 2" in found["CF05", "/etc/app.conf"].says
    assert found["CF23", "the time zone"].says == (
        "the time zone is not the same: host3: Asia/Tokyo; the other 2: Etc/UTC"
    )


def test_packaged_files_that_are_gone_or_changed_are_told():
    """A8: /usr/bin/curl was deleted on one host; a hot patch of a packaged file."""
    machine = fleet(1)[0]
    machine.owned["/usr/bin/curl"] = "curl"
    machine.changed.append(("packaged", "missing", "/usr/bin/curl"))
    machine.changed.append(("packaged", "modified", "/usr/lib/python3/dist-packages/x.py"))
    found = seen(machine)
    assert found["CF03", "/usr/bin/curl"].says == "/usr/bin/curl is gone"
    assert ("CF03", "/usr/lib/python3/dist-packages/x.py") in found


# --- false findings


@pytest.mark.parametrize(
    ("name", "line", "code"),
    [
        ("package-lock.json", '"lockfileVersion": 3,', "ST09"),
        ("a.php", "$lockfail = 1;", "ST09"),
        ("a.js", "app.listen(port, '127.0.0.1')", "CF16"),
        ("a.php", "if ($_SERVER['REMOTE_ADDR'] == '127.0.0.1')", "CF16"),
        ("locale/de/x.php", "'sendmail fehlt'", "ML01"),
        ("a.css", 'input[type="password"]', "CF12"),
    ],
)
def test_words_that_say_nothing_of_what_the_code_does(name, line, code):
    """F14, B9."""
    machine = fleet(1)[0]
    machine.release("/opt/app", {name: line})
    assert code not in {key[0] for key in seen(machine)}


def test_each_line_of_code_counts_once():
    """F14: `current` and the folder around it are both read."""
    machine = fleet(1)[0]
    machine.links["/srv/x/current"] = "/srv/x/releases/r1"
    machine.release("/srv/x/releases/r1", {"a.py": "fcntl.lockf(f)"})
    machine.code["/srv/x"] = {"releases/r1/a.py": "fcntl.lockf(f)"}
    [found] = [each for key, each in seen(machine).items() if key[0] == "ST09"]
    assert found.count == 1


def test_logs_are_told_of_who_writes_them():
    """F14, F17: nginx only shares the group adm, or the user of an empty folder."""
    machine = Machine(groups={"adm": (4, "www-data")})
    machine.unit("nginx", "www-data", FragmentPath="/lib/systemd/system/nginx.service")
    machine.unit("postgresql@15-main", "deploy", FragmentPath="/lib/systemd/system/p")
    machine.folder("/var/log/postgresql", 0, "775", gid=4)
    machine.file("/var/log/postgresql/x.log", 1000, NOW - 5)
    machine.folder("/var/log/gunicorn", 33)
    machine.folder("/var/log/nginx", 33)
    found = seen(machine)
    assert found["LG01", "/var/log/postgresql"].says.startswith("postgresql@15-main writes")
    assert "is empty" in found["LG01", "/var/log/nginx"].says
    assert ("LG01", "/var/log/gunicorn") not in found


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ("cap_net_bind_service", None),
        ("cap_net_bind_service cap_net_admin", "cap_net_admin"),
        ("CAP_SYS_PTRACE", None),
        ("", None),
    ],
)
def test_rights_that_a_task_does_not_get_are_told(asked, more):
    """What an engine gives by default is none of them."""
    machine = Machine()
    machine.unit("vpn", "deploy", AmbientCapabilities=asked)
    says = [each.says for each in findings_of(machine.view(), TODAY) if each.code == "PR10"]
    assert says == ([f"vpn needs {more}"] if more else [])
