"""Which deployment group of CodeDeploy drives a service: the one that is named, else the one that
CodeDeploy itself says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kirikae.aws import codedeploy as api
from kirikae.aws.session import Aws
from kirikae.release.errors import DefinitionProblem
from kirikae.release.fleet import by_name


@dataclass(frozen=True, slots=True)
class Group:
    """``rule``: a deployment configuration; None: the group's own."""

    application: str
    name: str
    rule: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        return self.application, self.name


@dataclass(frozen=True, slots=True)
class Named:
    """What a file says of it; empty: nothing."""

    application: str = ""
    group: str = ""
    rule: str | None = None

    def or_else(self, other: Named) -> Named:
        """The other's words hold where this one says nothing."""
        return Named(
            self.application or other.application,
            self.group or other.group,
            self.rule or other.rule,
        )


def named_in(codedeploy: Mapping[str, object]) -> Named:
    """As the key `codedeploy` of an ecspresso configuration says."""
    return Named(
        str(codedeploy.get("application_name") or ""),
        str(codedeploy.get("deployment_group_name") or ""),
        str(codedeploy.get("deployment_config_name") or "") or None,
    )


def keys_of(aws: Aws, cluster: str, service: str) -> dict[str, str]:
    """As the key `codedeploy` of an ecspresso configuration has it.  Raises DefinitionProblem,
    AwsRefused."""
    group = found(
        aws,
        cluster,
        service,
        Named(),
    )
    return {"application_name": group.application, "deployment_group_name": group.name}


def found(
    aws: Aws,
    cluster: str,
    service: str,
    named: Named,
) -> Group:
    """CodeDeploy is asked only where a name is missing.  Raises DefinitionProblem where no group
    drives the service, or several do."""
    if named.application and named.group:
        return Group(named.application, named.group, named.rule)
    driven = {"clusterName": by_name(cluster), "serviceName": by_name(service)}
    driving = [
        Group(str(row["applicationName"]), str(row["deploymentGroupName"]), named.rule)
        for row in api.groups_of_ecs(aws, named.application)
        if driven in row.get("ecsServices", ()) and named.group in ("", row["deploymentGroupName"])
    ]
    if len(driving) == 1:
        return driving[0]
    if driving:
        several = ", ".join(f"{each.application}/{each.name}" for each in driving)
        raise DefinitionProblem(
            f"several deployment groups of CodeDeploy drive {cluster}/{service}: {several}; name "
            "one in `fleets.new.deployer.codedeploy` (`application`, `group`)"
        )
    raise DefinitionProblem(
        f"no deployment group of CodeDeploy drives {cluster}/{service}; make one, or name it in "
        "`fleets.new.deployer.codedeploy` (`application`, `group`)"
    )
