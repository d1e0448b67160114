"""HAProxy as the load balancer and as the gate of the AWS endpoint: its configuration, and changes
while it runs.

Beware: a reload forgets what was changed at run time, so the files always say what the running
process does: weights, addresses and states are written to the files first and then set over the
runtime socket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from kirikae.local.elb import accesslog
from kirikae.local.elb.figures import LINE
from kirikae.local.errors import LocalError
from kirikae.local.files import alive, write_durably
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.elb.frontdoor")

SLOTS = 64
"""Targets per target group: each has a server line of its own, so that replacing one needs no
reload."""
DRAWS = 100_000
_ANSWER_S = 5
_IN_MAINTENANCE = 0x01 | 0x02 | 0x20
"""Bits of srv_admin_state (HAProxy management guide, "show servers state").  0x04 says only that
the configuration file began with ``disabled``; it stays set while the server serves."""
_OURS = "ecs elasticloadbalancing monitoring sqs"

_HEAD = """\
global
    stats socket {run}/haproxy.sock mode 600 level admin expose-fd listeners
    log stdout len 8192 format raw daemon info
    maxconn 8192
    hard-stop-after 1h
defaults
    mode http
    option idle-close-on-response
    option redispatch
    option forwardfor
    retries 3
    timeout connect 2s
    timeout client {idle}s
    timeout server {idle}s
    timeout http-keep-alive 3600s
    timeout queue 10s
frontend aws
    bind {binds}
    timeout client 150s
    http-request set-var(txn.service) req.fhdr(authorization),word(4,/)
    use_backend control if {{ var(txn.service) -m str {ours} }}
    use_backend control if {{ path_beg /_kirikae }}
    use_backend control if {{ hdr_beg(x-amz-target) AmazonEC2ContainerService }}
    use_backend control if {{ hdr_beg(x-amz-target) GraniteService AmazonSQS }}
    default_backend stores
{metadata}backend control
    retries 60
    timeout server 150s
    server control 127.0.0.1:{control}
backend stores
    retries 30
    timeout server 150s
    server stores 127.0.0.1:{stores}
"""

_TRACE_ID = "Root=1-%{+X}Ts-%[uuid,regsub(-,,g),bytes(0,24)]"
_METADATA = """\
frontend metadata
    bind {bind}
    http-request set-path /_kirikae/metadata%[path]
    default_backend control
"""


def server_state(target: Row, fail_open: bool) -> str:
    """What HAProxy does with this target: ``ready`` or ``maint``.

    A draining target is in ``maint`` too: that ends no request in flight, while HAProxy's own
    ``drain`` goes on receiving requests that carry a server's cookie."""
    return (
        "ready"
        if target["state"] == "healthy" or (target["state"] == "unhealthy" and fail_open)
        else "maint"
    )


