"""Every source of schedules is read; what is never run is told as dead, with the reason."""

from __future__ import annotations

from datetime import date

import pytest

from kirikae.survey.fleet import single_points
from kirikae.survey.rules import findings_of
from tests.made_host import NOW, Machine

TODAY = date(2026, 11, 21)


def seen(machine, *codes):
    return {
        (each.code, each.where): each
        for each in findings_of(machine.view(), TODAY)
        if each.code in codes
    }


def host(**more):
    machine = Machine(**more)
    machine.process("/usr/sbin/cron -f", unit="cron.service")
    return machine


GOOD = "*/5 * * * * root /opt/x/job\n"


# --- files


def test_what_cron_passes_over_is_dead_and_no_job():
    """F2, proven with Debian's cron itself: of these, only okjob ran."""
    machine = host()
    machine.schedule("/etc/cron.d/okjob", GOOD)
    machine.schedule("/etc/cron.d/dot.ted", GOOD)
    machine.schedule("/etc/cron.d/loose", GOOD, mode="666")
    machine.schedule("/etc/cron.d/others", GOOD, uid=1000)
    machine.schedule("/etc/cron.d/badminute", GOOD + "70 * * * * root x\n")
    machine.schedule("/etc/cron.d/nobody", "* * * * * ghost x\n")
    machine.schedule("/etc/cron.d/nouser", "* * * * * /opt/x/job\n")
    machine.schedule("/var/spool/cron/crontabs/root", "* * * * * /opt/y")
    machine.schedule("/var/spool/cron/crontabs/gone", "* * * * * /opt/y\n")
    found = seen(machine, "JB01", "JB15")
    assert {where for code, where in found if code == "JB01"} == {"/etc/cron.d/okjob"}
    dead = {where: each.says for (code, where), each in found.items() if code == "JB15"}
    assert len(dead) == 8
    assert "because of line 2: `70` leaves 0 to 59" in dead["/etc/cron.d/badminute"]
    assert "mode 666" in dead["/etc/cron.d/loose"] and "dot.ted" in dead["/etc/cron.d/dot.ted"]
    assert "does not end with a line break" in dead["/var/spool/cron/crontabs/root"]
    assert "there is no user ghost" in dead["/etc/cron.d/nobody"]


def test_cronie_passes_over_the_line_and_not_the_file():
    """Amazon Linux: names may have dots; what rpm left does not count."""
    machine = host(system="amzn", version="2")
    machine.schedule("/etc/cron.d/dot.ted", GOOD + "70 * * * * root x\n")
    machine.schedule("/etc/cron.d/old.rpmsave", GOOD)
    machine.schedule("/var/spool/cron/root", "* * * * * /opt/y\n")
    found = seen(machine, "JB01", "JB15")
    assert {where for code, where in found if code == "JB01"} == {
        "/etc/cron.d/dot.ted",
        "/var/spool/cron/root",
    }
    assert {where for code, where in found if code == "JB15"} == {
        "/etc/cron.d/dot.ted",
        "/etc/cron.d/old.rpmsave",
    }


def test_where_no_cron_runs_its_jobs_are_dead():
    machine = Machine()
    machine.process("/usr/sbin/sshd")
    machine.schedule("/etc/cron.d/x", GOOD)
    assert "no cron runs" in seen(machine, "JB15")["JB15", "cron"].says


def test_a_cron_whose_file_may_not_be_read_runs_all_the_same():
    """Without root, /proc tells the command of root's processes, and not their file."""
    machine = Machine(root=False)
    machine.process("/usr/sbin/cron -f", exe="")
    machine.schedule("/etc/cron.d/x", GOOD)
    assert ("JB15", "cron") not in seen(machine, "JB15")


def test_a_job_added_to_a_file_of_a_package_is_somebody_s():
    """/etc/crontab is the package's, and the most usual place for a line of one's own."""
    machine = host()
    machine.schedule(
        "/etc/crontab", "17 * * * * root run-parts /etc/cron.hourly\n" + GOOD, owner="cron"
    )
    machine.changed.append(("conffile", "modified", "/etc/crontab"))
    found = seen(machine, "JB01")["JB01", "/etc/crontab"]
    assert found.count == 1 and "package" not in found.says


def test_jobs_of_packaged_applications_are_jobs_and_housekeeping_is_told_as_such():
    """B2: mailman3's own, beside logrotate's and PHP's."""
    machine = host()
    machine.schedule(
        "/etc/cron.d/mailman3-web", "* * * * * list flock -n /run/x true\n", owner="mailman3-web"
    )
    machine.users["list"] = 38
    machine.schedule(
        "/etc/cron.d/php", "09,39 * * * * root /usr/lib/php/sessionclean\n", owner="php-common"
    )
    machine.schedule("/etc/cron.daily/logrotate", "#!/bin/sh\n", "755", owner="logrotate")
    found = seen(machine, "JB01", "JB11", "ST09", "JB04")
    assert "of package mailman3-web" in found["JB01", "/etc/cron.d/mailman3-web"].says
    assert ("ST09", "/etc/cron.d/mailman3-web") in found
    assert found["JB11", "housekeeping"].count == 2
    assert single_points([machine.view()])[0].count == 1


# --- run-parts, anacron


