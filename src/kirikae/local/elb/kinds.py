"""Which load balancers, listeners and target groups there are, and which of them are carried out.

Application load balancers carry requests of HTTP to addresses.  Everything else is a record here:
kept, checked as AWS checks it, told as AWS tells it, and asked nothing."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.local.rows import Group, Listener

APPLICATION = "application"
NETWORK = "network"
GATEWAY = "gateway"
IN_ARNS: Mapping[str, str] = {
    APPLICATION: "app",
    NETWORK: "net",
    GATEWAY: "gwy",
}
LISTENERS: Mapping[str, tuple[str, ...]] = {
    APPLICATION: ("HTTP", "HTTPS"),
    NETWORK: ("UDP", "TCP", "TLS", "TCP_UDP"),
    GATEWAY: (),
}
"""Protocols of their listeners; those of gateways have none (ELB API reference, CreateListener)."""
SECURE = ("HTTPS", "TLS")
GROUPS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE")
OF_APPLICATIONS = ("HTTP", "HTTPS")
"""Protocols of target groups that application load balancers forward to."""
LAMBDA = "lambda"
DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
MOST_CERTIFICATES = 25
"""Of a listener, without its default one (ELB user guide, "Quotas")."""
HOSTED_ZONES: Mapping[str, Mapping[str, str]] = {
    APPLICATION: {
        "us-east-1": "Z35SXDOTRQ7X7K",
        "us-east-2": "Z3AADJGX6KTTL2",
        "us-west-1": "Z368ELLRRE2KJ0",
        "us-west-2": "Z1H1FL5HABSF5",
        "ap-northeast-1": "Z14GRHDCWA56QT",
        "ap-northeast-2": "ZWKZPGTI48KDX",
        "ap-northeast-3": "Z5LXEXXYW11ES",
        "ap-south-1": "ZP97RAFLXTNZK",
        "ap-southeast-1": "Z1LMS91P8CMLE5",
        "ap-southeast-2": "Z1GM3OXH4ZPM65",
        "ca-central-1": "ZQSVJUPU6J1EY",
        "eu-central-1": "Z215JYRZR1TBD5",
        "eu-north-1": "Z23TAZ6LKFMNIO",
        "eu-west-1": "Z32O12XQLNTSW2",
        "eu-west-2": "ZHURV8PSTC4K8",
        "eu-west-3": "Z3Q77PNBQS71R4",
        "sa-east-1": "Z2P70J7HTTTPLU",
    },
    NETWORK: {
        "us-east-1": "Z26RNL4JYFTOTI",
        "us-east-2": "ZLMOA37VPKANP",
        "us-west-1": "Z24FKFUX50B4VW",
        "us-west-2": "Z18D5FSROUN65G",
        "ap-northeast-1": "Z31USIVHYNEOWT",
        "ap-northeast-2": "ZIBE1TIR4HY56",
        "ap-northeast-3": "Z1GWIQ4HH19I5X",
        "ap-south-1": "ZVDDRBQ08TROA",
        "ap-southeast-1": "ZKVM4W9LS7TM",
        "ap-southeast-2": "ZCT6FZBF4DROD",
        "ca-central-1": "Z2EPGBW3API2WT",
        "eu-central-1": "Z3F0SRJ5LGBH90",
        "eu-north-1": "Z1UDT6IFJ4EJM",
        "eu-west-1": "Z2IFOLAFXWLO4F",
        "eu-west-2": "ZD4D7Y8KGAS4G",
        "eu-west-3": "Z1CMS0P5QUZ6D5",
        "sa-east-1": "ZTK26PT1VY4CU",
    },
}
"""AWS General Reference, "Elastic Load Balancing endpoints"; an alias record needs one, and leads
nowhere here."""


def hosted_zone(kind: str, region: str) -> str | None:
    """None for gateways, which have none, and for regions that are not listed here."""
    return HOSTED_ZONES.get(kind, {}).get(region)


def protocol_of(group: Group) -> str:
    """Empty for functions."""
    return group.get("protocol", "HTTP")


def is_record(group: Group) -> bool:
    """Is it only kept and told?  Carried out are addresses that are spoken to in HTTP."""
    kind = (group.get("target_type", "ip"), protocol_of(group))
    return kind != ("ip", "HTTP") or group.get("protocol_version", "HTTP1") != "HTTP1"


def listens(listener: Listener) -> bool:
    """Is it there in HAProxy?  Listeners of TLS, TCP and UDP are records, and those of HTTPS whose
    certificate nobody was asked for."""
    return listener.get("protocol", "HTTP") == "HTTP" or is_encrypted(listener)


def is_encrypted(listener: Listener) -> bool:
    """Does it speak HTTPS?"""
    return listener.get("protocol") == "HTTPS" and bool(listener.get("pems"))


def scheme_of(listener: Listener) -> str:
    """As it stands in URLs."""
    return "https" if is_encrypted(listener) else "http"
