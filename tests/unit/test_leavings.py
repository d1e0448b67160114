"""What lives on a host that goes: a box for each job, backup, mail and worker, in every removal
plan, of a host with everything that can run by time."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.leavings import what_lives_there
from kirikae.console.speech import Speech
from kirikae.model.shown import code_span
from tests.made_host import Machine

PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://old1"]}
  new: {cluster: shop, ecs_service: web, target_group: b}
moves:
  web: {kind: traffic, router: {listener_rule: shop/main}}
"""
USERS = """\
0 6 * * 1 /home/deploy/report.sh | mail -s report boss@example.jp
@reboot /home/deploy/poller
"""
SHOP = """\
MAILTO=ops@example.jp
*/5 * * * * www-data /srv/shop/bin/score
30 2 * * * root pg_dump shop | gzip >/backup/shop.sql.gz
"""


def host() -> Machine:
    """Crontabs of the system and of a user, anacron, a timer, `at`, a mail server, Celery."""
    made = Machine(name="old1")
    made.packages |= {"cron": "3.0pl1", "anacron": "2.3", "exim4-daemon-light": "4.96"}
    made.unit("cron", command="/usr/sbin/cron -f", FragmentPath="/lib/systemd/system/cron.service")
    made.schedule("/etc/crontab", "5 3 * * * root /opt/bin/rotate-keys\n", owner="cron")
    made.schedule("/etc/cron.d/shop", SHOP)
    made.schedule("/var/spool/cron/crontabs/deploy", USERS, mode="600", uid=1000)
    made.text("/etc/anacrontab", "7 10 weekly /opt/bin/weekly")
    made.timer("mirror")
    made.unit("mirror", command="/opt/bin/mirror --all", began=0)
    made.text("/var/spool/cron/atjobs/a0001", "#!/bin/sh\ncd /root\n/opt/bin/once")
    made.unit(
        "exim4", command="/usr/sbin/exim4 -bd", FragmentPath="/lib/systemd/system/exim4.service"
    )
    made.unit("celery@1", user="www-data", command="/usr/bin/celery -A shop worker")
    return made


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[list[str]]:
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    kept = tmp_path / ".kirikae/bundles/old1"
    kept.mkdir(parents=True)
    text = "\n".join(host().lines()) + "\n"
    (kept / "20261121T000000Z.gz").write_bytes(gzip.compress(text.encode()))
    here = Here(str(tmp_path / "kirikae.yml"))
    told = what_lives_there(here, load_project(here), Speech("en"))
    yield [line for line in told if line.startswith("- [ ] ")]


@pytest.mark.parametrize(
    "what",
    [
        "/etc/crontab:1: `5 3",
        "/etc/cron.d/shop:2:",
        "/etc/cron.d/shop:3:",
        "deploy:1: `0 6",
        "deploy:2: `@reboot",
        "/etc/anacrontab:1:",
        "mirror.timer:",
        "/opt/bin/once",
        "a job makes a backup",
        "a mail server runs here",
        "a job sends mail through the host",
        "ops@example.jp is told by mail",
        "a worker takes jobs from a queue",
    ],
)
def test_what_lives_on_a_host_has_a_box(boxes, what):
    """Exactly one: a list that says things twice is not worked off."""
    assert len([line for line in boxes if what in line]) == 1, "\n".join(boxes)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("* * * * * a >> b", "`* * * * * a >> b`"),
        ("a `date` b", "``a `date` b``"),
        ("`date`", "`` `date` ``"),
        ("a\nb", "`a b`"),
    ],
)
def test_a_command_between_backticks_is_the_command(command, shown):
    """Whoever copies a line out of the list gets what stands in the crontab, and no backslashes."""
    assert code_span(command) == shown


def test_a_line_of_a_crontab_stands_there_as_it_is(boxes):
    assert any("`*/5 * * * * " in line for line in boxes), boxes
