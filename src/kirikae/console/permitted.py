"""Whether these credentials may do what a move needs: asked of IAM's policy simulator, action by
action; what the simulator does not answer is not proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from kirikae.aws import iam
from kirikae.aws.iam import Answer, Asked, Ruling
from kirikae.console import policy
from kirikae.console.proofs import Proof, Sight, missing, proven, turns, unproven
from kirikae.model.errors import KirikaeError
from kirikae.model.said import said
from kirikae.move.kind import Statement

_EVERYTHING = "*"
_SAMPLE = "kirikae-doctor"


@dataclass(frozen=True, slots=True)
class Ask:
    """What the simulator is asked.  ``invented``: the policy allows many resources, and this is a
    name that fits; a no to it proves nothing."""

    asked: Asked
    invented: bool


def permissions(sight: Sight) -> list[Proof]:
    """One proof for all that is allowed, one for each action that is not."""
    statements: list[Statement] = []
    try:
        statements = policy.to_move(sight.project, sight.desks())
    except KirikaeError as error:
        return [unproven("permissions", "all", str(error))]
    asks = list(_asks(statements, turns(sight)))
    total = sum(len(each.asked.actions) for each in asks)
    if sight.aws.endpoint:
        return [unproven("permissions", str(total), said("console.doctor.no_simulator"))]
    sight.progress.step(f"asking IAM about {total} permissions")
    try:
        source = iam.principal(sight.aws, sight.who)
        rulings = [(each, iam.simulate(sight.aws, source, each.asked)) for each in asks]
    except KirikaeError as error:
        return [unproven("permissions", str(total), str(error))]
    return list(_proofs((ask, ruling) for ask, found in rulings for ruling in found))


def _asks(statements: Sequence[Statement], known: Sequence[str]) -> Iterator[Ask]:
    """Real names where they are known, so that a policy for that very rule is understood."""
    for statement in statements:
        actions = tuple(_listed(statement.get("Action")))
        context = _context(statement.get("Condition", {}))
        for pattern in _listed(statement.get("Resource")):
            if "*" not in pattern or pattern == _EVERYTHING:
                yield Ask(Asked(actions, pattern, context), False)
                continue
            real = [arn for arn in known if fnmatchcase(arn, pattern)]
            for arn in real:
                yield Ask(Asked(actions, arn, context), False)
            if not real:
                yield Ask(Asked(actions, pattern.replace("*", _SAMPLE), context), True)


def _listed(value: object) -> list[str]:
    """IAM takes one or a list."""
    return [value] if isinstance(value, str) else [str(each) for each in _many(value)]


def _many(value: object) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _context(condition: object) -> dict[str, list[str]]:
    """A call of ours meets its own condition: the values that the statement names."""
    found: dict[str, list[str]] = {}
    if isinstance(condition, Mapping):
        for pairs in condition.values():
            for key, values in pairs.items():
                found[key] = _listed(values)
    return found


def _proofs(rulings: Iterable[tuple[Ask, Ruling]]) -> Iterator[Proof]:
    allowed = 0
    for ask, ruling in rulings:
        what = ruling.action
        if ruling.resource != _EVERYTHING and not ask.invented:
            what = f"{ruling.action} {ruling.resource}"
        if ruling.answer is Answer.ALLOWED:
            allowed += 1
        elif ruling.answer is Answer.DENIED and not ask.invented:
            yield missing("permission", what, ruling.why)
        elif ruling.answer is Answer.DENIED:
            yield unproven("permission", what, said("console.doctor.invented", why=ruling.why))
        else:
            yield unproven("permission", what, ruling.why)
    if allowed:
        yield proven("permissions", str(allowed))
