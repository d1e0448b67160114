"""`kirikae init` writes what it saw, asks what it did not see, and never writes over a file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from kirikae.aws import discovery
from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.first_file import CHANGE_ME
from tests.cloud import ACCOUNT, REGION, Account, client, empty_cloud
from tests.command import run

SSH = """\
#!/bin/sh
# Hosts of this test: what follows the options is the name, then the command.
cat >/dev/null
case " $* " in
  *" web1 "*) echo "addresses ADDRESS1"; echo "root /srv/shop";;
  *" web2 "*) echo "addresses ADDRESS2 172.17.0.1";;
  *) echo "no such host" >&2; exit 255;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("KIRIKAE_SSH", "false")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def account(folder: Path) -> Iterator[Account]:
    with empty_cloud():
        yield Account()


@pytest.fixture
def hosts(account: Account, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh reaches web1 and web2, by these names alone."""
    script = folder / "ssh"
    text = SSH.replace("ADDRESS1", account.addresses[0])
    script.write_text(text.replace("ADDRESS2", account.addresses[1]))
    script.chmod(0o755)
    monkeypatch.setenv("KIRIKAE_SSH", str(script))


def project(file: Path = Path("kirikae.yml")):
    return kinds.read_project(file.read_text(encoding="utf-8"), str(file))


def asked(*words: str) -> dict[str, list[str]]:
    """What it asks, by the key that is asked for."""
    found: dict[str, list[str]] = {}
    for question in run("init", "--dry-run", "--json", *words).json["questions"]:
        found.setdefault(question["about"], []).append(question["says"])
    return found


def test_it_writes_what_aws_and_the_hosts_say(account, hosts):
    """A rule with weights, an ECS service behind one of its groups, two instances that ssh reaches
    by their names."""
    account.rule()
    account.service()
    ran = run("init")
    assert ran.exit_code == 0 and "wrote kirikae.yml" in ran.stdout
    found = project()
    assert (found.service, found.account, found.region) == ("shop", ACCOUNT, REGION)
    assert found.fleets.old.target_group == "shop-ec2" and found.fleets.old.port == 8080
    assert found.fleets.old.hosts == ("ssh://web1", "ssh://web2")
    new = found.fleets.new
    assert (new.cluster, new.ecs_service, new.target_group) == ("shop", "shop-web", "shop-ecs")
    assert found.moves["web"].router.listener_rule == "shop/main"
    assert [(check.get, check.expect) for check in found.checks] == [("/health", 200)]
    text = Path("kirikae.yml").read_text()
    assert CHANGE_ME not in text.split("\n\n", 1)[1]
    assert "/srv/shop" in text and "shop-ec2 999" in text
    assert stat.S_IMODE(Path("kirikae.yml").stat().st_mode) == 0o644
    assert run("project", "check").exit_code == 0


def test_it_never_writes_over_a_file(account, hosts):
    """Exit code 1, and what to do instead; AWS is not even asked."""
    Path("kirikae.yml").write_text("mine\n")
    ran = run("init")
    assert ran.exit_code == 1 and "--project OTHER.yml init" in ran.stderr
    assert Path("kirikae.yml").read_text() == "mine\n"
    account.rule()
    assert run("--project", "other.yml", "init").exit_code == 0
    assert project(Path("other.yml")).service == "shop"


def test_a_dry_run_prints_the_file_and_writes_none(account, hosts):
    """The same text as would be written."""
    account.rule()
    account.service()
    ran = run("init", "--dry-run")
    assert not Path("kirikae.yml").exists()
    run("init")
    assert ran.stdout == Path("kirikae.yml").read_text()


def test_json_has_the_text_and_the_questions(account, hosts):
    """One object."""
    account.rule()
    answer = run("init", "--json").json
    assert answer["outcome"] == "done" and answer["file"] == "kirikae.yml"
    assert answer["text"] == Path("kirikae.yml").read_text()
    assert {each["about"] for each in answer["questions"]} >= {"fleets.new", "checks"}


def test_japanese_people_are_asked_in_japanese(account, hosts):
    """And the file can be read all the same."""
    account.rule()
    assert run("init", "--lang", "ja").exit_code == 0
    assert "旧環境" in Path("kirikae.yml").read_text(encoding="utf-8")
    assert project().service == "shop"


# --- what it does not see, it asks


def test_the_default_rule_is_named_as_one_that_cannot_be_turned(account, hosts):
    """ModifyRule does not change a listener's default rule (ELB API reference, ModifyListener)."""
    found = asked()
    assert "default rule" in found["moves.web.router"][0]
    run("init")
    assert project().moves["web"].router.listener_rule == f"shop/{CHANGE_ME}"
    assert project().fleets.old.target_group == "shop-ec2"


def test_a_load_balancer_without_a_listener_is_not_said_to_have_users(account, hosts):
    """Nothing was seen of where users come from: nothing is said of it."""
    boto3.client("elbv2").delete_listener(ListenerArn=account.listener)
    ran = run("init", "--load-balancer", "shop", "--json")
    assert ran.exit_code == 0, ran.stderr
    told = ran.stdout
    assert "No listener of shop forwards anywhere" in told
    assert "No listener of this load balancer forwards to one" in told
    assert "Users come by" not in told


def test_no_ecs_service_yet_is_a_question_and_no_name_is_made_up(account, hosts):
    """CHANGE-ME stands for each of the three."""
    account.rule()
    assert "no ECS service behind a load balancer yet" in asked()["fleets.new"][0]
    run("init")
    new = project().fleets.new
    assert {new.cluster, new.ecs_service, new.target_group} == {CHANGE_ME}


def test_two_groups_without_ecs_are_not_told_apart(account, hosts):
    """Weights say nothing about which one is old."""
    account.rule()
    assert "shop-ec2, shop-ecs" in asked()["fleets.old.target_group"][0]
    run("init")
    assert project().fleets.old.target_group == f"{CHANGE_ME}-OLD"


def test_ecs_that_may_not_be_read_is_not_taken_for_ecs_that_is_empty(account, hosts, monkeypatch):
    """AccessDenied: nobody could look."""
    account.rule()
    account.service()
    _deny(monkeypatch, "ListClusters")
    assert "ECS could not be read" in asked()["fleets.new"][0]
    assert "fleets.old.target_group" in asked()


def test_a_deleted_cluster_is_passed_over(account, hosts, monkeypatch):
    """AWS names it for a while, and refuses to list its services."""
    account.rule()
    account.service()
    ecs = client("ecs")
    gone = ecs.create_cluster(clusterName="gone")["cluster"]["clusterArn"]
    ecs.delete_cluster(cluster="gone")
    assert gone in ecs.list_clusters()["clusterArns"]
    real = discovery._services

    def refused(client, cluster):
        assert cluster != gone, "Cluster not found."
        return real(client, cluster)

    monkeypatch.setattr(discovery, "_services", refused)
    assert "fleets.new" not in asked()


def test_instances_that_may_not_be_read_are_asked_for(account, hosts, monkeypatch):
    """The hosts of the old group: by address, and why EC2 did not tell."""
    account.rule()
    account.service()
    _deny(monkeypatch, "DescribeInstances")
    found = asked()["fleets.old.hosts"]
    assert any("EC2 did not tell" in each for each in found)
    assert any(account.instances[0] in each for each in found)


def test_hosts_that_ssh_does_not_reach_are_asked_for(account):
    """By all that they may be called; none is written."""
    account.rule()
    account.service()
    found = " ".join(asked()["fleets.old.hosts"])
    assert "web1" in found and account.addresses[1] in found
    run("init")
    assert project().fleets.old.hosts == ()


def test_a_name_that_leads_to_another_machine_is_not_taken(account, folder, hosts):
    """`web2` answers, and is no target of the old group."""
    script = folder / "ssh"
    script.write_text(script.read_text().replace(account.addresses[1], "192.0.2.7"))
    account.rule()
    account.service()
    found = " ".join(asked()["fleets.old.hosts"])
    assert account.instances[1] in found and account.instances[0] not in found


def test_hosts_that_the_person_names_are_kept_and_compared_with_the_targets(account, hosts):
    """A silent one is written, for it was said; what nobody answers for is asked."""
    account.rule()
    account.service()
    words = ("--host", "ssh://web1", "--host", "ssh://web9")
    found = " ".join(asked(*words)["fleets.old.hosts"])
    assert "web9" in found and account.instances[1] in found
    run("init", *words)
    assert project().fleets.old.hosts == ("ssh://web1", "ssh://web9")


# --- where it cannot know which one is meant, it says what there is


def test_two_rules_are_named_and_one_can_be_chosen(account, hosts):
    """By the tag Name or the ARN."""
    account.rule("main")
    shop = account.rule("api", "/api/*", 11)
    ran = run("init")
    assert ran.exit_code == 2 and "main" in ran.stderr and "api" in ran.stderr
    assert "--rule" in ran.stderr and not Path("kirikae.yml").exists()
    assert run("init", "--rule", shop, "--dry-run").exit_code == 0
    assert run("init", "--rule", "main").exit_code == 0
    assert run("init", "--rule", "mian", "--dry-run").exit_code == 2


def test_the_rule_with_an_ecs_service_behind_it_is_the_one(account, hosts):
    """Others of the same load balancer are another service's."""
    account.service()
    account.rule("main")
    account.rule_to([{"TargetGroupArn": account.old, "Weight": 1}], "other", "/other/*", 20)
    run("init")
    assert project().moves["web"].router.listener_rule == "shop/main"


def test_two_rules_of_one_name_are_told_apart_by_arn(account, hosts):
    """LOAD_BALANCER/NAME would be either of them."""
    account.service()
    arn = account.rule("main")
    account.rule_to([{"TargetGroupArn": account.old, "Weight": 1}], "main", "/other/*", 20)
    run("init", "--rule", arn)
    assert project().moves["web"].router.listener_rule == arn


def test_several_load_balancers_are_named(account, hosts):
    """And none: the region is said."""
    subnets = [each["Subnet"]["SubnetId"] for each in account.subnets]
    client("elbv2").create_load_balancer(Name="other", Subnets=subnets)
    ran = run("init")
    assert ran.exit_code == 2 and "other, shop" in ran.stderr
    account.rule()
    assert run("init", "--load-balancer", "shop", "--dry-run").exit_code == 0
    assert run("init", "--load-balancer", account.balancer, "--dry-run").exit_code == 0
    assert run("init", "--load-balancer", "shopp").exit_code == 1


def test_no_load_balancer_with_rules_is_told(folder):
    """A move by DNS needs none."""
    with empty_cloud():
        ran = run("init")
    assert ran.exit_code == 2 and "by-dns.md" in ran.stderr and REGION in ran.stderr


def _deny(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    """As IAM does, for one operation."""
    from botocore.exceptions import ClientError

    real = Aws._before

    def before(self, model, **more):
        if model.name == operation:
            answer = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}
            raise ClientError(answer, operation)
        real(self, model, **more)

    monkeypatch.setattr(Aws, "_before", before)
