"""What the generated images and definitions need and no host can tell: ``build`` of the project
file."""

from __future__ import annotations

import posixpath
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kirikae.model.values import Given, Name, Strict

Place = Literal["base", "app", "web", "nowhere"]
Existing = Literal[
    "new target group",
    "cluster",
    "service",
    "repositories",
    "roles",
    "log groups",
    "queues",
    "bucket",
    "identity provider",
]


class BuildService(Strict):
    """One service of the hosts, and how it runs on the new side."""

    unit: str = Field(
        description="unit of the hosts, or the name of a program of supervisor or PM2"
    )
    runs: Literal["in the task", "alone", "once"] | None = Field(
        default=None,
        description="`in the task` beside the others; `alone`, an ECS service of its own without "
        "a load balancer; `once`, as a task that somebody starts; default: in the task if it "
        "listens, else alone",
    )
    folder: str | None = Field(
        default=None,
        pattern=r"^/",
        description="where its code lies on the hosts, if its unit does not say so",
    )
    release: str = Field(
        default="",
        description="part of the release that is its code, such as `admin/`; default: all of it",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="where it listens, if the survey could not see it",
    )
    tasks: int = Field(default=1, ge=0, description="tasks to begin with, if it runs alone")


class PlacedPath(Strict):
    """A person's answer for a path that no rule places, or places wrongly."""

    path: str = Field(pattern=r"^/")
    place: Place
    why: str


class Mount(Strict):
    """A folder of the hosts that tasks may write: in memory, or on a file system that they
    share."""

    efs: str | None = Field(
        default=None,
        description="file system, such as `fs-12345678`; without it the folder is in memory and is "
        "lost with the task",
    )
    folder: str = Field(default="/", pattern=r"^/", description="folder of the file system")
    access_point: str | None = Field(
        default=None,
        description="access point of the file system: it owns the files as the service's user",
    )
    size: int = Field(default=64, ge=1, description="MiB, if it is in memory")


class Capacity(Strict):
    """Which capacity tasks run on: the first `base` ones on FARGATE, the others by weight."""

    base: int = Field(default=0, ge=0, description="tasks that always run on FARGATE")
    fargate: int = Field(default=1, ge=0, le=1000, description="weight of FARGATE")
    spot: int = Field(default=0, ge=0, le=1000, description="weight of FARGATE_SPOT")


class Schedule(Strict):
    """When EventBridge Scheduler starts a service that runs `once`."""

    service: Given = Field(description="the service's name in `build.services`")
    at: str = Field(
        pattern=r"^(cron|rate|at)\(.+\)$",
        description="an expression of EventBridge Scheduler, in the project's time zone",
        json_schema_extra={"examples": ["cron(0 3 * * ? *)"]},
    )


_IN_THE_RELEASE = r"^[A-Za-z0-9_][A-Za-z0-9._@/-]*$"


class Assets(Strict):
    """A front end that is built from sources, in a stage of its own: anew only when its lock or a
    source has changed."""

    command: Given = Field(description="what builds it, such as `npm run build`")
    sources: tuple[Annotated[str, Field(pattern=_IN_THE_RELEASE)], ...] = Field(
        strict=False,
        min_length=1,
        description="folders and files of the release that it is built from; package.json and "
        "package-lock.json take part by themselves",
    )
    output: str = Field(
        pattern=_IN_THE_RELEASE,
        description="folder that the command makes, such as `public/build`; it lies there in the "
        "images, too",
    )
    packages: tuple[Given, ...] = Field(
        default=("nodejs", "npm"),
        strict=False,
        min_length=1,
        description="packages of the distribution that the command needs",
    )

    @model_validator(mode="after")
    def _stays_in_the_release(self) -> Assets:
        for path in (*self.sources, self.output):
            if ".." in path.split("/"):
                raise ValueError(f"{path} leads out of the release; write it from the top of it")
        return self


class Terraform(Strict):
    """The new side's infrastructure as Terraform files, beside the images and definitions."""

    folder: str = Field(default="terraform/", description="where they are written")
    vpc: str = Field(pattern=r"^vpc-[0-9a-z]+$", description="network of both sides")
    public_subnets: tuple[Given, ...] = Field(
        default=(),
        strict=False,
        description="subnets of a load balancer that is to be made: where no move names one by "
        "`listener_rule`",
    )
    certificate: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:acm:",
        description="its certificate",
    )
    exists: tuple[Existing, ...] = Field(
        default=(),
        strict=False,
        description="what is there already beside the load balancer, its rule and the old target "
        "group: it is imported, not made",
    )
    schedules: tuple[Schedule, ...] = Field(
        default=(),
        strict=False,
        description="services that run `once`, and when",
    )
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653] = (
        Field(default=30, description="days that log groups keep what they are given")
    )
    tasks_at_most: int | None = Field(
        default=None,
        ge=1,
        description="upper end of autoscaling to begin with; default: four times `tasks`",
    )


