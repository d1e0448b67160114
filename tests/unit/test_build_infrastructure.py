"""Infrastructure as Terraform: it can be parsed, is laid out as ``terraform fmt`` does, makes what
is not there, imports what is, and leaves alone what kirikae turns."""

from __future__ import annotations

import json
import re

import hcl2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.build.hcl import hcl, label
from kirikae.build.plan import plan
from kirikae.console import policy
from kirikae.console.build_needs import needs_of
from kirikae.console.kinds import read_project
from kirikae.jobs.making import stores
from kirikae.jobs.making.stack import Stack
from kirikae.jobs.tables import Jobs
from kirikae.model.errors import UsageProblem
from kirikae.survey.workload import workload
from tests.unit.test_build_kinds import _PHP_SITE, _POOL, fpm, two

_PROJECT = """
service: shop
environment: production
account: "123456789012"
store: s3://shop-kirikae/journal
fleets:
  old: {hosts: [ssh://host1], target_group: %(old)s}
  new: {cluster: main, ecs_service: shop-web, target_group: shop-ecs}
checks: [{get: /health, expect: 200}]
moves:
%(moves)s
build:
  subnets: [subnet-1, subnet-2]
  terraform: {vpc: vpc-12345678%(more)s}
%(build)s
"""
_TRAFFIC = "  web: {kind: traffic, router: {listener_rule: %s}}"
_ARN = (
    "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:listener-rule/app/shop/"
    "50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
)
_BY_NAME = _TRAFFIC % "shop/main"
_BY_ARN = _TRAFFIC % f"'{_ARN}'"
_WORKERS = (
    "  mails: {kind: workers, queue: mails, old: {units: [mailer.service]}, "
    "new: {ecs_service: shop-mails, tasks: 2}}"
)
_JOBS = (
    "  batch: {kind: jobs, crontab: deploy/crontab, ledger: 'dynamodb://ledger', "
    "new: {image: scheduler}}"
)
_EVERYTHING = (
    ", exists: [new target group, cluster, service, repositories, roles, log groups, queues, "
    "bucket, identity provider]"
)
_CI = (
    "  ci: {systems: [github-actions, circleci, codebuild], repository: shop/shop, "
    "organization: 01234567-89ab-cdef-0123-456789abcdef}"
)
_SERVICES = (
    "  services: {app: {unit: shop}, worker: {unit: worker}, admin: {unit: admin, runs: once}}"
)


def project(moves=_BY_NAME, more="", build="", old="shop-ec2"):
    values = {"moves": moves or "  {}", "more": more, "build": build, "old": old}
    text = (_PROJECT % values).replace("moves:\n  {}", "moves: {}")
    return read_project(text, "kirikae.yml")


def written(of=None, machine=None):
    of = of or project()
    host = machine or fpm(_POOL, _PHP_SITE)
    found = workload([host.bundle()], of.build, ())
    files = plan(found, of, None, needs_of(of)).files
    return {path.removeprefix("terraform/"): text for path, text in files.items() if _is(path)}


def _is(path):
    return path.startswith("terraform/")


def parsed(files):
    """Address -> body, of every resource."""
    found = {}
    for text in files.values():
        for row in hcl2.loads(text).get("resource", ()):
            for kind, named in row.items():
                for name, body in named.items():
                    found[f"{kind}.{name}".replace('"', "")] = body
    return found


