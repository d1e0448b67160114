"""ecspresso's files are read unchanged; what they would change of what runs is told, and nothing
else."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirikae.model.errors import KirikaeError
from kirikae.release.ecs import comparing, config, goduration, initial, remote, versions
from kirikae.release.ecs.canonical import Why, service_form, task_form
from kirikae.release.ecs.config import Wanted, load
from kirikae.release.ecs.gojson import written
from kirikae.release.ecs.initial import Place
from kirikae.release.ecs.jsonnet import External
from kirikae.release.ecs.linediff import unified
from kirikae.release.ecs.tfstate import state_from
from kirikae.release.ecs_fleet import change
from kirikae.release.errors import DefinitionProblem, TemplateProblem
from tests.command import run
from tests.described import SERVICES, TASKS, Described

TASK = {
    "taskDefinitionArn": "arn:aws:ecs:x:1:task-definition/web:3",
    "family": "web",
    "networkMode": "awsvpc",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "httpd",
            "cpu": 0,
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
        }
    ],
}
SERVICE = {
    "serviceArn": "arn:aws:ecs:x:1:service/c/shop",
    "serviceName": "shop",
    "status": "ACTIVE",
    "taskDefinition": TASK["taskDefinitionArn"],
    "desiredCount": 2,
    "launchType": "FARGATE",
    "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY"}],
}


def opened(folder, environment=None, aws=None, external=None):
    return load(Wanted(folder, environment or {}, lambda _: aws, None, external or External()))


def begin(folder, aws, **more):
    """What `ecs init` writes."""
    place = Place("eu-west-1", "c", "shop", folder / "ecspresso.yml", "td.json", "sv.json", **more)
    service = remote.service(aws, "c", "shop")
    files = initial.files(place, service, remote.task(aws, service.task_definition))
    for path, text in files.items():
        path.write_text(text)
    return files


def compared(folder, aws, environment=None):
    found = opened(folder, environment, aws)
    return list(comparing.differences(found, aws, comparing.load_all(found)))


# --- init, then diff


@settings(max_examples=60, deadline=None)
@given(SERVICES, TASKS, st.booleans(), st.booleans())
def test_what_init_wrote_differs_from_what_runs_in_nothing(
    tmp_path_factory, service, task, jsonnet, sort
):
    """Whatever its shape, also where values look like templates or hold quotes."""
    folder = tmp_path_factory.mktemp("init")
    aws = Described(service, task)
    begin(folder, aws, jsonnet=jsonnet, sort=sort)
    for each in compared(folder, aws):
        assert (each.text, each.differences) == ("", ())


@settings(max_examples=60, deadline=None)
@given(SERVICES, TASKS)
def test_the_one_form_has_one_form(service, task):
    """Again, in another order, or with every default written out: the same."""
    for form, plain in ((service_form, service), (task_form, task)):
        once = form(plain).plain
        at_creation = {
            key: plain[key] for key in ("schedulingStrategy", "launchType") if key in plain
        }
        assert form({**once, **at_creation}).plain == once
        turned = deepcopy(plain)
        for key in ("tags", "containerDefinitions", "volumes"):
            turned.get(key, []).reverse()
        assert written(form(turned).plain) == written(once)


def test_no_difference_prints_nothing_and_each_difference_has_its_reason(tmp_path):
    """A default that one side writes out, an order, and what is left alone are none."""
    aws = Described(SERVICE, TASK)
    begin(tmp_path, aws)
    task = deepcopy(TASK)
    web = task["containerDefinitions"][0]
    web["environment"].reverse()
    web["essential"] = True
    web["portMappings"] = [{"containerPort": 80}]
    (tmp_path / "td.json").write_text(json.dumps({**task, "taskDefinitionArn": None}))
    (tmp_path / "sv.json").write_text(
        json.dumps({"launchType": "EC2", "enableExecuteCommand": True})
    )
    of_service, of_task = compared(tmp_path, aws)
    assert of_task.text == "" and of_task.differences == ()
    places = {note.place: note.why for note in of_task.hidden}
    assert places["containerDefinitions[web].environment"] is Why.SORTED
    assert places["containerDefinitions[web].portMappings[0].hostPort"] is Why.DEFAULT
    why = {each.place: each.why for each in of_service.differences}
    assert why["enableExecuteCommand"] is Why.DEFAULT and why["launchType"] is Why.FIXED
    assert {note.place: note.why for note in of_service.hidden}["desiredCount"] is Why.IGNORED
    assert of_service.text.startswith(f"--- {SERVICE['serviceArn']}\n+++ ")
    assert '-  "enableExecuteCommand": false,\n' in of_service.text
    assert '+  "enableExecuteCommand": true,\n' in of_service.text


def test_a_new_service_is_all_plus(tmp_path):
    aws = Described(SERVICE, TASK)
    begin(tmp_path, aws)
    of_service, of_task = compared(tmp_path, Described({**SERVICE, "status": "INACTIVE"}, TASK))
    assert all(line[0] in "+@-" for line in of_service.text.splitlines())
    assert "\n-" not in of_service.text.partition("@@")[2]
    assert of_task.differences == ()


def test_ignored_tags_and_what_the_balancer_s_owner_swaps_are_no_difference(tmp_path):
    aws = Described({**SERVICE, "tags": [{"key": "who", "value": "ci"}]}, TASK)
    begin(tmp_path, aws)
    file = tmp_path / "ecspresso.yml"
    file.write_text(file.read_text() + "ignore: {tags: [who]}\n")
    (tmp_path / "sv.json").write_text('{"launchType": "FARGATE"}')
    of_service, _ = compared(tmp_path, aws)
    assert of_service.text == ""
    assert ("tags.who", Why.IGNORED) in [(note.place, note.why) for note in of_service.hidden]


# --- configurations


CONFIG = "service: shop\ncluster: c\nservice_definition: sv.json\ntask_definition: td.json\n"


def test_the_default_names_are_tried_in_order(tmp_path):
    for name, text, service in (
        ("ecspresso.jsonnet", "{service: 'four'}", "four"),
        ("ecspresso.json", '{"service": "three"}', "three"),
        ("ecspresso.yaml", "service: two", "two"),
        ("ecspresso.yml", "service: one", "one"),
    ):
        (tmp_path / name).write_text(text)
        assert opened(tmp_path).service == service
    (tmp_path / "ecspresso.yml").unlink()
    assert opened(tmp_path).service == "two"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CONFIG + "timeout: ten\n", r"yml:5: `timeout` cannot be read"),
        (CONFIG + "required_version: '< 2.0'\n", r"yml:5: `required_version` is < 2.0"),
        (CONFIG + "required_version: soon\n", r"yml:5: `required_version` cannot be read"),
        (CONFIG + "express_definition: e.json\n", r"yml:5: `express_definition` services of Expr"),
        (CONFIG + "plugins: [{name: vault}]\n", r"yml:5: plugin vault is not available"),
        (CONFIG + "cluster: [a]\n", "not YAML"),
        (CONFIG.replace("shop", "12"), r"yml:1: `service` must be text"),
        ("a: {{ nope }}", r'yml:1: function "nope" not defined'),
        (
            CONFIG + "timeout: '{{ tfstate `a` }}'\nx: {{ env `a` }}",
            r"yml:5: .* of the plugin tfstate",
        ),
        ("- a", "must hold one object"),
        (CONFIG + "ignore: [a]\n", r"yml:5: `ignore` has one key"),
        (CONFIG + "codedeploy: shop\n", r"yml:5: `codedeploy` has keys and values \(application_n"),
        (
            CONFIG + "codedeploy:\n  application_name: [a]\n",
            r"yml:6: .* must be text",
        ),
        (CONFIG + "appspec: true\n", r"yml:5: `appspec` has keys and values \(Hooks\)"),
        (
            CONFIG + "appspec:\n  Hooks: BeforeInstall\n",
            r"yml:6: `Hooks` .* must be a list",
        ),
        (
            CONFIG + "plugins:\n- {name: tfstate, config: {path: a}}\n"
            "- {name: tfstate, config: {path: b}}\n",
            r"yml:6: template function tfstate already exists: set `func_prefix`",
        ),
    ],
)
def test_what_cannot_be_used_of_a_configuration_is_told_with_its_line(tmp_path, text, says):
    (tmp_path / "ecspresso.yml").write_text(text)
    with pytest.raises(DefinitionProblem, match=says):
        opened(tmp_path)


def test_items_of_yaml_may_stand_inside_of_a_template_s_condition(tmp_path):
    """Not YAML before the template is carried out."""
    (tmp_path / "ecspresso.yml").write_text(
        CONFIG + "plugins:\n{{ if env `STATE` `` }}\n"
        "- name: tfstate\n  config: {path: {{ env `STATE` `` }} }\n{{ end }}\n"
    )
    assert "tfstate" not in opened(tmp_path).around.functions.templates
    assert "tfstate" in opened(tmp_path, {"STATE": "s"}).around.functions.templates


def test_a_key_may_call_a_plugin_that_the_same_file_names(tmp_path):
    (tmp_path / "s").write_text(
        '{"version": 4, "outputs": {"c": {"value": "x", "type": "string"}}}'
    )
    (tmp_path / "ecspresso.yml").write_text(
        "cluster: '{{ tfstate `output.c` }}'\n"
        "plugins: [{name: tfstate, config: {path: '{{ env `P` `s` }}'}}]\n"
    )
    assert opened(tmp_path).cluster == "x"


def test_yaml_is_read_as_1_2(tmp_path):
    """`no` is a name, and no truth value."""
    (tmp_path / "ecspresso.yml").write_text("service: no\ncluster: on\ntimeout: 90\nsvc: 1\n")
    found = opened(tmp_path)
    assert (found.service, found.cluster, found.timeout_s) == ("no", "on", 90)
    assert found.remarks == (f"{found.path}:4: `svc` is not known; did you mean service?",)


def test_a_key_that_codedeploy_does_not_have_is_told_and_read_over(tmp_path):
    """As ecspresso does."""
    text = "codedeploy:\n  application_name: a\n  deployment_group: b\n"
    (tmp_path / "ecspresso.yml").write_text(text)
    found = opened(tmp_path)
    assert found.remarks == (
        f"{found.path}:3: `deployment_group` is not known in `codedeploy`; did you mean "
        "deployment_group_name?",
    )


@pytest.mark.parametrize("path", ["diff", "external"])
@pytest.mark.parametrize(
    ("task", "service", "says"),
    [
        ({"tags": 1}, {}, "td.json: tags must be a list, not 1"),
        ({"containerDefinitions": {"a": 1}}, {}, "td.json: containerDefinitions must be a list"),
        (
            {"containerDefinitions": [{"portMappings": [80]}]},
            {},
            r"portMappings\[0\] must be",
        ),
        (
            {},
            {"deploymentConfiguration": "x"},
            "sv.json: deploymentConfiguration must be",
        ),
        ({}, {"capacityProviderStrategy": [{"capacityProvider": 1}]}, r"Strategy\[0\]\.capacityPr"),
    ],
)
def test_values_of_another_kind_are_told_with_their_place(tmp_path, path, task, service, says):
    """No sense can be made of the rest; AWS is not asked."""
    (tmp_path / "ecspresso.yml").write_text(CONFIG)
    (tmp_path / "td.json").write_text(json.dumps({"family": "web", **task}))
    (tmp_path / "sv.json").write_text(json.dumps(service))
    found = opened(tmp_path)
    look = comparing.differences if path == "diff" else comparing.sides
    with pytest.raises(DefinitionProblem, match=says):
        list(look(found, None, comparing.load_all(found)))


def test_jsonnet_has_variables_imports_and_native_functions(tmp_path):
    (tmp_path / "lib.libsonnet").write_text("{family: 'web-' + std.extVar('stage')}")
    (tmp_path / "note.txt").write_text("hi")
    (tmp_path / "td.jsonnet").write_text("""
        local must_env = std.native('must_env');
        (import 'lib.libsonnet') + {
          cpu: std.toString(std.extVar('cpu')),
          containerDefinitions: [{
            name: must_env('NAME'),
            image: '{{ must_env `IMAGE` }}',
            command: [importstr 'note.txt', std.native('env')('X', 'other')],
          }],
        }""")
    (tmp_path / "ecspresso.jsonnet").write_text("{service:: 'x', task_definition: 'td.jsonnet'}")
    external = External({"stage": "a"}, {"cpu": "2 * 128"})
    found = opened(tmp_path, {"NAME": "n", "IMAGE": "i"}, None, external)
    assert comparing.load_all(found).task.plain == {
        "family": "web-a",
        "cpu": "256",
        "containerDefinitions": [{"name": "n", "image": "i", "command": ["hi", "other"]}],
    }
    with pytest.raises(DefinitionProblem, match=r"give it: --ext-str cpu=TEXT, or --ext-code cpu="):
        comparing.load_all(opened(tmp_path, {"NAME": "n"}, None, External({"stage": "a"})))
    with pytest.raises(DefinitionProblem, match=r"td.jsonnet: the environment variable NAME"):
        comparing.load_all(opened(tmp_path, {"IMAGE": "i"}, None, external))


def test_plugins_ask_aws_once_and_an_external_one_a_command(tmp_path):
    asked = []

    class Aws:
        def client(self, _):
            return self

        def get_parameter(self, Name, **_):
            asked.append(Name)
            kind = "StringList" if Name == "list" else "String"
            return {"Parameter": {"Value": "a,b", "Type": kind}}

        def describe_secret(self, SecretId):
            return {"ARN": f"arn:{SecretId}-AbCdEf"}

        def describe_stacks(self, StackName):
            return {"Stacks": [{"Outputs": [{"OutputKey": "K", "OutputValue": "out"}]}]}

        def get_caller_identity(self):
            return {"Account": "123456789012", "Arn": "arn:me", "UserId": "u"}

    (tmp_path / "ecspresso.yml").write_text("""
