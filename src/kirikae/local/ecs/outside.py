"""What ECS asks of other services of its region, put together."""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.local.ecs.alarmstates import AlarmStates
from kirikae.local.ecs.functions import Functions
from kirikae.local.elb.networking import Networking


@dataclass(frozen=True, slots=True)
class Outside:
    """None: there is nobody to ask, and everything is taken as it is."""

    networking: Networking | None = None
    functions: Functions | None = None
    alarms: AlarmStates | None = None
