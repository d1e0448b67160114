"""Guard finds what is planted, wherever it is written, and nothing else; what it could not check it
says."""

from __future__ import annotations

import copy
import json
import time
from datetime import date
from itertools import product

import pytest

from kirikae.guard import limits as dated
from kirikae.guard.checks import CHECKS, FARGATE, PROFILES, Asked, looked_at
from kirikae.guard.errors import ObjectProblem
from kirikae.guard.limits import limits
from kirikae.guard.plainly import plain_of
from kirikae.guard.reading import objects_in
from kirikae.guard.seen import Outcome
from kirikae.model.catalogue import load
from kirikae.model.fargate import SIZES
from kirikae.model.said import LANGUAGES, Words, blanks_of, words_of
from kirikae.release.definitions import render
from tests import guarded
from tests.command import run
from tests.unit import test_build

TODAY = date(2026, 11, 28)
ASKED = Asked(PROFILES, limits(TODAY))
EVERYWHERE = list(guarded.RENDERINGS)


def looks(name, text, asked=ASKED):
    return looked_at(objects_in(name, text), asked)


def codes(name, text, asked=ASKED):
    return {finding.code for look in looks(name, text, asked) for finding in look.findings}


def written(rendering, *changes):
    return guarded.RENDERINGS[rendering](guarded.changed(*changes))


def cases(table):
    return [(code, each) for code, changes in table.items() for each in changes]


@pytest.mark.parametrize("rendering", EVERYWHERE)
def test_nothing_is_found_in_what_is_right(rendering):
    """And nothing was left unchecked."""
    found = looks(rendering, written(rendering))
    assert {look.outcome for look in found} == {Outcome.PASS} and len(found) > 15


@pytest.mark.parametrize("rendering", EVERYWHERE)
def test_the_nine_planted_faults_are_found_together(rendering):
    """Nine of nine; the host's processes are two findings, Fargate's and NIST's."""
    together = written(rendering, *guarded.PLANTED.values())
    assert codes(rendering, together) == {*guarded.PLANTED, "GD06"} and len(guarded.PLANTED) == 9


@pytest.mark.parametrize(("rendering", "case"), [*product(EVERYWHERE, cases(guarded.FAULTY))])
def test_each_check_fails_on_its_fault(rendering, case):
    """In every rendering."""
    code, change = case
    assert code in codes(rendering, written(rendering, change))


@pytest.mark.parametrize(("rendering", "case"), [*product(EVERYWHERE, cases(guarded.HARMLESS))])
def test_each_check_passes_what_only_looks_like_it(rendering, case):
    """Nor does any other one fail."""
    _, change = case
    assert codes(rendering, written(rendering, change)) == set()


@pytest.mark.parametrize("case", cases(guarded.FAULTY_FILES))
def test_each_check_of_a_dockerfile_fails_on_its_fault(case):
    """One change of a file that is right; the line is told."""
    code, (before, after) = case
    assert before in guarded.DOCKERFILE
    text = guarded.DOCKERFILE.replace(before, after, 1)
    assert codes("Dockerfile", text) == {code}


@pytest.mark.parametrize("case", [("", ("", "")), *cases(guarded.HARMLESS_FILES)])
def test_each_check_of_a_dockerfile_passes_what_only_looks_like_it(case):
    """A secret that is mounted, a port that only ends in 22."""
    _, (before, after) = case
    assert codes("app.Dockerfile", guarded.DOCKERFILE.replace(before, after, 1)) == set()


def test_every_check_has_a_failing_and_a_passing_example():
    """A check that reads a misspelt key passes everything."""
    by_time = {"FG14"}
    elsewhere = {check.code for check in CHECKS if not (check.of_task or check.of_file)}
    failing = {*guarded.FAULTY, *guarded.FAULTY_FILES} | by_time | elsewhere
    passing = {*guarded.HARMLESS, *guarded.HARMLESS_FILES} | by_time | elsewhere
    every = {check.code for check in CHECKS}
    assert failing == every == passing == set(load("kirikae.guard"))
    for check in CHECKS:
        if check.of_file is not None:
            assert check.code in guarded.FAULTY_FILES and check.code in guarded.HARMLESS_FILES


