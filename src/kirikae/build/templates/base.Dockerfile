{% from "packages.j2" import install %}
# The base storey: operating system and packages; changes rarely.  {{ note }}.
ARG DISTRIBUTION={{ distribution }}
{% for lock in locks %}

# {{ lock.manager }}'s packages as the release locks them; neither {{ lock.manager }} nor a compiler is in the storey itself.
FROM ${DISTRIBUTION} AS {{ lock.stage }}
COPY locks/ /usr/share/kirikae/locks/
WORKDIR {{ lock.workdir }}
# hadolint ignore=DL3008
RUN set -eu; \
    if [ -f {{ lock.locks[0] | quoted }} ]; then \
      apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {{ lock.tools }} >/dev/null; \
      cp {{ lock.locks | map("quoted") | join(" ") }} .; {{ lock.command }}; fi; mkdir -p {{ lock.tree }}
{% endfor %}
FROM ${DISTRIBUTION}
COPY base.packages /usr/share/kirikae/base.packages
# The versions that the hosts have; where one is no longer offered, the newest, and that is written down.
{{ install(family, "base.packages") }}
{% if locale %}
# CF19: the service runs in this locale.
RUN echo {{ locale | quoted }} >/etc/locale.gen && locale-gen >/dev/null
{% endif %}
{% if zone %}
# CF19: the hosts' time zone.
RUN ln -sf {{ ("/usr/share/zoneinfo/" ~ zone) | quoted }} /etc/localtime && echo {{ zone | quoted }} >/etc/timezone
{% endif %}
{% if unpackaged %}
# PR12: {{ unpackaged | join(", ") }} {{ "are" if unpackaged | length > 1 else "is" }} in no package: copied from a host.
COPY runtime/ /
{% endif %}
{% if requirements %}
# requirements: {{ requirements }}
COPY wheelhouse/ /usr/share/kirikae/wheelhouse/
COPY requirements.txt /usr/share/kirikae/requirements.txt
{% if virtual_environment %}
RUN python3 -m venv --system-site-packages {{ virtual_environment | quoted }} \
 && {{ virtual_environment | quoted }}/bin/pip install --no-cache-dir --no-index \
    --find-links /usr/share/kirikae/wheelhouse -r /usr/share/kirikae/requirements.txt
{% else %}
RUN pip install --no-cache-dir --break-system-packages --no-index --find-links /usr/share/kirikae/wheelhouse \
    -r /usr/share/kirikae/requirements.txt
{% endif %}
{% endif %}
{% for lock in locks %}
{{ lock.copy }}
{% endfor %}
{% if users %}
# PR05: the same numbers as on the hosts, so that ownership of shared data still fits.
{% endif %}
{% for user in users %}
RUN { getent passwd {{ user.name | quoted }} >/dev/null; } || { groupadd -o -g {{ user.gid }} {{ user.name | quoted }} \
 && useradd -o -u {{ user.uid }} -g {{ user.gid }} -M -d {{ user.folder | quoted }} -s /usr/sbin/nologin {{ user.name | quoted }}; }
{% endfor %}
{% if lines %}
{{ lines }}
{% endif %}
