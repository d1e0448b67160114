"""Dockerfiles of schedulers, workers and the mail relay."""

from __future__ import annotations

import json
from importlib.resources import files

from kirikae.jobs.making.services import IN_APPLICATION, SENDMAIL
from kirikae.jobs.making.stack import CRONTAB, Stack

COLLECT = "collect.sh"
RELAY_START = "relay.sh"
_HERE = files("kirikae.jobs") / "image"


def packaged(name: str) -> str:
    """A file that is written as it is."""
    return (_HERE / name).read_text("utf-8")


def scheduler(stack: Stack) -> str:
    """kirikae's own image with the crontab in it: whoever changes it makes a new image."""
    crontab = json.dumps([stack.settings.crontab, f"{CRONTAB}/{stack.settings.named}"])
    return f"""# Schedulers (and the ledger's door): kirikae's image with the crontab.
# In the project file's folder:  docker build -f {stack.folder}/scheduler.Dockerfile .
ARG KIRIKAE=kirikae
FROM ${{KIRIKAE}}
COPY {crontab}
"""


def worker(stack: Stack) -> str:
    """The application's image with a worker beside it.  Its entry point, user and variables stay
    as they are: the task definition says what is started."""
    relay = stack.new.relay is not None
    return f"""# The worker, in the image of your application, which needs no Python for it:
#   docker build --build-arg APPLICATION=... -f {stack.folder}/worker.Dockerfile {stack.folder}
# APPLICATION: any image of the same kind of processor that has /bin/sh (its jobs need one, too).
ARG KIRIKAE=kirikae
ARG APPLICATION
FROM ${{KIRIKAE}} AS kirikae
# hadolint ignore=DL3002
USER 0:0
COPY {COLLECT} /tmp/{COLLECT}
RUN sh /tmp/{COLLECT} /opt/kirikae-worker{_LINK if relay else ""}
FROM ${{APPLICATION}}
COPY --from=kirikae /opt/kirikae-worker /opt/kirikae-worker
{_MAIL if relay else ""}{_CHECK}
RUN {IN_APPLICATION} jobs worker --help >/dev/null
"""


_CHECK = "# It runs here, or no worker can be in this image: give its jobs runs-in=own-task then."
_LINK = f" && mkdir /tmp/sbin && ln -s {SENDMAIL} /tmp/sbin/sendmail"
_MAIL = """\
# Programs that mail give it to the relay beside the worker: no mail server of this image runs.
COPY --from=kirikae /tmp/sbin/ /usr/sbin/
"""
RELAY = f"""# Takes the mail of jobs at localhost and passes it on to RELAY_TO, as RELAY_LOGIN.
ARG DISTRIBUTION=debian:12-slim
FROM ${{DISTRIBUTION}}
# hadolint ignore=DL3008
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \\
    --no-install-recommends postfix libsasl2-modules ca-certificates >/dev/null && \\
    rm -rf /var/lib/apt/lists/* && mkdir -p /usr/share/kirikae && \\
    cp -R /etc/postfix /usr/share/kirikae/postfix
COPY {RELAY_START} /usr/local/bin/{RELAY_START}
CMD ["/bin/sh", "/usr/local/bin/{RELAY_START}"]
"""
