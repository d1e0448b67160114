"""Run cfn-lint and checkov on the nine planted Fargate faults, and compare what they find with what
is written down of them, and with guard.

    PYTHONPATH=. python benchmarks/guard_others.py --checkov checkov --cfn-lint cfn-lint

checkov is no dependency (100 packages, 290 MB): install it into an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from tests import guarded

RECORD = Path("tests/data/guard/others.toml")


def planted(folder: Path) -> None:
    """The two renderings that they read; a plan as Terraform itself writes it."""
    whole = guarded.changed(*guarded.PLANTED.values())
    template = guarded.template(whole)
    del template["Resources"]["Bucket"]
    folder.joinpath("template.json").write_text(json.dumps(template))
    folder.joinpath("plan.json").write_text(json.dumps(as_terraform(guarded.terraform(whole))))


def as_terraform(text: str) -> dict[str, Any]:
    """checkov reads no plan without these."""
    plan: dict[str, Any] = json.loads(text)
    [module] = plan["planned_values"]["root_module"]["child_modules"]
    [row] = module["resources"]
    named = {"name": "shop", "provider_name": "registry.terraform.io/hashicorp/aws"}
    row |= named
    module["address"] = "module.web"
    change = {"actions": ["create"], "before": None, "after": row["values"], "after_unknown": {}}
    about = {key: row[key] for key in ("address", "mode", "type")}
    plan["resource_changes"] = [{**about, **named, "change": change}]
    return {**plan, "format_version": "1.2", "terraform_version": "1.9.0", "configuration": {}}


def of_checkov(program: str, file: Path) -> set[str]:
    """The checks that failed."""
    words = [program, "-f", str(file), "--skip-download", "--compact", "-o", "json"]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=False).stdout)
    results = told["results"]
    return {row["check_id"] for row in results["failed_checks"]}


def of_cfn_lint(program: str, file: Path) -> set[str]:
    """The rules that were broken."""
    words = [program, str(file), "-f", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return {row["Rule"]["Id"] for row in json.loads(done.stdout)}


def main() -> int:
    """1 where what they find is not what is written down."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--checkov", required=True)
    asked.add_argument("--cfn-lint", required=True)
    given = asked.parse_args()
    record = tomllib.loads(RECORD.read_text(encoding="utf-8"))
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planted(folder)
        for run in record["run"]:
            file = folder / run["rendering"]
            if run["tool"] == "checkov":
                found = of_checkov(given.checkov, file)
            else:
                found = of_cfn_lint(given.cfn_lint, file)
            same = found == set(run["found"])
            differing += not same
            told = "as written" if same else "NEW"
            print(f"{run['tool']} {run['rendering']}: {sorted(found)} {told}")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
