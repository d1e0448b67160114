"""What tasks and their way out of the network cost.  Every sum is told with its prices' date.

Prices are data (``prices.json``): list prices, without taxes, plans and agreements of your own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.simulate import Run

MONTH_H = 730
SPOT_BAND = (0.30, 0.50)
"""Share of the list price that FARGATE_SPOT costs: AWS says "up to 70% off"; what it is in a region
on a day is not published beforehand."""
ENDPOINTS = ("ecr.api", "ecr.dkr", "logs", "secretsmanager")
"""Interface endpoints that Fargate tasks without a way to the internet need (Amazon ECR User Guide,
"Interface VPC endpoints"); layers of images come through the S3 gateway endpoint, which is free."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one unit; ``seen``: the day on which somebody read it."""

    usd: float
    seen: str
    source: str


@dataclass(frozen=True, slots=True)
class Band:
    """US dollars, at least and at most; ``seen``: of its oldest price."""

    least: float
    most: float
    seen: str


@cache
def prices(region: str) -> dict[str, Price]:
    """Raises RulesProblem for a region whose prices are not kept."""
    kept = json.loads((files("kirikae.capacity") / "prices.json").read_text())
    if region not in kept:
        raise RulesProblem(
            f"no prices of {region} are kept here; known: {', '.join(sorted(kept))}. "
            "to try rules with the prices of one of these, write it as the region"
        )
    return {name: Price(**row) for name, row in kept[region].items()}


def _of(region: str, *names: str) -> tuple[list[float], str]:
    known = prices(region)
    missing = [name for name in names if name not in known]
    if missing:
        raise RulesProblem(f"no price of {missing[0]} in {region} is kept here")
    return [known[name].usd for name in names], min(known[name].seen for name in names)


def task_hour(
    region: str,
    cpu: int,
    memory: int,
    arm: bool = False,
) -> Price:
    """One task for an hour: vCPU and GB, billed by the second from the image's pull on."""
    arch = "arm_" if arm else ""
    (vcpu, gb), seen = _of(
        region,
        f"fargate_{arch}vcpu_hour",
        f"fargate_{arch}gb_hour",
    )
    return Price(
        cpu / 1024 * vcpu + memory / 1024 * gb,
        seen,
        "AWS Fargate pricing",
    )


def of_run(run: Run, hour: Price, spot: bool) -> tuple[list[Band], str]:
    """Each candidate's bill; what runs beyond the base is on Spot, where ``spot``."""
    low, high = SPOT_BAND if spot else (1.0, 1.0)
    bands = []
    for total, base in zip(
        run.task_s,
        run.base_s,
        strict=True,
    ):
        hours = total / 3600
        at_list = base / 3600 * hour.usd if spot else hours * hour.usd
        beyond = (total - base) / 3600 * hour.usd if spot else 0.0
        bands.append(
            Band(
                at_list + beyond * low,
                at_list + beyond * high,
                hour.seen,
            )
        )
    return bands, hour.seen


@dataclass(frozen=True, slots=True)
class WayOut:
    """A month of one way out of the network, for so many GB.  ``break_even_gb``: from here on
    endpoints beside the NAT gateways that stay pay; None: they replace them."""

    nat: float
    endpoints: float
    saved_if_nat_goes: float
    break_even_gb: float
    seen: str


def way_out(
    region: str,
    gb: float,
    zones: int,
    endpoints: int = len(ENDPOINTS),
) -> WayOut:
    """NAT gateways against interface endpoints, in US dollars a month."""
    names = ("nat_hour", "nat_gb", "endpoint_zone_hour", "endpoint_gb")
    (nat_hour, nat_gb, zone_hour, endpoint_gb), seen = _of(region, *names)
    nat = MONTH_H * zones * nat_hour + gb * nat_gb
    standing = MONTH_H * zones * endpoints * zone_hour
    through = standing + gb * endpoint_gb
    return WayOut(
        nat,
        through,
        nat - through,
        standing / (nat_gb - endpoint_gb),
        seen,
    )
