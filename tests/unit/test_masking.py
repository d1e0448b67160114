"""No secret leaves a host in clear, whatever form it has; names stay, and so does what is none."""

from __future__ import annotations

import random
import shlex
import shutil
import subprocess
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kirikae.survey.bundles import read
from kirikae.survey.collect import script
from tests.secretforms import AWKS, KINDS, Case, answers, forms, lookalikes, masked

SEEDS = range(3)
SHELLS = [
    shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])
]
MASK_LENGTH = len("<masked:0123456789abcdef>")
RUNS = [(AWKS[0], seed) for seed in SEEDS] + [(awk, seed) for seed, awk in enumerate(AWKS[1:])]
every_awk = pytest.mark.parametrize("awk", AWKS, ids=" ".join)


def leaks(case: Case, lines: list[str]) -> list[str]:
    """What of a case's secrets still stands there; lines of a key's head are none."""
    text = "\n".join(lines)
    return [
        secret
        for secret in case.secrets
        if len(secret) > 2 and not secret.startswith("-----") and secret in text
    ]


def test_the_corpus_is_large():
    """Forms from everywhere on a host, and what looks like them."""
    assert len(forms(0)) >= 700
    assert sum(len(case.lines) for case in lookalikes()) >= 300


@pytest.mark.parametrize(("awk", "seed"), RUNS)
def test_every_form_is_masked_and_every_name_stays(awk, seed):
    """With other values each time; no line is lost, and the same value has one fingerprint."""
    cases = forms(seed)
    for case, lines in zip(cases, answers(awk, cases), strict=True):
        assert leaks(case, lines) == [], (case.lines, lines)
        assert len(lines) == len(case.lines), (case.lines, lines)
        text = "\n".join(lines)
        assert "<masked:" in text and "<masked:unknown>" not in text, (case.lines, lines)
        for name in case.kept:
            assert name.strip() in text, (case.lines, lines)


def test_ends_of_lines_as_windows_has_them_change_nothing():
    """A file that was written there: masked as ever, and its lines end as they did."""
    cases = [each for each in forms(2) if each.head.startswith("@text")]
    windows = [
        Case(each.head, tuple(f"{line}\r" for line in each.lines), each.kept, each.secrets)
        for each in cases
    ]
    for case, lines in zip(windows, answers(AWKS[0], windows), strict=True):
        assert leaks(case, lines) == [], (case.lines, lines)


@every_awk
def test_what_only_looks_like_a_secret_stays(awk):
    """Also beside real secrets."""
    cases = lookalikes()
    assert answers(awk, cases) == [list(case.lines) for case in cases]
    beside = answers(awk, [*forms(1), *cases])[-len(cases) :]
    assert beside == [list(case.lines) for case in cases]


@every_awk
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"digits", "letters12", "pemline", "short"}))
def test_a_secret_that_one_place_names_is_masked_wherever_it_stands(awk, kind):
    """In a comment of another file, in a file's name, in code and in what a process was given."""
    value = KINDS[kind](random.Random(kind))
    text = (
        "@text x /etc/a.conf\n"
        f"|# somebody said {value} to me\n"
        "@text x /etc/default/shop\n"
        f'|DB_PASSWORD="{value}"\n'
        "@processes\n"
        f"|1\t2\t{value}\t/usr/bin/x {value}\n"
        f"@code x 1 /srv/{value}\n"
        f"|a.py:1:x = f({value})\n"
        "@end\n"
    )
    out = masked(awk, text)
    assert value not in out
    assert out.count("<masked:0000000000000000>") >= 6
    assert "# somebody said <masked:" in out and "a.py:1:x = f(<masked:" in out


@every_awk
def test_many_secrets_are_looked_for_as_thoroughly_as_few(awk):
    """Where there are many, a line is first asked whether any may begin in it."""
    dice = random.Random(7)
    values = sorted({KINDS["plainword"](dice) for _ in range(90)})
    named = "".join(f"|P{n}_PASSWORD={value}\n" for n, value in enumerate(values))
    aloud = "".join(f"|{'x' * n} {value}\n" for n, value in enumerate(values))
    out = masked(awk, f"@text x /etc/a.conf\n{named}@text x /etc/b.conf\n{aloud}")
    assert [value for value in values if value in out] == []
    assert out.count("<masked:") == 2 * len(values)


