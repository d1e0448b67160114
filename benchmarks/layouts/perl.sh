# Makes a host of the kind "perl", as root in a fresh Debian: see survey_hosts.py.
useradd -m shop; mkdir -p /srv/shop/lib /srv/shop/tmp /srv/shop/orders/new; cat >/srv/shop/app.psgi <<'P'
use strict; my $n = 0;
sub { $n++; open my $f, '>', "tmp/cgisess_$n"; print $f 'x'; close $f; open $f, '>', "orders/new/$n.dat"; print $f 'order'; close $f;
 open $f, '>>', 'counter.dat'; print $f "x"; close $f; [200, ['Content-Type', 'text/plain'], ['ok']] };
P
echo '1;' >/srv/shop/lib/Shop.pm; chown -R shop: /srv/shop
echo '*/5 * * * * shop perl /srv/shop/batch.pl' >/etc/cron.d/shop
cat >/etc/systemd/system/shop.service <<'U'
[Service]
User=shop
WorkingDirectory=/srv/shop
ExecStart=/usr/bin/starman --workers 1 --listen 127.0.0.1:5000 app.psgi

[Install]
WantedBy=multi-user.target
U
