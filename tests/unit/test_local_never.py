"""What would be kept and never act is refused by name, whatever way it comes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from kirikae.local.keeper import operation, service
from kirikae.local.neveract import place_of, refusal

STACK = json.dumps({"Resources": {"C": {"Type": "AWS::ECS::Cluster"}}})
ESCAPED = STACK.replace("::", "\\u003a\\u003a")
YAML = "Resources:\n  Q:\n    Type: AWS::SQS::Queue\n"
NESTED = "Resources:\n  S:\n    Type: AWS::CloudFormation::Stack\n"
FINE = "Resources:\n  B:\n    Type: AWS::S3::Bucket\n    Properties: {BucketName: !Ref N}\n"
QUOTED = (
    'Resources:\n  Q:\n    Type: "AWS\\x3a:SQS::Queue"\n    Properties: {QueueName: !Sub "${N}"}\n'
)
ALARM = json.dumps({"Resources": {"A": {"Type": "AWS::CloudWatch::Alarm"}}})
INCLUDED = "Transform: {Name: AWS::Include, Parameters: {Location: s3://b/t.json}}\n" + FINE
TARGET = {"Arn": {"Fn::GetAtt": ["C", "Arn"]}, "EcsParameters": {"TaskCount": 1}}
RULE = json.dumps(
    {"Resources": {"R": {"Type": "AWS::Events::Rule", "Properties": {"Targets": [TARGET]}}}}
)
TOLD = "Resources:\n  S:\n    Type: AWS::SNS::Subscription\n    Properties: {Protocol: sqs}\n"
NOTIFIED = FINE.replace(
    "BucketName: !Ref N", "NotificationConfiguration: {QueueConfigurations: [{Queue: q}]}"
)
HIDDEN = [STACK, ESCAPED, YAML, QUOTED, NESTED, ALARM, INCLUDED, RULE, TOLD, NOTIFIED]
LOGGED = json.dumps(
    {
        "Resources": {
            "R": {
                "Type": "AWS::Events::Rule",
                "Properties": {"Targets": [{"Arn": "arn:aws:logs:r:1:log-group:g"}]},
            }
        }
    }
)
URLS = [
    "https://tmpl.s3.amazonaws.com/a/t.json",
    "https://tmpl.s3.eu-west-1.amazonaws.com/a/t.json",
    "https://s3.amazonaws.com/tmpl/a/t.json",
    "http://127.0.0.1:4566/tmpl/a/t.json",
    "http://tmpl.s3.amazonaws.com/a/t.json?X-Amz-Signature=1",
]


def asked(of: str, body: bytes, objects: dict[str, bytes] | None = None, **more: Any) -> str | None:
    """As the child with moto asks, of a request signed for this service."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "HTTP_AUTHORIZATION": f"AWS4 Credential=k/20260101/r/{of}/aws4_request",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        **more,
    }
    known = objects or {}
    name = operation(environ, body)
    return refusal(service(environ), name, environ, body, known.get)


def form(**of: str) -> bytes:
    return urlencode(of).encode()


def target(name: str) -> dict[str, str]:
    return {"HTTP_X_AMZ_TARGET": name}


