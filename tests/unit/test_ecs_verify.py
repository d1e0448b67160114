"""Each check of `ecs verify` says OK, NG or SKIP for what it is: by itself, and without a word too
many."""

from __future__ import annotations

import json
import re
import threading
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kirikae.console.ecs import of_checks
from kirikae.console.speech import Speech
from kirikae.model.said import Words
from kirikae.release.ecs import verify
from kirikae.release.ecs.comparing import Loaded
from kirikae.release.ecs.config import EcsConfig
from kirikae.release.ecs.loading import Definition
from kirikae.release.ecs.reading import Surroundings
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import Result
from kirikae.release.ecs.verify.whole import verified
from tests.answering import AnsweringAws, Refusal

WORDS = Words.of("kirikae.release")
ROLE = "arn:aws:iam::123456789012:role/service/execution"
GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/1"
BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/1"
RULE = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/1/2/3"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-AbCdEf"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/password"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop:r1"
EBS = "arn:aws:iam::123456789012:role/ebs"
TASK = {
    "family": "shop",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "executionRoleArn": ROLE,
    "taskRoleArn": "runs",
    "containerDefinitions": [
        {
            "name": "app",
            "image": ECR,
            "portMappings": [{"containerPort": 8080}],
            "secrets": [
                {"name": "KEY", "valueFrom": f"{SECRET}:key::"},
                {"name": "PASSWORD", "valueFrom": PARAMETER},
            ],
            "environment": [{"name": "PLAIN", "value": "1"}],
            "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/a.env"}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "shop",
                    "awslogs-region": "us-east-1",
                    "awslogs-create-group": "true",
                },
            },
        },
        {"name": "side", "image": ECR, "logConfiguration": {"logDriver": "splunk"}},
    ],
    "volumes": [{"name": "files", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
}
SERVICE = {
    "desiredCount": 2,
    "networkConfiguration": {
        "awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}
    },
    "loadBalancers": [
        {
            "targetGroupArn": GROUP,
            "containerName": "app",
            "containerPort": 8080,
            "advancedConfiguration": {
                "alternateTargetGroupArn": f"{GROUP}2",
                "productionListenerRule": RULE,
                "testListenerRule": f"{RULE}2",
                "roleArn": EBS,
            },
        },
    ],
    "deploymentConfiguration": {
        "strategy": "BLUE_GREEN",
        "lifecycleHooks": [
            {
                "hookTargetArn": "arn:aws:lambda:eu-west-1:123456789012:function:smoke",
                "roleArn": EBS,
                "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
            }
        ],
        "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
    },
    "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}],
    "volumeConfigurations": [{"name": "data", "managedEBSVolume": {"roleArn": EBS}}],
    "serviceConnectConfiguration": {"enabled": True, "namespace": "inside"},
}


def trusts(*services, action="sts:AssumeRole"):
    statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": action}
    return {"Role": role(json.dumps({"Statement": statement}))}


def role(policy):
    return {
        "Path": "/",
        "RoleName": "x",
        "RoleId": "AROA1234567890123456",
        "Arn": ROLE,
        "CreateDate": "2026-11-28T00:00:00Z",
        "AssumeRolePolicyDocument": policy,
    }


def manifests(*platforms):
    rows = [
        {"platform": dict(zip(("os", "architecture"), each, strict=True))} for each in platforms
    ]
    return {"images": [{"imageManifest": json.dumps({"manifests": rows})}]}


def reaches(**rule):
    permission = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, **rule}
    return {"SecurityGroups": [{"GroupId": "sg-1", "VpcId": "v", "IpPermissions": [permission]}]}


