"""Load balancing on kirikae local: every kind of rule, slow start, fail open, ALB's access log,
figures and their delay."""

from __future__ import annotations

import gzip
import http.client
import re
import socket
import ssl
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kirikae.local.files import free_port
from tests.conftest import Endpoint
from tests.pace import eventually
from tests.shop import Hammer, Shop
from tests.unit.test_local_tls import self_signed

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def shop(local: Endpoint) -> Shop:
    shop = Shop(local, "balancing")
    shop.serve("a", "a", 1)
    shop.serve("b", "b", 1)
    shop.complete("a")
    shop.complete("b")
    return shop


def ask(
    shop: Shop, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode().strip(), dict(answer.getheaders())


class Rule:
    """One rule over the default one, for as long as the block lasts."""

    def __init__(
        self,
        shop: Shop,
        conditions: list[dict[str, Any]],
        actions: list[dict[str, Any]] | None = None,
        priority: int = 10,
    ) -> None:
        said = {"ContentType": "text/plain", "MessageBody": "matched", "StatusCode": "299"}
        actions = actions or [{"Type": "fixed-response", "FixedResponseConfig": said}]
        self.shop = shop
        self.arn = ""
        self._asked = {
            "ListenerArn": shop.listener,
            "Conditions": conditions,
            "Actions": actions,
            "Priority": priority,
        }

    def __enter__(self) -> Rule:
        self.arn = self.shop.elb.create_rule(**self._asked)["Rules"][0]["RuleArn"]
        return self

    def __exit__(self, *_: object) -> None:
        self.shop.elb.delete_rule(RuleArn=self.arn)


def test_rules_on_query_strings(shop):
    """key=value anywhere, any case, with * and ?; a value without a key."""
    values = [{"Key": "plan", "Value": "gol?"}, {"Value": "beta*"}]
    with Rule(shop, [{"Field": "query-string", "QueryStringConfig": {"Values": values}}]):
        answers = {
            q: ask(shop, f"/{q}")[0]
            for q in (
                "?plan=gold",
                "?a=1&PLAN=GOLD&b=2",
                "?plan=silver",
                "?x=beta-7",
                "?beta",
                "",
                "?plan=goldx",
            )
        }
    assert [q for q, status in answers.items() if status == 299] == [
        "?plan=gold",
        "?a=1&PLAN=GOLD&b=2",
        "?x=beta-7",
        "?beta",
    ]


def test_rules_on_headers_sources_and_expressions(shop):
    """A header's value, the client's network, a regular expression on the path; all conditions of a
    rule together."""
    with Rule(
        shop,
        [
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-Canary", "Values": ["yes*"]},
            }
        ],
    ):
        assert (
            ask(shop, X_Canary="yes-please")[0] == 299
            and ask(shop, X_Canary="no")[0] == 200
            and ask(shop)[0] == 200
        )
    with Rule(shop, [{"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}}]):
        assert ask(shop)[0] == 299
    with Rule(shop, [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]):
        assert ask(shop)[0] == 200
    both = [
        {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/[0-9]+$"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["HEAD"]}},
    ]
    with Rule(shop, both):
        assert (
            ask(shop, "/12", "HEAD")[0] == 299
            and ask(shop, "/12")[0] == 404
            and ask(shop, "/x", "HEAD")[0] == 404
        )


@pytest.mark.parametrize(
    ("config", "path", "location"),
    [
        (
            {"StatusCode": "HTTP_301", "Host": "new.example", "Port": "443", "Protocol": "HTTPS"},
            "/a?b=1",
            "https://new.example/a?b=1",
        ),
        (
            {
                "StatusCode": "HTTP_302",
                "Path": "/moved/#{path}",
                "Query": "from=old&#{query}",
                "Host": "x.example",
                "Port": "80",
            },
            "/a?b=1",
            "http://x.example/moved/a?from=old&b=1",
        ),
        (
            {"StatusCode": "HTTP_302", "Path": "/plain", "Query": ""},
            "/a?b=1",
            "http://127.0.0.1:PORT/plain",
        ),
        ({"StatusCode": "HTTP_302", "Path": "/100%/x"}, "/a", "http://127.0.0.1:PORT/100%/x"),
    ],
)
def test_redirects(shop, config, path, location):
    """ALB's parts and their placeholders."""
    with Rule(
        shop,
        [{"Field": "path-pattern", "Values": ["/a"]}],
        [{"Type": "redirect", "RedirectConfig": config}],
    ):
        status, _, headers = ask(shop, path)
    assert (f"HTTP_{status}", headers["location"]) == (
        config["StatusCode"],
        location.replace("PORT", str(shop.port)),
    )


def test_a_listener_of_https_speaks_with_its_certificate(shop, tmp_path):
    """A certificate that was imported; the client's host chooses among several, HTTP is redirected
    there, targets hear that it was HTTPS."""
    acm = shop.local.client("acm")
    port = free_port()
    arns = []
    for host in ("localhost", "other.example"):
        certificate, key = self_signed(host)
        (tmp_path / f"{host}.pem").write_text(certificate)
        made = acm.import_certificate(Certificate=certificate, PrivateKey=key)
        arns.append({"CertificateArn": made["CertificateArn"]})
    listener = shop.elb.create_listener(
        LoadBalancerArn=shop.balancer,
        Port=port,
        Protocol="HTTPS",
        Certificates=arns[:1],
        DefaultActions=shop.forward(1, 0),
    )["Listeners"][0]["ListenerArn"]
    shop.local.scope.add(lambda: shop.elb.delete_listener(ListenerArn=listener))
    shop.elb.add_listener_certificates(ListenerArn=listener, Certificates=arns[1:])

    def answer(host: str) -> str:
        context = ssl.create_default_context(cafile=str(tmp_path / f"{host}.pem"))
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        with context.wrap_socket(plain, server_hostname=host) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: secure.recv(65536), b"")).decode()

    for host in ("localhost", "other.example"):
        assert answer(host).startswith("HTTP/1.1 200")
    with pytest.raises(ClientError, match="import-certificate"):
        shop.elb.modify_listener(
            ListenerArn=listener, Certificates=[{"CertificateArn": arns[0]["CertificateArn"] + "0"}]
        )
    to_https = {"Protocol": "HTTPS", "Port": str(port), "StatusCode": "HTTP_301"}
    there = [{"Type": "redirect", "RedirectConfig": to_https}]
    with Rule(shop, [{"Field": "path-pattern", "Values": ["/secure"]}], there):
        status, _, headers = ask(shop, "/secure")
    assert (status, headers["location"]) == (301, f"https://127.0.0.1:{port}/secure")


def test_priorities_are_exchanged_at_once(shop):
    """Two rules on the same path: the smaller number wins, also after SetRulePriorities."""
    conditions = [{"Field": "path-pattern", "Values": ["/p"]}]
    other = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "298"}}]
    with Rule(shop, conditions) as first, Rule(shop, conditions, other, 20) as second:
        assert ask(shop, "/p")[0] == 299
        with pytest.raises(ClientError, match="PriorityInUse"):
            shop.elb.set_rule_priorities(RulePriorities=[{"RuleArn": second.arn, "Priority": 10}])
        shop.elb.set_rule_priorities(
            RulePriorities=[
                {"RuleArn": first.arn, "Priority": 20},
                {"RuleArn": second.arn, "Priority": 10},
            ]
        )
        assert ask(shop, "/p")[0] == 298


