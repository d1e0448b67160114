"""The corpus of secrets' forms and of what only looks like one, filled with made-up values."""

from __future__ import annotations

import base64
import random
import re
import shutil
import string
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

DATA = Path(__file__).parent / "data" / "secrets"
MASK = Path(str(files("kirikae.survey") / "mask.awk"))
AWKS = [
    awk
    for awk in (["mawk"], ["gawk"], ["gawk", "--posix"], ["original-awk"], ["busybox", "awk"])
    if shutil.which(awk[0])
]
_BLANK = re.compile(r"@\{(\w+)(?::\d+)?\}")
_BASE64 = string.ascii_letters + string.digits + "+/"
_URLSAFE = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_SIGNS = "abcXYZ019!@#$^&*()-_[]{}<>~`+=,.;:/?|% "
"""Of salts, as WordPress makes them."""


@dataclass(frozen=True, slots=True)
class Case:
    """Lines of one section; ``secrets`` may not leave, ``kept`` must stay."""

    head: str
    lines: tuple[str, ...]
    kept: tuple[str, ...]
    secrets: tuple[str, ...]

    @property
    def text(self) -> str:
        """As the collecting script writes it before masking."""
        body = "".join(f"|{line}\n" for line in self.lines)
        return f"{self.head}\n{body}"


def _mixed(dice: random.Random, alphabet: str, count: int) -> str:
    """With a letter of each kind and a digit, as nearly every random value of this length has."""
    while True:
        value = "".join(dice.choice(alphabet) for _ in range(count))
        if not set(alphabet) & set(string.ascii_letters) or (
            any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        ):
            return value


def _letters(dice: random.Random, count: int) -> str:
    return "".join(dice.choice(string.ascii_lowercase) for _ in range(count))


def _word(dice: random.Random) -> str:
    """What a person chooses, with a digit and a sign."""
    begin = dice.choice(["Hemlock", "Tanuki", "kappa", "Asagao", "kitsune", "Momiji"])
    sign = dice.choice(["-", "_", "+", "!", "*"])
    return f"{begin}{sign}{dice.randrange(100, 999)}{_letters(dice, 3)}"


def _some(alphabet: str, count: int, prefix: str = "") -> Callable[[random.Random], str]:
    return lambda dice: prefix + _mixed(dice, alphabet, count)


def _jwt(dice: random.Random) -> str:
    some = partial(_mixed, dice, _URLSAFE)
    return f"eyJ{some(33)}.eyJ{some(60)}.{some(43)}"


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


KINDS: dict[str, Callable[[random.Random], str]] = {
    "word": _word,
    "plainword": lambda dice: f"{_letters(dice, 6)}{dice.randrange(100, 999)}",
    "spaced": lambda dice: f"{_word(dice)} {_letters(dice, 5)} {dice.randrange(10)}",
    "at": lambda dice: f"{_letters(dice, 4)}@{dice.randrange(1000)}{_letters(dice, 4)}",
    "slash": lambda dice: f"{_letters(dice, 4)}/{dice.randrange(1000)}{_letters(dice, 4)}",
    "escaped": lambda dice: f'{_letters(dice, 5)}\\"{dice.randrange(100)}{_letters(dice, 4)}',
    "hash": lambda dice: f"{_letters(dice, 5)}#{dice.randrange(100)};{_letters(dice, 4)}",
    "short": lambda dice: f"{_letters(dice, 1)} {_letters(dice, 1)}",
    "digits": lambda dice: str(dice.randrange(10**7, 10**8)),
    "letters12": lambda dice: _letters(dice, 12),
    "letters24": lambda dice: _letters(dice, 24),
    "mixed": _some(_URLSAFE, 32),
    "digits30": lambda dice: str(dice.randrange(10**29, 10**30)),
    "hex8": _some(_HEX, 8),
    "hex16": _some(_HEX, 16),
    "hex32": _some(_HEX, 32),
    "hex40": _some(_HEX, 40),
    "hex64": _some(_HEX, 64),
    "hex80": _some(_HEX, 80),
    "hex128": _some(_HEX, 128),
    "upper20": lambda dice: _letters(dice, 20).upper(),
    "random24": _some(_URLSAFE, 24),
    "base64": _some(_BASE64, 64),
    "base64of10": lambda dice: _mixed(dice, _BASE64, 14) + "==",
    "base64of32": lambda dice: _mixed(dice, _BASE64, 43) + "=",
    "signs": lambda dice: "".join(dice.choice(_SIGNS) for _ in range(62)) + "x9",
    "basic": lambda dice: _in_base64(f"shop:{_word(dice)}"),
    "base64pem": lambda dice: _in_base64(
        f"-----BEGIN RSA PRIVATE KEY-----\n{_mixed(dice, _BASE64, 64)}\n"
    ),
    "base64jwt": lambda dice: _in_base64(_jwt(dice)),
    "pemline": lambda dice: (
        "-----BEGIN PRIVATE KEY-----\n"
        f"{_mixed(dice, _BASE64, 64)}\n{_mixed(dice, _BASE64, 22)}==\n"
        "-----END PRIVATE KEY-----"
    ),
    "jwt": _jwt,
    "akia": _some(string.ascii_uppercase + string.digits, 16, "AKIA"),
    "aws": _some(_BASE64, 40),
    "github": _some(_URLSAFE, 36, "gh" + "p_"),
    "githubpat": _some(_URLSAFE, 60, "github" + "_pat_"),
    "gitlab": _some(_URLSAFE, 20, "gl" + "pat-"),
    "slack": _some(_URLSAFE, 24, "xo" + "xb-123456789012-"),
    "slackhook": lambda dice: f"T{_mixed(dice, _URLSAFE, 8)}/B{_mixed(dice, _URLSAFE, 24)}",
    "telegram": lambda dice: f"{dice.randrange(10**8, 10**9)}:AA{_mixed(dice, _URLSAFE, 33)}",
    "stripe": _some(_URLSAFE, 24, "sk" + "_live_"),
    "sendgrid": lambda dice: f"SG.{_mixed(dice, _URLSAFE, 22)}.{_mixed(dice, _URLSAFE, 43)}",
    "google": _some(_URLSAFE, 35, "AI" + "za"),
    "pypi": _some(_URLSAFE, 60, "pypi" + "-"),
    "npm": _some(_URLSAFE, 36, "npm" + "_"),
    "apr1": lambda dice: f"$apr1${_mixed(dice, _URLSAFE, 8)}${_mixed(dice, _URLSAFE, 22)}",
    "bcrypt": lambda dice: f"$2y$10${_mixed(dice, _URLSAFE, 53)}",
    "sha512crypt": lambda dice: f"$6${_mixed(dice, _URLSAFE, 8)}${_mixed(dice, _URLSAFE, 86)}",
    "sha": lambda dice: _mixed(dice, _BASE64, 27) + "=",
}


