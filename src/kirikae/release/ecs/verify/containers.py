"""Checks of a task definition: roles, and of each container its image, secrets, log and files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from kirikae.aws import proofs
from kirikae.aws.errors import AwsRefused
from kirikae.aws.session import Aws
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import (
    GOOD,
    Check,
    Reply,
    ok,
    remedied,
    skipped,
    wrong,
    wrong_as_told,
)
from kirikae.release.ecs.verify.images import checked_image, platform_of

_TASKS = "ecs-tasks.amazonaws.com"
_TASK_ROLE = "TaskRole"
_ASSUME = "sts:AssumeRole"
_SECRETS = ("arn:aws:secretsmanager:", "arn:aws-cn:secretsmanager:", "arn:aws-us-gov:secretsm")
_PARAMETERS = ("arn:aws:ssm:", "arn:aws-cn:ssm:", "arn:aws-us-gov:ssm:")
_ARN_PARTS = 7
_REGION = 3
"""The part of an ARN."""
_FARGATE_DRIVERS = ("awslogs", "splunk", "awsfirelens")
"""Amazon ECS developer guide, LogConfiguration on Fargate."""
Row = Mapping[str, Any]


def checks(bench: Bench) -> Check:
    task = bench.task
    inside = [*_roles(bench), *(_container(bench, each) for each in bench.containers)]
    return Check(
        "TaskDefinition",
        lambda: _whole(bench, task),
        inside,
    )


def _whole(bench: Bench, task: Row) -> Reply:
    problems = bench.loaded.task.problems("RegisterTaskDefinition")
    if problems:
        return wrong_as_told("; ".join(problems))
    doubled = sorted(_doubled(bench))
    if doubled:
        return remedied("doubled", names=doubled)
    return GOOD if task else wrong("empty")


def _doubled(bench: Bench) -> Iterator[str]:
    for container in bench.containers:
        secret = {each.get("name") for each in container.get("secrets", ())}
        plain = {each.get("name") for each in container.get("environment", ())}
        yield from (f"{container.get('name')}: {name}" for name in secret & plain)


# --- roles


def _roles(bench: Bench) -> Iterator[Check]:
    for key, label in (("executionRoleArn", "ExecutionRole"), ("taskRoleArn", _TASK_ROLE)):
        arn = bench.task.get(key)
        if arn:
            yield Check(
                f"{label}[{arn}]",
                _asks_role(
                    bench,
                    arn,
                    label,
                ),
            )


def _asks_role(bench: Bench, arn: str, label: str) -> Callable[[], Reply]:
    """The task's role may stand there by its name alone (API reference, taskRoleArn)."""
    named = label == _TASK_ROLE and "/" not in arn and ":" not in arn
    asked = _trusted if named else role
    return lambda: asked(
        bench,
        arn,
        _TASKS,
    )


def role(bench: Bench, arn: str, service: str) -> Reply:
    """That this service may become it."""
    head, _, path = arn.partition(":role/")
    if not head.startswith("arn:") or not path:
        return wrong("no_role", arn=arn)
    return _trusted(
        bench,
        path.rpartition("/")[2],
        service,
    )


def _trusted(bench: Bench, name: str, service: str) -> Reply:
    policy = proofs.trust_policy(bench.aws, name)
    if any(_lets(each, service) for each in _list(policy.get("Statement"))):
        return GOOD
    return remedied("no_trust", service=service, action=_ASSUME)


def _lets(statement: Row, service: str) -> bool:
    principal = statement.get("Principal")
    services = _list(principal.get("Service")) if isinstance(principal, Mapping) else []
    actions = _list(statement.get("Action"))
    return (
        statement.get("Effect") == "Allow"
        and service in services
        and any(_is_assuming(str(action)) for action in actions)
    )


def _is_assuming(action: str) -> bool:
    """Actions have no case, and stars (IAM user guide, Action)."""
    return fnmatchcase(_ASSUME.lower(), action.lower())


