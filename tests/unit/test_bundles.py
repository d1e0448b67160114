"""Reading bundles: every line that a host may answer is read, or told; never thrown, never taken
for zero."""

from __future__ import annotations

import gzip
import stat
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console import collecting
from kirikae.model.build_settings import BuildSettings
from kirikae.model.bundle import Listener, Peer, User
from kirikae.survey import sections
from kirikae.survey.bundles import read
from kirikae.survey.collect import Keys
from kirikae.survey.errors import BundleProblem, NoSurvey
from kirikae.survey.rules import findings_of
from kirikae.survey.sections import number, unpacked
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import findings
from kirikae.survey.view import View
from kirikae.survey.workload import workload
from tests.unit.test_survey import TODAY, altered, bundle_text, captured

SECTIONS = (
    "meta",
    "passwd",
    "group",
    "mounts",
    "packages dpkg",
    "automatic",
    "depends",
    "owned",
    "diverted",
    "changed",
    "began",
    "files",
    "magic",
    "units",
    "timers",
    "processes",
    "open",
    "sockets tcp",
    "sockets udp6",
    "sockets x",
    "spool",
    "text aa /etc/x",
    "text",
    "environments",
    "code aa 1 /srv/x",
    "code aa",
    "missing x",
    "installed",
    "scheduled",
    "activated",
    "openrc",
    "cron",
    "cwd",
)


def bundle(**sections: str):
    """A bundle of these sections; ``_`` in a name stands for a space."""
    parts = [f"@{name.replace('_', ' ')}\n|{body}\n" for name, body in sections.items()]
    return read(f"@kirikae-bundle 1\n{''.join(parts)}@end\n", "host")


NUMBERS = st.sampled_from(["0", "7", "-1", "1e+12", "inf", "nan", "²", "٣", "9" * 5000, "", "777"])
WORDS = st.text(st.characters(exclude_characters="\r\n"), max_size=12)
CELLS = st.lists(
    st.one_of(
        NUMBERS, WORDS, st.sampled_from(["D", "F", "U", "L", "O", "=", "conffile", "/etc/x"])
    ),
    max_size=12,
)
LINES = st.lists(st.tuples(CELLS, st.sampled_from("\t: =")), max_size=12)


@given(LINES)
def test_lines_that_nobody_understands_are_told_and_never_thrown(lines):
    """Whatever a host answers: every section may hold anything."""
    body = "".join(f"|{separator.join(cells)}\n" for cells, separator in lines)
    text = "".join(f"@{section}\n{body}" for section in SECTIONS)
    found = read(f"@kirikae-bundle 1\n{text}@end\n", "strange")
    findings_of(View(found), TODAY)
    with pytest.raises(NoSurvey):
        workload([found], BuildSettings(), ())


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("passwd", "+::::"),
        ("group", "shop:x:"),
        ("packages_dpkg", "bash\t5.2"),
        ("changed", "other\tmodified\t/etc/x"),
        ("files", "D\t755\t0"),
        ("files", "F\t888\t0\t0\t1\t2\t3\t/x"),
        ("files", "?\t1\t2\t3"),
        ("processes", "7\t1\t\t1\t1\t\tx.service\t\t/x\t/x"),
        ("open", "x\trwx\t/x"),
        ("spool", "/var/spool/x\tmany"),
        ("sockets_tcp", "0100007F:1F40\t00000000:0000\t0A"),
        ("sockets_tcp", "01:1F40\t00000000:0000\t0A\t1"),
        ("environments", "no variable\tx.service\t7"),
        ("code_aa_1_/srv/x", "no line of code"),
    ],
)
def test_a_line_that_says_nothing_is_told(section, line):
    """It becomes a finding `unreadable`: a survey tells what it did not see."""
    found = bundle(**{section: line})
    [missing] = found.missing
    assert missing.where == section.split("_")[0] and line[:20] in missing.why
    assert [each.code for each in findings_of(View(found), TODAY)] == ["unreadable"]


def test_a_process_without_a_user_is_none_of_root_s():
    """It ended while it was looked at; missing is not zero."""
    assert bundle(processes="7\t1\t\t1\t1\t\tx.service\t\t/x\t/x").processes == ()


def test_numbers_are_read_as_any_awk_prints_them():
    """mawk prints large ones with an exponent; what is no number is None, never zero."""
    assert number("17") == 17 and number("1e+09") == 1_000_000_000
    assert [number(cell) for cell in ("", "x", "inf", "nan", "²")] == [None] * 5


def test_names_with_tabs_and_line_breaks_stay_whole():
    """A tab in a file's name is no end of a cell."""
    found = bundle(files="F\t644\t0\t0\t1\t2\t3\t/srv/a\tb\x01c")
    assert [file.path for file in found.files] == ["/srv/a\tb\nc"]


