"""The IAM policy that a project needs: what kirikae calls, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kirikae.build.driver import allow, journal, telling
from kirikae.build.roles import execution_role, task_role
from kirikae.console.context import Desk
from kirikae.model.project import Project
from kirikae.move.kind import Statement

LOOKS = (
    "application-autoscaling:DescribeScalableTargets",
    "autoscaling:DescribeAutoScalingGroups",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ecs:DescribeClusters",
    "ecs:DescribeServices",
    "ecs:DescribeTaskDefinition",
    "ecs:DescribeTasks",
    "ecs:ListClusters",
    "ecs:ListServices",
    "ecs:ListTasks",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
    "route53:ListHostedZones",
    "route53:ListHostedZonesByName",
    "route53:ListResourceRecordSets",
    "sts:GetCallerIdentity",
)
"""What `init`, `doctor`, `survey aws` and `move plan` call: reading calls."""


def document(statements: list[Statement]) -> dict[str, Any]:
    """As IAM takes it."""
    return {"Version": "2012-10-17", "Statement": statements}


def to_look() -> list[Statement]:
    """Enough to see everything and to change nothing.  A journal in a bucket is another matter."""
    return [allow("Look", "*", *LOOKS)]


def to_move(project: Project, desks: list[Desk]) -> list[Statement]:
    """To look, to turn what the project's moves turn, and to put releases onto the new fleet.

    Raises NotThere, AwsUnreachable where a kind must ask AWS for a name.
    """
    return _named_once([*_turning(project, desks), *_releases(project)])


def to_drive(project: Project, desks: list[Desk]) -> list[Statement]:
    """To look, and to turn what these moves turn.  Raises as ``to_move``."""
    return _named_once(_turning(project, desks))


def to_deploy(project: Project) -> list[Statement]:
    """To look, to keep releases in the store, and to put them onto the new fleet."""
    return _named_once([*to_look(), *journal(project), *_releases(project)])


def to_run(project: Project) -> list[Statement]:
    """To look, and to run tasks of their own in the new fleet's cluster (`ecs run`); of which
    family, the project file does not say."""
    scope = f"arn:aws:ecs:{project.region}:{project.account}"
    cluster = f"{scope}:cluster/{project.fleets.new.cluster}"
    run = allow("Run", f"{scope}:task-definition/*", "ecs:RunTask")
    within = {"ArnEquals": {"ecs:cluster": cluster}}
    tags = {"StringEquals": {"ecs:CreateAction": ["RegisterTaskDefinition", "RunTask"]}}
    return [
        *to_look(),
        allow("Define", "*", "ecs:RegisterTaskDefinition"),
        {**run, "Condition": within},
        {**allow("Tag", "*", "ecs:TagResource"), "Condition": tags},
        *_named_once([*_passing(project)]),
        allow("WhyTasksStop", "*", "logs:GetLogEvents"),
    ]


def to_remove(project: Project) -> list[Statement]:
    """To look, and to take revisions and services away (`ecs deregister`, `ecs delete`); the
    journal names the ways back."""
    scope = f"arn:aws:ecs:{project.region}:{project.account}"
    new = project.fleets.new
    services = f"{scope}:service/{new.cluster}"
    names = [new.ecs_service, *new.services]
    return [
        *to_look(),
        *journal(project),
        allow("Deregister", "*", "ecs:DeregisterTaskDefinition", "ecs:ListTaskDefinitions"),
        allow("DeleteRevisions", f"{scope}:task-definition/*", "ecs:DeleteTaskDefinitions"),
        *_named_once(
            [allow("DeleteService", f"{services}/{name}", "ecs:DeleteService") for name in names]
        ),
    ]


def _turning(project: Project, desks: list[Desk]) -> list[Statement]:
    found = [*to_look(), *journal(project), *telling(project)]
    for desk in desks:
        for statement in desk.kind.permissions(desk.settings, desk.bench):
            if statement not in found:
                found.append(statement)
    return found


def _named_once(statements: list[Statement]) -> list[Statement]:
    """IAM wants every Sid once; two moves have the same ones."""
    seen: dict[str, int] = {}
    told: list[Statement] = []
    for statement in statements:
        sid = str(statement["Sid"])
        seen[sid] = seen.get(sid, 0) + 1
        number = "" if seen[sid] == 1 else str(seen[sid])
        told.append({**statement, "Sid": f"{sid}{number}"})
    return told


_GROUPS = (
    "codedeploy:BatchGetApplications",
    "codedeploy:BatchGetDeploymentGroups",
    "codedeploy:ListApplications",
    "codedeploy:ListDeploymentGroups",
)
"""Where the project file does not say which one drives the service."""
_SERVICE = (
    "ecs:CreateService",
    "ecs:TagResource",
    "ecs:UntagResource",
    "ecs:UpdateService",
)
"""What a release does to a service; its tags have calls of their own."""


def _releases(project: Project) -> Iterator[Statement]:
    """What `release deploy` changes at AWS; nothing where a command of the user's own does it."""
    yield from _drains(project)
    yield from _agents(project)
    new = project.fleets.new
    own = new.deployer is not None and new.deployer.command is not None
    names = [*([] if own else [new.ecs_service]), *new.services]
    if not names:
        return
    scope = f"arn:aws:ecs:{project.region}:{project.account}"
    yield allow("Define", "*", "ecs:RegisterTaskDefinition")
    for name in names:
        service = f"{scope}:service/{new.cluster}/{name}"
        yield allow("Deploy", service, *_SERVICE)
        # As AWS names the resource: by an ID of its own, which no project file can tell.
        yield allow(
            "Scale",
            f"arn:aws:application-autoscaling:{project.region}:{project.account}:scalable-target/*",
            "application-autoscaling:RegisterScalableTarget",
        )
    yield from _passing(project)
    yield allow("WhyTasksStop", "*", "logs:GetLogEvents")
    yield from _codedeploy(project)