class FrontDoor:
    def __init__(
        self,
        state: State,
        directory: Path,
        run: Path,
        binds: Iterable[str],
        ports: Mapping[str, int],
        link_local: str = "",
    ):
        self._state = state
        self._directory = directory
        self._run = run
        self._binds = list(binds)
        self._ports = ports
        self._link_local = link_local
        self._busy = asyncio.Lock()
        self._config = directory / "haproxy.cfg"
        self._map = directory / "weights.map"

    # --- what is wanted

    def _targets(self, group: Row) -> list[Row]:
        return [t for t in self._state.all("target") if t["group"] == group["id"]]

    def servers(self, group: Row) -> dict[int, tuple[str, str]]:
        """slot -> (address:port, state) of every target of this group."""
        targets = self._targets(group)
        needed = int(
            group["attributes"].get(
                "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"
            )
        )
        fail_open = sum(t["state"] == "healthy" for t in targets) < needed
        return {
            t["slot"]: (f"{t['address']}:{t['port']}", server_state(t, fail_open)) for t in targets
        }

    def weights(self) -> dict[str, int]:
        """``rule/position`` -> upper end of the draw for that group, out of 100,000."""
        ends: dict[str, int] = {}
        for rule in self._state.all("rule"):
            groups = forward_groups(rule["actions"])
            total = sum(g["Weight"] for g in groups)
            reached = 0
            for position, group in enumerate(groups):
                reached += group["Weight"]
                ends[f"{rule['id']}/{position}"] = round(DRAWS * reached / total) if total else 0
        return ends

    def _structure(self) -> str:
        idle = max(
            [
                int(b["attributes"]["idle_timeout.timeout_seconds"])
                for b in self._state.all("balancer")
            ],
            default=60,
        )
        parts = [
            _HEAD.format(
                run=self._run,
                idle=idle,
                binds=",".join(self._binds),
                ours=_OURS,
                control=self._ports["control"],
                stores=self._ports["stores"],
                metadata=_METADATA.format(bind=self._link_local) if self._link_local else "",
            )
        ]
        parts += [self._frontend(listener) for listener in self._state.all("listener")]
        return "".join(parts)

    def _frontend(self, listener: Row) -> str:
        balancer = self._state.get("balancer", listener["balancer"])
        logged = balancer is not None and accesslog.wanted(balancer)
        rules = sorted(
            (r for r in self._state.all("rule") if r["listener"] == listener["arn"]),
            key=lambda r: (r["default"], r["priority"]),
        )
        lines = [
            f"frontend {listener['id']}",
            f"    bind 127.0.0.1:{listener['port']}",
            "    log global",
            f'    log-format "R {LINE}{" " + accesslog.FIELDS if logged else ""}"',
            "    timeout client "
            f"{balancer['attributes']['idle_timeout.timeout_seconds'] if balancer else 60}s",
            "    http-request set-header X-Forwarded-Proto http",
            f"    http-request set-header X-Forwarded-Port {listener['port']}",
            "    http-request set-header X-Amzn-Trace-Id %[unique-id] unless { "
            "req.hdr(x-amzn-trace-id) -m found }",
            f"    unique-id-format {_TRACE_ID}",
            f"    http-request set-var(txn.draw) rand({DRAWS})",
        ]
        if logged:
            lines += [
                f"    http-request capture req.hdr({name}) len 256"
                for name in ("host", "user-agent", "x-amzn-trace-id")
            ]
        for rule in rules:
            tests = [f"r{rule['id']}_{n}" for n in range(len(rule["conditions"]))]
            lines += [
                f"    acl {test} {acl(c)}"
                for test, c in zip(tests, rule["conditions"], strict=True)
            ]
            lines.append(
                f"    http-request set-var(txn.rule) str({rule['id']}) if !{{ "
                f"var(txn.rule) -m found }} {' '.join(tests)}"
            )
        for rule in rules:
            lines += self._action(rule)
        lines.append("    use_backend %[var(txn.go)] if { var(txn.go) -m found }")
        return "\n".join(lines) + "\n"

    def _action(self, rule: Row) -> list[str]:
        here = f"{{ var(txn.rule) -m str {rule['id']} }}"
        action = rule["actions"][-1]
        if action["Type"] == "fixed-response":
            fixed = action["FixedResponseConfig"]
            # HAProxy takes no empty string: an answer without a body has no content type either.
            body = fixed.get("MessageBody", "")
            content = (
                f" content-type {quoted(fixed.get('ContentType', 'text/plain'))} string "
                f"{quoted(body)}"
                if body
                else ""
            )
            return [f"    http-request return status {fixed['StatusCode']}{content} if {here}"]
        if action["Type"] == "redirect":
            return redirect(action["RedirectConfig"], here)
        lines = []
        sticky_s = group_stickiness(action)
        ids = [g["TargetGroupArn"].rsplit("/", 2)[1:] for g in forward_groups(rule["actions"])]
        backends = [f"tg-{key}" for _, key in ids]
        free = "!{ var(txn.go) -m found }"
        if sticky_s:
            lines += [
                f"    http-request set-var(txn.go) str({b}) if {here} {{ "
                f"req.cook(AWSALBTG) -m str {b} }}"
                for b in backends
            ]
        for position, backend in enumerate(backends[:-1]):
            key = f"{rule['id']}/{position}"
            lines.append(
                "    http-request set-var(txn.upto) "
                f"str({key}),map_str_int({self._map},0) if {here}"
            )
            lines.append(
                f"    http-request set-var(txn.go) str({backend}) if {free} {here} {{ "
                f"var(txn.draw),sub(txn.upto) lt 0 }}"
            )
        lines.append(f"    http-request set-var(txn.go) str({backends[-1]}) if {free} {here}")
        if sticky_s:
            cookie = f'"AWSALBTG=%[var(txn.go)]; Max-Age={sticky_s}; Path=/"'
            lines.append(f"    http-response add-header Set-Cookie {cookie} if {here}")
        return lines

    def _backend(self, group: Row) -> str:
        attributes = group["attributes"]
        sticky = attributes.get("stickiness.enabled") == "true"
        algorithm = {"least_outstanding_requests": "leastconn", "weighted_random": "random"}
        lines = [
            f"backend tg-{group['id']}",
            f"    id {group['number']}",
            "    balance "
            f"{algorithm.get(attributes['load_balancing.algorithm.type'], 'roundrobin')}",
        ]
        by_application = sticky and attributes["stickiness.type"] == "app_cookie"
        if by_application:
            lines += _application_cookie(group["id"], attributes)
        elif sticky:
            lines.append(
                "    cookie AWSALB insert indirect nocache maxlife "
                f"{attributes['stickiness.lb_cookie.duration_seconds']}s"
            )
        slow_s = int(attributes["slow_start.duration_seconds"])
        slow = f" slowstart {slow_s}s" if slow_s else ""
        servers = self.servers(group)
        for slot in range(1, SLOTS + 1):
            address, state = servers.get(slot, ("0.0.0.0:80", "maint"))
            cookie = f" cookie {group['id']}-{slot}" if sticky and not by_application else ""
            suffix = " disabled" if state == "maint" else ""
            lines.append(f"    server s{slot} {address} id {slot}{cookie}{slow}{suffix}")
        return "\n".join(lines) + "\n"

    def _render(self) -> tuple[str, str]:
        """The whole configuration, and a mark of what only a reload can change."""
        groups = sorted(self._state.all("group"), key=lambda g: g["number"])
        fixed = self._structure() + json.dumps([[g["id"], g["attributes"]] for g in groups])
        mark = hashlib.sha256(fixed.encode()).hexdigest()[:16]
        return f"# {mark}\n" + self._structure() + "".join(self._backend(g) for g in groups), mark

    # --- making it so

    async def assert_all(self) -> None:
        """Files, then the process, then its run-time state: afterwards HAProxy does what the store
        says."""
        async with self._busy:
            config, mark = self._render()
            before = self._config.read_text().partition("\n")[0] if self._config.exists() else ""
            self._write_map()
            if before == f"# {mark}" and await self.is_running():
                write_durably(self._config, config)
                await self._set_servers(self._state.all("group"))
                await self._set_map()
                return
            await self._check(config)
            write_durably(self._config, config)
            if self._pid() is None:
                await self._launch()
            else:
                await self._reload()

    async def set_weights(self) -> None:
        """One atomic exchange of all thresholds; files first."""
        async with self._busy:
            self._write_map()
            await self._set_map()

    async def set_targets(self, group_id: str) -> None:
        """Addresses and states of one target group's servers."""
        async with self._busy:
            group = self._state.get("group", group_id)
            if group is None or not await self.is_running():
                return
            write_durably(self._config, self._render()[0])
            await self._set_servers([group])

    async def repair(self) -> None:
        """Set again whatever the running process has otherwise than the store says."""
        async with self._busy:
            await self._set_servers(self._state.all("group"))

    async def in_flight(self, group_id: str, slot: int) -> int:
        """Requests that this server is answering now."""
        group = self._state.get("group", group_id)
        if group is None:
            return 0
        asked = f"show stat {group['number']} 4 {slot}"
        answers = [
            await self.command(asked),
            *[await self.master(f"@!{pid} {asked}") for pid in await self._former_workers()],
        ]
        return sum(_current_sessions(answer) for answer in answers)

    async def connections(self) -> dict[str, int]:
        """Listener's ID -> open connections (of the worker that runs now)."""
        rows = [
            line.split(",")
            for line in (await self.command("show stat -1 1 -1")).splitlines()
            if line
        ]
        return {row[0]: int(row[4]) for row in rows[1:]}

    async def _former_workers(self) -> list[str]:
        """Process IDs of workers that a reload has replaced and that still answer requests."""
        told = await self.master("show proc")
        old = told.partition("# old workers")[2].partition("# programs")[0]
        return [line.split()[0] for line in old.splitlines() if line.strip()[:1].isdigit()]

    async def master(self, line: str) -> str:
        """Ask the master process, or one of its workers with ``@!pid``."""
        return await self._exchange("master.sock", line)

    async def _exchange(self, socket: str, line: str) -> str:
        """One command and its answer.  Raises OSError, also when no answer comes in time (a worker
        that is about to end)."""
        reader, writer = await asyncio.open_unix_connection(str(self._run / socket))
        try:
            writer.write(line.encode() + b"\n")
            await writer.drain()
            writer.write_eof()  # the master keeps the line open otherwise
            return (await asyncio.wait_for(reader.read(), _ANSWER_S)).decode()
        finally:
            writer.close()

    def _write_map(self) -> None:
        write_durably(
            self._map, "".join(f"{key} {end}\n" for key, end in sorted(self.weights().items()))
        )

    async def _set_map(self) -> None:
        ends = self.weights()
        version = re.search(
            r"New version created: (\d+)", await self.command(f"prepare map {self._map}")
        )
        if version is None:
            # No rule draws between groups yet, so HAProxy has not loaded the map; the file is in
            # place for when it does.
            return
        lines = [f"add map @{version[1]} {self._map} {key} {end}" for key, end in ends.items()]
        await self.command("; ".join([*lines, f"commit map @{version[1]} {self._map}"]))

    async def _set_servers(self, groups: Iterable[Row]) -> None:
        commands = []
        for group in groups:
            wanted = self.servers(group)
            found = await self._found(group)
            for slot in range(1, SLOTS + 1):
                address, state = wanted.get(slot, ("", "maint"))
                address_now, state_now = found.get(slot, ("", ""))
                name = f"tg-{group['id']}/s{slot}"
                if address and address_now != address:
                    host, _, port = address.rpartition(":")
                    commands += [
                        f"set server {name} state maint",
                        f"set server {name} addr {host} port {port}",
                    ]
                    state_now = "maint"
                if state_now != state:
                    commands.append(f"set server {name} state {state}")
        for start in range(0, len(commands), 50):
            answer = await self.command("; ".join(commands[start : start + 50]))
            told = [line for line in answer.splitlines() if line.strip() and " chang" not in line]
            if told:
                log.warning("HAProxy answered: %s", " / ".join(told))

    async def _found(self, group: Row) -> dict[int, tuple[str, str]]:
        """slot -> (address:port, state) as the running process has it."""
        found = {}
        answer = await self.command(f"show servers state tg-{group['id']}")
        for line in answer.splitlines():
            field = line.split()
            if len(field) < 19 or not field[0].isdigit():
                continue
            state = "maint" if int(field[6]) & _IN_MAINTENANCE else "ready"
            found[int(field[3].removeprefix("s"))] = (f"{field[4]}:{field[18]}", state)
        return found

    async def command(self, line: str) -> str:
        """Ask the runtime socket; right after a reload it may refuse for a moment."""
        deadline = time.monotonic() + 3
        while True:
            try:
                return await self._exchange("haproxy.sock", line)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    # --- the process

    def _pid(self) -> int | None:
        file = self._directory / "haproxy.pid"
        if not file.exists():
            return None
        return alive(file.read_text(), str(self._config))

    async def is_running(self) -> bool:
        if self._pid() is None:
            return False
        try:
            await self.command("show info")
        except OSError:
            return False
        return True

    async def _check(self, config: str) -> None:
        trial = self._directory / "haproxy.trial.cfg"
        trial.write_text(config)
        process = await asyncio.create_subprocess_exec(
            "haproxy",
            "-c",
            "-q",
            "-f",
            str(trial),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        trial.unlink()
        if process.returncode:
            raise LocalError(f"HAProxy refuses the configuration: {said.decode().strip()}")

    async def _launch(self) -> None:
        pipe = self._directory / "haproxy.log.pipe"
        if not pipe.exists():
            os.mkfifo(pipe, 0o600)
        # Opened for reading and writing: HAProxy neither waits for a reader nor dies when the
        # reader does.
        out = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        with (self._directory / "haproxy.err").open("ab") as errors:
            process = subprocess.Popen(  # it outlives us on purpose  # noqa: ASYNC220
                [
                    "haproxy",
                    "-W",
                    "-S",
                    f"{self._run}/master.sock,mode,600",
                    "-f",
                    str(self._config),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        os.close(out)
        write_durably(self._directory / "haproxy.pid", str(process.pid))
        deadline = time.monotonic() + 10
        while not await self.is_running():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self._directory / "haproxy.err").read_text()[-400:]
                raise LocalError(f"HAProxy did not start: {said.strip()}")
            await asyncio.sleep(0.05)

    async def _worker(self) -> str:
        found = re.search(r"^Pid: (\d+)", await self.command("show info"), re.M)
        return found[1] if found else ""

    async def _reload(self) -> None:
        before = await self._worker()
        await self.master("reload")
        deadline = time.monotonic() + 10
        while await self._worker() == before:
            if time.monotonic() > deadline:
                raise LocalError(f"HAProxy did not reload; see {self._directory / 'haproxy.err'}")
            await asyncio.sleep(0.02)
        for _ in range(200):
            if await self._former_take_nothing_new():
                return
            await asyncio.sleep(0.02)

    async def _former_take_nothing_new(self) -> bool:
        """Have all workers of before the reload stopped listening?  Until then one of them may
        answer by the old rules."""
        try:
            told = [await self.master(f"@!{pid} show info") for pid in await self._former_workers()]
        except OSError:
            return False  # the master begins anew just now
        return not any("Stopping: 0" in text for text in told)

    def stop(self) -> None:
        if (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGTERM)


def _application_cookie(group_id: str, attributes: Mapping[str, str]) -> list[str]:
    """Stickiness that begins when the application sets its cookie: AWSALBAPP-0 then names the
    target."""
    name = attributes["stickiness.app_cookie.cookie_name"]
    seconds = attributes["stickiness.app_cookie.duration_seconds"]
    lines = [
        f"    use-server s{slot} if {{ req.cook(AWSALBAPP-0) -m str {group_id}-{slot} }}"
        for slot in range(1, SLOTS + 1)
    ]
    cookie = f'"AWSALBAPP-0={group_id}-%[srv_id]; Max-Age={seconds}; Path=/"'
    return [
        *lines,
        f"    http-response add-header Set-Cookie {cookie} if {{ res.cook({name}) -m found }}",
    ]


def _current_sessions(stat: str) -> int:
    lines = [line for line in stat.splitlines() if line.strip() and not line.startswith("#")]
    return int(lines[0].split(",")[4]) if lines and lines[0].count(",") > 4 else 0


def redirect(config: Mapping[str, Any], here: str) -> list[str]:
    """ALB's redirect: the parts that are not given stay as they are; ``#{host}`` and the like stand
    for the request's own."""
    own = {
        "protocol": "http",
        "host": "%[req.hdr(host),field(1,:)]",
        "port": "%[dst_port]",
        "path": "%[path,regsub(^/,)]",
        "query": "%[query]",
    }

    def filled(text: str) -> str:
        plain = re.split(r"#\{(\w+)\}", text)
        return "".join(
            own.get(part, part) if n % 2 else part.replace("%", "%%").replace(" ", "%%20")
            for n, part in enumerate(plain)
        )

    protocol = config.get("Protocol", "#{protocol}")
    port = config.get("Port", "#{port}")
    scheme = "http" if "#" in protocol else protocol.lower()
    usual = (scheme, port) in (("http", "80"), ("https", "443"))
    place = f"{scheme}://{filled(config.get('Host', '#{host}'))}"
    place += ("" if usual else ":" + filled(port)) + filled(config.get("Path", "/#{path}"))
    query = config.get("Query", "#{query}")
    code = config["StatusCode"].removeprefix("HTTP_")
    lines = []
    if query == "#{query}":
        lines.append(
            f"    http-request redirect location {place}?%[query] code {code} if {here} "
            f"{{ query -m found }}"
        )
    elif query:
        place += "?" + filled(query)
    return [*lines, f"    http-request redirect location {place} code {code} if {here}"]


def forward_groups(actions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The target groups of the forwarding action, each with its weight (one group alone: weight
    1)."""
    for action in actions:
        if action["Type"] == "forward":
            if groups := action.get("ForwardConfig", {}).get("TargetGroups"):
                return [
                    {"TargetGroupArn": g["TargetGroupArn"], "Weight": g.get("Weight", 1)}
                    for g in groups
                ]
            return [{"TargetGroupArn": action["TargetGroupArn"], "Weight": 1}]
    return []


def group_stickiness(action: Mapping[str, Any]) -> int:
    """Seconds for which a client stays with its target group; 0: not at all."""
    sticky = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
    return int(sticky.get("DurationSeconds", 86400)) if sticky.get("Enabled") else 0


def quoted(text: str) -> str:
    return '"' + re.sub(r'([\\"$])', r"\\\1", text).replace("\n", "\\n") + '"'


def glob_regex(pattern: str) -> str:
    """ALB's ``*`` and ``?`` as an anchored regular expression in HAProxy quotes."""
    body = "".join({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in pattern)
    return "'^" + body.replace("'", r"\x27") + "$'"


def acl(condition: Mapping[str, Any]) -> str:
    """One rule condition as an HAProxy test (sample fetch, match method, values)."""
    match condition["Field"]:
        case "host-header":
            return f"req.hdr(host),field(1,:) -m reg -i {_patterns(condition, 'HostHeaderConfig')}"
        case "path-pattern":
            return f"path -m reg {_patterns(condition, 'PathPatternConfig')}"
        case "http-header":
            return (
                f"req.fhdr({condition['HttpHeaderConfig']['HttpHeaderName']}) -m reg -i "
                f"{_patterns(condition, 'HttpHeaderConfig')}"
            )
        case "query-string":
            pairs = condition.get("QueryStringConfig", {}).get("Values", [])
            return (
                "query -m reg -i "
                f"{' '.join(query_regex(pair.get('Key', ''), pair['Value']) for pair in pairs)}"
            )
        case "source-ip":
            sources = _values(condition, "SourceIpConfig")
            return "src " + " ".join(str(ip_network(value, strict=False)) for value in sources)
        case "http-request-method":
            return f"method {' '.join(_values(condition, 'HttpRequestMethodConfig'))}"
        case other:
            raise LocalError(f"a rule condition on {other} is not carried out by kirikae local yet")


def _patterns(condition: Mapping[str, Any], config: str) -> str:
    """Globs and regular expressions of one condition, as anchored and free expressions."""
    own = [_in_quotes(value) for value in condition.get(config, {}).get("RegexValues", [])]
    return " ".join([*map(glob_regex, _values(condition, config)), *own])


def _in_quotes(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as error:
        raise LocalError(f"{expression!r} is no regular expression: {error}") from error
    return "'" + expression.replace("'", r"\x27") + "'"


def query_regex(key: str, value: str) -> str:
    """``key=value`` anywhere in a query string, with ALB's ``*`` and ``?``; without a key, this
    value of any key."""

    def glob(text: str) -> str:
        return "".join({"*": "[^&]*", "?": "[^&]"}.get(c) or re.escape(c) for c in text)

    return _in_quotes(f"(^|&){glob(key) + '=' if key else '([^&=]*=)?'}{glob(value)}(&|$)")


def _values(condition: Mapping[str, Any], config: str) -> list[str]:
    return list(condition.get(config, {}).get("Values") or condition.get("Values") or [])
