"""The new side's infrastructure as Terraform: what is made, what is there and is imported, and what
kirikae turns itself (weights, task definitions, number of tasks) and Terraform leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.build import codebuild, roles
from kirikae.build.definitions import capacity_of, front_of, front_port, is_static
from kirikae.build.facts import Facts
from kirikae.build.hcl import Raw, label
from kirikae.build.needs import Queue
from kirikae.build.secrets import rows_of
from kirikae.build.texts import text_of
from kirikae.model.build_settings import Existing, Terraform
from kirikae.model.workload import Runs

_DRAIN_S = 30
_TIMES_TASKS = 4
_NAME_AT_MOST = 32
"""Of a load balancer (API reference, CreateLoadBalancer)."""
_BASES_KEPT = 14
_IMAGES_KEPT = 100
_NOBODY = "65534"


@dataclass(frozen=True, slots=True)
class Import:
    """``id`` is text, or an expression."""

    to: str
    id: str


@dataclass(frozen=True)
class Plot:
    """What every file is made from."""

    facts: Facts
    settings: Terraform

    def has(self, what: Existing) -> bool:
        """Is it there already?"""
        return what in self.settings.exists

    @property
    def queues(self) -> Sequence[Queue]:
        return self.facts.needs.queues

    @property
    def groups(self) -> list[str]:
        """Log groups of tasks."""
        return [f"/ecs/{self.facts.project.service}"]

    @property
    def bucket(self) -> str:
        """Of the store; empty: it is a file."""
        store = self.facts.project.store
        return store.removeprefix("s3://").partition("/")[0] if store.startswith("s3://") else ""


def files(facts: Facts) -> dict[str, str]:
    """Nothing where the project file does not ask for it."""
    settings = facts.project.build.terraform
    if settings is None:
        return {}
    plot = Plot(facts, settings)
    found = {}
    for name, context in _FILES.items():
        values = context(plot)
        if values is not None:
            found[f"{name}.tf"] = text_of(f"terraform/{name}.tf", **values)
    return found


Values = Mapping[str, Any]


def _versions(plot: Plot) -> Values:
    project = plot.facts.project
    return {
        "service": project.service,
        "region": project.region,
        "account": project.account,
        "tags": {
            "Service": project.service,
            "Environment": project.environment,
        },
    }


def _network(plot: Plot) -> Values:
    project = plot.facts.project
    return {
        "service": project.service,
        "vpc": plot.settings.vpc,
        "rule": plot.facts.needs.rule,
        "port": _port(plot),
        "relay": "relay" in project.build.sidecars,
    }


def _port(plot: Plot) -> int:
    return front_port(plot.facts.workload, plot.facts.project)


def _balancer(plot: Plot) -> Values:
    project = plot.facts.project
    rule = plot.facts.needs.rule
    balancer, _, name = rule.partition("/")
    check = project.checks[0] if project.checks else None
    return {
        "rule": rule,
        "rule_arn": rule if rule.startswith("arn:") else "",
        "rule_name": name,
        "balancer": balancer,
        "new_balancer": _plain(f"{project.service}-new")[:_NAME_AT_MOST].rstrip("-"),
        "old_group": project.fleets.old.target_group,
        "new_group": project.fleets.new.target_group,
        "public_subnets": plot.settings.public_subnets,
        "certificate": plot.settings.certificate,
        "new_exists": plot.has("new target group"),
        "port": _port(plot),
        "drain_s": _DRAIN_S,
        "check_path": check.get if check is not None else "/",
        "check_answer": str(check.expect) if check is not None else "200-399",
    }


def _service(plot: Plot) -> Values:
    project = plot.facts.project
    return {
        "cluster": project.fleets.new.cluster,
        "capacity": capacity_of(project),
        "services": list(_services(plot)),
        "architecture": project.build.architecture.upper(),
        "port": _port(plot),
        "rule": plot.facts.needs.rule,
        **_places(plot),
    }


def _places(plot: Plot) -> Values:
    """Where tasks run."""
    given = plot.facts.project.build
    groups = [Raw("aws_security_group.tasks.id"), *given.security_groups]
    return {
        "subnets": list(given.subnets),
        "groups": groups,
    }


@dataclass(frozen=True, slots=True)
class Service:
    """``front``: the container that the load balancer talks to; empty: it talks to none."""

    label: str
    name: str
    first: list[dict[str, object]]
    front: str
    most: int


def _services(plot: Plot) -> Iterator[Service]:
    """The one in front, and those that run by themselves."""
    facts = plot.facts
    project = facts.project
    name = project.fleets.new.ecs_service
    front = front_of(facts.workload)
    most = plot.settings.tasks_at_most or project.build.tasks * _TIMES_TASKS
    yield Service(
        "main",
        name,
        _first(plot, front, _port(plot)),
        front,
        most,
    )
    for one in facts.apart:
        if one.runs is Runs.ALONE:
            given = project.build.services.get(one.name)
            tasks = max(1, given.tasks if given is not None else 1)
            first = _first(plot, one.name, None)
            own = f"{name}-{one.name}"
            yield Service(
                label(f"alone-{one.name}"),
                own,
                first,
                "",
                tasks * _TIMES_TASKS,
            )


def _first(
    plot: Plot,
    container: str,
    port: int | None,
) -> list[dict[str, object]]:
    """A definition of which no task is started: the service is made with none."""
    project = plot.facts.project
    options = {
        "awslogs-group": plot.groups[0],
        "awslogs-region": project.region,
        "awslogs-stream-prefix": container,
    }
    row: dict[str, object] = {
        "name": container,
        "image": f"{_registry(plot)}-{_storeys(plot)[-1]}:first",
        "essential": True,
        "user": _NOBODY,
        "readonlyRootFilesystem": True,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": options,
        },
    }
    if port is not None:
        row["portMappings"] = [{"containerPort": port}]
    return [row]


def _registry(plot: Plot) -> str:
    project = plot.facts.project
    return f"{project.account}.dkr.ecr.{project.region}.amazonaws.com/{project.service}"


def _storeys(plot: Plot) -> list[str]:
    """Names of images that `build base` and `build image` push, the base first."""
    every = [one for one in plot.facts.workload.every if not is_static(one)]
    services = sorted({one.image for one in every})
    names = ["base", *services] if services else []
    if plot.facts.workload.web is not None:
        names.append("web")
    if "relay" in plot.facts.project.build.sidecars:
        names.append("relay")
    if plot.facts.project.build.assets is not None:
        names.insert(min(1, len(services)), "assets")
    return names


@dataclass(frozen=True, slots=True)
class Repository:
    """``tags``: may a tag be given to another image?"""

    label: str
    name: str
    tags: str
    rules: dict[str, object]


def _repositories(plot: Plot) -> Values:
    return {"repositories": list(_repository_rows(plot))}


def _repository_rows(plot: Plot) -> Iterator[Repository]:
    for storey in _storeys(plot):
        is_base = storey == "base"
        kept = _BASES_KEPT if is_base else _IMAGES_KEPT
        tags = "MUTABLE" if is_base else "IMMUTABLE"
        name = f"{plot.facts.project.service}-{storey}"
        yield Repository(label(storey), name, tags, _rules(kept))


def _rules(kept: int) -> dict[str, object]:
    selection = {
        "tagStatus": "any",
        "countType": "imageCountMoreThan",
        "countNumber": kept,
    }
    row = {
        "rulePriority": 1,
        "description": f"the newest {kept}",
        "selection": selection,
        "action": {"type": "expire"},
    }
    return {"rules": [row]}


def _names(plot: Plot) -> list[str]:
    return [each.name for each in _repository_rows(plot)]


def _logs(plot: Plot) -> Values:
    return {
        "groups": plot.groups,
        "days": plot.settings.log_days,
    }


def _queues(plot: Plot) -> Values | None:
    return {"queues": plot.queues} if plot.queues else None


def _storage(plot: Plot) -> Values | None:
    return {"bucket": plot.bucket} if plot.bucket else None


@dataclass(frozen=True, slots=True)
class Role:
    """``policy`` is None for a role that nothing is known to call with."""

    label: str
    name: str
    says: str
    trust: Mapping[str, object]
    policy: Mapping[str, object] | None


def _roles(plot: Plot) -> Values:
    return {
        "roles": list(_role_rows(plot)),
        "providers": list(_providers(plot)),
    }


def _role_rows(plot: Plot) -> Iterator[Role]:
    facts = plot.facts
    project = facts.project
    names = roles.roles_of(project)
    tasks = roles.trust("ecs-tasks.amazonaws.com", project.account)
    secrets = rows_of(facts.workload, project, facts.environments, facts.waits)
    starts = roles.execution(project, _names(plot), plot.groups, secrets)
    yield Role(
        "execution",
        names.execution,
        "ECS pulls images, reads secrets and writes logs with it.",
        tasks,
        roles.policy(starts),
    )
    calls = roles.task(project, plot.queues)
    yield Role(
        "task",
        names.task,
        "The service itself; what else of AWS it calls (keys on the hosts: SE01) belongs here.",
        tasks,
        roles.policy(calls) if calls else None,
    )
    yield Role(
        "deploy",
        names.deploy,
        "CI and people: images into the registry, releases onto the new side.",
        roles.deploy_trust(project),
        roles.policy(roles.deploy(project, facts.needs, _names(plot))),
    )
    if plot.settings.schedules:
        yield _schedule_role(plot, names.schedule)
    nightly = [each.name for each in codebuild.projects_of(facts) if each.nightly]
    if nightly and codebuild.is_wanted(project):
        yield Role(
            "night",
            f"{project.service}-night",
            "EventBridge Scheduler starts the build of the base storey with it.",
            roles.trust("scheduler.amazonaws.com", project.account),
            roles.policy(roles.start_builds(project, nightly)),
        )


def _schedule_role(plot: Plot, name: str) -> Role:
    project = plot.facts.project
    families = [_family(plot, each.service) for each in plot.settings.schedules]
    return Role(
        "schedule",
        name,
        "EventBridge Scheduler starts tasks with it.",
        roles.trust("scheduler.amazonaws.com", project.account),
        roles.policy(roles.schedule(project, sorted(set(families)), _missed(plot))),
    )


def _missed(plot: Plot) -> str:
    """The queue of starts that failed."""
    return _plain(f"{plot.facts.project.service}-missed")


def _plain(name: str) -> str:
    """Load balancers and queues take neither dots nor underscores of a service's name."""
    return name.replace(".", "-").replace("_", "-")


