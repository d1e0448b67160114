"""The texts that images are made from: Dockerfiles of the storeys, the sidecar's nginx.conf, what
stays out of the context."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator

from kirikae.build.note import NOTE
from kirikae.model.project import Project
from kirikae.model.workload import WebServer, Workload

DISTRIBUTIONS = {
    "debian 11": "debian:11-slim",
    "debian 12": "debian:12-slim",
    "debian 13": "debian:13-slim",
    "ubuntu 22.04": "ubuntu:22.04",
    "ubuntu 24.04": "ubuntu:24.04",
}
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
)
"""The release last, and whole: what must not be in it was left out when it was made, and both sides
run the same files (a service may read its .sql, its CA's .pem, a package called test)."""
# Exact versions disappear from the package servers: where one is gone, the newest is taken, and
# that is written down. Keys that packages make at installation would be the same in every
# container, and setuid bits must not be in an image (`build verify`).
_INSTALL = r"""RUN set -eu; apt-get update -qq; mkdir -p /usr/share/kirikae; wanted=; \
    while IFS= read -r package; do \
      if apt-get install -s -qq --no-install-recommends "$package" >/dev/null 2>&1; \
      then wanted="$wanted $package"; \
      else wanted="$wanted ${package%%=*}"; \
        echo "$package" >>/usr/share/kirikae/other-versions; fi; \
    done </usr/share/kirikae/FILE; \
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends $wanted >/dev/null; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log; \
    rm -rf /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssh/ssh_host_*; \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +"""
_FORMAT = re.compile(r"^\s*log_format\s+(\S+)")
_ACCESS_LOG = re.compile(r"(\baccess_log\s+)(?!off\s*;|syslog:)([^;{}]+);")
_ERROR_LOG = re.compile(r"(\berror_log\s+)(?!syslog:|stderr\b)([^;{}]+);")
_LISTEN = re.compile(r"^(\s*listen\s+)(?:\S+:)?(\d+)(\b[^;]*;)")


def ignore_file() -> str:
    """.dockerignore."""
    return f"# {NOTE}\n" + "\n".join(_IGNORED) + "\n"


def packages_file(workload: Workload) -> str:
    """``name=version`` lines, which the Dockerfile reads."""
    return "".join(f"{name}={version}\n" for name, version in workload.packages)


def base_dockerfile(workload: Workload, project: Project) -> str:
    """The storey that changes rarely: operating system, packages, locale, time zone, user."""
    return "\n".join(_base_lines(workload, project)) + "\n"


def _base_lines(workload: Workload, project: Project) -> Iterator[str]:
    """Line by line; whatever the service does not need is not there."""
    yield f"# The base storey: operating system and packages; changes rarely.  {NOTE}."
    yield f"ARG DISTRIBUTION={_distribution(workload, project)}"
    yield "FROM ${DISTRIBUTION}"
    yield "COPY base.packages /usr/share/kirikae/base.packages"
    yield (
        "# The versions that the hosts have; where one is no longer offered, the newest, "
        "and that is written down."
    )
    yield _INSTALL.replace("FILE", "base.packages")
    if workload.locale and "." in workload.locale:
        yield _locale(workload.locale)
    if workload.zone and not workload.zone.endswith("UTC"):
        yield _zone(workload.zone)
    if workload.requirements:
        yield (
            "COPY wheelhouse/ /usr/share/kirikae/wheelhouse/\nCOPY requirements.txt "
            "/usr/share/kirikae/requirements.txt"
        )
        yield (
            "RUN cd /usr/share/kirikae && pip install --break-system-packages --no-index "
            "--find-links wheelhouse -r requirements.txt"
        )
    if workload.uid:
        yield _user(workload)


def _distribution(workload: Workload, project: Project) -> str:
    """As the project file says, else the hosts' own."""
    if project.build.distribution:
        return project.build.distribution
    return DISTRIBUTIONS.get(workload.distribution, workload.distribution.replace(" ", ":"))


def _locale(locale: str) -> str:
    """``ja_JP.UTF-8``, written as locale.gen wants it (locale.gen(5))."""
    name, charset = locale.split(".", 1)
    return (
        "# CF19: the service runs in this locale.\n"
        f"RUN echo {shlex.quote(f'{name}.{charset} {charset.upper()}')} >/etc/locale.gen && "
        "locale-gen >/dev/null"
    )


def _zone(zone: str) -> str:
    """As on the hosts: jobs and paths of logs follow it."""
    return (
        "# CF19: the hosts' time zone.\n"
        f"RUN ln -sf {shlex.quote(f'/usr/share/zoneinfo/{zone}')} /etc/localtime && echo "
        f"{shlex.quote(zone)} >/etc/timezone"
    )


def _user(workload: Workload) -> str:
    """The user with its numbers of the hosts."""
    user = shlex.quote(workload.user)
    return (
        "# PR05: the same numbers as on the hosts, so that ownership of shared data "
        "still fits.\n"
        f"RUN groupadd -o -g {workload.gid} {user} && "
        f"useradd -o -u {workload.uid} -g {workload.gid} -M -d {shlex.quote(workload.folder)} -s "
        f"/usr/sbin/nologin {user}"
    )


def app_dockerfile(workload: Workload) -> str:
    """The storey that changes with every release."""
    return f"""# The app storey: the release's code; changes with every release.  {NOTE}.
ARG BASE
FROM ${{BASE}}
{_copy("release/", f"{workload.folder}/")}
WORKDIR {_literally(workload.folder)}
USER {workload.uid}:{workload.gid}
CMD {json.dumps(list(workload.command))}
"""


_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._@%+=:,-]+")


