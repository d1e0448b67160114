# The development stage: the base storey of production, with tools; the code is mounted.  {{ note }}.
ARG BASE
FROM ${BASE}
# hadolint ignore=DL3008
RUN if command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends less procps git >/dev/null && rm -rf /var/lib/apt/lists/*; fi
USER {{ uid }}:{{ gid }}
