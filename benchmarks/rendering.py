"""How long 1,000 findings take to be shown in every form, in both languages.

    python benchmarks/rendering.py

Goal: 2 s for all forms together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from kirikae.console.catalogue import catalogue
from kirikae.console.findings import Listing, Manner
from kirikae.console.here import to_json
from kirikae.console.speech import Speech
from kirikae.console.survey_markdown import markdown
from kirikae.console.survey_page import page
from kirikae.console.survey_sarif import sarif
from kirikae.console.survey_summary import Summary
from kirikae.model.finding import Finding, Trace
from kirikae.model.said import LANGUAGES, Language

MANY = 1000
EVIDENCE = 8


def made() -> list[Finding]:
    """Of all codes in turn, on four hosts."""
    entries = list(catalogue().values())
    found = []
    for number in range(MANY):
        entry = entries[number % len(entries)]
        path = f"/srv/app{number}/shared/uploads/{number}"
        evidence = [
            Trace(f"web{each % 4}", f"{path}/{each}.jpg", f"owned by www-data, file {each}", each)
            for each in range(EVIDENCE)
        ]
        finding = entry.found(path, f"app writes into {path} (12 files, 8.0 KiB)", evidence)
        found.append(replace(finding, count=None))
    return found


def forms_of(found: list[Finding], language: Language) -> dict[str, Callable[[], Any]]:
    """Every form in this language."""
    summary = Summary("shop", "production", date(2026, 11, 27), found, "traffic")
    manner = Manner(Speech(language))
    listing = Listing(found, "traffic")
    return {
        "terminal": lambda: "\n".join(listing.lines(manner, True)),
        "JSON": lambda: to_json(listing.to_plain()),
        "SARIF": lambda: json.dumps(sarif(found, manner)),
        "Markdown": lambda: "\n".join(markdown(summary, manner)),
        "HTML": lambda: page(summary, manner),
    }


def main() -> None:
    """One line for each form, and the sum."""
    found = made()
    whole = 0.0
    for language in LANGUAGES:
        for name, render in forms_of(found, language).items():
            before = time.perf_counter()
            text = render()
            took = time.perf_counter() - before
            whole += took
            print(f"{language} {name}: {took:.2f} s, {len(text) / 1e6:.1f} MB")
    print(f"{MANY} findings with {EVIDENCE} traces each in ten forms: {whole:.2f} s (goal 2 s)")


if __name__ == "__main__":
    main()
