# Makes a host of the kind "root", as root in a fresh Debian: see survey_hosts.py.
mkdir -p /opt/agent/bin /data /var/lib/agent
cat >/opt/agent/bin/agent <<'S'
#!/bin/sh
n=0
while sleep 1; do
  n=$((n + 1)); day=/data/metrics/$(date +%Y/%m/%d); mkdir -p $day
  date >$day/$n.bin; date >/var/lib/agent/last; date >/opt/agent/state.dat
done
S
chmod 755 /opt/agent/bin/agent
cat >/etc/systemd/system/agent.service <<'U'
[Service]
ExecStart=/opt/agent/bin/agent
[Install]
WantedBy=multi-user.target
U
