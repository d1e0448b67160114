"""What is written for a service, and why: a pure function from the workload and the project file to
texts by path.

The same facts give the same bytes; nothing here asks the network, an engine or the clock.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.fargate import SIZES
from kirikae.model.project import Project
from kirikae.model.workload import Workload

NOTE = "written by `kirikae build write`; change kirikae.yml or the hosts and write it again"
DISTRIBUTIONS = {
    "debian 11": "debian:11-slim",
    "debian 12": "debian:12-slim",
    "debian 13": "debian:13-slim",
    "ubuntu 22.04": "ubuntu:22.04",
    "ubuntu 24.04": "ubuntu:24.04",
}
_STOP_MAX_S = 120
_NOFILE_MAX = 65535
_UTILISATION = 0.6
"""Target utilisation of a task's CPU (ours)."""
_RESERVE = 1.2
_SIDECAR_MIB = 64
_FALLBACK = (512, 1024)
_IGNORED = (
    ".git",
    ".hg",
    ".svn",
    ".gitignore",
    "**/__pycache__",
    "**/*.pyc",
    "**/node_modules",
    "**/.env",
    "**/.env.*",
    "**/*.pem",
    "**/*.key",
    "**/id_rsa*",
    "**/.npmrc",
    "**/.netrc",
    "**/.pgpass",
    "**/.aws",
    "**/*.log",
    "**/*.sql",
    "**/*.bak",
    "**/tests",
    "**/test",
    "**/.venv",
)


@dataclass(frozen=True, slots=True)
class Size:
    """Task size in CPU units and MiB, and the arithmetic behind it."""

    cpu: int
    memory: int
    why: str
    measured: bool


@dataclass(frozen=True)
class Plan:
    """``files`` are texts by path (image files below ``build.folder``, definitions below
    ``fleets.new.definitions``)."""

    files: Mapping[str, str]
    size: Size
    notes: tuple[str, ...]
    base_key: str
    """SHA-256 over everything that the base storey is made from."""


def size_of(workload: Workload, tasks: int) -> Size:
    """The smallest Fargate pair for what was measured: cpu = sum / 0.6 / tasks; memory = 1.2 (PSS +
    sidecar).  Ours."""
    cpus = sum(m.cpus for m in workload.measured)
    pss = [m.pss_kib for m in workload.measured]
    each = cpus / _UTILISATION / tasks
    cpu_says = (
        f"cpu: {cpus:.3f} vCPU used by {len(workload.measured)} hosts / {_UTILISATION} / "
        f"{tasks} tasks = {each:.3f} vCPU"
    )
    if not pss or any(p is None for p in pss):
        cpu, memory = _fit(max(cpus / _UTILISATION / tasks * 1024, _FALLBACK[0]), _FALLBACK[1])
        return Size(
            cpu,
            memory,
            f"{cpu_says}\nmemory: not measured (the survey could not read smaps_rollup); "
            f"{memory} MiB is a question, not an answer",
            False,
        )
    largest = max(p or 0 for p in pss) / 1024
    wanted = _RESERVE * (largest + _SIDECAR_MIB)
    cpu, memory = _fit(cpus / _UTILISATION / tasks * 1024, wanted)
    return Size(
        cpu,
        memory,
        f"{cpu_says}\nmemory: {_RESERVE} x ({largest:.0f} MiB PSS on the fullest host + "
        f"{_SIDECAR_MIB} MiB sidecar) = {wanted:.0f} MiB",
        True,
    )


def _fit(cpu: float, memory: float) -> tuple[int, int]:
    for units, sizes in SIZES.items():
        fitting = [m for m in sizes if m >= memory]
        if units >= cpu and fitting:
            return units, fitting[0]
    largest = max(SIZES)
    return largest, SIZES[largest][-1]


def plan(workload: Workload, project: Project) -> Plan:
    """All files of one service."""
    notes = list(workload.questions)
    base = _base(workload, project)
    packages = "".join(f"{name}={version}\n" for name, version in workload.packages)
    image = project.build.folder.rstrip("/")
    definitions = project.fleets.new.definitions.rstrip("/")
    key = hashlib.sha256((base + packages).encode()).hexdigest()
    size = size_of(workload, project.build.tasks)
    files = {
        f"{image}/base.Dockerfile": base,
        f"{image}/base.packages": packages,
        f"{image}/app.Dockerfile": _app(workload),
        f"{image}/.dockerignore": f"# {NOTE}\n" + "\n".join(_IGNORED) + "\n",
        f"{image}/SIZES.md": _sizes(workload, size),
        f"{definitions}/ecs-task-def.json": _task(workload, project, size, notes),
        f"{definitions}/ecs-service-def.json": _service(workload, project),
    }
    if workload.web is not None:
        files[f"{image}/web.Dockerfile"] = _web_image(workload)
        files[f"{image}/web.packages"] = f"{workload.web.package}={workload.web.version}\n"
        files[f"{image}/nginx.conf"] = _nginx(workload, project.build.port)
    return Plan(dict(sorted(files.items())), size, tuple(notes), key)


