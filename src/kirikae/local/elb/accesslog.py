"""Access logs in the Application Load Balancer's format, to the bucket that the load balancer's
attribute names.

Fields and file names follow the ELB user guide, "Access logs for your Application Load Balancer"
(30 fields).  Lines lie in a spool file until they are delivered, so a killed control plane loses
none that it had read."""

from __future__ import annotations

import gzip
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from kirikae.local.elb.actions import chosen
from kirikae.local.elb.figures import Told
from kirikae.local.elb.kinds import scheme_of
from kirikae.local.errors import AwsError
from kirikae.local.rows import Balancer, Listener, Rule
from kirikae.local.state import State
from kirikae.local.stores import Stores
from kirikae.local.wire import ACCOUNT

log = logging.getLogger("kirikae.local.accesslog")

EVERY_S = 300
FIELDS = (
    "%ci %cp %si %sp %TR %Tw %Tc %Ta %[date(0,ms)] %HM %HV %[capture.req.uri,url_enc] "
    "%[capture.req.hdr(0),url_enc] "
    "%[capture.req.hdr(1),url_enc] %[capture.req.hdr(2),url_enc]"
)
"""What HAProxy tells beside the figures: addresses, times, the request line, then host, user agent
and trace ID."""
_NOT_REACHED = -1
_ACTIONS = ("forward", "redirect", "fixed-response")


def wanted(balancer: Balancer) -> bool:
    """Is its access log switched on, and is there a bucket for it?"""
    attributes = balancer["attributes"]
    is_on = attributes.get("access_logs.s3.enabled") == "true"
    return is_on and bool(attributes.get("access_logs.s3.bucket"))


@dataclass(frozen=True, slots=True)
class Spoken:
    """What HAProxy tells of a request for the access log; times in milliseconds, -1 where a stage
    was not reached."""

    client: str
    client_port: str
    target: str
    target_port: str
    head_ms: int
    wait_ms: int
    connect_ms: int
    total_ms: int
    ended_ms: int
    method: str
    version: str
    uri: str
    host: str
    agent: str
    trace: str

    @classmethod
    def of(cls, told: Told) -> Self:
        """From the fields that ``FIELDS`` adds to HAProxy's line.

        Raises ValueError for another number of fields.
        """
        client, client_port, target, target_port, *rest = told.more
        head, wait, connect, total, ended, method, version, *texts = rest
        uri, host, agent, trace = map(_text, texts)
        return cls(
            client,
            client_port,
            target,
            target_port,
            head_ms=int(head),
            wait_ms=int(wait),
            connect_ms=int(connect),
            total_ms=int(total),
            ended_ms=int(ended),
            method=method,
            version=version,
            uri=uri,
            host=host,
            agent=agent,
            trace=trace,
        )

    @property
    def forwarded_ms(self) -> int:
        """From taking the request in until the target was connected; -1 where it was not
        reached."""
        return self.wait_ms + self.connect_ms if self.connect_ms >= 0 else _NOT_REACHED

    @property
    def began_ms(self) -> int:
        """Unix milliseconds.

        HAProxy stamps the end, ALB's ``request_creation_time`` is the beginning.
        """
        return self.ended_ms - max(0, self.total_ms)


def line(
    told: Told,
    balancer: Balancer,
    listener: Listener,
    group_arn: str,
    rule: Rule | None,
) -> str:
    """One request as ALB writes it; which cipher a client took is not known here."""
    spoken = Spoken.of(told)
    forwarded_ms = rest_ms = _NOT_REACHED
    target_status = "-"
    if told.by_target:
        forwarded_ms = spoken.forwarded_ms
        rest_ms = spoken.total_ms - spoken.head_ms - forwarded_ms - told.response_ms
        target_status = str(told.status)
    sent_to = "-"
    if told.group and told.slot != "<NOSRV>":
        sent_to = f"{spoken.target}:{spoken.target_port}"
    domain = spoken.host.partition(":")[0] or "-"
    scheme = scheme_of(listener)
    url = spoken.uri
    if url.startswith("/"):
        url = f"{scheme}://{domain}:{listener['port']}{url}"
    values = [
        scheme,
        _stamp(spoken.ended_ms),
        f"app/{balancer['name']}/{balancer['id']}",
        f"{spoken.client}:{spoken.client_port}",
        sent_to,
        _seconds(forwarded_ms),
        _seconds(told.response_ms),
        _seconds(rest_ms),
        str(told.status),
        target_status,
        str(told.received),
        str(told.sent),
        _quoted(f"{spoken.method} {url} {spoken.version}"),
        _quoted(spoken.agent or "-"),
        "-",
        "-",
        group_arn or "-",
        _quoted(spoken.trace or "-"),
        _quoted(domain),
        '"-"',
        _priority(rule),
        _stamp(spoken.began_ms),
        _quoted(_action(rule)),
        _quoted("-"),
        '"-"',
        _quoted(sent_to),
        _quoted(target_status),
        '"-"',
        '"-"',
        "-",
    ]
    return " ".join(values)