def test_a_limit_holds_from_its_day_on():
    """tmpfs, in the profile of a day before and after."""
    change = ((*guarded.APP, "linuxParameters"), {"tmpfs": [{"containerPath": "/tmp", "size": 9}]})
    text = written("task.json", change)
    before = Asked((FARGATE,), limits(TODAY, date(2026, 1, 5)))
    assert codes("task.json", text, before) == {"FG14"} and codes("task.json", text) == set()


def test_old_limits_are_not_believed():
    """A fault stays one; what would pass is not checked."""
    later = Asked((FARGATE,), limits(date(2027, 11, 28)))
    found = looks("task.json", written("task.json", (("memory",), "8192")), later)
    outcomes = {look.code: look.outcome for look in found}
    assert outcomes["FG01"] is Outcome.FAIL and outcomes["FG04"] is Outcome.PASS
    assert outcomes["FG02"] is Outcome.NOT_CHECKED


def test_every_limit_says_when_and_where_it_was_read():
    """And every check names one that is there."""
    table = dated._table()
    assert {name for check in CHECKS for name in check.limits} == set(table)
    assert all(limit.source and limit.read <= TODAY for limit in table.values())


@pytest.mark.parametrize("cpu", [*SIZES, 100])
def test_every_pair_of_sizes_is_known(cpu):
    """Just inside and just outside."""
    fitting = SIZES.get(cpu, ())
    for memory in {*fitting, *(each + 1 for each in fitting), 511, 130_000}:
        text = written("task.json", (("cpu",), str(cpu)), (("memory",), str(memory)))
        assert ("FG01" in codes("task.json", text)) is (memory not in fitting)


def test_what_is_filled_in_later_is_not_checked_and_never_green():
    """A template's blank, a function of CloudFormation, a value after apply."""
    open_image = ((*guarded.APP, "image"), "{{ must_env `IMAGE` }}")
    template = guarded.template(guarded.changed())
    properties = template["Resources"]["Task"]["Properties"]
    properties["PidMode"] = {"Fn::If": ["Old", "host", {"Ref": "AWS::NoValue"}]}
    plan = json.loads(written("plan.json"))
    later = {
        "address": "module.web.aws_ecs_task_definition.shop",
        "change": {"after_unknown": {"container_definitions": True}},
    }
    plan["resource_changes"] = [later]
    parameter = ((*guarded.APP, "environment"), [{"name": "DB_PASSWORD", "value": "{{ x }}"}])
    for name, text, code in (
        ("e.json", written("task.json", parameter), "GD03"),
        ("t.json", written("task.json", open_image), "GD04"),
        ("c.json", json.dumps(template), "FG06"),
        ("p.json", json.dumps(plan), "FG04"),
    ):
        outcomes = {look.code: look.outcome for look in looks(name, text)}
        assert outcomes[code] is Outcome.NOT_CHECKED, name


def opened(value, at=()):
    """The value, with a function of CloudFormation at one of its places after the other."""
    yield {"Fn::If": ["Old", value, {"Ref": "AWS::NoValue"}]}
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, each in inner:
        for other in opened(each):
            changed = copy.copy(value)
            changed[key] = other
            yield changed


@pytest.mark.parametrize("case", cases(guarded.FAULTY))
def test_wherever_a_fault_could_hide_an_open_value_is_not_green(case):
    """At its own place, and at every place within it."""
    code, (path, value) = case
    if value is None or code == "FG10":
        return
    for other in opened(value):
        outcomes = {
            look.code: look.outcome for look in looks("t", written("template.json", (path, other)))
        }
        assert outcomes[code] is not Outcome.PASS, other


def test_short_tags_and_parameters_of_cloudformation_are_read():
    """!Ref of a parameter with a default is its default; !Sub without blanks is its text."""
    text = """\
Parameters: {Mode: {Type: String, Default: bridge}}
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Cpu: 512
      Memory: !Sub "1024"
      NetworkMode: !Ref Mode
      TaskRoleArn: !GetAtt Role.Arn
      ContainerDefinitions: !If [Old, [], []]
"""
    found = {look.code: look for look in looks("t.yaml", text)}
    assert found["FG02"].outcome is Outcome.FAIL and found["FG01"].outcome is Outcome.PASS
    assert found["FG02"].findings[0].where == "t.yaml#Task.networkMode"
    assert found["GD01"].outcome is Outcome.NOT_CHECKED


