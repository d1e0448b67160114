"""Things of an account that somebody names on the command line: ``service:CLUSTER/NAME``,
``task:FAMILY``, ``repository:NAME``, ``policy:ARN``, ``role:NAME``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kirikae.aws import guarded
from kirikae.aws.guarded import Closed, Found
from kirikae.aws.session import Aws
from kirikae.console.ecs_desk import opened_aws
from kirikae.console.here import Here
from kirikae.guard.errors import ObjectProblem
from kirikae.guard.objects import Kind, Object, Resource, Task
from kirikae.guard.reading import objects_of
from kirikae.model.said import Said, said

_EVERYTHING = "*"


def is_named(text: str) -> bool:
    """Is it a thing of an account?  A file of such a name is written ``./service:...``."""
    return text.partition(":")[0] in _LOOKS and ":" in text


def of_account(here: Here, named: str) -> list[Object]:
    """Raises ObjectProblem, AwsRefused, AwsUnreachable, WrongAccount."""
    kind, _, name = named.partition(":")
    if not name:
        raise ObjectProblem(f"{named}: name it, such as {_EXAMPLES[kind]}")
    aws = opened_aws(here)
    return list(_LOOKS[kind](aws, name))


def _service(aws: Aws, name: str) -> Iterator[Object]:
    cluster, slash, short = name.rpartition("/")
    if not slash:
        raise ObjectProblem(f"service:{name}: name its cluster as well, {_EXAMPLES['service']}")
    found = guarded.service(
        aws,
        cluster,
        short,
    )
    service = _resource(Kind.SERVICE, found.service)
    told = dict(service.plain)
    closed = dict(service.closed)
    if _EVERYTHING in found.cluster.closed:
        closed["cluster_configuration"] = _why(found.cluster, found.cluster.closed[_EVERYTHING])
    else:
        told["cluster_configuration"] = found.cluster.plain.get("configuration") or {}
    yield Resource(
        Kind.SERVICE,
        service.name,
        short,
        told,
        closed,
    )
    yield _resource(Kind.CLUSTER, found.cluster)
    yield _task(found.task)
    for group in found.groups:
        yield _resource(Kind.GROUP, group)


def _definition(aws: Aws, name: str) -> Iterator[Object]:
    yield _task(guarded.task_definition(aws, name))


def _task(found: Found) -> Object:
    """Under its family's name: the next revision is the same thing."""
    if found.closed:
        return _resource(Kind.TASK, found)
    return Task(
        f"task:{found.plain.get('family', found.name)}",
        found.plain,
    )


def _repository(aws: Aws, name: str) -> Iterator[Object]:
    """With a tag or a digest also what its registry found in that image."""
    short, at, digest = name.partition("@")
    tag = ""
    if not at:
        short, _, tag = name.partition(":")
    yield _resource(Kind.REPOSITORY, guarded.repository(aws, short))
    image = digest or tag
    if image:
        plain = guarded.scan_findings(
            aws,
            short,
            image,
        )
        yield from objects_of(f"repository:{name}", plain)


def _policy(aws: Aws, name: str) -> Iterator[Object]:
    yield _resource(Kind.POLICY, guarded.policy(aws, name))


def _role(aws: Aws, name: str) -> Iterator[Object]:
    for each in guarded.role(aws, name):
        yield _resource(Kind.POLICY, each)


def _resource(kind: Kind, found: Found) -> Resource:
    closed = {key: _why(found, each) for key, each in found.closed.items()}
    prefix = kind.value.replace(" ", "-")
    return Resource(
        kind,
        f"{prefix}:{found.name}",
        found.name,
        found.plain,
        closed,
    )


def _why(found: Found, closed: Closed) -> Said:
    if closed.denied:
        return said(
            "guard.denied",
            thing=found.name,
            action=closed.action,
        )
    return said(
        "guard.not_told",
        thing=found.name,
        why=closed.why,
    )


_LOOKS: Mapping[str, Callable[[Aws, str], Iterator[Object]]] = {
    "service": _service,
    "task": _definition,
    "repository": _repository,
    "policy": _policy,
    "role": _role,
}
_EXAMPLES = {
    "service": "service:production/shop-web",
    "task": "task:shop-web",
    "repository": "repository:shop:r2",
    "policy": "policy:arn:aws:iam::123456789012:policy/deploy",
    "role": "role:deploy",
}