service: "{{ ssm `p` }}{{ ssm `p` }}-{{ ssm `list` 1 }}-{{ secretsmanager_arn `s` }}"
cluster: "{{ cfn_output `st` `K` }}-{{ (caller_identity).Account }}-{{ x_twice `q` }}"
plugins:
- {name: CloudFormation}
- {name: external, func_prefix: x_, config: {name: twice, num_args: 1,
   command: [sh, -c, 'echo $1$1', '-'], parser: string}}
""")
    found = opened(tmp_path, {"PATH": "/usr/bin:/bin"}, Aws())
    assert found.service == "a,ba,b-b-arn:s-AbCdEf"
    assert found.cluster == "out-123456789012-qq"
    assert asked.count("p") <= 2 * 2
    (tmp_path / "ecspresso.yml").write_text("service: '{{ ssm `list` }}'")
    with pytest.raises(DefinitionProblem, match="StringList: say which of its 2 values"):
        opened(tmp_path, {}, Aws())


STATE = json.dumps(
    {
        "version": 4,
        "outputs": {"name": {"value": {"a-b": [1, 2]}, "type": "map"}},
        "resources": [
            {
                "mode": "managed",
                "type": "aws_subnet",
                "name": "az",
                "instances": [
                    {"index_key": "a", "attributes": {"id": "s-a"}},
                    {"index_key": "c", "attributes": {"id": "s-c", "tags": {"x.y": 3}}},
                ],
            },
            {
                "module": "module.vpc",
                "mode": "data",
                "type": "aws_vpc",
                "name": "one",
                "instances": [{"attributes": {"id": "v", "none": None}}],
            },
            {
                "mode": "managed",
                "type": "t",
                "name": "many",
                "instances": [
                    {"index_key": 0, "attributes": {"id": "0"}},
                    {"index_key": 2, "attributes": {"id": "2"}},
                ],
            },
        ],
    }
)


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("output.name.a-b[1]", 2),
        ('output.name["a-b"]', [1, 2]),
        ("aws_subnet.az['a'].id", "s-a"),
        ('aws_subnet.az["c"].tags["x.y"]', 3),
        ("module.vpc.data.aws_vpc.one.id", "v"),
        ("t.many", [{"id": "0"}, None, {"id": "2"}]),
        ("t.many[2].id", "2"),
        ("t.many[0]", {"id": "0"}),
        ("module.vpc.data.aws_vpc.one.none", TemplateProblem),
        ("aws_subnet.az['b'].id", TemplateProblem),
        ("aws_subnet.azimuth", TemplateProblem),
        ("t.many[0] | length", TemplateProblem),
    ],
)
def test_addresses_of_a_terraform_state(address, value):
    """Exact, in a group, and by a path into a value; nothing is an error."""
    state = state_from(STATE, "terraform.tfstate")
    if value is TemplateProblem:
        with pytest.raises(TemplateProblem, match=r"tfstate|is no path"):
            state.lookup(address)
    else:
        assert state.lookup(address) == value


def test_durations_and_versions_are_read_as_go_and_hashicorp_do():
    durations = {"10m0s": 600, "1h30m": 5400, "1.5h": 5400, "300ms": 0.3, 90: 90, "0": 0}
    assert {text: goduration.seconds(text) for text in durations} == durations
    for wrong in ("10", "m", "10 m", True, None):
        with pytest.raises(ValueError, match="duration"):
            goduration.seconds(wrong)
    assert [
        versions.satisfies(text, "2.8.7")
        for text in (">= 2.0", "~> 2.3", "~> 2.3.0", "2.8.7", "!= 2.8.7", ">= 2, < 2.8")
    ] == [True, True, False, True, False, False]


def test_what_no_call_takes_is_told_by_its_place_and_left_out(tmp_path):
    """A key in another case is that key; labels keep theirs."""
    (tmp_path / "ecspresso.yml").write_text("task_definition: td.json\n")
    container = {"Name": "a", "image": "x", "dockerLabels": {"Com.X": "1"}, "comand": ["y"]}
    (tmp_path / "td.json").write_text(
        json.dumps(
            {"taskDefinition": {"family": "f", "revision": 1, "containerDefinitions": [container]}}
        )
    )
    found = comparing.load_all(opened(tmp_path)).task
    assert found.plain["containerDefinitions"] == [
        {"name": "a", "image": "x", "dockerLabels": {"Com.X": "1"}}
    ]
    assert [each.says for each in found.unknown] == [
        "revision is what AWS answers and does not take; it is left out",
        "containerDefinitions[0].comand is no key that AWS knows; did you mean command?; it is "
        "left out",
    ]


@pytest.mark.parametrize("key", ["taskDefinition", "TaskDefinition", "taskdefinition"])
def test_a_task_definition_may_be_wrapped_in_whatever_case(tmp_path, key):
    """With its tags beside it."""
    (tmp_path / "ecspresso.yml").write_text("task_definition: td.json\n")
    inner = {"Family": "f", "ContainerDefinitions": [{"Name": "a"}]}
    wrapped = {key: inner, "Tags": [{"Key": "k", "Value": "v"}]}
    (tmp_path / "td.json").write_text(json.dumps(wrapped))
    assert comparing.task_of(opened(tmp_path)).plain == {
        "family": "f",
        "containerDefinitions": [{"name": "a"}],
        "tags": [{"key": "k", "value": "v"}],
    }


def test_a_native_function_that_nobody_offers_is_named(tmp_path):
    """The engine says only that something was null."""
    (tmp_path / "ecspresso.yml").write_text("task_definition: td.jsonnet\n")
    text = "local t = std.native('net_tfstate');\n{ family: std.native('env')('A', 'a') + t('x') }"
    (tmp_path / "td.jsonnet").write_text(text)
    with pytest.raises(DefinitionProblem, match=r"native function net_tfstate: (?s:.*)jsonnet:2:"):
        comparing.task_of(opened(tmp_path))


def test_what_a_file_says_is_empty_is_sent_empty(tmp_path):
    """That is how AWS takes an attribute away from a service."""
    (tmp_path / "ecspresso.yml").write_text("service: shop\nservice_definition: sv.json\n")
    removed = {
        "loadBalancers": [],
        "volumeConfigurations": [],
        "serviceConnectConfiguration": {"enabled": False},
    }
    (tmp_path / "sv.json").write_text(json.dumps(removed))
    plain = comparing.service_of(opened(tmp_path)).plain
    assert change(True, "shop", {}, plain, "c").service == removed


def test_a_file_is_rendered_without_the_other_ones(tmp_path, monkeypatch):
    """Whoever asks for the service's definition need not have what the task's asks for."""
    (tmp_path / "ecspresso.yml").write_text(
        "region: eu-west-1\nservice: shop\nservice_definition: sv.json\ntask_definition: td.json\n"
    )
    (tmp_path / "sv.json").write_text('{"desiredCount": 2}')
    (tmp_path / "td.json").write_text('{"family": "{{ must_env `NOWHERE_SET` }}"}')
    monkeypatch.chdir(tmp_path)
    assert run("ecs", "render", "servicedef", "--json").json["rendered"] == {
        "servicedef": {"desiredCount": 2, "serviceName": "shop"}
    }
    assert run("ecs", "render", "taskdef").exit_code == 2


def test_a_configuration_that_is_nowhere_says_how_to_begin(tmp_path):
    with pytest.raises(KirikaeError, match="ecs init --service NAME"):
        opened(tmp_path)
    assert config.found_in(tmp_path) is None


LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "{", "}"]), max_size=12)


@given(LINES, LINES)
def test_a_diff_turns_the_one_text_into_the_other(left, right):
    """Whatever lines hold them together: without `-` the right one, without `+` the left one."""
    texts = ["".join(f"{line}\n" for line in each) for each in (left, right)]
    told = unified(*texts, "l", "r")
    assert (told == "") is (left == right)
    shown = [line for line in told.splitlines()[2:] if not line.startswith("@@")]
    whole = len(left) <= 3
    if told and whole:
        assert [line[1:] for line in shown if line[0] != "+"] == left
    minus = sum(line.startswith("-") for line in shown)
    plus = sum(line.startswith("+") for line in shown)
    assert len(left) - minus == len(right) - plus
