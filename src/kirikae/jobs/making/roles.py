"""Roles of the new side's tasks: exactly what each of them calls.

Sources: Service Authorization Reference of SQS, DynamoDB, ECS, SNS, ECR, CloudWatch Logs, Systems
Manager and Secrets Manager.
"""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.jobs.making.stack import Definition, Stack

ROWS = ("GetItem", "PutItem", "Query")
"""A transaction of puts asks for no other right (DynamoDB developer guide, "Using IAM with DynamoDB
transactions")."""
SENDS = ("GetQueueAttributes", "GetQueueUrl", "SendMessage")
COUNTS = ("GetQueueAttributes", "GetQueueUrl")
TAKES = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueUrl", "ReceiveMessage")
_PULLS = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")


def allow(sid: str, service: str, actions: tuple[str, ...], *resources: str) -> Definition:
    """One statement of a policy."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": list(resources),
    }


def of_ledger(region: str, account: str, table: str) -> Definition:
    """Rows are found by their keys and by two indexes; nothing is deleted."""
    arn = f"arn:aws:dynamodb:{region}:{account}:table/{table}"
    return allow("Ledger", "dynamodb", ROWS, arn, f"{arn}/index/*")


def trust() -> Definition:
    """ECS's tasks may take the role."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def policy(statements: list[Definition]) -> Definition:
    """As IAM writes one."""
    return {"Version": "2012-10-17", "Statement": statements}


def parts(stack: Stack) -> dict[str, list[Definition]]:
    """Statements by part; a part that calls nothing of AWS has none, and needs no role."""
    found = {
        "scheduler": list(_scheduler(stack)),
        "worker": list(_worker(stack)),
    }
    if stack.serves_ledger:
        found["ledger"] = list(_ledger(stack))
    if not stack.project.build.execution_role:
        found["execution"] = list(_execution(stack))
    return found


def _ledger(stack: Stack) -> Iterator[Definition]:
    if stack.table is not None:
        yield of_ledger(stack.project.region, stack.project.account, stack.table)


def _telling(stack: Stack) -> Iterator[Definition]:
    topics = list(stack.topics())
    if topics:
        yield allow("Tell", "sns", ("Publish",), *topics)


def _scheduler(stack: Stack) -> Iterator[Definition]:
    yield from _ledger(stack)
    yield allow("Send", "sqs", SENDS, stack.arn("sqs", stack.queue))
    yield allow("Count", "sqs", COUNTS, stack.arn("sqs", stack.dead_queue))
    yield from _telling(stack)


def _worker(stack: Stack) -> Iterator[Definition]:
    yield from _ledger(stack)
    yield allow("Take", "sqs", TAKES, stack.arn("sqs", stack.queue))
    yield from _telling(stack)
    family = stack.new.task_definition
    if stack.apart() and family is not None:
        yield from _tasks(stack, family)


def _tasks(stack: Stack, family: str) -> Iterator[Definition]:
    """Tasks of their own: only of this family, only in this cluster."""
    within = {"ArnEquals": {"ecs:cluster": stack.arn("ecs", f"cluster/{stack.cluster}")}}
    definition = stack.arn("ecs", f"task-definition/{family.partition(':')[0]}:*")
    yield allow("Run", "ecs", ("RunTask",), definition) | {"Condition": within}
    tasks = stack.arn("ecs", f"task/{stack.cluster}/*")
    yield allow("Watch", "ecs", ("DescribeTasks", "StopTask"), tasks)
    # Its output, wherever its definition says that it lies.
    yield allow("Definition", "ecs", ("DescribeTaskDefinition",), "*")
    yield allow("Output", "logs", ("GetLogEvents",), stack.arn("logs", "log-group:*"))
    if stack.new.task_roles:
        to = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
        yield allow("Pass", "iam", ("PassRole",), *stack.new.task_roles) | {"Condition": to}


def _execution(stack: Stack) -> Iterator[Definition]:
    """What ECS does before a container of ours begins."""
    yield allow("Registry", "ecr", ("GetAuthorizationToken",), "*")
    yield allow("Images", "ecr", _PULLS, stack.arn("ecr", "repository/*"))
    group = stack.arn("logs", f"log-group:{stack.log_group}:*")
    yield allow("Logs", "logs", ("CreateLogStream", "PutLogEvents"), group)
    named = {*stack.secrets().values(), *_own_secrets(stack)}
    parameters = sorted(place for place in named if not _of_secrets_manager(place))
    if parameters:
        arns = [_parameter(stack, place) for place in parameters]
        yield allow("Parameters", "ssm", ("GetParameters",), *arns)
    secrets = sorted(place for place in named if _of_secrets_manager(place))
    if secrets:
        yield allow("Secrets", "secretsmanager", ("GetSecretValue",), *secrets)


def _own_secrets(stack: Stack) -> Iterator[str]:
    if stack.new.token_secret is not None:
        yield stack.new.token_secret
    if stack.new.relay is not None:
        yield stack.new.relay.login


def _of_secrets_manager(place: str) -> bool:
    return place.startswith("arn:") and place.split(":")[2] == "secretsmanager"


def _parameter(stack: Stack, place: str) -> str:
    """A name or an ARN."""
    if place.startswith("arn:"):
        return place
    return stack.arn("ssm", f"parameter/{place.lstrip('/')}")