FROM_BALANCER = {"UserIdGroupPairs": [{"GroupId": "sg-balancer"}]}
ANSWERS = {
    "GetRole": trusts("ecs-tasks.amazonaws.com", "ecs.amazonaws.com"),
    "BatchGetImage": manifests(("linux", "amd64"), ("linux", "arm64")),
    "GetSecretValue": {"SecretString": '{"key": "x"}'},
    "GetParameters": {"Parameters": []},
    "CreateLogStream": {},
    "CreateLogGroup": {},
    "PutLogEvents": {},
    "HeadObject": {},
    "DescribeTargetGroups": {
        "TargetGroups": [{"TargetType": "ip", "LoadBalancerArns": [BALANCER]}]
    },
    "DescribeTargetGroupAttributes": {
        "Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
    },
    "DescribeRules": {"Rules": [{"Actions": [{"Type": "forward", "TargetGroupArn": GROUP}]}]},
    "GetFunctionConfiguration": {"State": "Active"},
    "DescribeAlarms": {"MetricAlarms": [{"AlarmName": "errors", "StateValue": "OK"}]},
    "DescribeLoadBalancers": {"LoadBalancers": [{"SecurityGroups": ["sg-balancer"]}]},
    "DescribeSecurityGroups": reaches(**FROM_BALANCER),
    "DescribeSubnets": {"Subnets": [{"VpcId": "v", "AvailabilityZone": "a"}]},
    "ListNamespaces": {"Namespaces": [{"Name": "inside", "Arn": "arn:x"}]},
    "DescribeClusters": {"clusters": [{"status": "ACTIVE", "capacityProviders": ["FARGATE"]}]},
    "DescribeScalableTargets": {"ScalableTargets": []},
    "DescribeFileSystems": {"FileSystems": []},
}
FILE_SYSTEM = {
    "OwnerId": "1",
    "CreationToken": "1",
    "FileSystemId": "fs-1",
    "CreationTime": "2026-11-28T00:00:00Z",
    "LifeCycleState": "available",
    "NumberOfMountTargets": 1,
    "SizeInBytes": {"Value": 1},
    "PerformanceMode": "generalPurpose",
    "Tags": [],
}
ANSWERS["DescribeFileSystems"] = {"FileSystems": [FILE_SYSTEM]}
SCALED = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/books/shop",
    "ScalableDimension": "ecs:service:DesiredCount",
    "MaxCapacity": 9,
    "RoleARN": ROLE,
    "CreationTime": "2026-11-28T00:00:00Z",
}
DENIED = Refusal("AccessDeniedException", "not you")


