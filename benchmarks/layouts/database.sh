# Makes a host of the kind "database", as root in a fresh Debian: see survey_hosts.py.
useradd -m etl; mkdir -p /srv/etl/out /srv/etl/bin; printf '#!/bin/sh\nwhile sleep 1; do date >/srv/etl/out/$(date +%%s).csv; done\n' >/srv/etl/bin/loop; chmod 755 /srv/etl/bin/loop; chown -R etl: /srv/etl
sed -i 's/^save .*//; s/^# save .*//' /etc/redis/redis.conf; echo 'save 1 1' >>/etc/redis/redis.conf
cat >/etc/systemd/system/etl.service <<'U'
[Service]
User=etl
WorkingDirectory=/srv/etl
ExecStart=/srv/etl/bin/loop

[Install]
WantedBy=multi-user.target
U
