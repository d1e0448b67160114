"""A file of one environment over the project file: what it says, and which file says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.salvage import salvaged
from kirikae.model.errors import ProjectProblem
from kirikae.model.project_overlay import leaves, merged
from tests.command import run

BASE = """\
service: shop
environment: production
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1", "ssh://web2"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  web:
    kind: traffic
    router: {listener_rule: shop/main}
    plan: ["1%", "25%", "100%"]
"""
OVER = """\
account: "210987654321"
fleets:
  old:
    hosts: ["ssh://stage1"]
moves:
  web:
    plan: ["50%", "100%"]
    advance: auto
"""


@pytest.fixture
def lay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(over: str = OVER, name: str = "kirikae.staging.yml", base: str = BASE) -> Here:
        (tmp_path / "kirikae.yml").write_text(base)
        (tmp_path / name).write_text(over)
        return Here(name)

    return write


def test_sections_are_merged_and_lists_replaced(lay):
    project = load_project(lay())
    assert (project.service, project.environment) == ("shop", "staging")
    assert project.account == "210987654321"
    assert project.fleets.old.hosts == ("ssh://stage1",)
    assert project.fleets.old.target_group == "a"
    assert project.moves["web"].plan == (500, 1000)
    assert project.moves["web"].advance == "auto"
    assert project.moves["web"].router.listener_rule == "shop/main"
    assert load_project(Here("kirikae.yml")).environment == "production"


def test_it_is_shown_what_comes_from_which_file(lay):
    lay()
    ran = run("project", "show", "--environment", "staging", "--json")
    assert ran.exit_code == 0 and ran.json["file"] == "kirikae.staging.yml"
    told = {each["key"]: (each["value"], each["from"]) for each in ran.json["values"]}
    assert told["service"] == ("shop", "kirikae.yml:1")
    assert told["environment"] == ("staging", "kirikae.staging.yml:1")
    assert told["fleets.old.hosts"] == (["ssh://stage1"], "kirikae.staging.yml:4")
    assert told["fleets.old.target_group"] == ("a", "kirikae.yml:5")
    assert told["moves.web.plan"] == (["50%", "100%"], "kirikae.staging.yml:7")
    assert told["moves.web.kind"] == ("traffic", "kirikae.yml:9")
    lines = run("project", "show", "--environment", "staging").stdout.splitlines()
    assert 'moves.web.advance: "auto"  (kirikae.staging.yml:8)' in lines
    alone = run("project", "show").stdout
    assert 'environment: "production"  (kirikae.yml:2)' in alone and "staging" not in alone


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("advance: auto", "advanse: auto"),
            "kirikae.staging.yml:8: moves.web.advanse: unknown key",
        ),
        (("account:", "acount:"), "kirikae.staging.yml:1: acount: unknown key"),
        (('["50%", "100%"]', '["50%", "60%"]'), "kirikae.staging.yml:6: moves.web: the plan must"),
        (("advance: auto", "advance:"), "kirikae.staging.yml:8: moves.web.advance: None is not"),
        (("    hosts:", "    batch: 1\n    hosts:"), "kirikae.staging.yml:4: fleets.old.batch"),
        (
            ("moves:\n", "moves:\n  batch: {kind: traffic}\n"),
            "kirikae.staging.yml:6: moves.batch.router: this key must be given",
        ),
        (
            ("account:", "environment: production\naccount:"),
            "kirikae.staging.yml:1: environment: 'production' is not what the file's name says",
        ),
    ],
)
def test_a_fault_is_told_with_the_file_that_has_it(lay, change, told):
    with pytest.raises(ProjectProblem) as caught:
        load_project(lay(OVER.replace(*change)))
    assert told in str(caught.value)


def test_a_fault_of_the_project_file_is_told_as_its_own(lay):
    with pytest.raises(ProjectProblem) as caught:
        load_project(lay(base=BASE.replace("cluster: c, ", "cluser: c, ")))
    assert "kirikae.yml:6: fleets.new.cluser: unknown key" in str(caught.value)
    assert "kirikae.yml:6: fleets.new.cluster: this key must be given" in str(caught.value)


def test_what_only_environments_know_may_be_missing_in_the_project_file(lay):
    """The account, for example: each environment has its own."""
    here = lay(base=BASE.replace('account: "123456789012"\n', ""))
    assert load_project(here).account == "210987654321"
    with pytest.raises(ProjectProblem):
        load_project(Here("kirikae.yml"))


def test_a_whole_file_beside_the_project_file_is_no_overlay(lay):
    """It names its service, as before there were overlays: nothing of the other is read into it."""
    whole = BASE.replace("web:", "other:").replace("production", "elsewhere")
    assert [*load_project(lay(whole)).moves] == ["other"]


def test_a_file_that_lies_over_nothing_is_told_what_it_lacks(lay, tmp_path):
    here = lay(name="other.staging.yml")
    with pytest.raises(ProjectProblem, match="service: this key must be given"):
        load_project(here)


def test_the_longest_name_of_a_project_file_is_the_one_beneath(lay, tmp_path):
    (tmp_path / "kirikae.jp.yml").write_text(BASE.replace("shop", "shop-jp", 1))
    project = load_project(lay(name="kirikae.jp.staging.yml"))
    assert (project.service, project.environment) == ("shop-jp", "staging")


def test_an_environment_without_a_file_is_told_which_there_are(lay):
    lay()
    ran = run("project", "show", "--environment", "canary")
    assert ran.exit_code == 2 and "kirikae.staging.yml" in ran.stderr


def test_the_red_button_reads_an_overlay_with_faults(lay):
    found = salvaged(lay(OVER.replace("advance: auto", "advanse: auto")))
    assert found.project.environment == "staging" and [*found.project.moves] == ["web"]
    assert "advanse" in found.faults


WORDS = st.text("abc", min_size=1, max_size=2)
PLAIN = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(WORDS, PLAIN), st.dictionaries(WORDS, PLAIN))
def test_a_merge_says_all_that_the_environment_says_and_nothing_new(base, over):
    both = merged(base, over)
    told = dict(leaves(both))
    for path, value in leaves(over):
        if value != {}:
            assert told[path] == value
    assert {*told} <= {path for path, _ in [*leaves(base), *leaves(over)]}
    assert merged(both, over) == both