def _copy(source: str, target: str) -> str:
    """A path with blanks needs the form of JSON (Dockerfile reference, COPY)."""
    if _PLAIN_PATH.fullmatch(source + target):
        return f"COPY {source} {target}"
    return f"COPY {json.dumps([_literally(source), _literally(target)], ensure_ascii=False)}"


def _literally(path: str) -> str:
    """No variable of the Dockerfile is meant, and no line goes on."""
    return path.replace("\\", "\\\\").replace("$", "\\$")


def web_dockerfile(web: WebServer, workload: Workload) -> str:
    """The sidecar in front of the service.

    nginx finishes what it has begun when it gets SIGQUIT; 33 is www-data's number on Debian.
    """
    copies = "\n".join(
        _copy(f"release/{folder}/", f"{workload.folder}/{folder}/") for folder in web.static
    )
    return f"""# The web sidecar: nginx, its virtual host as on the hosts, and static files (AS01).
# {NOTE}.
ARG DISTRIBUTION
FROM ${{DISTRIBUTION}}
COPY web.packages /usr/share/kirikae/web.packages
{_INSTALL.replace("FILE", "web.packages")}
COPY nginx.conf /etc/nginx/nginx.conf
{copies}
USER 33:33
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""


def web_packages_file(web: WebServer) -> str:
    """The web server's package alone, in the hosts' version."""
    return f"{web.package}={web.version}\n"


def nginx_conf(web: WebServer, port: int) -> str:
    """The virtual host as it is, on a port that needs no root."""
    formats = {name for line in web.lines for name in _FORMAT.findall(line)} | {"combined"}
    lines = (_to_stdout(_moved(line, web.port, port), formats) for line in web.lines)
    host = "\n".join(f"    {line}".rstrip() for line in lines)
    return f"""# The virtual host of {web.path}, on port {port} and without root.  {NOTE}.
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    access_log /dev/stdout;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
{host}
}}
"""


def _to_stdout(line: str, formats: Collection[str]) -> str:
    """A file of the host's would not open: the root is read-only, and nginx no root.  A format that
    stood in the main file is not known here, so nginx's own is taken."""

    def access(found: re.Match[str]) -> str:
        words = found[2].split()
        named = f" {words[1]}" if len(words) > 1 and words[1] in formats else ""
        return f"{found[1]}/dev/stdout{named};"

    def error(found: re.Match[str]) -> str:
        words = found[2].split()
        level = f" {words[1]}" if len(words) > 1 else ""
        return f"{found[1]}stderr{level};"

    if line.lstrip().startswith("#"):
        return line
    return _ERROR_LOG.sub(error, _ACCESS_LOG.sub(access, line))


def _moved(line: str, port_there: int, port: int) -> str:
    """A line of the virtual host; where it listens at the host's port, at ours."""
    listen = _LISTEN.match(line)
    if listen is None:
        return line
    chosen = str(port) if int(listen[2]) == port_there else listen[2]
    return f"{listen[1]}{chosen}{listen[3]}"
