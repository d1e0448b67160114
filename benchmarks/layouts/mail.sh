# Makes a host of the kind "mail", as root in a fresh Debian: see survey_hosts.py.
useradd -m list1; useradd -m mailer; mkdir -p /opt/mailer/bin /var/lib/mailer/queue /var/lib/mailer/lists; chown -R mailer: /var/lib/mailer
cat >/opt/mailer/bin/send <<'S'
#!/bin/sh
date >>/var/lib/mailer/lists/sent; date >/var/lib/mailer/queue/$$; echo hello | mail -s x nobody@example.invalid 2>/dev/null || true
S
cat >/opt/mailer/bin/daemon <<'S'
#!/bin/sh
while sleep 1; do date >/var/lib/mailer/queue/$(date +%s); done
S
chmod 755 /opt/mailer/bin/*
printf '* * * * * mailer /opt/mailer/bin/send\n' >/etc/cron.d/mailer; printf '* * * * * mailer /opt/mailer/bin/send\n' >/etc/cron.d/mailer.old
printf '70 * * * * mailer /opt/mailer/bin/send\n' >/etc/cron.d/broken; printf '#!/bin/sh\n/opt/mailer/bin/send\n' >/etc/cron.daily/digest; chmod 755 /etc/cron.daily/digest
printf '#!/bin/sh\n' >/etc/cron.weekly/report.sh; chmod 755 /etc/cron.weekly/report.sh; printf '*/10 * * * * /opt/mailer/bin/send' >/var/spool/cron/crontabs/mailer
printf '*/15 * * * * /opt/mailer/bin/send\n' >/var/spool/cron/crontabs/list1; chown mailer:crontab /var/spool/cron/crontabs/mailer; chown list1:crontab /var/spool/cron/crontabs/list1; chmod 600 /var/spool/cron/crontabs/*
printf '[Timer]\nOnCalendar=*:0/30\n[Install]\nWantedBy=timers.target\n' >/etc/systemd/system/bounce.timer
printf '[Service]\nType=oneshot\nExecStart=/opt/mailer/bin/send\n' >/etc/systemd/system/bounce.service
cat >/etc/systemd/system/mailer.service <<'U'
[Service]
User=mailer
WorkingDirectory=/opt/mailer
ExecStart=/bin/sh /opt/mailer/bin/daemon

[Install]
WantedBy=multi-user.target
U
