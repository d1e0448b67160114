"""The texts that images are made from: Dockerfiles of the storeys and of the sidecar, and what
stays out of the context."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kirikae.build import checks
from kirikae.build.carried import RENDERED, TEMPLATES, Layer
from kirikae.build.contents import state_of_hosts
from kirikae.build.distributions import distribution_of, family_of
from kirikae.build.note import NOTE
from kirikae.build.texts import text_of
from kirikae.model.build_settings import Assets, BuildSettings
from kirikae.model.bundle import MASKED
from kirikae.model.project import Project
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Lock, WebServer, Workload

_IGNORED = (
    ".git",
    ".hg",
    ".svn",
    ".gitignore",
    "**/__pycache__",
    "**/*.pyc",
    "**/.env",
    "**/.env.*",
    "**/*.pem",
    "**/*.key",
    "**/id_rsa*",
    "**/.npmrc",
    "**/.netrc",
    "**/.pgpass",
    "**/.aws",
    "**/*.log",
    "**/*.sql",
    "**/*.bak",
    "**/tests",
    "**/test",
    "**/.venv",
    "!release",
    "!release/**",
    "!layers",
    "!layers/**",
)
"""The release last, and whole: what must not be in it was left out when it was made, and both sides
run the same files (a service may read its .sql, its CA's .pem, a package called test)."""
LAYERS = ("vendor", "assets", "code")
"""Parts of a release in the order in which they change."""
_INSTALLERS = {
    "npm": ("nodejs npm", "npm ci --omit=dev --no-audit --no-fund"),
    "composer": (
        "composer php-cli php-zip unzip",
        "composer install --no-dev --no-interaction --no-scripts --optimize-autoloader",
    ),
    "bundler": (
        "bundler ruby-dev build-essential",
        "bundle config set --local deployment true; bundle install --quiet",
    ),
    "cpan": ("carton cpanminus build-essential libperl-dev", "carton install --deployment"),
}
"""Debian's packages that a manager needs, and what it is called with."""


@dataclass(frozen=True, slots=True)
class User:
    """With the numbers of the hosts."""

    name: str
    uid: int
    gid: int
    folder: str


@dataclass(frozen=True, slots=True)
class Folder:
    """One that the service's user owns in the image."""

    path: str
    mode: str = "0755"


@dataclass(frozen=True, slots=True)
class Installed:
    """Locked packages of a language, laid where the release lies.  ``stage``: its name in the
    Dockerfile; ``part``: the part of the release that it belongs to; empty: all of it."""

    stage: str
    manager: str
    part: str
    files: tuple[str, ...]
    tree: str
    folder: str
    tools: str
    command: str

    @property
    def workdir(self) -> str:
        """The folder as WORKDIR takes it."""
        return _literally(self.folder)

    @property
    def locks(self) -> list[str]:
        """Where the stage finds the lock, and what belongs to it."""
        return [f"/usr/share/kirikae/locks/{self.part}{name}" for name in self.files]

    @property
    def copy(self) -> str:
        """Out of the stage, to the same place."""
        tree = f"{self.folder}/{self.tree}/"
        return _copy(tree, tree, f"--from={self.stage} ")


def ignore_file() -> str:
    """.dockerignore."""
    return f"# {NOTE}\n" + "\n".join(_IGNORED) + "\n"


def state_file(workload: Workload) -> str:
    """What `build verify` looks for where there is no survey, as in CI."""
    return f"# {NOTE}\n" + "".join(f"{tree}\n" for tree in state_of_hosts(workload))


def packages_file(workload: Workload) -> str:
    """``name=version`` lines, which the Dockerfile reads; of all services of the hosts."""
    chosen = {pair for one in workload.every for pair in one.packages}
    lines = [f"{name}={version}" for name, version in sorted(chosen)]
    if any(one.virtual_environment for one in workload.every):
        lines += [] if any(name == "python3-venv" for name, _ in chosen) else ["python3-venv"]
    return "".join(f"{line}\n" for line in lines)


def base_dockerfile(workload: Workload, project: Project) -> str:
    """The storey that changes rarely: operating system, packages, locale, time zone, users."""
    every = list(workload.every)
    return text_of(
        "base.Dockerfile",
        distribution=distribution_of(workload, project.build),
        family=family_of(workload, project.build),
        locks=list(_installed(every)),
        locale=_locale(workload.locale),
        zone="" if workload.zone.endswith("UTC") else workload.zone,
        unpackaged=sorted({program for one in every for program in one.unpackaged}),
        requirements=next(
            (f"{one.release}requirements.txt" for one in every if one.requirements), ""
        ),
        virtual_environment=next(
            (one.virtual_environment for one in every if one.virtual_environment), ""
        ),
        users=list(_users(every)),
        lines=project.build.lines.get("base.Dockerfile", ""),
    )


def _installed(every: Iterable[Workload]) -> Iterator[Installed]:
    """One stage for each code and manager; services of the same code share it."""
    seen: set[tuple[str, str]] = set()
    managers: set[str] = set()
    for one in every:
        for lock in one.locks:
            if (lock.manager, one.folder) not in seen:
                again = lock.manager in managers
                seen.add((lock.manager, one.folder))
                managers.add(lock.manager)
                tools, command = _INSTALLERS[lock.manager]
                yield Installed(
                    f"{lock.manager}-{one.name}" if again else lock.manager,
                    lock.manager,
                    one.release,
                    lock.files,
                    lock.tree,
                    one.folder,
                    tools,
                    command,
                )


def lock_files(workload: Workload) -> tuple[Lock, ...]:
    """What `build image` takes out of a release for the base storey."""
    return tuple(lock for one in workload.every for lock in one.locks)


def _users(every: Iterable[Workload]) -> Iterator[User]:
    seen = set()
    for one in every:
        if one.uid and one.uid not in seen:
            seen.add(one.uid)
            yield User(one.user, one.uid, one.gid, one.folder)


def _locale(locale: str) -> str:
    """``ja_JP.UTF-8``, written as locale.gen wants it (locale.gen(5))."""
    name, dot, charset = locale.partition(".")
    return f"{name}.{charset} {charset.upper()}" if dot and MASKED not in locale else ""


# --- the app storey


def app_dockerfile(
    workload: Workload,
    settings: BuildSettings,
    layer: Layer | None = None,
) -> str:
    """The storey that changes with every release."""
    layer = layer or Layer()
    name = f"{workload.name}.Dockerfile"
    return text_of(
        "app.Dockerfile",
        name=workload.name,
        image=workload.name,
        release=workload.release,
        clears=layer.clears,
        carried=[path.removeprefix(f"{TEMPLATES}/") for path in sorted(layer.files)],
        links=dict(layer.links),
        folders=[Folder(path) for path in _folders(workload, settings, layer)],
        volumes=tuple(_sockets(workload)),
        logs=list(logs_of(workload)),
        assets=assets_copy(workload, settings),
        copies=[_copy(f"layers/{part}/", f"{workload.folder}/") for part in LAYERS],
        checks=list(checks.of(workload, layer, settings)),
        lines=settings.lines.get(name, ""),
        workdir=_literally(workload.folder),
        uid=workload.uid,
        gid=workload.gid,
        stop=workload.runtime.stop,
        starts=bool(layer.names),
        command=command_of(workload),
    )


def assets_dockerfile(name: str, assets: Assets) -> str:
    """The stage in which the front end is built."""
    output = assets.output.rstrip("/")
    return text_of(
        "assets.Dockerfile",
        name=name,
        inputs=["package.json", "package-lock.json", *assets.sources],
        packages=list(assets.packages),
        command=assets.command,
        copy=(f"/build/{output}/", f"/{output}/"),
    )


def assets_copy(workload: Workload, settings: BuildSettings) -> str:
    """Out of that stage, into the code of the service in front; empty: there is none."""
    if settings.assets is None:
        return ""
    output = settings.assets.output.rstrip("/")
    return _copy(f"/{output}/", f"{workload.folder}/{output}/", "--from=assets ")


def _folders(
    workload: Workload,
    settings: BuildSettings,
    layer: Layer,
) -> Iterator[str]:
    """Folders that are the service's own; a volume that is new takes the rights of the folder that
    it lies over."""
    yield from _sockets(workload)
    if layer.names:
        yield RENDERED
    yield from sorted(settings.mounts)


def command_of(workload: Workload) -> tuple[str, ...]:
    """In the foreground, and told to the shell only where Apache needs its own variables."""
    match workload.runtime.image:
        case ImageKind.APACHE:
            script = ". /etc/apache2/envvars && exec apache2 -D FOREGROUND"
            return ("/bin/sh", "-c", script)
        case ImageKind.PHP_FPM:
            return (*_fpm_command(workload.command), "--nodaemonize", "--force-stderr")
        case _:
            return workload.command


def _fpm_command(command: Sequence[str]) -> tuple[str, ...]:
    options = {"--nodaemonize", "-F", "--daemonize", "-D", "--force-stderr", "-O"}
    return tuple(word for word in command if word not in options)


def _sockets(workload: Workload) -> Iterator[str]:
    """Folders in which the sidecar finds the service's sockets."""
    if workload.runtime.image is not ImageKind.PROGRAM:
        return
    yield from shared_folders(workload)


def shared_folders(workload: Workload) -> list[str]:
    """Folders of sockets; what all of /run shares is nobody's."""
    folders = {posixpath.dirname(socket) for socket in workload.sockets}
    return sorted(folder for folder in folders if folder.count("/") > 1)


def logs_of(workload: Workload) -> Iterator[str]:
    """Files that the service itself writes its logs into."""
    name = workload.unit.removesuffix(".service")
    for writable in workload.writable:
        if writable.kind == "log" and name in writable.services:
            yield from writable.files


_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._@%+=:,-]+")