@pytest.fixture(scope="module")
def aws():
    """One session of botocore for all cases: its models are read once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "x")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    yield AnsweringAws(ANSWERS)
    patch.undo()


def bench_of(aws, task=TASK, service=SERVICE, **more):
    here = Path("ecspresso.yml")
    around = Surroundings({})
    config = EcsConfig(here, "eu-west-1", "books", "shop", None, None, None, around)
    own = (
        None if service is None else Definition(Path("s.json"), {**service, "serviceName": "shop"})
    )
    loaded = Loaded(Definition(Path("t.json"), task), own)
    return Bench(config, loaded, aws, lambda _: aws, **more)


def found(aws, answers=None, task=TASK, service=SERVICE, **more):
    """By name, how each check ended."""
    aws.answers = {**ANSWERS, **(answers or {})}
    aws.asked.clear()
    bench = bench_of(aws, task, service, **more)
    rows = [each for checked in verified(bench, remembers=False) for each in checked.all()]
    return {each.name: each.said for each in rows}


def changed(plain, place, value):
    """A copy with another value at this place (``a.0.b``); ``...``: without it."""
    copy = deepcopy(plain)
    inside = copy
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in way:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return copy


def kind_of(name):
    """Of a check, without what it is asked of."""
    return re.split(r"[\[ ]", name)[0]


def told(reply):
    """In English."""
    return WORDS.say(reply.message)


def of(results, start):
    return next(said for name, said in results.items() if name.startswith(start))


def test_where_everything_is_right_nothing_is_ng(aws):
    """Every check is carried out, and those that cannot be asked here say so."""
    results = found(aws)
    assert {name: said for name, said in results.items() if said.result is Result.NG} == {}
    skipped = {name for name, said in results.items() if said.result is Result.SKIP}
    assert skipped == {"AutoScaling"}
    kinds = {kind_of(name) for name in results}
    assert kinds == {kind_of(check) for check, _, ends, _ in CASES if ends == "NG"}


APP = "containerDefinitions.0"
CASES = [
    # check, what is otherwise (file: place and value; or operation: answer), how it ends, why
    ("TaskDefinition", {"family": ...}, "NG", "family is missing"),
    ("TaskDefinition", {f"{APP}.secrets.0.name": "PLAIN"}, "NG", "stands in `secrets` and in"),
    ("TaskDefinition", {f"{APP}.portMappings": "80"}, "NG", "portMappings must be a list"),
    ("ExecutionRole", {"GetRole": Refusal("NoSuchEntity")}, "NG", "NoSuchEntity"),
    ("ExecutionRole", {"GetRole": trusts("ec2.amazonaws.com")}, "NG", "does not let ecs-tasks"),
    (
        "ExecutionRole",
        {"GetRole": trusts("ecs-tasks.amazonaws.com", action=["sts:assume*"])},
        "OK",
        "",
    ),
    (
        "ExecutionRole",
        {"GetRole": trusts("ecs-tasks.amazonaws.com", action="sts:Tag")},
        "NG",
        "does not",
    ),
    ("ExecutionRole", {"executionRoleArn": "execution"}, "NG", "is no ARN of a role"),
    ("ExecutionRole", {"GetRole": Refusal("AccessDenied")}, "SKIP", "may not be asked"),
    ("ExecutionRole", {"GetRole": Refusal("Throttling")}, "SKIP", "not known"),
    ("TaskRole", {"GetRole": trusts("ec2.amazonaws.com")}, "NG", "does not let ecs-tasks"),
    ("TaskRole", {"taskRoleArn": "arn:aws:iam::1:user/x"}, "NG", "is no ARN of a role"),
    ("TaskRole", {"GetRole": Refusal("AccessDenied")}, "SKIP", "may not be asked"),
    (
        "ContainerDefinition[app]",
        {f"{APP}.portMappings.0.hostPort": 80},
        "NG",
        "hostPort 80 must be",
    ),
    ("ContainerDefinition[app]", {f"{APP}.stopTimeout": 121}, "NG", "after 120 s"),
    ("ContainerDefinition[app]", {"GetParameters": {"InvalidParameters": ["x"]}}, "NG", "inside"),
    ("Image", {"BatchGetImage": manifests(("linux", "arm64"))}, "NG", "only for linux/arm64"),
    ("Image", {"BatchGetImage": {"images": [], "failures": []}}, "NG", "there is no such image"),
    ("Image", {"BatchGetImage": Refusal("RepositoryNotFoundException")}, "NG", "Repository"),
    ("Image", {"runtimePlatform": {"cpuArchitecture": "ARM64"}}, "OK", ""),
    ("Image", {"BatchGetImage": {"images": [{"imageManifest": "{}"}]}}, "OK", "a single image"),
    ("Image", {"BatchGetImage": DENIED}, "SKIP", "may not be asked"),
    ("Secret KEY", {"GetSecretValue": {"SecretString": "{}"}}, "NG", "has no key key"),
    ("Secret KEY", {"GetSecretValue": {"SecretString": "word"}}, "NG", "no JSON object"),
    ("Secret KEY", {"GetSecretValue": {"SecretBinary": b"\0"}}, "NG", "no JSON object"),
    ("Secret KEY", {"GetSecretValue": Refusal("ResourceNotFoundException")}, "NG", "NotFound"),
    ("Secret KEY", {f"{APP}.secrets.0.valueFrom": "arn:aws:secretsmanager:x"}, "NG", "no ARN"),
    ("Secret KEY", {"GetSecretValue": DENIED}, "SKIP", "may not be asked"),
    (
        "Secret PASSWORD",
        {"GetParameters": {"InvalidParameters": [PARAMETER]}},
        "NG",
        "no parameter",
    ),
    ("Secret PASSWORD", {"GetParameters": DENIED}, "SKIP", "may not be asked"),
    (
        "LogConfiguration[awslogs",
        {f"{APP}.logConfiguration.options.awslogs-group": ...},
        "NG",
        "required",
    ),
    (
        "LogConfiguration[awslogs",
        {"CreateLogStream": Refusal("ResourceNotFoundException"), "CreateLogGroup": DENIED},
        "SKIP",
        "may not be asked",
    ),
    ("LogConfiguration[awslogs", {"CreateLogGroup": DENIED}, "OK", ""),
    (
        "LogConfiguration[awslogs",
        {
            f"{APP}.logConfiguration.options.awslogs-create-group": "false",
            "CreateLogStream": Refusal("ResourceNotFoundException"),
        },
        "NG",
        "NotFound",
    ),
    ("LogConfiguration[splunk", {}, "OK", "where splunk sends it is not asked"),
    (
        "LogConfiguration[syslog",
        {"containerDefinitions.1.logConfiguration.logDriver": "syslog"},
        "NG",
        "only",
    ),
    (
        "LogConfiguration[awsfirelens",
        {"containerDefinitions.1.logConfiguration.logDriver": "awsfirelens"},
        "NG",
        "nobody routes",
    ),
    ("EnvironmentFile", {"HeadObject": Refusal("404", status=404)}, "NG", "404"),
    ("EnvironmentFile", {"HeadObject": Refusal("403", status=403)}, "SKIP", "may not be asked"),
    ("EnvironmentFile", {f"{APP}.environmentFiles.0.value": "s3://bucket/a"}, "NG", "is no ARN"),
    ("EnvironmentFile", {f"{APP}.environmentFiles.0.type": "efs"}, "SKIP", "not looked at"),
    ("ServiceDefinition", {"networkConfiguration": ...}, "NG", "is required for the network mode"),
    ("ServiceDefinition", {"desiredCount": "2"}, "NG", "desiredCount must be a whole number"),
    (
        "LoadBalancer",
        {"loadBalancers.0.containerPort": 80},
        "NG",
        "is not defined in task definition",
    ),
    ("LoadBalancer", {"loadBalancers.0.targetGroupArn": ...}, "SKIP", "names no target group"),
    ("LoadBalancer", {"DescribeTargetGroups": {"TargetGroups": []}}, "NG", "there is no arn"),
    (
        "LoadBalancer",
        {"DescribeTargetGroups": {"TargetGroups": [{"TargetType": "instance"}]}},
        "NG",
        "need ip",
    ),
    (
        "LoadBalancer",
        {"DescribeTargetGroups": {"TargetGroups": [{"TargetType": "ip"}]}},
        "NG",
        "no listener",
    ),
    (
        "LoadBalancer",
        {"DescribeSecurityGroups": reaches(ToPort=8079, FromPort=1)},
        "NG",
        "not reach port",
    ),
    (
        "LoadBalancer",
        {"DescribeSecurityGroups": reaches(PrefixListIds=[{"PrefixListId": "pl-1"}])},
        "OK",
        "",
    ),
    (
        "LoadBalancer",
        {"DescribeSecurityGroups": reaches(IpRanges=[{"CidrIp": "10.0.0.0/8"}])},
        "OK",
        "",
    ),
    ("LoadBalancer", {"DescribeTargetGroups": DENIED}, "SKIP", "may not be asked"),
    (
        "VolumeConfigurations",
        {"GetRole": trusts("ecs-tasks.amazonaws.com")},
        "NG",
        "does not let ecs.",
    ),
    (
        "VolumeConfigurations",
        {"volumeConfigurations.0.managedEBSVolume.roleArn": ...},
        "NG",
        "missing",
    ),
    ("VolumeConfigurations", {"GetRole": Refusal("AccessDenied")}, "SKIP", "may not be asked"),
    ("Network", {"DescribeSubnets": {"Subnets": [{"VpcId": "w"}]}}, "NG", "several VPCs: v, w"),
    ("Network", {"DescribeSubnets": Refusal("InvalidSubnetID.NotFound")}, "NG", "NotFound"),
    ("Network", {"DescribeSubnets": Refusal("UnauthorizedOperation")}, "SKIP", "may not be asked"),
    (
        "ServiceConnect",
        {"ListNamespaces": {"Namespaces": []}},
        "NG",
        "there is no namespace inside",
    ),
    ("ServiceConnect", {"ListNamespaces": DENIED}, "SKIP", "may not be asked"),
    (
        "CapacityProviders",
        {"DescribeClusters": {"clusters": [{"status": "ACTIVE"}]}},
        "NG",
        "not attached",
    ),
    (
        "CapacityProviders",
        {"DescribeClusters": {"clusters": []}},
        "SKIP",
        "the cluster is not there",
    ),
    (
        "AdvancedConfiguration",
        {"loadBalancers.0.advancedConfiguration.alternateTargetGroupArn": GROUP},
        "NG",
        "two target groups that differ",
    ),
    (
        "AdvancedConfiguration",
        {"loadBalancers.0.advancedConfiguration.productionListenerRule": ...},
        "NG",
        "productionListenerRule is missing",
    ),
    (
        "AdvancedConfiguration",
        {"DescribeRules": {"Rules": [{"Actions": [{"Type": "forward", "TargetGroupArn": "x"}]}]}},
        "NG",
        "forwards to neither",
    ),
    ("AdvancedConfiguration", {"DescribeRules": Refusal("RuleNotFound")}, "NG", "RuleNotFound"),
    ("AdvancedConfiguration", {"DescribeRules": DENIED}, "SKIP", "may not be asked"),
    (
        "AdvancedConfiguration",
        {"GetRole": trusts("ecs-tasks.amazonaws.com")},
        "NG",
        "does not let ecs.",
    ),
    (
        "LifecycleHook",
        {"GetFunctionConfiguration": Refusal("ResourceNotFoundException")},
        "NG",
        "NotFound",
    ),
    ("LifecycleHook", {"GetFunctionConfiguration": {"State": "Failed"}}, "NG", "is Failed"),
    ("LifecycleHook", {"GetFunctionConfiguration": DENIED}, "SKIP", "may not be asked"),
    (
        "LifecycleHook",
        {"deploymentConfiguration.lifecycleHooks.0.hookTargetArn": ...},
        "NG",
        "hookTargetArn is missing",
    ),
    (
        "LifecycleHook",
        {"deploymentConfiguration.lifecycleHooks.0.targetType": "PAUSE"},
        "SKIP",
        "pauses until somebody",
    ),
    ("DeploymentAlarms", {"DescribeAlarms": {"MetricAlarms": []}}, "NG", "no alarm errors"),
    (
        "DeploymentAlarms",
        {"DescribeAlarms": {"MetricAlarms": [{"AlarmName": "errors", "StateValue": "ALARM"}]}},
        "NG",
        "in ALARM now: errors",
    ),
    (
        "DeploymentAlarms",
        {"DescribeAlarms": {"CompositeAlarms": [{"AlarmName": "errors", "StateValue": "OK"}]}},
        "OK",
        "errors: OK",
    ),
    ("DeploymentAlarms", {"DescribeAlarms": DENIED}, "SKIP", "may not be asked"),
    (
        "RollingUpdate",
        {"deploymentConfiguration": {"maximumPercent": 100}},
        "NG",
        "would never move",
    ),
    (
        "RollingUpdate",
        {"deploymentController": {"type": "CODE_DEPLOY"}},
        "SKIP",
        "CODE_DEPLOY moves",
    ),
    ("RollingUpdate", {"desiredCount": 0}, "SKIP", "will start nothing"),
    ("RollingUpdate", {"desiredCount": ...}, "SKIP", "not in the file"),
    (
        "AutoScaling",
        {"DescribeScalableTargets": {"ScalableTargets": [{**SCALED, "MinCapacity": 3}]}},
        "NG",
        "below the 3",
    ),
    (
        "AutoScaling",
        {"DescribeScalableTargets": {"ScalableTargets": [{**SCALED, "MinCapacity": 2}]}},
        "OK",
        "",
    ),
    ("TaskSize", {"cpu": "300"}, "NG", "300"),
    ("TaskSize", {"cpu": "x vCPU"}, "NG", "Fargate needs `cpu` and `memory`"),
    ("TaskSize", {"cpu": "0.25 vCPU", "memory": "0.5 GB"}, "OK", ""),
    ("DefinitionSize", {f"{APP}.environment.0.value": "x" * 65536}, "NG", "AWS takes 65,536"),
    (
        "FileSystem",
        {"DescribeFileSystems": {"FileSystems": [{**FILE_SYSTEM, "LifeCycleState": "deleting"}]}},
        "NG",
        "is deleting",
    ),
    ("FileSystem", {"DescribeFileSystems": Refusal("FileSystemNotFound")}, "NG", "NotFound"),
    ("FileSystem", {"DescribeFileSystems": DENIED}, "SKIP", "may not be asked"),
    (
        "Cluster",
        {"DescribeClusters": {"clusters": [{"status": "INACTIVE"}]}},
        "NG",
        "no active cluster",
    ),
    ("Cluster", {"DescribeClusters": DENIED}, "SKIP", "may not be asked"),
]


@pytest.mark.parametrize(("check", "otherwise", "ends", "why"), CASES)
def test_one_thing_otherwise_is_told_by_the_check_whose_thing_it_is(
    aws, check, otherwise, ends, why
):
    """With the reason; the others go on."""
    task, service, answers = TASK, SERVICE, {}
    for place, value in otherwise.items():
        first = place.partition(".")[0]
        if place in ANSWERS:
            answers[place] = value
        elif first in TASK or first == "runtimePlatform":
            task = changed(task, place, value)
        else:
            service = changed(service, place, value)
    said = of(found(aws, answers, task, service), check)
    assert (said.result, why in told(said)) == (ends, True), said


@pytest.mark.parametrize("operation", sorted(ANSWERS))
def test_what_may_not_be_asked_is_never_called_wrong(aws, operation):
    """With one's own credentials a refusal says nothing of the task."""
    results = found(aws, {operation: DENIED})
    assert {name for name, said in results.items() if said.result is Result.NG} == set()


