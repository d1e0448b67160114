# The storey of {{ name }}: the release's code; changes with every release.  {{ note }}.
{% if release %}
# release: {{ release }}
{% endif %}
ARG BASE
{% if assets %}
ARG ASSETS
FROM ${ASSETS} AS assets
{% endif %}
FROM ${BASE}
{% if clears %}
RUN rm -rf {{ clears | map("quoted") | join(" ") }}
{% endif %}
{% if carried %}
# Configuration of the hosts ({{ carried | join(", ") }}).
COPY carried/{{ image }}/ /
{% endif %}
{% if links %}
COPY carried/{{ image }}.links /usr/share/kirikae/links
RUN set -eu; while read -r link target; do mkdir -p "${link%/*}"; ln -sfn "$target" "$link"; done </usr/share/kirikae/links
{% endif %}
{% if logs %}
# LG01: what went into files goes to standard output.
RUN set -eu; for file in {{ logs | map("quoted") | join(" ") }}; do mkdir -p "${file%/*}"; ln -sf /dev/stdout "$file"; done
{% endif %}
# What changes rarely first: a new release moves only the last of them.
{% for copy in copies %}
{% if loop.last and assets %}
{{ assets }}
{% endif %}
{{ copy }}
{% endfor %}
{% if folders %}
RUN set -eu; {% for each in folders %}install -d -m {{ each.mode }} -o {{ uid }} -g {{ gid }} {{ each.path | quoted }}{{ "; " if not loop.last }}{% endfor %}

{% endif %}
{% if volumes %}
VOLUME {{ volumes | words }}
{% endif %}
{% if lines %}
{{ lines }}
{% endif %}
WORKDIR {{ workdir }}
{% if checks %}
# The image proves itself while it is built.
{% endif %}
{% for check in checks %}
# hadolint ignore=DL3059,SC2016
RUN {{ check }}
{% endfor %}
USER {{ uid }}:{{ gid }}
STOPSIGNAL {{ stop }}
{% if starts %}
ENTRYPOINT ["/bin/sh", "/usr/share/kirikae/start"]
{% endif %}
CMD {{ command | words }}