@every_awk
def test_sections_that_need_no_scan_are_searched_for_known_values(awk):
    """A file's name may be somebody's token."""
    value = KINDS["github"](random.Random(1))
    table = f"00000000000000aa\t{value}\n\x01\n"
    given_text = f"@files\n|F\t644\t/srv/PASSWORD=x-1-y/{value}\n\x02\n@end\n"
    done = subprocess.run(
        [*awk, "-v", "MODE=mask", "-f", str(files("kirikae.survey") / "mask.awk")],
        input=table + given_text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "@files\n|F\t644\t/srv/PASSWORD=x-1-y/<masked:00000000000000aa>\n@end\n"


@every_awk
def test_a_private_key_that_never_ends_takes_no_line_with_it(awk):
    """What follows it is scanned as ever, and so is the next file."""
    text = (
        "@text x /etc/a\n|-----BEGIN RSA PRIVATE KEY-----\n|MIIEow\n|listen 80;\n"
        "|DB_PASSWORD=Hemlock-1-x\n@text x /etc/b\n|b = 1\n"
    )
    out = masked(awk, text)
    assert "MIIEow" not in out and "Hemlock" not in out
    assert "|listen 80;\n" in out and "|DB_PASSWORD=<masked:" in out and "|b = 1\n" in out


@every_awk
def test_a_quote_that_nobody_closes_does_not_swallow_the_file(awk):
    """The next assignment ends it."""
    text = '@text x /etc/default/a\n|PASSWORD="Hemlock-1-x\n|PORT=80\n|NAME=shop\n'
    out = masked(awk, text)
    assert "Hemlock" not in out and "|PORT=80\n|NAME=shop\n" in out


@every_awk
def test_a_long_line_of_code_is_shortened_behind_its_masks(awk):
    """Evidence needs no more of it; a mask is not cut in two."""
    for pad in range(330, 420):
        line = f'app.js:1:{"x" * pad} localhost; token = "Hemlock-73-{pad}x"; {"y" * 900}'
        out = masked(awk, f"@code x 1 /srv/app\n|{line}\n").split("\n")[1]
        assert "Hemlock" not in out and len(out) <= 410
        assert out.count("<masked:") == out.count("x>") + out.count("0>")
        if pad > 350:
            break


def damaged(dice: random.Random, line: str) -> str:
    """A line with some of its characters gone, doubled or put elsewhere."""
    cells = list(line)
    for _ in range(dice.randrange(1, 6)):
        if not cells:
            break
        at = dice.randrange(len(cells))
        match dice.randrange(4):
            case 0:
                del cells[at]
            case 1:
                cells.insert(at, dice.choice("\"'`\\<>{}[]()=:;,|&$#@!%^*~?/- \t\x01\x7f\xff"))
            case 2:
                cells[at:at] = cells[at : at + dice.randrange(8)]
            case _:
                del cells[at:]
    return "".join(cells).replace("\n", "").replace("\r", "")


@every_awk
def test_damaged_lines_are_neither_lost_nor_fatal(awk):
    """2,000 lines of the corpus, damaged: each section has as many lines as before."""
    dice = random.Random(20)
    cases = [
        Case(case.head, tuple(damaged(dice, line) for line in case.lines), (), ())
        for _ in range(2)
        for case in (*forms(dice.randrange(10**6)), *lookalikes())
    ]
    out = answers(awk, cases)
    assert [len(lines) for lines in out] == [len(case.lines) for case in cases]


LINES = st.lists(
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_characters="\n\r\x00\x01\x02"),
        max_size=120,
    ),
    max_size=30,
)


@every_awk
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, st.sampled_from(["text x /etc/secret", "code x 1 /srv", "processes", "units", "new"]))
def test_whatever_stands_in_a_section_comes_out_line_by_line(awk, lines, section):
    """Heads stay heads, lines stay lines."""
    out = masked(awk, f"@{section}\n" + "".join(f"|{line}\n" for line in lines) + "@end\n")
    said = out.split("\n")
    assert said[0] == f"@{section}" and said[-2:] == ["@end", ""]
    assert len(said) == len(lines) + 3 and all(line[0] == "|" for line in said[1:-2])