def _copy(source: str, target: str, options: str = "") -> str:
    """A path with blanks needs the form of JSON (Dockerfile reference, COPY)."""
    if _PLAIN_PATH.fullmatch(source + target):
        return f"COPY {options}{source} {target}"
    both = json.dumps([_literally(source), _literally(target)], ensure_ascii=False)
    return f"COPY {options}{both}"


def _literally(path: str) -> str:
    """No variable of the Dockerfile is meant, and no line goes on."""
    return path.replace("\\", "\\\\").replace("$", "\\$")


# --- the sidecar


def web_dockerfile(
    web: WebServer,
    workload: Workload,
    settings: BuildSettings,
    names: Sequence[str] = (),
) -> str:
    """The sidecar in front of the services; ``names``: what its configuration waits for."""
    served = [(one, folder) for one in workload.every for folder in _static(one)]
    return text_of(
        "web.Dockerfile",
        family=family_of(workload, settings),
        copies=list(dict.fromkeys(_copy(*_served(one, folder)) for one, folder in served)),
        assets=assets_copy(workload, settings) if served else "",
        shared=list(_shared(workload, settings)),
        starts=bool(names),
        dummies=" ".join(f"{name}=x" for name in names),
        lines=settings.lines.get("web.Dockerfile", ""),
    )