def test_own_scripts_of_run_parts_are_jobs_and_those_it_passes_over_are_dead():
    """F1: cron.hourly, daily, weekly, monthly; a name with a dot, no program, a link to nothing."""
    machine = host()
    for period in ("hourly", "daily", "weekly", "monthly"):
        machine.schedule(f"/etc/cron.{period}/own-{period}", "#!/bin/sh\n", "755")
    machine.schedule("/etc/cron.daily/report.sh", "#!/bin/sh\n", "755")
    machine.schedule("/etc/cron.daily/norun", "#!/bin/sh\n", "644")
    machine.links["/etc/cron.daily/link"] = "/opt/gone"
    machine.cron["/etc/cron.daily/link"] = ("", "", True)
    found = seen(machine, "JB01", "JB15")
    assert {where for code, where in found if code == "JB01"} == {
        f"/etc/cron.{period}" for period in ("hourly", "daily", "weekly", "monthly")
    }
    assert {where for code, where in found if code == "JB15"} == {
        f"/etc/cron.daily/{name}" for name in ("report.sh", "norun", "link")
    }


def test_a_folder_that_nobody_runs_is_dead():
    """Its line was taken out of /etc/crontab, and anacron has none."""
    machine = host()
    machine.schedule("/etc/crontab", "17 * * * * root run-parts /etc/cron.hourly\n")
    machine.schedule("/etc/cron.daily/own", "#!/bin/sh\n", "755")
    assert (
        "neither /etc/crontab nor anacron"
        in seen(machine, "JB15")["JB15", "/etc/cron.daily/own"].says
    )


def test_own_lines_of_anacron_are_jobs():
    machine = host()
    machine.text(
        "/etc/anacrontab",
        "SHELL=/bin/sh\n1 5 cron.daily run-parts /etc/cron.daily\n7 10 own /opt/x",
    )
    assert seen(machine, "JB01")["JB01", "/etc/anacrontab"].count == 1


# --- timers, at, applications


def test_own_timers_and_those_of_packaged_applications_are_jobs():
    """F1, B2: roundcube's gc runs by a timer alone; apt's is housekeeping."""
    machine = host()
    machine.timer("report")
    machine.activated.append(
        {
            "Id": "report.service",
            "FragmentPath": "/etc/x",
            "ExecStart": "{ path=/opt/r ; argv[]=/opt/r -a ; }",
        }
    )
    machine.timer("roundcube-gc", own=False)
    machine.owned["/lib/systemd/system/roundcube-gc.timer"] = "roundcube-core"
    machine.timer("apt-daily", own=False)
    found = seen(machine, "JB01", "JB11")
    report = found["JB01", "report.timer"]
    assert "OnCalendar=*-*-* 04:00:00: /opt/r -a" in str(report.evidence)
    assert "roundcube-core" in found["JB01", "roundcube-gc.timer"].says
    assert found["JB11", "housekeeping"].count == 1


def test_a_timer_that_does_not_wait_is_dead():
    machine = host()
    machine.timer("off", ActiveState="inactive", UnitFileState="disabled")
    machine.timer("empty")
    machine.activated.append({"Id": "empty.service", "FragmentPath": ""})
    found = seen(machine, "JB15", "JB01")
    assert "disabled" in found["JB15", "off.timer"].says
    assert "is not there" in found["JB15", "empty.timer"].says
    assert not [key for key in found if key[0] == "JB01"]


def test_a_line_that_leaves_its_work_to_a_timer_is_no_second_job():
    """JB02: does nothing where systemd runs; T6."""
    machine = host()
    line = "09 * * * * root [ -d /run/systemd/system ] || /usr/lib/roundcube/gc\n"
    machine.schedule("/etc/cron.d/roundcube", line, owner="roundcube-core")
    found = seen(machine, "JB01", "JB02")
    assert list(found) == [("JB02", "/etc/cron.d/roundcube")]
    machine.systemd = False
    assert list(seen(machine, "JB01", "JB02")) == [("JB01", "/etc/cron.d/roundcube")]


def test_commented_lines_are_switched_off_jobs_and_boxes_of_comments_are_none():
    """T6, JB03."""
    machine = host()
    text = "# +---- minute\n# a b c d e f\n#*/5 * * * * root /opt/old\n" + GOOD
    machine.schedule("/etc/cron.d/x", text)
    found = seen(machine, "JB03", "JB01")
    assert found["JB03", "/etc/cron.d/x"].count == 1 and found["JB01", "/etc/cron.d/x"].count == 1


def test_jobs_of_at_wait():
    machine = host()
    machine.text("/var/spool/cron/atjobs/a0001", "#!/bin/sh\numask 22\n/opt/x/once")
    assert "/opt/x/once" in str(seen(machine, "JB14")["JB14", "at"].evidence)


@pytest.mark.parametrize(
    "line",
    ["cd /srv/x && php artisan schedule:run", "php /srv/x/occ cron.php", "drush -q cron"],
)
def test_an_application_s_own_scheduler_is_told(line):
    machine = host()
    machine.schedule("/etc/cron.d/x", f"* * * * * root {line}\n")
    assert ("JB16", "/etc/cron.d/x:1") in seen(machine, "JB16")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/srv/x/package.json", '  "node-cron": "^3.0.0",'),
        ("/srv/x/Gemfile", "gem 'whenever', require: false"),
        ("/srv/x/requirements.txt", "APScheduler==3.10"),
    ],
)
def test_libraries_that_run_jobs_are_told(path, text):
    machine = host()
    machine.text(path, text)
    assert ("JB16", f"{path}:1") in seen(machine, "JB16")
    machine.texts[path] = '"lodash": "1"'
    assert not seen(machine, "JB16")


def test_a_celery_beat_is_a_scheduler():
    machine = host()
    machine.unit("beat", "deploy", command="/srv/x/bin/celery -A shop beat", began=NOW - 5)
    assert ("JB16", "beat.service") in seen(machine, "JB16")
