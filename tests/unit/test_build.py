"""Images and definitions from the survey: the same bytes, one place for each path, nothing secret,
nothing guessed."""

from __future__ import annotations

import json
from datetime import date

import botocore.session
import pytest
from botocore.validate import ParamValidator

from kirikae.build.places import place_of
from kirikae.build.plan import plan
from kirikae.build.sizes import size_of
from kirikae.console.report import Facts, _plain, page
from kirikae.model.fargate import SIZES, dollars_a_day
from kirikae.model.project import project_from
from kirikae.model.workload import Measured
from kirikae.release.definitions import render
from kirikae.survey.errors import NoSurvey
from kirikae.survey.survey import findings
from kirikae.survey.workload import workload
from tests.unit.test_survey import TODAY, altered, captured

PROJECT = """
service: bookshop
environment: test
account: "123456789012"
fleets:
  old: {hosts: [ssh://web1, ssh://web2], target_group: a}
  new: {cluster: c, ecs_service: bookshop-web, target_group: b}
build: {subnets: [subnet-1]}
accepted:
  - {finding: CF05, where: /etc/nginx/sites-available/bookshop, why: w, use: web2, by: me,
     until: 2099-01-01}
"""
VALUES = {
    "RELEASE_ID": "r2",
    "IMAGE_APP": "sha256:a",
    "IMAGE_WEB": "sha256:b",
    "TARGET_GROUP_ARN": "arn:tg",
}


def made(text=PROJECT, bundles=None):
    project = project_from(text, "kirikae.yml")
    found = workload(
        bundles or [captured("web1"), captured("web2")], project.build, project.accepted
    )
    return found, plan(found, project)


def test_the_same_survey_gives_the_same_bytes():
    """And the answers are all given: nothing is asked."""
    found, first = made()
    assert (
        found.questions == ()
        and dict(first.files) == dict(made()[1].files)
        and first.base_key == made()[1].base_key
    )


def test_the_definitions_are_what_aws_takes():
    """botocore's own validation of RegisterTaskDefinition and CreateService."""
    model = botocore.session.get_session().get_service_model("ecs")
    _, written = made()
    for name, operation, more in (
        ("ecs/ecs-task-def.json", "RegisterTaskDefinition", {}),
        ("ecs/ecs-service-def.json", "CreateService", {"serviceName": "s"}),
    ):
        plain = json.loads(render(written.files[name], name, VALUES))
        report = ParamValidator().validate(
            {**plain, **more}, model.operation_model(operation).input_shape
        )
        assert not report.has_errors(), report.generate_report()


def test_the_task_is_what_the_host_ran():
    """Command, folder, numeric user, locale, secrets by name only, a read-only root with the
    survey's caches writable."""
    _, written = made()
    task = json.loads(render(written.files["ecs/ecs-task-def.json"], "t", VALUES))
    app, web = task["containerDefinitions"]
    names = {e["name"]: e["value"] for e in app["environment"]}
    assert (
        names["SHOP_REGION"] == "jp"
        and "BOOKSHOP_DEBUG_SQL" not in names
        and names["RELEASE_ID"] == "r2"
    )
    assert app["secrets"] == [
        {"name": "BOOKSHOP_DB_PASSWORD", "valueFrom": "/bookshop/bookshop-db-password"}
    ]
    assert app["readonlyRootFilesystem"] and "/var/cache/bookshop" in [
        t["containerPath"] for t in app["linuxParameters"]["tmpfs"]
    ]
    assert (
        web["portMappings"] == [{"containerPort": 8080}]
        and int(task["memory"]) in SIZES[int(task["cpu"])]
    )
    docker = written.files["image/app.Dockerfile"]
    assert (
        "USER 999:997" in docker
        and '"--chdir", "/srv/bookshop/current"' in docker
        and "COPY release/ /srv/bookshop/current/" in docker
    )
    base = written.files["image/base.Dockerfile"]
    assert "ja_JP.UTF-8 UTF-8" in base and "Asia/Tokyo" in base and "FROM ${DISTRIBUTION}" in base
    packages = written.files["image/base.packages"]
    assert (
        "python3-flask=2.2.2-3\n" in packages
        and "openssh" not in packages
        and "postgresql" not in packages
        and "nginx" not in packages
    )


def test_the_sidecar_has_the_virtual_host_of_the_host_that_is_right():
    """Port 8080, no root; web1's limit is the one that was not chosen."""
    _, written = made()
    conf = written.files["image/nginx.conf"]
    assert (
        "listen 8080 default_server;" in conf
        and "client_max_body_size 8m;" in conf
        and "2m" not in conf
    )
    assert (
        "COPY release/static/ /srv/bookshop/current/static/"
        in written.files["image/web.Dockerfile"]
    )


