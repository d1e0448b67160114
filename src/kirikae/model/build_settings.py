"""What the generated images and definitions need and no host can tell: ``build`` of the project
file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kirikae.model.values import Name, Strict

Place = Literal["base", "app", "web", "nowhere"]


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
