#!/bin/sh
# What gates and cron scripts of 2023 do with an AWS CLI of that year: queues and figures go by its older protocols.  $1: name.
set -eu
name=$1
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
expect() { [ "$1" = "$2" ] || { echo "expected '$2', found '$1'" >&2; exit 1; }; }

queue=$(aws sqs create-queue --queue-name "$name" --attributes VisibilityTimeout=60 --query QueueUrl --output text)
aws sqs send-message --queue-url "$queue" --message-body hello --query MD5OfMessageBody --output text
found=$(aws sqs receive-message --queue-url "$queue" --attribute-names ApproximateReceiveCount --wait-time-seconds 5 \
    --query 'Messages[0].[Body, Attributes.ApproximateReceiveCount]' --output text)
expect "$found" "$(printf 'hello\t1')"
expect "$(aws sqs get-queue-attributes --queue-url "$queue" --attribute-names ApproximateNumberOfMessagesNotVisible \
    --query 'Attributes.ApproximateNumberOfMessagesNotVisible' --output text)" 1
aws sqs delete-queue --queue-url "$queue"
if aws sqs get-queue-url --queue-name "$name-nowhere" 2>"/tmp/$name.err"; then exit 1; fi
grep -q NonExistentQueue "/tmp/$name.err"; rm "/tmp/$name.err"

aws ecs create-cluster --cluster-name "$name" --query cluster.status --output text
expect "$(aws ecs describe-clusters --clusters "$name" --query 'clusters[0].status' --output text)" ACTIVE
aws ecs delete-cluster --cluster "$name" --query cluster.status --output text

subnet=$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)
balancer=$(aws elbv2 create-load-balancer --name "$name" --subnets "$subnet" --query 'LoadBalancers[0].LoadBalancerArn' --output text)
aws elbv2 wait load-balancer-available --load-balancer-arns "$balancer"
# Figures of every second that was counted: a gate that got none would see no error.
aws cloudwatch list-metrics --namespace AWS/ApplicationELB --query 'length(Metrics)' --output text
aws cloudwatch get-metric-statistics --namespace AWS/ApplicationELB --metric-name RequestCount --statistics Sum --period 60 \
    --start-time 2026-01-01T00:00:00Z --end-time 2026-01-01T00:10:00Z \
    --dimensions "Name=LoadBalancer,Value=${balancer##*loadbalancer/}" --query Label --output text | grep -qx RequestCount
aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
