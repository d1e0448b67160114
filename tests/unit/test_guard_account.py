"""Guard looks at an account by reading calls only: what it may not read is not checked, with the
action to grant, and never green."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from kirikae.aws import guarded
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws
from kirikae.console import guard_account
from kirikae.console.guard_account import _LOOKS, is_named
from kirikae.guard.checks import CHECKS, PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.nist import answered, clauses
from kirikae.guard.objects import Kind, Resource
from kirikae.guard.reading import objects_in
from kirikae.guard.seen import Outcome
from kirikae.model.said import Words, words_of
from tests.command import run

ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))
WORDS = Words(words_of("kirikae.guard"))
DIGEST = "sha256:" + "e" * 64
OPEN = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
LOGGED = {"executeCommandConfiguration": {"logging": "DEFAULT"}}
NETWORK = {"awsvpcConfiguration": {"assignPublicIp": "DISABLED", "subnets": ["s"]}}
DOCUMENT = {"Statement": [{"Effect": "Allow", "Action": "ecs:UpdateService", "Resource": "arn:x"}]}
GOOD: dict[Kind, dict[str, Any]] = {
    Kind.REPOSITORY: {
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "KMS"},
        "lifecyclePolicy": "{}",
        "policy": None,
        "scanning": {"rules": []},
    },
    Kind.SERVICE: {
        "launchType": "FARGATE",
        "platformVersion": "LATEST",
        "enableExecuteCommand": True,
        "networkConfiguration": NETWORK,
        "cluster_configuration": LOGGED,
    },
    Kind.CLUSTER: {
        "configuration": LOGGED,
        "settings": [{"name": "containerInsights", "value": "enabled"}],
    },
    Kind.GROUP: {
        "IpPermissions": [{"FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{}]}],
        "IpPermissionsEgress": [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **OPEN}],
    },
    Kind.POLICY: {"document": DOCUMENT},
}


def allowing(**more):
    return {"Statement": [{"Effect": "Allow", "Resource": "*", **more}]}


FAULTY: dict[str, list[tuple[Kind, str, Any]]] = {
    "GA01": [(Kind.REPOSITORY, "imageScanningConfiguration", {"scanOnPush": False})],
    "GA02": [(Kind.REPOSITORY, "imageTagMutability", "MUTABLE")],
    "GA03": [(Kind.REPOSITORY, "lifecyclePolicy", None)],
    "GA04": [
        (Kind.REPOSITORY, "policy", allowing(Principal="*")),
        (Kind.REPOSITORY, "policy", {"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}}}),
    ],
    "GA05": [(Kind.REPOSITORY, "encryptionConfiguration", {"encryptionType": "AES256"})],
    "GA06": [
        (
            Kind.SERVICE,
            "networkConfiguration",
            {"awsvpcConfiguration": {"assignPublicIp": "ENABLED"}},
        )
    ],
    "GA07": [
        (Kind.GROUP, "IpPermissions", [{"FromPort": 80, "ToPort": 90, **OPEN}]),
        (Kind.GROUP, "IpPermissions", [{"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]),
    ],
    "GA08": [(Kind.GROUP, "IpPermissionsEgress", [{"IpProtocol": "-1", **OPEN}])],
    "GA09": [
        (
            Kind.SERVICE,
            "cluster_configuration",
            {"executeCommandConfiguration": {"logging": "NONE"}},
        ),
        (Kind.CLUSTER, "configuration", {"executeCommandConfiguration": {"logging": "OVERRIDE"}}),
    ],
    "GA10": [(Kind.SERVICE, "platformVersion", "1.3.0")],
    "GA11": [
        (Kind.POLICY, "document", allowing(Action="*")),
        (Kind.POLICY, "document", allowing(Action=["ecs:*"])),
        (Kind.POLICY, "document", allowing(NotAction="iam:*")),
    ],
    "GA12": [
        (Kind.POLICY, "document", allowing(Action="iam:PassRole")),
        (Kind.POLICY, "document", allowing(Action=["iam:Pass*"])),
    ],
    "GA13": [(Kind.CLUSTER, "settings", [])],
}
HARMLESS: list[tuple[Kind, str, Any]] = [
    (Kind.REPOSITORY, "imageTagMutability", "IMMUTABLE_WITH_EXCLUSION"),
    (Kind.REPOSITORY, "policy", {"Statement": [{"Effect": "Deny", "Principal": "*"}]}),
    (Kind.REPOSITORY, "policy", allowing(Principal="*", Condition={"StringEquals": {"o": "x"}})),
    (Kind.REPOSITORY, "policy", allowing(Principal={"AWS": "123456789012"})),
    (Kind.SERVICE, "platformVersion", "1.4.0"),
    (Kind.SERVICE, "enableExecuteCommand", False),
    (Kind.POLICY, "document", allowing(Action="ecs:DescribeServices")),
    (Kind.POLICY, "document", allowing(Action="iam:PassRole", Condition={"StringEquals": {}})),
    (Kind.POLICY, "document", {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}),
]


def resource(kind, change=None):
    plain = dict(GOOD[kind])
    if change is not None:
        key, value = change
        plain[key] = value
    return Resource(kind, f"{kind}:shop", "shop", plain)


def outcomes(*things):
    return {(look.code, look.where): look for look in looked_at(things, ASKED)}


def failed(*things):
    return {code for (code, _), look in outcomes(*things).items() if look.findings}


@pytest.mark.parametrize("kind", GOOD)
def test_nothing_is_found_in_what_is_right(kind):
    """And nothing was left unchecked."""
    found = outcomes(resource(kind))
    assert found and {look.outcome for look in found.values()} == {Outcome.PASS}


@pytest.mark.parametrize("case", [(code, each) for code, rows in FAULTY.items() for each in rows])
def test_each_check_fails_on_its_fault(case):
    """And no other one does, but that whoever may do everything may pass roles, too."""
    code, (kind, key, value) = case
    more = {"GA12"} if value == allowing(Action="*") else set()
    assert failed(resource(kind, (key, value))) == {code} | more


@pytest.mark.parametrize("case", HARMLESS)
def test_each_check_passes_what_only_looks_like_it(case):
    """A refusal, a condition, a tag that may move by name."""
    kind, key, value = case
    assert failed(resource(kind, (key, value))) == set()


def test_every_check_of_an_account_has_both_examples():
    """None passes everything."""
    assert set(FAULTY) == {check.code for check in CHECKS if check.of_resource is not None}


def test_a_rule_of_the_registry_scans_as_well():
    """By a pattern of names."""
    for filters, code in (("sh*", None), ("other", "GA01")):
        rule = {
            "scanFrequency": "CONTINUOUS_SCAN",
            "repositoryFilters": [{"filter": filters, "filterType": "WILDCARD"}],
        }
        thing = resource(Kind.REPOSITORY, ("scanning", {"rules": [rule]}))
        thing.plain["imageScanningConfiguration"] = {"scanOnPush": False}
        assert failed(thing) == ({code} if code else set())


# --- calls


class Account:
    """Stubbed clients behind the real reading code."""

    def __init__(self) -> None:
        self.aws = Aws("ap-northeast-1", read_only=True)
        self.stubs: dict[str, Stubber] = {}
        for name in ("ecr", "ecs", "ec2", "iam"):
            client = boto3.client(
                name, "ap-northeast-1", aws_access_key_id="x", aws_secret_access_key="x"
            )
            self.aws._clients[name] = client
            self.stubs[name] = Stubber(client)

    def answers(self, service, **operations):
        for operation, plain in operations.items():
            if isinstance(plain, str):
                self.stubs[service].add_client_error(operation, plain)
            else:
                self.stubs[service].add_response(operation, plain)

    @contextmanager
    def open(self):
        with ExitStack() as stack:
            for stub in self.stubs.values():
                stack.enter_context(stub)
            yield
            for stub in self.stubs.values():
                stub.assert_no_pending_responses()


def looked(account, named):
    kind, _, name = named.partition(":")
    with account.open():
        return outcomes(*_LOOKS[kind](account.aws, name))


REPOSITORY = {
    "repositories": [
        {
            "repositoryName": "shop",
            "imageTagMutability": "MUTABLE",
            "imageScanningConfiguration": {"scanOnPush": False},
            "encryptionConfiguration": {"encryptionType": "AES256"},
        }
    ]
}


def test_a_repository_is_read_with_what_belongs_to_it():
    """Its policies, the registry's rules, and what a scan found, on all pages."""
    account = Account()
    account.answers(
        "ecr",
        describe_repositories=REPOSITORY,
        get_lifecycle_policy="LifecyclePolicyNotFoundException",
        get_repository_policy={"policyText": json.dumps(allowing(Principal="*"))},
        get_registry_scanning_configuration={"scanningConfiguration": {"rules": []}},
    )
    row = {"name": "CVE-2026-1", "severity": "HIGH"}
    attributes = [{"key": "package_name", "value": "openssl"}]
    for number, token in ((1, "next"), (2, None)):
        page = {
            "repositoryName": "shop",
            "imageId": {"imageDigest": DIGEST},
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {
                "imageScanCompletedAt": datetime(2026, 11, 20, tzinfo=UTC),
                "findings": [{**row, "name": f"CVE-2026-{number}", "attributes": attributes}],
            },
        }
        page |= {"nextToken": token} if token else {}
        account.stubs["ecr"].add_response("describe_image_scan_findings", page)
    found = looked(account, "repository:shop:r2")
    told = {code for (code, _), look in found.items() if look.findings}
    assert told == {"GA01", "GA02", "GA03", "GA04", "GA05", "GV01"}
    assert len(found["GV01", "shop"].findings) == 2


