"""The address 169.254.170.2 on the project's own bridge, where AWS's SDKs look for a task's
credentials and metadata."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess

log = logging.getLogger("kirikae.local.bridge")

LINK_LOCAL = "169.254.170.2"


async def link_local_bind(bridge: str) -> str:
    """HAProxy's bind for it, tied to this bridge so that several instances do not meet; empty where
    it cannot be had (not root, no ``ip``, an engine in a virtual machine): tasks then get the
    gateway's address and plain keys instead."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return ""
    process = await asyncio.create_subprocess_exec(
        "ip",
        "address",
        "replace",
        f"{LINK_LOCAL}/32",
        "dev",
        bridge,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        log.warning("%s cannot be had on %s: %s", LINK_LOCAL, bridge, said.decode().strip())
        return ""
    return f"{LINK_LOCAL}:80 interface {bridge}"