def _priority(rule: Rule | None) -> str:
    """As ALB writes it: 0 for the default rule, -1 where no rule was found."""
    if rule is None:
        return "-1"
    return "0" if rule["default"] else str(rule["priority"])


def _action(rule: Rule | None) -> str:
    """The action that was carried out; ``-`` for one that ALB's log has no word for."""
    kind = chosen(rule["actions"])["Type"] if rule is not None else ""
    return kind if kind in _ACTIONS else "-"


def _text(encoded: str) -> str:
    """HAProxy writes captured headers URL-encoded, and ``-`` for none."""
    return "" if encoded == "-" else unquote(encoded)


def _quoted(text: str) -> str:
    r"""In double quotes, with whatever would break the line written as ``\xNN``."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    """One character as it may stand between double quotes."""
    if character.isprintable() and character not in '"\\':
        return character
    return f"\\x{ord(character):02X}"


def _seconds(milliseconds: int) -> str:
    """With three decimals; -1 stands for a stage that was not reached."""
    return "-1" if milliseconds < 0 else f"{milliseconds / 1000:.3f}"


def _stamp(milliseconds: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC, with ``Z``."""
    whole = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="microseconds")
    return whole.replace("+00:00", "Z")


class AccessLogs:
    """One spool per load balancer; it is renamed before it is delivered."""

    def __init__(
        self,
        state: State,
        directory: Path,
        stores: Stores,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        """``directory`` is the instance's state directory; the spool is made there.

        ``clock`` answers Unix seconds.
        """
        self._state = state
        self._spool = directory / "accesslogs"
        self._stores = stores
        self._region = region
        self._clock = clock
        self._spool.mkdir(exist_ok=True)

    def keep(self, told: Told) -> None:
        """Append one request to its load balancer's spool."""
        listeners = {listener["id"]: listener for listener in self._state.listeners.all()}
        listener = listeners.get(told.listener)
        balancer = self._state.balancers.get(listener["balancer"]) if listener else None
        if listener is None or balancer is None or not wanted(balancer):
            return
        group = self._state.groups.get(told.group)
        group_arn = group["arn"] if group is not None else ""
        rules = {rule["id"]: rule for rule in self._state.rules.all()}
        written = line(told, balancer, listener, group_arn, rules.get(told.rule))
        with (self._spool / balancer["id"]).open("a", encoding="utf-8") as spool:
            spool.write(written + "\n")

    async def deliver(self) -> None:
        """Every spool as one gzip file to its bucket; what cannot be delivered stays."""
        for spool in [path for path in self._spool.iterdir() if not path.suffix]:
            going = spool.with_suffix(".going")
            if not going.exists():
                spool.rename(going)
        for going in list(self._spool.glob("*.going")):
            balancer = self._state.balancers.get(going.stem)
            if balancer is not None and wanted(balancer):
                packed = gzip.compress(going.read_bytes())
                if not await self._put(packed, balancer):
                    continue
            going.unlink()

    async def _put(self, body: bytes, balancer: Balancer) -> bool:
        """False where the bucket does not take it now; the file stays and is tried again."""
        bucket = balancer["attributes"]["access_logs.s3.bucket"]
        try:
            await self._stores.put_object(bucket, self._key(balancer), body)
        except (OSError, AwsError) as error:
            log.warning("the access log of %s is not delivered yet: %s", balancer["name"], error)
            return False
        return True

    def _key(self, balancer: Balancer) -> str:
        """The object's name as ALB makes it: prefix, AWSLogs, account, region, day, then the load
        balancer and the minute."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        place = f"AWSLogs/{ACCOUNT}/elasticloadbalancing/{self._region}/{now:%Y/%m/%d}"
        name = (
            f"{ACCOUNT}_elasticloadbalancing_{self._region}_app.{balancer['name']}.{balancer['id']}"
            f"_{now:%Y%m%dT%H%MZ}_127.0.0.1_{secrets.token_hex(4)}.log.gz"
        )
        prefix = balancer["attributes"].get("access_logs.s3.prefix", "")
        return "/".join(part for part in (prefix, place, name) if part)
