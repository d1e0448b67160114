"""Tasks and services as requests name them: by ID or ARN, in a cluster."""

from __future__ import annotations

from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.names import invalid, is_arn, missing, short
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
        if row is None or row["clusterArn"] != cluster["clusterArn"]:
            return None
        return row if name in (row["id"], row["taskArn"]) else None

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
                place = f"{cluster['clusterName']}/{name}"
                failures.append(missing(name if is_arn(name) else f"{self._prefix}task/{place}"))
        return found, failures

    def service_arn(self, cluster: Cluster, name: str) -> str:
        """The ARN of this name in this cluster, or the ARN that was named, whatever account, region
        and cluster it is of; whether there is such a service is not asked."""
        if not is_arn(name):
            return f"{self._prefix}service/{cluster['clusterName']}/{name}"
        # Before 2018 ARNs of services had no cluster.
        if name.startswith(f"{self._prefix}service/") and name.count("/") == 1:
            return f"{self._prefix}service/{cluster['clusterName']}/{short(name)}"
        return name

    def missing_service(self, name: str) -> Plain:
        """An entry of ``failures``: AWS tells a name without its cluster there."""
        return missing(name if is_arn(name) else f"{self._prefix}service/{name}")

    def service(self, cluster: Cluster, name: str) -> Service | None:
        """Also one that is INACTIVE but still kept; None if it never was, is forgotten, or is of
        another cluster."""
        row = self._state.services.get(self.service_arn(cluster, name))
        return row if row is not None and row["clusterArn"] == cluster["clusterArn"] else None

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