VARIANTS = {
    "by name": project(),
    "by arn": project(_BY_ARN),
    "nothing turned": project("", ", certificate: 'arn:aws:acm:x', public_subnets: [subnet-9]"),
    "nothing known": project(""),
    "all moves": project("\n".join((_BY_NAME, _WORKERS, _JOBS)), _EVERYTHING, _CI),
    "queues": project("\n".join((_WORKERS, _JOBS)), "", "  sidecars: [relay]\n  logs: firelens"),
    "capacity": project(build="  capacity: {base: 2, spot: 1}\n  security_groups: [sg-1]"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_hcl_laid_out_as_terraform_does(name):
    """And the same input gives the same bytes."""
    files = written(VARIANTS[name])
    assert files == written(VARIANTS[name])
    assert {"versions.tf", "service.tf", "balancer.tf", "roles.tf"} <= set(files)
    for path, text in files.items():
        hcl2.loads(text)
        assert list(out_of_line(text)) == [], path


def test_services_of_their_own_and_what_the_clock_starts():
    """A worker has a service without a load balancer; what runs once has a schedule."""
    clock = ", schedules: [{service: admin, at: 'cron(0 3 * * ? *)'}]"
    files = written(project(more=clock, build=_SERVICES), two())
    found = parsed(files)
    assert "load_balancer" in found["aws_ecs_service.main"]
    assert "load_balancer" not in found["aws_ecs_service.alone-worker"]
    schedule = found["aws_scheduler_schedule.admin-1"]
    assert schedule["schedule_expression"] == '"cron(0 3 * * ? *)"'
    assert list(out_of_line(files["schedules.tf"])) == []
    assert "task-definition/shop-web-admin:*" in files["roles.tf"]


def test_what_runs_the_buildspecs_is_made_too():
    """Privileged, a clone of depth 1, layers kept, the role with what it calls; each commit of the
    branch, and the base storey at night."""
    files = written(project(build=_CI.replace("shop/shop,", "shop/shop, branch: release/1.x,")))
    found = parsed(files)
    for name in ("base", "images"):
        body = found[f"aws_codebuild_project.{name}"]
        [source], [machine], [cache] = body["source"], body["environment"], body["cache"]
        assert source["buildspec"] == f'"buildspec-{name}.yml"' and source["git_clone_depth"] == 1
        assert machine["privileged_mode"] is True and machine["type"] == '"LINUX_CONTAINER"'
        assert cache["modes"] == ['"LOCAL_DOCKER_LAYER_CACHE"']
        assert body["service_role"] == "${aws_iam_role.deploy.arn}"
        assert body["source_version"] == '"release/1.x"'
    [group] = found["aws_codebuild_webhook.images"]["filter_group"]
    assert group["filter"][1]["pattern"] == '"^refs/heads/release/1\\\\.x$"'
    [target] = found["aws_scheduler_schedule.night-base"]["target"]
    assert target["role_arn"] == "${aws_iam_role.night.arn}"
    assert "project/shop-base" in files["roles.tf"] and "aws_codebuild_webhook.base" not in found
    assert "codebuild.amazonaws.com" in files["roles.tf"]
    assert list(out_of_line(files["codebuild.tf"])) == []
    assert "codebuild.tf" not in written() and "codebuild:StartBuild" not in written()["roles.tf"]
    arm = written(project(build=f"{_CI}\n  architecture: arm64"))
    assert "ARM_CONTAINER" in arm["codebuild.tf"]


def out_of_line(text):
    """Lines that ``terraform fmt`` would move: two blanks a bracket, and ``=`` in one column in
    neighbouring lines whose values end where they began."""
    depth = 0
    run = []
    for number, line in enumerate(text.split("\n"), start=1):
        bare = _without_texts(line)
        closes = bare.strip()[:1] in ("}", "]", ")")
        if line.strip() and not line.startswith("  " * (depth - closes) + line.strip()[0]):
            yield number, line
        depth += _net(bare)
        assigned = re.match(r"(\s*[^=\s][^=]*?)(\s*)= ", bare)
        if assigned and not bare.strip().startswith("#") and _net(bare) == 0:
            run.append((number, line, assigned.end(2), len(assigned[1])))
            continue
        yield from _unequal(run)
        run = []
    yield from _unequal(run)


def _unequal(run):
    widest = max((width for _, _, _, width in run), default=0)
    for number, line, at, _ in run:
        if at != widest + 1:
            yield number, line


def _without_texts(line):
    """Texts and remarks hold brackets that are none."""
    if line.strip().startswith("#"):
        return line.replace("(", "").replace(")", "").replace("{", "").replace("}", "")
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: "_" * len(found[0]), line)


def _net(bare):
    """Of all brackets that begin in a line, at most one counts for the indent."""
    opened = sum(bare.count(each) for each in "({[")
    closed = sum(bare.count(each) for each in ")}]")
    return (opened > closed) - (opened < closed)


def test_the_layout_is_really_looked_at():
    assert list(out_of_line("a = 1\nlong = 2\n")) == [(1, "a = 1")]
    assert list(out_of_line("a {\n b = 1\n}\n")) == [(2, " b = 1")]


def test_what_kirikae_turns_is_not_turned_back():
    """Weights of the rule, the task definition, the number of tasks, the ends of autoscaling."""
    files = written()
    found = parsed(files)
    rule = found["aws_lb_listener_rule.main"]
    assert rule["lifecycle"][0]["ignore_changes"] == "all"
    groups = rule["action"][0]["forward"][0]["target_group"]
    assert [(each["arn"], each["weight"]) for each in groups] == [
        ("${aws_lb_target_group.old.arn}", 100),
        ("${aws_lb_target_group.new.arn}", 0),
    ]
    service = found["aws_ecs_service.main"]["lifecycle"][0]["ignore_changes"]
    assert set(service) == {"task_definition", "desired_count", "network_configuration"}
    assert found["aws_ecs_service.main"]["desired_count"] == 0
    target = found["aws_appautoscaling_target.main"]
    assert target["lifecycle"][0]["ignore_changes"] == ["min_capacity", "max_capacity"]
    # A load balancer of its own forwards by its default action: that is left alone as well.
    own = parsed(written(VARIANTS["nothing known"]))["aws_lb_listener.main"]
    assert own["lifecycle"][0]["ignore_changes"] == ["default_action"]


def test_what_is_there_is_imported_and_can_be_neither_changed_nor_destroyed():
    """The old side's load balancer, rule and target group; more only where somebody says so."""
    few = _imports(written())
    assert set(few) == {
        "aws_lb.main",
        "aws_lb_listener.main",
        "aws_lb_listener_rule.main",
        "aws_lb_target_group.old",
    }
    found = parsed(written())
    for address in few:
        kept = found[address]["lifecycle"][0]
        assert kept["prevent_destroy"] is True and kept["ignore_changes"] == "all", address
    assert "imports.tf" not in written(VARIANTS["nothing known"])
    every = _imports(written(VARIANTS["all moves"]))
    assert every["aws_ecs_service.main"] == "main/shop-web"
    assert every["aws_sqs_queue.queue-mails"].endswith("/123456789012/mails")
    assert every["aws_s3_bucket.store"] == "shop-kirikae"
    assert set(every) <= set(parsed(written(VARIANTS["all moves"])))


def _imports(files):
    rows = hcl2.loads(files["imports.tf"])["import"]
    return {row["to"].strip("${}"): row["id"].strip('"') for row in rows}


def test_the_rule_is_found_by_its_name_or_taken_from_its_arn():
    assert ":listener-rule/app/shop/" in written()["balancer.tf"]
    text = written(VARIANTS["by arn"])["balancer.tf"]
    assert f'rule_arn = "{_ARN}"' in text and "resourcegroups" not in text


def policies(files):
    """Role -> statements, as text of HCL read back."""
    found = {}
    for text in files.values():
        for row in hcl2.loads(text).get("resource", ()):
            for name, body in row.get('"aws_iam_role_policy"', {}).items():
                found[name.strip('"')] = json.dumps(body["policy"])
    return found


_WITHOUT_A_RESOURCE = {"ecr:GetAuthorizationToken", "ecs:RegisterTaskDefinition"}


def test_roles_have_what_they_call_and_no_more():
    """No action is a pattern; what goes for everything is what AWS knows no resource for, or
    looks; a secret is named."""
    of = VARIANTS["all moves"]
    text = written(of)["roles.tf"]
    actions = re.findall(r'"([a-z0-9-]+:[A-Za-z]*\*?)"', text)
    assert actions and not [each for each in actions if each.endswith("*")]
    for action, resource in _statements(text):
        if resource == '"*"':
            looks = re.fullmatch(r"[\w-]+:(Get|List|Describe|Simulate)\w*", action)
            assert looks or action in _WITHOUT_A_RESOURCE, action
    assert "parameter/shop/pw" in text and "parameter/*" not in text
    assert "sqs:ReceiveMessage" in text and "arn:aws:sqs:ap-northeast-1:123456789012:mails" in text
    deploys = {action for each in policy.to_deploy(of) for action in each["Action"]}
    assert deploys <= set(actions) | {"iam:PassRole"}


def _statements(text):
    """(action, resource) of each statement."""
    for statement in re.findall(r"\{\s+Sid .*?\n    \},", text, re.DOTALL):
        resource = re.search(r"Resource\s+= (.+)", statement)[1]
        listed = re.search(r"Action\s+= \[(.*?)\]", statement, re.DOTALL)[1]
        for action in re.findall(r'"([^"]+)"', listed):
            yield action, resource


def test_runs_of_one_repository_and_branch_take_the_role():
    text = written(VARIANTS["all moves"])["roles.tf"]
    assert '"repo:shop/shop:ref:refs/heads/main"' in text
    assert "vcs-origin/github.com/shop/shop/vcs-ref/refs/heads/main" in text
    assert '"codebuild.amazonaws.com"' in text and ":root" not in text
    assert "aws_iam_openid_connect_provider" not in text
    again = written(project(build=_CI))["roles.tf"]
    assert '"https://token.actions.githubusercontent.com"' in again


def test_the_queue_of_jobs_is_the_one_that_jobs_write_makes():
    of = VARIANTS["queues"]
    move = of.moves["batch"]
    attributes = stores.queue(Stack(of, "batch", move, move.new, Jobs("crontab", 0, ())))
    body = parsed(written(of))["aws_sqs_queue.queue-shop-batch-fifo"]
    assert body["name"] == f'"{attributes["QueueName"]}"'
    wanted = attributes["Attributes"]
    assert str(body["visibility_timeout_seconds"]) == wanted["VisibilityTimeout"]
    assert str(body["message_retention_seconds"]) == wanted["MessageRetentionPeriod"]


def test_the_definitions_name_the_roles_that_are_made():
    of = project()
    found = workload([fpm(_POOL, _PHP_SITE).bundle()], of.build, ())
    files = plan(found, of, None, needs_of(of)).files
    task = json.loads(re.sub(r"\{\{.*?\}\}", "x", files["ecs/ecs-task-def.json"]))
    assert task["executionRoleArn"] == "arn:aws:iam::123456789012:role/shop-execution"
    assert 'name = "shop-execution"' in files["terraform/roles.tf"]


def test_names_from_outside_are_text_and_never_hcl():
    """A target group, a rule and a variable of a host that would be blocks of their own."""
    name = 'x"}\n${file("/etc/passwd")}%{ for a in b }\nresource "null_resource" "x" {'
    rule = json.dumps(f"shop/{name}".replace("\n", " "))
    of = project(_TRAFFIC % rule, old=json.dumps(name))
    files = written(of)
    assert set(parsed(files)) == set(parsed(written()))
    for text in files.values():
        assert not re.search(r"(?<!\$)\$\{file", text) and not re.search(r"(?<!%)%\{ for", text)


@given(st.text(max_size=40))
def test_any_text_is_one_value(text):
    """And comes back as it was."""
    read = hcl2.loads(f"a = {hcl(text)}\nb = 1\n")
    assert read["b"] == 1
    inner = read["a"]
    assert inner.startswith('"') and inner.endswith('"')
    plain = inner[1:-1].replace("$${", "${").replace("%%{", "%{")
    assert _unescaped(plain) == text


def _unescaped(text):
    def character(found):
        return json.loads(f'"{found[0]}"') if found[0][1] != "U" else chr(int(found[0][2:], 16))

    return re.sub(r'\\(?:U[0-9a-f]{8}|u[0-9a-f]{4}|["\\nrt])', character, text)


@given(st.text(min_size=1, max_size=30))
def test_any_name_becomes_a_label(name):
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", label(name))


@pytest.mark.parametrize(
    ("more", "build", "told"),
    [
        (", schedules: [{service: close, at: rate(1 day)}]", "", "runs: once"),
        ("", "  ci: {systems: [circleci], repository: a/b}", "organization"),
        ("", "  ci: {systems: [], repository: a/b}", "ci.systems"),
    ],
)
def test_what_cannot_be_written_is_told_by_its_key(more, build, told):
    with pytest.raises(UsageProblem) as refused:
        project(more=more, build=build)
    assert told in str(refused.value)


def test_nobody_gets_what_was_not_asked_for():
    of = read_project(
        (_PROJECT % {"moves": _BY_NAME, "more": "", "build": "", "old": "a"}).replace(
            "  terraform: {vpc: vpc-12345678}\n", ""
        ),
        "kirikae.yml",
    )
    assert written(of) == {}
