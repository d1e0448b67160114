# kirikae in a container, from wheels in the folder `wheels` (docs/how-to/install.md):
#   pip wheel --wheel-dir wheels . && docker build -t kirikae .
# Debian 12 has Python 3.11: make the wheels with Python 3.11 on the same kind of processor.
ARG BASE=debian:12-slim
FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY wheels/ /tmp/wheels/
RUN python3 -m venv /opt/kirikae \
 && /opt/kirikae/bin/pip install --no-cache-dir --no-index --find-links /tmp/wheels kirikae \
 && rm -rf /tmp/wheels \
 && useradd --create-home --uid 1000 kirikae
USER kirikae
WORKDIR /project
ENTRYPOINT ["/opt/kirikae/bin/kirikae"]