@pytest.mark.parametrize(
    ("of", "body", "more"),
    [
        ("scheduler", b"{}", {"PATH_INFO": "/schedules/nightly"}),
        ("scheduler", b"{}", {"PATH_INFO": "/schedules/nightly", "REQUEST_METHOD": "PUT"}),
        (
            "scheduler",
            b'{"Target": {"Arn": "arn:aws:lambda:r:1:function:f"}}',
            {"PATH_INFO": "/schedules/nightly"},
        ),
        (
            "scheduler",
            b'{"Target": {"Arn": "arn:aws:lambda:r:1:function:f", '
            b'"DeadLetterConfig": {"Arn": "arn:aws:sqs:r:1:q"}}}',
            {"PATH_INFO": "/schedules/nightly"},
        ),
        (
            "scheduler",
            b'{"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ecs:runTask"}}',
            {"PATH_INFO": "/schedules/nightly"},
        ),
        ("scheduler", b"[]", {"PATH_INFO": "/schedules/nightly"}),
        (
            "events",
            b'{"Targets": [{"Arn": "arn:aws:sqs:r:1:q"}, {"Arn": "arn:aws:sns:r:1:t"}]}',
            target("AWSEvents.PutTargets"),
        ),
        (
            "events",
            b'{"Targets": [{"Arn": "arn:aws:sqs:r:1:q", "InputTransformer": {}}]}',
            target("AWSEvents.PutTargets"),
        ),
        (
            "events",
            b'{"Targets": [{"Arn": "arn:aws:lambda:r:1:function:f"}]}',
            target("AWSEvents.PutTargets"),
        ),
        ("sns", form(Action="Subscribe", Protocol="sqs"), {}),
        (
            "sns",
            form(Action="SetSubscriptionAttributes", AttributeValue="arn:aws:sqs:r:1:q"),
            {},
        ),
        ("pipes", b'{"Source": "arn:aws:sqs:r:1:q"}', {"PATH_INFO": "/v1/pipes/p"}),
        (
            "lambda",
            b'{"EventSourceArn": "arn:aws:sqs:r:1:q"}',
            {"PATH_INFO": "/2015-03-31/event-source-mappings/"},
        ),
        (
            "states",
            b'{"definition": "arn:aws:states:::ecs:runTask.sync"}',
            target("AWSStepFunctions.CreateStateMachine"),
        ),
        (
            "states",
            b'{"definition": "arn:aws:states:::aws-sdk:sqs:sendMessage"}',
            target("AWSStepFunctions.UpdateStateMachine"),
        ),
        (
            "states",
            b'{"definition": "{\\"Resource\\": \\"arn:aws:st\\\\u0061tes:::ecs:runTask\\"}"}',
            target("AWSStepFunctions.CreateStateMachine"),
        ),
        ("states", b"{}", target("AWSStepFunctions.StartExecution")),
        ("codebuild", b"{}", target("CodeBuild_20161006.StartBuild")),
        ("ssm", b"{}", target("AmazonSSM.SendCommand")),
        ("events", b"{}", target("AWSEvents.StartReplay")),
        ("tagging", b"{}", target("ResourceGroupsTaggingAPI_20170126.GetResources")),
        (
            "tagging",
            b'{"ResourceTypeFilters": ["s3", "ecs:service"]}',
            target("ResourceGroupsTaggingAPI_20170126.GetResources"),
        ),
        (
            "tagging",
            b'{"ResourceARNList": ["arn:aws:sqs:r:1:q"]}',
            target("ResourceGroupsTaggingAPI_20170126.GetResources"),
        ),
        ("tagging", b"{}", target("ResourceGroupsTaggingAPI_20170126.GetTagKeys")),
        (
            "wafv2",
            b'{"ResourceArn": "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/a/1"}',
            target("AWSWAF_20190729.AssociateWebACL"),
        ),
        ("autoscaling", form(Action="AttachLoadBalancerTargetGroups"), {}),
        (
            "autoscaling",
            form(**{"Action": "CreateAutoScalingGroup", "TargetGroupARNs.member.1": "x"}),
            {},
        ),
        (
            "s3",
            b"<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>",
            {"REQUEST_METHOD": "PUT", "QUERY_STRING": "notification"},
        ),
        ("fis", b"{}", {"PATH_INFO": "/experiments"}),
        ("codedeploy", b"{}", target("CodeDeploy_20141006.CreateDeployment")),
    ],
)
def test_what_never_acts_is_refused(of, body, more):
    """Schedules, and targets that EventBridge would not reach."""
    why = asked(of, body, **more)
    assert why is not None and "kirikae local does not" in why


