"""What the verbs that run jobs have in common: which ledger, which queue, how they are ended."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from kirikae.model.errors import KirikaeError, UsageProblem

if TYPE_CHECKING:
    from kirikae.aws.light import LightAws
    from kirikae.jobs.ledger import Ledger
    from kirikae.jobs.notices import Teller

LEDGER = click.option(
    "--ledger",
    "ledger_named",
    required=True,
    help="http://HOST:PORT of `kirikae jobs serve`, or dynamodb://TABLE.",
)
TOKEN = click.option(
    "--token-file",
    type=click.Path(dir_okay=False),
    help="The ledger's token over HTTP (default: what KIRIKAE_JOBS_TOKEN holds).",
)
QUEUE = click.option(
    "--queue",
    "queue_named",
    required=True,
    help="Name or URL of the FIFO queue.",
)
STATS = click.option(
    "--stats",
    metavar="ADDRESS:PORT",
    help="Answer figures here: /metrics for Prometheus, /metrics.json, and /stats/metrics as "
    "sqsjfr and sqsjkr do.",
)

EMF = click.option(
    "--emf",
    is_flag=True,
    help="Print figures each minute in CloudWatch's embedded metric format.",
)

TELL = click.option(
    "--tell",
    "ways",
    multiple=True,
    metavar="WAY",
    help="Tell of failed and missed runs: slack, sns:ARN, mail:ADDRESS or command:COMMAND.",
)


def teller_of(ways: Sequence[str]) -> Teller:
    """Raises NoWay."""
    from kirikae.jobs.notices import Teller, way_named

    return Teller([way_named(way, _publish) for way in ways])


def _publish(topic: str, subject: str, text: str) -> None:
    """Raises OSError."""
    from kirikae.aws.light import SNS, LightAws

    asked = {"TopicArn": topic, "Subject": subject[:100], "Message": text}
    if topic.endswith(".fifo"):
        asked["MessageGroupId"] = "jobs"
    try:
        LightAws(topic.split(":")[3]).call(SNS, "Publish", asked)
    except KirikaeError as error:
        raise OSError(str(error)) from error


def aws_here(read_only: bool = False) -> LightAws:
    """Raises UsageProblem without a region."""
    from kirikae.aws.light import LightAws, region_of

    region = region_of()
    if region is None:
        raise UsageProblem("which region? set AWS_REGION, or `eval $(kirikae local env)`")
    return LightAws(region, read_only=read_only)


def ledger_of(named: str, token_file: str | None, aws: LightAws | None = None) -> Ledger:
    """Raises NoLedger."""
    from kirikae.jobs.opening import open_ledger

    def table(name: str) -> Ledger:
        from kirikae.jobs.dynamo_rows import dynamo_ledger

        return dynamo_ledger(aws or aws_here(), name)

    return open_ledger(
        named,
        token_file,
        table,
    )


def address_of(listen: str) -> tuple[str, int]:
    """Raises UsageProblem."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise UsageProblem(f"{listen[:60]!r}: write an address and a port, such as 127.0.0.1:8061")
    return host.strip("[]") or "127.0.0.1", int(port)


def ended_by_signals() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    return ended


class _Lines(logging.Formatter):
    """One JSON object a line, for whoever collects a container's output."""

    def format(self, record: logging.LogRecord) -> str:
        plain: dict[str, Any] = {
            "at": round(time.time(), 3),
            "level": record.levelname.lower(),
            "says": record.getMessage(),
        }
        if record.exc_info:
            plain["traceback"] = self.formatException(record.exc_info)
        return json.dumps(plain, ensure_ascii=False)


def log_lines() -> None:
    """Every log record of ours to the error stream."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
        force=True,
    )


def print_line(plain: Mapping[str, Any]) -> None:
    """What happened, one JSON object a line, on the standard output."""
    at = {"at": round(time.time(), 3)}
    print(
        json.dumps(
            {
                **at,
                **plain,
            },
            ensure_ascii=True,
        ),
        flush=True,
    )