def test_what_may_not_be_read_is_not_checked_with_the_action_to_grant():
    """Nothing of it is green; what may be read is judged all the same."""
    account = Account()
    denied = "AccessDeniedException"
    account.answers(
        "ecr",
        describe_repositories=REPOSITORY,
        get_lifecycle_policy=denied,
        get_repository_policy=denied,
        get_registry_scanning_configuration=denied,
        describe_image_scan_findings=denied,
    )
    found = looked(account, "repository:shop:r2")
    for code, action in (
        ("GA01", "ecr:GetRegistryScanningConfiguration"),
        ("GA03", "ecr:GetLifecyclePolicy"),
        ("GA04", "ecr:GetRepositoryPolicy"),
    ):
        look = found[code, "repository:shop"]
        assert look.outcome is Outcome.NOT_CHECKED, code
        assert f"grant {action}" in WORDS.say(look.why[0])
    assert found["GA02", "repository:shop"].outcome is Outcome.FAIL
    scan = found["GV01", "shop"]
    assert scan.outcome is Outcome.NOT_CHECKED
    assert "ecr:DescribeImageScanFindings" in WORDS.say(scan.why[0])


def test_nothing_of_a_thing_that_may_not_be_read_is_green():
    """Whatever is refused, service by service."""
    account = Account()
    for operation in ("describe_services", "describe_clusters"):
        account.answers("ecs", **{operation: "AccessDeniedException"})
    found = looked(account, "service:main/shop")
    assert Outcome.PASS not in {look.outcome for look in found.values()}
    assert len(found) > 20 and {"GA07", "GA08"} <= {code for code, _ in found}
    account = Account()
    account.answers(
        "ecr",
        describe_repositories="AccessDeniedException",
        get_lifecycle_policy="AccessDeniedException",
        get_repository_policy="AccessDeniedException",
        get_registry_scanning_configuration="AccessDeniedException",
    )
    found = looked(account, "repository:shop")
    assert {look.outcome for look in found.values()} == {Outcome.NOT_CHECKED}


