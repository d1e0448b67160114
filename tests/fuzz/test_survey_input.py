"""What a host's files may hold: every reader of the survey takes any text, raises nothing that is
not its own, and loses no line without saying so."""

from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kirikae.model.bundle import Watched
from kirikae.survey import rows
from kirikae.survey.bundles import read
from kirikae.survey.errors import BundleProblem
from kirikae.survey.offline import bundle_of
from kirikae.survey.sections import Sections
from kirikae.survey.survey import findings
from kirikae.survey.trees import Entry
from kirikae.survey.watch import Look, Watch, look_from, watch_from

SEED = 20261127
KEYS = ("a" * 64, "b" * 64)
PATHS = (
    "/etc/passwd",
    "/etc/group",
    "/etc/fstab",
    "/etc/os-release",
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d/a",
    "/etc/cron.daily/a",
    "/var/spool/cron/crontabs/www-data",
    "/etc/systemd/system/a.service",
    "/etc/systemd/system/a.service.d/b.conf",
    "/etc/systemd/system/a.timer",
    "/etc/systemd/system/multi-user.target.wants/a.service",
    "/etc/init.d/a",
    "/etc/conf.d/a",
    "/etc/runlevels/default/a",
    "/etc/nginx/nginx.conf",
    "/etc/nginx/sites-enabled/a",
    "/etc/apache2/sites-enabled/a.conf",
    "/etc/php/8.2/fpm/php.ini",
    "/etc/php/8.2/fpm/pool.d/a.conf",
    "/etc/supervisor/conf.d/a.conf",
    "/etc/postfix/main.cf",
    "/etc/aliases",
    "/etc/logrotate.d/a",
    "/etc/rsyslog.d/a.conf",
    "/etc/sudoers.d/a",
    "/etc/sysctl.d/a.conf",
    "/etc/security/limits.d/a.conf",
    "/etc/hosts",
    "/etc/default/a",
    "/srv/a/app.py",
    "/srv/a/package.json",
    "/srv/a/.env",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/info/a.list",
    "/var/lib/dpkg/info/a.md5sums",
    "/var/lib/dpkg/diversions",
    "/var/lib/ucf/hashfile",
    "/var/lib/ucf/registry",
    "/var/lib/apt/extended_states",
    "/lib/apk/db/installed",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/rpmdb.sqlite",
)
"""Every kind of file that a reader of its own reads."""
PIECES = (
    *("Package: a", "Status: install ok installed", "Conffiles:", " /etc/a 00", "P:a", "F:etc"),
    *("[Service]", "ExecStart=", "ExecStart=/srv/a/b", "User=%i", "OnCalendar=", "Environment=A=b"),
    *("* * * * * a b", "@reboot x", "MAILTO=", "CRON_TZ=x", "*/0 * * * * x", "60 24 32 13 8 a b"),
    *("server {", "root /srv/a;", "include *;", "listen [::]:80;", "}", "location ~ {", '"', "'"),
    *("<VirtualHost *:80>", "DocumentRoot", "Alias /a", "session.save_path = 5;/tmp", "env[A] = $"),
    *("a:b:c:d:e:f:g", "root:x:0:0::/:/bin/sh", "x:99999999999999999999:1::::", 'command="$A"'),
    *("A=${A}", "${", "$A_SECRET", "\\", "%", "\x00", "\x01", "\x02", "@text x", "|", "@end"),
)
TEXT = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(max_size=30)),
    max_size=8,
).map("\n".join)


class Tree:
    """A tree that holds whatever it is given."""

    def __init__(self, texts):
        self.lost = []
        self._texts = {path: text.encode("utf-8", "replace") for path, text in texts.items()}
        self.entries = {"/": Entry("/", "d", 0o755, 0, 0, 0, 1, 1)}
        for path, raw in self._texts.items():
            self.entries[path] = Entry(path, "f", 0o644, 0, 0, len(raw), 1, 1)
            folder = path.rpartition("/")[0]
            while folder:
                self.entries[folder] = Entry(folder, "d", 0o755, 0, 0, 0, 1, 1)
                folder = folder.rpartition("/")[0]

    def read(self, path):
        return self._texts.get(path)

    def head(self, path):
        return self._texts.get(path, b"")[:20]

    def sha256(self, path):
        return hashlib.sha256(self._texts.get(path, b"")).hexdigest()

    def md5(self, path):
        return hashlib.md5(self._texts.get(path, b"")).hexdigest()


def fuzz(cases, check, examples):
    """Seeded: a failure comes again."""

    @seed(SEED)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def every(case):
        check(case)

    every()


def files_of_a_host(texts):
    """A whole survey of a host of such files."""
    found = read(bundle_of(Tree(texts), "strange", KEYS), "strange")
    findings([found], [], date(2026, 11, 27))


HOSTS = st.dictionaries(st.sampled_from(PATHS), TEXT, min_size=1, max_size=6)
READERS = {
    name: reader
    for name, reader in vars(rows).items()
    if callable(reader) and getattr(reader, "__module__", "") == rows.__name__
    if name.islower() and not name.startswith("_") and name != "line_of_code" and name != "marked"
}
WIDTHS = {"passwd": 4, "listed": 7, "process": 10, "group": 3, "user": 4}
CELLS = st.lists(st.text(st.characters(exclude_characters="\n\r\t:"), max_size=9), max_size=12)


def lines_of_a_section(case):
    """As many rows and complaints as there were lines."""
    lines, separator = case
    told = [separator.join(cells) for cells in lines]
    for name, reader in READERS.items():
        body = "".join(f"|{line}\n" for line in told)
        sections = Sections(f"@kirikae-bundle 1\n@x\n{body}@end\n")
        read_rows = sections.rows("x", WIDTHS.get(name, 4 if name == "scheduled" else 3), reader)
        said = sum(bool(line) for line in told)
        assert len(read_rows) + len(sections.lost) == said, name


def a_watch(case):
    """A look's answer, and what was kept of it."""
    answer, kept, paths = case
    try:
        look_from(f"@kirikae-bundle 1\n@meta\n|now\t7\n@written\n{answer}\n@end\n", "strange")
    except BundleProblem:
        pass
    for text in (kept, json.dumps(kept), json.dumps({"format": 1, "written": [kept]})):
        with pytest.raises(BundleProblem):
            watch_from(text, "strange")
    seen = tuple(Watched(path, False, 0, 1, 2, 3) for path in paths)
    watch = Watch("strange", 1, 1).after(Look(9, seen))
    assert watch_from(json.dumps(watch.to_plain()), "strange") == watch


WATCHES = st.tuples(
    TEXT,
    st.text(max_size=20),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=8, unique=True),
)
TARGETS = {
    "files of a host": (HOSTS, files_of_a_host),
    "lines of a section": (
        st.tuples(st.lists(CELLS, max_size=6), st.sampled_from("\t: ")),
        lines_of_a_section,
    ),
    "watch": (WATCHES, a_watch),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_slice_of_what_a_host_may_hold(target):
    """Data, or a word on what was not understood."""
    fuzz(*TARGETS[target], 40)


@pytest.mark.prove
@pytest.mark.parametrize("target", TARGETS)
def test_at_length_what_a_host_may_hold(target):
    """The same, at length."""
    fuzz(*TARGETS[target], 1500)


def test_a_line_outside_of_every_section_is_told():
    """A bundle has none; whoever sends one is not passed over."""
    found = read("@kirikae-bundle 1\n@meta\n|now\t1\nneither\n@end\n", "strange")
    assert [each.where for each in found.missing] == ["bundle"]
