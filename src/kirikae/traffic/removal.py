"""What may be removed after a move of traffic, and in which order."""

from __future__ import annotations

from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.traffic.figures import Places
from kirikae.traffic.settings import Record


def removal_plan(
    name: str,
    project: Project,
    places: Places,
    record: Record | None,
) -> Said:
    """A Markdown checklist."""
    fleet = project.fleets.old
    hosts = said("traffic.removal.any_host")
    if fleet.hosts:
        lines = "\n".join(f"   - [ ] {host}" for host in fleet.hosts)
        hosts = said("traffic.removal.hosts", lines=lines)
    scaling = said("traffic.removal.no_scaling")
    if fleet.autoscaling_group:
        scaling = said("traffic.removal.scaling", group=fleet.autoscaling_group)
    return said(
        "traffic.removal.plan",
        name=name,
        service=project.service,
        environment=project.environment,
        old=places.old.name,
        new=places.new.name,
        knows=_knows(places, record),
        way=_way(places, record),
        hosts=hosts,
        scaling=scaling,
    )


def _knows(places: Places, record: Record | None) -> Said:
    if record is not None:
        return said("traffic.removal.knows_record", record=record.name)
    return said("traffic.removal.knows_rule", old=places.old.name)


def _way(places: Places, record: Record | None) -> Said:
    if record is not None:
        return said("traffic.removal.way_record", record=record.name)
    return said(
        "traffic.removal.way_rule",
        arn=places.old.arn,
        rule=places.rule_arn,
    )
