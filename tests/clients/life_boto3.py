"""The life of a service behind a load balancer through boto3 and its waiters, as anybody would
write it for AWS itself."""

from __future__ import annotations

import sys
import time
from typing import Any

import boto3


def main(name: str, image: str, port: int) -> None:
    ecs = boto3.client("ecs")
    elb = boto3.client("elbv2")
    ec2 = boto3.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    balancer = elb.create_load_balancer(Name=name, Subnets=[subnet["SubnetId"]])["LoadBalancers"][
        0
    ]["LoadBalancerArn"]
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[balancer])
    group = elb.create_target_group(
        Name=name,
        Protocol="HTTP",
        Port=8000,
        VpcId=subnet["VpcId"],
        TargetType="ip",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=4,
        HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
    )
    forward: Any = [{"Type": "forward", "TargetGroupArn": group}]
    listener = elb.create_listener(
        LoadBalancerArn=balancer, Port=port, Protocol="HTTP", DefaultActions=forward
    )
    ecs.create_cluster(clusterName=name)

    def define(image: str) -> str:
        serve = "mkdir -p /www; echo ok >/www/index.html; exec httpd -f -p 8000 -h /www"
        container = {
            "name": "app",
            "image": image,
            "command": ["sh", "-c", serve],
            "portMappings": [{"containerPort": 8000}],
            "stopTimeout": 2,
        }
        return ecs.register_task_definition(  # type: ignore[no-any-return]
            family=name,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )["taskDefinition"]["taskDefinitionArn"]

    def stable() -> dict[str, Any]:
        ecs.get_waiter("services_stable").wait(
            cluster=name, services=["app"], WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        return ecs.describe_services(cluster=name, services=["app"])["services"][0]  # type: ignore[no-any-return]

    ecs.create_service(
        cluster=name,
        serviceName="app",
        taskDefinition=define(image),
        desiredCount=1,
        launchType="FARGATE",
        loadBalancers=[{"targetGroupArn": group, "containerName": "app", "containerPort": 8000}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]]}},
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )
    stable()
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})
    good = define(image)
    ecs.update_service(cluster=name, service="app", taskDefinition=good)
    assert stable()["taskDefinition"] == good
    ecs.update_service(cluster=name, service="app", taskDefinition=define("no-such-image:1"))
    while (
        ecs.list_service_deployments(cluster=name, service="app")["serviceDeployments"][0]["status"]
        != "ROLLBACK_SUCCESSFUL"
    ):
        time.sleep(0.5)
    assert stable()["taskDefinition"] == good
    ecs.update_service(cluster=name, service="app", desiredCount=2)
    assert stable()["runningCount"] == 2
    overrides = {"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 7"]}]}
    task = ecs.run_task(cluster=name, taskDefinition=good, overrides=overrides)["tasks"][0][
        "taskArn"
    ]
    ecs.get_waiter("tasks_stopped").wait(cluster=name, tasks=[task], WaiterConfig={"Delay": 1})
    assert (
        ecs.describe_tasks(cluster=name, tasks=[task])["tasks"][0]["containers"][0]["exitCode"] == 7
    )
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster=name, serviceName="app", PaginationConfig={"PageSize": 1}
    )
    assert sum(len(page["taskArns"]) for page in pages) == 2
    ecs.delete_service(cluster=name, service="app", force=True)
    ecs.get_waiter("services_inactive").wait(
        cluster=name, services=["app"], WaiterConfig={"Delay": 1}
    )
    elb.delete_listener(ListenerArn=listener["Listeners"][0]["ListenerArn"])
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    elb.delete_target_group(TargetGroupArn=group)
    ecs.delete_cluster(cluster=name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
