"""The roles of the new side, each with what it calls and no more.

Sources: Service Authorization Reference of ECR, CloudWatch Logs, Systems Manager, Secrets Manager,
SQS, EFS and ECS; Amazon ECS developer guide, "Task execution IAM role" and "Task IAM role".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kirikae.build.needs import Needs, Queue, Statement
from kirikae.build.secrets import SecretRow
from kirikae.model.project import Project

_PULLS = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
_PUSHES = (
    *_PULLS,
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
_WORKS = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
)
_MOUNTS = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
_SHIPS = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
)


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the roles of one service."""

    execution: str
    task: str
    deploy: str
    schedule: str


def execution_role(project: Project) -> str | None:
    """As the task definition names it; None: nobody has said, and nothing makes one."""
    made = _arn(project, _own(project, "execution")) if project.build.terraform else None
    return project.build.execution_role or made


def task_role(project: Project) -> str | None:
    """The same for the service itself."""
    made = _arn(project, _own(project, "task")) if project.build.terraform else None
    return project.build.task_role or made


def roles_of(project: Project) -> Roles:
    """What the project file names keeps its name."""
    given = project.build
    ci = given.ci.role if given.ci is not None else None
    return Roles(
        execution=_name(given.execution_role) or _own(project, "execution"),
        task=_name(given.task_role) or _own(project, "task"),
        deploy=_name(ci) or _own(project, "deploy"),
        schedule=_own(project, "schedule"),
    )


def deploy_role_arn(project: Project) -> str:
    """Whose rights CI works with."""
    ci = project.build.ci
    return (ci.role if ci is not None else None) or _arn(project, roles_of(project).deploy)


def _own(project: Project, part: str) -> str:
    return f"{project.service}-{part}"


def _name(role: str | None) -> str:
    return role.rpartition("/")[2] if role else ""


def _arn(project: Project, name: str) -> str:
    return f"arn:aws:iam::{project.account}:role/{name}"


def _allow(
    sid: str,
    actions: Iterable[str],
    resources: object,
) -> dict[str, object]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resources,
    }