def _shared(workload: Workload, settings: BuildSettings) -> Iterator[User]:
    """Folders of volumes that the sidecar may mount, with their owner."""
    for one in workload.every:
        for path in _sockets(one):
            yield User(one.user, one.uid, one.gid, path)
    for path, mount in sorted(settings.mounts.items()):
        if mount.efs is not None:
            yield User(workload.user, workload.uid, workload.gid, path)


def _static(workload: Workload) -> tuple[str, ...]:
    return workload.web.static if workload.web is not None else ()


def _served(workload: Workload, folder: str) -> tuple[str, str]:
    source = f"release/{workload.release}"
    if folder == ".":
        return source, f"{workload.folder}/"
    return f"{source}{folder}/", f"{workload.folder}/{folder}/"


def web_packages_file(web: WebServer) -> str:
    """The web server's packages alone, in the hosts' versions."""
    every = [(web.package, web.version), *web.modules]
    return "".join(f"{name}={version}\n" for name, version in every)


def links_file(layer: Layer) -> str:
    """``link target`` lines, which the Dockerfile reads."""
    rows = []
    for link, target in sorted(layer.links.items()):
        rows.append(f"/{link.lstrip('/')} {_target(target)}")
    return "".join(f"{row}\n" for row in rows)


def _target(target: str) -> str:
    return target if target.startswith((".", "/")) or "/" not in target else f"/{target}"
