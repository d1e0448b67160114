"""Who manages a thing on AWS, as its tags tell.

CloudFormation and the CDK write ``aws:cloudformation:stack-name`` themselves (CloudFormation user
guide, "Resource tag"); the other names are habits of teams and of Terraform's own examples.
"""

from __future__ import annotations

from collections.abc import Mapping

_BY_KEY = {
    "aws:cloudformation:stack-name": "CloudFormation or CDK",
    "aws:cdk:path": "CDK",
    "terraform": "Terraform",
    "managed_by": None,
    "managedby": None,
    "managed-by": None,
}
"""Tag, in lower case -> the tool; None: the tag's value must name one."""
_TOOLS = ("terraform", "opentofu", "cdk", "cloudformation", "pulumi", "ecspresso")


def owner_of(tags: Mapping[str, str]) -> str | None:
    """The tag and the tool, such as ``ManagedBy = terraform``; None: nobody is named."""
    for key, value in tags.items():
        if key.lower() not in _BY_KEY:
            continue
        tool = _BY_KEY[key.lower()]
        if tool is not None:
            return f"{key} = {value} ({tool})"
        if value.lower() in _TOOLS:
            return f"{key} = {value}"
    return None