def _cases(file: Path) -> Iterator[tuple[str, list[str]]]:
    """(head, lines) of each case."""
    lines: list[str] = []
    head = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("=== "):
            if head:
                yield head, lines
            head, lines = line.removeprefix("=== "), []
        elif head:
            lines.append(line)
    yield head, lines


def _section(said: str) -> str:
    kind, _, rest = said.partition(" ")
    if kind == "text":
        return f"@text 0123456789abcdef {rest}"
    if kind == "code":
        return f"@code 0123456789abcdef 3 {rest.split(' ')[0]}"
    return f"@{kind}"


def filled(dice: random.Random, lines: list[str]) -> tuple[list[str], list[str]]:
    """(lines, the values that were put in)"""
    made: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        return made.setdefault(match[0], KINDS[match[1]](dice))

    text = "\n".join(_BLANK.sub(value, line) for line in lines)
    return text.split("\n"), list(made.values())


def _case(said: str, lines: list[str], secrets: list[str]) -> Case:
    section, *kept = said.split(" | ")
    if section.startswith("code "):
        name = section.split(" ")[2]
        lines = [f"{name}:{number}:{line}" for number, line in enumerate(lines, 1)]
    parts = [part for secret in secrets for part in secret.split("\n")]
    return Case(_section(section), tuple(lines), tuple(kept), tuple(parts))


def forms(seed: int) -> list[Case]:
    """Every form of the corpus, with other values for each seed."""
    dice = random.Random(seed)
    return [_case(said, *filled(dice, lines)) for said, lines in _cases(DATA / "forms.txt")]


def lookalikes() -> list[Case]:
    """What looks like a secret and is none."""
    return [_case(said, lines, []) for said, lines in _cases(DATA / "lookalikes.txt")]


def masked(awk: list[str], text: str) -> str:
    """What the filter makes of sections, with fingerprints as the script's shell part gives."""
    seen = _run(awk, "find", text).splitlines()
    values = sorted({value for value in seen if value}, key=len, reverse=True)
    table = "".join(f"{number:016x}\t{value}\n" for number, value in enumerate(values))
    return _run(awk, "mask", f"{table}\x01\n\x02\n{text}")


def _run(awk: list[str], mode: str, given: str) -> str:
    done = subprocess.run(
        [*awk, "-v", f"MODE={mode}", "-f", str(MASK)],
        input=given.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    return done.stdout.decode("utf-8", "surrogateescape")


def answers(awk: list[str], cases: list[Case]) -> list[list[str]]:
    """The masked lines of each case."""
    out: list[list[str]] = []
    for line in masked(awk, "".join(case.text for case in cases)).split("\n"):
        if line.startswith("@"):
            out.append([])
        elif line.startswith("|"):
            out[-1].append(line[1:])
    return out
