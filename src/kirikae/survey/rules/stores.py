"""Data that is neither a service's own folder nor a database server's: shared memory stores on this
host, further disks, files that a job fetches anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.counted import counted
from kirikae.survey.view import View

_STORE = re.compile(
    r"(localhost|127\.0\.0\.1|unix:).{0,40}\b(6379|11211|redis|memcached?)\b"
    r"|\b(rediss?|memcached?)\b.{0,60}(localhost|127\.0\.0\.1|\bunix:|\.sock\b)",
    re.IGNORECASE,
)
"""A store of keys and values, and this host as its address, in one line."""
_OF_THE_STORE = re.compile(r"/etc/(redis|valkey|memcached|sysconfig/memcached|sentinel)")
_COMMENT = ("#", "//", "*", ";")
_SHOWN = 8
_DISK = re.compile(r"/dev/(sd|xvd|vd|nvme|mapper/|md|dm-|hd|disk/)|(UUID|LABEL|PARTUUID)=")
_OF_THE_SYSTEM = re.compile(
    r"/|none|swap|/(boot|proc|sys|dev|run|snap|etc|usr|tmp)(/.*)?"
    r"|/var/(tmp|lib/(docker|containerd|kubelet|lxc|snapd))(/.*)?"
)
"""The first disk, and what a machine or a container engine mounts for itself."""
_FETCHES = re.compile(r"\b(curl|wget|aria2c|rsync|scp|aws\s+s3\s+(cp|sync)|gsutil)\b")
_TARGET = re.compile(r"(?:\s-\w*[oO]|--output|--output-document|>)[\s=]*(/[\w./@-]+)")
_COPIES = re.compile(r"\b(?:rsync|scp|cp|sync)\b.*\s(/[\w./@-]+)/?\s*(?:[>|;&].*)?$")
"""What copies names the place last; before it stands what is taken."""
_REFRESHERS = re.compile(r"\b(geoipupdate|geoip-database|freshclam|sa-update|update-ipsets)\b")


def local_stores(view: View) -> Findings:
    """Each side would have a store of its own: what one puts there, the other never sees."""
    lines = [line for line in _said(view) if _STORE.search(line.text)]
    if lines:
        many = counted(len(lines), "line", "lines")
        yield configured(
            "ST07",
            where=lines[0].at,
            says=f"Redis or memcached is used on this host ({many})",
            evidence=view.quotes(lines[:_SHOWN]),
            count=len(lines),
        )


def _said(view: View) -> Iterator[Line]:
    """Own configuration, environments, and code; the store's own configuration says nothing of who
    uses it."""
    for text in view.own_texts:
        if not _OF_THE_STORE.match(text.path):
            yield from text.live()
    for service in view.applications:
        for variable in view.environment(service).values():
            yield Line(variable.trace.at, variable.trace.line, variable.trace.says)
    for code in view.code:
        for line in code.lines:
            if not line.text.lstrip().startswith(_COMMENT):
                yield line


def further_disks(view: View) -> Findings:
    """Whoever copies the machine's first disk forgets what lies on the others."""
    seen = set()
    for mount in view.bundle.mounts:
        own = _DISK.match(mount.device) and not _OF_THE_SYSTEM.fullmatch(mount.place)
        if own and mount.place not in seen:
            seen.add(mount.place)
            yield present(
                "ST13",
                where=mount.place,
                says=f"{mount.place} lies on a disk of its own ({mount.device})",
                evidence=[view.trace("mounts", " ".join(mount))],
            )


def fetched_by_jobs(view: View) -> Findings:
    """A task that runs for a week keeps what its image brought."""
    for job in view.schedules.jobs:
        refresher = _REFRESHERS.search(job.says)
        if refresher:
            yield configured(
                "ST17",
                where=refresher[0],
                says=f"a job refreshes data that programs here read ({refresher[0]})",
                evidence=[view.quote(job.line)],
            )
        elif _FETCHES.search(job.says):
            yield from _fetched(view, job.line)


def _fetched(view: View, line: Line) -> Findings:
    """Files that the line brings, where something else on the host names them."""
    for path in [*_TARGET.findall(line.text), *_COPIES.findall(line.text)]:
        readers = [trace for trace in view.named_paths.get(path, ()) if trace.at != line.path]
        if path.startswith("/dev/"):
            continue
        if readers:
            yield present(
                "ST17",
                where=path,
                says=f"a job fetches {path}, and {readers[0].at} reads it",
                evidence=[view.quote(line), *readers[:_SHOWN]],
            )


RULES = (
    local_stores,
    further_disks,
    fetched_by_jobs,
)
