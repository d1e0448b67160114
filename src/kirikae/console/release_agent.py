"""``kirikae release agent``: what has to lie on a host so that it fetches its releases itself."""

from __future__ import annotations

from kirikae.console.here import Answer
from kirikae.model.project import Project
from kirikae.release.agent.script import CONF, UNIT, script
from kirikae.release.errors import NoDeployer


def printed(project: Project, part: str) -> Answer:
    """Raises NoDeployer where the project file does not say where agents look."""
    deployer = project.fleets.old.deployer
    if deployer is None or deployer.agent is None:
        raise NoDeployer(
            "the project file does not say where agents look; add `agent: s3://BUCKET/PREFIX` to "
            "`fleets.old.deployer`"
        )
    parts = {
        "script": script(),
        "conf": CONF.format(place=deployer.agent, root=deployer.root, region=project.region),
        "unit": UNIT,
    }
    return Answer(parts, parts[part].splitlines())
