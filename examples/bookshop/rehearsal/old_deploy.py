"""The bookshop's own deploy script, as it has been for years: one host after the other, over SSH,
by hand-written steps."""

from __future__ import annotations

from typing import Any

from hosts import Machines, release_files
from trouble import Trouble
from waiting import until


def deploy(
    machines: Machines,
    release: str,
    hosts: list[str],
    elb: Any,
    group_arn: str,
    environment: dict[str, str],
) -> None:
    """Take each host out of the target group, put the release on it, and take it in again."""
    artefact = release_files(release)
    for host in hosts:
        target = {"Id": machines.address(host), "Port": 80}
        health = elb.describe_target_health(TargetGroupArn=group_arn, Targets=[target])[
            "TargetHealthDescriptions"
        ]
        registered = health[0]["TargetHealth"]["State"] != "unused"
        if registered:
            elb.deregister_targets(TargetGroupArn=group_arn, Targets=[target])
            _wait(elb, group_arn, target, "unused", machines.still_s)
        _install(machines, release, host, artefact, environment)
        elb.register_targets(TargetGroupArn=group_arn, Targets=[target])
        if registered:
            _wait(elb, group_arn, target, "healthy", machines.still_s)


def _install(
    machines: Machines, release: str, host: str, artefact: bytes, environment: dict[str, str]
) -> None:
    folder = f"/srv/bookshop/releases/{release}"
    machines.ssh(
        host, f"rm -rf {folder} && mkdir -p {folder} && tar -C {folder} -xf -", given=artefact
    )
    lines = "".join(f"{k}={v}\n" for k, v in environment.items())
    machines.ssh(host, "cat >/etc/default/bookshop.release", given=lines.encode())
    machines.ssh(
        host,
        f"ln -sfn {folder} /srv/bookshop/next && mv -T /srv/bookshop/next "
        "/srv/bookshop/current && systemctl restart bookshop nginx",
    )
    check = (
        "for n in $(seq 600); do curl -fsS -o /dev/null http://127.0.0.1/health && exit 0; "
        "sleep 0.2; done; exit 1"
    )
    try:
        machines.ssh(host, check)
    except Trouble as error:
        said = machines.ssh(host, "journalctl -u bookshop --no-pager -n 15")
        raise Trouble(f"{release} does not answer on {host}: {said}") from error


def _wait(elb: Any, group: str, target: dict[str, Any], state: str, still_s: float) -> None:
    def look() -> tuple[str, str]:
        found = elb.describe_target_health(TargetGroupArn=group, Targets=[target])
        health = found["TargetHealthDescriptions"][0]["TargetHealth"]
        return health["State"], health.get("Reason", "")

    until(f"{target['Id']} is {state}", look, lambda seen: seen[0] == state, still_s)
