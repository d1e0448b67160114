"""AWS as another role sees it."""

from __future__ import annotations

from typing import Any

from kirikae.aws.session import Aws, told

_SESSION = "kirikae-verify"


class AssumedAws(Aws):
    """With credentials of a role, which end by themselves."""

    def __init__(self, region: str, read_only: bool, credentials: dict[str, Any]) -> None:
        """``credentials``: as AssumeRole answers them."""
        self._assumed = credentials
        super().__init__(region, read_only)

    def _fresh_session(self) -> Any:
        session = super()._fresh_session()
        session.set_credentials(
            self._assumed["AccessKeyId"],
            self._assumed["SecretAccessKey"],
            self._assumed["SessionToken"],
        )
        return session


def assumed(aws: Aws, region: str, role_arn: str, read_only: bool) -> Aws:
    """Raises AwsRefused where the caller may not."""
    with told():
        answer = aws.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=_SESSION)
    return AssumedAws(region, read_only, answer["Credentials"])
