"""What moto would keep and never do: refused by name, so that nobody waits for it in vain.

Schedules that never fire, deployments that deploy nothing, messages and resources that moto would
make inside itself, where kirikae local's own services never see them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kirikae.local.account import ACCOUNT
from kirikae.local.plain import Plain

Environ = dict[str, Any]
Read = Callable[[str], bytes | None]
"""The contents of an S3 object at ``/bucket/key``; None where there is none."""

_NEVER: Mapping[tuple[str, str], str] = {
    ("codedeploy", "CreateDeployment"): "nothing is deployed by CodeDeploy",
    ("codebuild", "StartBuild"): "nothing is built",
    ("codebuild", "StartBuildBatch"): "nothing is built",
    ("ssm", "SendCommand"): "no machine runs commands",
    ("states", "StartExecution"): "no step of a state machine runs",
    ("states", "StartSyncExecution"): "no step of a state machine runs",
    ("events", "StartReplay"): "no archived event comes again",
}
_SERVICE_OF_ARN = 2
_ACCOUNT_OF_ARN = 4
_STEPS = re.compile(r":states:::(aws-sdk:)?(ecs|sqs|elasticloadbalancingv2|scheduler):")
"""Steps of a state machine that would call what kirikae local owns."""
_TAGGED = ("ecs", "elasticloadbalancing", "sqs")
"""Services whose tags are kept here, and not by moto."""
_STACK_CHANGES = (
    "CreateStack",
    "UpdateStack",
    "CreateChangeSet",
    "CreateStackSet",
    "UpdateStackSet",
)
_CHANGED_INPUTS = {
    "InputTransformer": "targets with an input transformer",
    "InputPath": "targets with an input path",
}
_OF_RULES = ("sqs", "ecs", "logs", "events")
"""Services that EventBridge's rules reach here; ``events``: another bus."""
_OF_SCHEDULES = ("sqs", "ecs")


def refusal(service: str, name: str, environ: Environ, body: bytes, read: Read) -> str | None:
    """Why a request is not carried out; None for one that is."""
    if service == "sts" and name.startswith("AssumeRole"):
        return _elsewhere(body)
    if name in _STACK_CHANGES:
        return _of_stacks(body, read)
    what = _undone(service, name, environ, body)
    if what is not None:
        return f"kirikae local does not carry out {what}"
    what = _undelivered(service, name, environ, body)
    return f"kirikae local does not deliver {what} yet" if what is not None else None


def _undone(service: str, name: str, environ: Environ, body: bytes) -> str | None:
    """What nobody here does, and why; None for the rest."""
    if (why := _NEVER.get((service, name))) is not None:
        return f"{name}: {why} here yet"
    if name in ("CreateStateMachine", "UpdateStateMachine"):
        steps = _STEPS.search(_unescaped(str(_read(body).get("definition", ""))))
        return f"{name}: steps of state machines call nothing here yet" if steps else None
    if service == "tagging" and name.startswith("Get"):
        return _of_tags(name, _read(body))
    if service == "autoscaling" and _balanced(name, body):
        return f"{name}: no load balancer knows the instances of Auto Scaling groups here yet"
    if name == "AssociateWebACL" and b":elasticloadbalancing:" in body:
        return f"{name}: load balancers ask no web ACL here yet"
    if service == "fis" and _changes(environ) and environ["PATH_INFO"] == "/experiments":
        return "experiments of FIS: no fault would ever happen"
    return None


def _undelivered(service: str, name: str, environ: Environ, body: bytes) -> str | None:
    """What would have to reach something that nothing here reaches; None for the rest."""
    if service == "scheduler" and _makes_a_schedule(environ):
        target = _read(body).get("Target")
        if _service_of(target) not in _OF_SCHEDULES:
            return "schedules to other targets than SQS and ECS"
        return None
    if (told := _notified(environ, body)) is not None:
        return f"S3 notifications to {told}"
    if name == "PutTargets":
        return _unreached(_read(body).get("Targets"))
    what = _to_queues(service, name, environ, body)
    return f"{what} to queues" if what is not None else None


def _read(body: bytes) -> Plain:
    """A request in JSON; nothing for what is none, which moto refuses itself."""
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _service_of(target: object) -> str:
    """Of its ARN; empty for what has none."""
    arn = target.get("Arn") if isinstance(target, dict) else None
    parts = arn.split(":") if isinstance(arn, str) else []
    return str(parts[_SERVICE_OF_ARN]) if len(parts) > _SERVICE_OF_ARN else ""


