"""What NIST SP 800-190 asks of the things in an account: services, clusters, repositories, security
groups and policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from kirikae.guard.fargate_checks import open_value
from kirikae.guard.objects import Open, Plain, Resource, entries, is_open, part_of, rows_of
from kirikae.guard.seen import Fault, Seen, Unknown
from kirikae.model.said import said

_ANYWHERE = ("0.0.0.0/0", "::/0")
_IMMUTABLE = ("IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION")
_SCANNED = ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")
_OLDEST = (1, 4, 0)
_DECIDES = ("Ref", "Fn::If", "Fn::FindInMap", "Fn::ImportValue", "known after apply")
_EVERYTHING = "*"


def _unknown(thing: Resource, *keys: str) -> Iterator[Unknown]:
    """Of these keys: what may not be read, and what is filled in later."""
    for key in dict.fromkeys((_EVERYTHING, *keys)):
        why = thing.closed.get(key)
        if why is not None:
            yield Unknown(why)
    for key in keys:
        if is_open(thing.plain.get(key)):
            yield open_value(key)


# --- repositories


def scanned(repository: Resource) -> Iterator[Seen]:
    """By its own switch, or by a rule of the registry."""
    if part_of(repository.plain, "imageScanningConfiguration").get("scanOnPush") is True:
        return
    if _by_registry(repository):
        return
    unknown = list(
        _unknown(
            repository,
            "imageScanningConfiguration",
            "scanning",
        )
    )
    yield from unknown
    if not unknown:
        yield Fault(
            "imageScanningConfiguration",
            "images are not scanned when they are pushed",
        )


def _by_registry(repository: Resource) -> bool:
    rules = rows_of(part_of(repository.plain, "scanning").get("rules"))
    for rule in rules:
        filters = [str(row.get("filter")) for row in rows_of(rule.get("repositoryFilters"))]
        fits = any(fnmatchcase(repository.short, each) for each in filters)
        if fits and rule.get("scanFrequency") in _SCANNED:
            return True
    return False


def immutable(repository: Resource) -> Iterator[Seen]:
    """What was tested under a tag is what runs under it."""
    unknown = list(_unknown(repository, "imageTagMutability"))
    yield from unknown
    given = repository.plain.get("imageTagMutability")
    if not unknown and given not in _IMMUTABLE:
        yield Fault(
            "imageTagMutability",
            "a tag may be put on another image (MUTABLE)",
        )


def lifecycle(repository: Resource) -> Iterator[Seen]:
    """Images that nobody runs go away."""
    unknown = list(_unknown(repository, "lifecyclePolicy"))
    yield from unknown
    if not unknown and not repository.plain.get("lifecyclePolicy"):
        yield Fault(
            "lifecyclePolicy",
            "no lifecycle policy: stale images stay for ever",
        )


def not_public(repository: Resource) -> Iterator[Seen]:
    """Without a policy only the account itself has it."""
    yield from _unknown(repository, "policy")
    for number, row in enumerate(_statements(repository.plain.get("policy"))):
        if row.get("Effect") == "Allow" and _is_everybody(row) and not row.get("Condition"):
            yield Fault(
                f"policy.{row.get('Sid') or number + 1}", "everybody may use the repository"
            )


def _is_everybody(statement: Plain) -> bool:
    principal = statement.get("Principal")
    if isinstance(principal, Mapping):
        principal = principal.get("AWS")
    return _EVERYTHING in _texts(principal)


def own_key(repository: Resource) -> Iterator[Seen]:
    """Otherwise AWS's own encrypts."""
    unknown = list(_unknown(repository, "encryptionConfiguration"))
    yield from unknown
    kind = part_of(repository.plain, "encryptionConfiguration").get("encryptionType")
    if not unknown and kind not in ("KMS", "KMS_DSSE"):
        yield Fault(
            "encryptionConfiguration",
            "images are not encrypted by a key of KMS",
        )


# --- services and clusters


def public_address(service: Resource) -> Iterator[Seen]:
    """Who has one is reached, and reaches, past the load balancer."""
    yield from _unknown(service, "networkConfiguration")
    network = part_of(
        part_of(service.plain, "networkConfiguration"),
        "awsvpcConfiguration",
    )
    given = network.get("assignPublicIp")
    if is_open(given):
        yield open_value("networkConfiguration.awsvpcConfiguration.assignPublicIp")
    elif given == "ENABLED":
        yield Fault(
            "networkConfiguration.assignPublicIp",
            "its tasks have public addresses",
        )


def exec_logged(service: Resource) -> Iterator[Seen]:
    """A shell in a container, of which nobody knows what was typed."""
    yield from _unknown(service, "enableExecuteCommand")
    given = service.plain.get("enableExecuteCommand")
    if given is not True:
        return
    cluster = service.plain.get("cluster_configuration")
    if not isinstance(cluster, Mapping):
        why = service.closed.get("cluster_configuration")
        yield Unknown(why if why is not None else said("guard.cluster_unknown"))
        return
    for says in _unlogged(cluster):
        yield Fault(
            "enableExecuteCommand",
            f"ECS Exec is on, and {says}",
        )


def cluster_exec(cluster: Resource) -> Iterator[Seen]:
    """Whatever services it has."""
    yield from _unknown(cluster, "configuration")
    for says in _unlogged(part_of(cluster.plain, "configuration")):
        yield Fault("configuration.executeCommandConfiguration", says)


