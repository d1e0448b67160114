"""The kind of move ``logs``: what is registered.

Every verb of every move reads this: what only this kind's own moves need is imported by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kirikae.logs.settings import LogsMove, Scale
from kirikae.logs.trees import S3
from kirikae.model.catalogue import load
from kirikae.model.said import words_of
from kirikae.move.kind import Bench, Kind, Statement, Turned

if TYPE_CHECKING:
    from kirikae.logs.thing import LogsThing


def _open(settings: LogsMove, bench: Bench) -> LogsThing:
    from kirikae.logs.thing import LogsThing

    return LogsThing(
        settings,
        bench.project,
        bench.journal,
        bench.clock,
        bench.folder,
        bench.name,
    )


def _permissions(settings: LogsMove, bench: Bench) -> Sequence[Statement]:
    """What `kirikae logs backfill` and `verify` ask of S3; trees in folders ask for nothing."""
    statements: list[dict[str, Any]] = []
    if settings.scale is not None:
        statements += _of_tasks(settings.scale)
    rights = (
        ("Old", settings.old.at, ["s3:GetObject"]),
        ("New", settings.new.at, ["s3:GetObject", "s3:PutObject"]),
    )
    for side, at, actions in rights:
        if not at.startswith(S3):
            continue
        root = at.partition("%")[0].removeprefix(S3)
        below = root[: root.rfind("/") + 1]
        statements.append(_allowed(f"{side}Tree", actions, f"arn:aws:s3:::{below}*"))
        bucket = f"arn:aws:s3:::{below.partition('/')[0]}"
        asked = ["s3:ListBucket"]
        if side == "New":
            asked.append("s3:GetEncryptionConfiguration")
        statements.append(_allowed(f"{side}Keys", asked, bucket))
    return statements


def _of_tasks(scale: Scale) -> Iterator[dict[str, Any]]:
    """Workers as ECS tasks (`logs backfill --on ecs:N`)."""
    yield _allowed(
        "Workers",
        [
            "ecs:RegisterTaskDefinition",
            "ecs:RunTask",
            "ecs:ListTasks",
            "ecs:DescribeTasks",
            "ecs:StopTask",
        ],
        "*",
    )
    for name, role in (("Task", scale.task_role), ("Execution", scale.execution_role)):
        if role is not None:
            yield _allowed(f"Pass{name}Role", ["iam:PassRole"], role)


def _allowed(
    name: str,
    actions: list[str],
    resource: str,
) -> dict[str, Any]:
    return {
        "Sid": name,
        "Effect": "Allow",
        "Action": actions,
        "Resource": resource,
    }


LOGS: Kind[LogsMove] = Kind(
    name="logs",
    settings=LogsMove,
    words=words_of("kirikae.logs"),
    open=_open,
    permissions=_permissions,
    turns=lambda settings: (
        Turned("view", f"{settings.readers.database}.{settings.readers.view}"),
    ),
    catalogue=load("kirikae.logs"),
)