def test_a_target_group_and_a_listener_are_modified(shop):
    """Health check settings as asked; the listener moves to another port; what ALB refuses is
    refused."""
    found = shop.elb.modify_target_group(
        TargetGroupArn=shop.groups["b"],
        HealthCheckPath="/index.html",
        Matcher={"HttpCode": "200-204"},
    )
    assert found["TargetGroups"][0]["HealthCheckPath"] == "/index.html" and found["TargetGroups"][
        0
    ]["Matcher"] == {"HttpCode": "200-204"}
    for wrong in (
        {"HealthCheckIntervalSeconds": 301},
        {"HealthyThresholdCount": 11},
        {"Matcher": {"HttpCode": "500"}},
    ):
        with pytest.raises(ClientError, match="ValidationError"):
            shop.elb.modify_target_group(TargetGroupArn=shop.groups["b"], **wrong)
    with pytest.raises(ClientError, match="30-900"):
        shop.elb.modify_target_group_attributes(
            TargetGroupArn=shop.groups["b"],
            Attributes=[{"Key": "slow_start.duration_seconds", "Value": "5"}],
        )
    shop.elb.add_tags(ResourceArns=[shop.listener], Tags=[{"Key": "k", "Value": "v"}])
    shop.elb.remove_tags(ResourceArns=[shop.listener], TagKeys=["k"])
    assert shop.elb.describe_tags(ResourceArns=[shop.listener])["TagDescriptions"][0]["Tags"] == []