def _family(plot: Plot, service: str) -> str:
    return f"{plot.facts.project.fleets.new.ecs_service}-{service}"


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose tokens AWS takes."""

    label: str
    url: str
    audiences: list[str]


def _providers(plot: Plot) -> Iterator[Provider]:
    ci = plot.facts.project.build.ci
    if ci is None or plot.has("identity provider"):
        return
    if "github-actions" in ci.systems:
        yield Provider("github", f"https://{roles.GITHUB}", ["sts.amazonaws.com"])
    if "circleci" in ci.systems:
        host = roles.circleci_host(plot.facts.project)
        yield Provider("circleci", f"https://{host}", [ci.organization or ""])


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A service that the clock starts."""

    label: str
    name: str
    at: str
    definition: str


def _schedules(plot: Plot) -> Values | None:
    if not plot.settings.schedules:
        return None
    project = plot.facts.project
    rows = []
    for number, each in enumerate(plot.settings.schedules, start=1):
        name = f"{project.service}-{each.service}-{number}"
        family = _family(plot, each.service)
        arn = f"arn:aws:ecs:{project.region}:{project.account}:task-definition/{family}"
        rows.append(Scheduled(label(f"{each.service}-{number}"), name, each.at, arn))
    return {
        "missed": _missed(plot),
        "schedules": rows,
        "zone": project.time_zone,
        **_places(plot),
    }


