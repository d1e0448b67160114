"""Tasks and services as requests name them: by ID or ARN, in a cluster."""

from __future__ import annotations

from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.names import invalid, missing, short
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Cluster, Service, Task
from kirikae.local.state import State


class Lookup:
    """Raises AwsError for a cluster, and where it says so for a service, that is not there."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        prefix: str,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account."""
        self._state = state
        self._clusters = clusters
        self._prefix = prefix

    def task(self, cluster: Cluster, name: str) -> Task | None:
        """None also for a task of another cluster: as on AWS, it is not found there."""
        row = self._state.tasks.get(short(name))
        return row if row is not None and row["clusterArn"] == cluster["clusterArn"] else None

    def tasks(self, params: Plain, most: int) -> tuple[list[Task], list[Plain]]:
        """Those that are there, and an entry of ``failures`` for each that is not."""
        cluster = self._clusters.find(params.get("cluster"))
        if len(params["tasks"]) > most:
            raise invalid(f"Tasks cannot be more than {most}.")
        found = []
        failures = []
        for name in params["tasks"]:
            task = self.task(cluster, name)
            if task is not None:
                found.append(task)
            else:
                place = f"{cluster['clusterName']}/{short(name)}"
                failures.append(missing(f"{self._prefix}task/{place}"))
        return found, failures

    def service_arn(self, cluster: Cluster, name: str) -> str:
        """The ARN that this service has in this cluster, whether it is there or not."""
        return f"{self._prefix}service/{cluster['clusterName']}/{short(name)}"

    def service(self, cluster: Cluster, name: str) -> Service | None:
        """Also one that is INACTIVE but still kept; None if it never was or is forgotten."""
        return self._state.services.get(self.service_arn(cluster, name))

    def known_service(self, cluster: Cluster, name: str) -> Service:
        """As ``service``, but raises AwsError (ServiceNotFoundException) where there is none."""
        row = self.service(cluster, name)
        if row is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return row

    def active_service(self, params: Plain) -> Service:
        """The service that a request names.

        Raises AwsError where it is not there, or was deleted.
        """
        row = self.known_service(self._clusters.find(params.get("cluster")), params["service"])
        if row["status"] != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        return row
