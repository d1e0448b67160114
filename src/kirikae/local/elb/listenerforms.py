"""What a listener is asked to be (ELB API reference, CreateListener and ModifyListener): checks
before anything is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kirikae.local.elb.kinds import (
    APPLICATION,
    DEFAULT_POLICY,
    GATEWAY,
    LISTENERS,
    MOST_CERTIFICATES,
    OF_APPLICATIONS,
    SECURE,
    protocol_of,
)
from kirikae.local.elb.limits import wrong
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Action, Balancer, Group, ListenerForm

_ALPN = ("HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None")
_POLICY = re.compile(r"ELBSecurityPolicy-[A-Za-z0-9-]{1,60}")
_CERTIFICATE = re.compile(
    r"arn:aws[a-z-]*:(acm:[a-z0-9-]+:[0-9]{12}:certificate/|iam::[0-9]{12}:server-certificate/).+"
)
ATTRIBUTES = {
    "HTTP": {
        "routing.http.response.server.enabled": "true",
    },
    "HTTPS": {
        "routing.http.response.server.enabled": "true",
    },
    "TCP": {"tcp.idle_timeout.seconds": "350"},
    "": {"tcp.idle_timeout.seconds": "350"},
}
"""Defaults of a listener's attributes by its protocol; gateways' listeners have none."""


def kind_of(balancer: Balancer) -> str:
    """Application, network or gateway."""
    return balancer.get("type", APPLICATION)


def check_place(kind: str, params: Plain) -> None:
    """Raise AwsError for a protocol or a port that a listener of this kind of load balancer has
    not, or has to have."""
    asked = [key for key in ("Port", "Protocol") if params.get(key)]
    if kind == GATEWAY:
        if asked:
            raise wrong(f"A {asked[0].lower()} cannot be specified for gateway listeners")
        return
    for key in ("Port", "Protocol"):
        if key not in asked:
            raise wrong(f"A listener {key.lower()} must be specified")
    check_protocol(kind, params["Protocol"])


def check_protocol(kind: str, protocol: str) -> None:
    """Raise AwsError for a protocol that listeners of this kind of load balancer do not speak."""
    if protocol not in LISTENERS[kind]:
        raise wrong(f"Listener protocol '{protocol}' must be one of '{', '.join(LISTENERS[kind])}'")


def secured(params: Plain, protocol: str, before: ListenerForm) -> ListenerForm:
    """Protocol, certificates and policy as they are asked for; what is not given stays.  Raises
    AwsError for TLS without exactly one certificate, and for certificates without TLS."""
    asked = [each.get("CertificateArn", "") for each in params.get("Certificates") or []]
    if protocol not in SECURE:
        if asked or params.get("SslPolicy") or params.get("MutualAuthentication"):
            raise wrong(f"Certificates and policies cannot be specified for {protocol} listeners")
        _alpn(params, protocol)
        return {"protocol": protocol}
    certificates = asked or before.get("certificates", [])
    if not certificates and "Certificates" not in params and not before:
        raise wrong(f"A certificate must be specified for {protocol} listeners")
    if len(asked or certificates[:1]) != 1:
        raise AwsError(
            "InvalidConfigurationRequest",
            "You must provide a list containing exactly one certificate if the listener protocol "
            f"is {protocol}.",
        )
    check_certificates(asked)
    secure: ListenerForm = {
        "protocol": protocol,
        "certificates": [*asked, *before.get("certificates", [])[1:]] if asked else certificates,
        "policy": _policy(params.get("SslPolicy") or before.get("policy", DEFAULT_POLICY)),
        "alpn": _alpn(params, protocol) or before.get("alpn", []),
    }
    mutual = params.get("MutualAuthentication") or before.get("mutual")
    if mutual:
        secure["mutual"] = mutual
    return secure


def _policy(name: str) -> str:
    """Raises AwsError for what names no security policy."""
    if not _POLICY.fullmatch(name):
        raise AwsError("SSLPolicyNotFound", f"SSL policy '{name}' not found")
    return name


def _alpn(params: Plain, protocol: str) -> list[str]:
    """Of TLS listeners."""
    asked = list(params.get("AlpnPolicy") or [])
    if asked and protocol != "TLS":
        raise AwsError("ALPNPolicyNotSupported", "ALPN policies are for TLS listeners only")
    if len(asked) > 1 or not all(name in _ALPN for name in asked):
        raise AwsError("ALPNPolicyNotSupported", f"ALPN policy must be one of {', '.join(_ALPN)}")
    return asked


def check_certificates(arns: Sequence[str]) -> None:
    """Raise AwsError for what is no certificate of ACM or IAM; whether it is there is asked where
    something is encrypted with it."""
    for arn in arns:
        if not _CERTIFICATE.fullmatch(arn):
            raise AwsError("CertificateNotFound", f"Certificate {arn} not found")


def check_number(certificates: Sequence[str]) -> None:
    """Raise AwsError beyond what a listener takes, its default one not counted."""
    if len(certificates) > MOST_CERTIFICATES:
        raise AwsError(
            "TooManyCertificates",
            f"A listener can have at most {MOST_CERTIFICATES} certificates beside its default one",
        )


def check_forwards(kind: str, actions: Sequence[Action], groups: Sequence[Group]) -> None:
    """Raise AwsError where a load balancer of this kind cannot forward to such a group, or does
    something else than forward."""
    if kind != APPLICATION and any(action["Type"] != "forward" for action in actions):
        raise AwsError(
            "InvalidLoadBalancerAction", f"Listeners of {kind} load balancers can only forward"
        )
    for group in groups:
        protocol = protocol_of(group)
        of_applications = protocol in OF_APPLICATIONS or not protocol
        is_right = of_applications == (kind == APPLICATION)
        if not is_right or (protocol == "GENEVE") != (kind == GATEWAY):
            raise AwsError(
                "IncompatibleProtocols",
                f"A {kind} load balancer cannot forward to the target group '{group['name']}' of "
                f"{protocol or 'functions'}",
            )