def trust(service: str, account: str) -> dict[str, object]:
    """A service of AWS may take the role, and only for this account (IAM user guide, "The confused
    deputy problem")."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return policy([statement])


def policy(statements: Sequence[Statement]) -> dict[str, object]:
    """As IAM takes it."""
    return {
        "Version": "2012-10-17",
        "Statement": list(statements),
    }


def execution(
    project: Project,
    repositories: Sequence[str],
    groups: Sequence[str],
    secrets: Sequence[SecretRow],
) -> list[Statement]:
    """What ECS does before a container begins: it pulls, reads secrets, opens log streams."""
    images = [_scoped(project, "ecr", f"repository/{name}") for name in repositories]
    streams = [_scoped(project, "logs", f"log-group:{name}:*") for name in groups]
    return [
        _allow("Registry", ["ecr:GetAuthorizationToken"], "*"),
        _allow("Pull", _PULLS, images),
        _allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], streams),
        *_secrets(project, secrets),
    ]


def _secrets(project: Project, rows: Sequence[SecretRow]) -> Iterator[Statement]:
    """Each by its name: another secret of the account stays closed."""
    kept = sorted(row.place for row in rows if row.in_manager)
    parameters = sorted(row.place for row in rows if not row.in_manager)
    if parameters:
        arns = [_parameter(project, place) for place in parameters]
        yield _allow("Parameters", ["ssm:GetParameters"], arns)
    if kept:
        yield _allow("Secrets", ["secretsmanager:GetSecretValue"], kept)


def _parameter(project: Project, place: str) -> str:
    if place.startswith("arn:"):
        return place
    return _scoped(project, "ssm", f"parameter/{place.lstrip('/')}")


def task(project: Project, queues: Sequence[Queue]) -> list[Statement]:
    """What the survey and the project file know that the service itself calls."""
    found: list[Statement] = []
    if queues:
        arns = [_scoped(project, "sqs", queue.name) for queue in queues]
        found.append(_allow("Queues", _WORKS, arns))
    systems = _file_systems(project)
    if systems:
        arns = [_scoped(project, "elasticfilesystem", f"file-system/{each}") for each in systems]
        found.append(_allow("Files", _MOUNTS, arns))
    if project.build.logs == "firelens":
        group = _scoped(project, "logs", f"log-group:/ecs/{project.service}")
        found.append(_allow("ShipLogs", _SHIPS, [group, f"{group}:*"]))
    return found


def _file_systems(project: Project) -> list[str]:
    return sorted({each.efs for each in project.build.mounts.values() if each.efs is not None})


def deploy(
    project: Project,
    needs: Needs,
    repositories: Sequence[str],
) -> list[Statement]:
    """`kirikae iam deploy`, and images that go into the registry."""
    images = [_scoped(project, "ecr", f"repository/{name}") for name in repositories]
    found = [
        *needs.deploy,
        _allow("Registry", ["ecr:GetAuthorizationToken"], "*"),
        _allow("Push", _PUSHES, images),
    ]
    if _system(project, "codebuild"):
        group = _scoped(project, "logs", f"log-group:/aws/codebuild/{project.service}-*")
        found.append(_allow("BuildLogs", _SHIPS[:2] + _SHIPS[3:], [group, f"{group}:*"]))
    return found


def deploy_trust(project: Project) -> dict[str, object]:
    """Runs of the one repository and branch; without CI, whoever the account lets take it."""
    found: list[Statement] = []
    if _system(project, "github-actions"):
        found.append(_of_github(project))
    if _system(project, "circleci"):
        found.append(_of_circleci(project))
    if _system(project, "codebuild"):
        found += _statements(trust("codebuild.amazonaws.com", project.account))
    if not found:
        principal = {"AWS": f"arn:aws:iam::{project.account}:root"}
        row = {
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sts:AssumeRole",
        }
        found.append(row)
    return policy(found)


def _statements(document: Mapping[str, object]) -> list[Statement]:
    statements = document["Statement"]
    assert isinstance(statements, list)
    return statements


def _system(project: Project, name: str) -> bool:
    ci = project.build.ci
    return ci is not None and name in ci.systems


GITHUB = "token.actions.githubusercontent.com"


def circleci_host(project: Project) -> str:
    """CircleCI's identity provider has the organization's ID in its address (CircleCI: "Using
    OpenID Connect tokens in jobs")."""
    ci = project.build.ci
    return f"oidc.circleci.com/org/{ci.organization if ci is not None else ''}"


def _of_github(project: Project) -> Statement:
    """``sub`` names repository and branch (GitHub: "Configuring OpenID Connect in Amazon Web
    Services")."""
    ci = project.build.ci
    assert ci is not None
    subject = f"repo:{ci.repository}:ref:refs/heads/{ci.branch}"
    equals = {
        f"{GITHUB}:aud": "sts.amazonaws.com",
        f"{GITHUB}:sub": subject,
    }
    return _by_web(project, GITHUB, equals, {})


def _of_circleci(project: Project) -> Statement:
    """The second form of its token names the source, too (CircleCI: "Using OpenID Connect tokens in
    jobs", ``CIRCLE_OIDC_TOKEN_V2``)."""
    ci = project.build.ci
    assert ci is not None
    host = circleci_host(project)
    source = f"vcs-origin/github.com/{ci.repository}/vcs-ref/refs/heads/{ci.branch}"
    subject = f"org/{ci.organization}/project/*/user/*/{source}"
    return _by_web(project, host, {f"{host}:aud": ci.organization or ""}, {f"{host}:sub": subject})


def _by_web(
    project: Project,
    host: str,
    equals: Mapping[str, str],
    like: Mapping[str, str],
) -> dict[str, object]:
    provider = f"arn:aws:iam::{project.account}:oidc-provider/{host}"
    likely = {"StringLike": dict(like)} if like else {}
    return {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": dict(equals),
            **likely,
        },
    }


def schedule(
    project: Project,
    families: Sequence[str],
    missed: str,
) -> list[Statement]:
    """Tasks of these families, in this cluster; ``missed`` is the queue of starts that failed."""
    cluster = _scoped(project, "ecs", f"cluster/{project.fleets.new.cluster}")
    within = {"ArnEquals": {"ecs:cluster": cluster}}
    definitions = [
        _scoped(project, "ecs", f"task-definition/{each}{revision}")
        for each in families
        for revision in ("", ":*")
    ]
    passed = [each for each in (execution_role(project), task_role(project)) if each]
    arns = [each if each.startswith("arn:") else _arn(project, each) for each in passed]
    only = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    return [
        _allow("Run", ["ecs:RunTask"], definitions) | {"Condition": within},
        _allow("Pass", ["iam:PassRole"], arns) | {"Condition": only},
        _allow("Missed", ["sqs:SendMessage"], [_scoped(project, "sqs", missed)]),
    ]


def start_builds(project: Project, names: Sequence[str]) -> list[Statement]:
    """Projects of CodeBuild."""
    arns = [_scoped(project, "codebuild", f"project/{name}") for name in names]
    return [_allow("Build", ["codebuild:StartBuild"], arns)]


def _scoped(
    project: Project,
    service: str,
    rest: str,
) -> str:
    return f"arn:aws:{service}:{project.region}:{project.account}:{rest}"