@pytest.mark.parametrize(
    ("of", "body", "more"),
    [
        ("monitoring", form(Action="PutMetricData"), {}),
        ("scheduler", b"", {"PATH_INFO": "/schedules", "REQUEST_METHOD": "GET"}),
        ("events", b'{"Name": "r"}', target("AWSEvents.PutRule")),
        ("events", b'{"Targets": [{"Arn": "arn:aws:sqs:r:1:q"}]}', target("AWSEvents.PutTargets")),
        (
            "events",
            b'{"Targets": [{"Arn": "arn:aws:ecs:r:1:cluster/c"}]}',
            target("AWSEvents.PutTargets"),
        ),
        (
            "scheduler",
            b'{"Target": {"Arn": "arn:aws:sqs:r:1:q"}}',
            {"PATH_INFO": "/schedules/nightly"},
        ),
        (
            "events",
            b'{"Targets": [{"Arn": "arn:aws:logs:r:1:log-group:g"}]}',
            target("AWSEvents.PutTargets"),
        ),
        ("cloudformation", form(Action="CreateStack", TemplateBody=FINE), {}),
        ("cloudformation", form(Action="CreateStack", TemplateBody=LOGGED), {}),
        ("cloudformation", form(Action="CreateStack", TemplateBody="{"), {}),
        ("sns", form(Action="Subscribe", Protocol="https"), {}),
        ("states", b'{"definition": "{}"}', target("AWSStepFunctions.CreateStateMachine")),
        ("lambda", b"{}", {"PATH_INFO": "/2015-03-31/functions"}),
        ("fis", b"{}", {"PATH_INFO": "/experimentTemplates"}),
        ("autoscaling", form(Action="PutScalingPolicy"), {}),
        ("autoscaling", form(Action="CreateAutoScalingGroup"), {}),
        (
            "tagging",
            b'{"ResourceTypeFilters": ["s3"]}',
            target("ResourceGroupsTaggingAPI_20170126.GetResources"),
        ),
    ],
)
def test_the_rest_is_carried_out(of, body, more):
    """What moto does, it does."""
    assert asked(of, body, **more) is None


@pytest.mark.parametrize(
    "name", ["CreateStack", "UpdateStack", "CreateChangeSet", "CreateStackSet"]
)
@pytest.mark.parametrize("template", HIDDEN)
def test_stacks_of_what_we_own_are_refused_in_the_request(name, template):
    """A stack inside of a stack may hold any of it."""
    why = asked("cloudformation", form(Action=name, TemplateBody=template))
    assert why is not None and "CloudFormation stacks" in why


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("template", HIDDEN)
def test_and_where_the_template_lies_in_s3(url, template):
    """As `cloudformation deploy --s3-bucket`, SAM and the CDK send it; it once said CREATE_COMPLETE
    and nothing was there."""
    objects = {"/tmpl/a/t.json": template.encode()}
    why = asked("cloudformation", form(Action="CreateChangeSet", TemplateURL=url), objects)
    assert why is not None and "CloudFormation stacks" in why
    objects = {"/tmpl/a/t.json": FINE.encode()}
    assert asked("cloudformation", form(Action="CreateStack", TemplateURL=url), objects) is None


@pytest.mark.parametrize("name", ["AssumeRole", "AssumeRoleWithWebIdentity"])
def test_there_is_one_account(name):
    """Credentials of another one would act in this one, and say that they did there."""
    theirs = form(Action=name, RoleArn="arn:aws:iam::222222222222:role/deploy")
    why = asked("sts", theirs)
    assert why is not None and "one account, 123456789012" in why
    ours = form(Action=name, RoleArn="arn:aws:iam::123456789012:role/deploy")
    assert asked("sts", ours) is None


def test_a_template_that_is_not_there_is_told():
    """Not taken for an empty one."""
    why = asked("cloudformation", form(Action="CreateStack", TemplateURL=URLS[0]))
    assert why is not None and "cannot read the template" in why


@pytest.mark.parametrize("url", URLS)
def test_places_of_urls(url):
    """In either form."""
    assert place_of(url) == "/tmpl/a/t.json"
