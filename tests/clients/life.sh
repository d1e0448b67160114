#!/bin/sh
# The life of a service through the AWS CLI, as anybody would write it for AWS itself.  $1: name, $2: image.
set -eu
name=$1 image=$2
say() { echo "$(date +%T) $*"; }
expect() { [ "$1" = "$2" ] || { echo "expected '$2', found '$1'" >&2; exit 1; }; }
define() {
    aws ecs register-task-definition --family "$name" --requires-compatibilities FARGATE --network-mode awsvpc --cpu 256 --memory 512 \
        --container-definitions "[{\"name\": \"app\", \"image\": \"$1\", \"command\": [\"sleep\", \"1000\"], \"stopTimeout\": 2, \"healthCheck\":
            {\"command\": [\"CMD-SHELL\", \"true\"], \"interval\": 5, \"timeout\": 2, \"retries\": 1}}]" \
        --query taskDefinition.taskDefinitionArn --output text
}
service() { aws ecs describe-services --cluster "$name" --services app --query "services[0].$1" --output text; }

aws ecs create-cluster --cluster-name "$name" --query cluster.status --output text
subnet=$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)
good=$(define "$image")
aws ecs create-service --cluster "$name" --service-name app --task-definition "$good" --desired-count 1 --launch-type FARGATE \
    --network-configuration "awsvpcConfiguration={subnets=[$subnet],assignPublicIp=DISABLED}" \
    --deployment-configuration 'deploymentCircuitBreaker={enable=true,rollback=true},minimumHealthyPercent=100,maximumPercent=200' \
    --query service.serviceArn --output text
say "created"; aws ecs wait services-stable --cluster "$name" --services app

next=$(define "$image")
aws ecs update-service --cluster "$name" --service app --task-definition "$next" --query service.serviceName --output text
say "deployed"; aws ecs wait services-stable --cluster "$name" --services app
expect "$(service taskDefinition)" "$next"

aws ecs update-service --cluster "$name" --service app --task-definition "$(define no-such-image:1)" --query service.status --output text
say "deployed what fails"
until [ "$(aws ecs list-service-deployments --cluster "$name" --service app --query 'serviceDeployments[0].status' --output text)" = ROLLBACK_SUCCESSFUL ]
do sleep 1; done
aws ecs wait services-stable --cluster "$name" --services app
expect "$(service taskDefinition)" "$next"

green=$(define "$image")
aws ecs update-service --cluster "$name" --service app --task-definition "$green" --query service.status --output text --deployment-configuration \
    '{"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}'
way=$(aws ecs list-service-deployments --cluster "$name" --service app --query 'serviceDeployments[0].serviceDeploymentArn' --output text)
way() { aws ecs describe-service-deployments --service-deployment-arns "$way" --query "serviceDeployments[0].$1" --output text; }
say "deployed beside it"; until [ "$(way 'lifecycleHookDetails[0].status')" = AWAITING_ACTION ]; do sleep 1; done
expect "$(way lifecycleStage)" POST_SCALE_UP
expect "$(service runningCount)" 2
aws ecs continue-service-deployment --service-deployment-arn "$way" --hook-id "$(way 'lifecycleHookDetails[0].hookId')" --output text
say "continued"; until [ "$(way status)" = SUCCESSFUL ]; do sleep 1; done
aws ecs wait services-stable --cluster "$name" --services app
expect "$(service taskDefinition)" "$green"
next=$green

aws ecs update-service --cluster "$name" --service app --desired-count 2 --query service.desiredCount --output text
say "scaled"; aws ecs wait services-stable --cluster "$name" --services app
expect "$(service runningCount)" 2

task=$(aws ecs run-task --cluster "$name" --task-definition "$next" --launch-type FARGATE \
    --network-configuration "awsvpcConfiguration={subnets=[$subnet]}" \
    --overrides '{"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 7"]}]}' --query 'tasks[0].taskArn' --output text)
say "ran a task"; aws ecs wait tasks-stopped --cluster "$name" --tasks "$task"
expect "$(aws ecs describe-tasks --cluster "$name" --tasks "$task" --query 'tasks[0].containers[0].exitCode' --output text)" 7

if aws ecs describe-services --cluster nowhere --services app 2>"/tmp/$name.err"; then exit 1; fi
grep -q ClusterNotFoundException "/tmp/$name.err"; rm "/tmp/$name.err"

aws ecs delete-service --cluster "$name" --service app --force --query service.status --output text
say "deleted"; aws ecs wait services-inactive --cluster "$name" --services app
aws ecs delete-cluster --cluster "$name" --query cluster.status --output text
