"""Write the reference pages that the code itself knows best: commands, project file, operations of
kirikae local; and the picture of the rooms.

``python docs/generate.py`` writes them; the suite fails when they are not what it would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import rooms

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
NOTE = "<!-- written by docs/generate.py; do not edit -->\n"


def command_line() -> str:
    from kirikae.console.main import _GROUPS, cli

    lines = [
        NOTE,
        "# The command line\n",
        "Exit codes: [exit-codes.md](exit-codes.md). Every option is also shown by `--help`.\n",
    ]
    lines.append(
        'Shell completion: `eval "$(_KIRIKAE_COMPLETE=bash_source kirikae)"` (or '
        "`zsh_source`, `fish_source`).\n"
    )
    lines += _options(cli)
    for name in _GROUPS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        lines.append(f"\n## `kirikae {name}`\n")
        lines.append(f"{_first(command.help)}\n")
        lines += _options(command)
        lines += _below(command, name, "###")
    return "\n".join(lines) + "\n"


def _below(command: click.Command, path: str, heading: str) -> list[str]:
    """The verbs of a group, and of the groups in it, one level deeper each."""
    if not isinstance(command, click.Group):
        return []
    lines = []
    context = click.Context(command)
    for name in sorted(command.list_commands(context)):
        verb = command.get_command(context, name)
        assert verb is not None
        arguments = [
            f" {each.make_metavar(click.Context(verb))}"
            for each in verb.params
            if isinstance(each, click.Argument)
        ]
        lines.append(f"\n{heading} `kirikae {path} {name}{''.join(arguments)}`\n")
        lines.append(f"{_first(verb.help)}\n")
        lines += _options(verb)
        lines += _below(verb, f"{path} {name}", f"{heading}#")
    return lines


def _first(text: str | None) -> str:
    """The first sentence or two: all up to the first empty line."""
    return " ".join((text or "").split("\n\n")[0].split())


def _options(command: click.Command) -> list[str]:
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in ("help", "version"):
            rows.append(f"- `{', '.join(option.opts)}`: {option.help or option.name}")
    return [*rows, ""] if rows else []


def project_file() -> str:
    from kirikae.console.kinds import project_schema

    found = project_schema()
    lines = [NOTE, "# The project file, `kirikae.yml`\n"]
    lines.append(
        "YAML 1.2, UTF-8, at most 1 MB, 20,000 values and 20 deep. Unknown keys are refused, and "
        "so is what later verbs would refuse, as far as the file alone shows it (`kirikae project "
        "check`). Shares and parts are strings with a per "
        "cent sign, durations strings with a unit."
    )
    lines.append(
        "A whole example: `examples/bookshop/kirikae.yml`. The JSON Schema: `kirikae "
        "project schema`.\n"
    )
    lines += _keys("", found, found["$defs"])
    return "\n".join(lines) + "\n"


def _keys(prefix: str, node: dict[str, Any], defs: dict[str, Any]) -> list[str]:
    lines = []
    for key, part in node.get("properties", {}).items():
        where = f"{prefix}{key}"
        default = "must be given" if key in node.get("required", []) else "optional"
        if part.get("default"):
            value = part["default"]
            default = f"default `{value if isinstance(value, str) else json.dumps(value)}`"
        several = _by_name(part)
        if "oneOf" in several:
            lines += _kinds_of_move(where, several["oneOf"], defs)
            continue
        kind, inner, suffix = _kind(part, defs)
        description = part.get("description", "")
        lines.append(f"- `{where}` ({kind}; {default}){': ' + description if description else ''}")
        if inner is not None:
            if inner.get("description"):
                lines[-1] += f". {_first(inner['description'])}"
            lines += _keys(f"{where}{suffix}.", inner, defs)
    return lines


def _by_name(part: dict[str, Any]) -> dict[str, Any]:
    """What stands under each name, where the keys are names of the user's; empty where not."""
    patterns = part.get("patternProperties") or {"": part.get("additionalProperties")}
    found = next(iter(patterns.values()))
    return found if isinstance(found, dict) else {}


def _kinds_of_move(where: str, kinds: list[dict[str, Any]], defs: dict[str, Any]) -> list[str]:
    """Sections of which `kind` says what their keys are: one after the other."""
    lines = [f"- `{where}` (mapping by name; optional); the keys of each kind:"]
    for each in kinds:
        _, inner, _ = _kind(each, defs)
        assert inner is not None
        name = inner["properties"]["kind"]["const"]
        lines.append(f"- `{where}.NAME` with `kind: {name}`: {_first(inner.get('description'))}")
        lines += _keys(f"{where}.NAME.", inner, defs)
    return lines


