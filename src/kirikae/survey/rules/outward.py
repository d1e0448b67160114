"""Connections: how many there are at once, and to whom this host speaks outside."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured, observed
from kirikae.survey.counted import counted
from kirikae.survey.known import debian, matches
from kirikae.survey.view import View

_DATABASES = {
    5432: "PostgreSQL",
    6432: "PgBouncer",
    3306: "MySQL",
    1433: "SQL Server",
    1521: "Oracle",
}
_MANY_CLIENTS = 500
"""Far below what a task holds, and enough to ask how many it will be at the peak."""
_MANY_TO_A_DATABASE = 10
_POOL = re.compile(
    r"(pool_?size|max_overflow|connectionLimit|maximumPoolSize|max_?connections|DB_POOL|maxActive"
    r"|maxTotal|pool_max)[\"']?\s*[=:]+\s*[\"']?(\d+)",
    re.IGNORECASE,
)
_OF_A_SERVER = re.compile(r"/etc/(postgresql|mysql|my\.cnf|my\.cnf\.d|redis)")
_TRANSFER = re.compile(r"\b(sftp|ftps?|lftp|scp)\b|\brsync\b.*\S+:|\bcurl\b.*\bs?ftps?://")
_ALLOWED = re.compile(
    r"(white|allow)[- _]?list\w*.{0,40}\b(our|this|server|source|global)\b.{0,10}\b(ip|address)"
    r"|(our|source|global|static|fixed|elastic) ip\b.{0,40}(allow|permit|register|white)"
    r"|固定IP|IP制限|許可IP|接続元IP|グローバルIP",
    re.IGNORECASE,
)
_MX = re.compile(
    r"smtplib\.SMTP\([^)]*,\s*25\)|[\"']?(smtp_?)?port[\"']?\s*[=:]>?\s*[\"']?25\b(?!\d)"
)
_SENDS_ITSELF = re.compile(r"^\s*dc_eximconfig_configtype\s*=\s*['\"]?internet")
_RELAY = re.compile(r"^\s*relayhost\s*=\s*\S")
_SHOWN = 8
_SMTP = 25


def many_clients(view: View) -> Findings:
    """Each task holds fewer connections than a machine of one's own."""
    for each in view.bundle.connections:
        if not each.outward and each.many >= _MANY_CLIENTS:
            yield observed(
                "NW07",
                where=f"port {each.port}",
                says=f"{each.many} connections to port {each.port} were open at once",
                evidence=[view.trace("/proc/net/tcp", f"{each.many} established")],
                count=each.many,
            )


def connections_to_databases(view: View) -> Findings:
    """A database has so many for all; while both sides run, both hold theirs."""
    for each in view.bundle.connections:
        kind = _DATABASES.get(each.port)
        if each.outward and kind and each.many >= _MANY_TO_A_DATABASE:
            yield observed(
                "SZ04",
                where=f"{each.address}:{each.port}",
                says=f"this host holds {each.many} connections to {kind} at {each.address}",
                evidence=[
                    view.trace("/proc/net/tcp", f"{each.many} established"),
                    *view.quotes(_pools(view)),
                ],
                count=each.many,
            )
    lines = _pools(view)
    if lines and not any(each.outward for each in view.bundle.connections):
        yield configured(
            "SZ04",
            where=lines[0].at,
            says=f"each process may hold many connections to its database: {lines[0].text.strip()}",
            evidence=view.quotes(lines),
        )


def _pools(view: View) -> list[Line]:
    """Sizes of pools, in code and own configuration that is not a database server's."""
    found = [line for code in view.code for line in code.lines if _POOL.search(line.text)]
    for text in view.own_texts:
        if not _OF_A_SERVER.match(text.path):
            found += [line for line in text.live() if _POOL.search(line.text)]
    return found[:_SHOWN]


def known_by_its_address(view: View) -> Findings:
    """Tasks call from other addresses: nobody on this host knows who lets in only this one."""
    traces = [
        view.trace(f"/proc/net/{peer.protocol}", f"connected to {peer.address}:{peer.port}")
        for peer in view.bundle.peers
        if _is_public(peer.address)
    ]
    lines = [job.line for job in view.schedules.jobs if _TRANSFER.search(job.says)]
    lines += list(_speaks_of_its_address(view))
    traces += view.quotes(lines)
    if traces:
        yield configured(
            "NW10",
            where="source address",
            says=f"{counted(len(traces), 'sign', 'signs')} that others may know the host's address",
            evidence=traces[:_SHOWN],
            count=len(traces),
        )


def _is_public(address: str) -> bool:
    """In the Internet, and not in a network of one's own."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _speaks_of_its_address(view: View) -> Iterator[Line]:
    """Comments count: that is where people write it down."""
    for text in view.own_texts:
        yield from (line for line in text.numbered() if _ALLOWED.search(line.text))
    for code in view.code:
        yield from (line for line in code.lines if _ALLOWED.search(line.text))


def mail_without_a_relay(view: View) -> Findings:
    """AWS lets port 25 out only where somebody has asked for it."""
    for peer in view.bundle.peers:
        if peer.port == _SMTP:
            at = f"{peer.address}:{_SMTP}"
            yield observed(
                "ML05",
                where=at,
                says=f"mail goes out to {at} directly",
                evidence=[view.trace(f"/proc/net/{peer.protocol}", at)],
            )
    lines = [line for code in view.code for line in code.lines if _MX.search(line.text)]
    lines += list(_servers_that_send(view))
    if lines:
        yield configured(
            "ML05",
            where=lines[0].at,
            says="mail is to go out by port 25",
            evidence=view.quotes(lines[:_SHOWN]),
        )


def _servers_that_send(view: View) -> Iterator[Line]:
    """Mail servers of this host that need no other one to deliver."""
    units = (unit.name for unit in view.bundle.units if unit.running)
    if not any(matches(name, debian().mail_servers) for name in units):
        return
    exim = view.bundle.text("/etc/exim4/update-exim4.conf.conf")
    for line in exim.live() if exim else ():
        if _SENDS_ITSELF.match(line.text):
            yield line
    postfix = view.bundle.text("/etc/postfix/main.cf")
    if postfix and not any(_RELAY.match(line.text) for line in postfix.live()):
        yield Line(postfix.path, 0, "no relayhost is set")


RULES = (
    many_clients,
    connections_to_databases,
    known_by_its_address,
    mail_without_a_relay,
)
