"""What a file is by its name: code that a release, a package or a lock file brought, configuration
of a person's, or data."""

from __future__ import annotations

import re

from kirikae.survey.paths import name_of

_CODE = re.compile(
    r"\.(py[ciwx]?|pyx|php\d?|phtml|inc|module|install|theme|rb|rake|ru|erb|haml|slim|gemspec|pl|pm"
    r"|t|cgi|psgi|tt2?|js|mjs|cjs|jsx|ts|tsx|vue|svelte|coffee|css|scss|sass|less|html?|xhtml|twig"
    r"|blade|tpl|tmpl|j2|jinja2?|ejs|hbs|mustache|pug|jade|java|class|jar|war|jsp|kt|scala|groovy"
    r"|clj|go|rs|c|h|cc|cpp|hpp|so|a|o|sh|bash|lua|ex|exs|eex|erl|beam|cs|dll|swift|sql|pot?|mo"
    r"|map|woff2?|ttf|eot|otf|svg|ico|lock|md|rst|wasm)(\.\d+)*$",
    re.IGNORECASE,
)
_CODE_BY_NAME = re.compile(
    r"(Gemfile|Rakefile|Procfile|Makefile|Dockerfile|LICENSE|README|CHANGELOG|COPYING|AUTHORS"
    r"|NEWS|VERSION|REVISION|artisan|manage|package(-lock)?\.json|composer\.json|tsconfig.*\.json"
    r"|manifest\.json|requirements.*\.txt|robots\.txt|humans\.txt|Pipfile|go\.(mod|sum))",
    re.IGNORECASE,
)
_SETTINGS = re.compile(
    r"^\.|\.(ya?ml|toml|ini|cfg|conf|env|properties|plist|pem|crt|key|cnf|dist|example|sample)$",
    re.IGNORECASE,
)
_VENDORED = re.compile(
    r"/(node_modules|bower_components|vendor|bundle|\.bundle|gems|s?venv|\.venv|env/lib"
    r"|site-packages|dist-packages|__pycache__|\.git|\.svn|\.hg|\.npm|\.yarn|\.rbenv|\.nvm|\.pyenv"
    r"|\.plenv|\.rvm|\.gem|\.cargo|\.rustup|\.local/(lib|share/(pipx|uv))|local/lib/perl5"
    r"|\.composer|\.cpanm?)(/|$)",
)
_MEDIA = re.compile(
    r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic|avif|pdf|docx?|xlsx?|pptx?|csv|zip|mp[34]|mov|avi|wav"
    r"|ogg|webm|eps|ai|psd)$",
    re.IGNORECASE,
)
_RELEASES = re.compile(r"/(releases|versions|revisions)$")


def is_code(path: str) -> bool:
    """A file that comes with a release, by its name."""
    name = name_of(path)
    return bool(_CODE.search(name) or _CODE_BY_NAME.fullmatch(name))


def is_settings(path: str) -> bool:
    """A file that a person or a tool of deployment wrote, by its name."""
    return bool(_SETTINGS.search(name_of(path)))


def is_data(path: str) -> bool:
    """Neither of the two."""
    return not is_code(path) and not is_settings(path)


def is_media(path: str) -> bool:
    """Such as people send: pictures, documents, sound."""
    return bool(_MEDIA.search(name_of(path)))


def is_vendored(path: str) -> bool:
    """In a folder that a package manager of a language or a version control fills."""
    return bool(_VENDORED.search(path))


def keeps_releases(folder: str) -> bool:
    """A folder that holds one folder for each release, by its name."""
    return bool(_RELEASES.search(folder))
