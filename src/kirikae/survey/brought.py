"""What a file is by its name: code that a release, a package or a lock file brought, configuration
of a person's, or data."""

from __future__ import annotations

import re
from functools import lru_cache

from kirikae.model.bundle import File
from kirikae.survey.paths import name_of

_CODE = re.compile(
    r"\.(py[ciwx]?|pyx|php\d?|phtml|inc|module|install|theme|rb|rake|ru|erb|haml|slim|gemspec|pl|pm"
    r"|t|cgi|psgi|tt2?|js|mjs|cjs|jsx|ts|tsx|vue|svelte|coffee|css|scss|sass|less|html?|xhtml|twig"
    r"|blade|tpl|tmpl|j2|jinja2?|ejs|hbs|mustache|pug|jade|java|class|jar|war|jsp|kt|scala|groovy"
    r"|clj|go|rs|c|h|cc|cpp|hpp|so|a|o|sh|bash|lua|ex|exs|eex|erl|beam|cs|dll|swift|sql|pot?|mo"
    r"|map|woff2?|ttf|eot|otf|svg|ico|md|rst|wasm)(\.\d+)*$",
    re.IGNORECASE,
)
_CODE_BY_NAME = re.compile(
    r"(Gemfile|Rakefile|Procfile|Makefile|Dockerfile|LICENSE|README|CHANGELOG|COPYING|AUTHORS"
    r"|NEWS|VERSION|REVISION|artisan|manage|package(-lock)?\.json|composer\.json|tsconfig.*\.json"
    r"|manifest\.json|requirements.*\.txt|robots\.txt|humans\.txt|Pipfile|go\.(mod|sum)"
    r"|(Gemfile|composer|yarn|poetry|Cargo|Pipfile|pdm|uv|mix|Podfile|pubspec|flake|bun|deno|gems"
    r"|packages)\.lock)",
    re.IGNORECASE,
)
_SETTINGS = re.compile(
    r"^\.|\.(ya?ml|toml|ini|cfg|conf|env|properties|plist|pem|crt|key|cnf|dist|example|sample)$",
    re.IGNORECASE,
)
_OF_AN_ARCHIVE = re.compile(r"/(WEB-INF|META-INF)/")
"""An application of Java, unpacked."""
_VENDORED = re.compile(
    r"/(node_modules|bower_components|vendor|bundle|\.bundle|gems|s?venv|\.venv|env/lib"
    r"|site-packages|dist-packages|__pycache__|\.git|\.svn|\.hg|\.npm|\.yarn|\.rbenv|\.nvm|\.pyenv"
    r"|\.plenv|\.rvm|\.gem|\.cargo|\.rustup|\.local/(lib|share/(pipx|uv))|local/lib/perl5"
    r"|\.composer|\.cpanm?)(/|$)",
)
_NAMES_KEPT = 65536
"""The same names stand in many folders."""
_RUNS = 0o100
_OTHERS_WRITE = 0o022
_MEDIA = re.compile(
    r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic|avif|pdf|docx?|xlsx?|pptx?|csv|zip|mp[34]|mov|avi|wav"
    r"|ogg|webm|eps|ai|psd)$",
    re.IGNORECASE,
)
_RELEASES = re.compile(r"/(releases|versions|revisions)$")


_LOG = re.compile(r"\.log(\.\d+)?(\.gz)?$|\.log-\d+(\.gz)?$")
_SESSION = re.compile(r"^(sess_|cgisess_|ci_session)|^SESSIONS\.ser$|\.session$|^session[-_.]")


def is_code(path: str) -> bool:
    """A file that comes with a release, by its name."""
    return _is_name_of_code(name_of(path)) or bool(_OF_AN_ARCHIVE.search(path))


@lru_cache(_NAMES_KEPT)
def _is_name_of_code(name: str) -> bool:
    return bool(_CODE.search(name) or _CODE_BY_NAME.fullmatch(name))


def is_program(file: File) -> bool:
    """Code by its name, or a file that its owner may run and no other may write."""
    if is_code(file.path):
        return True
    runs = file.mode & _RUNS and not file.mode & _OTHERS_WRITE
    return bool(runs) and not is_media(file.path)


def is_settings(path: str) -> bool:
    """A file that a person or a tool of deployment wrote, by its name."""
    return _is_name_of_settings(name_of(path))


@lru_cache(_NAMES_KEPT)
def _is_name_of_settings(name: str) -> bool:
    return bool(_SETTINGS.search(name))


def is_data(file: File) -> bool:
    """Neither of the two."""
    return not is_program(file) and not is_settings(file.path)


def is_session(path: str) -> bool:
    """A file in which a session of a user's is kept, by its name."""
    return bool(_SESSION.search(name_of(path)))


def is_media(path: str) -> bool:
    """Such as people send: pictures, documents, sound."""
    return bool(_MEDIA.search(name_of(path)))


def is_log(path: str) -> bool:
    """By its name, rotated or not."""
    return bool(_LOG.search(path))


def is_vendored(path: str) -> bool:
    """In a folder that a package manager of a language or a version control fills."""
    return bool(_VENDORED.search(path))


def keeps_releases(folder: str) -> bool:
    """A folder that holds one folder for each release, by its name."""
    return bool(_RELEASES.search(folder))
