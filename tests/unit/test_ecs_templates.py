"""Templates of definition files mean what Go's ``text/template`` makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.release.ecs.gotmpl.builtins import Known
from kirikae.release.ecs.gotmpl.environment import of_environment
from kirikae.release.ecs.gotmpl.template import render
from kirikae.release.ecs.gotmpl.values import shown, sprintf
from kirikae.release.errors import DefinitionProblem

DATA = json.loads(Path("tests/data/go-templates.json").read_text())
OBJECT = {"Now": "t", "list": ["a", "b"], "n": 3, "f": 1.5, "b": True, "nil": None}
FUNCTIONS = {**of_environment(DATA["environment"]), "obj": Known(lambda: OBJECT)}


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_a_template_is_carried_out_as_the_standard_library_of_go_does(case):
    """What Go 1.27 printed, or that it refused."""
    if "refused" in case:
        with pytest.raises(DefinitionProblem, match=r"^conf:1: "):
            render(case["template"], "conf", FUNCTIONS)
    else:
        assert render(case["template"], "conf", FUNCTIONS) == case["text"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ range (obj).list }}{{ if eq . `a` }}{{ continue }}{{ end }}{{ . }}{{ end }}", "b"),
        ("{{ range $k, $v := obj }}{{ $k }} {{ end }}", "Now b f list n nil "),
        ("{{ with $x := env `A` }}{{ $x }}{{ end }}", "1"),
        ('{{ block "b" 3 }}<{{ . }}>{{ end }}', "<3>"),
        ("{{ range (obj).nil }}x{{ else }}none{{ end }}", "none"),
        ("{{ 1 | printf `%d-%s` 2 | len }}", "12"),
        ("{{ 0x10 }} {{ 0644 }} {{ 1_000 }} {{ 1e3 }} {{ 1000000.0 }}", "16 420 1000 1000 1e+06"),
        ("{{ (obj).list }} {{ printf `%v` (obj).nil }}", "[a b] <nil>"),
        ("{{ if and true (or false `x`) }}y{{ end }}", "y"),
        ("{{ not nil | println }}", "true\n"),
    ],
)
def test_what_the_golden_cases_do_not_have(template, text):
    """From the pages of text/template and fmt."""
    assert render(template, "conf", FUNCTIONS) == text


@pytest.mark.parametrize(
    ("template", "line", "says"),
    [
        ("a\n\n{{ nope }}", 3, 'function "nope" not defined'),
        ("{{ if true }}", 1, "has no {{end}}"),
        ("\n{{ end }}", 2, "unexpected {{end}}"),
        ("{{ break }}", 1, "outside {{range}}"),
        ("{{ $x }}", 1, 'undefined variable "$x"'),
        ("\n{{ `a` | 1 }}", 2, "non executable command"),
        ("{{ index (obj).list 7 }}", 1, "out of range"),
        ("{{ eq 1 `a` }}", 1, "incompatible types"),
        ("{{ template `t` }}", 1, "not defined"),
        ("{{ (obj).n.x }}", 1, "can't evaluate field x in type int"),
        ("{{ 1 2 }}", 1, "can't give argument to non-function 1"),
        ("{{/* open", 1, "unclosed comment"),
        ("{{ define `a` }}{{ template `a` }}{{ end }}\n{{ template `a` }}", 1, "template depth"),
        ("{{ range 9999 }}{{ range 9999 }}a{{ end }}{{ end }}", 1, "round and round"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(template, line, says):
    with pytest.raises(DefinitionProblem) as caught:
        render(template, "conf", FUNCTIONS)
    assert str(caught.value).startswith(f"conf:{line}: ") and says in str(caught.value)


def test_every_action_that_cannot_be_is_told_at_once():
    """Whoever corrects a file wants to do it once."""
    with pytest.raises(DefinitionProblem) as caught:
        render("{{ must_env `X` }}\n{{ env `A` }}\n{{ must_env `Y` }}", "conf", FUNCTIONS)
    assert [row.split(":")[1] for row in str(caught.value).splitlines()] == ["1", "3"]


def test_verbs_of_printf_show_what_does_not_fit_as_go_does():
    assert sprintf("%d %s", ["x", 3]) == "%!d(string=x) %!s(int=3)"
    assert sprintf("%s", []) == "%!s(MISSING)"
    assert sprintf("a", [1]) == "a%!(EXTRA int=1)"
    assert sprintf("%5.2f|%-4s|%04d|%+d|%q|%x|%%", [1.5, "a", 7, 3, 'a"', 255]) == (
        ' 1.50|a   |0007|+3|"a\\""|ff|%'
    )
    assert [shown(number) for number in (0.00001, 1e-4, 123456.0, 1234567.0, 1e21)] == [
        "1e-05",
        "0.0001",
        "123456",
        "1.234567e+06",
        "1e+21",
    ]


@given(st.text(alphabet="{}-/*$.|`\"' \nabenvif:=(),1\\", max_size=40))
def test_whatever_stands_there_is_rendered_or_refused_with_a_line(text):
    try:
        render(text, "conf", FUNCTIONS)
    except DefinitionProblem as problem:
        assert str(problem).startswith("conf:")


@given(st.text(max_size=60))
def test_text_without_an_action_stays_as_it_is(text):
    plain = text.replace("{{", "{")
    assert render(plain, "conf", {}) == plain
