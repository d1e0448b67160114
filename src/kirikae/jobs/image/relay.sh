#!/bin/sh
# A mail server that takes mail at localhost only and passes all of it on to RELAY_TO (HOST:PORT) with TLS, as RELAY_LOGIN
# (NAME:PASSWORD) says.  What the other end does not take is tried again while this container lives.  postconf(5).
set -eu
: "${RELAY_TO:?HOST:PORT}" "${RELAY_LOGIN:?NAME:PASSWORD}"
# Where the root is read-only, its folders are in memory and empty: the image keeps a copy of the configuration.
[ -f /etc/postfix/main.cf ] || cp -R /usr/share/kirikae/postfix/. /etc/postfix/
install -d -o postfix -g postfix -m 0700 /var/lib/postfix
host=${RELAY_TO%:*}
port=${RELAY_TO##*:}
umask 077
printf '[%s]:%s %s\n' "$host" "$port" "$RELAY_LOGIN" >/etc/postfix/relay_login
postmap /etc/postfix/relay_login
rm /etc/postfix/relay_login
umask 022
postconf -e "relayhost = [$host]:$port" 'inet_interfaces = loopback-only' 'mydestination =' 'mynetworks = 127.0.0.0/8 [::1]/128' \
    'smtp_tls_security_level = encrypt' 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' 'smtp_sasl_auth_enable = yes' \
    'smtp_sasl_security_options = noanonymous' 'smtp_sasl_password_maps = hash:/etc/postfix/relay_login' 'maillog_file = /dev/stdout' \
    'smtpd_relay_restrictions = permit_mynetworks, reject' 'local_transport = error:mail for this host is passed on'
# Debian's services run below /var/spool/postfix, where there is no resolv.conf unless an init script puts it there.
postconf -F '*/*/chroot = n'
unset RELAY_LOGIN
exec postfix start-fg
