"""Findings as one HTML file that loads nothing from elsewhere and runs no script.

Everything that goes into it is escaped here; the form stands in ``pages/findings.html``.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from importlib.resources import files
from string import Template

from kirikae.console.findings import Manner
from kirikae.console.survey_summary import Summary, by_severity
from kirikae.model.finding import Finding
from kirikae.model.shown import clean

_EVIDENCE_AT_MOST = 50


def page(summary: Summary, manner: Manner) -> str:
    """The whole file."""
    contents = []
    sections = []
    for severity, findings in by_severity(summary.findings):
        word = _escaped(manner.speech.say(severity))
        anchor = findings[0].severity.value
        contents.append(f'<a href="#{anchor}">{word} {len(findings)}</a>')
        sections.append(f'<h2 id="{anchor}">{word} ({len(findings)})</h2>')
        sections += (_finding(finding, manner) for finding in findings)
    lead = (f'<p class="lead">{_escaped(line)}</p>' for line in summary.lead(manner))
    return _template().substitute(
        language=manner.speech.language,
        title=_escaped(summary.title(manner)),
        lead="\n".join(lead),
        contents="\n".join(contents),
        sections="\n".join(sections),
    )


def _template() -> Template:
    """The page's form, with ``$names`` for what goes into it."""
    file = files("kirikae.console") / "pages" / "findings.html"
    return Template(file.read_text(encoding="utf-8"))


def _escaped(text: str) -> str:
    """What a host said stays text; halves of characters cannot be written."""
    return html.escape(clean(text))


def _finding(finding: Finding, manner: Manner) -> str:
    """Closed at first: a reader opens what matters to him."""
    kind = f"{finding.severity.value} accepted" if finding.accepted else finding.severity.value
    return "\n".join(
        [
            f'<details class="{kind}"><summary><b>{_escaped(finding.code)}</b>',
            f"{_escaped(manner.says(finding))}</summary><div>",
            *_inside(finding, manner),
            "</div></details>",
        ]
    )


def _inside(finding: Finding, manner: Manner) -> Iterator[str]:
    """Where, how sure, what to do, and the evidence."""
    where = _escaped(finding.where)
    yield f'<p class="seen"><code>{where}</code> · {_escaped(manner.seen_on(finding))}</p>'
    yield f"<p>{_escaped(manner.remedy_line(finding))}</p>"
    if finding.accepted:
        yield f"<p>{_escaped(manner.accepted(finding))}</p>"
    yield "<ul>"
    for trace in finding.evidence[:_EVIDENCE_AT_MOST]:
        yield f"<li><code>{_escaped(str(trace))}</code></li>"
    more = len(finding.evidence) - _EVIDENCE_AT_MOST
    if more > 0:
        yield f"<li>{_escaped(manner.more_evidence(more))}</li>"
    yield "</ul>"
