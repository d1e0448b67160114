"""What guard looks at in an account: services, repositories, policies and roles, by reading calls
only; what may not be read is told with the action that would allow it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
_PAGES = 200


class Closed(NamedTuple):
    """``action``: of IAM, that was refused.  ``why``: AWS's own words.  ``denied``: a permission
    would mend it."""

    action: str
    why: str
    denied: bool


@dataclass(frozen=True, slots=True)
class Found:
    """``name``: as it was asked for.  ``closed``: which of its keys could not be read."""

    name: str
    plain: Plain = field(default_factory=dict)
    closed: dict[str, Closed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundService:
    """A service with what it runs and where."""

    service: Found
    cluster: Found
    task: Found
    groups: list[Found]


def _part(
    found: Found,
    key: str,
    action: str,
    look: Callable[[], Any],
) -> None:
    """A part that is not there is None.  Raises AwsUnreachable."""
    try:
        with told():
            found.plain[key] = look()
    except NotThere:
        found.plain[key] = None
    except AwsRefused as problem:
        found.closed[key] = Closed(
            action,
            str(problem),
            problem.denied,
        )


def service(
    aws: Aws,
    cluster: str,
    name: str,
) -> FoundService:
    """Raises NotThere, AwsRefused, AwsUnreachable."""
    client = aws.client("ecs")
    found = Found(f"{cluster}/{name}")
    _part(
        found,
        "rows",
        "ecs:DescribeServices",
        lambda: _services(
            client,
            cluster,
            name,
        ),
    )
    rows = found.plain.pop("rows", None)
    if not rows and "rows" not in found.closed:
        raise NotThere(
            "DescribeServices",
            "MISSING",
            f"there is no service {cluster}/{name}",
        )
    if rows:
        found.plain.update(rows[0])
    else:
        found.closed["*"] = found.closed.pop("rows")
    return FoundService(
        found,
        _cluster(client, cluster),
        _task(client, found),
        _groups(aws, found),
    )


def _services(
    client: Any,
    cluster: str,
    name: str,
) -> list[Plain]:
    answer = client.describe_services(cluster=cluster, services=[name])
    return [row for row in answer["services"] if row.get("status") != "INACTIVE"]


def _cluster(client: Any, name: str) -> Found:
    found = Found(name)
    wanted = ["CONFIGURATIONS", "SETTINGS"]

    def look() -> Any:
        return client.describe_clusters(clusters=[name], include=wanted)["clusters"]

    _part(
        found,
        "rows",
        "ecs:DescribeClusters",
        look,
    )
    return _spread(found)


def _spread(found: Found) -> Found:
    """The first row's keys are the thing's own; where there is none, nothing of it is known."""
    rows = found.plain.pop("rows", None)
    if rows:
        found.plain.update(rows[0])
    else:
        missing = Closed(
            "",
            "it was not told",
            denied=False,
        )
        found.closed["*"] = found.closed.pop("rows", missing)
    return found


def _task(client: Any, service: Found) -> Found:
    arn = str(service.plain.get("taskDefinition", ""))
    found = Found(arn.rpartition("/")[2] or service.name)
    if not arn:
        found.closed.update(service.closed)
        return found
    _part(
        found,
        "rows",
        "ecs:DescribeTaskDefinition",
        lambda: [client.describe_task_definition(taskDefinition=arn)["taskDefinition"]],
    )
    return _spread(found)


def task_definition(aws: Aws, name: str) -> Found:
    """Raises NotThere, AwsUnreachable."""
    client = aws.client("ecs")
    found = Found(name)
    _part(
        found,
        "rows",
        "ecs:DescribeTaskDefinition",
        lambda: [client.describe_task_definition(taskDefinition=name)["taskDefinition"]],
    )
    if "rows" in found.plain and found.plain["rows"] is None:
        raise NotThere(
            "DescribeTaskDefinition",
            "NotFound",
            f"there is no task definition {name}",
        )
    return _spread(found)


def _groups(aws: Aws, service: Found) -> list[Found]:
    """Of a service that could not be read nobody knows which: one that is not known."""
    if "*" in service.closed:
        return [Found(service.name, {}, dict(service.closed))]
    network = service.plain.get("networkConfiguration", {}).get(
        "awsvpcConfiguration",
        {},
    )
    ids = list(network.get("securityGroups", []))
    if not ids:
        return []
    found = Found(", ".join(ids))
    client = aws.client("ec2")
    _part(
        found,
        "rows",
        "ec2:DescribeSecurityGroups",
        lambda: client.describe_security_groups(GroupIds=ids)["SecurityGroups"],
    )
    rows = found.plain.get("rows")
    if rows is None:
        return [_spread(found)]
    return [Found(str(row["GroupId"]), row) for row in rows]


def repository(aws: Aws, name: str) -> Found:
    """With its policies and how the registry scans.  Raises NotThere, AwsUnreachable."""
    client = aws.client("ecr")
    found = Found(name)
    _part(
        found,
        "rows",
        "ecr:DescribeRepositories",
        lambda: client.describe_repositories(repositoryNames=[name])["repositories"],
    )
    if found.plain.get("rows", ()) is None:
        raise NotThere(
            "DescribeRepositories",
            "RepositoryNotFound",
            f"no repository {name}",
        )
    _spread(found)
    _part(
        found,
        "lifecyclePolicy",
        "ecr:GetLifecyclePolicy",
        lambda: client.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"],
    )
    _part(
        found,
        "policy",
        "ecr:GetRepositoryPolicy",
        lambda: json.loads(client.get_repository_policy(repositoryName=name)["policyText"]),
    )
    _part(
        found,
        "scanning",
        "ecr:GetRegistryScanningConfiguration",
        lambda: client.get_registry_scanning_configuration()["scanningConfiguration"],
    )
    return found


def scan_findings(
    aws: Aws,
    repository: str,
    image: str,
) -> Plain:
    """As ``aws ecr describe-image-scan-findings`` prints it, all pages.  ``image``: a tag or a
    digest.  Raises AwsUnreachable."""
    client = aws.client("ecr")
    key = "imageDigest" if image.startswith("sha256:") else "imageTag"
    found = Found(repository)

    def look() -> Any:
        return list(
            _scan_pages(
                client,
                repository,
                {key: image},
            )
        )

    _part(
        found,
        "pages",
        "ecr:DescribeImageScanFindings",
        look,
    )
    pages = found.plain.get("pages")
    if not pages:
        return {
            "repositoryName": repository,
            "imageId": {key: image},
            "imageScanStatus": {"status": _no_scan(found)},
        }
    whole: Plain = dict(pages[0])
    whole["nextToken"] = pages[-1].get("nextToken")
    first = dict(whole.get("imageScanFindings", {}))
    for name in ("findings", "enhancedFindings"):
        parts = [page.get("imageScanFindings", {}).get(name, []) for page in pages]
        first[name] = [row for part in parts for row in part]
    whole["imageScanFindings"] = first
    return whole


def _no_scan(found: Found) -> str:
    closed = found.closed.get("pages")
    if closed is None:
        return "there is no scan"
    return f"{closed.action} is not allowed" if closed.denied else closed.why


def _scan_pages(
    client: Any,
    repository: str,
    image: Plain,
) -> Iterator[Plain]:
    asked: Plain = {"repositoryName": repository, "imageId": image}
    for _ in range(_PAGES):
        page = client.describe_image_scan_findings(**asked)
        yield page
        if not page.get("nextToken"):
            return
        asked["nextToken"] = page["nextToken"]


def policy(aws: Aws, arn: str) -> Found:
    """The version that holds.  Raises NotThere, AwsUnreachable."""
    client = aws.client("iam")
    found = Found(arn)

    def look() -> Any:
        version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = client.get_policy_version(
            PolicyArn=arn,
            VersionId=version,
        )
        return _document(answer["PolicyVersion"]["Document"])

    _part(
        found,
        "document",
        "iam:GetPolicy, iam:GetPolicyVersion",
        look,
    )
    if "document" in found.plain and found.plain["document"] is None:
        raise NotThere(
            "GetPolicy",
            "NoSuchEntity",
            f"there is no policy {arn}",
        )
    return found


def role(aws: Aws, name: str) -> list[Found]:
    """Its own policies and those that are attached.  Raises NotThere, AwsUnreachable."""
    client = aws.client("iam")
    names = Found(name)
    _part(
        names,
        "inline",
        "iam:ListRolePolicies",
        lambda: _all(
            client,
            "list_role_policies",
            "PolicyNames",
            name,
        ),
    )
    _part(
        names,
        "attached",
        "iam:ListAttachedRolePolicies",
        lambda: _all(
            client,
            "list_attached_role_policies",
            "AttachedPolicies",
            name,
        ),
    )
    if names.plain.get("inline", ()) is None:
        raise NotThere(
            "ListRolePolicies",
            "NoSuchEntity",
            f"there is no role {name}",
        )
    found = [
        Found(
            name,
            {},
            {"document": closed},
        )
        for closed in names.closed.values()
    ]
    for each in names.plain.get("inline") or []:
        row = Found(f"{name}/{each}")
        _part(
            row,
            "document",
            "iam:GetRolePolicy",
            _inline(
                client,
                name,
                each,
            ),
        )
        found.append(row)
    found += [policy(aws, each["PolicyArn"]) for each in names.plain.get("attached") or []]
    return found


def _inline(
    client: Any,
    role: str,
    name: str,
) -> Callable[[], Any]:
    def look() -> Any:
        answer = client.get_role_policy(RoleName=role, PolicyName=name)
        return _document(answer["PolicyDocument"])

    return look


def _all(
    client: Any,
    operation: str,
    key: str,
    role: str,
) -> list[Any]:
    pages = client.get_paginator(operation).paginate(RoleName=role)
    return [each for page in pages for each in page[key]]


def _document(given: Any) -> Any:
    """IAM answers URL-encoded JSON, which boto3 reads already."""
    return json.loads(unquote(given)) if isinstance(given, str) else given