def test_sockets_are_told_with_their_processes_and_only_our_own_calls_are_peers():
    """A connection to a port that is served here came from elsewhere, and so did one from a port
    that the kernel gave away."""
    found = read(
        "@kirikae-bundle 1\n@open\n|7\trwx\tsocket:[11]\n@sockets tcp\n"
        "|00000000:0050\t00000000:0000\t0A\t11\n"
        "|020017AC:D1B4\t050017AC:1538\t01\t12\n"
        "|020017AC:0050\t010017AC:9C72\t01\t13\n"
        "|0100007F:D1B4\t0100007F:1538\t01\t14\n"
        "@sockets tcp6\n"
        "|00000000000000000000000001000000:1F90\t00000000000000000000000000000000:0000\t0A\t15\n"
        "@end\n",
        "host",
    )
    assert found.listeners == (
        Listener("tcp", "0.0.0.0", 80, 7),
        Listener("tcp", "::1", 8080, None),
    )
    assert found.peers == (Peer("tcp", "172.23.0.5", 5432),)


def test_a_file_that_a_package_diverted_belongs_to_both():
    """dpkg-divert: the former file moved away, the new one took its place."""
    text = "@owned\n|dash\t/bin/sh\n@diverted\n|/bin/sh\t/bin/sh.distrib\tbash\n"
    found = read(f"@kirikae-bundle 1\n{text}@end\n", "host")
    assert (found.owner("/bin/sh"), found.owner("/usr/bin/sh.distrib")) == ("bash", "dash")


def test_links_that_lead_in_a_circle_end():
    """As in the kernel, after forty of them."""
    found = bundle(files="L\t../b\t/srv/a\n|L\t../a\t/srv/b")
    assert found.resolve("/srv/a/x").startswith("/")


# --- what is not known is not zero


def test_a_user_that_the_host_s_own_lists_do_not_know_is_not_root():
    """A unit of a directory's user that does not run yet: no finding says root, and nothing is
    built as root."""
    unit = ("|User=bookshop\n", "|User=ldapuser\n")
    bundle_ = altered("web1", unit, ("\tbookshop.service\t", "\tgone.service\t"))
    view = View(bundle_)
    [service] = [each for each in view.services if each.name == "bookshop"]
    assert service.uids == frozenset() and view.uid_of("ldapuser") is None
    codes = {(each.code, each.where) for each in findings_of(view, TODAY)}
    assert ("PR05", "bookshop.service") not in codes
    with pytest.raises(NoSurvey, match="ldapuser, whom /etc/passwd of web1 does not have"):
        workload([bundle_], BuildSettings(), ())


def test_a_user_that_is_named_by_number_is_that_one():
    """`User=999` is bookshop, not root."""
    found = altered("web1", ("|User=bookshop\n", "|User=999\n"))
    assert found.users["bookshop"] == User(999, 997, "/srv/bookshop", "/usr/sbin/nologin")
    built = workload([found], BuildSettings(), ())
    assert (built.uid, built.gid) == (999, 997)


def test_without_the_host_s_clock_nothing_is_measured():
    """Neither CPU nor age can be computed, and a folder that nobody names blocks."""
    at = captured("web1").at
    found = altered("web1", (f"|now\t{at}\n", ""))
    seen = {(each.code, each.where): each for each in findings_of(View(found), TODAY)}
    used = seen["SZ01", "bookshop.service"]
    assert "CPU not measured" in used.says and "since" not in used.evidence[0].says
    assert workload([found], BuildSettings(), ()).measured == ()


def test_what_a_service_that_does_not_run_would_write_was_not_seen():
    """Files lie there; nobody was seen writing them, and nothing tells since when."""
    found = altered("web1", ("\tbookshop.service\t", "\tgone.service\t"))
    seen = {each.where: each for each in findings_of(View(found), TODAY)}
    sessions = seen["/var/lib/bookshop/sessions"]
    assert sessions.confidence == "present" and sessions.stops("traffic")
    assert "nothing tells since when bookshop runs" in sessions.says


# --- jobs


def crontab(text: str, host: str):
    return read(f"@kirikae-bundle 1\n@text aa /etc/cron.d/shop\n{text}@end\n", host)


def jobs_alone(*bundles):
    found = findings([], list(bundles), TODAY)
    return [each for each in found if each.code == "JB04"]


def test_two_equal_lines_are_two_jobs_on_one_host():
    """They say nothing about another host."""
    line = "|0 4 * * * root /srv/shop/report\n"
    [alone] = jobs_alone(crontab(line * 2, "batch1"))
    assert alone.count == 2 and alone.where == "batch1"
    assert jobs_alone(crontab(line, "batch1"), crontab(line, "batch2")) == []


def test_long_lines_are_read_to_their_end():
    """Two jobs that begin alike are two jobs, and output may be thrown away at the end of one."""
    begins = "|0 4 * * * root /srv/shop/report " + "x" * 250
    first = crontab(f"{begins} one >/dev/null\n", "batch1")
    second = crontab(f"{begins} two\n", "batch2")
    [alone] = jobs_alone(first, second)
    assert alone.count == 2
    assert any(each.code == "JB07" for each in findings_of(View(first), TODAY))


