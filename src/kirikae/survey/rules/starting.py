"""How services are started and kept alive: what a container has to do in another way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import Line, Process, Unit
from kirikae.model.finding import Confidence
from kirikae.survey.catalogue import Findings, configured, found, observed, present
from kirikae.survey.counted import counted
from kirikae.survey.paths import name_of, under
from kirikae.survey.sections import number
from kirikae.survey.services import Service
from kirikae.survey.view import View

_SUPERVISORS = re.compile(
    r"(^|/)(supervisord|runsvdir|s6-svscan|svscan|monit|god|circusd|foreman|forever|honcho|overmind"
    r"|pm2|screen|SCREEN|tmux)(\s|:|$)|PM2 v?\d|God Daemon"
)
_PROGRAM = re.compile(r"\s*\[(?:program|eventlistener):([^\]]+)\]")
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox")
_DAEMON = re.compile(
    r"^\s*(daemonize\s*[=\s]\s*(yes|true|1)|daemon\s*[=\s]\s*(on|yes|true)"
    r"|background\s*[=\s]\s*(yes|true))\b",
    re.IGNORECASE,
)
_DAEMON_OPTION = re.compile(r"\s--?(daemon(ize)?|detach|background)(=\S+)?(\s|$)")
_WORKERS = re.compile(
    r"celery\b.*\bworker|\bsidekiq\b|\bresque\b|rake .*(resque|jobs):work|delayed_job|good_job"
    r"|\brq\s+worker|rqworker|\bdramatiq\b|huey_consumer|shoryuken|\bfaktory|\bsneakers\b"
    r"|queue:(work|listen)|artisan horizon|messenger:consume|\bbullmq?\b.*worker|qcluster"
    r"|solid_queue|\bque\b .*worker|gearman.*worker|beanstalk.*worker"
)
_RUNTIMES = re.compile(
    r"(python[\d.]*|pypy[\d.]*|ruby|node|nodejs|deno|bun|php(-fpm)?[\d.]*|perl[\d.]*|java|beam\.smp"
    r"|mono|dotnet|nginx|httpd|apache2|uwsgi|lua(jit)?)"
)
_OF_NO_PACKAGE = ("/usr/local", "/opt", "/home", "/root", "/srv", "/data")
_WAITS = re.compile(r"\bsleep\s+\d|\bwait-for|\bwait_for|\buntil\s|\bnc\s+-z|pg_isready|dockerize")
_SLOW_S = 30
_MILLION = 1_000_000


def supervisors(view: View) -> Findings:
    """Whatever starts programs again is ECS's own work there."""
    for process in view.bundle.processes:
        match = _SUPERVISORS.search(process.command)
        if match is None or _is_for_people(process):
            continue
        name = match[2] or match[0].split()[0].lower()
        programs = _programs(view) if name == "supervisord" else []
        named = f": {', '.join(sorted({line.text for line in programs}))}" if programs else ""
        yield observed(
            "PR02",
            where=name.lower(),
            says=f"{name} keeps programs alive here{named}",
            evidence=[
                view.trace(f"/proc/{process.pid}", process.command),
                *view.quotes(programs),
            ],
        )


def _is_for_people(process: Process) -> bool:
    """What merely names one, as an editor or a client does."""
    return name_of(process.command.split(" ")[0]) in ("vim", "vi", "less", "grep", "tail")


def _programs(view: View) -> list[Line]:
    """Those that supervisor's configuration names; ``text`` is the name alone."""
    programs = []
    for text in view.bundle.texts:
        if "supervisor" in text.path and not under(text.path, view.former_releases):
            for line in text.live():
                match = _PROGRAM.match(line.text)
                if match:
                    programs.append(Line(line.path, line.number, match[1]))
    return programs


def goes_to_the_background(view: View) -> Findings:
    """A container ends with its first process."""
    for service in view.services:
        said = _detaching(service)
        if said is not None:
            yield configured(
                "PR06",
                where=service.unit.name,
                says=f"{service.name} goes to the background ({said})",
                evidence=[view.trace(service.unit.name, service.unit.command)],
            )
    for text in view.own_texts:
        for line in text.live():
            if _DAEMON.match(line.text):
                yield configured(
                    "PR06",
                    where=line.at,
                    says=f"{text.path} sends a program to the background: {line.text.strip()}",
                    evidence=[view.quote(line)],
                )


def _detaching(service: Service) -> str | None:
    """What says so; None for a service that stays in front."""
    if service.unit.get("Type") == "forking":
        return "Type=forking"
    match = _DAEMON_OPTION.search(service.unit.command)
    return match[0].strip() if match else None


def behind_a_shell(view: View) -> Findings:
    """A shell passes no signal on: whoever stops the container waits, and then it is killed."""
    for service in view.services:
        unit = service.unit
        main = view.process_at.get(number(unit.get("MainPID")) or 0)
        if main is not None and _waits_as_a_shell(main, service):
            yield observed(
                "PR08",
                where=unit.name,
                says=f"a shell is the first process of {service.name}",
                evidence=[view.trace(f"/proc/{main.pid}", main.command)],
            )
        elif main is None and _begins_with_a_shell(unit):
            yield configured(
                "PR08",
                where=unit.name,
                says=f"{service.name} is started by a shell",
                evidence=[view.trace(unit.get("FragmentPath") or unit.name, unit.command)],
            )


