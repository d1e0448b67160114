"""An AWS account of moto's in this process: what a team has before it has heard of kirikae."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws

REGION = "eu-west-1"
ACCOUNT = "123456789012"
_NO_IMAGES = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
"""moto makes more than a thousand for each region, which takes longer than any test here."""


@contextmanager
def empty_cloud() -> Iterator[None]:
    """moto answers every client of this process, and knows nothing yet."""
    with mock.patch.dict(os.environ, _NO_IMAGES), mock_aws():
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


@dataclass
class Account:
    """Load balancer `shop` with two instances behind `shop-ec2`; more by its methods."""

    balancer: str = ""
    listener: str = ""
    old: str = ""
    new: str = ""
    instances: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ec2 = client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{z}"
            )
            for n, z in ((1, "a"), (2, "b"))
        ]
        ids = [each["Subnet"]["SubnetId"] for each in self.subnets]
        elb = client("elbv2")
        made = elb.create_load_balancer(Name="shop", Subnets=ids)["LoadBalancers"][0]
        self.balancer = made["LoadBalancerArn"]
        self.old = self._group("shop-ec2", "instance", vpc)
        self.new = self._group("shop-ecs", "ip", vpc)
        self._machines(ids[0])
        self.listener = elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.old}],
        )["Listeners"][0]["ListenerArn"]

    def _group(self, name: str, kind: str, vpc: str) -> str:
        made = client("elbv2").create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=8080,
            VpcId=vpc,
            TargetType=kind,
            HealthCheckPath="/health",
            Matcher={"HttpCode": "200"},
        )
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def _machines(self, subnet: str) -> None:
        ec2 = client("ec2")
        for name in ("web1", "web2"):
            tags = [{"Key": "Name", "Value": name}]
            [row] = ec2.run_instances(
                ImageId="ami-12c6146b",
                MinCount=1,
                MaxCount=1,
                SubnetId=subnet,
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )["Instances"]
            self.instances.append(row["InstanceId"])
            self.addresses.append(row["PrivateIpAddress"])
        targets = [{"Id": each} for each in self.instances]
        client("elbv2").register_targets(TargetGroupArn=self.old, Targets=targets)

    def rule(self, name: str = "main", path: str = "/*", priority: int = 10, new: int = 0) -> str:
        """A rule of its own that forwards to both groups."""
        groups = [
            {"TargetGroupArn": self.old, "Weight": 999 - new},
            {"TargetGroupArn": self.new, "Weight": new},
        ]
        return self.rule_to(groups, name, path, priority)

    def rule_to(self, groups: list[Any], name: str, path: str = "/*", priority: int = 10) -> str:
        made = client("elbv2").create_rule(
            ListenerArn=self.listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [path]}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
            Tags=[{"Key": "Name", "Value": name}],
        )
        return str(made["Rules"][0]["RuleArn"])

    def service(self, group: str | None = None, desired: int = 2) -> None:
        """An ECS service behind the new group."""
        ecs = client("ecs")
        ecs.create_cluster(clusterName="shop")
        container = {"name": "app", "image": "shop:1", "memory": 128}
        ecs.register_task_definition(family="shop", containerDefinitions=[container])
        ecs.create_service(
            cluster="shop",
            serviceName="shop-web",
            taskDefinition="shop",
            desiredCount=desired,
            loadBalancers=[
                {"targetGroupArn": group or self.new, "containerName": "app", "containerPort": 80}
            ],
        )

    def weigh(self, old: int, new: int) -> None:
        """By hand, as somebody in the AWS console."""
        rules = client("elbv2").describe_rules(ListenerArn=self.listener)["Rules"]
        [rule] = [each for each in rules if not each["IsDefault"]]
        groups = [
            {"TargetGroupArn": self.old, "Weight": old},
            {"TargetGroupArn": self.new, "Weight": new},
        ]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        client("elbv2").modify_rule(RuleArn=rule["RuleArn"], Actions=[action])

    def run_tasks(self, count: int) -> None:
        """Targets of the new group, as a service registers them."""
        targets = [{"Id": f"10.0.2.{10 + n}", "Port": 8080} for n in range(count)]
        client("elbv2").register_targets(TargetGroupArn=self.new, Targets=targets)
