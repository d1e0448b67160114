"""What `kirikae init` sees: AWS by reading calls, hosts by one small script each; nothing is
guessed, and what cannot be seen is told as unseen."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from kirikae.aws import discovery
from kirikae.aws.discovery import Balancer, Forward, Group, Machine, Served
from kirikae.aws.session import Aws, Caller
from kirikae.console.progress import Progress
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError, UsageProblem

_AT_ONCE = 8
_HOST_S = 20
_SCRIPT = """\
echo "addresses $(hostname -I 2>/dev/null)"
for folder in /srv/* /var/www/* /opt/* /home/*/*; do
  if [ -L "$folder/current" ] && [ -d "$folder/releases" ]; then echo "root $folder"; fi
done
exit 0
"""
"""`hostname -I` (hostname(1)): all addresses of the host.  A root is Capistrano's layout."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person said.  None, and no hosts: see what is there."""

    balancer: str | None = None
    rule: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """The AWS side.  ``services`` None: ECS could not be read, ``blind`` says why."""

    caller: Caller
    region: str
    balancer: Balancer
    forwards: tuple[Forward, ...]
    groups: Mapping[str, Group]
    services: tuple[Served, ...] | None
    blind: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """The rule to turn, and what it leads to; None where that could not be told."""

    rule: Forward | None
    old: Group | None
    new: Group | None
    service: Served | None


@dataclass(frozen=True, slots=True)
class SeenHost:
    """``trouble``: why it said nothing.  ``given``: named by the person."""

    url: str
    given: bool
    addresses: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """The hosts.  ``unmatched``: targets of the old group that no host answers for, in words."""

    hosts: tuple[SeenHost, ...] = ()
    unmatched: tuple[str, ...] = ()
    autoscaling_group: str = ""
    blind: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it."""

    scene: Scene
    sides: Sides
    ground: Ground = field(default_factory=Ground)


def look_around(aws: Aws, region: str, wanted: Wanted, progress: Progress) -> Seen:
    """Raises UsageProblem where the person must say which one is meant."""
    hosts = [Host(url) for url in wanted.hosts]
    scene = _scene(aws, region, wanted, progress)
    sides = sides_of(scene, _rule(scene, wanted.rule))
    return Seen(scene, sides, _ground(aws, sides.old, hosts, progress))


# --- AWS


def _scene(aws: Aws, region: str, wanted: Wanted, progress: Progress) -> Scene:
    caller = aws.caller()
    balancer = one_balancer(discovery.balancers(aws, wanted.balancer), region)
    progress.step(f"reading the rules of {balancer.name}")
    forwards = tuple(discovery.forwards(aws, balancer))
    groups = {group.arn: group for group in discovery.groups(aws, balancer)}
    progress.step("looking for ECS services behind them")
    services: tuple[Served, ...] | None = None
    blind = ""
    try:
        services = tuple(discovery.services(aws))
    except KirikaeError as error:
        blind = str(error)
    return Scene(caller, region, balancer, forwards, groups, services, blind)


def one_balancer(found: Sequence[Balancer], region: str) -> Balancer:
    """The only one with rules.  Raises UsageProblem that names those there are."""
    with_rules = [one for one in found if one.kind == "application"]
    if len(with_rules) == 1:
        return with_rules[0]
    if with_rules:
        names = ", ".join(sorted(one.name for one in with_rules))
        raise UsageProblem(
            f"there are {len(with_rules)} application load balancers in {region}: {names}; "
            "say which one your users come by: --load-balancer NAME"
        )
    others = "".join(f"; {one.name} is a {one.kind} load balancer" for one in found)
    raise UsageProblem(
        f"there is no application load balancer in {region}{others}; say another --region, or "
        "write the project file for a move by DNS by hand (docs/how-to/by-dns.md)"
    )


def _rule(scene: Scene, name: str | None) -> Forward | None:
    """The rule that is meant; None where only the listener's default rule forwards.

    Raises UsageProblem where several could be.
    """
    turnable = [rule for rule in scene.forwards if not rule.is_default]
    if name is not None:
        named = [rule for rule in scene.forwards if name in (rule.arn, rule.name)]
        if len(named) == 1:
            return named[0]
        raise UsageProblem(f"--rule {name}: {_rules_in_words(scene, turnable)}")
    if not turnable:
        return None
    shared = [rule for rule in turnable if sides_of(scene, rule).new is not None]
    likely = shared or turnable
    if len(likely) == 1:
        return likely[0]
    raise UsageProblem(
        f"{_rules_in_words(scene, likely)}; say which one is to be moved: --rule NAME or ARN"
    )


def _rules_in_words(scene: Scene, rules: Sequence[Forward]) -> str:
    if not rules:
        return f"no rule of {scene.balancer.name} but the default one forwards anywhere"
    told = []
    for rule in rules:
        groups = " and ".join(_name(scene, arn) for arn in rule.weights)
        told.append(f"{rule.name or rule.arn} ({rule.listener}, to {groups})")
    return f"{scene.balancer.name} has these rules: {', '.join(told)}"


def _name(scene: Scene, arn: str) -> str:
    group = scene.groups.get(arn)
    return arn if group is None else group.name


def sides_of(scene: Scene, rule: Forward | None) -> Sides:
    """The new side is where an ECS service stands; what else the rule leads to is the old side.

    Without a rule of its own, the default rules tell where users go today.
    """
    ways = [rule] if rule is not None else list(scene.forwards)
    arns = list(dict.fromkeys(arn for way in ways for arn in way.weights))
    behind = [scene.groups[arn] for arn in arns if arn in scene.groups]
    services = {arn: one for one in scene.services or () for arn in one.groups}
    new = [group for group in behind if group.arn in services]
    old = [group for group in behind if group.arn not in services]
    if scene.services is None and len(behind) > 1:
        # Any of them may belong to ECS: nobody could look.
        return Sides(rule, None, None, None)
    found = new[0] if len(new) == 1 else None
    return Sides(
        rule,
        old[0] if len(old) == 1 else None,
        found,
        services[found.arn] if found is not None else None,
    )


# --- hosts


def _ground(aws: Aws, old: Group | None, given: Sequence[Host], progress: Progress) -> Ground:
    """Given hosts are asked; else those that EC2 knows behind the old group's targets."""
    targets = [target.address for target in old.targets] if old is not None else []
    machines: list[Machine] = []
    blind = ""
    if targets:
        progress.step("asking EC2 for the instances of the old side")
        try:
            machines = discovery.machines(aws, targets)
        except KirikaeError as error:
            blind = str(error)
    scaled = {one.autoscaling_group for one in machines if one.autoscaling_group}
    looks = [partial(_ask, host, True, progress) for host in given]
    if not given:
        looks = [partial(_reach, machine, progress) for machine in machines]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        hosts = tuple(pool.map(lambda look: look(), looks))
    group = scaled.pop() if len(scaled) == 1 else ""
    return Ground(hosts, unmatched(targets, machines, hosts), group, blind)


