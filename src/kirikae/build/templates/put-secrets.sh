#!/bin/sh
# Puts the values of secrets from a host of the old fleet into the store, through no file, no argument and no screen.
# Needs: ssh to the host as somebody who may read its services' environment (root or sudo), the AWS CLI, and permission
# for ssm:PutParameter or secretsmanager:PutSecretValue.  {{ note }}.
# Run it again after a secret was changed on the hosts; `DRY_RUN=1 sh put-secrets.sh` only says what it would do.
set -eu
HOST=${HOST:-{{ host }}}
REGION=${REGION:-{{ region }}}

# A variable of the running process of a unit, on the host.
of_unit() { # UNIT NAME
    ssh "$HOST" "pid=\$(systemctl show -p MainPID --value '$1'); if [ \$(id -u) = 0 ]; then cat /proc/\$pid/environ; else sudo -n cat /proc/\$pid/environ; fi" \
        | tr '\000\n' '\n\001' | sed -n "s/^$2=//p" | tr '\001' '\n'
}
# What stands behind a name in a file of configuration, without quotes and what ends it.
of_file() { # FILE NAME
    ssh "$HOST" "if [ \$(id -u) = 0 ]; then cat '$1'; else sudo -n cat '$1'; fi" \
        | awk -v name="$2" '{
            at = index(toupper($0), toupper(name)); if (!at) next
            rest = substr($0, at + length(name)); sub(/^[]"\047 \t]*[=: \t]*["\047]?/, "", rest); sub(/["\047]?[ \t]*[;,]?[ \t]*$/, "", rest)
            if (rest != "") {print rest; exit}}'
}
put() { # PLACE VALUE; a shell's own printf is no process, so nobody sees the value in a list of them
    [ -n "$2" ] || { echo "$1: nothing was found on $HOST" >&2; exit 1; }
    if [ "${DRY_RUN:-}" ]; then echo "$(printf %s "$2" | wc -c) bytes would go to $1"; return; fi
    case $1 in
        arn:aws:secretsmanager:*)
            printf %s "$2" | aws --region "$REGION" secretsmanager put-secret-value --secret-id "$1" --secret-string file:///dev/stdin >/dev/null ;;
        *)
            printf %s "$2" | aws --region "$REGION" ssm put-parameter --name "$1" --type SecureString --overwrite --value file:///dev/stdin >/dev/null ;;
    esac
    echo "$1 is put"
}
{% for row in rows %}
{% if row.file %}
put {{ row.place | quoted }} "$(of_file {{ row.file | quoted }} {{ row.name | quoted }})"
{% elif row.unit %}
put {{ row.place | quoted }} "$(of_unit {{ row.unit | quoted }} {{ row.name | quoted }})"
{% else %}
echo {{ ("put by hand: " ~ row.name ~ " into " ~ row.place) | quoted }}
{% endif %}
{% endfor %}
