# Makes a host of the kind "rpm", as root in a fresh Debian: see survey_hosts.py.
# What Debian's packages brought becomes one package of rpm; dpkg and its lists go; the service comes with a package, too.
cat >/etc/os-release <<'O'
NAME="Amazon Linux"
VERSION="2"
ID="amzn"
ID_LIKE="centos rhel fedora"
VERSION_ID="2"
PRETTY_NAME="Amazon Linux 2"
O
work=/var/tmp/build; made=$work/made; mkdir -p $made $work/specs
find /etc /usr/bin /usr/sbin /usr/lib/systemd /usr/lib/cron /opt /srv -xdev \( -type f -o -type l \) >$work/all
grep -v -e ' ' -e '%' -e /os-release -e /debian_version -e '/bin/dpkg' -e '/bin/apt'  -e '[][*?{}]' $work/all >$work/files
tar -C / -cf - -T $work/files 2>/dev/null | tar -C $made -xf -
(cd $made && find . \( -type f -o -type l \) | sed 's|^\.||') >$work/list
cat >$work/specs/base.spec <<'S'
Name: system-release
Version: 2
Release: 15.amzn2
Summary: what the system brought
License: MIT
%define __os_install_post %{nil}
%define _binary_payload w0.gzdio
%define _build_id_links none
AutoReqProv: no
%description
What the system brought.
%files -f /var/tmp/build/list
S
cat >$work/specs/shopd.spec <<'S'
Name: shopd
Version: 1.4
Release: 3
Summary: a shop
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
A shop.
%install
mkdir -p %{buildroot}/usr/sbin %{buildroot}/etc/shopd %{buildroot}/etc/sysconfig %{buildroot}/usr/lib/systemd/system
mkdir -p %{buildroot}/var/lib/shopd/uploads %{buildroot}/etc/cron.d %{buildroot}/usr/share/shopd
cp /var/tmp/build/shopd %{buildroot}/usr/sbin/shopd
cp /var/tmp/build/shopd.service %{buildroot}/usr/lib/systemd/system/
echo 'listen = 127.0.0.1:8080' >%{buildroot}/etc/shopd/shopd.conf
echo 'SHOPD_DATA=/var/lib/shopd' >%{buildroot}/etc/sysconfig/shopd
echo '17 * * * * shopd /usr/sbin/shopd --tidy' >%{buildroot}/etc/cron.d/shopd
echo 'hello' >%{buildroot}/usr/share/shopd/page.html
%files
%attr(755,root,root) /usr/sbin/shopd
/usr/lib/systemd/system/shopd.service
%config(noreplace) /etc/shopd/shopd.conf
%config(noreplace) /etc/sysconfig/shopd
/etc/cron.d/shopd
/usr/share/shopd/page.html
%attr(755,shopd,shopd) %dir /var/lib/shopd
%attr(755,shopd,shopd) %dir /var/lib/shopd/uploads
S
cat >$work/shopd <<'P'
#!/usr/bin/python3
import http.server, os, sqlite3
data = os.environ["SHOPD_DATA"]; db = sqlite3.connect(data + "/orders")
db.execute("create table if not exists orders (id integer primary key)"); count = [0]
class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        count[0] += 1; db.execute("insert into orders default values"); db.commit()
        open(f"{data}/uploads/{count[0]}.jpg", "w").write("x" * 999); open("/srv/shop/exports/last.csv", "w").write("1")
        open("/var/log/shopd.log", "a").write(self.path + "\n"); self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", 8080), Shop).serve_forever()
P
cat >$work/shopd.service <<'U'
[Service]
User=shopd
EnvironmentFile=/etc/sysconfig/shopd
ExecStart=/usr/sbin/shopd
[Install]
WantedBy=multi-user.target
U
useradd -r shopd; useradd -m deploy; mkdir -p /srv/shop/exports; chown -R shopd: /srv/shop; touch /var/log/shopd.log; chown shopd: /var/log/shopd.log
rpmbuild -bb -D '_topdir /var/tmp/build' --buildroot $made --noclean $work/specs/base.spec >/var/tmp/base.log 2>&1 || tail -5 /var/tmp/base.log >&2
rpmbuild -bb -D '_topdir /var/tmp/build' --buildroot /var/tmp/build/shop $work/specs/shopd.spec >/var/tmp/shopd.log 2>&1 || tail -5 /var/tmp/shopd.log >&2
mkdir -p /var/lib/rpm; find $work/RPMS -name 'system-release*.rpm' -exec rpm -i --justdb --nodeps {} +
find $work/RPMS -name 'shopd*.rpm' -exec rpm -i --nodeps {} +
# What people did to it: a setting of the package's, a file of their own, a job of their own.
echo 'workers = 4' >>/etc/shopd/shopd.conf; echo 'SHOPD_TOKEN=Hemlock-73-Rpm' >>/etc/sysconfig/shopd
printf '#!/bin/sh\ntar cf /srv/shop/backup.tar /var/lib/shopd\n' >/etc/cron.daily/shop-backup; chmod 755 /etc/cron.daily/shop-backup
mkdir -p /var/spool/cron; echo '5 4 * * * /usr/sbin/shopd --report' >/var/spool/cron/deploy; chmod 600 /var/spool/cron/deploy
rm -rf /var/lib/dpkg /var/lib/ucf /var/lib/apt /usr/bin/dpkg* /usr/bin/apt* $work /etc/debian_version
