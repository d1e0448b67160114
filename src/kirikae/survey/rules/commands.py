"""Programs that the service's own code starts, and what it takes for granted of the machine."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured
from kirikae.survey.counted import counted
from kirikae.survey.paths import name_of
from kirikae.survey.view import View

_STARTS = re.compile(
    r"\bsubprocess\.|os\.(system|popen|exec\w+|spawn\w+)\(|\bpopen\(|shell_exec\(|proc_open\("
    r"|passthru\(|child_process|execFile|\bspawn(Sync)?\(|Open3|[^\w.>](system|exec)\(|%x[({\[]"
)
_ONLY_NAMED = re.compile(r"^\s*(import|from|require|use|const|var|let)\b.*(subprocess|child_proc)")
_OTHERS_RIGHTS = re.compile(r"\bsudo\s+-?\w|[\"']sudo[\"']|\bssh\s+\S|[\"']ssh[\"']|\bsu\s+-")
_QUOTED = re.compile(r"[\"'`]([^\"'`]+)[\"'`]|%x[({\[]([^)}\]]+)")
_WORD = re.compile(r"[A-Za-z][\w.+-]*")
_NO_PROGRAM = frozenset(
    (
        *("test", "true", "false", "echo", "env", "exec", "sh", "bash", "dash", "time"),
        *("python", "python3", "perl", "ruby", "node", "php", "file", "id", "install"),
        *("link", "script", "split", "join", "cut", "sort", "head", "tail", "cat", "ls"),
        *("rm", "cp", "mv", "mkdir", "chmod", "chown", "who", "which", "type", "kill"),
        *("stat", "date", "dir", "expr", "factor", "fold", "host", "info", "local", "locale"),
        *("login", "look", "mail", "more", "nice", "open", "paste", "pr", "print", "run"),
        *("sed", "set", "shell", "sleep", "stdout", "stderr", "check", "output", "command"),
        *("path", "sync", "tee", "timeout", "touch", "tr", "truncate", "wait", "watch"),
        *("write", "yes"),
    )
)
"""Ordinary words, or what every image has."""
_FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/games")
_CORES = re.compile(
    r"cpu_count\(|\bcpus\(\)|\bnproc\b|availableProcessors|Etc\.nprocessors|GOMAXPROCS"
)
_CORES_IN_SETTINGS = re.compile(
    r"^\s*worker_processes\s+\d|^\s*worker_cpu_affinity\s|\bnproc\b|GOMAXPROCS=\d"
    r"|ActiveProcessorCount=\d|ParallelGCThreads=\d"
)
_COMMENT = ("#", "//", "*", ";")
_SHOWN = 8


def _live_code(view: View) -> Iterator[Line]:
    """Without lines that are comments by how they begin."""
    for code in view.code:
        for line in code.lines:
            if not line.text.lstrip().startswith(_COMMENT):
                yield line


def starts_programs(view: View) -> Findings:
    """They are not in an image unless somebody puts them there."""
    lines = [line for line in _live_code(view) if _starts(line)]
    if lines:
        yield configured(
            "PR09",
            where=lines[0].path,
            says=f"the code starts other programs ({counted(len(lines), 'place', 'places')})",
            evidence=view.quotes(lines[:_SHOWN]),
            count=len(lines),
        )
    for line in lines:
        if _OTHERS_RIGHTS.search(line.text):
            yield configured(
                "PR09",
                where=line.at,
                says="the code acts as somebody else, or on another machine (sudo, su, ssh)",
                evidence=[view.quote(line)],
            )


def _starts(line: Line) -> bool:
    """A program, and not merely the library with which that is done."""
    return bool(_STARTS.search(line.text)) and not _ONLY_NAMED.search(line.text)


def sudo_for_services(view: View) -> Findings:
    """A container has no sudo, and nobody to ask."""
    names = {view.bundle.user_names.get(uid, "") for uid in view.uids} - {""}
    for text in view.bundle.texts:
        if not text.path.startswith("/etc/sudoers"):
            continue
        for line in text.live():
            if line.text.split()[:1] and line.text.split()[0] in names:
                yield configured(
                    "PR09",
                    where=line.at,
                    says=f"the service's user {line.text.split()[0]} may act as others by sudo",
                    evidence=[view.quote(line)],
                )


def programs_needed(view: View) -> Findings:
    """By name, where this host has such a program: what is missing in an image fails silently."""
    places: dict[str, list[Line]] = defaultdict(list)
    programs = _programs(view)
    for line in _live_code(view):
        if _starts(line):
            for word in _words(line.text):
                if word in programs:
                    places[word].append(line)
    for word, lines in sorted(places.items()):
        package = programs[word] or "no package"
        yield configured(
            "PK06",
            where=word,
            says=f"the code starts {word} (of {package})",
            evidence=view.quotes(lines[:_SHOWN]),
            count=len(lines),
        )


def _programs(view: View) -> dict[str, str | None]:
    """Name -> package, of programs on this host's paths that not every image has."""
    standard = {package.name for package in view.bundle.packages if package.standard}
    found: dict[str, str | None] = {}
    for path, owner in view.bundle.owners.items():
        folder, _, name = path.rpartition("/")
        if folder in _FOLDERS and owner not in standard and name not in _NO_PROGRAM:
            found[name] = owner
    for file in view.bundle.files:
        if file.path.startswith("/usr/local/bin/") and file.mode & 0o111:
            found.setdefault(name_of(file.path), None)
    return found


def _words(text: str) -> Iterator[str]:
    """What may be a program's name in a call: words inside of quotes, without what comes before the
    call."""
    match = _STARTS.search(text)
    behind = text[match.start() :] if match else ""
    for quoted in _QUOTED.findall(behind):
        yield from _WORD.findall(" ".join(quoted))[:4]


def counts_processors(view: View) -> Findings:
    """A task has a quarter of one, or four: said outright, it is right everywhere."""
    lines = [line for line in _live_code(view) if _CORES.search(line.text)]
    for text in view.own_texts:
        lines += [line for line in text.live() if _CORES_IN_SETTINGS.search(line.text)]
    for service in view.services:
        if service.unit.own and _CORES_IN_SETTINGS.search(service.unit.command):
            lines.append(Line(service.unit.name, 0, service.unit.command))
    if lines:
        yield configured(
            "SZ03",
            where=lines[0].path,
            says=(
                "a number of processors is counted or written down "
                f"({counted(len(lines), 'place', 'places')})"
            ),
            evidence=view.quotes(lines[:_SHOWN]),
            count=len(lines),
        )


RULES = (
    starts_programs,
    sudo_for_services,
    programs_needed,
    counts_processors,
)
