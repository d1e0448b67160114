{% from "packages.j2" import install %}
# The web sidecar: nginx, its virtual hosts as on the hosts, and static files (AS01).
# {{ note }}.
ARG DISTRIBUTION
{% if assets %}
ARG ASSETS
FROM ${ASSETS} AS assets
{% endif %}
FROM ${DISTRIBUTION}
COPY web.packages /usr/share/kirikae/web.packages
{{ install(family, "web.packages") }}
{% if starts %}
COPY start /usr/share/kirikae/start
COPY nginx.conf /usr/share/kirikae/templates/etc/nginx/nginx.conf
RUN ln -sf /run/kirikae/etc/nginx/nginx.conf /etc/nginx/nginx.conf
{% else %}
COPY nginx.conf /etc/nginx/nginx.conf
{% endif %}
{% for copy in copies %}
{{ copy }}
{% endfor %}
{% if assets %}
{{ assets }}
{% endif %}
{% if shared %}
# What it shares with a service has the same owner here: a volume that is new takes the rights of the folder below it.
RUN set -eu; {% for each in shared %}install -d -m 0755 -o {{ each.uid }} -g {{ each.gid }} {{ each.folder | quoted }}{{ "; " if not loop.last }}{% endfor %}

{% endif %}
{% if lines %}
{{ lines }}
{% endif %}
# A name that only the task's network knows is no fault of the file.
RUN {% if starts %}{{ dummies }} /bin/sh /usr/share/kirikae/start {% endif %}nginx -t -q 2>/tmp/said || { cat /tmp/said >&2; grep -q "host not found" /tmp/said; }; rm -rf /tmp/*{{ " /run/kirikae" if starts }}
{% if starts %}
RUN install -d -o 33 -g 33 /run/kirikae
{% endif %}
# nginx finishes what it has begun when it gets SIGQUIT; 33 is www-data's number on Debian.
USER 33:33
STOPSIGNAL SIGQUIT
{% if starts %}
ENTRYPOINT ["/bin/sh", "/usr/share/kirikae/start"]
{% endif %}
CMD ["nginx", "-g", "daemon off;"]
