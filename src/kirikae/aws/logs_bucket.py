"""Access logs of a load balancer in their bucket (ELB user guide, "Access logs for your Application
Load Balancer")."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told

_ENDED = re.compile(r"_(\d{8}T\d{4}Z)_")
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one load balancer's log files lie.  ``name``: ``app/NAME/ID``, as CloudWatch's
    dimension has it."""

    bucket: str
    prefix: str
    account: str
    region: str
    name: str

    def folder(self, day: datetime) -> str:
        """Keys of this day (UTC) begin so."""
        parts = [
            self.prefix,
            "AWSLogs",
            self.account,
            "elasticloadbalancing",
            self.region,
            f"{day:%Y/%m/%d}",
        ]
        return "/".join(part for part in parts if part) + "/"

    def holds(self, key: str, since: float) -> bool:
        """Is it a file of this load balancer that may hold requests from this time on?  Its name
        carries when its five minutes ended."""
        if f"_{self.name.replace('/', '.')}_" not in key or _ENDED.search(key) is None:
            return False
        return ended(key) >= since - _MINUTE_S


def ended(key: str) -> float:
    """When a file's five minutes ended (Unix time), by its name."""
    match = _ENDED.search(key)
    if match is None:
        return 0.0
    return datetime.strptime(match[1], "%Y%m%dT%H%MZ").replace(tzinfo=UTC).timestamp()


def place_of(aws: Aws, balancer_arn: str) -> Place:
    """Raises NotThere where the load balancer writes no access log."""
    with told():
        raw = aws.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=balancer_arn)[
            "Attributes"
        ]
    attributes = {a["Key"]: a["Value"] for a in raw}
    _, _, _, region, account, resource = balancer_arn.split(":", 5)
    name = resource.removeprefix("loadbalancer/")
    if attributes.get("access_logs.s3.enabled") != "true" or not attributes.get(
        "access_logs.s3.bucket",
    ):
        raise NotThere(
            "DescribeLoadBalancerAttributes",
            "AccessLogsDisabled",
            f"{name} writes no access log; switch access_logs.s3.enabled on",
        )
    return Place(
        attributes["access_logs.s3.bucket"],
        attributes.get("access_logs.s3.prefix", ""),
        account,
        region,
        name,
    )


def files(aws: Aws, place: Place, since: float, until: float) -> list[str]:
    """Keys of the days between two Unix times (a file's name carries the end of its five minutes),
    in order."""
    keys: list[str] = []
    day = datetime.fromtimestamp(since, UTC).date()
    last = datetime.fromtimestamp(until, UTC).date()
    with told():
        pages = aws.client("s3").get_paginator("list_objects_v2")
        while day <= last:
            folder = place.folder(
                datetime(
                    day.year,
                    day.month,
                    day.day,
                    tzinfo=UTC,
                )
            )
            for page in pages.paginate(Bucket=place.bucket, Prefix=folder):
                keys += [
                    entry["Key"]
                    for entry in page.get("Contents", ())
                    if place.holds(entry["Key"], since)
                ]
            day += timedelta(days=1)
    return keys


def lines(aws: Aws, place: Place, key: str) -> list[str] | None:
    """None for a file that cannot be unpacked.  Raises NotThere."""
    with told():
        body = aws.client("s3").get_object(Bucket=place.bucket, Key=key)["Body"].read()
    try:
        return gzip.decompress(body).decode("utf-8", "replace").splitlines()
    except (OSError, EOFError, zlib.error):
        return None
