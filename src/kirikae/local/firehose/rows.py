"""The rows that Firehose keeps."""

from __future__ import annotations

from typing import TypedDict

from kirikae.local.plain import Plain


class Stream(TypedDict):
    """``destination``: as DescribeDeliveryStream tells it, with every default in its place."""

    arn: str
    name: str
    status: str
    version: int
    created: float
    updated: float
    destination: Plain
    encryption: Plain
    tags: dict[str, str]


class Order(TypedDict):
    """One object that is to be put.  ``errors``: the key of what processors could not take;
    ``destination``: as it was when this was ordered."""

    last: int
    oldest: float
    key: str
    errors: str
    destination: Plain
