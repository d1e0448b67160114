"""What a task will need of AWS, asked for one by one before it starts.

Each function answers plainly or raises AwsRefused, NotThere, AwsUnreachable, ReadOnly.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told

Plain = dict[str, Any]
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def trust_policy(aws: Aws, role: str) -> Plain:
    """Who may become this role."""
    with told():
        found = aws.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return dict(json.loads(unquote(found)) if isinstance(found, str) else found)


def secret_keys(aws: Aws, arn: str, stage: str = "", version: str = "") -> frozenset[str] | None:
    """The keys of a secret that holds JSON; None: it holds something else."""
    more = {"VersionStage": stage} if stage else {}
    more |= {"VersionId": version} if version else {}
    with told():
        answer = aws.client("secretsmanager").get_secret_value(SecretId=arn, **more)
    try:
        found = json.loads(answer.get("SecretString", ""))
    except ValueError:
        return None
    return frozenset(found) if isinstance(found, dict) else None


def missing_parameters(aws: Aws, names: Sequence[str]) -> list[str]:
    """Of SSM; those that are not there."""
    with told():
        answer = aws.client("ssm").get_parameters(Names=list(names), WithDecryption=True)
    return list(answer.get("InvalidParameters", []))


def put_log_line(
    aws: Aws,
    group: str,
    stream: str,
    line: str,
    create_group: bool,
) -> None:
    """Make a stream and write one line to it; ``create_group``: make the group, too, if it is not
    there."""
    with told():
        logs = aws.client("logs")
        try:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        except logs.exceptions.ResourceNotFoundException:
            # As the driver does it: who finds the group there need not be allowed to make one.
            if not create_group:
                raise
            _create_group(logs, group)
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"message": line, "timestamp": round(time.time() * 1000)}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])


def _create_group(logs: Any, group: str) -> None:
    try:
        logs.create_log_group(logGroupName=group)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass


def object_is_there(aws: Aws, bucket: str, key: str) -> None:
    with told():
        aws.client("s3").head_object(Bucket=bucket, Key=key)


def target_group(aws: Aws, arn: str) -> Plain:
    """Raises NotThere, too, where AWS answers none."""
    with told():
        found = aws.client("elbv2").describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    if not found:
        raise NotThere("DescribeTargetGroups", "TargetGroupNotFound", f"there is no {arn}")
    return dict(found[0])


def deregistration_delay_s(aws: Aws, arn: str) -> float | None:
    """None: AWS does not say."""
    with told():
        rows = aws.client("elbv2").describe_target_group_attributes(TargetGroupArn=arn)
    values = {row["Key"]: row["Value"] for row in rows["Attributes"]}
    found = values.get("deregistration_delay.timeout_seconds")
    return None if found is None else float(found)


def leads_to(aws: Aws, arn: str) -> frozenset[str]:
    """The target groups that a rule, or a listener by default, forwards to.  Raises NotThere."""
    client = aws.client("elbv2")
    with told():
        if ":listener-rule/" in arn:
            actions = client.describe_rules(RuleArns=[arn])["Rules"][0]["Actions"]
        else:
            listener = client.describe_listeners(ListenerArns=[arn])["Listeners"][0]
            actions = listener["DefaultActions"]
    found = {action["TargetGroupArn"] for action in actions if action.get("TargetGroupArn")}
    for action in actions:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups", ())
        found |= {group["TargetGroupArn"] for group in groups}
    return frozenset(found)


def function_state(aws: Aws, arn: str) -> str:
    """Of a Lambda function.  Raises NotThere."""
    with told():
        found = aws.client("lambda").get_function_configuration(FunctionName=arn)
    return str(found.get("State", "Active"))


def alarm_states(aws: Aws, names: Sequence[str]) -> dict[str, str]:
    """Of those CloudWatch alarms that are there, composite ones too."""
    with told():
        found = aws.client("cloudwatch").describe_alarms(
            AlarmNames=list(names),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        )
    rows = [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]
    return {row["AlarmName"]: row["StateValue"] for row in rows}


def balancer_groups(aws: Aws, arns: Sequence[str]) -> frozenset[str]:
    """The security groups of load balancers."""
    with told():
        rows = aws.client("elbv2").describe_load_balancers(LoadBalancerArns=list(arns))
    return frozenset(
        each for row in rows["LoadBalancers"] for each in row.get("SecurityGroups", ())
    )


def cluster(aws: Aws, name: str) -> Plain | None:
    """None: there is no active one."""
    with told():
        found = aws.client("ecs").describe_clusters(clusters=[name])["clusters"]
    return next((dict(each) for each in found if each["status"] == "ACTIVE"), None)


def subnets(aws: Aws, names: Sequence[str]) -> list[Plain]:
    with told():
        return list(aws.client("ec2").describe_subnets(SubnetIds=list(names))["Subnets"])


def security_groups(aws: Aws, names: Sequence[str]) -> list[Plain]:
    with told():
        found = aws.client("ec2").describe_security_groups(GroupIds=list(names))
        return list(found["SecurityGroups"])


def file_system(aws: Aws, name: str) -> Plain:
    """Of EFS.  Raises NotThere, too, where AWS answers none."""
    with told():
        found = aws.client("efs").describe_file_systems(FileSystemId=name)["FileSystems"]
    if not found:
        raise NotThere("DescribeFileSystems", "FileSystemNotFound", f"there is no {name}")
    return dict(found[0])


def namespaces(aws: Aws) -> frozenset[str]:
    """Names and ARNs of Cloud Map's namespaces."""
    with told():
        pages = aws.client("servicediscovery").get_paginator("list_namespaces").paginate()
        rows = [row for page in pages for row in page["Namespaces"]]
    return frozenset([row["Name"] for row in rows] + [row["Arn"] for row in rows])


def scalable_floor(aws: Aws, cluster_name: str, service: str) -> int | None:
    """The least number of tasks that autoscaling keeps; None: nobody scales the service."""
    with told():
        found = aws.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[f"service/{cluster_name}/{service}"]
        )["ScalableTargets"]
    return int(found[0]["MinCapacity"]) if found else None


def ecr_manifest(aws: Aws, registry: str, repository: str, image: Mapping[str, str]) -> Plain:
    """``image``: ``imageTag`` or ``imageDigest``.  Raises NotThere."""
    with told():
        answer = aws.client("ecr").batch_get_image(
            registryId=registry,
            repositoryName=repository,
            imageIds=[dict(image)],
            acceptedMediaTypes=list(_MANIFESTS),
        )
    if not answer["images"]:
        why = "; ".join(each.get("failureReason", "") for each in answer.get("failures", ()))
        raise NotThere("BatchGetImage", "ImageNotFound", why or "there is no such image")
    return dict(json.loads(answer["images"][0]["imageManifest"]))
