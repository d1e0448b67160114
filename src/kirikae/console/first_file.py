"""The first `kirikae.yml`, from what was seen: a pure function.

What was not seen is a comment that begins with ``# ?``, a question; never a guess.  Where the file
must have a name that nobody knows yet stands ``CHANGE-ME``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws.discovery import Group
from kirikae.console.first_look import Seen, SeenHost
from kirikae.console.speech import Speech
from kirikae.model.said import Said, said

CHANGE_ME = "CHANGE-ME"
_ORDINARY_PORT = 80
_WIDE = 96
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_PLAIN = re.compile(r"(?!(?i:true|false|null|yes|no|on|off)$)[A-Za-z_/][A-Za-z0-9_./:-]*")
"""What no reader of YAML takes for anything but text."""


@dataclass(frozen=True, slots=True)
class Question:
    """What only a person can answer.  ``about``: the key of the project file."""

    about: str
    says: Said


@dataclass(frozen=True, slots=True)
class Names:
    """Kirikae's own words for what moves: free to choose, so the person's or proposed."""

    service: str
    environment: str
    day: str


@dataclass(frozen=True, slots=True)
class FirstFile:
    """The text of the file, and what it asks."""

    text: str
    questions: tuple[Question, ...]

    def to_plain(self, speech: Speech) -> dict[str, Any]:
        """Plain data for ``--json``."""
        asked = [{"about": each.about, "says": speech.say(each.says)} for each in self.questions]
        return {"text": self.text, "questions": asked}


def service_name(seen: Seen, wanted: str | None) -> str:
    """As the person says, else after the load balancer."""
    return wanted or _NO_NAME.sub("-", seen.scene.balancer.name)


def first_file(seen: Seen, names: Names, speech: Speech) -> FirstFile:
    """Every section in the order in which people read it."""
    page = _Page(speech)
    _head(page, seen, names)
    page.line("fleets:")
    _old(page, seen)
    _new(page, seen)
    _checks(page, seen.sides.old)
    _moves(page, seen)
    return FirstFile("\n".join(page.lines) + "\n", tuple(page.questions))


@dataclass(slots=True)
class _Page:
    """Lines as they are written."""

    speech: Speech
    lines: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def note(self, depth: int, key: str, **blanks: Any) -> None:
        """A comment that explains."""
        self._comment(depth, "# ", self.speech.say(said(f"console.init.{key}", **blanks)))

    def ask(self, depth: int, about: str, key: str, **blanks: Any) -> None:
        """A comment that asks."""
        says = said(f"console.init.ask.{key}", **blanks)
        self.questions.append(Question(about, says))
        self._comment(depth, "# ? ", self.speech.say(says))

    def _comment(self, depth: int, mark: str, text: str) -> None:
        """Names that AWS tells may hold anything: nothing but one line leaves here."""
        indent = "  " * depth
        clean = " ".join(text.split())
        for number, part in enumerate(_folded(clean, _WIDE - len(indent) - len(mark))):
            # What goes on has the same mark's width, so that a question is one block.
            lead = mark if number == 0 else "#" + " " * (len(mark) - 1)
            self.lines.append(f"{indent}{lead}{part}")


def _folded(text: str, wide: int) -> Iterable[str]:
    """At blanks; Japanese has none, and is cut where it is full."""
    rest = text
    while len(rest) > wide:
        at = rest.rfind(" ", 0, wide)
        at = at if at > 0 else wide
        yield rest[:at].rstrip()
        rest = rest[at:].lstrip()
    yield rest


def _word(text: str) -> str:
    """As YAML may write it: in quotes unless nobody could mistake it."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _head(page: _Page, seen: Seen, names: Names) -> None:
    scene = seen.scene
    page.note(0, "head", day=names.day, who=scene.caller.arn)
    page.note(0, "how_to_read")
    page.line("")
    page.note(0, "service")
    page.line(f"service: {_word(names.service)}")
    page.line(f"environment: {_word(names.environment)}")
    page.line(f'account: "{scene.caller.account}"')
    page.line(f"region: {_word(scene.region)}")
    page.note(0, "store")
    page.line("store: .kirikae/state.db")
    page.ask(0, "release_header", "release_header")


# --- the old side


def _old(page: _Page, seen: Seen) -> None:
    page.line("  old:")
    old = seen.sides.old
    if old is None:
        names = _names_behind(seen)
        key = "old_group" if seen.scene.forwards else "old_group_unseen"
        page.ask(2, "fleets.old.target_group", key, groups=names)
        page.line(f"    target_group: {CHANGE_ME}-OLD")
    else:
        page.note(2, "group", kind=old.kind, n=len(old.targets), healthy=old.healthy)
        page.line(f"    target_group: {_word(old.name)}")
        _port(page, old)
    _hosts(page, seen)
    if seen.ground.autoscaling_group:
        page.line(f"    autoscaling_group: {_word(seen.ground.autoscaling_group)}")
    _deployer(page, seen.ground.hosts)


def _names_behind(seen: Seen) -> list[str]:
    """The target groups that could be meant."""
    rule = seen.sides.rule
    arns = set(rule.weights) if rule is not None else set(seen.scene.groups)
    return sorted(group.name for arn, group in seen.scene.groups.items() if arn in arns)


