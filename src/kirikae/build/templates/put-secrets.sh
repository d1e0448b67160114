#!/bin/sh
# Puts the values of secrets from a host of the old fleet into the store, through no file, no argument and no screen.
# Needs: ssh to the host as somebody who may read its services' environment (root or sudo), the AWS CLI, and permission
# for ssm:PutParameter or secretsmanager:PutSecretValue.  {{ note }}.
# Run it again after a secret was changed on the hosts; `DRY_RUN=1 sh put-secrets.sh` only says what it would do.
set -eu
HOST=${HOST:-{{ host }}}
REGION=${REGION:-{{ region }}}

# What it runs on the host: as root, or by sudo.
on_host() { # COMMAND
    ssh "$HOST" "if [ \$(id -u) = 0 ]; then root=; else root='sudo -n'; fi; $1"
}
# A variable of the running process of a unit, or of a program of supervisor or PM2.  Without CAP_SYS_PTRACE (hosts that are
# containers) not even root reads it; the program's own user does.
of_unit() { # UNIT NAME
    program=${1%.service}
    on_host "pid=\$(systemctl show -p MainPID --value '$1' 2>/dev/null); \
        [ \"\${pid:-0}\" != 0 ] || pid=\$(\$root supervisorctl pid '$program' 2>/dev/null || pm2 pid '$program'); \
        \$root cat \"/proc/\$pid/environ\" 2>/dev/null || { \
            owner=\$(stat -c %U \"/proc/\$pid\"); \$root su -s /bin/sh \"\$owner\" -c \"cat /proc/\$pid/environ\"; }" \
        | tr '\000\n' '\n\001' | sed -n "s/^$2=//p" | tr '\001' '\n'
}
# What stands in a line of a file between two texts; nothing where they are not what the survey saw there.
of_file() { # FILE LINE BEFORE AFTER END
    on_host "\$root cat '$1'" | BEFORE=$3 AFTER=$4 awk -v line="$2" -v end="$5" 'NR == line {
        before = ENVIRON["BEFORE"]; after = ENVIRON["AFTER"]
        at = before == "" ? 1 : index($0, before); if (!at) exit
        rest = substr($0, at + length(before)); many = length(rest) - length(after)
        if (after == "") {print rest; exit}
        if (end == "yes") {if (many > 0 && substr(rest, many + 1) == after) print substr(rest, 1, many); exit}
        at = index(rest, after); if (at > 1) print substr(rest, 1, at - 1); exit}'
}
put() { # PLACE VALUE; a shell's own printf is no process, so nobody sees the value in a list of them
    [ -n "$2" ] || { echo "$1: nothing was found on $HOST where the survey saw it; survey again (\`kirikae survey collect\`, \`kirikae build write\`), or put it by hand" >&2; exit 1; }
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
# {{ row.name }}
put {{ row.place | quoted }} "$(of_file {{ row.file | quoted }} {{ row.line }} {{ row.before | quoted }} {{ row.after | quoted }} {{ "yes" if row.ends else "no" }})"
{% elif row.unit %}
put {{ row.place | quoted }} "$(of_unit {{ row.unit | quoted }} {{ row.name | quoted }})"
{% else %}
echo {{ ("put by hand: " ~ row.name ~ " into " ~ row.place) | quoted }}
{% endif %}
{% endfor %}
