"""``capacity.yml`` as text, and onto the disk without losing what stood there."""

from __future__ import annotations

import io
from pathlib import Path

from ruamel.yaml import YAML

from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.settings import CapacityFile
from kirikae.hosts.files import write_durably
from kirikae.model.errors import Unfinished

FIRST = """\
# How many tasks a service needs.  `kirikae capacity simulate --trace FILE` tries these rules on a
# trace of load, `kirikae capacity tune` searches better ones.  The rules are those of Application
# Auto Scaling.
task:
  cpu: 1024
  memory: 2048
  requests_per_s: 25      # what one task carries at 100% CPU: a load test tells
  answer_ms: 200          # p99 of a task that has nothing else to do
  # From the decision until it takes requests: 28 + MiB of image / 58 + 20 + boot + health checks.
  start_s: 81
  drain_s: 30
tasks: {min: 3, max: 20, base: 3, spot: true}  # base on FARGATE, the others on FARGATE_SPOT
limit_ms: 500             # p99 above this is bad ...
bad_percent: 0.1          # ... and so many of the requests may come while it is
policies:
  - {name: cpu, target: 50}
  - {name: rush, above: 80, steps: [{from: 0, to: 10, add: 2}, {from: 10, add: 4}]}
daily:
  - {at: "07:30", zone: Asia/Tokyo, min: 5}
"""


def text_of(file: CapacityFile) -> str:
    """YAML without what is the default."""
    plain = file.model_dump(
        by_alias=True,
        exclude_defaults=True,
        exclude_none=True,
        mode="json",
    )
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.indent(
        mapping=2,
        sequence=4,
        offset=2,
    )
    out = io.StringIO()
    yaml.dump(plain, out)
    return out.getvalue()


def write_new(file: Path, text: str) -> None:
    """Raises RulesProblem where it is there already."""
    if file.exists():
        raise RulesProblem(f"{file} is there already and stays as it is; name another one")
    _write(file, text)


def write(file: Path, text: str) -> Path:
    """Answers where the former text is kept."""
    kept = next(
        each
        for number in range(1, 10_000)
        if not (each := file.with_name(f"{file.name}.{number}")).exists()
    )
    _write(kept, file.read_text(encoding="utf-8"))
    _write(file, text)
    return kept


def _write(file: Path, text: str) -> None:
    try:
        write_durably(file, text)
    except OSError as error:
        raise Unfinished(
            f"{file}: cannot be written: {error}; nothing of it was changed"
        ) from error
