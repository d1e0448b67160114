"""The cluster query language: which container instances an expression means (developer guide,
"Create expressions to define container instances for Amazon ECS tasks").

``parsed`` is a test of what is seen of an instance; reading and testing are pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kirikae.local.ecs.names import invalid, unsupported
from kirikae.local.errors import AwsError

_LONGEST = 2000
_DEEPEST = 50
_MOST_REPETITIONS = 3
_REPEATED_GROUP = re.compile(r"\)[*+{?]")
_TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"[^"]*"|'[^']*')
           | (?P<sign>&&|\|\||==|!=|>=|<=|=~|!~|!exists|!in|[()\[\],<>!])
           | (?P<word>[^\s()\[\],=!<>&|"']+) )""",
    re.VERBOSE,
)
_PATTERN = re.compile(r"\s*(\S+)")
_SAME = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "not_exists": "!exists",
    "not_in": "!in",
    "matches": "=~",
    "not_matches": "!~",
    "and": "&&",
    "or": "||",
    "not": "!",
}
"""The long names of operators."""
_OPERATORS = ("==", "!=", ">", ">=", "<", "<=", "exists", "!exists", "in", "!in", "=~", "!~")
_SUBJECTS = ("agentConnected", "agentVersion", "ec2InstanceId", "registeredAt", "runningTasksCount")
_ATTRIBUTE = "attribute:"
_NAMED = re.compile(r"attribute:[A-Za-z0-9_./\\-]{1,128}")
_TASK_GROUP = "task:group"


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance as an expression sees it.  ``groups``: of the tasks that are there."""

    attributes: Mapping[str, str]
    facts: Mapping[str, str]
    groups: frozenset[str]


Test = Callable[[Seen], bool]


def parsed(text: str) -> Test:
    """Raises AwsError for what is no expression."""
    reader = _Reader(text)
    test = reader.either(0)
    if reader.token():
        raise reader.fault(f"'{reader.token()}' is not expected here")
    return test


class _Reader:
    """Reads from left to right; ``and`` binds closer than ``or``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        if len(text) > _LONGEST:
            raise self.fault(f"up to {_LONGEST} characters are allowed")

    def fault(self, why: str) -> AwsError:
        """The error (not raised yet) for an expression that is none."""
        return invalid(f"The expression '{self._text[:200]}' is not valid: {why}.")

    def _look(self) -> tuple[str, int]:
        """The next word or sign, and where it ends; nothing at the end of the text."""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            if self._text[self._at :].strip():
                raise self.fault(f"it cannot be read from '{self._text[self._at :][:40]}' on")
            return "", self._at
        if found["quoted"] is not None:
            return found["quoted"][1:-1], found.end()
        word = found["sign"] or found["word"]
        return _SAME.get(word, word), found.end()

    def token(self) -> str:
        """The next one, which stays the next."""
        return self._look()[0]

    def take(self) -> str:
        """The next one; it is behind us then."""
        word, self._at = self._look()
        return word

    def expect(self, sign: str) -> None:
        """Raises AwsError for anything else."""
        if self.take() != sign:
            raise self.fault(f"'{sign}' is missing")

    def either(self, depth: int) -> Test:
        """One or several, of which one must hold."""
        tests = [self._every(depth)]
        while self.token() == "||":
            self.take()
            tests.append(self._every(depth))
        return lambda seen: any(test(seen) for test in tests)

    def _every(self, depth: int) -> Test:
        """One or several that must hold together."""
        tests = [self._one(depth)]
        while self.token() == "&&":
            self.take()
            tests.append(self._one(depth))
        return lambda seen: all(test(seen) for test in tests)

    def _one(self, depth: int) -> Test:
        """In brackets, turned round, or a comparison."""
        if depth > _DEEPEST:
            raise self.fault("it is nested too deeply")
        if self.token() == "(":
            self.take()
            test = self.either(depth + 1)
            self.expect(")")
            return test
        if self.token() == "!":
            self.take()
            turned = self._one(depth + 1)
            return lambda seen: not turned(seen)
        return self._comparison()

    def _comparison(self) -> Test:
        """``subject operator argument``."""
        subject = self.take()
        if subject not in (*_SUBJECTS, _TASK_GROUP) and not _NAMED.fullmatch(subject):
            raise self.fault(f"'{subject}' is no subject")
        operator = self.take()
        if operator not in _OPERATORS:
            raise self.fault(f"'{operator}' is no operator")
        arguments = self._arguments(operator)
        return lambda seen: _holds(_values(seen, subject), operator, arguments)

    def _arguments(self, operator: str) -> Sequence[str]:
        """None, one, or a list in square brackets."""
        if operator.endswith("exists"):
            return ()
        if operator.endswith("in"):
            return self._list()
        if operator.endswith("~"):
            return (self._pattern(),)
        word = self.take()
        if not word:
            raise self.fault(f"'{operator}' needs an argument")
        return (word,)

    def _list(self) -> Sequence[str]:
        """``[a, b]``."""
        self.expect("[")
        words = [self.take()]
        while self.token() == ",":
            self.take()
            words.append(self.take())
        self.expect("]")
        return words

    def _pattern(self) -> str:
        """A regular expression up to the next blank; brackets that it did not open are not its
        own."""
        found = _PATTERN.match(self._text, self._at)
        if found is None:
            raise self.fault("a pattern is missing")
        word = found[1]
        while word.endswith(")") and word.count(")") > word.count("("):
            word = word[:-1]
        self._at = found.start(1) + len(word)
        if _REPEATED_GROUP.search(word) or len(re.findall(r"[*+{]", word)) > _MOST_REPETITIONS:
            raise unsupported(
                f"kirikae local takes patterns of up to {_MOST_REPETITIONS} repetitions without "
                f"repeated groups, not '{word}': others could keep it busy for ever"
            )
        try:
            re.compile(word)
        except re.error as error:
            raise self.fault(f"the pattern '{word}': {error}") from error
        return word


