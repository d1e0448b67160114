"""Everything that is known about one path of a host (`survey explain PATH`)."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.model.finding import Trace
from kirikae.survey import watched
from kirikae.survey.view import View


def traces_of(view: View, path: str) -> Iterator[Trace]:
    """Its package, its folder, what was written there while watched, and who names it."""
    owner = view.bundle.owner(path)
    if owner is not None:
        yield view.trace(path, f"belongs to package {owner}")
    folder = view.bundle.folder_at.get(path)
    if folder is not None:
        user = view.bundle.user_names.get(folder.uid, str(folder.uid))
        inside = view.bundle.under(path)
        files = sum(each.files for each in inside)
        size = sum(each.size for each in inside)
        yield view.trace(
            path,
            f"folder, mode {folder.mode:o}, owned by {user}, {files} files of {size} bytes in all",
        )
    yield from watched.traces(view, path)
    yield from view.naming(path)