def _unreached(targets: object) -> str | None:
    """What EventBridge would have to reach, or to change first; None where it reaches all."""
    for target in targets if isinstance(targets, list) else []:
        service = _service_of(target)
        if service and service not in _OF_RULES:
            return f"PutTargets to {service}"
        for sign, what in _CHANGED_INPUTS.items():
            if isinstance(target, dict) and sign in target:
                return f"PutTargets to {what}"
    return None


def _elsewhere(body: bytes) -> str | None:
    """Why this role is not assumed: whoever has another account's keys would act in this one."""
    arn = parse_qs(body.decode(errors="replace")).get("RoleArn", [""])[0]
    parts = arn.split(":")
    if len(parts) < _ACCOUNT_OF_ARN + 1 or parts[_ACCOUNT_OF_ARN] == ACCOUNT:
        return None
    return f"kirikae local has one account, {ACCOUNT}: {arn} is a role of another"


def _to_queues(service: str, name: str, environ: Environ, body: bytes) -> str | None:
    """What would put messages into queues, or take them from there; None for the rest."""
    text = body.lower()
    if b"sqs" not in text:
        return None
    path = str(environ["PATH_INFO"])
    if service == "pipes" or (service == "lambda" and "event-source-mappings" in path):
        return f"{service}'s messages" if environ["REQUEST_METHOD"] in ("POST", "PUT") else None
    words = {
        "PutSubscriptionFilter": "PutSubscriptionFilter",
        "Subscribe": "SNS messages",
        "SetSubscriptionAttributes": "SNS messages",
    }
    return words.get(name)


def _changes(environ: Environ) -> bool:
    """Of the services that name their operations by paths."""
    return environ["REQUEST_METHOD"] in ("POST", "PUT")


def _makes_a_schedule(environ: Environ) -> bool:
    """Is it CreateSchedule or UpdateSchedule?"""
    return _changes(environ) and str(environ["PATH_INFO"]).startswith("/schedules/")


_NOTIFIED = {b"<Queue>": "queues", b"<EventBridgeConfiguration": "EventBridge"}
"""Sign in a bucket's notification configuration -> whom it tells."""


def _notified(environ: Environ, body: bytes) -> str | None:
    """Whom a bucket's notification configuration would tell, and nobody does; None: nobody."""
    asks_for_it = "notification" in str(environ.get("QUERY_STRING", ""))
    if not asks_for_it or environ["REQUEST_METHOD"] != "PUT":
        return None
    return next((whom for sign, whom in _NOTIFIED.items() if sign in body), None)


def _unescaped(definition: str) -> str:
    """A state machine's JSON in one form, however it was escaped."""
    try:
        return json.dumps(json.loads(definition), ensure_ascii=False)
    except (ValueError, RecursionError):
        return definition


def _of_tags(name: str, asked: Plain) -> str | None:
    """Why tags are not told: an empty list would say that nothing has them.  None where only
    services are asked for that moto keeps."""
    kinds = asked.get("ResourceTypeFilters") or asked.get("ResourceARNList") or []
    services = {str(kind).removeprefix("arn:aws:").partition(":")[0] for kind in kinds}
    if services and services.isdisjoint(_TAGGED):
        return None
    return f"{name}: tags of {', '.join(_TAGGED)} are told by these services themselves"


def _balanced(name: str, body: bytes) -> bool:
    """Would an Auto Scaling group register its instances with a load balancer?"""
    if name.startswith(("AttachLoadBalancer", "AttachTrafficSources")):
        return True
    changed = name in ("CreateAutoScalingGroup", "UpdateAutoScalingGroup")
    return changed and any(sign in body for sign in (b"TargetGroupARNs", b"LoadBalancerNames"))


def _of_stacks(body: bytes, read: Read) -> str | None:
    """Why no stack is made of this template, whichever way it comes: in the request, or in S3."""
    # Read here, because few processes ever see a template, and a reader of YAML takes its time.
    from kirikae.local.stacks import refused_kind

    form = parse_qs(body.decode(errors="replace"))
    url = form.get("TemplateURL", [""])[0]
    template: bytes | None = form.get("TemplateBody", [""])[0].encode()
    if url:
        template = read(place_of(url))
        if template is None:
            return f"kirikae local cannot read the template {url}"
    kind = refused_kind(template or b"")
    if kind is None:
        return None
    return f"kirikae local makes no {kind} resources from CloudFormation stacks yet"


def place_of(url: str) -> str:
    """``/bucket/key`` of an S3 URL in either form (S3 user guide, "Virtual hosting of buckets")."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    bucket, dot, _ = (parts.hostname or "").partition(".s3")
    return f"/{bucket}{path}" if dot else path