def _kind(part: dict[str, Any], defs: dict[str, Any]) -> tuple[str, dict[str, Any] | None, str]:
    """What sort of value, the keys inside it, and how they are reached (``[]``, ``.NAME``)."""
    if "$ref" in part:
        return "mapping", defs[part["$ref"].rpartition("/")[2]], ""
    if "anyOf" in part:
        return _kind(next(p for p in part["anyOf"] if p.get("type") != "null"), defs)
    if part.get("type") == "array":
        _, inner, _ = _kind(part["items"], defs)
        shown = (
            f"list such as `{json.dumps(part['examples'][0])}`" if "examples" in part else "list"
        )
        return shown, inner, "[]"
    if _by_name(part):
        return "mapping by name", _kind(_by_name(part), defs)[1], ".NAME"
    if "examples" in part:
        return f"such as `{part['examples'][0]}`", None, ""
    if "enum" in part:
        return " or ".join(f"`{v}`" for v in part["enum"]), None, ""
    return f"`{part['const']}`" if "const" in part else str(part.get("type", "any")), None, ""


def local() -> str:
    from kirikae.local.alarms import api as alarms
    from kirikae.local.athena import api as athena
    from kirikae.local.ecs import api as ecs
    from kirikae.local.elb import api as elb
    from kirikae.local.elb import cloudwatch as figures
    from kirikae.local.firehose import api as firehose
    from kirikae.local.logs import api as logs
    from kirikae.local.scaling import api as scaling
    from kirikae.local.sqs import api as sqs
    from kirikae.local.wire import service_model

    parts = {
        "ecs": (ecs.NAMES, ecs.PARTLY),
        "elbv2": (elb.NAMES, elb.PARTLY),
        "sqs": (sqs.NAMES, sqs.PARTLY),
        "firehose": (frozenset(firehose.OPERATIONS), firehose.PARTLY),
        "logs": (frozenset(logs.OPERATIONS), logs.PARTLY),
        "athena": (frozenset(athena.OPERATIONS), athena.PARTLY),
        "cloudwatch": (
            frozenset(figures.OPERATIONS) | frozenset(alarms.OPERATIONS),
            figures.PARTLY | alarms.PARTLY,
        ),
        "application-autoscaling": (frozenset(scaling.OPERATIONS), scaling.PARTLY),
    }
    lines = [NOTE, (REFERENCE / "local.head.md").read_text(encoding="utf-8").rstrip("\n")]
    for service, (operations, partly) in parts.items():
        every = list(service_model(service).operation_names)
        lines.append(f"\n## {service}: {len(operations)} of {len(every)} operations\n")
        lines += ["| operation | | |", "|---|---|---|"]
        lines += [
            f"| `{o}` | {'partly' if o in partly else 'done'} | {partly.get(o, '')} |"
            for o in sorted(operations)
        ]
        refused = [o for o in every if o not in operations]
        if service == "cloudwatch":
            lines.append(
                "\nEverything else is moto's: metrics are kept while it runs. Tags are those of "
                "alarms."
            )
        elif service == "logs":
            lines.append(
                "\nEverything else is moto's, which keeps the lines. What `aws logs tail` asks "
                "(FilterLogEvents) is answered, with patterns; StartLiveTail is refused by name."
            )
        elif service == "athena":
            lines.append(
                "\nEverything else is moto's (workgroups, catalogs, named queries), without effect "
                "on queries but a workgroup's place of results."
            )
        elif refused:
            lines.append(
                "\nRefused with a clean error that names kirikae: "
                f"{', '.join(f'`{o}`' for o in sorted(refused))}."
            )
    lines.append("\n## Attributes that are carried out (load balancing)\n")
    lines += ["| attribute | allowed |", "|---|---|"]
    lines += [
        f"| `{k}` | {v.replace('|', ', ') or 'any text'} |"
        for k, v in sorted(elb.CARRIED_OUT.items())
    ]
    lines.append("\nOthers are refused unless they are set to their default.")
    lines.append("\n## Figures\n")
    lines.append("| namespace | figures | statistics |\n|---|---|---|")
    lines.append(f"| `AWS/ApplicationELB` | {_names(figures.COUNTS)} | Sum |")
    lines.append(
        "| | `TargetResponseTime` | SampleCount, Sum, Average, Minimum, Maximum, pNN, "
        "`TC(a:b)`, `PR(a:b)` |"
    )
    lines.append(f"| | {_names(figures.GAUGES)} (every ten seconds) | Average, Minimum, Maximum |")
    lines.append("| | `RequestCountPerTarget` | Sum |")
    lines.append(
        f"| `AWS/ECS` | {_names(figures.OF_SERVICES)} of services, once a minute | "
        "Average, Minimum, Maximum |"
    )
    lines.append(
        f"| `AWS/SQS` | {_names(figures.OF_QUEUES)}, once a minute | Sum, Average, Minimum, "
        "Maximum |"
    )
    return "\n".join(lines) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def findings() -> str:
    from kirikae.console.catalogue import catalogue

    lines = [NOTE, (REFERENCE / "findings.head.md").read_text(encoding="utf-8").rstrip("\n")]
    for entry in catalogue().values():
        blocks = ", ".join(entry.blocks) or "nothing"
        if entry.mends:
            blocks += f"; mended by {', '.join(entry.mends)}"
        cells = (entry.code, entry.title, str(entry.severity), blocks, entry.remedy)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "reference/findings.md": findings,
    "reference/command-line.md": command_line,
    "reference/project-file.md": project_file,
    "reference/local.md": local,
    "images/rooms.svg": rooms.drawing,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        print(DOCS / name)