def test_a_task_of_machines_has_no_limits_of_fargate():
    """It says so; what NIST asks is asked all the same."""
    text = written("task.json", (("requiresCompatibilities",), ["EC2"]), *guarded.PLANTED.values())
    found = {look.code: look for look in looks("task.json", text)}
    assert found["FG01"].outcome is Outcome.NOT_APPLICABLE and found["FG01"].why
    assert found["GD01"].outcome is Outcome.FAIL


def test_a_secret_is_found_and_not_told():
    """A short word of a dictionary, under a telling name."""
    text = written("task.json", guarded.PLANTED["GD03"])
    [finding] = [each for look in looks("task.json", text) for each in look.findings]
    assert finding.code == "GD03" and "hunter2" not in json.dumps(finding.to_plain())
    assert finding.where == "task.json#app.environment.DB_PASSWORD"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", ""),
        ("a.json", '{"containerDefinitions": ' + "9" * 5000 + "}"),
        ("Dockerfile", ""),
        ("a.yaml", "a: [1"),
        ("a.yaml", "a: &a [x, x]\nb: &b [*a, *a]"),
        ("a.json", '{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}'),
        ("a.json", "[" * 5000 + "]" * 5000),
        ("a.json", '{"containerDefinitions": [{"privileged": true, "privileged": false}]}'),
        ("a.yaml", "Resources: &a {T: {Type: 'AWS::ECS::TaskDefinition', Properties: {C: *a}}}"),
        (
            "a.yaml",
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"a{n}: &a{n} [{','.join([f'*a{n - 1}' if n else '*a'] * 9)}]\n" for n in range(9)
            ),
        ),
    ],
)
def test_what_is_no_definition_is_refused_with_its_name(name, text):
    """Broken, empty, of another kind, too deep, or a bomb."""
    with pytest.raises(ObjectProblem, match=f"^{name}"):
        objects_in(name, text)


@pytest.mark.parametrize(
    "plain",
    [
        {"containerDefinitions": None},
        {"containerDefinitions": ["x", 3, None]},
        {"containerDefinitions": [{"logConfiguration": 3, "linuxParameters": [], "ulimits": "x"}]},
        {"containerDefinitions": [{"environment": [{"value": 3}]}], "volumes": [3], "cpu": []},
        {"containerDefinitions": [], "cpu": "1e400", "memory": "nan"},
        {"containerDefinitions": {}, "ephemeralStorage": "x", "requiresCompatibilities": "EC2"},
    ],
)
def test_looking_never_throws(plain):
    """Whatever stands where something else is expected."""
    assert looks("t.json", json.dumps(plain))


def test_nothing_is_found_in_what_build_writes():
    """Definitions as they are written and as they are rendered, and every Dockerfile."""
    _, planned = test_build.made()
    seen = 0
    for path, text in planned.files.items():
        if path.endswith("task-def.json"):
            rendered = render(text, path, test_build.VALUES)
            assert codes(path, text) == codes(path, rendered) == set(), path
            seen += 1
        elif path.endswith("Dockerfile"):
            assert codes(path, text) == set(), path
            seen += 1
    assert seen >= 4


def test_of_builds_sidecars_nothing_is_found():
    """Their roots are read-only, too."""
    more = "build: {subnets: [subnet-1], sidecars: [relay, datadog], logs: firelens}"
    text = test_build.PROJECT.replace("build: {subnets: [subnet-1]}", more)
    _, planned = test_build.made(text)
    name = "ecs/ecs-task-def.json"
    found = [each for look in looks(name, planned.files[name]) for each in look.findings]
    assert found == []
    for container in ("log-router", "relay", "datadog-agent"):
        assert f'"name": "{container}"' in planned.files[name]