class ContinuousIntegration(Strict):
    """Workflows that build, check and prove images at each commit, and the base storey every
    night."""

    systems: tuple[Literal["github-actions", "circleci", "codebuild"], ...] = Field(
        strict=False,
        min_length=1,
        description="whose files are written",
    )
    repository: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
        description="OWNER/NAME of the source repository: only its runs may take the role",
    )
    branch: str = Field(
        default="main",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        description="branch whose commits are built",
    )
    organization: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f-]{36}$",
        description="with circleci: the organization's ID, for its identity provider",
    )
    source: str = Field(
        default=".",
        pattern=r"^[A-Za-z0-9._/-]+$",
        description="folder of the release's files in the repository",
    )
    role: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/",
        description="role that workflows take; default: SERVICE-deploy, as `terraform` makes it",
    )
    registry: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]+/[a-z0-9._/-]+$",
        description="beginning of the images' names; default: "
        "ACCOUNT.dkr.ecr.REGION.amazonaws.com/SERVICE",
    )
    kirikae: str = Field(
        default="kirikae",
        pattern=r"^[A-Za-z0-9.][A-Za-z0-9@:/+._=<>~!,\[\]-]*$",
        description="what pip installs: a version, a wheel or git+https://...@COMMIT",
    )

    @model_validator(mode="after")
    def _an_organization_is_given(self) -> Self:
        """Its identity provider has it in its address."""
        if "circleci" in self.systems and self.organization is None:
            raise ValueError(
                "`organization` is missing: the ID that CircleCI shows under Organization "
                "Settings, Overview"
            )
        return self


class BuildSettings(Strict):
    """What the generated images and definitions need and no host can tell."""

    folder: str = Field(
        default="image/",
        description="where the Dockerfiles are written, relative to the project file",
    )
    distribution: str | None = Field(
        default=None,
        description="image that the base storey begins with; default: the hosts' own distribution",
    )
    unit: str | None = Field(
        default=None,
        description="the service to build; default: the hosts' only own unit",
    )
    services: dict[Name, BuildService] = Field(
        default_factory=dict,
        description="several services of one host, by the names that their containers get",
    )
    tasks: int = Field(default=2, ge=1, description="tasks to begin with")
    port: int = Field(default=8080, ge=1024, le=65535, description="port of the task")
    subnets: tuple[str, ...] = Field(default=(), strict=False, description="subnets of the tasks")
    security_groups: tuple[str, ...] = Field(default=(), strict=False)
    execution_role: str | None = Field(
        default=None,
        description="role with which ECS pulls images, reads secrets and writes logs",
    )
    task_role: str | None = Field(
        default=None,
        description="role of the service itself, instead of static keys",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="values for the task that differ from the hosts'",
    )
    secrets: dict[str, str] = Field(
        default_factory=dict,
        description="where each secret lies; default: /SERVICE/name-of-variable in SSM",
    )
    places: tuple[PlacedPath, ...] = Field(
        default=(),
        strict=False,
        description="paths that no rule places, and where they go",
    )
    mounts: dict[str, Mount] = Field(
        default_factory=dict,
        description="folders of the hosts that tasks write, by path",
    )
    check: str | None = Field(
        default=None,
        description="command that proves the app's image while it is built, such as an import of "
        "the application",
    )
    assets: Assets | None = Field(
        default=None,
        description="a front end of the service in front that is built from sources",
    )
    lines: dict[str, str] = Field(
        default_factory=dict,
        description="own lines for generated files, by file name, before the user is set",
    )
    logs: Literal["awslogs", "firelens"] = Field(
        default="awslogs",
        description="who takes the containers' output: CloudWatch Logs itself, or Fluent Bit first",
    )
    sidecars: tuple[Literal["relay", "datadog"], ...] = Field(
        default=(),
        strict=False,
        description="`relay` takes mail on port 25, `datadog` is Datadog's agent",
    )
    capacity: Capacity | None = Field(
        default=None,
        description="capacity providers; default: launch type FARGATE",
    )
    architecture: Literal["x86_64", "arm64"] = Field(
        default="x86_64",
        description="of the tasks' processors; images must be built on the same",
    )
    terraform: Terraform | None = Field(
        default=None,
        description="write the new side's infrastructure, too",
    )
    ci: ContinuousIntegration | None = Field(
        default=None,
        description="write workflows of CI systems, too",
    )

    @field_validator("mounts")
    @classmethod
    def _each_folder_once(cls, given: dict[str, Mount]) -> dict[str, Mount]:
        """However its path is written."""
        found: dict[str, Mount] = {}
        for written, mount in given.items():
            path = posixpath.normpath(written)
            if not path.startswith("/"):
                raise ValueError(f"{written!r} is no path of a host: it has to begin with /")
            if path in found:
                raise ValueError(f"{path} stands there twice")
            found[path] = mount
        return found

    @model_validator(mode="after")
    def _the_clock_starts_what_runs_once(self) -> Self:
        """What runs all the time is started by ECS."""
        schedules = self.terraform.schedules if self.terraform is not None else ()
        once = [name for name, each in self.services.items() if each.runs == "once"]
        for each in schedules:
            if each.service not in once:
                raise ValueError(
                    f"terraform.schedules names {each.service}, and `services` has no such one "
                    f"with `runs: once` ({', '.join(once) or 'none has'})"
                )
        return self
