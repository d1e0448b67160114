# Makes a host of the kind "plain", as root in a fresh Debian: see survey_hosts.py.
useradd -m app; mkdir -p /srv/app /var/lib/app/uploads /srv/app/var; cat >/srv/app/run.sh <<'S'
#!/bin/sh
cd /srv/app
n=0; while sleep 1; do n=$((n + 1)); date >/var/lib/app/uploads/$n.jpg; date >/srv/app/var/state.dat; echo x >>/var/lib/app/app.log; done
S
chmod 755 /srv/app/run.sh; chown -R app: /srv/app /var/lib/app
