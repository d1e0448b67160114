"""At share 0 there is nothing to compare yet: are both sides ready?"""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.aws import elbv2
from kirikae.aws.session import Aws
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.traffic.figures import Places
from kirikae.traffic.probes import (
    Probe,
    Target,
    probe_all,
    sign_in_trouble,
)

_SETTLING = ("healthy", "draining")


@dataclass(frozen=True, slots=True)
class Members:
    """The targets of one side."""

    side: str
    group: elbv2.TargetGroup
    targets: tuple[elbv2.Target, ...]

    @property
    def says(self) -> Said:
        return said(f"traffic.side.{self.side}")

    @property
    def healthy(self) -> list[Target]:
        return [Target(t.address, t.port) for t in self.targets if t.state == "healthy"]

    def figures(self) -> dict[str, float]:
        return {
            f"{self.side}_healthy": len(self.healthy),
            f"{self.side}_targets": len(self.targets),
        }

    def not_ready(self) -> Said | None:
        if not self.healthy:
            return said(
                "traffic.ready.no_target",
                side=self.says,
                group=self.group.name,
            )
        unready = [t.state for t in self.targets if t.state not in _SETTLING]
        if not unready:
            return None
        return said(
            "traffic.ready.not_healthy",
            n=len(unready),
            side=self.says,
            state=unready[0],
            group=self.group.name,
        )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Targets healthy, checks answered, one release ID, a login known on both sides."""

    aws: Aws
    project: Project
    places: Places

    def members(self, side: str) -> Members:
        group = self.places.old if side == "old" else self.places.new
        return Members(side, group, tuple(elbv2.targets(self.aws, group)))

    def probes(self, members: Members) -> list[Probe]:
        return probe_all(
            members.healthy,
            self.project.checks,
            self.project.release_header,
        )

    def evidence(self) -> Evidence:
        old = self.members("old")
        new = self.members("new")
        figures = old.figures() | new.figures()
        releases: set[str | None] = set()
        for members in (old, new):
            trouble = members.not_ready()
            if trouble is None:
                probes = self.probes(members)
                trouble = _failed(members, probes)
                releases |= {probe.release for probe in probes}
            if trouble is not None:
                return Evidence(
                    Verdict.UNSURE,
                    trouble,
                    None,
                    figures,
                )
        trouble = self._releases(releases) or self._sign_in(old, new)
        if trouble is not None:
            return Evidence(
                Verdict.UNSURE,
                trouble,
                None,
                figures,
            )
        return Evidence(
            Verdict.PASS,
            self._ready(old, new, releases),
            None,
            figures,
        )

    def _releases(self, found: set[str | None]) -> Said | None:
        if not self.project.release_header or (len(found) == 1 and None not in found):
            return None
        none = said("traffic.ready.no_release")
        shown = sorted((r for r in found if r is not None), key=str)
        unnamed = [none] if None in found else []
        return said("traffic.ready.releases", releases=[*unnamed, *shown])

    def _sign_in(self, old: Members, new: Members) -> Said | None:
        """Signed in on one side, known on the other?  Both ways; None: yes, or the project file
        says nothing of it."""
        settings = self.project.sign_in
        if settings is None:
            return None
        for there, here in ((old, new), (new, old)):
            trouble = sign_in_trouble(there.healthy[0], here.healthy[0], settings)
            if trouble is not None:
                return said(
                    "traffic.ready.sign_in",
                    there=there.says,
                    here=here.says,
                    trouble=trouble,
                )
        return None

    def _ready(
        self,
        old: Members,
        new: Members,
        releases: set[str | None],
    ) -> Said:
        blanks = {
            "old": len(old.healthy),
            "new": len(new.healthy),
            "checks": len(self.project.checks),
        }
        if not self.project.release_header:
            return Said("traffic.ready.ready", blanks)
        return Said(
            "traffic.ready.ready_release",
            {**blanks, "release": next(iter(releases))},
        )


def _failed(members: Members, probes: list[Probe]) -> Said | None:
    for probe in probes:
        if probe.trouble is not None:
            return said(
                "traffic.ready.check",
                target=probe.target,
                side=members.says,
                trouble=probe.trouble,
            )
    return None