def test_both_languages_have_guards_words():
    """The same keys with the same blanks."""
    words = Words(words_of("kirikae.guard"))
    english, japanese = (words.keys(language) for language in LANGUAGES)
    assert english.keys() == japanese.keys()
    assert all(blanks_of(english[key]) == blanks_of(japanese[key]) for key in english)


# --- the verb


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_verb_says_what_is_wrong_and_what_to_do(folder):
    """Exit 6; in text with the remedy, in JSON with every check."""
    folder.joinpath("task.json").write_text(written("task.json", guarded.PLANTED["FG04"]))
    done = run("guard", "check", "task.json")
    assert done.exit_code == 6
    assert "task.json#app.privileged: app: the container asks" in done.stdout
    assert "remove privileged" in done.stdout
    plain = json.loads(run("guard", "check", "task.json", "--json").stdout)
    assert plain["outcome"] == "found" and plain["grave"] == 1
    assert {each["outcome"] for each in plain["checks"]} == {"pass", "fail"}
    assert "特権モード" in run("guard", "check", "task.json", "--lang", "ja").stdout


def test_thresholds_and_strictness_decide_the_exit_code(folder):
    """Work is found from `work` on; what is open counts when asked."""
    folder.joinpath("w.json").write_text(written("task.json", guarded.PLANTED["GD02"]))
    opened = ((*guarded.APP, "user"), None)
    folder.joinpath("o.json").write_text(written("task.json", opened))
    assert run("guard", "check", "w.json").exit_code == 0
    assert run("guard", "check", "w.json", "--threshold", "work").exit_code == 6
    assert run("guard", "check", "o.json").exit_code == 0
    assert run("guard", "check", "o.json", "--strict").exit_code == 6
    assert run("guard", "check", "w.json", "--profile", "fargate@2026-02-30").exit_code == 2
    assert run("guard", "check", "nothing.json").exit_code == 2


def test_ecspressos_file_is_rendered(folder):
    """With variables from a file; what a template says is what is checked."""
    task = guarded.changed(((*guarded.APP, "user"), "{{ must_env `WHO` }}"))
    folder.joinpath("ecs-task-def.json").write_text(json.dumps(task))
    folder.joinpath("ecspresso.yml").write_text(
        "region: ap-northeast-1\ncluster: c\ntask_definition: ecs-task-def.json\n"
    )
    folder.joinpath("values").write_text("WHO=root\n")
    done = run("guard", "check", "ecspresso.yml", "--envfile", "values")
    assert done.exit_code == 6 and "ecs-task-def.json#app.user" in done.stdout, done.output
    assert run("guard", "check", "ecspresso.yml").exit_code == 2
    assert run("guard", "check", "ecs-task-def.json").exit_code == 0


WAIVED = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {{target_group: a, hosts: ["ssh://web1"]}}
  new: {{cluster: c, ecs_service: b, target_group: b}}
accepted:
  - {{finding: FG04, where: "task.json#app.privileged", why: old agent, by: SRE, until: {until}}}
