"""Who may command from a chat: the section ``chat`` of the project file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kirikae.model.values import Strict

SlackUser = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,30}$")]
Permission = Literal["approve", "hold", "back-out", "deploy"]


class ChatPerson(Strict):
    """Somebody who may look, and what he may ask for besides."""

    name: str = Field(
        pattern=r"^[^/\x00-\x1f]{1,60}$",
        description="as the journal shall name him or her",
    )
    may: tuple[Permission, ...] = Field(
        default=(),
        strict=False,
        description="what may be asked for, beside `status`",
    )
    aws: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:(iam|sts)::",
        description="who this person is in AWS; needed to approve where a move says `approver: "
        "another`",
    )


class Chat(Strict):
    """Commands from Slack.  Whoever is not named here is refused."""

    signing_secret: str = Field(
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="environment variable that holds the signing secret of the Slack app, such as "
        "`env:SLACK_SIGNING_SECRET`; never the secret itself",
    )
    team: str | None = Field(
        default=None,
        pattern=r"^T[A-Z0-9]{2,30}$",
        description="ID of the workspace; requests of another one are refused",
    )
    language: Literal["en", "ja"] = "en"
    people: dict[SlackUser, ChatPerson] = Field(
        min_length=1,
        description="who may command, by Slack user ID",
    )
