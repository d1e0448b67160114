#!/bin/sh
# The life of a service through ecs-deploy (fabfuel); it creates and deletes nothing, so the AWS CLI does that.  $1: name, $2: image.
set -eu
name=$1 image=$2 patience=$((120 * ${SLOWNESS:-1}))  # seconds: how slow this machine is now
aws ecs create-cluster --cluster-name "$name" --query cluster.status --output text
aws ecs register-task-definition --family "$name" --requires-compatibilities FARGATE --network-mode awsvpc --cpu 256 --memory 512 \
    --container-definitions "[{\"name\": \"app\", \"image\": \"$image\", \"command\": [\"sleep\", \"1000\"], \"stopTimeout\": 2, \"healthCheck\":
        {\"command\": [\"CMD-SHELL\", \"true\"], \"interval\": 5, \"timeout\": 2, \"retries\": 1}}]" --query taskDefinition.revision
aws ecs create-service --cluster "$name" --service-name app --task-definition "$name" --desired-count 1 \
    --query service.status --output text

ecs deploy "$name" app --env app COLOUR green --timeout $patience --sleep-time 1
aws ecs describe-task-definition --task-definition "$name" --query 'taskDefinition.containerDefinitions[0].environment' | grep -q green

# Without the circuit breaker: ecs-deploy takes a deployment that the breaker rolled back for a success, on AWS too (its issue 185).
if ecs deploy "$name" app --image app no-such-image:1 --timeout 60 --sleep-time 1 --rollback; then
    echo "a failing deploy was called a success" >&2; exit 1
fi
ecs scale "$name" app 2 --timeout $patience --sleep-time 1
ecs run "$name" "$name:2" 1 --command app "sh -c 'exit 0'"
ecs diff "$name" 1 2 >/dev/null
ecs scale "$name" app 0 --timeout $patience --sleep-time 1
aws ecs delete-service --cluster "$name" --service app --query service.status --output text
aws ecs wait services-inactive --cluster "$name" --services app
