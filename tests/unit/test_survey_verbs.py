"""The verbs of the survey: data first, JSON in every case, Japanese without English sentences."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from datetime import date

import pytest

from kirikae.aws.inventory import Inventory
from kirikae.console import collecting
from kirikae.console.catalogue import catalogue
from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.kinds import read_project
from kirikae.console.speech import Speech
from kirikae.console.state import state_folder
from kirikae.console.survey_verdict import judged
from kirikae.console.surveyed import amazon_file, survey_findings, year_after
from kirikae.model.ec2 import capacity
from kirikae.model.finding import Trace
from kirikae.survey import amazon
from kirikae.survey.catalogue import catalogue as survey_catalogue
from kirikae.survey.errors import BundleProblem
from kirikae.survey.shelf import Shelf
from tests.command import run
from tests.unit.test_survey import FOUND, PROJECT, bundle_text

HOSTS = ("web1", "web2", "batch1")
ENGLISH_SENTENCE = re.compile(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}")
JAPANESE = re.compile(r"[぀-ヿ一-鿿]")
ANSWER = (
    "accepted:\n"
    "  - {finding: ST03, where: /var/lib/bookshop/sessions, why: 別途対応, by: SRE, "
    "until: 2099-12-31}\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project without any survey."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    return tmp_path


@pytest.fixture
def shop(folder):
    """The same, with a survey of today."""
    shelf = Shelf(folder / ".kirikae" / "bundles")
    for host in HOSTS:
        shelf.put(host, bundle_text(host))
    return folder


def plain(*words):
    return run(*words, "--json").json


# --- reading


def test_show_says_what_blocks_and_ends_with_six(shop):
    """As text, as JSON, and in Japanese."""
    shown = run("survey", "show")
    assert shown.exit_code == 6 and "4 stand in the way of a traffic move" in shown.stdout
    data = plain("survey", "show")
    assert (data["outcome"], data["kind"], data["in_the_way"]) == ("found", "traffic", 4)
    assert data["findings"][0]["severity"] == "high" and len(data["findings"]) == FOUND
    assert run("survey", "show", "--kind", "logs", "--all").stdout.count("\n") > 60


def test_without_a_survey_each_host_is_a_finding_that_blocks_everything(folder):
    """JSON and text say so; questions need a survey."""
    data = plain("survey", "show")
    assert [each["code"] for each in data["findings"]] == ["SV01", "SV01"]
    assert "[blocks every kind of move]" in run("survey", "show").stdout
    asked = run("survey", "ask", "--json")
    assert asked.exit_code == 1 and asked.json["outcome"] == "refused"


@pytest.mark.parametrize(
    "words",
    [
        ("survey", "show", "--all"),
        ("survey", "ask"),
        ("survey", "diff", "web1", "web2"),
        ("survey", "explain", "AW03"),
    ],
)
def test_in_japanese_nothing_is_english(shop, words):
    """Titles and remedies are the catalogue's; places, names and settings stay as they are."""
    (shop / "kirikae.yml").write_text(PROJECT + ANSWER)
    shown = run(*words, "--lang", "ja").stdout
    assert JAPANESE.search(shown)
    for line in shown.splitlines():
        assert not ENGLISH_SENTENCE.search(re.sub(r"`[^`]*`|LANG of \w+", "", line)), line


def test_who_answers_for_a_finding_is_shown_in_both_languages(shop):
    """With the day and the reason; it stands in nobody's way any more."""
    (shop / "kirikae.yml").write_text(PROJECT + ANSWER)
    english = run("survey", "show", "--all").stdout
    assert "accepted by SRE until 2099-12-31: 別途対応" in english
    assert "3 stand in the way" in english
    japanese = run("survey", "show", "--all", "--lang", "ja").stdout
    assert "了承済み：SRE、2099-12-31 まで、理由：別途対応" in japanese
    assert "accepted" in run("survey", "explain", "ST03").stdout


def test_explain_knows_the_codes_of_every_room(shop):
    """Also those that the survey does not look for."""
    for code in sorted(catalogue())[::8]:
        assert run("survey", "explain", code).stdout.startswith(f"{code} ("), code
    assert "`kirikae move plan NAME`" in run("survey", "explain", "TR06").stdout
    assert plain("survey", "explain", "ST03")["findings"][0]["code"] == "ST03"