def test_a_difference_that_nobody_has_answered_for_stops_the_writing():
    """Which of two hosts is right is a person's answer."""
    found, _ = made(PROJECT.split("accepted:")[0])
    assert any("use: HOST" in q for q in found.questions)


def test_nothing_secret_is_written():
    """Neither a fingerprint nor a static key."""
    for name, text in made()[1].files.items():
        assert "<masked" not in text and "Tanuki" not in text and "AWS_SECRET" not in text, name


def test_every_path_has_one_place_and_a_reason():
    """Over all folders, files and packaged paths of a host; a path that no rule knows is told, not
    guessed."""
    project = project_from(PROJECT, "kirikae.yml")
    bundle = captured("web1")
    found, _ = made()
    seen = findings([bundle], [], TODAY)
    paths = (
        [f.path for f in bundle.folders]
        + [f.path for f in bundle.files]
        + sorted(bundle.owners)[:: len(bundle.owners) // 300]
    )
    places = {p: place_of(p, bundle, found, seen) for p in paths}
    assert {p.place for p in places.values()} <= {
        "base",
        "app",
        "web",
        "nowhere",
        "unplaced",
    } and all(p.reason for p in places.values())
    assert project.service == "bookshop"

    def where(path):
        return place_of(path, bundle, found, seen).place

    assert (
        where("/var/lib/bookshop/uploads/1") == "nowhere"
        and where("/srv/bookshop/current/bookshop/web.py") == "app"
    )
    assert (
        where("/usr/bin/gunicorn") == "base"
        and where("/etc/nginx/sites-available/bookshop") == "web"
        and where("/usr/sbin/nginx") in ("web", "nowhere")
    )
    assert (
        where("/etc/default/bookshop") == "nowhere"
        and where("/usr/sbin/sshd") == "nowhere"
        and where("/etc/ssh/ssh_host_rsa_key") == "nowhere"
    )
    assert where("/etc/td-agent/td-agent.conf") == "unplaced"


def test_sizes_show_their_arithmetic():
    """Measured: computed; not measured: said, and a question."""
    found, written = made()
    assert not written.size.measured and "not measured" in written.files["image/SIZES.md"]
    from dataclasses import replace

    known = replace(
        found, measured=(Measured("web1", 0.9, 4, 900 * 1024), Measured("web2", 0.6, 4, 800 * 1024))
    )
    size = size_of(known, 2)
    # 1.5 vCPU / 0.6 / 2 tasks = 1.25 -> 2 vCPU; 1.2 x (900 + 64) = 1157 MiB -> the least that goes
    # with 2 vCPU
    assert (
        (size.cpu, size.memory, size.measured) == (2048, 4096, True)
        and "1.250 vCPU" in size.why
        and "1157 MiB" in size.why
    )


def test_a_host_without_one_own_service_is_told_to_name_it():
    """Nothing is guessed."""
    with pytest.raises(NoSurvey, match=r"build\.unit"):
        made(bundles=[captured("batch1")])
    with pytest.raises(NoSurvey, match="survey collect"):
        workload([], project_from(PROJECT, "k").build, ())
    with pytest.raises(NoSurvey, match="WorkingDirectory"):
        made(
            bundles=[
                altered(
                    "web1", ("|WorkingDirectory=/srv/bookshop/current\n", "|WorkingDirectory=\n")
                )
            ]
        )


# --- the page for people who decide


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_for_people_who_decide_speaks_plain_words(lang):
    """What ends, what is gained, what it takes, what it costs, the risks; one picture; no codes."""
    project = project_from(PROJECT, "kirikae.yml")
    found, written = made()
    seen = findings([captured("web1"), captured("web2")], [captured("batch1")], TODAY)
    facts = Facts(
        project,
        seen,
        3,
        [("Debian 12 (LTS)", date(2028, 6, 30)), ("PostgreSQL 15", date(2026, 1, 1))],
        written.size,
        TODAY,
    )
    html = page(facts, lang)
    assert (
        html.count("<h2>") == 5
        and "<svg" in html
        and "Debian 12" in html
        and f'lang="{lang}"' in html
    )
    for code in ("ST03", "CF05", "JB04"):
        assert code not in html
    cost = dollars_a_day("ap-northeast-1", written.size.cpu, written.size.memory, 2)
    assert (
        cost is not None and f"{cost:.2f}" in html and "<script" not in html and "http" not in html
    )
    plain = _plain(facts, lang)
    assert plain["ends"] and plain["gains"] and plain["takes"] and found.command