SLOW_START_S = 30


def test_a_new_target_starts_slowly(local):
    """With slow start a new target's share grows from little to its full part."""
    shop = Shop(local, "slowly")
    shop.elb.modify_target_group_attributes(
        TargetGroupArn=shop.groups["a"],
        Attributes=[{"Key": "slow_start.duration_seconds", "Value": str(SLOW_START_S)}],
    )
    shop.serve("a", "first", 1)
    shop.serving("a", 1)
    first = time.monotonic()
    with Hammer(shop.port, 2):
        shop.ecs.update_service(cluster="slowly", service="a", desiredCount=2)
        shop.serving("a", 2)
        second = time.monotonic()
        early = _share_of_newest(shop, local)
        now = time.monotonic()
    weights = [min(1.0, (1 + now - since) / SLOW_START_S) for since in (first, second)]
    assert early < weights[1] / sum(weights) + 0.15, f"{early} when they weighed {weights}"


def _share_of_newest(shop: Shop, local: Endpoint) -> float:
    """Of 200 requests just now, the part that the newest task's server received."""
    control = local.directory / "haproxy.sock"
    group = shop.groups["a"].rpartition("/")[2]

    def seen() -> Counter[str]:
        import socket

        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(control))
            connection.sendall(b"show stat\n")
            text = b""
            while data := connection.recv(65536):
                text += data
        rows = [line.split(",") for line in text.decode().splitlines()]
        return Counter(
            {
                row[1]: int(row[7] or 0)
                for row in rows
                if row[0] == f"tg-{group}" and row[1] in ("s1", "s2")
            }
        )

    before = seen()
    for _ in range(200):
        urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/").read()
    after = seen() - before
    return min(after["s1"], after["s2"]) / sum(after.values())


def test_unhealthy_targets_serve_when_too_few_are_healthy(shop):
    """Fail open, by the attribute's count."""
    arn = shop.groups["b"]
    key = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
    shop.weigh(0, 1)
    shop.elb.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": key, "Value": "2"}]
    )
    assert shop.get() == "b"
    shop.elb.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": key, "Value": "1"}]
    )
    shop.weigh(1, 0)


ACCESS_LINE = re.compile(
    r"http \S+Z app/balancing/\w+ 127\.0\.0\.1:\d+ (?:[\d.]+:8000|-) \S+ \S+ \S+ \d{3} "
    r'\S+ \d+ \d+ "(?P<request>[^"]*)" "(?P<agent>[^"]*)" '
    r'- - (?P<group>\S+) "(?P<trace>[^"]*)" "(?P<domain>[^"]*)" "-" (?P<priority>\d+) '
    r'\S+Z "(?P<action>[^"]*)" "-" "-" "[^"]*" "[^"]*" "-" '
    r'"-" -'
)


