"""Permissions of queues: statements of their policy, kept and told; no call is ever denied here
(SQS API reference, AddPermission and RemovePermission)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.sqs.limits import is_id, missing, wrong

_ACCOUNT = re.compile(r"[0-9]{12}")
_MOST_ACTIONS = 7
_MOST_STATEMENTS = 20
_ACTIONS = (
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
)
_OF_OWNERS = "Only the queue owner is allowed to invoke this action."


def added(policy: str, queue_arn: str, params: Plain) -> str:
    """The policy with one statement more.  Raises AwsError for a label that it has already, and for
    what SQS does not let others do."""
    actions: Sequence[str] = params["Actions"]
    accounts: Sequence[str] = params["AWSAccountIds"]
    label = params["Label"]
    _check(actions, accounts, label)
    known = _read(policy, queue_arn)
    if any(each.get("Sid") == label for each in known["Statement"]):
        raise wrong("Label", label, "Already exists.")
    if len(known["Statement"]) >= _MOST_STATEMENTS:
        raise AwsError("OverLimit", f"A policy has at most {_MOST_STATEMENTS} statements.", 403)
    names = [f"SQS:{action}" for action in actions]
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_all(principals)},
        "Action": _one_or_all(names),
        "Resource": queue_arn,
    }
    return json.dumps({**known, "Statement": [*known["Statement"], statement]})


def removed(policy: str, queue_arn: str, label: str) -> str:
    """The policy without the statement of this label; empty where that was all.  Raises AwsError
    where it has none."""
    known = _read(policy, queue_arn)
    left = [each for each in known["Statement"] if each.get("Sid") != label]
    if len(left) == len(known["Statement"]):
        raise wrong("Label", label, "can't find label on existing policy.")
    return json.dumps({**known, "Statement": left}) if left else ""


def _check(actions: Sequence[str], accounts: Sequence[str], label: str) -> None:
    """Raise AwsError for what AddPermission does not take."""
    if not actions:
        raise missing("Actions")
    if len(actions) > _MOST_ACTIONS:
        raise AwsError(
            "OverLimit",
            f"{len(actions)} Actions were found, maximum allowed is {_MOST_ACTIONS}.",
            403,
        )
    for action in actions:
        if action not in _ACTIONS:
            raise wrong("ActionName", f"SQS:{action}", _OF_OWNERS)
    if not accounts or not all(map(_ACCOUNT.fullmatch, accounts)):
        raise wrong("PrincipalId", list(accounts), "Unable to verify.")
    if not is_id(label):
        raise wrong("Label", label, "1 to 80 alphanumeric characters, hyphens or underscores.")


def _read(policy: str, queue_arn: str) -> Plain:
    """The policy that is there, or a new one.  One that somebody else wrote may be of any form."""
    try:
        found = json.loads(policy or "{}")
    except ValueError:
        found = {}
    known = found if isinstance(found, dict) else {}
    statements = known.get("Statement", [])
    return {
        "Version": "2012-10-17",
        "Id": f"{queue_arn}/SQSDefaultPolicy",
        **known,
        "Statement": statements if isinstance(statements, list) else [statements],
    }


def _one_or_all(texts: list[str]) -> str | list[str]:
    """One stands alone, as SQS writes it."""
    return texts[0] if len(texts) == 1 else texts
