"""What stands at the host's edge: addresses it holds, walls, encryption, time-outs, names of sites,
and files that the web server hands out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import below, name_of, under
from kirikae.survey.rules.running import running
from kirikae.survey.view import View

_EVERYWHERE = ("0.0.0.0", "::", "127.0.0.1", "::1")
_LOCAL = re.compile(r"127\.|169\.254\.|fe80:")
_FAILOVER = ("keepalived*", "ucarp*", "heartbeat*", "corosync*", "pacemaker*", "vrrpd*")
_WALLS = re.compile(
    r"/etc/(iptables/rules\.v[46]|sysconfig/ip6?tables|nftables\.conf|nftables/.*|ufw/user6?\.rules"
    r"|firewalld/zones/.*|hosts\.(allow|deny)|fail2ban/(jail\.local|jail\.d/.*))$"
)
_A_RULE = re.compile(
    r"^\s*(-A\s|-I\s|.*\b(accept|drop|reject)\b\s*(#.*)?$|(?!PARANOID)\w[\w./, -]*\s*:\s*\S"
    r"|<(service|port|rule|source)\b|enabled\s*=\s*true|###\s*tuple)",
)
_TLS = re.compile(
    r"^\s*ssl_certificate\s+([^;]+);|^\s*SSLCertificateFile\s+\"?([^\"\s]+)"
    r"|^\s*bind\s.*\bssl\s+crt\s+(\S+)"
)
_RENEWS = re.compile(r"certbot|letsencrypt|acme\.sh|dehydrated|lego\b|getssl")
_CACHES = ("dnsmasq*", "nscd*", "unbound*", "pdnsd*", "pdns-recursor*")
_TIMEOUT = re.compile(
    r"^\s*(proxy_read_timeout|proxy_send_timeout|fastcgi_read_timeout|uwsgi_read_timeout"
    r"|grpc_read_timeout|ProxyTimeout|TimeOut|Timeout|keepalive_timeout|timeout\s+server)"
    r"\s+(\d+)(ms|s|m|h)?\b"
)
_IN_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}
_IDLE_S = 60
"""An Application Load Balancer's own, unless somebody changed it."""
_LONG_OPEN = re.compile(
    r"Upgrade\s+\$http_upgrade|proxy_pass\s+ws|RewriteCond.*websocket|ws_tunnel|wss?://"
    r"|proxy_buffering\s+off|X-Accel-Buffering"
)
_NAMES = re.compile(r"^\s*(?:server_name|ServerName|ServerAlias)\s+([^;]+);?")
_A_NAME = re.compile(r"[\w*.-]*\w\.\w[\w.-]*")
_HANDS_OVER = re.compile(r"X-Accel-Redirect|X-Sendfile|XSendFile|^\s*internal\s*;", re.IGNORECASE)
_HEALTH = re.compile(
    r"health|[\"'/](ping|status|alive|livez|readyz|ready|up|heartbeat)\b", re.IGNORECASE
)
_WITH_HEALTH = "2"
"""Bundles of before hold no lines of code that speak of health."""
_LEFT = ("node_modules", ".svn", ".hg", "bower_components", "tests", "spec", ".sass-cache")
_ROOT = re.compile(
    r"\b(?:root|alias|DocumentRoot)\s+[\"']?([^;\"'\s]+)"
    r"|^\s*(?:Script)?Alias\s+\S+\s+[\"']?([^;\"'\s]+)",
    re.IGNORECASE,
)
_SECRET_FILES = re.compile(
    r"/(\.env(\.[^/]*)?|[^/]*\.(sql|dump|bak|old|orig|swp|pem|key)|[^/]*\.sql\.(gz|bz2|xz|zip)"
    r"|phpinfo\.php|info\.php|\.htpasswd|id_rsa|web\.config\.bak|wp-config\.php[^/]*~"
    r"|backup[^/]*\.(zip|tar|tgz|gz))$"
)
_EXAMPLE = re.compile(r"\.(example|sample|dist|template)$|/\.env\.(example|sample|dist)$")
_SHOWN = 8