def test_explain_tells_what_is_known_of_a_path(shop):
    """Findings there, findings of a folder around it, and who names it."""
    data = plain("survey", "explain", "/etc/nginx/sites-available/bookshop")
    assert {"CF05", "CF04"} <= {each["code"] for each in data["findings"]}
    inside = plain("survey", "explain", "/var/lib/bookshop/sessions/x/y")
    assert [each["code"] for each in inside["findings"]] == ["ST03"]
    packaged = run("survey", "explain", "/usr/sbin/nginx").stdout
    assert "belongs to package nginx" in packaged
    nothing = run("survey", "explain", "/nowhere")
    assert nothing.stdout == "nothing was found about /nowhere\n" and nothing.exit_code == 0


@pytest.mark.parametrize("what", ["NOPE", "ST3", "etc/nginx/nginx.conf", "st03 "])
def test_what_is_neither_code_nor_path_is_no_clean_bill(shop, what):
    """A slip of the finger: exit code 2, with what may be meant."""
    ran = run("survey", "explain", what)
    assert ran.exit_code == 2 and "no finding has this code" in ran.stderr
    assert run("survey", "explain", "st03").stdout.startswith("ST03 (")


def test_diff_says_what_differs_and_ends_with_six(shop):
    """Nothing does: 0; the same host twice: refused; a host without a survey: refused."""
    assert run("survey", "diff", "web1", "web2").exit_code == 6
    data = plain("survey", "diff", "web1", "web2")
    assert data["hosts"] == ["web1", "web2"] and data["outcome"] == "found"
    Shelf(shop / ".kirikae" / "bundles").put("twin", bundle_text("web1"))
    alike = run("survey", "diff", "web1", "twin")
    assert alike.exit_code == 0 and "do not differ" in alike.stdout
    assert run("survey", "diff", "web1", "web1").exit_code == 2
    assert "survey collect" in run("survey", "diff", "web1", "web9").stderr


@pytest.mark.parametrize("name", ["../bundles/web1", "x" * 5000, "web1/", "", "*"])
def test_a_name_that_is_no_host_is_no_folder_either(shop, name):
    ran = run("survey", "diff", "web2", name)
    assert ran.exit_code == 1 and "survey collect" in ran.stderr


def test_ask_prints_lines_that_the_project_file_takes(shop):
    """Each is an answer, once somebody has filled it in."""
    asked = run("survey", "ask").stdout
    lines = [line.strip() for line in asked.splitlines() if line.startswith("    - ")]
    assert len(lines) == 6 and asked.endswith("6 questions\n")
    filled = "\n".join(f"  {line}" for line in lines).replace('"..."', '"because"')
    (shop / "kirikae.yml").write_text(f"{PROJECT}accepted:\n{filled}\n")
    assert run("survey", "show").exit_code == 0
    assert run("survey", "ask").stdout == "no open questions\n"
    assert year_after(date(2028, 2, 29)) == date(2029, 2, 28)


def test_every_question_is_one_that_a_person_can_answer(shop):
    """F24: the remedy with a question mark behind it asks nothing."""
    asked = run("survey", "ask").stdout
    assert "may all of them be logged out once?" in asked and "?: " not in asked
    assert "全員が一度ログアウトされてもよいか。" in run("survey", "ask", "--lang", "ja").stdout
    for code, entry in survey_catalogue().items():
        if entry.blocks and code not in ("SV01", "SV02"):
            assert entry.ask.endswith("?"), code
            assert entry.ask_ja.endswith("か。"), code


def test_a_file_that_differs_is_answered_with_the_host_that_is_right(shop):
    """A12: its remedy demands `use: HOST`, so the line has it."""
    [line] = [row for row in run("survey", "ask").stdout.splitlines() if "finding: CF05" in row]
    assert "use: web1, " in line and line.endswith("# use: web1 | web2")


def answered(shop, code, where, until="2099-01-01"):
    text = (
        f'accepted:\n  - {{finding: {code}, where: "{where}", why: x, by: Ann, until: {until}}}\n'
    )
    (shop / "kirikae.yml").write_text(PROJECT + text)


SESSIONS = "/var/lib/bookshop/sessions"


