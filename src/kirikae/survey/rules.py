"""Rules on configuration, processes, network, jobs, logs and packages of one host, and on the drift
between hosts of one fleet."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

from kirikae.model.bundle import MASKED, Text
from kirikae.model.finding import Confidence, Finding, Trace
from kirikae.survey.catalogue import debian, found, matches, support
from kirikae.survey.state import rules as state_rules
from kirikae.survey.view import READS, View

_IDENTITY = re.compile(
    r"gethostname\(|php_uname|platform\.node\(|os\.uname|os\.hostname|Hostname\(\)|SERVER_ADDR|169\.254\.169\.254|\$\(hostname|`hostname|Socket\.gethostname"
)
_CHOOSES = re.compile(
    r"(gethostname|php_uname|platform\.node|[Hh]ostname)"
    r".*(startswith|endswith|==|!=|\bin\b|match|=~|strpos|case )"
    r"|\bif\b.*hostname"
)
_CRON = re.compile(r"^\s*(@\w+|(?:[\d*/,A-Za-z-]+\s+){4}[\d*/,A-Za-z-]+)\s+(.*)$")
_KNOWN_JOBS = re.compile(
    r"run-parts|/etc/cron\.|e2scrub|debian-sa1|anacron|phpsessionclean|sessionclean|mdadm"
    r"|certbot -q|popularity|sysstat|ntpsec|exim4"
)
_PORTS = {
    5432: "PostgreSQL",
    3306: "MySQL",
    6379: "Redis",
    11211: "memcached",
    27017: "MongoDB",
    9200: "Elasticsearch",
    5672: "RabbitMQ",
    25: "mail",
    587: "mail",
}


def findings_of(view: View, today: date) -> list[Finding]:
    """All findings of one host."""
    out: list[Finding] = []
    for rule in (
        state_rules,
        _environment,
        _configuration,
        _code,
        _services,
        _units,
        _limits,
        _network,
        _jobs,
        _logs,
        _mail,
        _packages,
        _missing,
    ):
        out += rule(view)
    out += _support(view, today)
    return out


def _environment(view: View) -> Iterator[Finding]:  # noqa: C901
    seen = set()
    for service in view.applications:
        code = view.code_of(service)
        declared = view.environment(service)
        reads = view.reads(code) if code is not None else {}
        for name, variable in declared.items():
            if (name, variable.trace) in seen:
                continue
            seen.add((name, variable.trace))
            if variable.secret:
                yield found(
                    "CF12",
                    f"{variable.trace.at}:{name}",
                    f"{name} holds a secret in clear text",
                    [variable.trace],
                )
            if name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                yield found(
                    "SE01",
                    f"{variable.trace.at}:{name}",
                    f"{name} is set for {service.name}",
                    [variable.trace],
                )
            if code is not None and name not in reads and not view.by_the_runtime(name):
                yield found(
                    "CF08",
                    name,
                    f"{name} is set for {service.name}, and its code never reads it",
                    [variable.trace],
                )
            if variable.value.startswith("/") and any(
                variable.value.startswith(p) for p in ("/var/", "/srv/", "/opt/", "/data/")
            ):
                yield found("CF11", name, f"{name} names a path on this host", [variable.trace])
        for name, traces in reads.items():
            if name not in declared and not view.by_the_runtime(name):
                yield found(
                    "CF09",
                    name,
                    f"{name} is read by {service.name}'s code and set nowhere",
                    traces[:3],
                )
            chosen = {
                m[1]: t
                for t in traces
                if (
                    m := re.match(
                        r"\s*\$?([A-Za-z_][A-Za-z0-9_]*)\s*=[^=].*(==|!=|\bin\b|match)", t.says
                    )
                )
            }
            if len(chosen) > 1:
                yield found(
                    "CF11",
                    name,
                    f"{name} selects {len(chosen)} things: {', '.join(sorted(chosen))}",
                    list(chosen.values()),
                )


def _secret_lines(text: Text) -> Iterator[tuple[int, str]]:
    for number, line in text.live():
        if MASKED in line and not line.lstrip().startswith(("//", "--", "*", ";")):
            yield number, line


def _configuration(view: View) -> Iterator[Finding]:  # noqa: C901
    kinds = {path: kind for kind, _, path in view.bundle.changed}
    declared = {v.trace.at for s in view.applications for v in view.environment(s).values()}
    live = {t.path for t in view.web_texts}
    for text in view.own_texts:
        if (
            text.path.startswith(("/etc/cron", "/var/spool/cron", "/etc/systemd/system"))
            or text.path in declared
        ):
            if text.path.startswith("/etc/systemd/system") or text.path in declared:
                yield found(
                    "CF04",
                    text.path,
                    f"{text.path} was written here and is in no package",
                    [view.trace(text.path, "its unit or service reads it")],
                    Confidence.PRESENT,
                )
        elif text.path in kinds:
            code = "CF02" if kinds[text.path] == "ucf" else "CF01"
            yield found(
                code,
                text.path,
                f"{text.path} differs from what its package brought",
                [view.trace(text.path, "its checksum is another one")],
                Confidence.PRESENT,
            )
        elif text.path.startswith("/etc/"):
            dead = "/sites-available/" in text.path and text.path not in live
            code = "CF06" if dead else "CF04"
            says = "is not enabled" if dead else "was written here and is in no package"
            yield found(
                code,
                text.path,
                f"{text.path} {says}",
                [view.trace(text.path, "no package owns it")],
                Confidence.PRESENT,
            )
        if text.path not in declared:
            for number, line in _secret_lines(text):
                yield found(
                    "CF12",
                    f"{text.path}:{number}",
                    f"{text.path} holds a secret in clear text",
                    [view.trace(text.path, line, number)],
                )
        for number, line in enumerate(text.lines, 1):
            if (
                re.search(
                    r"by hand|do not (overwrite|touch|change|edit)|触るな|変更禁止|手動", line, re.I
                )
                and line.lstrip()[:1] in "#;/"
            ):
                yield found(
                    "CF20",
                    text.path,
                    f"somebody warns in {text.path}",
                    [view.trace(text.path, line, number)],
                )
    for path in sorted(
        {
            f.path
            for f in view.bundle.files
            if re.search(r"\.(dpkg-old|rpmsave|bak|orig)$", f.path) and f.path.startswith("/etc/")
        }
    ):
        yield found(
            "CF06",
            path,
            f"{path} is a copy that nothing reads",
            [view.trace(path, "by its name")],
            Confidence.PRESENT,
        )
    hosts = view.bundle.text("/etc/hosts")
    for number, line in hosts.live() if hosts else ():
        names = line.split()[1:]
        standard = any(
            n in ("localhost", view.bundle.meta.get("host"), view.bundle.host)
            or n.startswith(("ip6-", "localhost"))
            for n in names
        )
        if names and not standard:
            yield found(
                "CF14",
                "/etc/hosts",
                f"/etc/hosts says where {names[0]} is",
                [view.trace("/etc/hosts", line, number)],
            )
    zone = view.bundle.meta.get("zone", "")
    if zone and zone not in ("Etc/UTC", "UTC", "Universal", "Zulu", "Etc/Universal"):
        yield found(
            "CF19",
            "/etc/localtime",
            f"the machine's time zone is {zone}",
            [view.trace("/etc/localtime", zone)],
            Confidence.PRESENT,
        )
    for service in view.applications:
        lang = view.environment(service).get("LANG")
        if lang is not None and not re.match(r"C(\.|$)|POSIX", lang.value):
            yield found(
                "CF19",
                f"LANG of {service.name}",
                f"{service.name} runs in the locale {lang.value}",
                [lang.trace],
            )


def _code(view: View) -> Iterator[Finding]:  # noqa: C901
    by_code: dict[str, list[Trace]] = defaultdict(list)
    for code in view.bundle.code:
        for token in code.tokens:
            trace = view.trace(f"{code.root}/{token.path}", token.text, token.line)
            if token.text.lstrip().startswith(("#", "//", "*")):
                continue
            if _IDENTITY.search(token.text):
                by_code["CF17" if _CHOOSES.search(token.text) else "CF13"].append(trace)
            if re.search(r"flock|LOCK_EX|lockf", token.text):
                by_code["ST09"].append(trace)
            if re.search(
                r"SysLogHandler|/dev/log|\bsyslog\(|^\s*(import|use|require).*\bsyslog|\blogger -",
                token.text,
            ):
                by_code["LG02"].append(trace)
            if re.search(r"smtplib|[^a-z_.]mail\(|sendmail", token.text):
                by_code["ML01"].append(trace)
            if re.search(r"[\"'(=/]localhost\b|127\.0\.0\.1", token.text) and not READS.search(
                token.text
            ):
                by_code["CF16"].append(trace)
            if MASKED in token.text:
                by_code["CF12"].append(trace)
    says = {
        "CF13": "the code asks for the name of its host",
        "CF17": "the code tells its environment by the name of the host",
        "ST09": "the code takes a local lock",
        "LG02": "the code writes to syslog",
        "ML01": "the code sends mail through the host",
        "CF16": "the code calls localhost",
        "CF12": "the code holds a secret, or a default for one",
    }
    for code_name, traces in by_code.items():
        blocks = () if code_name == "ST09" else None
        yield found(
            code_name,
            traces[0].at,
            f"{says[code_name]} ({len(traces)} places)",
            traces[:8],
            Confidence.PRESENT,
            blocks,
        )


def _services(view: View) -> Iterator[Finding]:
    if len(view.services) > 1:
        names = ", ".join(s.name for s in view.services)
        yield found(
            "PR01",
            view.bundle.host,
            f"{len(view.services)} services run here: {names}",
            [view.trace(s.unit.name, s.unit.command) for s in view.services],
            Confidence.OBSERVED,
        )
    for service in view.services:
        unit = service.unit
        if service.uids == {0} and not view.is_web(service):
            yield found(
                "PR05",
                unit.name,
                f"{service.name} runs as root",
                [view.trace(unit.name, unit.command)],
                Confidence.OBSERVED,
            )
        stop = _seconds(unit.get("TimeoutStopUSec"))
        if stop is not None and stop > 120:
            yield found(
                "PR07",
                unit.name,
                f"stopping {service.name} may take {stop:.0f} s",
                [view.trace(unit.name, f"TimeoutStopSec {unit.get('TimeoutStopUSec')}")],
            )
        nofile = unit.get("LimitNOFILE")
        if (
            unit.own
            and nofile.isdigit()
            and int(nofile) not in (1024, 524288, 1048576)
            and int(nofile) > 1024
        ):
            yield found(
                "PR14",
                unit.name,
                f"{service.name} may open {nofile} files",
                [view.trace(unit.get("FragmentPath"), f"LimitNOFILE={nofile}")],
            )
        workers = re.search(
            r"(--workers|-w|--processes|--threads|-Xmx\S*|pm\.max_children)[ =]?(\d*)", unit.command
        )
        if workers and unit.own:
            yield found(
                "CF21",
                unit.name,
                f"{service.name} is started with {workers[0].strip()}",
                [view.trace(unit.get("FragmentPath"), unit.command)],
            )
        pss = [p.pss_kib for p in service.processes if p.pss_kib is not None]
        cpu = (
            sum(p.cpu_s for p in service.processes) / max(1, view.bundle.at - service.began)
            if service.began
            else 0
        )
        if service.processes:
            memory = (
                f"{sum(pss) // 1024} MiB in {len(pss)} processes"
                if len(pss) == len(service.processes)
                else "memory not measured"
            )
            says = f"{service.name} uses {cpu:.2f} CPU and {memory}"
            yield found(
                "SZ01",
                unit.name,
                says,
                [
                    view.trace(
                        "/proc",
                        f"{len(service.processes)} processes since "
                        f"{view.bundle.at - service.began} s",
                    )
                ],
                Confidence.OBSERVED,
            )


def _units(view: View) -> Iterator[Finding]:
    """What else runs, has failed, or runs outside any service."""
    for unit in view.bundle.units:
        if unit.get("ActiveState") == "failed" and unit.get("UnitFileState") == "enabled":
            yield found(
                "PR04",
                unit.name,
                f"{unit.name} is enabled and has failed",
                [view.trace(unit.name, "systemctl show")],
                Confidence.OBSERVED,
            )
        if unit.running and matches(
            unit.name, ("docker.service", "containerd.service", "podman*", "lxc*")
        ):
            yield found(
                "PR11",
                unit.name,
                f"{unit.name} runs here",
                [view.trace(unit.name, unit.command)],
                Confidence.OBSERVED,
            )
        if unit.running and matches(unit.name, debian()["agents"]):
            yield found(
                "PR17",
                unit.name,
                f"{unit.name} runs here",
                [view.trace(unit.name, unit.command)],
                Confidence.OBSERVED,
            )
    for process in view.bundle.processes:
        if process.unit.startswith("session-") and process.parent == 1:
            yield found(
                "PR03",
                process.command[:80],
                "a process runs outside any service",
                [view.trace(f"/proc/{process.pid}", process.command)],
                Confidence.OBSERVED,
            )


def _limits(view: View) -> Iterator[Finding]:
    for text in view.own_texts:
        if text.path.startswith("/etc/security/limits"):
            for number, line in text.live():
                yield found(
                    "PR14",
                    text.path,
                    f"limits are set in {text.path}",
                    [view.trace(text.path, line, number)],
                )
        if text.path.startswith("/etc/sysctl"):
            for number, line in text.live():
                yield found(
                    "PR15",
                    f"{text.path}:{number}",
                    f"the kernel is set: {line.strip()}",
                    [view.trace(text.path, line, number)],
                )


def _seconds(text: str) -> float | None:
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"([\d.]+)(us|ms|s|min|h|d)\b", text)
    return sum(float(n) * units[u] for n, u in parts) if parts else None


def _network(view: View) -> Iterator[Finding]:  # noqa: C901
    for item in view.bundle.listeners:
        process = view.process_at.get(item.pid) if item.pid else None
        owner = (
            process.unit.removesuffix(".service")
            if process
            else next(
                (s.name for s in view.services if re.search(rf":{item.port}\b", s.unit.command)), ""
            )
        )
        if item.address.startswith("127.0.0.11") or not any(s.name == owner for s in view.services):
            continue
        trace = view.trace(
            f"/proc/net/{item.protocol}", f"{owner} listens on {item.address}:{item.port}"
        )
        if item.address in ("127.0.0.1", "::1"):
            yield found(
                "CF16",
                f"{owner}:{item.port}",
                f"{owner} is called on {item.address}:{item.port} by its neighbours",
                [trace],
                Confidence.OBSERVED,
            )
        elif item.protocol == "udp":
            yield found(
                "NW03",
                f"{owner}:{item.port}",
                f"{owner} serves UDP port {item.port}",
                [trace],
                Confidence.OBSERVED,
            )
        else:
            yield found(
                "NW01",
                f"{owner}:{item.port}",
                f"{owner} listens on port {item.port}",
                [trace],
                Confidence.OBSERVED,
            )
            if item.port < 1024:
                yield found(
                    "NW11",
                    f"{owner}:{item.port}",
                    f"{owner} listens on port {item.port}",
                    [trace],
                    Confidence.OBSERVED,
                )
    for protocol, address, port in view.bundle.peers:
        says = f"connected to {address}:{port}" + (f" ({_PORTS[port]})" if port in _PORTS else "")
        yield found(
            "NW02",
            f"{address}:{port}",
            says,
            [view.trace(f"/proc/net/{protocol}", says)],
            Confidence.OBSERVED,
        )
    for text in view.web_texts:
        for number, line in text.live():
            if re.search(
                r"set_real_ip_from|real_ip_header|RemoteIPHeader|^\s*(allow|deny|Require ip)\s",
                line,
            ):
                yield found(
                    "NW08",
                    f"{text.path}:{number}",
                    "the web server decides by the client's address",
                    [view.trace(text.path, line, number)],
                )
            if re.search(r"ip_hash|\bsticky\b", line):
                yield found(
                    "ST19",
                    f"{text.path}:{number}",
                    "the web server ties users to a back end",
                    [view.trace(text.path, line, number)],
                )
            if match := re.search(r"^\s*location\s+(\S+)\s*\{.*\b(?:root|alias)\s+([^;]+);", line):
                yield found(
                    "AS01",
                    f"{text.path}:{number}",
                    f"{match[1]} is served from {match[2]} on the host",
                    [view.trace(text.path, line, number)],
                )
    for text in view.web_texts:
        for number, line in text.live():
            if (
                match := re.match(r"^\s*(?:root|DocumentRoot)\s+\"?([^;\"\s]+)", line)
            ) and "location" not in line:
                if view.bundle.resolve(match[1]) not in view.bundle.folder_at and not match[
                    1
                ].startswith("/usr/"):
                    yield found(
                        "CF07",
                        match[1],
                        f"{match[1]} is to be served, and is not there",
                        [view.trace(text.path, line, number)],
                    )
                    continue
                yield found(
                    "AS01",
                    match[1],
                    f"files under {match[1]} are served by the host",
                    [view.trace(text.path, line, number)],
                )


def _jobs(view: View) -> Iterator[Finding]:
    for text in view.bundle.texts:
        spool = text.path.startswith("/var/spool/cron")
        if not (spool or text.path == "/etc/crontab" or text.path.startswith("/etc/cron.d/")):
            continue
        jobs: list[Trace] = []
        dead: list[Trace] = []
        for number, line in enumerate(text.lines, 1):
            commented = line.lstrip().startswith("#")
            match = _CRON.match(line.lstrip().lstrip("#"))
            if (
                match
                and not (commented and not re.match(r"[\d*@]", line.lstrip("# \t")))
                and not _KNOWN_JOBS.search(line)
            ):
                (dead if commented else jobs).append(view.trace(text.path, line, number))
        if dead and not view.bundle.owner(text.path):
            yield found(
                "JB03",
                text.path,
                f"{len(dead)} lines of {text.path} are commented out",
                dead,
                Confidence.PRESENT,
            )
        if not jobs or view.bundle.owner(text.path):
            continue
        yield found("JB01", text.path, f"{len(jobs)} jobs in {text.path}", jobs, Confidence.PRESENT)
        yield from _job_lines(view, text, jobs)


def _job_lines(view: View, text: Text, jobs: list[Trace]) -> Iterator[Finding]:
    dialect = [t for t in jobs if re.search(r"%|@reboot|\$\(|`", t.says)]
    variables = [
        view.trace(text.path, line, n)
        for n, line in text.live()
        if re.match(r"\s*(SHELL|PATH|MAILTO|CRON_TZ|HOME)\s*=", line)
    ]
    if dialect or variables:
        yield found(
            "JB06", text.path, f"{text.path} uses cron's own notation", [*dialect, *variables]
        )
    if mail := [t for t in variables if t.says.startswith("MAILTO")]:
        yield found(
            "ML06",
            text.path,
            f"whoever reads {mail[0].says.partition('=')[2]} is told by mail when a job prints",
            mail,
        )
    for pattern, code, says in (
        (r"flock|lockfile|\.lock\b", "ST09", "a lock file keeps runs of a job apart"),
        (r">\s*/dev/null", "JB07", "a job throws its output away"),
        (r"sendmail|\bmail\b|mailx|mutt", "ML01", "a job sends mail through the host"),
        (r"dump|backup|rsync|tar c", "JB13", "a job makes a backup"),
    ):
        if traces := [t for t in jobs if re.search(pattern, t.says)]:
            yield found(
                code,
                text.path,
                f"{says} ({len(traces)} lines)",
                traces,
                Confidence.CONFIGURED,
                () if code == "ML01" else None,
            )
    zone = view.bundle.meta.get("zone", "")
    if zone and "UTC" not in zone:
        timed = [
            t for t in jobs if not re.match(r"\*|@", t.says) and not re.match(r"\S+\s+\*\s", t.says)
        ]
        if timed:
            yield found("JB10", text.path, f"{len(timed)} jobs are due at times of {zone}", timed)


def _logs(view: View) -> Iterator[Finding]:
    known = set()
    for text in view.bundle.texts:
        if re.search(r"/(td-agent|fluentd?|fluent-bit|filebeat|awslogs)(/|\.)", text.path):
            buffer = [
                view.trace(text.path, line, n)
                for n, line in text.live()
                if re.search(r"pos_file|buffer|^\s*path\s|registry|state_file|queue", line)
            ]
            zoned = [
                view.trace(text.path, line, n)
                for n, line in text.live()
                if re.search(r"timekey_zone|time_slice|localtime|timezone|%Y", line)
            ]
            if buffer:
                yield found(
                    "LG03", text.path, f"a log shipper is configured in {text.path}", buffer
                )
            if [
                t for t in zoned if re.search(r"zone\s+(\+(?!00)|-|Asia|local)|localtime", t.says)
            ] or (zoned and view.bundle.meta.get("zone", "UTC") not in ("UTC", "Etc/UTC")):
                yield found("LG04", text.path, "log paths are made from local time", zoned)
    for folder in view.bundle.folders:
        if (
            folder.path.startswith("/var/log/")
            and folder.files
            and not view.of_the_system(folder.path)
            and folder.path not in known
        ):
            stem = folder.path.split("/")[3]
            owner = view.bundle.owner(f"/var/log/{stem}")
            if any(
                s.name.startswith(stem) or (owner and s.package == owner) for s in view.services
            ):
                known.add(folder.path)
                yield found(
                    "LG01",
                    folder.path,
                    f"logs are written in {folder.path}",
                    [view.trace(folder.path, f"{folder.files} files")],
                    Confidence.PRESENT,
                )


def _mail(view: View) -> Iterator[Finding]:
    for unit in view.bundle.units:
        if unit.running and matches(unit.name, ("exim4*", "postfix*", "sendmail*")):
            yield found(
                "ML01",
                unit.name,
                f"a mail server runs here ({unit.name})",
                [view.trace(unit.name, unit.command)],
                Confidence.OBSERVED,
            )


def _packages(view: View) -> Iterator[Finding]:
    manual = [
        p
        for p in view.bundle.packages
        if not p.automatic and not p.essential and p.priority not in ("required", "important")
    ]
    host_only = [p for p in manual if matches(p.name, debian()["host_only"])]
    chosen = [p for p in manual if p not in host_only and p.section != "libs"]
    if chosen:
        yield found(
            "PK01",
            "packages",
            f"{len(chosen)} packages were chosen: {', '.join(p.name for p in chosen[:30])}",
            [view.trace("dpkg", f"{p.name} {p.version}") for p in chosen],
            Confidence.PRESENT,
        )
    if host_only:
        yield found(
            "PK05",
            "packages",
            f"{len(host_only)} packages are of use on a host only",
            [view.trace("dpkg", f"{p.name} {p.version}") for p in host_only],
            Confidence.PRESENT,
        )
    logins = view.bundle.meta.get("public_key_logins", "0")
    if logins.isdigit() and int(logins):
        yield found(
            "SE04",
            "authorized_keys",
            f"{logins} keys may log in",
            [view.trace("authorized_keys", f"{logins} keys")],
            Confidence.PRESENT,
        )
    served = {
        m[1].rstrip("/")
        for t in view.web_texts
        for _, line in t.live()
        if (m := re.search(r"\b(?:root|DocumentRoot)\s+\"?([^;\"\s]+)", line))
    }
    for folder in view.bundle.folders:
        if folder.path.endswith("/.git") and folder.path[:-5] in served:
            yield found(
                "AS05",
                folder.path,
                f"{folder.path} lies under a document root",
                [view.trace(folder.path, "folder")],
                Confidence.PRESENT,
            )


def _support(view: View, today: date) -> Iterator[Finding]:
    systems, runtimes = support()
    meta = view.bundle.meta
    row = systems.get(f"{meta.get('os_ID', '')} {meta.get('os_VERSION_ID', '')}")
    rows = [(row, "/etc/os-release")] if row else []
    installed = {p.name for p in view.bundle.packages}
    if not any(u.running and u.name.startswith("postgresql") for u in view.bundle.units):
        installed -= {
            name for name in installed if name.startswith("postgresql")
        }  # brought by a package, and never started
    rows += [(runtimes[name], f"package {name}") for name in sorted(installed & runtimes.keys())]
    for item, at in rows:
        left = (item.ends - today).days
        if left < 730:
            when = f"ended on {item.ends}" if left < 0 else f"ends on {item.ends}, in {left} days"
            yield found(
                "PR13",
                item.name,
                f"support of {item.name} {when}",
                [view.trace(at, item.name)],
                Confidence.PRESENT,
            )


def _missing(view: View) -> Iterator[Finding]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for where, why in view.bundle.missing:
        reasons[why].append(where)
    for why, places in reasons.items():
        yield found(
            "unreadable",
            places[0],
            f"{why} ({len(places)} places)" if len(places) > 1 else why,
            [view.trace(p, why) for p in places[:10]],
            Confidence.OBSERVED,
        )


# --- several hosts


def drift(views: Sequence[View]) -> list[Finding]:
    """What differs between hosts of one fleet."""
    if len(views) < 2:
        return []
    out: list[Finding] = []
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for view in views:
        for text in view.own_texts:
            texts[text.path][view.bundle.host] = text.fingerprint
    for path, marks in sorted(texts.items()):
        if len(set(marks.values())) > 1 or len(marks) < len(views):
            traces = [
                v.trace(
                    path,
                    f"fingerprint {marks[v.bundle.host]}"
                    if v.bundle.host in marks
                    else "not there",
                )
                for v in views
            ]
            differing = _differing(
                [v.bundle.text(path) for v in views], [v.bundle.host for v in views]
            )
            out.append(
                found(
                    "CF05",
                    path,
                    f"{path} differs between {', '.join(v.bundle.host for v in views)}{differing}",
                    traces,
                    Confidence.PRESENT,
                )
            )
    out += _secret_drift(views) + _code_drift(views) + _package_drift(views)
    return out


def _differing(texts: Sequence[Text | None], hosts: Sequence[str]) -> str:
    lines = [set(t.lines) if t else set() for t in texts]
    common = set.intersection(*lines)
    shown = [
        f"{host}: {sorted(mine - common)[0].strip()}"
        for host, mine in zip(hosts, lines, strict=True)
        if mine - common
    ]
    return f" ({'; '.join(shown)})" if shown else ""


def _secret_drift(views: Sequence[View]) -> list[Finding]:
    values: dict[str, dict[str, tuple[str, Trace]]] = defaultdict(dict)
    for view in views:
        for service in view.applications:
            for name, variable in view.environment(service).items():
                if variable.secret:
                    values[name][view.bundle.host] = (variable.value, variable.trace)
    return [
        found(
            "ST11",
            name,
            f"{name} has another value on each of {', '.join(seen)}",
            [t for _, t in seen.values()],
            Confidence.PRESENT,
        )
        for name, seen in values.items()
        if len({v for v, _ in seen.values()}) > 1
    ]


def _code_drift(views: Sequence[View]) -> list[Finding]:
    out = []
    trees = [
        {c.root: c for c in v.bundle.code if not c.root.startswith(("/etc", "/usr"))} for v in views
    ]
    for root in sorted(set.intersection(*(set(t) for t in trees))):
        if len({t[root].fingerprint for t in trees}) > 1:
            names = sorted(
                {
                    n
                    for t in trees
                    for n, mark in t[root].files.items()
                    if any(o[root].files.get(n) != mark for o in trees)
                }
            )
            out.append(
                found(
                    "ST18",
                    root,
                    f"the code under {root} differs: {', '.join(names[:5]) or 'see the hosts'}",
                    [v.trace(root, t[root].fingerprint) for v, t in zip(views, trees, strict=True)],
                    Confidence.PRESENT,
                )
            )
    return out


def _package_drift(views: Sequence[View]) -> list[Finding]:
    versions = [{p.name: p.version for p in v.bundle.packages} for v in views]
    names = sorted({n for vs in versions for n in vs if len({o.get(n) for o in versions}) > 1})
    if not names:
        return []
    says = f"{len(names)} packages differ: {', '.join(names[:8])}"
    return [
        found(
            "CF22",
            "packages",
            says,
            [
                v.trace("dpkg", f"{n} {vs.get(n, 'missing')}")
                for v, vs in zip(views, versions, strict=True)
                for n in names[:8]
            ],
            Confidence.PRESENT,
        )
    ]


def single_points(views: Sequence[View]) -> list[Finding]:
    """Jobs that one host alone runs, or that several run each for itself."""
    jobs: Counter[str] = Counter()
    places: dict[str, list[Trace]] = defaultdict(list)
    for view in views:
        for finding in _jobs(view):
            if finding.code == "JB01":
                for trace in finding.evidence:
                    jobs[trace.says] += 1
                    places[trace.says].append(trace)
    alone = [places[line][0] for line, count in jobs.items() if count == 1]
    if not alone:
        return []
    hosts = sorted({t.host for t in alone})
    return [
        found(
            "JB04",
            ", ".join(hosts),
            f"{len(alone)} jobs run on {', '.join(hosts)} alone",
            alone,
            Confidence.PRESENT,
        )
    ]
