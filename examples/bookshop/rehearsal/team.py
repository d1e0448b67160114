"""What the team of the bookshop has on AWS already, and what its people do there by hand."""

from __future__ import annotations

from typing import Any

import boto3

BUCKET = "bookshop-pictures"
CLUSTER = "bookshop"
SERVICE = "bookshop-web"
PASSWORD = "/bookshop/database-password"


class Amazon:
    """A load balancer with a rule over two target groups, a bucket, a parameter, a cluster."""

    def __init__(self, region: str, port: int, database_password: str) -> None:
        self.elb = boto3.client("elbv2")
        self.ecs = boto3.client("ecs")
        boto3.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": region}
        )
        boto3.client("ssm").put_parameter(
            Name=PASSWORD, Value=database_password, Type="SecureString"
        )
        subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]
        self.old_group = self._group(
            "bookshop-ec2", 80, subnet["VpcId"], {"stickiness.enabled": "true"}
        )
        self.new_group = self._group("bookshop-ecs", 8080, subnet["VpcId"], {})
        self.rule = self._rule(subnet["SubnetId"], port)
        self.ecs.create_cluster(clusterName=CLUSTER)

    def _rule(self, subnet: str, port: int) -> str:
        balancer = self.elb.create_load_balancer(Name="bookshop", Subnets=[subnet])
        listener = self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
            Protocol="HTTP",
            Port=port,
            DefaultActions=[_NOBODY],
        )
        rule = self.elb.create_rule(
            ListenerArn=listener["Listeners"][0]["ListenerArn"],
            Priority=10,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=self._forward(999, 0),
            Tags=[{"Key": "Name", "Value": "main"}],
        )
        return str(rule["Rules"][0]["RuleArn"])

    def _group(self, name: str, port: int, vpc: str, attributes: dict[str, str]) -> str:
        made = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=port,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=4,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )
        arn = str(made["TargetGroups"][0]["TargetGroupArn"])
        wanted = {"deregistration_delay.timeout_seconds": "30", **attributes}
        self.elb.modify_target_group_attributes(
            TargetGroupArn=arn,
            Attributes=[{"Key": key, "Value": value} for key, value in wanted.items()],
        )
        return arn

    def _forward(self, old: int, new: int) -> list[dict[str, Any]]:
        groups = [
            {"TargetGroupArn": self.old_group, "Weight": old},
            {"TargetGroupArn": self.new_group, "Weight": new},
        ]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]

    def turn_the_weights(self, old: int, new: int) -> None:
        """As somebody does by hand in the AWS console."""
        self.elb.modify_rule(RuleArn=self.rule, Actions=self._forward(old, new))

    def weights(self) -> tuple[int, int]:
        """Of the old and of the new side."""
        action = self.elb.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"][0]
        weight = {
            group["TargetGroupArn"]: int(group["Weight"])
            for group in action["ForwardConfig"]["TargetGroups"]
        }
        return weight[self.old_group], weight[self.new_group]

    def states(self, group: str) -> list[str]:
        """Of every target of a group: healthy, initial, draining ..."""
        found = self.elb.describe_target_health(TargetGroupArn=group)
        return sorted(
            target["TargetHealth"]["State"] for target in found["TargetHealthDescriptions"]
        )

    def tasks(self) -> list[str]:
        """ARNs of the new side's running tasks."""
        found = self.ecs.list_tasks(cluster=CLUSTER, serviceName=SERVICE)
        return sorted(found["taskArns"])


_NOBODY = {
    "Type": "fixed-response",
    "FixedResponseConfig": {
        "StatusCode": "404",
        "ContentType": "text/plain",
        "MessageBody": "no such shop",
    },
}