def test_all_awks_of_hosts_say_the_same():
    """A bundle does not depend on which one a host has."""
    cases = [*forms(5), *lookalikes()]
    said = [answers(awk, cases) for awk in AWKS]
    assert all(each == said[0] for each in said)


# --- the script around it


def played(shell: list[str], text: str, change: str = "") -> str:
    """The script's answer on a host of which only ``text`` is sensitive."""
    whole = script(("a" * 64, "b" * 64))
    body, last, _ = whole.rpartition("\nif has gzip")
    assert last
    # Functions that are defined last count.
    host = (
        "about() { printf '@meta\\n|host\\tx\\n'; }\npackages() { :; }\nmagic() { :; }\n"
        "walk() { printf '@files\\n|F\\t644\\t0\\t0\\t1\\t1\\t1\\t/etc/Hemlock-73-Walk\\n'; }\n"
        "named_files() { :; }\nfound_files() { :; }\ncode_roots() { :; }\n"
        f"sensitive() {{ printf '%s' {shlex.quote(text)}; }}\n"
    )
    done = subprocess.run(
        shell,
        input=f"{body}\n{host}{change}\nmain\n".encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    return done.stdout.decode("utf-8", "surrogateescape")


TEXT = (
    "@text 0123456789abcdef /etc/default/shop\n"
    '|DB_PASSWORD="Hemlock-73-Walk"\n|API_TOKEN=Hemlock-73\n|PORT=80\n'
)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_script_masks_under_every_shell(shell):
    """Fingerprints are of whole values, the longer one first; the bundle can be read."""
    out = played(shell, TEXT)
    assert "Hemlock" not in out
    assert out.count("<masked:") == 3 and "<masked:unknown>" not in out
    bundle = read(out, "x")
    [text] = bundle.texts
    assert text.lines[2] == "PORT=80" and text.lines[0].startswith('DB_PASSWORD="<masked:')
    [file] = bundle.files
    assert file.path.startswith("/etc/<masked:")
    assert text.lines[0].split('"')[1] in file.path
    assert bundle.missing == ()


def test_every_shell_gives_the_same_fingerprints():
    """Hosts are compared with each other."""
    said = [played(shell, TEXT) for shell in SHELLS]
    assert all(each == said[0] for each in said)


WRONG_AWKS = {
    "says nothing": "awk() { cat >/dev/null; }",
    "passes everything": "awk() { cat; }",
    "fails": "awk() { return 2; }",
    "finds, and does not mask": (
        'awk() { case $2 in MODE=mask) sed -n "s/^[@|]/&/p" ;; *) command awk "$@" ;; esac; }'
    ),
    "loses lines": (
        'awk() { case $2 in MODE=mask) command awk "$@" | sed 3d ;; *) command awk "$@" ;; esac; }'
    ),
    "knows no quotes": "awk() { command awk \"$@\" | sed 's/kirikae probe 1/kirikae/'; }",
}


@pytest.mark.parametrize("wrong", WRONG_AWKS.values(), ids=WRONG_AWKS)
def test_no_text_leaves_through_an_awk_that_does_not_mask(wrong):
    """It says so; what names no text is sent all the same."""
    out = played(["sh"], TEXT, wrong)
    assert "Hemlock" not in out and "@text" not in out and "@files" not in out
    bundle = read(out, "x")
    assert [each.where for each in bundle.missing if "no text was sent" in each.why] == ["secrets"]


def test_a_host_of_thousands_of_secrets_is_masked_all_the_same():
    """Only so many are given fingerprints; that is said."""
    lines = "".join(f"|P{n}_PASSWORD=Hemlock-{n}-x\n" for n in range(40))
    out = played(["sh"], f"@text x /etc/a\n{lines}", "MOST_SECRETS=10")
    assert "Hemlock" not in out.replace("Hemlock-73-Walk", "")
    assert out.count("<masked:unknown>") == 30 and "more than 10 secrets" in out
