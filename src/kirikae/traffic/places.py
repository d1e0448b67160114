"""Where both sides of a move of traffic are on AWS."""

from __future__ import annotations

from kirikae.aws import elbv2
from kirikae.aws.session import Aws
from kirikae.model.project import Fleets
from kirikae.traffic.errors import NotPrepared
from kirikae.traffic.figures import Places
from kirikae.traffic.settings import Router


def places_of(aws: Aws, fleets: Fleets, router: Router) -> Places:
    """Raises NotThere, NotPrepared."""
    old = elbv2.target_group(aws, fleets.old.target_group)
    new = elbv2.target_group(aws, fleets.new.target_group)
    if router.listener_rule is None:
        for group in (old, new):
            if not group.balancer:
                raise NotPrepared(
                    f"target group {group.name} stands behind no load balancer, "
                    "which is where figures come from"
                )
        return Places(
            None,
            old,
            new,
            old.balancer,
            new.balancer,
        )
    rule_arn = elbv2.find_rule(aws, router.listener_rule)
    balancer = elbv2.rule(aws, rule_arn).balancer_dimension
    return Places(
        rule_arn,
        old,
        new,
        balancer,
        balancer,
    )