@pytest.mark.parametrize(
    ("operation", "check"),
    [
        ("BatchGetImage", "Image"),
        ("GetSecretValue", "Secret KEY"),
        ("GetParameters", "Secret PASSWORD"),
        ("PutLogEvents", "LogConfiguration[awslogs"),
    ],
)
def test_what_the_execution_role_itself_may_not_do_is_wrong(aws, operation, check):
    """The task could not do it either, and would not start."""
    said = of(found(aws, {operation: DENIED}, execution_role=ROLE), check)
    assert (said.result, told(said).startswith(f"{ROLE} may not")) == (Result.NG, True), said


def test_a_secret_is_asked_for_by_its_own_name_and_in_its_own_region(aws):
    """From an ARN one cannot tell whether the name begins with a slash; it may lie elsewhere."""
    regions = []

    def of_region(region):
        regions.append(region)
        return aws

    aws.answers = dict(ANSWERS)
    aws.asked.clear()
    bench = bench_of(aws)
    object.__setattr__(bench, "execution_of_region", of_region)
    list(verified(bench))
    asked = dict(aws.asked)
    assert asked["GetParameters"]["Names"] == [PARAMETER]
    assert asked["GetSecretValue"] == {"SecretId": SECRET}
    assert set(regions) == {"us-east-1"}