def _values(seen: Seen, subject: str) -> Sequence[str]:
    """What an instance has of a subject; none where it has not got it."""
    if subject == _TASK_GROUP:
        return sorted(seen.groups)
    if subject.startswith(_ATTRIBUTE):
        name = subject.removeprefix(_ATTRIBUTE)
        return [seen.attributes[name]] if name in seen.attributes else []
    return [seen.facts[subject]] if seen.facts.get(subject) else []


_TESTS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "==": lambda value, arguments: value == arguments[0],
    "in": lambda value, arguments: value in arguments,
    "=~": lambda value, arguments: re.fullmatch(arguments[0], value) is not None,
    ">": lambda value, arguments: _ordered(value) > _ordered(arguments[0]),
    ">=": lambda value, arguments: _ordered(value) >= _ordered(arguments[0]),
    "<": lambda value, arguments: _ordered(value) < _ordered(arguments[0]),
    "<=": lambda value, arguments: _ordered(value) <= _ordered(arguments[0]),
    "exists": lambda value, arguments: True,
}
_TURNED = {"!=": "==", "!in": "in", "!~": "=~", "!exists": "exists"}


def _holds(values: Sequence[str], operator: str, arguments: Sequence[str]) -> bool:
    """Does one of them?  Turned round: does none?"""
    if operator in _TURNED:
        return not _holds(values, _TURNED[operator], arguments)
    return any(_TESTS[operator](value, arguments) for value in values)


def _ordered(text: str) -> tuple[tuple[int, float, str], ...]:
    """Numbers by their size, part by part (``1.10`` is after ``1.9``), words by their letters."""
    parts = re.split(r"[.\-]", text)
    return tuple((0, float(each), "") if each.isdecimal() else (1, 0.0, each) for each in parts)