def _imports(plot: Plot) -> Values | None:
    rows = list(_import_rows(plot))
    return {"imports": rows} if rows else None


def _import_rows(plot: Plot) -> Iterator[Import]:
    if plot.facts.needs.rule:
        yield Import("aws_lb.main", Raw("data.aws_lb.main.arn"))
        yield Import("aws_lb_listener.main", Raw("data.aws_lb_listener.main.arn"))
        yield Import("aws_lb_listener_rule.main", Raw("local.rule_arn"))
        yield Import("aws_lb_target_group.old", Raw("data.aws_lb_target_group.old.arn"))
    for queue in plot.queues:
        if not queue.dead or plot.has("queues"):
            yield from _queue_imports(plot, queue)
    for what, rows in _IMPORTS.items():
        if plot.has(what):
            yield from rows(plot)


def _queue_imports(plot: Plot, queue: Queue) -> Iterator[Import]:
    project = plot.facts.project
    for name in filter(None, (queue.dead, queue.name)):
        url = f"https://sqs.{project.region}.amazonaws.com/{project.account}/{name}"
        yield Import(f"aws_sqs_queue.{label(f'queue-{name}')}", url)


def _cluster_imports(plot: Plot) -> Iterator[Import]:
    name = plot.facts.project.fleets.new.cluster
    yield Import("aws_ecs_cluster.main", name)


def _service_imports(plot: Plot) -> Iterator[Import]:
    cluster = plot.facts.project.fleets.new.cluster
    for each in _services(plot):
        yield Import(f"aws_ecs_service.{each.label}", f"{cluster}/{each.name}")


def _repository_imports(plot: Plot) -> Iterator[Import]:
    for each in _repository_rows(plot):
        yield Import(f"aws_ecr_repository.{each.label}", each.name)


def _role_imports(plot: Plot) -> Iterator[Import]:
    for each in _role_rows(plot):
        yield Import(f"aws_iam_role.{each.label}", each.name)


def _log_imports(plot: Plot) -> Iterator[Import]:
    for name in plot.groups:
        yield Import(f"aws_cloudwatch_log_group.{label(name)}", name)


def _bucket_imports(plot: Plot) -> Iterator[Import]:
    if plot.bucket:
        yield Import("aws_s3_bucket.store", plot.bucket)


def _group_imports(plot: Plot) -> Iterator[Import]:
    """Its ARN has a part that only AWS knows."""
    yield Import("aws_lb_target_group.new", Raw("data.aws_lb_target_group.new.arn"))


_IMPORTS: Mapping[Existing, Callable[[Plot], Iterator[Import]]] = {
    "new target group": _group_imports,
    "cluster": _cluster_imports,
    "service": _service_imports,
    "repositories": _repository_imports,
    "roles": _role_imports,
    "log groups": _log_imports,
    "bucket": _bucket_imports,
}


def _codebuild(plot: Plot) -> Values | None:
    return codebuild.values(plot.facts)


def _outputs(_: Plot) -> Values:
    return {}


_FILES: Mapping[str, Callable[[Plot], Values | None]] = {
    "versions": _versions,
    "network": _network,
    "balancer": _balancer,
    "service": _service,
    "repositories": _repositories,
    "logs": _logs,
    "queues": _queues,
    "storage": _storage,
    "roles": _roles,
    "schedules": _schedules,
    "codebuild": _codebuild,
    "imports": _imports,
    "outputs": _outputs,
}