def test_the_access_log_reaches_its_bucket(shop):
    """ALB's format and file names; every request once; a bucket that is not there is refused."""
    s3 = shop.local.client("s3")
    balancer = shop.elb.describe_load_balancers(Names=["balancing"])["LoadBalancers"][0][
        "LoadBalancerArn"
    ]

    def switch(on: str, bucket: str) -> None:
        attributes = {
            "access_logs.s3.enabled": on,
            "access_logs.s3.bucket": bucket,
            "access_logs.s3.prefix": "shop",
        }
        shop.elb.modify_load_balancer_attributes(
            LoadBalancerArn=balancer,
            Attributes=[{"Key": k, "Value": v} for k, v in attributes.items()],
        )

    with pytest.raises(ClientError, match="Access Denied for bucket"):
        switch("true", "no-such-bucket")
    s3.create_bucket(
        Bucket="alb-logs", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    switch("true", "alb-logs")
    fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    with Rule(shop, [{"Field": "path-pattern", "Values": ["/no"]}], fixed):
        for n in range(20):
            ask(shop, f"/?n={n}&q=%22x%22", User_Agent='curl "7"', Host="shop.example")
        ask(shop, "/no")

        def lines() -> list[str]:
            name = (
                r"/elasticloadbalancing/ap-northeast-1/\d{4}/\d\d/\d\d/"
                r"\S+_app\.balancing\.\w+_\S+\.log\.gz$"
            )
            keys = [
                o["Key"]
                for o in s3.list_objects_v2(Bucket="alb-logs", Prefix="shop/AWSLogs/").get(
                    "Contents", []
                )
            ]
            assert all(re.search(name, k) for k in keys)
            bodies = [
                gzip.decompress(s3.get_object(Bucket="alb-logs", Key=k)["Body"].read()).decode()
                for k in keys
            ]
            return "".join(bodies).splitlines()

        eventually(lambda: len(lines()) >= 21, "21 lines came", 60, lambda: len(lines()), 1)
        told = lines()
    switch("false", "alb-logs")
    read = [ACCESS_LINE.fullmatch(line) for line in told]
    assert all(read), told
    assert sorted(m["request"] for m in read if m["domain"] == "shop.example") == sorted(
        f"GET http://shop.example:{shop.port}/?n={n}&q=%22x%22 HTTP/1.1" for n in range(20)
    )
    assert {m["agent"] for m in read if m["domain"] == "shop.example"} == {r"curl \x227\x22"}
    assert all(re.fullmatch(r"Root=1-[0-9A-F]{8}-[0-9a-f]{24}", m["trace"]) for m in read)
    refused = [m for m in read if "/no" in m["request"]]
    assert [(m["action"], m["priority"], m["group"]) for m in refused] == [
        ("fixed-response", "10", "-")
    ]


def _metric(
    shop: Shop, name: str, statistic: str, dimension: str, namespace: str = "AWS/ApplicationELB"
) -> float:
    cloudwatch = shop.local.client("cloudwatch")
    now = datetime.now(UTC)
    values = dict(part.split("=") for part in dimension.split())
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": k, "Value": v} for k, v in values.items()],
    }
    found = cloudwatch.get_metric_data(
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        MetricDataQueries=[
            {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}
        ],
    )["MetricDataResults"][0]["Values"]
    return sum(found) if statistic == "Sum" else max(found, default=0.0)