def _waits_as_a_shell(main: Process, service: Service) -> bool:
    """It has started something, and did not give its place up for that."""
    children = [each for each in service.processes if each.parent == main.pid]
    return bool(children) and name_of(main.exe) in _SHELLS


def _begins_with_a_shell(unit: Unit) -> bool:
    """A command line for a shell that does not give its place up, or a script of one."""
    shell = name_of(unit.program) in _SHELLS and " -" in unit.command
    return (shell and "exec " not in unit.command) or unit.program.endswith(".sh")


def queue_workers(view: View) -> Findings:
    """They serve nobody's requests, and grow by what waits."""
    seen = set()
    for where, command, runs in _commands(view):
        match = _WORKERS.search(command)
        if match and match[0] not in seen:
            seen.add(match[0])
            yield found(
                "PR18",
                where=where,
                says=f"a worker takes jobs from a queue ({match[0]})",
                evidence=[view.trace(where, command)],
                confidence=Confidence.OBSERVED if runs else Confidence.CONFIGURED,
            )


def _commands(view: View) -> Iterator[tuple[str, str, bool]]:
    """Place, command, whether it was seen to run: of services, of what supervisor starts, and of
    processes."""
    for service in view.services:
        yield service.unit.name, service.unit.command, bool(service.processes)
    for text in view.bundle.texts:
        if "supervisor" in text.path or name_of(text.path) == "Procfile":
            for line in text.live():
                if "command" in line.text or ":" in line.text:
                    yield line.at, line.text, False
    for process in view.bundle.processes:
        yield name_of(process.exe) or "process", process.command, True


def runtime_of_no_package(view: View) -> Findings:
    """An image cannot install it by name."""
    seen = set()
    for service in view.services:
        for path in [process.exe for process in service.processes] or [service.unit.program]:
            known = _RUNTIMES.fullmatch(name_of(path)) and under(path, _OF_NO_PACKAGE)
            if known and path not in seen and view.bundle.owner(path) is None:
                # A virtual environment's own is a link to the one that counts.
                if view.bundle.resolve(path).startswith("/usr/bin/"):
                    continue
                seen.add(path)
                yield present(
                    "PR12",
                    where=path,
                    says=f"{service.name} runs on {path}, which no package brought",
                    evidence=[view.trace(service.unit.name, service.unit.command)],
                )


def starts_after_others(view: View) -> Findings:
    """A task starts its containers at once, unless it is told what waits for what."""
    names = {service.unit.name for service in view.services}
    for service in view.services:
        unit = service.unit
        if not unit.own:
            continue
        before = sorted({*unit.words("After")} & (names - {unit.name}))
        waits = _WAITS.findall(f"{unit.get('ExecStartPre')} {unit.command}")
        if before or waits:
            why = ", ".join(before) or f"waiting ({waits[0].strip()})"
            yield configured(
                "PR19",
                where=unit.name,
                says=f"{service.name} starts after {why}",
                evidence=[view.trace(unit.get("FragmentPath"), f"after {why}")],
            )


def starts_slowly(view: View) -> Findings:
    """A load balancer that asks too early takes the task away again, and again."""
    for service in view.services:
        unit = service.unit
        began = number(unit.get("InactiveExitTimestampMonotonic"))
        ready = number(unit.get("ActiveEnterTimestampMonotonic"))
        took = (ready - began) / _MILLION if began and ready else 0
        if took >= _SLOW_S:
            yield observed(
                "PR20",
                where=unit.name,
                says=f"{service.name} took {took:.0f} s to start",
                evidence=[view.trace(unit.name, "ActiveEnterTimestampMonotonic")],
            )


def asks_the_kernel(view: View) -> Findings:
    """Swap, huge pages, processors of its own, realtime: a task on Fargate has none of them."""
    meta = view.bundle.meta
    swap = number(meta.get("swap_kib", "")) or 0
    free = number(meta.get("swap_free_kib", "")) or 0
    used = (swap - free) // 1024
    if used > 0:
        yield observed(
            "PR16",
            where="swap",
            says=f"{used} MiB of swap are in use",
            evidence=[view.trace("/proc/meminfo", f"SwapTotal {swap} kB, SwapFree {free} kB")],
        )
    pages = number(meta.get("huge_pages", "")) or 0
    if pages:
        yield observed(
            "PR16",
            where="huge pages",
            says=f"{counted(pages, 'huge page is', 'huge pages are')} set aside",
            evidence=[view.trace("/proc/meminfo", f"HugePages_Total {pages}")],
        )
    yield from _special(view)


def _special(view: View) -> Findings:
    """Units that ask for more than their share of the processors."""
    for service in view.services:
        unit = service.unit
        policy = unit.get("CPUSchedulingPolicy")
        own = [f"CPUAffinity={unit.get('CPUAffinity')}"] if unit.get("CPUAffinity") else []
        own += [f"CPUSchedulingPolicy={policy}"] if policy in ("fifo", "rr", "1", "2") else []
        if own:
            yield configured(
                "PR16",
                where=unit.name,
                says=f"{service.name} asks for processors of its own: {', '.join(own)}",
                evidence=[view.trace(unit.get("FragmentPath") or unit.name, ", ".join(own))],
            )


RULES = (
    supervisors,
    goes_to_the_background,
    behind_a_shell,
    queue_workers,
    runtime_of_no_package,
    starts_after_others,
    starts_slowly,
    asks_the_kernel,
)