def _port(page: _Page, old: Group) -> None:
    """Where targets differ, one port would be wrong for some of them."""
    ports = sorted({target.port for target in old.targets})
    if len(ports) == 1 and ports[0] != _ORDINARY_PORT:
        page.line(f"    port: {ports[0]}")
    elif len(ports) > 1:
        page.ask(2, "fleets.old.port", "port", ports=ports)


def _hosts(page: _Page, seen: Seen) -> None:
    """Those that answered, and those that the person named; the others are asked for."""
    ground = seen.ground
    for host in ground.hosts:
        if host.trouble:
            key = "silent_given" if host.given else "silent"
            page.ask(2, "fleets.old.hosts", key, host=host.url, why=host.trouble)
    if ground.blind:
        page.ask(2, "fleets.old.hosts", "no_instances", why=ground.blind)
    for target in ground.unmatched:
        page.ask(2, "fleets.old.hosts", "unmatched", target=target)
    kept = [host.url for host in ground.hosts if host.given or not host.trouble]
    if kept:
        page.line(f"    hosts: [{', '.join(map(_word, kept))}]")
    else:
        page.ask(2, "fleets.old.hosts", "hosts")
        page.line("    hosts: []")


def _deployer(page: _Page, hosts: Sequence[SeenHost]) -> None:
    """How a release gets onto the hosts is a decision; the folder is all that can be seen."""
    roots = sorted({root for host in hosts for root in host.roots})
    if roots:
        page.ask(2, "fleets.old.deployer", "root", roots=roots)
        example = f"{{root: {_word(roots[0])}, reload: systemctl reload SERVICE}}"
    else:
        page.ask(2, "fleets.old.deployer", "deployer")
        example = "{root: /srv/SERVICE, reload: systemctl reload SERVICE}"
    page.line(f"    # deployer: {example}")


# --- the new side


def _new(page: _Page, seen: Seen) -> None:
    page.line("  new:")
    service = seen.sides.service
    new = seen.sides.new
    if service is not None and new is not None:
        page.note(2, "served", n=len(new.targets), healthy=new.healthy)
        page.line(f"    cluster: {_word(service.cluster)}")
        page.line(f"    ecs_service: {_word(service.name)}")
        page.line(f"    target_group: {_word(new.name)}")
    else:
        _new_unknown(page, seen)
    page.line("    definitions: ecs/")


def _new_unknown(page: _Page, seen: Seen) -> None:
    scene = seen.scene
    if scene.services is None:
        page.ask(2, "fleets.new", "ecs_unread", why=scene.blind)
    elif scene.services:
        names = [f"{each.cluster}/{each.name}" for each in scene.services]
        page.ask(2, "fleets.new", "ecs_elsewhere", services=names)
    else:
        page.ask(2, "fleets.new", "ecs_none")
    for key in ("cluster", "ecs_service", "target_group"):
        page.line(f"    {key}: {CHANGE_ME}")


# --- checks and moves


def _checks(page: _Page, old: Group | None) -> None:
    """The health check of the old group is a request whose answer is known."""
    page.ask(0, "checks", "checks")
    if old is None or not old.check or not old.codes.isdecimal():
        page.line("checks: []")
        return
    page.note(0, "check", group=old.name)
    page.line("checks:")
    page.line(f"  - {{get: {_word(old.check)}, expect: {old.codes}}}")


def _moves(page: _Page, seen: Seen) -> None:
    rule = seen.sides.rule
    page.line("moves:")
    page.line("  web:")
    page.line("    kind: traffic")
    if rule is None or rule.is_default:
        key = "default_rule" if seen.scene.forwards else "no_rule"
        page.ask(2, "moves.web.router", key, balancer=seen.scene.balancer.name)
        named = f"{seen.scene.balancer.name}/{CHANGE_ME}"
    else:
        weights = _weights(seen)
        page.note(2, "rule", listener=rule.listener, weights=weights)
        named = _rule_name(seen)
    page.line(f"    router: {{listener_rule: {_word(named)}}}")
    page.note(2, "advance")
    page.line("    advance: ask")
    page.line('    plan: ["0.1%", "1%", "5%", "25%", "50%", "100%"]')
    page.note(2, "judge")
    page.line('    judge: {worse_requests_at_most: "0.05%", bake: 10m}')


def _weights(seen: Seen) -> list[str]:
    """Such as ``shop-ec2 999``."""
    rule = seen.sides.rule
    told = []
    for arn, weight in rule.weights.items() if rule is not None else ():
        group = seen.scene.groups.get(arn)
        told.append(f"{arn if group is None else group.name} {weight}")
    return told


def _rule_name(seen: Seen) -> str:
    """By its tag Name where no other rule has the same, else by its ARN."""
    rule = seen.sides.rule
    assert rule is not None
    alike = [each for each in seen.scene.forwards if each.name == rule.name]
    if rule.name and len(alike) == 1:
        return f"{seen.scene.balancer.name}/{rule.name}"
    return rule.arn