def test_figures_of_balancers_and_groups(shop):
    """Redirects, fixed responses, bytes, connections, hosts; by load balancer and by target
    group."""
    balancer = shop.elb.describe_load_balancers(Names=["balancing"])["LoadBalancers"][0][
        "LoadBalancerArn"
    ].partition("loadbalancer/")[2]
    of_balancer = f"LoadBalancer={balancer}"
    of_group = (
        f"TargetGroup=targetgroup/{shop.groups['a'].partition('targetgroup/')[2]} "
        f"LoadBalancer={balancer}"
    )
    for _ in range(30):
        ask(shop)
    with Rule(
        shop,
        [{"Field": "path-pattern", "Values": ["/r"]}],
        [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_302", "Path": "/z"}}],
    ):
        ask(shop, "/r")
    eventually(
        lambda: _metric(shop, "HTTP_Redirect_Count", "Sum", of_balancer) >= 1,
        "the redirect is counted",
        20,
    )
    assert (
        _metric(shop, "HTTPCode_ELB_3XX_Count", "Sum", of_balancer) >= 1
        and _metric(shop, "ProcessedBytes", "Sum", of_balancer) > 1000
    )
    # The best minute of the last ten: tests before this one may have had a second host, and a
    # minute that began with none has to end first.
    eventually(
        lambda: _metric(shop, "HealthyHostCount", "Average", of_group) >= 1,
        "hosts are counted",
        90,
        lambda: _metric(shop, "HealthyHostCount", "Average", of_group),
    )
    eventually(
        lambda: _metric(shop, "RequestCountPerTarget", "Sum", of_group) >= 30,
        "requests per target",
        30,
    )
    assert _metric(shop, "NewConnectionCount", "Sum", of_balancer) >= 30
    names = {
        m["MetricName"]
        for m in shop.local.client("cloudwatch").list_metrics(Namespace="AWS/ApplicationELB")[
            "Metrics"
        ]
    }
    assert {"RequestCount", "HealthyHostCount", "ActiveConnectionCount"} <= names
    statistics = shop.local.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApplicationELB",
        MetricName="TargetResponseTime",
        Dimensions=[{"Name": "LoadBalancer", "Value": balancer}],
        StartTime=datetime.now(UTC) - timedelta(minutes=5),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Average", "Maximum"],
        ExtendedStatistics=["p99"],
    )["Datapoints"]
    assert statistics and {"Average", "Maximum", "ExtendedStatistics"} <= set(statistics[0])


def test_an_application_s_cookie_makes_clients_stay(local):
    """Stickiness begins when the application sets its cookie, and ends with that of the load
    balancer."""
    shop = Shop(local, "appcookie")
    script = (
        'mkdir -p /www/cgi-bin; printf \'#!/bin/sh\\necho "Set-Cookie: SESSION=x"; '
        "echo; hostname -i 2>/dev/null; cat /etc/hostname' "
        ">/www/cgi-bin/login; printf '#!/bin/sh\\necho; cat /etc/hostname' "
        ">/www/cgi-bin/who; chmod 755 /www/cgi-bin/*; "
        "echo ok >/www/index.html; exec httpd -f -p 8000 -h /www"
    )
    key = "stickiness."
    attributes = {
        "enabled": "true",
        "type": "app_cookie",
        "app_cookie.cookie_name": "SESSION",
        "app_cookie.duration_seconds": "60",
    }
    with pytest.raises(ClientError, match="cookie_name"):
        shop.elb.modify_target_group_attributes(
            TargetGroupArn=shop.groups["a"],
            Attributes=[
                {"Key": key + k, "Value": v}
                for k, v in (attributes | {"app_cookie.cookie_name": ""}).items()
            ],
        )
    shop.elb.modify_target_group_attributes(
        TargetGroupArn=shop.groups["a"],
        Attributes=[{"Key": key + k, "Value": v} for k, v in attributes.items()],
    )
    definition = shop.define("x", command=["sh", "-c", script])
    shop.ecs.create_service(
        cluster=shop.name,
        serviceName="a",
        taskDefinition=definition,
        desiredCount=3,
        loadBalancers=[
            {"targetGroupArn": shop.groups["a"], "containerName": "web", "containerPort": 8000}
        ],
    )
    shop.complete("a")
    assert len({ask(shop, "/cgi-bin/who")[1] for _ in range(12)}) == 3, (
        "without the cookie everybody is asked"
    )
    status, _, headers = ask(shop, "/cgi-bin/login")
    assert status == 200
    assert (
        headers["set-cookie"].startswith("AWSALBAPP-0=") and "Max-Age=60" in headers["set-cookie"]
    )
    cookie = headers["set-cookie"].partition(";")[0]
    assert len({ask(shop, "/cgi-bin/who", Cookie=cookie)[1] for _ in range(12)}) == 1
