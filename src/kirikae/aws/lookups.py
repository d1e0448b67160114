"""What definition files ask AWS for: parameters, ARNs of secrets, outputs of stacks, objects."""

from __future__ import annotations

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told


def parameter(aws: Aws, name: str) -> tuple[str, str]:
    """(value, type) of a parameter in SSM, decrypted.  Raises NotThere."""
    with told():
        answer = aws.client("ssm").get_parameter(Name=name, WithDecryption=True)
        found = answer["Parameter"]
        return str(found["Value"]), str(found["Type"])


def secret_arn(aws: Aws, name: str) -> str:
    """With the six letters that AWS puts behind the name.  Raises NotThere."""
    with told():
        return str(aws.client("secretsmanager").describe_secret(SecretId=name)["ARN"])


def stack_output(aws: Aws, stack: str, key: str) -> str:
    """Raises NotThere, also for an output that the stack does not have."""
    with told():
        stacks = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = stacks[0].get("Outputs", []) if stacks else []
    for output in outputs:
        if output["OutputKey"] == key:
            return str(output["OutputValue"])
    known = ", ".join(sorted(each["OutputKey"] for each in outputs)) or "none"
    raise NotThere(
        "DescribeStacks", "NoSuchOutput", f"the stack {stack} has no output {key} (it has: {known})"
    )


def stack_export(aws: Aws, name: str) -> str:
    """Raises NotThere."""
    with told():
        pages = aws.client("cloudformation").get_paginator("list_exports").paginate()
        for export in (each for page in pages for each in page["Exports"]):
            if export["Name"] == name:
                return str(export["Value"])
    raise NotThere("ListExports", "NoSuchExport", f"no stack exports {name}")


def s3_object(aws: Aws, bucket: str, key: str) -> bytes:
    """Raises NotThere."""
    with told():
        body: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body


def identity(aws: Aws) -> dict[str, str]:
    """``Account``, ``Arn`` and ``UserId`` of whoever calls."""
    with told():
        answer = aws.client("sts").get_caller_identity()
        return {key: str(answer[key]) for key in ("Account", "Arn", "UserId")}