"""


def test_a_waiver_has_a_reason_and_an_end(folder):
    """Until its day the finding is shown and does not fail the build; after it, it does."""
    folder.joinpath("task.json").write_text(written("task.json", guarded.PLANTED["FG04"]))
    folder.joinpath("kirikae.yml").write_text(WAIVED.format(until="2099-01-01"))
    done = run("guard", "check", "task.json")
    assert done.exit_code == 0 and "old agent" in done.stdout and "FG04" in done.stdout
    folder.joinpath("kirikae.yml").write_text(WAIVED.format(until="2020-01-01"))
    done = run("guard", "check", "task.json")
    assert done.exit_code == 6 and "FG04" in done.stderr


# --- odd shapes


LATER = {
    "Fn::ForEach::Tasks": ["Each", ["a"], {"T": {"Type": "AWS::ECS::TaskDefinition"}}],
    "T": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Fn::If": ["Old", {}, {}]}},
}


@pytest.mark.parametrize("label", LATER)
def test_a_resource_that_only_the_deployment_knows_is_not_green(label):
    """A loop, a condition for all of its properties: no check of it passes, and none fails."""
    found = looks("t.json", json.dumps({"Resources": {label: LATER[label]}}))
    assert {look.outcome for look in found} == {Outcome.NOT_CHECKED} and len(found) > 15


def test_a_plan_of_modules_in_loops_and_of_values_that_come_later():
    """Addresses with quotes stay as they are; what only the apply knows is open, however deep it
    stands; a resource without values is not checked."""
    plan = json.loads(written("plan.json", (("ephemeralStorage",), {"sizeInGiB": 30})))
    [module] = plan["planned_values"]["root_module"]["child_modules"]
    address = 'module.web["a#b"].aws_ecs_task_definition.shop["x.y"]'
    module["resources"][0]["address"] = address
    module["resources"][0]["values"]["ephemeral_storage"] = [{}]
    change = {"after_unknown": {"ephemeral_storage": [{"size_in_gib": True}], "volume": [False]}}
    plan["resource_changes"] = [{"address": address, "change": change}]
    found = {look.code: look for look in looks("p.json", json.dumps(plan))}
    assert found["FG09"].outcome is Outcome.NOT_CHECKED
    assert found["FG01"].where == f"p.json#{address}"
    module["resources"][0]["values"] = None
    outcomes = {look.outcome for look in looks("p.json", json.dumps(plan))}
    assert outcomes == {Outcome.NOT_CHECKED}


LONG = {
    "stages": "FROM a AS a\n"
    + "".join(f"FROM a{n} AS a{n + 1}\nRUN chmod 777 /x\n" for n in range(3000)),
    "downloads": "FROM a\nRUN " + "curl " * 20_000,
    "installations": "FROM a\nRUN " + "apt-get install " * 20_000,
    "options": "FROM a\nRUN chmod " + "-R " * 20_000,
    "variables": "FROM " + "${a" * 20_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_dockerfile_is_read_in_seconds(name):
    """No pattern goes over it again and again."""
    begun = time.process_time()
    looks("Dockerfile", LONG[name])
    assert time.process_time() - begun < 10


LONG_VALUES = ["://" + ":" * 100_000, "eyJ" * 60_000, "a" * 300_000, "x_" * 100_000, "a:/" * 90_000]


@pytest.mark.parametrize("value", LONG_VALUES, ids=range(len(LONG_VALUES)))
def test_a_long_value_is_read_in_seconds(value):
    """As a value and as a name."""
    begun = time.process_time()
    for row in ({"name": "X", "value": value}, {"name": value, "value": "y"}):
        looks("task.json", written("task.json", ((*guarded.APP, "environment"), [row])))
    assert time.process_time() - begun < 10


def test_files_of_other_encodings_are_refused_with_their_line(folder):
    """Shift_JIS, as editors in Japan still write it, and UTF-16."""
    text = '{"family": "x",\n "tags": "店", "containerDefinitions": []}'
    folder.joinpath("s.json").write_bytes(text.encode("shift_jis"))
    done = run("guard", "check", "s.json")
    assert done.exit_code == 2 and "s.json:2: not UTF-8" in done.stderr
    folder.joinpath("Dockerfile").write_bytes("# 設定\nFROM a\n".encode("shift_jis"))
    assert run("guard", "check", "Dockerfile").exit_code == 2


def test_a_waiver_that_fits_nothing_is_told(folder):
    """It answers for nothing: somebody mended the fault, or wrote the place wrong."""
    folder.joinpath("task.json").write_text(written("task.json", guarded.PLANTED["FG04"]))
    text = WAIVED.format(until="2099-01-01").replace("app.privileged", "other.privileged")
    folder.joinpath("kirikae.yml").write_text(text)
    done = run("guard", "check", "task.json")
    assert done.exit_code == 6 and "other.privileged" in done.stderr


def test_a_file_of_jsonnet_is_told_how_to_become_one_that_is_read():
    """Not that its third line is no YAML."""
    with pytest.raises(ObjectProblem, match=r"ecs render taskdef >task.json.*ecspresso.yml"):
        plain_of("task.jsonnet", "local a = 1;\n{family: 'a'}")