def test_a_service_is_read_with_its_cluster_its_task_and_its_groups():
    """Each of them is judged under its own name."""
    account = Account()
    service = {
        "status": "ACTIVE",
        "serviceName": "shop",
        "launchType": "FARGATE",
        "platformVersion": "1.3.0",
        "enableExecuteCommand": True,
        "taskDefinition": "arn:aws:ecs:ap-northeast-1:123456789012:task-definition/shop:7",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["s"],
                "securityGroups": ["sg-1"],
                "assignPublicIp": "ENABLED",
            }
        },
    }
    cluster = {"configuration": {"executeCommandConfiguration": {"logging": "NONE"}}}
    container = {"name": "app", "image": "shop", "privileged": True}
    task = {"family": "shop", "revision": 7, "containerDefinitions": [container]}
    group = {
        "GroupId": "sg-1",
        "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **OPEN}],
        "IpPermissionsEgress": [{"IpProtocol": "-1", **OPEN}],
    }
    account.answers("ecs", describe_services={"services": [service]})
    account.answers("ecs", describe_clusters={"clusters": [cluster]})
    account.answers("ecs", describe_task_definition={"taskDefinition": task})
    account.answers("ec2", describe_security_groups={"SecurityGroups": [group]})
    found = looked(account, "service:main/shop")
    places = {key for key, look in found.items() if look.findings}
    assert {
        ("GA06", "service:main/shop"),
        ("GA07", "security-group:sg-1"),
        ("GA08", "security-group:sg-1"),
        ("GA09", "service:main/shop"),
        ("GA10", "service:main/shop"),
        ("GA13", "cluster:main"),
        ("FG04", "task:shop"),
    } <= places


