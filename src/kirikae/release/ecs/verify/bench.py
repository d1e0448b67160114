"""What the checks of one service work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws.session import Aws
from kirikae.release.ecs.comparing import Loaded
from kirikae.release.ecs.config import EcsConfig


@dataclass(frozen=True, slots=True)
class Bench:
    """``execution``: AWS as the task execution role sees it, where the caller may become that.

    ``gets_secrets``, ``puts_logs``: what may be tried out.
    """

    config: EcsConfig
    loaded: Loaded
    aws: Aws
    execution: Aws
    aws_of_region: Callable[[str], Aws]
    execution_of_region: Callable[[str], Aws]
    gets_secrets: bool = True
    puts_logs: bool = True

    @property
    def task(self) -> Mapping[str, Any]:
        return self.loaded.task.plain

    @property
    def service(self) -> Mapping[str, Any]:
        return {} if self.loaded.service is None else self.loaded.service.plain

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        rows = self.task.get("containerDefinitions")
        return [each for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []

    @property
    def on_fargate(self) -> bool:
        """As far as the files say."""
        if list(self.task.get("requiresCompatibilities", ())) == ["FARGATE"]:
            return True
        if self.service.get("platformVersion") or self.service.get("launchType") == "FARGATE":
            return True
        strategy = self.service.get("capacityProviderStrategy", ())
        return any(each.get("capacityProvider", "").startswith("FARGATE") for each in strategy)