_INSTALL = r"""RUN set -eu; apt-get update -qq; mkdir -p /usr/share/kirikae; wanted=; \
    while IFS= read -r package; do \
      if apt-get install -s -qq --no-install-recommends "$package" >/dev/null 2>&1; \
      then wanted="$wanted $package"; \
      else wanted="$wanted ${package%%=*}"; \
        echo "$package" >>/usr/share/kirikae/other-versions; fi; \
    done </usr/share/kirikae/FILE; \
    DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends $wanted >/dev/null; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log; \
    rm -rf /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssh/ssh_host_*; \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +"""


def _distribution(workload: Workload, project: Project) -> str:
    return project.build.distribution or DISTRIBUTIONS.get(
        workload.distribution, workload.distribution.replace(" ", ":")
    )


def _base(workload: Workload, project: Project) -> str:
    lines = [f"# The base storey: operating system and packages; changes rarely.  {NOTE}."]
    lines += [
        f"ARG DISTRIBUTION={_distribution(workload, project)}",
        "FROM ${DISTRIBUTION}",
        "COPY base.packages /usr/share/kirikae/base.packages",
    ]
    lines.append(
        "# The versions that the hosts have; where one is no longer offered, the newest, "
        "and that is written down."
    )
    lines.append(_INSTALL.replace("FILE", "base.packages"))
    if workload.locale and "." in workload.locale:
        name, charset = workload.locale.split(".", 1)
        lines.append(
            "# CF19: the service runs in this locale.\n"
            f"RUN echo '{name}.{charset} {charset.upper()}' >/etc/locale.gen && "
            "locale-gen >/dev/null"
        )
    if workload.zone and not workload.zone.endswith("UTC"):
        lines.append(
            "# CF19: the hosts' time zone.\n"
            f"RUN ln -sf /usr/share/zoneinfo/{workload.zone} /etc/localtime && echo "
            f"{workload.zone} >/etc/timezone"
        )
    if workload.requirements:
        lines.append(
            "COPY wheelhouse/ /usr/share/kirikae/wheelhouse/\nCOPY requirements.txt "
            "/usr/share/kirikae/requirements.txt"
        )
        lines.append(
            "RUN cd /usr/share/kirikae && pip install --break-system-packages --no-index "
            "--find-links wheelhouse -r requirements.txt"
        )
    if workload.uid:
        user = shlex.quote(workload.user)
        lines.append(
            "# PR05: the same numbers as on the hosts, so that ownership of shared data "
            "still fits.\n"
            f"RUN groupadd -o -g {workload.gid} {user} && "
            f"useradd -o -u {workload.uid} -g {workload.gid} -M -d {workload.folder} -s "
            f"/usr/sbin/nologin {user}"
        )
    return "\n".join(lines) + "\n"


def _app(workload: Workload) -> str:
    return f"""# The app storey: the release's code; changes with every release.  {NOTE}.
ARG BASE
FROM ${{BASE}}
COPY release/ {workload.folder}/
WORKDIR {workload.folder}
USER {workload.uid}:{workload.gid}
CMD {json.dumps(list(workload.command))}
"""


def _web_image(workload: Workload) -> str:
    assert workload.web is not None
    copies = "\n".join(
        f"COPY release/{folder}/ {workload.folder}/{folder}/" for folder in workload.web.static
    )
    return f"""# The web sidecar: nginx, its virtual host as on the hosts, and static files (AS01).
# {NOTE}.
ARG DISTRIBUTION
FROM ${{DISTRIBUTION}}
COPY web.packages /usr/share/kirikae/web.packages
{_INSTALL.replace("FILE", "web.packages")}
COPY nginx.conf /etc/nginx/nginx.conf
{copies}
USER 33:33
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""


def _nginx(workload: Workload, port: int) -> str:
    assert workload.web is not None
    listen = re.compile(r"^(\s*listen\s+)(?:\S+:)?(\d+)(\b[^;]*;)")
    body = []
    for line in workload.web.lines:
        if match := listen.match(line):
            line = f"{match[1]}{port if int(match[2]) == workload.web.port else match[2]}{match[3]}"
        body.append(f"    {line}".rstrip())
    return f"""# The virtual host of {workload.web.path}, on port {port} and without root.  {NOTE}.
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    access_log /dev/stdout;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
{chr(10).join(body)}
}}
"""


def secret_name(project: Project, variable: str) -> str:
    return project.build.secrets.get(
        variable, f"/{project.service}/{variable.lower().replace('_', '-')}"
    )


def _environment(
    workload: Workload, project: Project, notes: list[str]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(environment, secrets) of the task, and notes on what was left out."""
    plain = {"RELEASE_ID": "{{ must_env `RELEASE_ID` }}"}
    secret: dict[str, str] = {}
    for variable in workload.environment:
        if variable.name == "RELEASE_ID" or variable.name in project.build.environment:
            continue
        if variable.name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            notes.append(f"{variable.name} is left out: the task has a role (SE01)")
        elif variable.read is False and not re.match(r"(LANG|LC_\w+|TZ|AWS_\w+)$", variable.name):
            notes.append(f"{variable.name} is left out: no code reads it (CF08)")
        elif variable.name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
            notes.append(f"{variable.name} is left out: ECS tells a task its region")
        elif variable.secret:
            secret[variable.name] = secret_name(project, variable.name)
        else:
            plain[variable.name] = variable.value
    plain |= project.build.environment
    secret |= {k: v for k, v in project.build.secrets.items() if k not in plain}
    return (
        [{"name": k, "value": v} for k, v in sorted(plain.items())],
        [{"name": k, "valueFrom": v} for k, v in sorted(secret.items())],
    )


