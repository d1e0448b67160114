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
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from kirikae.local.elb.figures import Told
from kirikae.local.errors import AwsError
from kirikae.local.state import Row, State
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


def wanted(balancer: Row) -> bool:
    return bool(
        balancer["attributes"].get("access_logs.s3.enabled") == "true"
        and balancer["attributes"].get("access_logs.s3.bucket")
    )


def line(told: Told, balancer: Row, port: int, group_arn: str, rule: Row | None) -> str:
    """One request as ALB writes it; times are seconds, ``-1`` where a stage was not reached."""
    (
        client,
        client_port,
        target,
        target_port,
        head,
        wait,
        connect,
        total,
        end_ms,
        method,
        version,
        uri,
        host,
        agent,
        trace,
    ) = told.more
    answered = bool(told.group) and told.response_ms >= 0
    sent_to = f"{target}:{target_port}" if told.group and told.slot != "<NOSRV>" else "-"
    forwarded = int(wait) + int(connect) if int(connect) >= 0 else -1
    rest = int(total) - int(head) - forwarded - told.response_ms if answered else -1
    domain = _text(host).partition(":")[0] or "-"
    url = f"http://{domain}:{port}{_text(uri)}" if _text(uri).startswith("/") else _text(uri)
    action = {"forward": "forward", "redirect": "redirect", "fixed-response": "fixed-response"}.get(
        rule["actions"][-1]["Type"] if rule else "", "-"
    )
    priority = "-1" if rule is None else "0" if rule["default"] else str(rule["priority"])
    stamp = _stamp(int(end_ms))
    began = _stamp(int(end_ms) - max(0, int(total)))
    values = [
        "http",
        stamp,
        f"app/{balancer['name']}/{balancer['id']}",
        f"{client}:{client_port}",
        sent_to,
        _seconds(forwarded if answered else -1),
        _seconds(told.response_ms),
        _seconds(rest),
        str(told.status),
        str(told.status) if answered else "-",
        str(told.received),
        str(told.sent),
        _quoted(f"{method} {url} {version}"),
        _quoted(_text(agent) or "-"),
        "-",
        "-",
        group_arn or "-",
        _quoted(_text(trace) or "-"),
        _quoted(domain),
        '"-"',
        priority,
        began,
        _quoted(action),
        _quoted("-"),
        '"-"',
        _quoted(sent_to),
        _quoted(str(told.status) if answered else "-"),
        '"-"',
        '"-"',
        "-",
    ]
    return " ".join(values)


def _text(encoded: str) -> str:
    return "" if encoded == "-" else unquote(encoded)


def _quoted(text: str) -> str:
    return (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\x{ord(c):02X}" for c in text)
        + '"'
    )


def _seconds(milliseconds: int) -> str:
    return "-1" if milliseconds < 0 else f"{milliseconds / 1000:.3f}"


def _stamp(milliseconds: int) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


class AccessLogs:
    def __init__(
        self, state: State, directory: Path, stores: Stores, region: str, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._spool = directory / "accesslogs"
        self._stores = stores
        self._region = region
        self._clock = clock
        self._spool.mkdir(exist_ok=True)

    def keep(self, told: Told) -> None:
        """Append one request to its load balancer's spool."""
        listener = next(
            (item for item in self._state.all("listener") if item["id"] == told.listener), None
        )
        balancer = self._state.get("balancer", listener["balancer"]) if listener else None
        if listener is None or balancer is None or not wanted(balancer):
            return
        group = self._state.get("group", told.group)
        rule = next((r for r in self._state.all("rule") if r["id"] == told.rule), None)
        with (self._spool / balancer["id"]).open("a", encoding="utf-8") as spool:
            spool.write(
                line(told, balancer, listener["port"], group["arn"] if group else "", rule) + "\n"
            )

    async def deliver(self) -> None:
        """Every spool as one gzip file to its bucket; what cannot be delivered stays."""
        for spool in [p for p in self._spool.iterdir() if not p.suffix]:
            going = spool.with_suffix(".going")
            if not going.exists():
                spool.rename(going)
        for going in self._spool.glob("*.going"):
            balancer = self._state.get("balancer", going.stem)
            if balancer is None or not wanted(balancer):
                going.unlink()
                continue
            now = datetime.fromtimestamp(self._clock(), UTC)
            prefix = balancer["attributes"].get("access_logs.s3.prefix", "")
            name = (
                f"{ACCOUNT}_elasticloadbalancing_{self._region}_app.{balancer['name']}.{balancer['id']}_{now:%Y%m%dT%H%MZ}_127.0.0.1_"
                f"{secrets.token_hex(4)}.log.gz"
            )
            key = "/".join(
                p
                for p in (
                    prefix,
                    f"AWSLogs/{ACCOUNT}/elasticloadbalancing/{self._region}/{now:%Y/%m/%d}",
                    name,
                )
                if p
            )
            try:
                await self._stores.put_object(
                    balancer["attributes"]["access_logs.s3.bucket"],
                    key,
                    gzip.compress(going.read_bytes()),
                )
            except (OSError, AwsError) as error:
                log.warning(
                    "the access log of %s is not delivered yet: %s", balancer["name"], error
                )
                continue
            going.unlink()