def unmatched(
    targets: Sequence[str], machines: Sequence[Machine], hosts: Sequence[SeenHost]
) -> tuple[str, ...]:
    """Targets whose address none of the hosts has, each by all that it may be called."""
    had = {address for host in hosts if not host.trouble for address in host.addresses}
    by_name = {name: one for one in machines for name in (one.id, *one.addresses)}
    told = []
    for target in targets:
        machine = by_name.get(target)
        addresses = (target,) if machine is None else machine.addresses
        if not had & set(addresses):
            names = [target] if machine is None else [machine.id, machine.name, *addresses]
            told.append(" ".join(dict.fromkeys(name for name in names if name)))
    return tuple(told)


def _reach(machine: Machine, progress: Progress) -> SeenHost:
    """By the first name under which ssh reaches that very machine: its tag Name, else an
    address."""
    names = [machine.name] if _PLAIN_NAME.fullmatch(machine.name) else []
    names += [address for address in machine.addresses if _is_v4(address)]
    seen = SeenHost(f"ssh://{machine.id}", False, trouble="it has no name to call it by")
    for name in names:
        seen = _ask(Host(f"ssh://{name}"), False, progress)
        if not seen.trouble and set(seen.addresses) & set(machine.addresses):
            return seen
    return seen if seen.trouble else _another(seen)


def _another(seen: SeenHost) -> SeenHost:
    return SeenHost(seen.url, False, trouble="what answers there has another address")


def _is_v4(address: str) -> bool:
    """A name of a host holds no colons."""
    return ipaddress.ip_address(address).version == 4


def _ask(host: Host, given: bool, progress: Progress) -> SeenHost:
    """One silent host does not keep us from the others."""
    try:
        lines = host.run(_SCRIPT, timeout_s=_HOST_S).decode(errors="replace").splitlines()
    except (HostSilent, CommandFailed) as error:
        progress.step(f"{host.name} does not answer")
        return SeenHost(host.url, given, trouble=str(error))
    progress.step(f"{host.name} answered")
    words = [line.split() for line in lines if line.strip()]
    addresses = [one for line in words if line[0] == "addresses" for one in line[1:]]
    roots = [line[1] for line in words if line[0] == "root" and len(line) == 2]
    return SeenHost(host.url, given, tuple(addresses), tuple(roots))