def _passing(project: Project) -> Iterator[Statement]:
    """Roles that tasks get."""
    for role in (execution_role(project), task_role(project)):
        if role is not None:
            arn = role if role.startswith("arn:") else f"arn:aws:iam::{project.account}:role/{role}"
            yield allow("PassRole", arn, "iam:PassRole")


def _drains(project: Project) -> Iterator[Statement]:
    """Hosts that leave their target group while they reload."""
    old = project.fleets.old
    if old.deployer is None or not old.deployer.drain:
        return
    scope = f"arn:aws:elasticloadbalancing:{project.region}:{project.account}"
    yield allow(
        "Drain",
        f"{scope}:targetgroup/{old.target_group}/*",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:RegisterTargets",
    )


def _agents(project: Project) -> Iterator[Statement]:
    """Hosts that fetch their releases from a bucket: what lies there is written and read."""
    deployer = project.fleets.old.deployer
    if deployer is None or not (deployer.agent or "").startswith("s3://"):
        return
    place = (deployer.agent or "").removeprefix("s3://").rstrip("/")
    yield allow("TellAgents", f"arn:aws:s3:::{place}/*", "s3:GetObject", "s3:PutObject")


def _codedeploy(project: Project) -> Iterator[Statement]:
    deployer = project.fleets.new.deployer
    if deployer is None or deployer.codedeploy is None:
        return
    ours = deployer.codedeploy
    scope = f"arn:aws:codedeploy:{project.region}:{project.account}"
    application = ours.application or "*"
    if ours.application is None or ours.group is None:
        yield allow("WhichCodeDeploy", "*", *_GROUPS)
    yield allow(
        "DriveCodeDeploy",
        f"{scope}:deploymentgroup:{application}/{ours.group or '*'}",
        "codedeploy:CreateDeployment",
        "codedeploy:GetDeployment",
        "codedeploy:ListDeployments",
        "codedeploy:StopDeployment",
    )
    yield allow(
        "TellCodeDeploy",
        f"{scope}:application:{application}",
        "codedeploy:GetApplicationRevision",
        "codedeploy:RegisterApplicationRevision",
    )
    yield allow("HowToDeploy", f"{scope}:deploymentconfig:*", "codedeploy:GetDeploymentConfig")