@pytest.mark.parametrize(
    ("code", "where", "until", "why"),
    [
        ("ST03", SESSIONS, "2020-01-01", "expired"),
        ("ST03", "/var/lib/bookshop/session", "2099-01-01", "elsewhere"),
        ("ST99", SESSIONS, "2099-01-01", "no_code_near"),
    ],
)
def test_an_answer_that_answers_for_nothing_is_told(shop, code, where, until, why):
    """F11: it was passed over in silence, and somebody said at 3 a.m. that he had accepted it."""
    answered(shop, code, where, until)
    shown = run("survey", "show", "--json").json
    assert [each["why"] for each in shown["acceptances"]] == [why]
    assert "ST03" in run("survey", "ask").stdout, "it is still a question"


def test_what_blocks_says_that_its_answer_is_over(shop):
    """Whoever is refused reads it where he is refused."""
    answered(shop, "ST03", SESSIONS, "2020-01-01")
    assert "(the answer of Ann held until 2020-01-01)" in run("survey", "show").stdout


def test_an_answer_that_holds_is_not_complained_of(shop):
    answered(shop, "ST03", SESSIONS)
    assert "acceptances" not in run("survey", "show", "--all", "--json").json


def test_a_fleet_without_hosts_can_be_answered_for(shop):
    """F20: the place that works stood in the source alone."""
    text = PROJECT.replace("hosts: [ssh://web1, ssh://web2], ", "")
    (shop / "kirikae.yml").write_text(text)
    asked = run("survey", "ask").stdout
    assert '{finding: SV01, where: "the old fleet"' in asked


def test_the_verdict_says_where_each_host_s_service_can_run(shop):
    """Fargate for the web hosts, with its price; nothing is claimed of what was not seen."""
    data = plain("survey", "verdict")
    places = {each["host"]: each["place"] for each in data["hosts"]}
    assert places == {"web1": "fargate", "web2": "fargate", "batch1": "fargate"}
    assert any("dollars" in line or "$" in line for line in data["cost"])
    assert any("On EC2 capacity" in line and "2 c6i.large" in line for line in data["cost"])
    assert not any("yen" in line for line in data["cost"])
    yen = plain("survey", "verdict", "--yen-per-dollar", "150")["cost"]
    assert sum("At 150 yen a dollar" in line for line in yen) == 2
    assert run("survey", "verdict", "--yen-per-dollar", "0").exit_code == 2
    shown = run("survey", "verdict", "--lang", "ja").stdout
    assert "web1：Fargate。" in shown and not ENGLISH_SENTENCE.search(shown)


@pytest.mark.parametrize(
    ("cpu", "memory", "tasks", "expected"),
    [
        (256, 512, 2, (2, "c6i.large")),
        (1024, 2048, 1, (1, "m6i.large")),
        (1024, 8192, 2, (3, "r6i.large")),
        (16384, 122880, 1, (2, "r6i.4xlarge")),
        (32768, 122880, 1, None),
        (256, 512, 9, (5, "c6i.large")),
    ],
)
def test_ec2_capacity_is_the_cheapest_that_holds_all_tasks_and_one_more(
    cpu, memory, tasks, expected
):
    """By CPU, memory and network interfaces (two of three are the tasks'); two zones for two."""
    found = capacity("ap-northeast-1", cpu, memory, tasks)
    assert (found and (found.many, found.instance.name)) == expected
    assert capacity("sa-east-1", cpu, memory, tasks) is None


@pytest.mark.parametrize(
    ("code", "says", "place"),
    [
        ("ST06", "data", "stays"),
        ("ML04", "mail", "stays"),
        ("PR10", "cap_net_admin", "ec2"),
        ("PR11", "docker", "ec2"),
        ("PR15", "vm.overcommit_memory = 1", "ec2"),
        ("PR15", "net.core.somaxconn = 1024", "fargate"),
        ("SV04", "private", "unknown"),
        ("ST04", "pictures", "fargate"),
    ],
)
def test_what_is_gravest_decides(code, says, place):
    """And what somebody answers for does not."""
    entry = survey_catalogue()[code]
    finding = entry.found("x", says, [Trace("h", "/x", says)])
    assert judged("h", [finding]).place == place
    assert judged("h", [replace(finding, accepted="by Ann")]).place == "fargate"