def bound_to_an_address(view: View) -> Findings:
    """A task gets another address at each start."""
    names = {service.unit.name: service.name for service in view.services}
    for listener in view.bundle.listeners:
        address = listener.address
        process = view.process_at.get(listener.pid) if listener.pid else None
        if address in _EVERYWHERE or _LOCAL.match(address):
            continue
        if process is None or process.unit not in names:
            continue
        owner = names[process.unit]
        yield observed(
            "NW04",
            where=f"{owner}:{listener.port}",
            says=f"{owner} listens on the address {address} alone",
            evidence=[view.trace(f"/proc/net/{listener.protocol}", f"{address}:{listener.port}")],
        )


def wandering_address(view: View) -> Findings:
    """Two hosts hand an address to each other; tasks stand behind a load balancer."""
    yield from running(view, "NW04", _FAILOVER, "{unit} hands an address from host to host")


def walls(view: View) -> Findings:
    """A task's wall is its security group."""
    for text in view.bundle.texts:
        lines = [line for line in text.live() if _A_RULE.search(line.text)]
        packaged = view.bundle.owner(text.path) is not None and text.path not in view.changed
        if _WALLS.search(text.path) and lines and not packaged:
            rules = counted(len(lines), "line decides", "lines decide")
            yield configured(
                "NW05",
                where=text.path,
                says=f"{rules} in {text.path} who may connect",
                evidence=view.quotes(lines[:_SHOWN]),
                count=len(lines),
            )


def encryption(view: View) -> Findings:
    """Certificates, how long they hold, and who renews them."""
    days = {each.path: each.ends for each in view.bundle.certificates}
    seen = set()
    for line in _lines_of_servers(view):
        match = _TLS.search(line.text)
        path = next((each for each in match.groups() if each), "").strip() if match else ""
        if not path or path in seen:
            continue
        seen.add(path)
        ends = days.get(path) or days.get(view.bundle.resolve(path))
        until = f" (it ends on {ends})" if ends else ""
        yield configured(
            "NW06",
            where=path,
            says=f"this host decrypts with the certificate {path}{until}",
            evidence=[view.quote(line)],
        )
    yield from _renewals(view)


def _lines_of_servers(view: View) -> Iterator[Line]:
    """Live ones of nginx and Apache, and of HAProxy."""
    yield from view.web_lines
    for text in view.bundle.texts:
        if text.path.startswith("/etc/haproxy/"):
            yield from text.live()


