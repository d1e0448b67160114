"""Where the share is set: a load balancer's listener rule, or weighted DNS records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from kirikae.aws import elbv2, route53
from kirikae.aws.errors import WrongAccount
from kirikae.aws.session import Aws
from kirikae.model.move import Move
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.share import percent
from kirikae.move.journal import Journal
from kirikae.traffic.errors import NotARecord
from kirikae.traffic.settings import Record
from kirikae.traffic.weights import (
    record_weights_for,
    share_of,
    weights_for,
)

OLD = "kirikae-old"
NEW = "kirikae-new"


class Router(Protocol):
    """``delay_s``: how long clients may go by the former share after a change.  ``exact``: the
    share is tested against what arrives."""

    @property
    def exact(self) -> bool: ...

    @property
    def delay_s(self) -> float: ...

    def share(self) -> int | None:
        """The share (permille) that is set now; None where what is set says nothing about it."""

    def set_share(self, share: int) -> None:
        """Set it; both sides are put in place if one is missing."""

    def back_out(self) -> None:
        """Share 0 whatever a look says of weights, which may be late; what never led to the new
        side is left as it is."""

    def prepare(self, move: Move) -> None:
        """What must be done ahead; changes nothing that users meet."""

    def not_ready(self, move: Move) -> Said | None:
        """What has to be waited for before the share may leave 0; None: nothing."""


class RuleRouter:
    """Weights of a listener rule: in force at the next request."""

    delay_s = 0.0

    def __init__(
        self,
        aws: Aws,
        rule_arn: str,
        old: str,
        new: str,
    ) -> None:
        """``old``, ``new``: ARNs of target groups."""
        self._aws = aws
        self._rule = rule_arn
        self._old = old
        self._new = new

    @cached_property
    def exact(self) -> bool:
        return elbv2.rule(self._aws, self._rule).stickiness_s == 0

    def share(self) -> int | None:
        return share_of(
            elbv2.rule(self._aws, self._rule).weights,
            self._old,
            self._new,
        )

    def set_share(self, share: int) -> None:
        self._set(elbv2.rule(self._aws, self._rule), share)

    def _set(self, found: elbv2.Rule, share: int) -> None:
        old, new = weights_for(share)
        elbv2.set_weights(self._aws, found, {self._old: old, self._new: new})

    def back_out(self) -> None:
        found = elbv2.rule(self._aws, self._rule)
        if self._new in found.weights:
            self._set(found, 0)

    def prepare(self, move: Move) -> None:
        if self._new not in elbv2.rule(self._aws, self._rule).weights:
            self.set_share(0)

    def not_ready(self, move: Move) -> Said | None:
        return None


def rule_router(aws: Aws, project: Project, name: str) -> RuleRouter:
    """By as few calls as there can be: the red button has to be quick.

    Raises NotThere, WrongAccount.
    """
    fleets = project.fleets
    old, new = elbv2.group_arns(aws, [fleets.old.target_group, fleets.new.target_group])
    account = old.split(":")[4]
    if account != project.account:
        raise WrongAccount(
            f"these credentials are of account {account}, the project file says {project.account}; "
            "choose another profile (AWS_PROFILE) or correct `account`"
        )
    return RuleRouter(
        aws,
        elbv2.find_rule(aws, name),
        old,
        new,
    )


class RecordRouter:
    """Weighted records of one name.

    The TTL is lowered one old TTL ahead; then the simple record becomes two weighted ones in one
    change.  Weights are shares of DNS answers, not of requests: the share that arrives is shown,
    and not tested.  Nothing is faster than resolvers forget."""

    exact = False

    def __init__(
        self,
        aws: Aws,
        settings: Record,
        journal: Journal,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws = aws
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._zone = route53.zone_id(aws, settings.zone)

    @property
    def delay_s(self) -> float:
        return max(route53.ttl_of(record) for record in self._records())

    def _records(self) -> list[route53.Plain]:
        found = route53.records(
            self._aws,
            self._zone,
            self._settings.name,
            self._settings.type,
        )
        if not found:
            raise NotARecord(
                f"{self._settings.name} has no {self._settings.type} record; write the "
                "name that users ask for"
            )
        return found

    def _sides(self, found: list[route53.Plain]) -> tuple[route53.Plain, route53.Plain] | None:
        """The two weighted records; None while there is one simple one.  Raises NotARecord."""
        by_id = {record.get("SetIdentifier", ""): record for record in found}
        if by_id.keys() == {OLD, NEW}:
            return by_id[OLD], by_id[NEW]
        if by_id.keys() == {""}:
            return None
        raise NotARecord(
            f"{self._settings.name} has records {', '.join(sorted(by_id))}; a move "
            f"begins with one simple record and keeps {OLD} and {NEW}"
        )

    def share(self) -> int | None:
        sides = self._sides(self._records())
        if sides is None:
            return 0
        old, new = (record["Weight"] for record in sides)
        return share_of({OLD: old, NEW: new}, OLD, NEW)

    def set_share(self, share: int) -> None:
        found = self._records()
        sides = self._sides(found)
        w_old, w_new = record_weights_for(share)
        if sides is None:
            changes = self._parted(found[0], w_old, w_new)
        else:
            old, new = sides
            changes = [
                ("UPSERT", {**old, "Weight": w_old}),
                ("UPSERT", {**new, "Weight": w_new}),
            ]
        note = f"kirikae: {percent(share)} to the new side"
        route53.change(
            self._aws,
            self._zone,
            changes,
            note,
        )

    def back_out(self) -> None:
        if self._sides(self._records()) is not None:
            self.set_share(0)

    def _parted(
        self,
        simple: route53.Plain,
        w_old: int,
        w_new: int,
    ) -> list[tuple[str, route53.Plain]]:
        """One simple record becomes two weighted ones."""
        new = {
            "Name": simple["Name"],
            "Type": simple["Type"],
            **self._leads_to_new(simple),
        }
        return [
            ("DELETE", simple),
            (
                "CREATE",
                {**simple, "SetIdentifier": OLD, "Weight": w_old},
            ),
            ("CREATE", {**new, "SetIdentifier": NEW, "Weight": w_new}),
        ]

    def _leads_to_new(self, simple: route53.Plain) -> route53.Plain:
        settings = self._settings
        alias = simple.get("AliasTarget")
        if alias is None and settings.new_zone is None:
            ttl = min(int(settings.ttl), route53.ttl_of(simple))
            return {
                "TTL": ttl,
                "ResourceRecords": [{"Value": settings.new}],
            }
        zone = settings.new_zone or (alias or {}).get("HostedZoneId", "")
        target = {
            "HostedZoneId": zone,
            "DNSName": settings.new,
            "EvaluateTargetHealth": False,
        }
        return {"AliasTarget": target}

    def prepare(self, move: Move) -> None:
        """Lower the TTL; from when on it counts is written down first."""
        found = self._records()
        if self._sides(found) is not None or "AliasTarget" in found[0]:
            return
        [simple] = found
        ttl = route53.ttl_of(simple)
        self._journal.note_once(
            move,
            "ttl",
            {"was": ttl, "forgotten_at": self._clock() + ttl},
        )
        if ttl > int(self._settings.ttl):
            lowered = {**simple, "TTL": int(self._settings.ttl)}
            route53.change(
                self._aws,
                self._zone,
                [("UPSERT", lowered)],
                "kirikae: TTL lowered ahead of a move",
            )

    def not_ready(self, move: Move) -> Said | None:
        note = self._journal.note(move, "ttl")
        if note is None:
            return None
        left = note["forgotten_at"] - self._clock()
        if left <= 0:
            return None
        return said(
            "traffic.ready.old_ttl",
            was=note["was"],
            left=math.ceil(left),
        )