def test_a_role_is_its_own_policies_and_those_that_are_attached():
    """Each with its document; one that may not be read is not green."""
    account = Account()
    arn = "arn:aws:iam::123456789012:policy/deploy"
    account.answers(
        "iam",
        list_role_policies={"PolicyNames": ["own"], "IsTruncated": False},
        list_attached_role_policies={
            "AttachedPolicies": [{"PolicyName": "deploy", "PolicyArn": arn}],
            "IsTruncated": False,
        },
        get_role_policy={
            "RoleName": "ci",
            "PolicyName": "own",
            "PolicyDocument": json.dumps(allowing(Action="iam:PassRole")),
        },
        get_policy="AccessDenied",
    )
    found = looked(account, "role:ci")
    assert found["GA12", "policy:ci/own"].outcome is Outcome.FAIL
    assert found["GA11", f"policy:{arn}"].outcome is Outcome.NOT_CHECKED


@pytest.mark.parametrize(
    ("look", "service", "operation", "answer"),
    [
        (
            lambda aws: guarded.repository(aws, "shop"),
            "ecr",
            "describe_repositories",
            "RepositoryNotFoundException",
        ),
        (lambda aws: guarded.policy(aws, "a" * 20), "iam", "get_policy", "NoSuchEntity"),
        (
            lambda aws: guarded.service(aws, "main", "shop"),
            "ecs",
            "describe_services",
            {"services": [], "failures": [{"reason": "MISSING"}]},
        ),
    ],
)
def test_a_thing_that_is_not_there_is_refused(look, service, operation, answer):
    """It is not something without faults."""
    account = Account()
    account.answers(service, **{operation: answer})
    with account.open(), pytest.raises(NotThere):
        look(account.aws)


def test_names_of_things_are_no_files(tmp_path, monkeypatch):
    """A file of such a name is written with a dot before it; a thing without a name is refused."""
    assert is_named("service:main/shop") and not is_named("./service:main/shop")
    assert not is_named("C:task.json") and not is_named("service")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    assert run("guard", "check", "repository:").exit_code == 2
    assert run("guard", "check", "service:shop").exit_code == 2


def test_nothing_but_reading_is_sent(monkeypatch, tmp_path):
    """The client itself refuses everything else."""
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    monkeypatch.setitem(
        guard_account._LOOKS, "policy", lambda aws, name: iter([seen.append(aws.read_only)][:0])
    )
    run("guard", "check", "policy:x")
    assert seen == [True]


@pytest.mark.engine
def test_kirikae_local_is_looked_at_as_aws_is(local, tmp_path, monkeypatch):
    """A repository with every fault, then mended; a role that may do everything; what local does
    not answer is not green."""
    monkeypatch.chdir(tmp_path)
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    ecr = local.client("ecr")
    name = "kirikae-test-guarded"
    ecr.create_repository(repositoryName=name)
    try:
        bad = run("guard", "check", f"repository:{name}", "--json").json
        codes = {each["code"] for each in bad["findings"]}
        assert {"GA02", "GA03"} <= codes
        ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
        rule = {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": 30,
            },
            "action": {"type": "expire"},
        }
        ecr.put_lifecycle_policy(
            repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]})
        )
        ecr.put_image_scanning_configuration(
            repositoryName=name, imageScanningConfiguration={"scanOnPush": True}
        )
        good = run("guard", "check", f"repository:{name}", "--json").json
        assert {each["code"] for each in good["findings"]} <= {"GA05"}
    finally:
        ecr.delete_repository(repositoryName=name, force=True)
    iam = local.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    try:
        iam.put_role_policy(
            RoleName=name,
            PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", **allowing(Action="*")}),
        )
        ended = run("guard", "check", f"role:{name}")
        assert ended.exit_code == 6 and "GA11" in ended.stdout and "GA12" in ended.stdout
    finally:
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.delete_role_policy(RoleName=name, PolicyName="all")
        iam.delete_role(RoleName=name)
    assert run("guard", "check", f"repository:{name}").exit_code == 1