def _renewals(view: View) -> Findings:
    """They stop with the host, and the certificate ends some weeks later."""
    lines = [Line(unit.name, 0, unit.get("Unit")) for unit in view.bundle.schedules]
    lines = [line for line in lines if _RENEWS.search(line.path)]
    lines += [job.line for job in view.schedules.jobs if _RENEWS.search(job.says)]
    lines += [line for line in view.schedules.housekeeping if _RENEWS.search(line.text)]
    if lines:
        yield configured(
            "NW06",
            where=lines[0].path,
            says="certificates are renewed by this host",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def name_caches(view: View) -> Findings:
    """The VPC answers by itself."""
    yield from running(view, "NW13", _CACHES, "{unit} answers for names here")


def long_requests(view: View) -> Findings:
    """A load balancer ends what is silent for longer than its own time."""
    own = {text.path for text in view.own_texts}
    for line in _lines_of_servers(view):
        match = _TIMEOUT.search(line.text)
        seconds = int(match[2]) * _IN_SECONDS[match[3]] if match else 0
        keeps_open = match and match[1] == "keepalive_timeout"
        if match and seconds > _IDLE_S and not keeps_open and line.path in own:
            yield configured(
                "NW12",
                where=line.at,
                says=f"a request may be silent for {seconds:.0f} s ({match[1]})",
                evidence=[view.quote(line)],
            )
        elif _LONG_OPEN.search(line.text):
            yield configured(
                "NW12",
                where=line.at,
                says="connections stay open (a websocket, or an answer in pieces)",
                evidence=[view.quote(line)],
            )


def many_sites(view: View) -> Findings:
    """Each of them becomes a rule of the load balancer."""
    lines: dict[str, Line] = {}
    for line in view.web_lines:
        match = _NAMES.search(line.text)
        for name in _A_NAME.findall(match[1]) if match else ():
            if name not in ("localhost.localdomain", "example.com"):
                lines.setdefault(name, line)
    if len(lines) > 1:
        shown = ", ".join(sorted(lines)[:_SHOWN])
        yield configured(
            "NW14",
            where="names of sites",
            says=f"{len(lines)} names are served here: {shown}",
            evidence=view.quotes(list(lines.values())[:_SHOWN]),
            count=len(lines),
        )


def hands_files_over(view: View) -> Findings:
    """The application tells the web server which file to send: apart, they share no disk."""
    lines = [line for line in view.web_lines if _HANDS_OVER.search(line.text)]
    for code in view.code:
        lines += [line for line in code.lines if _HANDS_OVER.search(line.text)]
    if lines:
        yield configured(
            "AS04",
            where=lines[0].at,
            says="the application lets the web server send files for it",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def no_health_route(view: View) -> Findings:
    """Looked for in the code that was read and in the web server's configuration: absence is told
    only where there was something to look at."""
    read = [code for code in view.code if code.count and _serves(view, code.root)]
    if not read or not view.web or view.bundle.meta.get("tokens") != _WITH_HEALTH:
        return
    if not any(_HEALTH.search(said) for said in _said_of_routes(view)):
        yield configured(
            "NW09",
            where=read[0].root,
            says="neither the code nor the web server seems to have a route for health checks",
            evidence=[view.trace(code.root, f"{code.count} files were read") for code in read],
        )


def _said_of_routes(view: View) -> Iterator[str]:
    """Lines of the web server and of code, and names of files of code."""
    for line in view.web_lines:
        yield line.text
    for code in view.code:
        yield from (line.text for line in code.lines)
        yield from (f"/{name}" for name in code.files)


def _serves(view: View, root: str) -> bool:
    """Does an application work in this tree?"""
    return any(view.works_in(service, root) for service in view.applications)


# --- files below what is served


def served_folders(view: View) -> list[str]:
    """Document roots and aliases, where they really lie."""
    found = set()
    for line in view.web_lines:
        for root, alias in _ROOT.findall(line.text):
            real = view.bundle.resolve((root or alias).rstrip("/"))
            if real.count("/") > 1:
                found.add(real)
    return sorted(found)


def left_by_a_build(view: View) -> Findings:
    """They make the image large, and are nobody's business."""
    roots = served_folders(view)
    for folder in view.bundle.folders:
        name = name_of(folder.path)
        inside = any(below(folder.path, root) for root in roots)
        if name in _LEFT and inside and not _in_one_of(folder.path, _LEFT):
            yield present(
                "AS02",
                where=folder.path,
                says=f"{folder.path} is served and was needed for building only",
                evidence=[view.trace(folder.path, "folder below a document root")],
            )


def _in_one_of(path: str, names: tuple[str, ...]) -> bool:
    """Does a folder around it bear one of these names?"""
    return any(part in names for part in path.split("/")[:-1])


def secret_files_served(view: View) -> Findings:
    """Whoever knows the name can fetch them today."""
    roots = served_folders(view)
    for file in view.bundle.files:
        shown = _SECRET_FILES.search(file.path) and not _EXAMPLE.search(file.path)
        if shown and under(file.path, roots) and view.bundle.owner(file.path) is None:
            yield present(
                "AS05",
                where=file.path,
                says=f"{file.path} lies under a document root",
                evidence=[view.trace(file.path, f"{file.size} bytes, mode {file.mode:o}")],
            )


RULES = (
    bound_to_an_address,
    wandering_address,
    walls,
    encryption,
    name_caches,
    long_requests,
    many_sites,
    hands_files_over,
    no_health_route,
    left_by_a_build,
    secret_files_served,
)
