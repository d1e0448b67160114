"""Guard has nothing against what `build` writes itself: for every kind of host, with every
sidecar."""

from __future__ import annotations

import datetime
import json
import re

import pytest

from kirikae.build.plan import plan
from kirikae.console.build_planned import _relay
from kirikae.console.guard_checked import Checked
from kirikae.console.kinds import read_project
from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.reading import objects_in
from kirikae.model.finding import Severity
from kirikae.survey.workload import workload
from tests.unit.test_build_kinds import _PHP_SITE, _POOL, _PROJECT, fpm, host, in_front, own, two
from tests.unit.test_survey import captured

_DAY = datetime.date(2026, 11, 28)
_WHOLE = ", logs: firelens, sidecars: [relay, datadog], capacity: {base: 1, spot: 1}"
_TWO = (
    ", services: {app: {unit: shop}, worker: {unit: worker}, admin: {unit: admin, release: admin}}"
)


def static():
    machine = host()
    in_front(machine, "server { listen 80; root /srv/site; }")
    return machine


def _bundle(machine):
    return machine.bundle() if hasattr(machine, "bundle") else machine


HOSTS = {
    "php-fpm": (lambda: fpm(_POOL, _PHP_SITE), ""),
    "mod_php": (lambda: captured("fourth"), ", unit: apache2"),
    "perl": (lambda: captured("haiku"), ""),
    "php with uploads": (lambda: captured("photo"), ""),
    "node": (lambda: own("/usr/bin/node server.js --port 3000"), ""),
    "ruby": (lambda: own("/usr/bin/puma -b tcp://127.0.0.1:3000"), ""),
    "python": (lambda: own("/usr/bin/gunicorn --bind 127.0.0.1:3000 a:app"), ""),
    "binary": (lambda: own("/srv/shop/bin/shop -port 3000"), ""),
    "java": (lambda: own("/usr/bin/java -jar shop.jar --port 3000"), ""),
    "static": (static, ""),
    "several services": (two, _TWO),
}


def findings(files):
    """Of everything that guard reads."""
    objects = []
    for path, text in files.items():
        if path.endswith(("Dockerfile", "task-def.json")):
            objects += objects_in(path, text)
    assert objects
    looks = looked_at(objects, Asked(tuple(PROFILES), limits(_DAY, None)))
    checked = Checked(looks, Severity.HYGIENE, False)
    return {(each.code, each.where) for each in checked.findings}


def written(name, more):
    machine, own_lines = HOSTS[name]
    project = read_project(_PROJECT % (own_lines + more), "kirikae.yml")
    found = workload([_bundle(machine())], project.build, ())
    return plan(found, project, _relay(project)).files


@pytest.mark.parametrize("name", HOSTS)
def test_guard_finds_nothing_in_what_is_written(name):
    assert findings(written(name, "")) == set()


def test_guard_finds_nothing_in_the_sidecars_either():
    """But for the one thing that Postfix cannot do without: its master is root."""
    assert findings(written("php-fpm", _WHOLE)) == {("GD01", "image/relay.Dockerfile#USER")}


def test_guard_really_looks():
    files = written("node", "")
    task = files["ecs/ecs-task-def.json"]
    broken = task.replace('"readonlyRootFilesystem": true', '"readonlyRootFilesystem": false')
    assert {code for code, _ in findings({"ecs/ecs-task-def.json": broken})} == {"GD02"}


def test_what_sidecars_write_is_writable():
    """Fluent Bit its own files in /tmp, Postfix its queue, Datadog's agent its configuration."""
    text = written("node", _WHOLE)["ecs/ecs-task-def.json"]
    rows = {each["name"]: each for each in json.loads(text)["containerDefinitions"]}
    relay = [each["containerPath"] for each in rows["relay"]["linuxParameters"]["tmpfs"]]
    assert relay == ["/tmp", "/etc/postfix", "/var/lib/postfix", "/var/spool/postfix"]
    agent = rows["datadog-agent"]
    volumes = [each["name"] for each in json.loads(text)["volumes"]]
    assert agent["mountPoints"] == [
        {"sourceVolume": volumes[-1], "containerPath": "/etc/datadog-agent"}
    ]
    assert agent["dependsOn"] == [{"containerName": "datadog-config", "condition": "SUCCESS"}]
    assert not rows["datadog-config"]["essential"]
    assert all(each["readonlyRootFilesystem"] for each in rows.values())


_SPELT_OTHERWISE = {
    "EfsVolumeConfiguration": "EFSVolumeConfiguration",
    "FileSystemId": "FilesystemId",
    "Iam": "IAM",
}


def as_cloudformation(plain):
    """The same definition with CloudFormation's keys; those of options are the driver's own."""
    if isinstance(plain, list):
        return [as_cloudformation(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    found = {}
    for key, value in plain.items():
        name = key[0].upper() + key[1:]
        kept = value if key == "options" else as_cloudformation(value)
        found[_SPELT_OTHERWISE.get(name, name)] = kept
    return found


@pytest.mark.prove
def test_cfn_lint_finds_nothing_in_the_task_definitions(tmp_path):
    """Those of every kind of host, as resources of one template."""
    from cfnlint.api import ManualArgs, lint

    resources = {}
    for number, name in enumerate(HOSTS):
        text = written(name, _WHOLE)["ecs/ecs-task-def.json"]
        task = json.loads(re.sub(r"\{\{.*?\}\}", "registry.example.com/x@sha256:0", text))
        resources[f"Task{number}"] = {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": as_cloudformation(task),
        }
    template = json.dumps({"Resources": resources})
    said = lint(template, config=ManualArgs(regions=["ap-northeast-1"]))
    assert [str(each) for each in said] == []
    broken = template.replace('"NetworkMode": "awsvpc"', '"NetworkMode": "bridge"')
    assert lint(broken, config=ManualArgs(regions=["ap-northeast-1"]))