def _task(workload: Workload, project: Project, size: Size, notes: list[str]) -> str:
    stop = min(_STOP_MAX_S, workload.stop_s)
    if workload.stop_s > _STOP_MAX_S:
        notes.append(
            f"stopping may take {workload.stop_s} s on the hosts; Fargate allows "
            f"{_STOP_MAX_S} (PR07)"
        )
    environment, secrets = _environment(workload, project, notes)
    caches = sorted(
        {
            w.path
            for w in workload.writable
            if w.kind == "cache" and not w.path.startswith("/var/lib/nginx")
        }
    )
    app: dict[str, Any] = {
        "name": "app",
        "image": "{{ must_env `IMAGE_APP` }}",
        "essential": True,
        "stopTimeout": stop,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [_tmpfs(path, workload) for path in ["/tmp", *caches]]},
        "environment": environment,
    }
    if secrets:
        app["secrets"] = secrets
    if workload.nofile > _NOFILE_MAX:
        notes.append(
            f"the hosts allow {workload.nofile} open files; a task has {_NOFILE_MAX}, "
            "Fargate's default and its most (PR14)"
        )
    elif workload.nofile:
        app["ulimits"] = [
            {"name": "nofile", "softLimit": workload.nofile, "hardLimit": workload.nofile}
        ]
    app["logConfiguration"] = _logs(project, "app")
    roles = {
        "executionRoleArn": project.build.execution_role,
        "taskRoleArn": project.build.task_role,
    }
    if not project.build.execution_role:
        notes.append(
            "no `build.execution_role`: on AWS a task needs one to pull its image, to "
            "read secrets and to write logs"
        )
    containers = [app]
    if workload.web is not None:
        containers.append(
            {
                "name": "web",
                "image": "{{ must_env `IMAGE_WEB` }}",
                "essential": True,
                "stopTimeout": stop,
                "readonlyRootFilesystem": True,
                "linuxParameters": {
                    "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["mode=1777"]}]
                },
                "portMappings": [{"containerPort": project.build.port}],
                "dependsOn": [{"containerName": "app", "condition": "START"}],
                "logConfiguration": _logs(project, "web"),
            }
        )
    else:
        app["portMappings"] = [{"containerPort": workload.port}]
    return _json(
        {
            "family": project.fleets.new.ecs_service,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": str(size.cpu),
            "memory": str(size.memory),
            **{k: v for k, v in roles.items() if v},
            "containerDefinitions": containers,
        }
    )


def _logs(project: Project, container: str) -> dict[str, Any]:
    """LG01: standard output and error to CloudWatch Logs, one stream a container."""
    options = {
        "awslogs-group": f"/ecs/{project.service}",
        "awslogs-region": project.region,
        "awslogs-stream-prefix": container,
    }
    return {"logDriver": "awslogs", "options": {**options, "awslogs-create-group": "true"}}


def _tmpfs(path: str, workload: Workload) -> dict[str, Any]:
    options = (
        ["mode=1777"]
        if path == "/tmp"
        else [f"uid={workload.uid}", f"gid={workload.gid}", "mode=0755"]
    )
    return {"containerPath": path, "size": 64, "mountOptions": options}


def _service(workload: Workload, project: Project) -> str:
    front, port = (
        ("web", project.build.port) if workload.web is not None else ("app", workload.port)
    )
    network: dict[str, Any] = {"subnets": list(project.build.subnets)}
    if project.build.security_groups:
        network["securityGroups"] = list(project.build.security_groups)
    return _json(
        {
            "launchType": "FARGATE",
            "desiredCount": project.build.tasks,
            "deploymentConfiguration": {
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
            "healthCheckGracePeriodSeconds": 30,
            "loadBalancers": [
                {
                    "targetGroupArn": "{{ must_env `TARGET_GROUP_ARN` }}",
                    "containerName": front,
                    "containerPort": port,
                },
            ],
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
    )


def _json(plain: Any) -> str:
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _sizes(workload: Workload, size: Size) -> str:
    rows = "".join(
        f"| {m.host} | {m.cpus:.3f} | {m.processes} | "
        f"{'not measured' if m.pss_kib is None else f'{math.ceil(m.pss_kib / 1024)} MiB'} "
        "|\n"
        for m in workload.measured
    )
    guess = "" if size.measured else "Memory was not measured: prove this size with a load drill."
    return f"""# How large a task is, and why

<!-- {NOTE} -->

**{size.cpu} CPU units, {size.memory} MiB.** {guess}

```
{size.why}
```

| host | CPU (average since the service began) | processes | memory (PSS) |
|---|---|---|---|
{rows}"""
