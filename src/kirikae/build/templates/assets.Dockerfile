# The assets of {{ name }}: built from their sources and their lock, and only when one of them has changed.
# {{ note }}.
# assets: {{ inputs | join(" ") }}
ARG DISTRIBUTION
FROM ${DISTRIBUTION} AS built
# hadolint ignore=DL3008
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends {{ packages | map("quoted") | join(" ") }} >/dev/null \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY assets/lock/ ./
# hadolint ignore=DL3059
RUN if [ -f package-lock.json ]; then npm ci --no-audit --no-fund; fi
COPY assets/sources/ ./
RUN {{ command }}
FROM scratch
COPY --from=built {{ copy | words }}
