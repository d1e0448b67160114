"""``kirikae report``: the page for people who decide, in plain words, from the survey alone; English and Japanese."""

from __future__ import annotations

import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click

from kirikae.build.sizes import Size, size_of
from kirikae.console.context import load_project
from kirikae.console.surveyed import bundles_of, survey_findings, today
from kirikae.model.fargate import dollars_a_day
from kirikae.model.finding import Finding, Severity
from kirikae.model.project import Project
from kirikae.survey.catalogue import catalogue
from kirikae.survey.errors import NoSurvey
from kirikae.survey.known import support
from kirikae.survey.workload import workload

# ruff: noqa: E501
_WORDS = {
    "en": {
        "title": "Moving {service} into containers: what it means",
        "lead": "What a look at {hosts} machines on {day} found, in plain words.",
        "ends": "What runs out, and when",
        "ends_none": "Nothing that was found runs out within two years.",
        "ended": "ended",
        "today": "today",
        "left": "{days} days left",
        "over": "over since {days} days",
        "gain": "What our users gain",
        "takes": "What it takes",
        "takes_lead": "{n} things were found. {b} of them must be settled before the first visitor is sent to the new side.",
        "cost": "What running both costs",
        "cost_text": "While both sides run, the {hosts} servers stay as they are. The new side adds {tasks} tasks of {vcpu} vCPU and {memory} GB: about ${day:.2f} a day, ${month:.0f} for 30 days (list price, {region}; load balancer, data transfer and logs not counted).",
        "cost_unknown": "The price of this region ({region}) is not known to kirikae.",
        "cost_guess": "The memory was not measured, so this size is a question, not an answer.",
        "risk": "What could go wrong, and what then",
        "none": "nothing",
        "risks": [
            "<b>The new side answers worse than the old one.</b> Visitors are moved in small steps; both sides are compared all the time, and when harm shows, everybody is sent back within seconds, by the machine itself.",
            "<b>The tool fails.</b> It does not stand between visitors and the service. If it stops, the share stays where it is.",
            "<b>Something was overlooked.</b> Nothing of the old side is deleted; going back stays possible until somebody decides otherwise.",
        ],
        "sev": {
            "blocks": "must be settled first",
            "high": "would lose data or break",
            "work": "work to do",
            "hygiene": "good to know",
        },
        "what": "what",
        "how_many": "places",
        "where": "machines",
        "gains": {
            "JB04": "<b>Jobs no longer hang on one machine.</b> {n} jobs run on a single machine today; if it fails, they do not run.",
            "ST03": "<b>Nobody is logged out when a machine fails.</b> Today each machine knows only its own visitors.",
            "ST04": "<b>Uploaded files are safe.</b> Today they lie on the disk of one machine.",
            "CF12": "<b>Passwords leave the configuration files.</b> {n} were found in clear text.",
            "CF05": "<b>All machines behave alike.</b> Today their settings differ.",
            "*": "<b>New versions come more often and without a pause,</b> because every machine is made from the same image, and going back is one command.",
            "**": "<b>More visitors are no reason to worry:</b> more tasks are started in a minute instead of setting up a server.",
        },
    },
    "ja": {
        "title": "{service} のコンテナ移行について",
        "lead": "{day} に {hosts} 台のサーバーを調査した結果を、専門用語を使わずにまとめました。",
        "ends": "いつ、何のサポートが終わるか",
        "ends_none": "2年以内に終了するものは見つかりませんでした。",
        "ended": "終了",
        "today": "今日",
        "left": "残り {days} 日",
        "over": "終了から {days} 日経過",
        "gain": "利用者にとっての利点",
        "takes": "必要な作業",
        "takes_lead": "{n} 件が見つかりました。うち {b} 件は、最初の利用者を新しい側に案内する前に解決が必要です。",
        "cost": "並行稼働の費用",
        "cost_text": "並行稼働の間、現在の {hosts} 台のサーバーはそのまま残ります。新しい側として {vcpu} vCPU・{memory} GB のタスク {tasks} 個が加わり、1日あたり約 {day:.2f} ドル、30日で約 {month:.0f} ドルです（{region} の定価。ロードバランサー・通信・ログの費用は含みません）。",
        "cost_unknown": "このリージョン（{region}）の料金は登録されていません。",
        "cost_guess": "メモリ使用量は測定できなかったため、この大きさは仮の値です。",
        "risk": "起こりうる問題と、その備え",
        "none": "なし",
        "risks": [
            "<b>新しい側の応答が悪い場合。</b> 利用者は少しずつ移され、両側は常に比較されます。悪化が認められれば、数秒で自動的に全員が元の側に戻ります。",
            "<b>移行ツールが止まった場合。</b> ツールは利用者とサービスの間に入りません。止まっても、割合はそのまま保たれます。",
            "<b>見落としがあった場合。</b> 旧側は何も削除されません。誰かが終了を決めるまで、いつでも戻れます。",
        ],
        "sev": {
            "blocks": "先に解決が必要",
            "high": "データの損失や故障につながる",
            "work": "作業が必要",
            "hygiene": "参考",
        },
        "what": "内容",
        "how_many": "箇所",
        "where": "サーバー",
        "gains": {
            "JB04": "<b>定期処理が一台の故障で止まらなくなります。</b> 現在 {n} 件が一台だけで動いています。",
            "ST03": "<b>サーバーが故障してもログアウトされません。</b> 現在は各サーバーが自分の利用者しか知りません。",
            "ST04": "<b>アップロードしたファイルが安全になります。</b> 現在は一台のディスクにあります。",
            "CF12": "<b>パスワードが設定ファイルからなくなります。</b> 平文で {n} 件見つかりました。",
            "CF05": "<b>すべてのサーバーが同じ動きをします。</b> 現在は設定が異なっています。",
            "*": "<b>新しい版をより頻繁に、止めずに届けられます。</b> どのサーバーも同じイメージから作られ、元に戻すのも一つの操作です。",
            "**": "<b>利用者が増えても心配いりません。</b> サーバーを用意する代わりに、1分ほどでタスクを増やせます。",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page tells; ``ends`` are (name, day), ``size`` is None where no service could be told apart."""

    project: Project
    findings: Sequence[Finding]
    hosts: int
    ends: Sequence[tuple[str, date]]
    size: Size | None
    day: date


@click.command()
@click.option(
    "--lang",
    type=click.Choice(["en", "ja"]),
    default="en",
    show_default=True,
    help="The language of the page.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where to write it (default decision-LANG.html).",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the page says as JSON instead.")
@click.pass_context
def report(ctx: click.Context, lang: str, out: Path | None, as_json: bool) -> None:
    """Write the page for people who decide: what ends, what is gained, what it takes, what it costs, the risks."""
    facts = _facts(ctx)
    if as_json:
        click.echo(json.dumps(_plain(facts, lang), ensure_ascii=False))
        return
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), False)
    target = out or Path(f"decision-{lang}.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(facts, lang), encoding="utf-8")
    click.echo(f"wrote {target}")


def _facts(ctx: click.Context) -> Facts:
    project = load_project(ctx.obj)
    fleet, others = bundles_of(ctx.obj, project)
    if not fleet:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    found = [f for f in survey_findings(ctx.obj, project) if not f.code.startswith("SV")]
    dates = support().ends()
    ends = [(f.where, dates[f.where]) for f in found if f.code == "PR13" and f.where in dates]
    try:
        size: Size | None = size_of(
            workload(fleet, project.build, project.accepted), project.build.tasks
        )
    except NoSurvey:
        size = None
    return Facts(
        project, found, len(fleet) + len(others), sorted(ends, key=lambda e: e[1]), size, today()
    )


def _gains(facts: Facts, lang: str) -> list[str]:
    words = _WORDS[lang]["gains"]
    assert isinstance(words, dict)
    by_code: dict[str, int] = Counter()
    for finding in facts.findings:
        number = re.match(r"(\d+) ", finding.says)
        by_code[finding.code] += int(number[1]) if finding.code == "JB04" and number else 1
    return [text.format(n=by_code[code]) for code, text in words.items() if code in by_code] + [
        words["*"],
        words["**"],
    ]


def _tasks(facts: Facts) -> list[tuple[str, str, int, str]]:
    """(severity, code, places, machines), gravest first."""
    places: dict[tuple[str, str], int] = Counter()
    hosts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for finding in facts.findings:
        if not finding.accepted and finding.severity is not Severity.HYGIENE:
            key = (
                Severity.BLOCKS.value if "traffic" in finding.blocks else finding.severity.value,
                finding.code,
            )
            places[key] += 1
            hosts[key] |= set(finding.hosts)
    order = [s.value for s in Severity]
    return [
        (s, c, places[s, c], ", ".join(sorted(hosts[s, c])))
        for s, c in sorted(places, key=lambda k: (order.index(k[0]), k[1]))
    ]


def _cost(facts: Facts, lang: str) -> str:
    words = _WORDS[lang]
    size = facts.size
    project = facts.project
    if size is None:
        return ""
    day = dollars_a_day(project.region, size.cpu, size.memory, project.build.tasks)
    if day is None:
        return str(words["cost_unknown"]).format(region=project.region)
    text = str(words["cost_text"]).format(
        hosts=len(project.fleets.old.hosts),
        tasks=project.build.tasks,
        vcpu=size.cpu / 1024,
        memory=size.memory / 1024,
        day=day,
        month=day * 30,
        region=project.region,
    )
    return text if size.measured else f"{text} {words['cost_guess']}"


def _plain(facts: Facts, lang: str) -> dict[str, object]:
    strip = re.compile(r"<[^>]+>")
    return {
        "ends": [{"name": n, "ends": d.isoformat()} for n, d in facts.ends],
        "gains": [strip.sub("", g) for g in _gains(facts, lang)],
        "takes": [
            {"severity": s, "code": c, "places": n, "machines": h} for s, c, n, h in _tasks(facts)
        ],
        "cost": _cost(facts, lang),
    }


def page(facts: Facts, lang: str) -> str:
    """The whole page, without anything that must be loaded from elsewhere."""
    words = _WORDS[lang]
    severities = words["sev"]
    assert isinstance(severities, dict)
    tasks = _tasks(facts)
    title = str(words["title"]).format(service=html.escape(facts.project.service))

    def name(code: str) -> str:
        entry = catalogue()[code]
        return html.escape(entry.title_ja if lang == "ja" else entry.title)

    rows = "".join(
        f'<tr class="{s}"><td>{severities[s]}</td><td>{name(c)}</td><td>{n}</td><td>{html.escape(h)}</td></tr>'
        for s, c, n, h in tasks
    )
    lead = str(words["takes_lead"]).format(
        n=sum(t[2] for t in tasks), b=sum(t[2] for t in tasks if t[0] == "blocks")
    )
    risks = "".join(f"<li>{r}</li>" for r in words["risks"])
    gains = "".join(f"<li>{g}</li>" for g in _gains(facts, lang))
    ends = _timeline(facts, lang) if facts.ends else f"<p>{words['ends_none']}</p>"
    return f"""<!doctype html><html lang="{lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.7 system-ui,"Noto Sans JP","Hiragino Sans",sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1d2330}}
h1{{font-size:1.7rem;line-height:1.3}} h2{{font-size:1.15rem;margin:2rem 0 .4rem;border-left:4px solid #2a7de1;padding-left:.6rem}}
table{{border-collapse:collapse;width:100%;font-size:14px}} td,th{{padding:.35rem .6rem;border-bottom:1px solid #e3e6ea;text-align:left;vertical-align:top}}
tr.blocks td:first-child{{color:#b3261e;font-weight:600}} tr.high td:first-child{{color:#9a5b00}} svg{{width:100%;height:auto}} li{{margin:.3rem 0}}
.lead{{color:#5a6270}} text{{font:12px system-ui,"Noto Sans JP",sans-serif;fill:#1d2330}}</style>
<h1>{title}</h1><p class="lead">{str(words["lead"]).format(hosts=facts.hosts, day=facts.day.isoformat())}</p>
<h2>{words["ends"]}</h2>{ends}
<h2>{words["gain"]}</h2><ul>{gains}</ul>
<h2>{words["takes"]}</h2><p>{lead}</p><table><tr><th></th><th>{words["what"]}</th><th>{words["how_many"]}</th><th>{words["where"]}</th></tr>{rows}</table>
<h2>{words["cost"]}</h2><p>{_cost(facts, lang) or words["none"]}</p>
<h2>{words["risk"]}</h2><ul>{risks}</ul></html>
"""


def _timeline(facts: Facts, lang: str) -> str:
    words = _WORDS[lang]
    first = min([facts.day, *(d for _, d in facts.ends)])
    last = max([facts.day, *(d for _, d in facts.ends)])
    width = 860
    left = 10
    right = 200
    row = 34
    span = max(1, (last - first).days)

    def x(day: date) -> float:
        return left + (width - left - right) * (day - first).days / span

    height = row * (len(facts.ends) + 1) + 10
    now = x(facts.day)
    parts = [
        f'<line x1="{now:.0f}" x2="{now:.0f}" y1="18" y2="{height}" stroke="#2a7de1" stroke-dasharray="4 3"/>',
        f'<text x="{now + 4:.0f}" y="14">{words["today"]} {facts.day.isoformat()}</text>',
    ]
    for n, (name, day) in enumerate(facts.ends):
        y = row * (n + 1) + 6
        days = (day - facts.day).days
        colour = "#b3261e" if days < 0 else "#e08a00" if days < 365 else "#3c8d40"
        note = str(words["over" if days < 0 else "left"]).format(days=abs(days))
        parts.append(
            f'<rect x="{min(now, x(day)):.0f}" y="{y}" width="{abs(x(day) - now):.0f}" height="14" rx="3" fill="{colour}" opacity=".75"/>'
        )
        parts.append(f'<text x="{max(now, x(day)) + 6:.0f}" y="{y + 6}">{html.escape(name)}</text>')
        parts.append(
            f'<text x="{max(now, x(day)) + 6:.0f}" y="{y + 20}" style="fill:#5a6270">{day.isoformat()} · {note}</text>'
        )
    return f'<svg viewBox="0 0 {width} {height + 16}" role="img" aria-label="{words["ends"]}">{"".join(parts)}</svg>'
