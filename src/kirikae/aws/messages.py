"""Messages to people (SNS), and where the secrets lie that a chat needs (SSM Parameter Store)."""

from __future__ import annotations

from kirikae.aws.session import Aws, told


def publish(
    aws: Aws,
    topic: str,
    subject: str,
    text: str,
    thread: str,
) -> None:
    """``thread``: messages of the same thread keep their order (FIFO topics)."""
    extra = {"MessageGroupId": thread} if topic.endswith(".fifo") else {}
    with told():
        aws.client("sns").publish(
            TopicArn=topic,
            Subject=subject[:100],
            Message=text,
            **extra,
        )


def parameter(aws: Aws, name: str) -> str:
    """A parameter's value, decrypted.  Raises NotThere."""
    with told():
        return str(
            aws.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"],
        )
