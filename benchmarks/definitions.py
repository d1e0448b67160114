"""Render and compare a task definition of 40 containers, as `kirikae ecs diff` does: CPU time in a
fresh process beyond importing the verb and AWS's client, and again once everything is warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTAINERS = 40
GOAL_MS = 150
ROUNDS = 5


def template() -> str:
    """With three templates in each container."""
    containers = [
        {
            "name": f"c{number}",
            "image": "{{ must_env `IMAGE` }}",
            "environment": [
                {"name": f"N{n}", "value": f"{{{{ env `V{n}` `{n}` }}}}"} for n in range(20)
            ],
            "secrets": [{"name": f"S{n}", "valueFrom": f"/shop/{n}"} for n in range(5)],
            "portMappings": [{"containerPort": 8000 + number}],
            "healthCheck": {"command": ["CMD", "true"]},
        }
        for number in range(CONTAINERS)
    ]
    return json.dumps(
        {"family": "shop", "networkMode": "awsvpc", "containerDefinitions": containers}
    )


def measure(folder: Path) -> list[float]:
    """Milliseconds of CPU of the first comparison, and of one more."""
    import botocore.session  # noqa: F401 - start-up, as of every verb that speaks with AWS

    import kirikae.console.ecs  # noqa: F401 - the same
    from kirikae.release.ecs import comparing, config

    class Answers:
        """What AWS would answer: a service with an older revision of the same."""

        def client(self, _: str) -> Answers:
            return self

        def describe_services(self, **_: object) -> dict[str, object]:
            return {"services": []}

        def describe_task_definition(self, **_: object) -> dict[str, object]:
            text = (folder / "td.json").read_text()
            plain = json.loads(text.replace("{{ must_env `IMAGE` }}", "shop:1"))
            return {"taskDefinition": {**plain, "taskDefinitionArn": "arn:aws:ecs:x:1:y/shop:1"}}

    (folder / "td.json").write_text(template())
    (folder / "sv.json").write_text('{"desiredCount": 2}')
    (folder / "ecspresso.yml").write_text(
        "service: shop\nservice_definition: sv.json\ntask_definition: td.json\n"
    )
    found = []
    for _ in range(2):
        began = time.process_time()
        wanted = config.Wanted(folder, {"IMAGE": "shop:2"}, lambda _: Answers())
        read = config.load(wanted)
        loaded = comparing.load_all(read)
        differences = list(comparing.differences(read, Answers(), loaded))
        found.append((time.process_time() - began) * 1000)
        assert len(differences[-1].differences) >= CONTAINERS
    return found


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]))))
        return
    firsts = []
    agains = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, __file__, folder]
            first, again = json.loads(subprocess.check_output(words))
        firsts.append(first)
        agains.append(again)
    first = sorted(firsts)[ROUNDS // 2]
    again = sorted(agains)[ROUNDS // 2]
    print(f"render and diff of {CONTAINERS} containers, medians of {ROUNDS} processes,")
    print(f"load {os.getloadavg()[0]:.0f}, {os.cpu_count()} cores: goal {GOAL_MS} ms")
    print(f"first in a process {first:.0f} ms of CPU, once more {again:.0f} ms")


if __name__ == "__main__":
    main()