@pytest.mark.parametrize(
    ("option", "check"),
    [("gets_secrets", "Secret KEY"), ("puts_logs", "LogConfiguration[awslogs")],
)
def test_what_shall_not_be_tried_out_is_skipped(aws, option, check):
    """And nothing is asked."""
    said = of(found(aws, **{option: False}), check)
    assert said.result is Result.SKIP
    names = {name for name, _ in aws.asked}
    assert not names & {"gets_secrets": {"GetParameters", "GetSecretValue"}}.get(
        option, {"CreateLogStream", "PutLogEvents"}
    )


def test_a_task_definition_alone_has_no_service_to_look_at(aws):
    """The rest is asked."""
    results = found(aws, service=None)
    assert results["ServiceDefinition"].result is Result.SKIP
    assert results["TaskSize"].result is Result.OK


def test_the_same_question_is_asked_once_unless_asked_not_to(aws):
    """Two containers with one image."""
    aws.answers = dict(ANSWERS)
    for remembers, times in ((True, 1), (False, 2)):
        aws.asked.clear()
        rows = [each for one in verified(bench_of(aws), remembers) for each in one.all()]
        assert [name for name, _ in aws.asked].count("BatchGetImage") == times
        assert any(each.cached for each in rows) is remembers


def places(plain, at=""):
    """Every place inside of a definition."""
    rows = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in rows:
        here = f"{at}{key}"
        yield here
        if isinstance(value, dict | list):
            yield from places(value, f"{here}.")


