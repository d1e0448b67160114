"""What moto would keep and never do: refused by name, so that nobody waits for it in vain.

Alarms that never ring, schedules that never fire, policies that never scale, messages and resources
that moto would make inside itself, where kirikae local's own services never see them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Environ = dict[str, Any]
Read = Callable[[str], bytes | None]
"""The contents of an S3 object at ``/bucket/key``; None where there is none."""

_NEVER: Mapping[tuple[str, str], str] = {
    ("monitoring", "PutMetricAlarm"): "alarms do not ring",
    ("monitoring", "PutCompositeAlarm"): "alarms do not ring",
    ("application-autoscaling", "RegisterScalableTarget"): "services do not scale by themselves",
    ("application-autoscaling", "PutScalingPolicy"): "services do not scale by themselves",
    ("application-autoscaling", "PutScheduledAction"): "services do not scale by themselves",
}
_COLONS = rb"(?:::|%3A%3A)"
_OF_STACKS = re.compile(
    rb"AWS"
    + _COLONS
    + rb"(ECS|ElasticLoadBalancingV2|SQS|ApplicationAutoScaling|Scheduler|CloudFormation(?="
    + _COLONS
    + rb"Stack))"
    + _COLONS
)
"""What a stack would make that kirikae local owns; stacks in stacks may hold any of it."""
_STACK_CHANGES = (
    "CreateStack",
    "UpdateStack",
    "CreateChangeSet",
    "CreateStackSet",
    "UpdateStackSet",
)
_TARGETS = {
    b":lambda:": "functions",
    b":states:": "state machines",
    b"InputTransformer": "targets with an input transformer",
    b'"InputPath"': "targets with an input path",
}
"""What EventBridge would have to reach."""
_REACHED = re.compile(rb'"Arn"\s*:\s*"arn:aws[a-z-]*:(sqs|ecs):')
"""Targets of schedules."""


def refusal(service: str, name: str, environ: Environ, body: bytes, read: Read) -> str | None:
    """Why a request is not carried out; None for one that is."""
    if (why := _NEVER.get((service, name))) is not None:
        return f"kirikae local does not carry out {name}: {why} here yet"
    if service == "scheduler" and _makes_a_schedule(environ) and not _REACHED.search(body):
        return "kirikae local does not deliver schedules to other targets than SQS and ECS yet"
    if _notifies_queues(environ, body):
        return "kirikae local does not send S3 notifications to queues yet"
    if name == "PutTargets":
        for sign, what in _TARGETS.items():
            if sign in body:
                return f"kirikae local does not deliver PutTargets to {what} yet"
    if name == "PutSubscriptionFilter" and b":sqs:" in body:
        return "kirikae local does not deliver PutSubscriptionFilter to queues yet"
    if name == "Subscribe" and b"sqs" in body.lower():
        return "kirikae local does not deliver SNS messages to queues yet"
    return _of_stacks(body, read) if name in _STACK_CHANGES else None


def _makes_a_schedule(environ: Environ) -> bool:
    """Is it CreateSchedule or UpdateSchedule?"""
    path = str(environ["PATH_INFO"])
    return environ["REQUEST_METHOD"] in ("POST", "PUT") and path.startswith("/schedules/")


def _notifies_queues(environ: Environ, body: bytes) -> bool:
    """Is it a bucket's notification configuration that names a queue?"""
    asks_for_it = "notification" in str(environ.get("QUERY_STRING", ""))
    return asks_for_it and environ["REQUEST_METHOD"] == "PUT" and b"<Queue>" in body


def _of_stacks(body: bytes, read: Read) -> str | None:
    """Why no stack is made of this template, whichever way it comes: in the request, or in S3."""
    found = _OF_STACKS.search(body)
    url = parse_qs(body.decode(errors="replace")).get("TemplateURL", [""])[0]
    if found is None and url:
        template = read(place_of(url))
        if template is None:
            return f"kirikae local cannot read the template {url}"
        found = _OF_STACKS.search(_plain(template))
    if found is None:
        return None
    kind = found[1].decode()
    return f"kirikae local makes no AWS::{kind} resources from CloudFormation stacks yet"


def _plain(template: bytes) -> bytes:
    """JSON without escapes; YAML as it is."""
    try:
        return json.dumps(json.loads(template), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return template


def place_of(url: str) -> str:
    """``/bucket/key`` of an S3 URL in either form (S3 user guide, "Virtual hosting of buckets")."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    bucket, dot, _ = (parts.hostname or "").partition(".s3")
    return f"/{bucket}{path}" if dot else path