def _unlogged(configuration: Plain) -> Iterator[str]:
    """By default the session goes where the container's output goes."""
    given = part_of(configuration, "executeCommandConfiguration")
    if given.get("logging") == "NONE":
        yield "the cluster logs no session"
    elif given.get("logging") == "OVERRIDE":
        target = part_of(given, "logConfiguration")
        if not (target.get("cloudWatchLogGroupName") or target.get("s3BucketName")):
            yield "the cluster's log configuration names neither a log group nor a bucket"


def platform(service: Resource) -> Iterator[Seen]:
    """Before 1.4.0 the platform is retired."""
    yield from _unknown(
        service,
        "platformVersion",
        "launchType",
    )
    if service.plain.get("launchType") in ("EC2", "EXTERNAL"):
        return
    given = service.plain.get("platformVersion")
    if isinstance(given, str) and _version(given) < _OLDEST:
        yield Fault(
            "platformVersion",
            f"platform version {given}; name LATEST, or 1.4.0",
        )


def _version(text: str) -> tuple[int, ...]:
    """What is no number is the latest."""
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else _OLDEST


def insights(cluster: Resource) -> Iterator[Seen]:
    """Figures of tasks and containers."""
    unknown = list(_unknown(cluster, "settings"))
    yield from unknown
    rows = rows_of(cluster.plain.get("settings"))
    on = any(
        row.get("name") == "containerInsights" and row.get("value") in ("enabled", "enhanced")
        for row in rows
    )
    if not unknown and not on:
        yield Fault(
            "settings.containerInsights",
            "Container Insights is off",
        )


# --- security groups of a service


def open_to_all(group: Resource) -> Iterator[Seen]:
    """Only the load balancer is."""
    yield from _unknown(group, "IpPermissions")
    for row in rows_of(group.plain.get("IpPermissions")):
        if _anywhere(row):
            yield Fault(
                f"IpPermissions.{_ports(row)}",
                f"{_ports(row)}: open to the whole world",
            )


def unbounded(group: Resource) -> Iterator[Seen]:
    """Where a task may go, whoever took it over may go, too."""
    yield from _unknown(group, "IpPermissionsEgress")
    for row in rows_of(group.plain.get("IpPermissionsEgress")):
        if _anywhere(row) and str(row.get("IpProtocol")) == "-1":
            yield Fault(
                "IpPermissionsEgress",
                "its tasks reach every address at every port",
            )


def _anywhere(row: Plain) -> bool:
    ranges = [each.get("CidrIp") for each in rows_of(row.get("IpRanges"))]
    ranges += [each.get("CidrIpv6") for each in rows_of(row.get("Ipv6Ranges"))]
    return any(each in _ANYWHERE for each in ranges)


def _ports(row: Plain) -> str:
    if row.get("FromPort") is None:
        return "every port"
    return "-".join(dict.fromkeys((str(row.get("FromPort")), str(row.get("ToPort")))))


# --- policies


def least_privilege(policy: Resource) -> Iterator[Seen]:
    """A whole service, or everything, on everything."""
    yield from _unknown(policy, "document")
    yield from _open_parts(policy)
    for at, row in _allowed_everywhere(policy):
        actions = _texts(row.get("Action"))
        wide = [each for each in actions if each == _EVERYTHING or each.endswith(":*")]
        if wide or row.get("NotAction") is not None:
            told = ", ".join(wide) or "everything but a list"
            yield Fault(
                f"document.{at}",
                f"{told} is allowed on every resource",
            )


def passed_roles(policy: Resource) -> Iterator[Seen]:
    """Who passes any role is any role."""
    yield from _unknown(policy, "document")
    yield from _open_parts(policy)
    for at, row in _allowed_everywhere(policy):
        actions = [each.lower() for each in _texts(row.get("Action"))]
        passes = any(fnmatchcase("iam:passrole", each) for each in actions)
        if passes and not row.get("Condition"):
            yield Fault(
                f"document.{at}",
                "iam:PassRole is allowed for every role",
            )


def _open_parts(policy: Resource) -> Iterator[Seen]:
    """What a parameter or a condition decides may be everything; the name of another resource is
    not."""
    document = policy.plain.get("document")
    if isinstance(document, Mapping) and is_open(document.get("Statement")):
        yield open_value("document.Statement")
    for number, row in enumerate(_statements(document)):
        for key in ("Effect", "Action", "Resource"):
            parts = row.get(key) if isinstance(row.get(key), list) else [row.get(key)]
            if any(isinstance(each, Open) and each.written in _DECIDES for each in parts or ()):
                yield open_value(f"document.{row.get('Sid') or number + 1}.{key}")


def _allowed_everywhere(policy: Resource) -> Iterator[tuple[str, Plain]]:
    for number, row in enumerate(_statements(policy.plain.get("document"))):
        if row.get("Effect") == "Allow" and _EVERYTHING in _texts(row.get("Resource")):
            yield str(row.get("Sid") or number + 1), row


def _statements(document: Any) -> list[Plain]:
    """One alone may stand without a list."""
    given = document.get("Statement") if isinstance(document, Mapping) else None
    return [given] if isinstance(given, Mapping) else rows_of(given)


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in entries(value)]