# --- several applications


def test_a_variable_that_one_of_two_services_reads_is_read():
    """Both get the same file; the order of units says nothing."""
    text = bundle_text("web1")
    worker = (
        "@units\n|Id=awaker.service\n|ActiveState=active\n|SubState=running\n|UnitFileState=enabled\n"
        "|FragmentPath=/etc/systemd/system/awaker.service\n|WorkingDirectory=/srv/awaker\n"
        "|EnvironmentFiles=/etc/default/bookshop (ignore_errors=no)\n|\n"
        "@code bb 1 /srv/awaker\n|run.py:1:os.environ['BOOKSHOP_DEBUG_SQL']\n"
    )
    before = findings_of(View(read(text, "web1")), TODAY)
    both = read(text.replace("\n@end\n", f"\n{worker}@end\n"), "web1")
    after = findings_of(View(both), TODAY)
    assert "BOOKSHOP_DEBUG_SQL" in [each.where for each in before if each.code == "CF08"]
    assert "BOOKSHOP_DEBUG_SQL" not in [each.where for each in after if each.code == "CF08"]


# --- what is no bundle


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@kirikae-bundle",
        "@kirikae-bundle \n@end",
        "@kirikae-bundle 2\n@end",
        "@kirikae-bundle 1\n@meta\n|a",
        "ssh: banner\n@kirikae-bundle 1\n@end\n",
        "\x00\n@end\n",
    ],
)
def test_what_is_no_whole_bundle_is_told(text):
    """Of another version, cut off, or something else."""
    with pytest.raises(BundleProblem):
        read(text, "host")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x1f\x8b",
        b"\x1f\x8b" + b"\xff" * 40,
        gzip.compress(b"@kirikae-bundle 1\n@end\n")[:-12],
        b"\x1f\x8b\x08\x00" + b"\x00" * 30,
    ],
)
def test_what_is_no_gzip_is_told(raw):
    """Damaged or cut off anywhere."""
    with pytest.raises(BundleProblem, match="cut off or damaged"):
        unpacked(raw)


def test_a_bundle_that_would_fill_the_memory_is_not_unpacked(monkeypatch):
    """A small answer may become a large one; no more than the limit is ever made of it."""
    monkeypatch.setattr(sections, "MOST_BYTES", 1 << 20)
    bomb = gzip.compress(b"\n" * (64 << 20))
    assert len(bomb) < 1 << 17
    tracemalloc.start()
    with pytest.raises(BundleProblem, match="larger than 1 MiB"):
        unpacked(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20
    with pytest.raises(BundleProblem, match="larger than 1 MiB"):
        unpacked(b"@" * (2 << 20))
    whole = b"@kirikae-bundle 1\n@end\n"
    assert unpacked(gzip.compress(whole)) == unpacked(whole) == whole.decode()


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(gzip.compress)))
def test_any_bytes_of_a_host_are_a_bundle_or_its_problem(raw):
    """Never a traceback."""
    try:
        read(unpacked(raw), "host")
    except BundleProblem:
        return
    pytest.fail("random bytes are no bundle")


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([f"@{name}" for name in SECTIONS]),
        st.sampled_from(["@kirikae-bundle 1", "@end", "@", "|", "@sockets icmp", "@code", "@text"]),
        st.text(st.characters(exclude_characters="\n"), max_size=20).map("|{}".format),
        st.text(max_size=20),
    ),
    max_size=20,
)


@given(TEXTS)
def test_any_order_of_sections_is_read_or_told(lines):
    """Twice, empty, unknown, in between."""
    text = "\n".join(["@kirikae-bundle 1", *lines, "@end"])
    try:
        findings_of(View(read(text, "host")), TODAY)
    except BundleProblem as error:
        assert "collect it again" in str(error)


def test_a_reader_that_stumbles_costs_one_host_and_not_the_collection(tmp_path, monkeypatch):
    """What goes wrong inside is that host's problem; the others are kept."""

    class Answers:
        def __init__(self, name, raw):
            self.name = name
            self._raw = raw

        def run(self, script, timeout_s):
            return self._raw

    def broken(cells):
        raise IndexError("list index out of range")

    good = b"@kirikae-bundle 1\n@meta\n|now\t1\n@end\n"
    bad = b"@kirikae-bundle 1\n@mounts\n|a\tb\tc\n@end\n"
    monkeypatch.setattr("kirikae.survey.rows.mount", broken)
    shelf = Shelf(tmp_path)
    keys = Keys("1", "2")
    looks = [collecting._look(Answers(n, raw), keys, shelf) for n, raw in (("a", good), ("b", bad))]
    assert [look.trouble for look in looks] == [
        "",
        "the bundle of b cannot be read (IndexError: list index out of range); collect it again",
    ]
    assert shelf.hosts() == ["a"]
    [kept] = (tmp_path / "a").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
