"""Old hosts with a real sshd and a real nginx, which stand in a target group of kirikae local."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.conftest import Endpoint
from tests.pace import eventually
from tests.tidy import gone

ROOT = Path(__file__).parents[1]
PORT = 8000
RELOAD = "nginx -t -q && nginx -s reload"
# Connections end with their answer: a load balancer may else send a request into one that a worker
# of the former generation is just closing.
NGINX = f"""\
worker_processes 1;
events {{}}
http {{
    keepalive_timeout 0;
    server {{
        listen {PORT};
        root /srv/shop/current;
        include /srv/shop/current/site[.]conf;
    }}
}}
"""
_FIRST = "mkdir -p /run/sshd /srv/shop/releases/first ~/.ssh; chmod 700 ~/.ssh"
_SERVE = "; cd /srv/shop; ln -sfn releases/first current; nginx && exec /usr/sbin/sshd -D"


class SshdHosts:
    """One container a name; ``command`` is for KIRIKAE_SSH."""

    def __init__(self, local: Endpoint, folder: Path, group: str, *names: str) -> None:
        sys.path.insert(0, str(ROOT / "examples/bookshop/rehearsal"))
        import hosts

        self._run: Any = hosts.run
        self.names = names
        self._local = local
        self._key = folder / "key"
        self._image = hosts.debian("vm", hosts.VM_PACKAGES, print)
        self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key)
        local.scope.add(self.remove)
        self.addresses = {name: self._boot(name) for name in names}
        config = folder / "ssh_config"
        config.write_text("".join(map(self._entry, names)))
        self.command = f"ssh -F {config}"
        for name in names:
            eventually(lambda name=name: self._lets_in(name), f"sshd of {name} answers")
        elb = local.client("elbv2")
        targets = [{"Id": address, "Port": PORT} for address in self.addresses.values()]
        elb.register_targets(TargetGroupArn=group, Targets=targets)
        local.scope.add(lambda: gone(elb.deregister_targets, TargetGroupArn=group, Targets=targets))

    def remove(self) -> None:
        names = [self._container(name) for name in self.names]
        subprocess.run(["docker", "rm", "-f", "-v", *names], capture_output=True, check=False)

    def get(self, name: str) -> str:
        """What its port answers; empty: it does not."""
        try:
            with urlopen(f"http://{self.addresses[name]}:{PORT}/", timeout=20) as answer:
                return str(answer.read().decode().strip())
        except (URLError, OSError):
            return ""

    def _container(self, name: str) -> str:
        return f"kirikae-test-sshd-{name}-of-{os.getpid()}"

    def _boot(self, name: str) -> str:
        """Its address."""
        network = self._local.status["network"]
        container = self._container(name)
        options = ("--name", container, "--hostname", name, "--network", network)
        conf = f"printf '%s' '{NGINX}' >/etc/nginx/nginx.conf"
        script = (
            f"{_FIRST}; echo '{self._key_text}' >~/.ssh/authorized_keys; {conf}; "
            "echo shop first >/srv/shop/releases/first/index.html"
        )
        self._run("docker", "run", "-d", *options, self._image, "sh", "-c", script + _SERVE)
        told = json.loads(self._run("docker", "inspect", container))[0]
        return str(told["NetworkSettings"]["Networks"][network]["IPAddress"])

    @property
    def _key_text(self) -> str:
        return self._key.with_suffix(".pub").read_text().strip()

    def _entry(self, name: str) -> str:
        return (
            f"Host {name}\n HostName {self.addresses[name]}\n User root\n"
            f" IdentityFile {self._key}\n IdentitiesOnly yes\n StrictHostKeyChecking no\n"
            " UserKnownHostsFile /dev/null\n LogLevel ERROR\n"
        )

    def _lets_in(self, name: str) -> bool:
        asked = [*self.command.split(), name, "true"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
