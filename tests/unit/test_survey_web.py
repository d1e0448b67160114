"""What a host serves by itself, and how its secrets are told (case B10 of the trial on hosts)."""

from __future__ import annotations

from datetime import date

import pytest

from kirikae.survey.rules import findings_of
from tests.made_host import RELEASED, Machine

TODAY = date(2026, 11, 27)
APACHE = "/etc/apache2/apache2.conf"
NGINX = "/etc/nginx/nginx.conf"


def served_by(name, path, lines):
    machine = Machine()
    machine.unit(name, command=f"/usr/sbin/{name}", FragmentPath=f"/lib/systemd/system/{name}.x")
    machine.text(path, lines)
    return machine


def told(machine, code):
    return {each.where: each for each in findings_of(machine.view(), TODAY) if each.code == code}


def test_a_site_that_is_an_alias_is_told_by_its_own_folder():
    """AS01 named the package's welcome page instead."""
    lines = 'DocumentRoot "/var/www/html"\nAlias /wiki "/var/lib/wiki"'
    machine = served_by("apache2", APACHE, lines)
    machine.file("/var/lib/wiki/index.php")
    machine.file("/var/www/html/index.html", at=RELEASED + 5)
    machine.owned["/var/www/html"] = "apache2"
    machine.installed["apache2"] = RELEASED
    found = told(machine, "AS01")
    assert list(found) == [f"{APACHE}:2"]
    assert found[f"{APACHE}:2"].says == "/wiki is served from /var/lib/wiki on the host"


def test_a_page_of_somebody_s_own_is_served():
    """The same folder, the same name, written by somebody later."""
    machine = served_by("apache2", APACHE, 'DocumentRoot "/var/www/html"')
    machine.file("/var/www/html/index.html", at=RELEASED + 86400)
    machine.owned["/var/www/html"] = "apache2"
    machine.installed["apache2"] = RELEASED
    assert list(told(machine, "AS01")) == ["/var/www/html"]


@pytest.mark.parametrize(
    ("lines", "at", "says"),
    [
        ("location /m/ { alias /srv/m/; }", 1, "/m/ is served from /srv/m/ on the host"),
        ("location /m/ {\n  alias /srv/m/;\n}", 2, "/m/ is served from /srv/m/ on the host"),
        ("location ^~ /m/ {\n  root /srv;\n}", 2, "/m/ is served from /srv on the host"),
        (
            "location /m/ {\n  if ($x) {\n return 403;\n }\n  alias /srv/m/;\n}",
            5,
            "/m/ is served from /srv/m/ on the host",
        ),
    ],
)
def test_a_location_may_be_written_on_several_lines(lines, at, says):
    """nginx does not mind."""
    found = told(served_by("nginx", NGINX, lines), "AS01")
    assert {each.says for each in found.values()} == {says}
    assert list(found) == [f"{NGINX}:{at}"]


def test_what_a_package_s_own_settings_serve_is_not_told():
    """Apache's icons come with Apache."""
    machine = served_by("apache2", APACHE, "IncludeOptional mods-enabled/*.conf")
    path = "/etc/apache2/mods-enabled/alias.conf"
    machine.text(path, 'Alias /icons/ "/usr/share/apache2/icons/"', owner="apache2")
    assert told(machine, "AS01") == {}


def test_secrets_of_one_file_are_one_finding_with_all_its_lines():
    """It stood three times in the list, each time with the same words."""
    machine = Machine()
    machine.unit("shop", user="deploy", folder="/srv/shop", command="/usr/bin/shopd")
    lines = ["a = <masked:aa>", "b = 1", "c = <masked:bb>", "# d = <masked:cc>", "e = <masked:dd>"]
    machine.text("/etc/shop/config.inc.php", "\n".join(lines))
    [(where, found)] = told(machine, "CF12").items()
    assert where == "/etc/shop/config.inc.php" and found.count == 3
    assert found.says.endswith("holds secrets in clear text (lines 1, 3, 5)")
    assert [trace.line for trace in found.evidence] == [1, 3, 5]