# --- the same things in files

STATEMENT = {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}
PUBLIC = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}]}
TEMPLATE = {
    "Resources": {
        "Repository": {
            "Type": "AWS::ECR::Repository",
            "Properties": {"RepositoryPolicyText": PUBLIC},
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "PlatformVersion": "1.3.0",
                "NetworkConfiguration": {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED"}},
            },
        },
        "Cluster": {
            "Type": "AWS::ECS::Cluster",
            "Properties": {
                "ClusterSettings": [{"Name": "containerInsights", "Value": "disabled"}],
                "Configuration": {"ExecuteCommandConfiguration": {"Logging": "NONE"}},
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Policies": [{"PolicyName": "deploy", "PolicyDocument": {"Statement": [STATEMENT]}}]
            },
        },
    }
}
EVERYTHING = {"GA01", "GA02", "GA03", "GA04", "GA05", "GA06", "GA09", "GA10", "GA11", "GA13"}


def row(kind, **values):
    return {"address": f"{kind}.shop", "type": kind, "values": values}


PLAN = {
    "planned_values": {
        "root_module": {
            "resources": [
                row(
                    "aws_ecr_repository",
                    name="shop",
                    image_tag_mutability="MUTABLE",
                    image_scanning_configuration=[{"scan_on_push": False}],
                ),
                row("aws_ecr_repository_policy", repository="shop", policy=json.dumps(PUBLIC)),
                row(
                    "aws_ecs_service",
                    platform_version="1.3.0",
                    network_configuration=[{"assign_public_ip": True}],
                ),
                row(
                    "aws_ecs_cluster",
                    setting=[{"name": "containerInsights", "value": "disabled"}],
                    configuration=[{"execute_command_configuration": [{"logging": "NONE"}]}],
                ),
                row("aws_iam_policy", policy=json.dumps({"Statement": STATEMENT})),
            ]
        }
    }
}


@pytest.mark.parametrize("plain", [TEMPLATE, PLAN], ids=["CloudFormation", "Terraform"])
def test_things_in_files_are_judged_as_those_of_an_account(plain):
    """In a template and in a plan alike."""
    assert failed(*objects_in("f.json", json.dumps(plain))) == EVERYTHING


def test_what_a_parameter_decides_is_not_green():
    """Whether everything is allowed, whether an address is public, whose policy it is."""
    template = copy.deepcopy(TEMPLATE)
    rows = template["Resources"]
    rows["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"] = {
        "Ref": "Which"
    }
    rows["Service"]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"] = {
        "AssignPublicIp": {"Fn::If": ["Public", "ENABLED", "DISABLED"]}
    }
    found = outcomes(*objects_in("f.json", json.dumps(template)))
    told = {code: look.outcome for (code, _), look in found.items()}
    assert told["GA11"] is told["GA06"] is Outcome.NOT_CHECKED
    plan = copy.deepcopy(PLAN)
    resources = plan["planned_values"]["root_module"]["resources"]
    resources[1]["values"] = {}
    resources.append(row("aws_ecr_lifecycle_policy"))
    found = outcomes(*objects_in("f.json", json.dumps(plan)))
    told = {code: look.outcome for (code, _), look in found.items()}
    assert told["GA03"] is told["GA04"] is Outcome.NOT_CHECKED


@pytest.mark.parametrize("code", FAULTY)
def test_a_finding_of_an_account_breaks_its_clause(code):
    """Of NIST SP 800-190; where nothing is wrong the clauses of an account pass."""
    kind, key, value = FAULTY[code][0]
    things = [resource(each, (key, value) if each is kind else None) for each in GOOD]
    found = answered(things, looked_at(things, ASKED))
    broken = {each.clause.number for each in found if each.outcome is Outcome.FAIL}
    assert broken == {clause.number for clause in clauses() if code in clause.codes}
    good = [resource(each) for each in GOOD]
    passed = {
        each.clause.number
        for each in answered(good, looked_at(good, ASKED))
        if each.outcome is Outcome.PASS
    }
    assert {"4.2.2", "4.2.3", "4.3.3", "4.3.5", "4.4.1", "4.4.2"} <= passed
