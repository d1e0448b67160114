"""How an image proves itself while it is built: the runtime's own check of its configuration, the
syntax of the code, and what the project file names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kirikae.build.carried import RENDERED, Layer
from kirikae.model.build_settings import BuildSettings
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Workload

_PYTHON = (
    "import pathlib, sys; "
    "[compile(p.read_bytes(), str(p), 'exec', dont_inherit=True) "
    "for p in pathlib.Path(sys.argv[1]).rglob('*.py') "
    "if not {'node_modules', 'site-packages', 'tests', 'test', 'templates', 'fixtures'} "
    "& set(p.parts)]"
)
_PHP = (
    "foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($argv[1], "
    "FilesystemIterator::SKIP_DOTS)) as $f) "
    "if ($f->getExtension() == 'php' && !strpos($f, '/vendor/')) "
    "try { token_get_all(file_get_contents($f), TOKEN_PARSE); } "
    "catch (Error $e) { fwrite(STDERR, $f . ': ' . $e->getMessage() . chr(10)); exit(1); }"
)
_RUBY = (
    "Dir.glob(File.join(ARGV[0], '{**/*.rb,config.ru}')).reject { |f| f =~ %r{/vendor/} }"
    ".each { |f| RubyVM::InstructionSequence.compile_file(f) }"
)


def of(
    workload: Workload,
    layer: Layer,
    settings: BuildSettings,
) -> Iterator[str]:
    """Shell texts, run in the service's folder; each ends with an error where the image could not
    serve."""
    match workload.runtime.image:
        case ImageKind.APACHE:
            yield _cleared(f". /etc/apache2/envvars && {_given(layer)}apache2 -t", layer)
        case ImageKind.PHP_FPM:
            program = shlex.quote(workload.command[0])
            yield _cleared(f"{_given(layer)}{program} -t 2>&1", layer)
        case _:
            yield _there(workload)
    if settings.check is not None:
        if settings.check.strip():
            yield settings.check
        return
    syntax = _syntax(workload)
    if syntax:
        yield syntax


def _given(layer: Layer) -> str:
    """What a configuration waits for, with a value that means nothing."""
    if not layer.names:
        return ""
    names = " ".join(f"{name}=x" for name in layer.names)
    return f"{names} /bin/sh /usr/share/kirikae/start "


def _cleared(check: str, layer: Layer) -> str:
    """What was rendered for the check is no part of the image."""
    return f"{check} && rm -rf {RENDERED}/*" if layer.names else check


def _there(workload: Workload) -> str:
    """The program that it begins with can be run."""
    program = shlex.quote(workload.command[0]) if workload.command else "sh"
    return f"command -v {program} >/dev/null"


def _syntax(workload: Workload) -> str:
    """By the language's own reader; nothing of the application runs."""
    folder = shlex.quote(workload.folder)
    match workload.runtime.language or _language_of(workload):
        case "python":
            return f"python3 -c {shlex.quote(_PYTHON)} {folder}"
        case "php":
            return f"if command -v php >/dev/null; then php -r {shlex.quote(_PHP)} {folder}; fi"
        case "ruby":
            return f"ruby -e {shlex.quote(_RUBY)} {folder}"
        case "node":
            return _entry(workload, (".js", ".cjs", ".mjs"), "node --check")
        case "perl":
            return _entry(workload, (".psgi", ".pl"), "perl -I. -Ilib -c")
        case _:
            return ""


def _entry(
    workload: Workload,
    ends: tuple[str, ...],
    check: str,
) -> str:
    """The script that the command begins with; empty where it names none."""
    scripts = [word for word in workload.command if word.endswith(ends)]
    return " && ".join(f"{check} {shlex.quote(each)}" for each in scripts)


def _language_of(workload: Workload) -> str:
    """Of Apache's modules the one of PHP is known by its files."""
    paths = [*workload.links, *(carried.path for carried in workload.carried)]
    return "php" if any("php" in path for path in paths) else ""
