"""Where a tree is: a folder of this machine, or a bucket below a prefix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.logs.errors import NoLayout
from kirikae.logs.folder import FolderObjects
from kirikae.model.objects import Objects

S3 = "s3://"


@dataclass(frozen=True)
class Door:
    """Opens a tree, in whatever process: it can be sent to another one.

    ``account``: the buckets must belong to it, if given.
    """

    url: str
    region: str = ""
    account: str = ""
    read_only: bool = False

    @property
    def in_s3(self) -> bool:
        return self.url.startswith(S3)

    def open(self, aws: Any = None) -> Objects:
        """``aws``: a session that is there already."""
        if not self.in_s3:
            return FolderObjects(Path(self.url))
        from kirikae.aws.s3_objects import objects_at
        from kirikae.aws.session import Aws

        return objects_at(aws or Aws(self.region, self.read_only), self.url, self.account)


def taken_apart(at: str, folder: Path) -> tuple[str, str]:
    """``s3://b/logs/%Y/%m/`` is the tree ``s3://b/logs/`` and the template ``%Y/%m/``.  A path that
    is not absolute lies below ``folder``.  Raises NoLayout."""
    fixed = at.partition("%")[0]
    root = fixed[: fixed.rfind("/") + 1]
    template = at[len(root) :]
    if at.startswith(S3):
        if len(root) <= len(S3) or root.startswith(f"{S3}/"):
            raise NoLayout(
                f"{at!r} names no bucket; write it such as s3://BUCKET/logs/%Y/%m/%d/%H/"
            )
        return root, template
    return f"{folder / root}/", template


Opener = Callable[[], Objects]
