# kirikae survey watch: names what was written on this machine since SINCE (seconds since 1970, given above; empty: only says the time).
# POSIX sh.  Reads only: names and times, no content; installs nothing, writes no file, leaves no mark.
# Answer: sections as collect.sh writes them.
set -u
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
renice -n 19 $$ >/dev/null 2>&1
core=$(taskset -pc $$ 2>/dev/null); core=${core##*[ ,-]}
[ -z "$core" ] || taskset -pc "$core" $$ >/dev/null 2>&1
ionice -c 3 -p $$ >/dev/null 2>&1
TOP=${TOP:-/}
BROKEN='*
*'
# The time before the look: what is written while it goes on is seen again by the next one.
now=$(date +%s)
# "type, uid, bytes, modified, changed, path" of files and folders that were written or changed since then.
written() {
    if find / -maxdepth 0 -newermt '@0' -newerct '@0' -printf '' 2>/dev/null; then
        find "$TOP" \( -path /proc -o -path /sys -o -path /dev -o -path /boot \
            -o -fstype proc -o -fstype sysfs -o -fstype nfs -o -fstype nfs4 -o -fstype cifs -o -fstype fuse.sshfs -o -fstype fuse.s3fs \) -prune \
            -o \( -type f -o -type d \) \( -newermt "@$SINCE" -o -newerct "@$SINCE" \) -printf '%y\t%U\t%s\t%T@\t%C@\t%p\0' 2>/dev/null | tr '\000\n' '\n\001'
    else
        # A find that knows only minutes: one more than needed, and the rest is left out by its time.
        find "$TOP" \( -path /proc -o -path /sys -o -path /dev -o -path /boot \) -prune \
            -o \( -type f -o -type d \) \( -mmin "-$(((now - SINCE) / 60 + 2))" -o -cmin "-$(((now - SINCE) / 60 + 2))" \) ! -path "$BROKEN" \
            -exec stat -c '%F	%u	%s	%Y	%Z	%n' {} + 2>/dev/null | sed 's/^directory/d/; s/^regular empty file/f/; s/^regular file/f/'
    fi
}
main() {
    printf '@kirikae-bundle 1\n@meta\n|now\t%s\n|uid\t%s\n' "$now" "$(id -u)"
    if [ -n "$SINCE" ]; then
        [ "$(id -u)" = 0 ] || printf '@missing root\n|not root: what is written in private folders was not seen\n'
        printf '@written\n'
        # A part of a name that nobody could have thought of may be a key, such as a session's: it stays here.
        written | awk -F '\t' -v since="$SINCE" '
            BEGIN {for (i = 0; i < 16; i++) random = random "[A-Za-z0-9]"; random = random "[A-Za-z0-9]*"}
            function shown(path,    out, part) {
                out = ""
                while (match(path, random)) {
                    part = substr(path, RSTART, RLENGTH)
                    if (part ~ /[0-9]/ && part ~ /[A-Za-z]/) part = "*"
                    out = out substr(path, 1, RSTART - 1) part
                    path = substr(path, RSTART + RLENGTH)
                }
                return out path
            }
            NF < 6 {next}
            {
                if (int($4) < since && int($5) < since) next
                path = $6; for (i = 7; i <= NF; i++) path = path "\t" $i
                if (++many <= 100000) printf "|%s\t%s\t%s\t%.0f\t%.0f\t%s\n", $1, $2, $3, int($4), int($5), shown(path)
            }
            END {if (many > 100000) print "@missing written\n|more than 100,000 files were written between two looks; only the first are listed"}'
    fi
    echo @end
}
if command -v gzip >/dev/null 2>&1; then main | gzip -c; else main; fi
