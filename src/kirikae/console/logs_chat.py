"""Tell a chat of lines: one thread a kind of line where a bot token is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kirikae.console.errors import NotSent
from kirikae.console.notify import for_slack, post, secret_of
from kirikae.console.speech import Speech
from kirikae.logs.alert_state import Send
from kirikae.model.errors import UsageProblem
from kirikae.model.project import Project, Slack
from kirikae.model.said import said, text
from kirikae.model.texts import shortened

_MOST_THREADS = 500


def sentence(message: Mapping[str, Any], speech: Speech) -> str:
    """What is told, in the reader's language; the lines themselves as they stand."""
    if message["kind"] == "":
        return speech.say(said("logs.alert.others", count=message["count"]))
    if message["line"] is None:
        # Counted before a restart: only the kind of line is known.
        kind = text(message["kind"])
        return speech.say(said("logs.alert.more", count=message["count"], kind=kind))
    lines = [*message["context"], message["line"]]
    key = "logs.alert.first" if message["first"] else "logs.alert.again"
    source = text(message["source"])
    head = speech.say(said(key, count=message["count"], source=source))
    return "\n".join([head, *(f"    {line}" for line in lines)])


@dataclass
class Channel:
    """With a bot token.  ``threads``: the first message of each kind of line."""

    slack: Slack
    token: str
    speech: Speech
    title: str
    threads: dict[str, str] = field(default_factory=dict)

    def __call__(self, message: Mapping[str, Any]) -> None:
        """Raises NotSent."""
        kind = message["kind"]
        body = {
            "channel": self.slack.channel,
            "text": f"*{self.title}*\n{for_slack(sentence(message, self.speech))}",
        }
        if kind in self.threads:
            body["thread_ts"] = self.threads[kind]
        answer = _answer(post(f"{self.slack.api}/chat.postMessage", body, self.token))
        if not isinstance(answer, dict) or not answer.get("ok"):
            why = answer.get("error") if isinstance(answer, dict) else None
            raise NotSent(f"Slack says {why or shortened(answer)}")
        if kind not in self.threads and isinstance(answer.get("ts"), str):
            if len(self.threads) >= _MOST_THREADS:
                self.threads.clear()
            self.threads[kind] = answer["ts"]


def _answer(said: str) -> Any:
    """Raises NotSent."""
    try:
        return json.loads(said)
    except ValueError as error:
        raise NotSent("what came back is no answer of Slack") from error


def _to_webhook(
    url: str,
    title: str,
    speech: Speech,
    message: Mapping[str, Any],
) -> None:
    """Raises NotSent."""
    post(url, {"text": f"*{title}*\n{for_slack(sentence(message, speech))}"})


def chat(
    project: Project | None,
    named: str | None,
    aws: Any,
    title: str,
    speech: Speech,
) -> Send | None:
    """``named``: where the webhook is (env:NAME or ssm:NAME); else as the project file says.  None:
    nobody is to be told.  Raises UsageProblem, NotSent."""
    if named is not None:
        if not named.startswith(("env:", "ssm:")):
            raise UsageProblem("--slack: write env:NAME or ssm:NAME, never the webhook itself")
        return partial(_to_webhook, secret_of(aws, named), title, speech)
    notify = None if project is None else project.notify
    slack = None if notify is None else notify.slack
    if slack is None:
        return None
    if slack.webhook is not None:
        return partial(_to_webhook, secret_of(aws, slack.webhook), title, speech)
    assert slack.token is not None
    return Channel(slack, secret_of(aws, slack.token), speech, title)
