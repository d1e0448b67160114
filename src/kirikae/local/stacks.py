"""CloudFormation templates: what of them would be made, and never act.

A template is read as moto reads it, so that no way of writing hides a resource: JSON with escapes,
YAML with anchors or quotes, resources that a transform would bring from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_OURS = re.compile(
    r"AWS::(ECS|ElasticLoadBalancingV2|ElasticLoadBalancing|SQS|ApplicationAutoScaling|Scheduler"
    r"|Pipes|CodeDeploy|Serverless|CloudFormation(?=::Stack))::"
    r"|AWS::(CloudWatch::(?:Alarm|CompositeAlarm)\b)"
)
"""What kirikae local owns, what it refuses when it is asked for without a stack, and stacks in
stacks, which may hold any of it."""
_INCLUDES = "AWS::Include"
_REACHED = (":logs:", ":event-bus/")
"""What EventBridge reaches here."""


def refused_kind(template: bytes) -> str | None:
    """What of this template is not made, as CloudFormation names it; None where all is."""
    text = template.decode(errors="replace")
    whole = _read(text)
    if _INCLUDES in text or _INCLUDES in _as_text(whole):
        return _INCLUDES
    if (found := _OURS.search(text) or _OURS.search(_as_text(whole))) is not None:
        return f"AWS::{found[1] or found[2]}"
    return next(filter(None, (_unreached(*each) for each in _resources(whole))), None)


def _read(text: str) -> Any:
    """None where it is neither JSON nor YAML: moto refuses it then."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return YAML().load(text)
    except (YAMLError, ValueError, RecursionError):
        return None


def _as_text(part: Any) -> str:
    """JSON without escapes; short forms (``!Ref``) as they are shown."""
    try:
        return json.dumps(part, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""


def _resources(whole: Any) -> Iterator[tuple[str, Any]]:
    """Type and properties of each."""
    resources = whole.get("Resources") if isinstance(whole, Mapping) else None
    for each in resources.values() if isinstance(resources, Mapping) else ():
        if isinstance(each, Mapping):
            yield str(each.get("Type")), each.get("Properties") or {}


def _unreached(kind: str, properties: Any) -> str | None:
    """The resource's type where it would have to reach what moto does not."""
    text = _as_text(properties)
    return kind if kind in _UNREACHED and _UNREACHED[kind](text) else None


def _has_targets_elsewhere(text: str) -> bool:
    """Has a rule of EventBridge other targets than logs and buses?"""
    return '"Targets"' in text and not any(sign in text for sign in _REACHED)


_UNREACHED: Mapping[str, Callable[[str], bool]] = {
    "AWS::Events::Rule": _has_targets_elsewhere,
    "AWS::SNS::Subscription": lambda text: '"sqs"' in text,
    "AWS::SNS::Topic": lambda text: '"sqs"' in text,
    "AWS::S3::Bucket": lambda text: '"QueueConfigurations"' in text,
    "AWS::Lambda::EventSourceMapping": lambda text: ":sqs:" in text,
    "AWS::StepFunctions::StateMachine": lambda text: ":states:::" in text,
}
"""Type -> would it do nothing, with these properties?"""