def _list(value: Any) -> list[Any]:
    """IAM writes one as itself."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


# --- containers


def _container(bench: Bench, container: Row) -> Check:
    one = _Container(bench, container)
    return Check(
        f"ContainerDefinition[{container.get('name')}]",
        one.ports,
        [one.image(), *one.secrets(), *one.log(), *one.files()],
    )


@dataclass(frozen=True, slots=True)
class _Container:
    bench: Bench
    row: Row

    def ports(self) -> Reply:
        if self.bench.task.get("networkMode") != "awsvpc":
            return GOOD
        for port in self.row.get("portMappings", ()):
            host = port.get("hostPort")
            if host is not None and host != port.get("containerPort"):
                return remedied("host_port", host=host, container=port.get("containerPort"))
        return self._stop_timeout()

    def _stop_timeout(self) -> Reply:
        timeout_s = self.row.get("stopTimeout")
        if self.bench.on_fargate and isinstance(timeout_s, int) and timeout_s > 120:
            return wrong("stop_timeout", timeout_s=timeout_s)
        return GOOD

    def image(self) -> Check:
        name = str(self.row.get("image", ""))
        platform = platform_of(self.bench.task.get("runtimePlatform"), self.bench.on_fargate)
        return Check(
            f"Image[{name}]",
            self._as_execution(
                lambda: checked_image(
                    name,
                    platform,
                    self.bench.execution_of_region,
                )
            ),
        )

    def _as_execution(self, ask: Callable[[], Reply]) -> Callable[[], Reply]:
        """What the execution role itself may not do, the start of a task cannot do either."""

        def asked() -> Reply:
            try:
                return ask()
            except AwsRefused as error:
                who = self.bench.execution_role
                if not who or not error.denied:
                    raise
                return remedied("role_denied", role=who, why=str(error))

        return asked

    def secrets(self) -> Iterator[Check]:
        for secret in self.row.get("secrets", ()):
            source = str(secret.get("valueFrom", ""))
            yield Check(f"Secret {secret.get('name')}[{source}]", self._asks_secret(source))

    def _asks_secret(self, source: str) -> Callable[[], Reply]:
        return self._as_execution(lambda: self._secret(source))

    def _secret(self, source: str) -> Reply:
        if not self.bench.gets_secrets:
            return skipped("secret_not_asked", source=source)
        if source.startswith(_SECRETS):
            return self._of_secrets_manager(source)
        # By its ARN as it stands: from a name one cannot tell whether it begins with a slash.
        missing = proofs.missing_parameters(self._of_region(source), [source])
        if missing:
            return remedied("no_parameter", names=missing)
        return GOOD

    def _of_region(self, source: str) -> Aws:
        """Of the region that an ARN names; else the configuration's."""
        is_arn = source.startswith((*_SECRETS, *_PARAMETERS))
        region = source.split(":")[_REGION] if is_arn else self.bench.config.region
        return self.bench.execution_of_region(region)

    def _of_secrets_manager(self, source: str) -> Reply:
        """The ARN, then the key in it, the version's stage and its ID."""
        parts = source.split(":")
        if len(parts) < _ARN_PARTS:
            return wrong("no_secret", source=source)
        key, stage, version = [*parts[_ARN_PARTS:], "", "", ""][:3]
        arn = ":".join(parts[:_ARN_PARTS])
        keys = proofs.secret_keys(
            self._of_region(source),
            arn,
            stage,
            version,
        )
        if not key:
            return GOOD
        if keys is None:
            return wrong("secret_no_object", key=key)
        return GOOD if key in keys else wrong("secret_no_key", key=key)

    # --- logs and files

    def log(self) -> Iterator[Check]:
        settings = self.row.get("logConfiguration")
        if not settings:
            return
        options = dict(settings.get("options") or {})
        shown = " ".join(f"{key}={options[key]}" for key in sorted(options))
        driver = settings.get("logDriver")
        ask = self._asks_awslogs(options) if driver == "awslogs" else self._asks_driver(driver)
        yield Check(f"LogConfiguration[{shown or driver}]", ask)

    def _asks_driver(self, driver: Any) -> Any:
        return lambda: self._driver(driver)

    def _driver(self, driver: Any) -> Reply:
        if self.bench.on_fargate and driver not in _FARGATE_DRIVERS:
            return wrong("no_driver", driver=driver, drivers=list(_FARGATE_DRIVERS))
        if driver == "awsfirelens":
            routers = [each for each in self.bench.containers if each.get("firelensConfiguration")]
            if not routers:
                return wrong("no_router")
        return ok("driver", driver=driver)

    def _asks_awslogs(self, options: dict[str, str]) -> Callable[[], Reply]:
        return self._as_execution(lambda: self._awslogs(options))

    def _awslogs(self, options: dict[str, str]) -> Reply:
        group = options.get("awslogs-group")
        region = options.get("awslogs-region")
        if not group or not region:
            return wrong("awslogs_options")
        if not self.bench.puts_logs:
            return skipped("logs_not_put", group=group)
        prefix = options.get("awslogs-stream-prefix")
        name = f"{self.row.get('name')}/kirikae-verify-{time.time_ns()}"
        stream = f"{prefix}/{name}" if prefix else name
        create = options.get("awslogs-create-group") == "true"
        proofs.put_log_line(
            self.bench.execution_of_region(region),
            group,
            stream,
            "This is a verify message by kirikae",
            create,
        )
        return GOOD

    def files(self) -> Iterator[Check]:
        for file in self.row.get("environmentFiles", ()):
            kind = file.get("type")
            value = str(file.get("value", ""))
            yield Check(f"EnvironmentFile[{kind} {value}]", self._asks_file(kind, value))

    def _asks_file(self, kind: Any, value: str) -> Any:
        return lambda: self._file(kind, value)

    def _file(self, kind: Any, value: str) -> Reply:
        if kind != "s3":
            return skipped("file_kind", kind=kind)
        bucket, _, key = value.rpartition(":::")[2].partition("/")
        if not value.startswith("arn:") or not bucket or not key:
            return wrong("no_object", value=value)
        proofs.object_is_there(
            self.bench.aws,
            bucket,
            key,
        )
        return GOOD