# --- collecting


@pytest.fixture
def ssh(folder, monkeypatch):
    """An ssh that answers for web1 alone."""
    (folder / "answer").write_text(bundle_text("web1"))
    script = folder / "ssh"
    script.write_text(
        '#!/bin/sh\ncat >/dev/null\nfor word; do case "$word" in web1) cat '
        f'"{folder}/answer"; exit 0 ;; esac; done\necho "no route" >&2; exit 255\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("KIRIKAE_SSH", str(script))
    return script


def test_one_silent_host_does_not_keep_us_from_the_others(folder, ssh):
    """3: some were looked at; 1: none; 0: all that were asked for."""
    collected = run("survey", "collect")
    assert collected.exit_code == 3
    assert re.match(r"web1: \d+ KiB in \d+\.\d s\n$", collected.stdout)
    assert collected.stderr.count("\n") == 2 and "web2: web2" not in collected.stderr
    assert Shelf(folder / ".kirikae" / "bundles").hosts() == ["web1"]
    one = plain("survey", "collect", "web1")
    assert one["outcome"] == "done" and one["hosts"][0]["size"] > 100_000
    none = run("survey", "collect", "web2", "--json")
    assert none.exit_code == 1 and none.json["hosts"][0]["kept"] == ""


def test_a_busy_host_can_be_given_more_time(folder, ssh):
    """And is told to: which option, and a time that is longer."""
    ssh.write_text("#!/bin/sh\nexec sleep 20\n")
    refused = run("survey", "collect", "web1", "--time-limit", "1s")
    assert refused.exit_code == 1
    assert "web1: did not finish within 1 s" in refused.stderr.replace("web1: web1 ", "web1: ")
    assert "a busy host needs longer: --time-limit 1m" in refused.stderr
    assert run("survey", "collect", "--time-limit", "soon").exit_code == 2


def test_each_host_is_told_as_soon_as_it_is_done(folder, ssh):
    """In either language; the answer keeps the order of the project file."""
    heard = []
    here = Here()
    project = load_project(here)
    hosts = collecting.chosen_hosts(project, ["web1", "web2"])
    collected = collecting.collect_from(here, project, hosts, 60, heard.append)
    assert [look.host for look in collected.looks] == ["web1", "web2"]
    for language in ("en", "ja"):
        first, *rest = (Speech(language).say(each) for each in heard)
        assert "web1, web2" in first
        assert len(rest) == 2 and {line[:4] for line in rest} == {"web1", "web2"}
        assert "2" in rest[1]


def test_a_dry_run_of_looking_says_where_it_would_look(folder, ssh):
    """And looks at nothing."""
    assert plain("survey", "collect", "--dry-run")["hosts"] == [f"ssh://{host}" for host in HOSTS]
    assert "would look at what a hangs on" in run("survey", "aws", "--dry-run").stdout
    assert not (folder / ".kirikae").exists()


def test_hosts_that_are_none_of_ours_are_refused(folder, ssh):
    """With those that there are."""
    refused = run("survey", "collect", "db1")
    assert refused.exit_code == 2 and "web1, web2, batch1" in refused.stderr
    bare = PROJECT.replace("hosts: [ssh://web1, ssh://web2], ", "").replace(
        "survey: {also: [ssh://batch1]}\n", ""
    )
    (folder / "kirikae.yml").write_text(bare)
    assert "fleets.old.hosts" in run("survey", "collect").stderr


def test_an_empty_key_is_refused_before_anything_is_looked_at(folder, ssh):
    """Fingerprints of a known key would give secrets away."""
    (folder / ".kirikae").mkdir()
    (folder / ".kirikae" / "survey.key").write_text("")
    refused = run("survey", "collect")
    assert refused.exit_code == 1 and "survey.key" in refused.stderr
    assert not (folder / ".kirikae" / "bundles").exists()


def test_what_answers_with_half_a_bundle_was_not_looked_at(folder, ssh):
    """Nothing of it is kept."""
    (folder / "answer").write_text(bundle_text("web1")[:5000])
    refused = run("survey", "collect", "web1")
    assert refused.exit_code == 1 and "cut off" in refused.stderr
    assert not (folder / ".kirikae" / "bundles").exists()


# --- where things lie


@pytest.mark.parametrize(
    ("store", "place"),
    [
        (".kirikae/state.db", ".kirikae"),
        ("elsewhere/state.db", "elsewhere"),
        ("s3://team/moves", ".kirikae"),
    ],
)
def test_bundles_lie_beside_the_store_s_file_or_in_kirikae(folder, store, place):
    """A bucket is no folder of this machine."""
    (folder / "kirikae.yml").write_text(f"{PROJECT}store: {store}\n")
    here = Here()
    assert state_folder(here, load_project(here)) == folder / place


def test_what_a_former_version_kept_beside_a_bucket_is_found_again(folder):
    """It took the bucket's name for a folder."""
    (folder / "kirikae.yml").write_text(f"{PROJECT}store: s3://team/moves\n")
    (folder / "s3:" / "team").mkdir(parents=True)
    here = Here()
    assert state_folder(here, load_project(here)) == folder / "s3:" / "team"


# --- the AWS side


def seen(**parts):
    found = Inventory(group_arn="arn:tg")
    for name, value in parts.items():
        setattr(found, name, value)
    return found


def looked(monkeypatch, inventory):
    monkeypatch.setattr(amazon.inventory, "of", lambda aws, group, rules: inventory)
    return amazon.look(None, read_project(PROJECT, "kirikae.yml"), ["shop/main"])


@pytest.mark.parametrize(
    ("tags", "owner"),
    [
        ({"ManagedBy": "Terraform"}, "ManagedBy = Terraform"),
        ({"aws:cloudformation:stack-name": "shop"}, "CloudFormation"),
        ({"Name": "terraform"}, ""),
        ({"managed-by": "the platform team"}, ""),
    ],
)
def test_a_rule_of_another_tool_is_told_by_its_tags(monkeypatch, tags, owner):
    """One reader of tags for all rooms: a tag's value must name a tool."""
    found = looked(monkeypatch, seen(rules={"arn:rule": tags}))
    assert [each.code for each in found] == (["AW01"] if owner else [])
    assert all(owner in each.says for each in found)


def test_what_was_seen_of_the_aws_side_is_kept_and_read_again(folder, monkeypatch):
    """Also what a former version kept: it counted nothing."""
    inventory = seen(
        stickiness_s=60,
        admitted=[("sg-1", 443, "sg-2")],
        roles=[("i-1", "role")],
        alarms=["slow"],
        records=[("shop.example", "10.0.0.1")],
        unreadable=[("instances", "AccessDenied")],
    )
    found = looked(monkeypatch, inventory)
    assert [each.code for each in found] == ["unreadable", "ST19", "AW02", "AW03", "AW04", "AW05"]
    assert amazon.from_plain(amazon.to_plain(found)) == found
    former = [
        {name: value for name, value in row.items() if name != "count"}
        for row in json.loads(amazon.to_plain(found))
    ]
    assert amazon.from_plain(json.dumps(former)) == found
    monkeypatch.setattr(collecting.Aws, "identity", lambda self, account: "arn")
    assert len(plain("survey", "aws")["findings"]) == 6
    assert "AW05" in {each.code for each in survey_findings(Here(), load_project(Here()))}


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"code": "AW01"}]'])
def test_a_look_at_the_aws_side_that_cannot_be_read_says_how_to_look_again(shop, text):
    """Never half of it."""
    amazon_file(Here(), load_project(Here())).write_text(text)
    refused = run("survey", "show")
    assert refused.exit_code == 1 and "`kirikae survey aws` looks again" in refused.stderr
    with pytest.raises(BundleProblem):
        amazon.from_plain(text)


# --- the catalogue


@pytest.mark.parametrize("code", sorted(survey_catalogue()))
def test_each_code_says_in_both_languages_what_it_is_and_what_to_do(code):
    """Japanese for Japanese readers, and one word for each side."""
    entry = survey_catalogue()[code]
    for text in (entry.title_ja, entry.remedy_ja):
        assert JAPANESE.search(text), text
        assert not ENGLISH_SENTENCE.search(re.sub(r"`[^`]*`", "", text)), text
        assert not re.search("旧側|新側|新しい側", text), text
    assert entry.title != entry.title_ja and entry.remedy != entry.remedy_ja