def images_of(task):
    """Of whatever is a container."""
    rows = task["containerDefinitions"]
    found = [each for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []
    return {each["image"] for each in found if isinstance(each.get("image"), str)}


ODD = st.sampled_from([None, "", "x", 0, -1, True, [], {}, [None], [{}], {"": {}}, "arn:", 1.5])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_stands_in_the_files_every_check_ends(aws, data):
    """What has another kind of value than AWS takes is NG of the whole, never a traceback."""
    task, service = TASK, SERVICE
    odd = data.draw(ODD)
    if data.draw(st.booleans()):
        task = changed(TASK, data.draw(st.sampled_from(sorted(places(TASK)))), odd)
    else:
        service = changed(SERVICE, data.draw(st.sampled_from(sorted(places(SERVICE)))), odd)
    # An image of another name would be asked for in the world.
    assume(images_of(task) <= {ECR, ""})
    assert {"TaskDefinition", "ServiceDefinition", "Cluster"} <= set(found(aws, {}, task, service))


# --- in which language


KEY = re.compile(r'\b(ok|wrong|remedied|skipped)\(\s*"(\w+)"')


def test_every_sentence_of_a_check_is_in_the_words_and_every_word_is_said():
    """With its remedy, where it has one."""
    used = set()
    for file in Path(verify.__file__).parent.glob("*.py"):
        for how, key in KEY.findall(file.read_text()):
            used |= {key, f"{key}_do"} if how == "remedied" else {key}
    room = "release.verify."
    assert used == {key.removeprefix(room) for key in WORDS.keys("en") if key.startswith(room)}


def test_people_read_their_own_language_and_programs_read_english(aws):
    """One answer."""
    aws.answers = {**ANSWERS, "DescribeClusters": {"clusters": []}}
    rows = list(verified(bench_of(aws)))
    answer = of_checks(rows, (), Speech("ja"))
    assert answer.exit == 6
    text = "\n".join(answer.lines)
    assert "有効なクラスター books がありません: 作成するか、`cluster` を直してください" in text
    cluster = next(each for each in answer.plain["checks"] if each["verify"] == "Cluster")
    assert cluster["message"] == "there is no active cluster books"
    assert cluster["remedy"] == "create it, or correct `cluster`"


# --- images in a registry


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("/")[2]
        if name == "token":
            return self._say(200, {"token": "t"})
        if name == "private" and self.headers.get("Authorization") != "Bearer t":
            host = f"http://{self.headers['Host']}/v2/token/x"
            return self._say(401, {}, f'Bearer realm="{host}",service="s"')
        if name == "login":
            return self._say(401, {}, "Basic realm=x")
        if name == "nowhere":
            return self._say(401, {}, 'Bearer service="s"')
        codes = {"gone": 404, "busy": 429, "shut": 403, "ill": 500}
        body = [1] if name == "odd" else {"manifests": [{"platform": {"os": "linux"}}, 7]}
        if name == "private":
            body = {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}
        return self._say(codes.get(name, 200), body)

    def _say(self, code, body, challenge=None):
        self.send_response(code)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "ends", "why"),
    [
        ("private", "OK", ""),
        ("gone", "NG", "is not found in its registry"),
        ("other", "NG", "is not made for linux/amd64"),
        ("busy", "SKIP", "rate limit"),
        ("shut", "SKIP", "needs a login"),
        ("login", "SKIP", "needs a login"),
        ("nowhere", "SKIP", "where a token is had"),
        ("odd", "SKIP", "no JSON object"),
        ("ill", "SKIP", "answers 500"),
    ],
)
def test_an_image_outside_of_ecr_is_asked_for_in_its_registry(aws, registry, name, ends, why):
    """With a port in its name, with or without a token; what does not answer says nothing."""
    task = changed(TASK, f"{APP}.image", f"{registry}/{name}:r1")
    said = of(found(aws, {}, task), f"Image[{registry}")
    assert (said.result, why in told(said)) == (ends, True), said
    assert of(found(aws, {}, changed(TASK, f"{APP}.image", "")), "Image[]").result is Result.NG
