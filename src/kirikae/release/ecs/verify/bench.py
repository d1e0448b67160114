"""What the checks of one service work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kirikae.aws import shapes
from kirikae.aws.session import Aws
from kirikae.release.ecs.comparing import Loaded
from kirikae.release.ecs.config import EcsConfig
from kirikae.release.ecs.loading import SERVICE, TASK


@dataclass(frozen=True)
class Bench:
    """``execution_of_region``: AWS as the task execution role sees it, where the caller may become
    that.

    ``execution_role``: that role; empty: its questions are asked with one's own credentials.
    ``gets_secrets``, ``puts_logs``: what may be tried out.
    """

    config: EcsConfig
    loaded: Loaded
    aws: Aws
    execution_of_region: Callable[[str], Aws]
    execution_role: str = ""
    gets_secrets: bool = True
    puts_logs: bool = True

    @cached_property
    def task(self) -> Mapping[str, Any]:
        """Without values of a wrong kind, which are told as a whole."""
        return shapes.taken("ecs", TASK, self.loaded.task.plain)

    @cached_property
    def service(self) -> Mapping[str, Any]:
        """The same; empty: the task definition stands alone."""
        found = self.loaded.service
        return {} if found is None else shapes.taken("ecs", SERVICE, found.plain)

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return list(self.task.get("containerDefinitions", ()))

    @property
    def on_fargate(self) -> bool:
        """As far as the files say."""
        if list(self.task.get("requiresCompatibilities", ())) == ["FARGATE"]:
            return True
        if self.service.get("platformVersion") or self.service.get("launchType") == "FARGATE":
            return True
        strategy = self.service.get("capacityProviderStrategy", ())
        return any(each.get("capacityProvider", "").startswith("FARGATE") for each in strategy)
