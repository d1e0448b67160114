"""What ``kirikae guard check`` found, for programs that read other forms: SARIF and JUnit's XML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as xml

from kirikae.console.catalogue import catalogue
from kirikae.console.findings import Manner
from kirikae.console.guard_checked import Checked
from kirikae.console.survey_sarif import Places, sarif
from kirikae.guard.seen import Looked, Outcome
from kirikae.model.finding import Finding, Trace
from kirikae.model.said import said
from kirikae.model.shown import clean, escaped

Form = Callable[[Checked, Manner], str]
Plain = dict[str, Any]


def sarif_text(checked: Checked, manner: Manner) -> str:
    """With the lines of the files that whoever reads it has beside them."""
    log = sarif(
        checked.findings,
        manner,
        Places(_place, _source),
    )
    return escaped(json.dumps(log, ensure_ascii=False))


def _place(finding: Finding) -> Plain:
    """The first piece of evidence names the file."""
    first = finding.evidence[0]
    file = first.at.partition("#")[0]
    place: Plain = {"artifactLocation": {"uri": _uri(file)}}
    if first.line > 0:
        place["region"] = {"startLine": first.line}
    name = [{"fullyQualifiedName": finding.where}]
    return {"physicalLocation": place, "logicalLocations": name}


def _uri(file: str) -> str:
    """Relative to the folder that the command ran in, or whole (RFC 8089)."""
    path = quote(file.encode("utf-8", "surrogatepass"))
    return f"file://{path}" if PurePosixPath(file).is_absolute() else path


def _source(trace: Trace) -> Plain:
    """The same place, and the pages that a limit was read on."""
    return {
        "message": {"text": trace.says or trace.at},
        "logicalLocations": [{"fullyQualifiedName": trace.at}],
    }


def junit(checked: Checked, manner: Manner) -> str:
    """A case for each check of each object: failed by what is grave, skipped with a reason."""
    suite = xml.Element("testsuite", name="kirikae guard")
    grave = set(map(id, checked.grave))
    failed = skipped = 0
    for look in checked.looks:
        case = xml.SubElement(
            suite, "testcase", classname=_fit(look.where), name=_name(look, manner)
        )
        failing = [each for each in look.findings if id(each) in grave]
        if failing:
            failed += 1
            _failure(
                case,
                failing,
                manner,
            )
        elif look.outcome is not Outcome.PASS:
            skipped += 1
            xml.SubElement(
                case,
                "skipped",
                message=_fit(_reason(look, manner)),
            )
    suite.set("tests", str(len(checked.looks)))
    suite.set("failures", str(failed))
    suite.set("skipped", str(skipped))
    xml.indent(suite)
    return xml.tostring(
        suite,
        encoding="unicode",
        xml_declaration=True,
    )


def _name(look: Looked, manner: Manner) -> str:
    return f"{look.code} {catalogue()[look.code].titled(manner.speech.language)}"


def _failure(
    case: xml.Element,
    findings: list[Finding],
    manner: Manner,
) -> None:
    told = xml.SubElement(
        case,
        "failure",
        message=_fit(manner.says(findings[0])),
    )
    told.set("type", findings[0].code)
    rows = [f"{each.where}: {manner.says(each)}\n{manner.remedy(each)}" for each in findings]
    told.text = _fit("\n".join(rows))


def _reason(look: Looked, manner: Manner) -> str:
    """Below the threshold, or answered for, or not known."""
    told = [f"{each.where}: {manner.accepted(each) or manner.says(each)}" for each in look.findings]
    told += [manner.speech.say(why) for why in look.why]
    outcome = manner.speech.say(said(f"guard.outcome.{look.outcome}"))
    return f"{outcome}: {'; '.join(told)}"


def _fit(text: str) -> str:
    """XML 1.0 has no control characters."""
    return clean(text).replace("\ufffe", "").replace("\uffff", "")
