# kirikae survey: looks at this machine and writes what it sees to standard output.
# POSIX sh.  Reads only: installs nothing, writes no file, opens no pipe, socket or device.  Values that look secret leave this
# machine only as fingerprints, SHA-256(K1 SHA-256(K2 value)); K1 and K2 are two keys of the project, given above with MASK (mask.awk).
# Answer: "@section arguments" lines, each followed by lines that begin with "|"; the last line is "@end".
set -u
LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
renice -n 19 $$ >/dev/null 2>&1
# One core, the last of those that are allowed: the others are the service's.
core=$(taskset -pc $$ 2>/dev/null); core=${core##*[ ,-]}
[ -z "$core" ] || taskset -pc "$core" $$ >/dev/null 2>&1
ionice -c 3 -p $$ >/dev/null 2>&1
has() { command -v "$1" >/dev/null 2>&1; }
section() { printf '@%s\n' "$*"; }
bar() { sed 's/^/|/'; }
missing() { printf '@missing %s\n|%s\n' "$1" "$2"; }
TAB=$(printf '\t')
# Whoever may name a file could otherwise put another file's name into ours, which are read a line at a time.
BROKEN='*
*'

# --- secrets: MASK is mask.awk, given above ------------------------------------------------------------------------------
sum_of() { sum=$(printf '%s' "$1" | sha256sum) && printf '%s\n' "${sum%% *}"; }
fingerprint() { inner=$(sum_of "$K2$1"); outer=$(sum_of "$K1$inner"); printf '%.16s' "$outer"; }
# "fingerprint<TAB>value" of each value on standard input, the longest first: a value may hold another one.
fingerprints() {
    grep . | sort -u | awk '{print length($0) "\t" $0}' | sort -rn | cut -f 2- | head -n "$MOST_SECRETS" | while IFS= read -r value; do
        printf '%s\t%s\n' "$(fingerprint "$value")" "$value"
    done
}
# Two processes a value: a host with more of them would be busy for minutes.  The others are masked without a fingerprint.
MOST_SECRETS=3000
# Some of each way to tell a secret.  An awk that does not find them all here, or prints one, gets no text to mask.
PROBE='@text x /etc/probe
|A_PASSWORD="kirikae probe 1" # kirikae
|curl -u a:kirikae-probe-2 http://kirikae/ <password>kirikae-probe-3</password>
|$c["db_pw"] = "kirikae-probe-4"; postgres://a:kirikae-probe-5@b/c
|passwords: ["kirikae-probe-6"]
|password: |
|  kirikae-probe-7
|Environment=A=b TOKEN=kirikae-probe-8
|location / {fastcgi_param A_SECRET "kirikae-probe-9"; include kirikae;}
@environments
|A_TOKEN=kirikae-probe-0	kirikae.service	1'
probed() {
    seen=$(printf '%s\n' "$PROBE" | awk -v MODE=find "$MASK" | sort -u | tr '\n' ' ')
    [ "$seen" = "$(printf 'kirikae probe 1 %skirikae-probe-9 ' "$(printf 'kirikae-probe-%s ' 0 2 3 4 5 6 7 8)")" ] || return 1
    seen=$(printf '%s\n' $seen | awk '{printf "0123456789abcdef\t%s\n", $0}' | { cat; printf '0123456789abcdef\tkirikae probe 1\n\001\n\002\n%s\n' "$PROBE"; } | awk -v MODE=mask "$MASK")
    case $seen in *probe-[0-9]*|*'probe 1'*|*unknown*) return 1 ;; esac
    [ "$(printf '%s\n' "$seen" | grep -c '<masked:0123456789abcdef>')" -eq 8 ] && [ "$(printf '%s\n' "$seen" | wc -l)" -eq "$(printf '%s\n' "$PROBE" | wc -l)" ]
}

# --- what is there --------------------------------------------------------------------------------------------------
about() {
    section meta
    {
        printf 'host\t%s\n' "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
        printf 'now\t%s\n' "$(date +%s)"
        printf 'uid\t%s\n' "$(id -u)"
        printf 'machine\t%s\n' "$(uname -m)"
        printf 'kernel\t%s\n' "$(uname -r)"
        printf 'cores\t%s\n' "$(grep -c '^processor' /proc/cpuinfo)"
        awk '$1 == "MemTotal:" {printf "memory_kib\t%s\n", $2}' /proc/meminfo
        awk '$1 == "btime" {printf "booted\t%s\n", $2}' /proc/stat
        printf 'init\t%s\n' "$(cat /proc/1/comm 2>/dev/null)"
        zone=$(readlink /etc/localtime 2>/dev/null); printf 'zone\t%s\n' "${zone#*zoneinfo/}"
        sed -n 's/^\([A-Z_]*\)="\{0,1\}\([^"]*\)"\{0,1\}$/os_\1\t\2/p' /etc/os-release 2>/dev/null
        printf 'locales\t%s\n' "$(locale -a 2>/dev/null | tr '\n' ' ')"
        awk '$1 == "SwapTotal:" {print "swap_kib\t" $2} $1 == "SwapFree:" {print "swap_free_kib\t" $2} $1 == "HugePages_Total:" {print "huge_pages\t" $2}' /proc/meminfo
        printf 'product\t%s\n' "$(cat /sys/devices/virtual/dmi/id/product_name 2>/dev/null)"
        printf 'user_data\t%s\n' "$(stat -c %s /var/lib/cloud/instance/user-data.txt 2>/dev/null)"
        # Which words of code were looked for: what none of them tells may be there all the same.
        printf "tokens\t2\n"
        printf 'public_key_logins\t%s\n' "$(cat ~root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null | grep -c '^[a-z]')"
    } | bar
    section passwd; cut -d: -f1,3,4,6,7 /etc/passwd | bar
    section group; cut -d: -f1,3,4 /etc/group | bar
    section mounts; awk '{print $1 "\t" $2 "\t" $3}' /proc/mounts | bar
}

packages() {
    if has dpkg-query; then
        section packages dpkg
        dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\t${Essential}\t${Priority}\t${Section}\n' | bar
        section automatic
        awk '$1 == "Package:" {p = $2} $1 == "Auto-Installed:" && $2 == 1 {print p}' /var/lib/apt/extended_states 2>/dev/null | bar
        section depends
        dpkg-query -W -f '${Package}\t${Pre-Depends}, ${Depends}\n' | bar
        section owned
        for list in /var/lib/dpkg/info/*.list; do
            package=${list##*/}; package=${package%.list}; package=${package%%:*}
            printf '\001%s\n' "$package"
            cat "$list"
        done | awk '/^\001/ {p = substr($0, 2); next} $0 != "/." {print p "\t" $0}' | bar
        # Files of ucf stand in no list of dpkg's.
        awk 'NF == 2 {print $1 "\t" $2}' /var/lib/ucf/registry 2>/dev/null | bar
        section diverted
        dpkg-divert --list 2>/dev/null | sed -n 's/^.*diversion of \(.*\) to \(.*\) by \(.*\)$/\1\t\2\t\3/p' | bar
        section installed
        find /var/lib/dpkg/info -name '*.list' -exec stat -c '%Y %n' {} + 2>/dev/null \
            | sed 's|^\([0-9]*\) .*/\([^/:]*\)\(:[^/]*\)\{0,1\}\.list$|\1\t\2|' | bar
        section changed
        {
            dpkg-query -W -f '${Conffiles}\n' | awk 'NF >= 2 && $3 != "obsolete" {print $2 "  " $1}' | changed_files conffile
            awk 'NF == 2 {print $1 "  " $2}' /var/lib/ucf/hashfile 2>/dev/null | changed_files ucf
            packaged_files
        } | bar
    elif has rpm && { [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; }; then
        section packages rpm
        rpm -qa --qf '%{NAME}\t%{VERSION}-%{RELEASE}\t%{ARCH}\tii \t\t\t%{GROUP}\n' | bar
        section installed; rpm -qa --qf '%{INSTALLTIME}\t%{NAME}\n' | bar
        section owned; rpm -qa --qf '[%{=NAME}\t%{FILENAMES}\n]' | grep "$TAB/" | bar
        section changed
        # Configuration by its content; everything else only where it is gone: reading all of it costs minutes.
        {
            rpm -Va --configfiles --nodeps --noscripts 2>/dev/null \
                | sed -n -e 's|^missing  *c  *\(/.*\)$|conffile\tmissing\t\1|p' -e 's|^..5[^ ]*  *c  *\(/.*\)$|conffile\tmodified\t\1|p'
            rpm -Va --nofiledigest --nodeps --noscripts 2>/dev/null | sed -n 's|^missing  *\(/.*\)$|packaged\tmissing\t\1|p'
        } | grep -v -e /doc/ -e /man/ -e /locale/ | head -n 500 | bar
    elif [ -r /lib/apk/db/installed ]; then
        section packages apk
        awk -F : '$1 == "P" {p = $2} $1 == "V" {print p "\t" substr($0, 3) "\t\tii \t\t\t"}' /lib/apk/db/installed | bar
        section owned
        awk '/^P:/ {p = substr($0, 3)} /^F:/ {f = substr($0, 3); print p "\t/" f} /^R:/ {print p "\t/" f "/" substr($0, 3)}' /lib/apk/db/installed | bar
    else
        missing packages 'neither dpkg nor rpm nor apk is here: which files somebody wrote cannot be told from those of the system'
    fi
}

# Files of packages that are gone, or newer than their package and another one by their checksum.  Reading every file would cost minutes;
# a file that was written after its package was installed is found by its time alone.  A machine that was unpacked from an image has one
# time of change everywhere, so there the time of writing decides.
packaged_files() {
    {
        find /var/lib/dpkg/info -name '*.list' -printf 'P\t%T@\t%C@\t%f\n' 2>/dev/null
        find /usr /bin /sbin /lib /lib64 -printf 'F\t%T@\t%C@\t%p\n' 2>/dev/null
    } | awk -F '\t' '
        function merged(path) { return path ~ /^\/(bin|sbin|lib|lib32|lib64|libx32)\// ? "/usr" path : path }
        function sums(package,    file, line) {
            if (package in read) return
            read[package] = 1
            file = "/var/lib/dpkg/info/" package ".md5sums"
            while ((getline line < file) > 0) sum[package, merged("/" substr(line, 35))] = substr(line, 1, 32)
            close(file)
        }
        # First what there is, from standard input; then the lists, one file after the other.
        FNR == 1 && NR > 1 {listing = 1; list = FILENAME; sub(/^.*\//, "", list); package = list; sub(/\.list$/, "", package)}
        !listing && $1 == "P" {written[$4] = $2; if ($3 - $2 > 86400) unpacked++; lists++; next}
        !listing && $1 == "F" {path = merged($4); at[path] = $2; on[path] = $3; next}
        # Of a find that shows no times nothing is known, and nothing is said.
        !lists || !/^\/(usr|bin|sbin|lib)/ {next}
        {
            path = merged($0)
            if (!(path in at)) {
                # What an image leaves out on purpose is no loss.
                if (path !~ /^\/usr\/share\/(doc|man|locale|info|lintian|help|groff)(\/|$)|__pycache__/ && ++gone <= 200)
                    print "missing\t" path
                next
            }
            when = unpacked * 2 > lists ? at[path] : on[path]
            if (when > written[list] + 60 && ++newer <= 5000) {
                sums(package)
                if ((package, path) in sum) print sum[package, path] "  " path
            }
        }' - /var/lib/dpkg/info/*.list 2>/dev/null | {
        rows=$(cat)
        printf '%s\n' "$rows" | sed -n "s/^missing$TAB/packaged${TAB}missing$TAB/p"
        printf '%s\n' "$rows" | grep '^[0-9a-f]\{32\}  ' | md5sum -c 2>/dev/null | sed -n "s/^\(.*\): FAILED$/packaged${TAB}modified$TAB\1/p" | head -n 200
    }
}

# "MD5  PATH" lines in; the paths whose file is another one, out.
changed_files() {
    while read -r wanted path; do
        [ -f "$path" ] || { printf '%s\tmissing\t%s\n' "$1" "$path"; continue; }
        [ -r "$path" ] || continue
        printf '%s  %s\n' "$wanted" "$path"
    done | if [ "$1" = quiet ]; then cat; else check_sums "$1"; fi
}
check_sums() {
    awk -v kind="$1" -F '\t' '/\tmissing\t/ {print; next} {print}' | {
        sums=$(cat)
        printf '%s\n' "$sums" | grep "${TAB}missing${TAB}"
        printf '%s\n' "$sums" | grep -v "${TAB}missing${TAB}" | grep . | md5sum -c 2>/dev/null | sed -n "s/^\(.*\): FAILED.*$/$1\tmodified\t\1/p"
    }
}

# Every directory with what lies in it, and single entries where they matter: configuration, code, links, what was written since boot.
walk() {
    booted=$(awk '$1 == "btime" {print $2}' /proc/stat)
    # In a container the machine is older than its processes: what counts is when PID 1 began.
    ticks=$(sed 's/^.*) //' /proc/1/stat | cut -d' ' -f20); rate=$(getconf CLK_TCK 2>/dev/null || echo 100)
    began=$((booted + ticks / rate))
    printf '@began\n|%s\n' "$began"
    section files
    if find / -maxdepth 0 -printf '' 2>/dev/null; then
        find / \( -path /proc -o -path /sys -o -path /dev -o -path /boot -o -path '/var/lib/dpkg/*' -o -path '/var/lib/apt/lists/*' \
            -o -path '/usr/*' ! -path '/usr/local' ! -path '/usr/local/*' -o -path '*/.git/*' \
            -o -path '/var/lib/docker/overlay2/*' -o -path '/var/lib/containerd/*/snapshots/*' -o -path '/var/lib/containers/storage/overlay/*' \
            -o -fstype nfs -o -fstype nfs4 -o -fstype cifs -o -fstype fuse.sshfs -o -fstype fuse.s3fs \) -prune \
            -o -printf '%y\t%m\t%U\t%G\t%s %b\t%T@\t%C@\t%l\t%p\0' 2>/dev/null | tr '\000\n' '\n\001'
    else
        printf '@missing names\n|find has no -printf: names with line breaks, and links, may be shown wrong\n@files\n'
        find / \( -path /proc -o -path /sys -o -path /dev -o -path /boot -o -path /usr/lib -o -path /usr/share -o -path '/var/lib/dpkg/*' \) -prune \
            -o -exec stat -c '%F	%a	%u	%g	%s	%Y	%Z		%n' {} + 2>/dev/null \
            | sed 's/^directory/d/; s/^regular empty file/f/; s/^regular file/f/; s/^symbolic link/l/; s/^fifo/p/; s/^socket/s/'
    fi | awk -F '\t' -v began="$began" -v code="$(printf '%s\n' "$CODE_ROOTS" | tr '\n' '\001')" '
        BEGIN {roots = split(code, root, "\001")}
        function in_code(path,    i) {
            for (i = 1; i <= roots; i++) if (root[i] != "" && index(path, root[i] "/") == 1) return 1
            return 0
        }
        /^[@|]/ {print; next}
        NF < 9 {next}
        {
            path = $9; for (i = 10; i <= NF; i++) path = path "\t" $i
            folder = path; sub(/\/[^\/]*$/, "", folder); if (folder == "") folder = "/"
            time = int($6)
            # A file with holes is as large as what the disk holds of it; the second figure is in blocks of 512 bytes.
            size = $5 + 0
            if (size > 1048576 && split($5, sizes, " ") == 2 && sizes[2] * 512 < size) size = sizes[2] * 512
        }
        $1 == "d" {mode[path] = $2; uid[path] = $3; gid[path] = $4; when[path] = time; next}
        $1 == "l" {print "|L\t" $8 "\t" path; next}
        $1 == "f" {
            n[folder]++; bytes[folder] += size
            if (time > newest[folder]) {newest[folder] = time; name[folder] = path}
            if ($3 != "0") owners[folder, $3] = 1
            if (int($2 / 100) >= 2000) print "|U\t" $2 "\t" $3 "\t" $4 "\t" size "\t" time "\t" int($7) "\t" path
            # Code, what lies between it, and a few files of every folder that a service may own: what they are is told by their names and times.
            brought = path ~ /\/(node_modules|site-packages|__pycache__|\.(git|pyenv|rbenv|nvm|rustup|cargo|npm|m2|cache))\//
            listed = !brought && (path ~ /^\/(etc|opt|srv|usr\/local|root|home|var\/www)\// || in_code(path)) \
                && ++many[folder] <= (path !~ /\.(jpe?g|png|gif|webp|pdf|csv|mp4|zip|gz|log)$/ ? 500 : pictures < 50000 ? 50 : 2)
            # Of very many pictures a few in each folder say as much.
            if (listed && path ~ /\.(jpe?g|png|gif|webp|pdf|csv|mp4|zip|gz|log)$/) pictures++
            if (!listed && !brought) listed = $3 != "0" && ++some[folder] <= 20 && ++others <= 30000 || time >= began - 1 && ++fresh <= 5000
            if (listed) print "|F\t" $2 "\t" $3 "\t" $4 "\t" size "\t" time "\t" int($7) "\t" path
            next
        }
        {print "|O\t" $1 "\t" path}
        END {
            for (d in mode) print "|D\t" mode[d] "\t" uid[d] "\t" gid[d] "\t" when[d] "\t" n[d] + 0 "\t" bytes[d] + 0 "\t" newest[d] + 0 "\t" name[d] "\t" d
            if (fresh > 5000) print "@missing fresh\n|more than 5,000 files were written since the machine began; only the first are listed"
        }'
}

magic() {
    section magic
    # A database in a file is told by its first bytes, not by its name: SQLite, RRD, Berkeley DB, GDBM, LMDB.
    find /var /srv /opt /home /usr/local /data -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/lib/containers -o -path /var/lib/snapd \
        -o -name node_modules -o -name .git \) -prune -o -type f -size +0 ! -path "$BROKEN" \
        ! -name '*.jp*g' ! -name '*.png' ! -name '*.gif' ! -name '*.webp' ! -name '*.svg' ! -name '*.pdf' ! -name '*.html' ! -name '*.php' ! -name '*.py' \
        ! -name '*.pyc' ! -name '*.js' ! -name '*.css' ! -name '*.rb' ! -name '*.p[lm]' ! -name '*.log' ! -name '*.gz' ! -name '*.txt' ! -name '*.xml' \
        ! -name '*.json' ! -name '*.md' ! -name '*.mo' ! -name '*.so' ! -name '*.mp4' ! -name '*.zip' ! -name 'sess_*' -print 2>/dev/null \
        | head -n 20000 | tr '\n' '\000' | xargs -0 -n 500 head -v -c 20 /dev/null 2>/dev/null | tr '\000' '\001' | awk '
        /^==> \/.* <==$/ {path = substr($0, 5, length($0) - 8); first = 1; next}
        !first {next}
        {first = 0; begins = ""}
        /^SQLite format 3/ {begins = "53514c69746520666f726d61742033"}
        /^RRD\001/ {begins = "52524400"}
        /^\001\001\001\001\001\001\001\001\001\001\001\001(a\025\006|b1\005|S\001\006)\001/ {begins = "bdb"}
        /^(\316|\315|\317)\232W\023/ {begins = "gdbm"}
        /^.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?\336\300\357\276/ {begins = "lmdb"}
        /^\177ELF/ {begins = substr($0, 19, 1) == ">" ? "elf-x86-64" : substr($0, 19, 1) == "\267" ? "elf-arm64" : "elf"}
        begins != "" {print "|" begins "\t" path}'
    find /var /srv /opt /home /data -xdev -maxdepth 8 -type f ! -path "$BROKEN" \( -name PG_VERSION -o -name ibdata1 -o -name dump.rdb \) 2>/dev/null \
        | head -n 200 | sed "s/^/|-$TAB/"
}

# Of keys, and of what a machine is known by, a fingerprint alone: the same one on two hosts came with an image or was copied.
keys() {
    section keys
    {
        find /etc /opt /srv /home /root /var/www /var/lib -xdev -maxdepth 5 \( -name node_modules -o -name .git -o -path /var/lib/dpkg -o -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/lib/containers \) -prune \
            -o -type f -size +0 -size -64k ! -path "$BROKEN" \( -name 'id_rsa' -o -name 'id_dsa' -o -name 'id_ecdsa' -o -name 'id_ed25519' -o -name 'ssh_host_*_key' \
            -o -name '*.key' -o -name '*.pem' -o -name '*.p12' -o -name '*.pfx' -o -name '*.jks' -o -name '*.keytab' -o -name '*.ppk' \) -print 2>/dev/null
    } | head -n 200 | while IFS= read -r file; do
        case $file in *.key|*.pem) grep -q 'PRIVATE KEY' "$file" 2>/dev/null || continue ;; esac
        printf '%s\t%s\n' "$({ printf '%s' "$K1"; cat "$file"; } 2>/dev/null | sha256sum | cut -c 1-16)" "$file"
    done | bar
    [ ! -s /etc/machine-id ] || printf '|%s\t/etc/machine-id\n' "$({ printf '%s' "$K1"; cat /etc/machine-id; } | sha256sum | cut -c 1-16)"
}

# When certificates end that a web server or certbot names: they are public, and nothing of them but their day is sent.
certificates() {
    section certificates
    {
        cat /etc/nginx/nginx.conf /etc/nginx/conf.d/* /etc/nginx/http.d/* /etc/nginx/sites-enabled/* 2>/dev/null | sed 's/#.*$//' | tr ';{}' '\n\n\n' | tr -d "\"'" | sed -n 's/^[ \t]*ssl_certificate[ \t]\{1,\}\([^ \t]*\).*$/\1/p'
        sed -n "s/^[ \t]*SSLCertificateFile[ \t]\{1,\}[\"']\{0,1\}\([^\"' \t]*\).*$/\1/p" /etc/apache2/sites-enabled/* /etc/apache2/conf-enabled/* /etc/httpd/conf/httpd.conf /etc/httpd/conf.d/* 2>/dev/null
        ls -d /etc/letsencrypt/live/*/cert.pem 2>/dev/null
    } | grep '^/' | sort -u | head -n 50 | while IFS= read -r file; do
        [ -f "$file" ] && printf '%s\t%s\n' "$(openssl x509 -noout -enddate -in "$file" 2>/dev/null | sed -n 's/^notAfter=//p')" "$file"
    done | bar
}

# Logs by their sizes and times; of some that are written now, how many of the last lines hold what: the lines themselves stay here.
logs() {
    section logs
    find /var/log /srv /opt /home /var/www /var/lib -xdev -maxdepth 6 \( -name node_modules -o -name .git -o -path /var/log/journal -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/lib/containers \) -prune \
        -o -type f ! -path "$BROKEN" \( -path '/var/log/*' -o -name '*.log' -o -name '*.log[.-][0-9]*' \) -exec stat -c '%s	%Y	%n' {} + 2>/dev/null \
        | head -n 1000 | awk -F '\t' -v now="$(date +%s)" '{
            young = $1 > 0 && now - $2 < 604800 && $3 !~ /\.(gz|xz|bz2|zst)$|\/(wtmp|btmp|lastlog|faillog)/ && ++many <= 30
            print (young ? "look" : "know") "\t" $0}' | while IFS="$TAB" read -r how size when file; do
        counts="$TAB$TAB$TAB"
        [ "$how" = know ] || [ ! -r "$file" ] || counts=$(tail -c 16384 "$file" 2>/dev/null | tr -d '\000' | awk '
            NR == 1 && FNR == 1 {next}
            {lines++; low = tolower($0)}
            /^[ \t]/ {going_on++}
            low ~ /[a-z0-9._%+-][a-z0-9._%+-]*@[a-z0-9-][a-z0-9-]*\.[a-z][a-z]/ {people++}
            low ~ /(^|[?&; "{,(])"?(password|passwd|token|access_token|api_?key|secret|authorization|sessionid|phpsessid)"?[=:] *[^ &*x<]/ {secrets++}
            END {printf "%d\t%d\t%d\t%d", lines, going_on, people, secrets}')
        printf '%s\t%s\t%s\t%s\n' "$size" "$when" "$counts" "$file"
    done | bar
}

services() {
    if has systemctl && [ -d /run/systemd/system ]; then
        section units
        units=$( { systemctl list-unit-files --type=service --state=enabled,enabled-runtime,generated --no-legend --plain 2>/dev/null
            systemctl list-units --type=service --all --no-legend --plain 2>/dev/null; } | awk '{print $1}' | grep -v '@\.service$' | sort -u)
        # shellcheck disable=SC2086
        [ -z "$units" ] || systemctl show $units -p Id,Description,FragmentPath,DropInPaths,User,Group,ExecStart,ExecStartPre,ExecReload,ExecStop,WorkingDirectory,EnvironmentFiles,Environment,LimitNOFILE,LimitNPROC,KillMode,KillSignal,TimeoutStopUSec,Type,MainPID,ActiveState,SubState,UnitFileState,StateDirectory,CacheDirectory,LogsDirectory,RuntimeDirectory,ExecMainStartTimestamp,NRestarts,Restart,AmbientCapabilities,After,CPUAffinity,CPUSchedulingPolicy,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic 2>/dev/null | bar
        section started
        for unit in $(systemctl list-units --type=service --state=running --no-legend --plain 2>/dev/null | awk '{print $1}'); do
            printf '%s\t%s\n' "$unit" "$(systemctl show "$unit" -p ExecMainStartTimestampMonotonic --value 2>/dev/null)"
        done | bar
        section timers
        systemctl list-unit-files --type=timer --no-legend --plain 2>/dev/null | awk '{print $1 "\t" $2}' | bar
        section scheduled
        timers=$( { systemctl list-unit-files --type=timer --no-legend --plain 2>/dev/null
            systemctl list-units --type=timer --all --no-legend --plain 2>/dev/null; } | awk '{print $1}' | grep -v '@\.timer$' | sort -u)
        # shellcheck disable=SC2086
        [ -z "$timers" ] || systemctl show $timers -p Id,Description,FragmentPath,DropInPaths,Unit,TimersCalendar,TimersMonotonic,UnitFileState,ActiveState,Persistent 2>/dev/null | bar
        section activated
        # What the timers start: it does not run at this moment.
        # shellcheck disable=SC2086
        [ -z "$timers" ] || { units=$(systemctl show $timers -p Unit --value 2>/dev/null | grep '\.service$' | sort -u)
            [ -z "$units" ] || systemctl show $units -p Id,FragmentPath,User,ExecStart,WorkingDirectory,EnvironmentFiles 2>/dev/null; } | bar
    else
        missing units 'systemd does not run here; services are told by their processes alone'
    fi
    section initd; ls /etc/init.d 2>/dev/null | bar
    # What cron looks at before it reads a file: who owns it, who may write it, whether its last line ends.
    section cron
    find /etc/crontab /etc/anacrontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/periodic /etc/crontabs /var/spool/cron \
        ! -type d ! -path "$BROKEN" 2>/dev/null | while IFS= read -r file; do
        ends=1
        if [ -f "$file" ] && [ -s "$file" ]; then [ -z "$(tail -c 1 "$file" | tr -d '\n')" ] || ends=0; fi
        printf '%s\t%s\t%s\n' "$(stat -L -c '%a	%u' "$file" 2>/dev/null || printf '\t')" "$ends" "$file"
    done | bar
}

processes() {
    section processes
    # This look itself is none of the machine's business: same control group, begun no earlier than this shell.
    own=$(sed 's/^.*) //' "/proc/$$/stat" | cut -d' ' -f20); own_group=$(cat "/proc/$$/cgroup" 2>/dev/null)
    rate=$(getconf CLK_TCK 2>/dev/null || echo 100); booted=$(awk '$1 == "btime" {print $2}' /proc/stat)
    for folder in /proc/[0-9]*; do
        pid=${folder#/proc/}
        [ -n "$(cat "$folder/cmdline" 2>/dev/null | tr -d '\000')" ] || continue
        stat=$(sed 's/^.*) //' "$folder/stat" 2>/dev/null) || continue
        # shellcheck disable=SC2086
        set -- $stat
        [ $# -ge 20 ] || continue
        [ "${20}" -ge "$own" ] && [ "$(cat "$folder/cgroup" 2>/dev/null)" = "$own_group" ] && continue
        [ "$pid" = "$PPID" ] && continue
        uid=$(awk '$1 == "Uid:" {print $3}' "$folder/status" 2>/dev/null)
        # It has ended while we looked: a process without a user must not pass for one of root's.
        [ -n "$uid" ] || continue
        pss=$(awk '$1 == "Pss:" {print $2}' "$folder/smaps_rollup" 2>/dev/null)
        unit=$(sed -n 's/^.*\/\([^/]*\.\(service\|scope\)\).*$/\1/p' "$folder/cgroup" 2>/dev/null | sed -n 1p)
        files=$(awk '/^Max open files/ {print $4}' "$folder/limits" 2>/dev/null)
        printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$pid" "$2" "$uid" "$((booted + ${20} / rate))" "$(((${12} + ${13}) * 100 / rate))" \
            "${pss:-}" "$unit" "${files:-}" "$(readlink "$folder/exe" 2>/dev/null)" "$(tr '\000\n' '  ' <"$folder/cmdline" 2>/dev/null)"
    done | bar
    section cwd
    for folder in /proc/[0-9]*; do
        where=$(readlink "$folder/cwd" 2>/dev/null) && [ "$where" != / ] && printf '%s\t%s\n' "${folder#/proc/}" "$where"
    done | bar
    section open
    for folder in /proc/[0-9]*; do
        ls -l "$folder/fd" 2>/dev/null | awk -v pid="${folder#/proc/}" '$1 ~ /^l/ && /->/ {
            mode = substr($1, 2, 3); target = $0; sub(/^.* -> /, "", target)
            if (target ~ /^socket:/ || target ~ /^\// && mode ~ /w/ && target !~ /^\/(dev|proc|sys)\//) print pid "\t" mode "\t" target
        }'
    done | bar
    for kind in tcp tcp6 udp udp6; do
        [ -r /proc/net/$kind ] && { section sockets $kind; awk 'NR > 1 {print $2 "\t" $3 "\t" $4 "\t" $10}' /proc/net/$kind | bar; }
    done
    section sysctl
    for key in net.core.somaxconn net.ipv4.ip_local_port_range vm.swappiness vm.overcommit_memory fs.file-max; do
        printf '%s\t%s\n' "$key" "$(cat "/proc/sys/$(echo "$key" | tr . /)" 2>/dev/null)"
    done | bar
    section spool
    for folder in /var/spool/exim4/input /var/spool/postfix/deferred /var/spool/postfix/active /var/spool/mqueue /var/spool/cron/atjobs /var/spool/at; do
        [ -d $folder ] && printf '%s\t%s\n' "$folder" "$(find $folder -type f 2>/dev/null | wc -l)"
    done | bar
}

# --- texts: everything below is read twice, once to find secrets and once to send it with the secrets masked ---------
# Whole files that never leave this machine, by whatever way their names came to us.
WITHHELD='/(g?shadow-?|opasswd|ssh_host_[^/]*_key|id_(rsa|dsa|ecdsa|ed25519)(_sk)?|[^/]*\.(pem|key|p12|pfx|jks|gpg|asc|keytab))$|^/(proc|sys|dev)/|/\.(ssh|gnupg|aws)/'
named_files() { printf '%s\n' "$ENVIRONMENT_FILES" "$ARGUMENT_FILES" | grep '^/' | grep -v -E -e "$WITHHELD" | sort -u; }
found_files() {
    {
        find /etc -type f -size -256k ! -path "$BROKEN" 2>/dev/null | grep -v -E \
            -e '^/etc/(alternatives|ssl|ca-certificates|apparmor|apparmor\.d|X11|fonts|dpkg|apt/trusted|init\.d|rc[0-9S]\.d|pam\.d|selinux|skel|bash_completion\.d|python3[.0-9]*|perl|vim|emacs|ImageMagick-[0-9]*|java[^/]*|udev|modprobe\.d|kernel|grub\.d|initramfs-tools|terminfo|mime\.types|magic|sgml|xml|gss|iproute2|binfmt\.d|security/(access|group|namespace|pam_env|time|faillock|opasswd|pwhistory|sepermit))(/|\.|$)' \
            -e '/(g?shadow-?|passwd-?|group-?|subuid-?|subgid-?|ssh_host_[^/]*|machine-id|ld\.so\.cache|\.pwd\.lock|moduli|services|protocols|rpc|mailcap[^/]*|mime\.types|bash\.bashrc|locale\.alias|locale\.gen|deluser\.conf|adduser\.conf|debconf\.conf|gai\.conf|nanorc|wgetrc|inputrc|zsh[^/]*|[^/]*\.(gz|pem|crt|key|p12|jks|gpg|asc|db|dpkg-(old|dist|new|tmp)|ucf-[a-z]*|bak|orig|rej|swp)|[^/]*~)$'
        find /var/spool/cron -type f ! -path "$BROKEN" 2>/dev/null
        find /home /root -maxdepth 6 -type f -size -64k -path '*/.config/systemd/user/*' ! -path "$BROKEN" \( -name '*.timer' -o -name '*.service' \) 2>/dev/null
        find /opt /srv /var/www /home -maxdepth 4 -type f -size -64k ! -path "$BROKEN" \( -name '.env' -o -name '*.env' -o -name 'crontab*' -o -name 'Procfile' -o -name 'supervisord.conf' \
            -o -name 'requirements*.txt' -o -name 'package.json' -o -name 'composer.json' -o -name 'Gemfile' -o -name 'go.mod' \) 2>/dev/null | grep -v /node_modules/
    } | grep '^/' | grep -v -E -e "$WITHHELD" | sort -u
}
# What another user lays in our way is not root's own to give: asked of the file that is open already, so nobody can change it in between.
# A file that we found ourselves must be the one at that path, without a link on the way, and root's own only under one name;
# one that root's units name may be a link to a file that others may read, or that root keeps in /etc.
may_leave() {
    real=$(readlink /proc/self/fd/3) || return 1
    # shellcheck disable=SC2046
    set -- "$1" "$2" $(stat -L -c '%u %h %a %F' /proc/self/fd/3)
    [ "${6:-}" = regular ] || return 1
    if [ "$real" = "$2" ]; then
        case $1$2 in named*|found/etc/*) return ;; esac
        [ "$3" != 0 ] || [ "$4" = 1 ]
        return
    fi
    [ "$1" = named ] || return 1
    printf '%s\n' "$real" | grep -q -E -e "$WITHHELD" && return 1
    [ "$3" != 0 ] && return
    case $2$real in /etc/*/etc/*) return ;; esac
    case $5 in *[4567]) return ;; esac
    return 1
}
text() {
    may_leave "$1" "$2" || { printf '@missing %s\n|not the file that is named so: a link, or a second name of another file\n' "$2"; return; }
    if [ "$(head -c 4096 /proc/self/fd/3 | tr -dc '\000' | wc -c)" -ne 0 ]; then
        # awk would see no word of it; a program's own form is nothing to tell of.
        case $(head -c 2 /proc/self/fd/3 | od -An -tx1 | tr -d ' ') in fffe|feff) printf '@missing %s\n|written in UTF-16: it was not read\n' "$2" ;; esac
        return
    fi
    keyed=$({ printf '%s' "$K1"; cat /proc/self/fd/3; } | sha256sum | cut -c 1-16)
    printf '@text %s %s\n' "$keyed" "$2"
    sed 's/^/|/' /proc/self/fd/3; tail -c 1 /proc/self/fd/3 | tr -d '\n' | grep -q . && echo
}
texts() {
    {
        printf '%s\n' "$NAMED_FILES" | sed 's/^/named /'
        printf '%s\n' "$FOUND_FILES" | sed 's/^/found /'
    } | sort -u -k 2 | while read -r how file; do
        [ -f "$file" ] || continue
        [ -r "$file" ] || { printf '@missing %s\n|permission denied\n' "$file"; continue; }
        text "$how" "$file" 3<"$file"
    done
}
environments() {
    section environments
    for folder in /proc/[0-9]*; do
        unit=$(sed -n 's/^.*\/\([^/]*\.service\).*$/\1/p' "$folder/cgroup" 2>/dev/null | sed -n 1p)
        case "$unit" in ''|systemd-*|dbus*|user@*|getty*|ssh.service|sshd.service) continue ;; esac
        tr '\n\000' ' \n' <"$folder/environ" 2>/dev/null | grep '=' | sed "s/^/|/; s/\$/$TAB$unit $TAB${folder#/proc/}/"
    done
}
# Where a folder really lies.  Whoever may write a crontab could name a link to what root alone may read.
code_folder() {
    cd "$1" 2>/dev/null || return
    real=$(pwd -P); way=$real
    if [ "$real" != "$1" ] && [ "$(stat -c %u "$real")" = 0 ]; then
        while [ -n "$way" ]; do
            case $(stat -c %a "$way") in *[1357]) way=${way%/*} ;; *) return ;; esac
        done
    fi
    printf '%s\n' "$real"
}
code_roots() {
    {
        printf '%s\n' "$UNIT_FOLDERS"
        # Several settings may stand in one line.
        cat /etc/nginx/nginx.conf /etc/nginx/conf.d/* /etc/nginx/http.d/* /etc/nginx/sites-enabled/* 2>/dev/null | sed 's/#.*$//' | tr ';{}' '\n\n\n' | tr -d "\"'" \
            | sed -n -e 's/^[ \t]*\(root\|alias\)[ \t]\{1,\}\([^ \t]*\)[ \t]*$/\2/p'
        cat /etc/apache2/sites-enabled/* /etc/apache2/conf-enabled/* /etc/httpd/conf/httpd.conf /etc/httpd/conf.d/* 2>/dev/null | tr -d "\"'" \
            | sed -n -e 's/^[ \t]*[Dd]ocument[Rr]oot[ \t]\{1,\}\([^ \t]*\).*$/\1/p' -e 's/^[ \t]*[Aa]lias[ \t]\{1,\}[^ \t]*[ \t]\{1,\}\([^ \t]*\).*$/\1/p'
        # Where programs work that nobody wrote a unit for, and what a line of cron or a process names: a folder, or the folder of a program.
        {
            for folder in /proc/[0-9]*; do readlink "$folder/cwd"; done 2>/dev/null
            cat /etc/crontab /etc/cron.d/* /etc/crontabs/* /var/spool/cron/crontabs/* /var/spool/cron/* 2>/dev/null | grep -v '^#'
            for folder in /proc/[0-9]*; do tr '\000' '\n' <"$folder/cmdline"; echo; done 2>/dev/null | grep -E '^/(opt|srv|home|data|app|usr/local|var/www)/'
        } | grep -o '/\(opt\|srv\|home\|data\|app\|usr/local\|var/www\)/[A-Za-z0-9._/-]*' | sort -u | while IFS= read -r named; do
            if [ -d "$named" ]; then printf '%s\n' "$named"; elif [ -f "$named" ]; then printf '%s\n' "${named%/*}"; fi
        done | grep -v -E '^/((srv|opt|data|app|usr/local|var/www)/?|home/[^/]*/?|usr/local/s?bin)$'
    } | grep '^/' | while IFS= read -r folder; do (code_folder "$folder"); done | grep -v -E -e '^/(etc|root|proc|sys|dev|run|boot)/' -e '^/(|etc|usr|usr/s?bin|usr/lib|var|bin|root|home|usr/share|var/lib|usr/local|usr/local/s?bin|tmp|run|proc)$' | sort -u
}
TOKENS='environ|getenv|ENV[.[{]|process\.env|_ENV\[|_SERVER\[|Getenv|env::var|get_env|fetch_env|(^|[^A-Za-z_.])env\(|GetEnvironmentVariable|gethostname|hostname|php_uname|169\.254\.169\.254|SERVER_ADDR|platform\.node|os\.uname|save_handler|save_path|FileStore|FileSystemCache|session-file-store|move_uploaded_file|multer|UploadedFile|flock|LOCK_EX|lockf|SysLogHandler|[Ss]yslog|/dev/log|sendmail|smtplib|[^a-z_]mail\(|setlocale|timezone|subprocess|os\.system|popen|shell_exec|proc_open|127\.0\.0\.1|localhost|[Pp]assw|PASSW|[Ss]ecret|SECRET|api_key|API_KEY|passthru|child_process|execFile|Open3|[^A-Za-z_.>](system|exec)\(|X-Accel|X-Sendfile|XSendFile|cpu_count|cpus\(\)|nproc|availableProcessors|["'"'"'/]health|["'"'"'](ping|status|alive|ready|up)["'"'"'/]|6379|11211|pool_size|max_overflow|connectionLimit|["'"'"'=( ]/(var|srv|opt|home|data|mnt|tmp)/[A-Za-z0-9._-]'
code() {
    printf '%s\n' "$CODE_ROOTS" | while IFS= read -r root; do
        [ -n "$root" ] || continue
        # What a package manager laid into the tree is told by its lock file.
        set -- "$root" \( -name .git -o -name node_modules -o -name __pycache__ -o -name site-packages -o -path '*/vendor/bundle' \) -prune -o -type f -size -4096k
        count=$(find "$@" -print 2>/dev/null | head -n 20001 | wc -l)
        if [ "$count" -gt 20000 ]; then printf '@missing %s\n|more than 20,000 files; its code was not read\n' "$root"; continue; fi
        tree=$(find "$@" ! -name '*.log' -exec sha256sum {} + 2>/dev/null | sed "s|  $root/|  |" | sort)
        keyed=$({ printf '%s' "$K1"; printf '%s\n' "$tree"; } | sha256sum | cut -c 1-16)
        printf '@code %s %s %s\n' "$keyed" "$count" "$root"
        # Of a large tree, its folders.
        if [ "$count" -le 500 ]; then printf '%s\n' "$tree"; else
            printf '%s\n' "$tree" | sed 's|^[0-9a-f]*  \([^/]*/[^/]*/\).*$|\1|; t; s|^[0-9a-f]*  \([^/]*/\).*$|\1|; t; s|^[0-9a-f]*  \(.*\)$|\1|' | sort -u | head -n 500 | while IFS= read -r part; do
                printf '%s  %s\n' "$(printf '%s\n' "$tree" | awk -v part="$part" 'index(substr($0, 67), part) == 1 {print}' | sha256sum | cut -c 1-64)" "$part"
            done
        fi | while read -r sum name; do
            [ -n "$name" ] && printf '|=\t%s\t%s\n' "$(sum_of "$K1$sum" | cut -c 1-16)" "$name"
        done
        # Lines of logs never leave the host: they tell of people, and nothing of the code.
        find "$@" ! -name '*.log' ! -name '*.log[.-]*' -exec grep -HnE "$TOKENS" {} + 2>/dev/null | grep -v -E '^(Binary file|grep: .*: binary file matches$)' | head -n 5000 | sed "s|^$root/|\||; t; s|^|\||" | cut -c 1-2000
    done
}
sensitive() {
    services; processes; texts; environments; code
}

# --- the answer -------------------------------------------------------------------------------------------------------
main() {
    printf '@kirikae-bundle 1\n'
    has sha256sum || { missing secrets 'sha256sum is not here: no text can be sent, because secrets could not be told by fingerprints'; about; echo @end; return; }
    [ "$(id -u)" = 0 ] || missing root 'not root: files and processes of others were partly not seen'
    ENVIRONMENT_FILES=; ARGUMENT_FILES=; UNIT_FOLDERS=
    if has systemctl && [ -d /run/systemd/system ]; then
        shown=$(systemctl show '*.service' -p EnvironmentFiles,WorkingDirectory,ExecStart,FragmentPath 2>/dev/null)
        ENVIRONMENT_FILES=$(printf '%s\n' "$shown" | sed -n 's/^EnvironmentFiles=-\{0,1\}\(.*\) (ignore.*$/\1/p')
        UNIT_FOLDERS=$(printf '%s\n' "$shown" | sed -n 's/^WorkingDirectory=!\{0,1\}\(.*\)$/\1/p')
        ARGUMENT_FILES=$(printf '%s\n' "$shown" | grep '^ExecStart=' | grep -o '[ =]/[A-Za-z0-9._/@-]*\.\(conf\|cfg\|ini\|ya\{0,1\}ml\|toml\|json\|properties\|env\)' | cut -c 2- | grep -v '^/usr/lib'
            printf '%s\n' "$shown" | sed -n 's,^FragmentPath=\(/\(usr/local\|opt\|srv\|home\|data\)/.*\)$,\1,p')
    fi
    # No text leaves this machine through an awk that does not mask.
    probed 2>/dev/null || { missing secrets 'the awk of this machine does not find secrets: no text was sent'; about; packages; echo @end; return; }
    NAMED_FILES=$(named_files)
    FOUND_FILES=$(found_files)
    CODE_ROOTS=$(code_roots)
    # Looked at once: what appeared between two looks would be masked by what the first one knew.
    looked=$(sensitive 2>/dev/null | tr -d '\000-\010')
    values=$(printf '%s\n' "$looked" | awk -v MODE=find "$MASK" | sort -u)
    [ "$(printf '%s\n' "$values" | wc -l)" -le "$MOST_SECRETS" ] || missing secrets "more than $MOST_SECRETS secrets: some are masked without a fingerprint and cannot be compared"
    map=$(printf '%s\n' "$values" | fingerprints)
    # \001 ends what awk must know, \002 begins what it must scan: names of files hold no more than what was found elsewhere.
    { printf '%s\n\001\n' "$map"; { about; packages; walk; magic; keys; certificates; logs; } 2>/dev/null; printf '\002\n%s\n' "$looked"; } | awk -v MODE=mask "$MASK"
    unset looked values map
    echo @end
}
if has gzip; then main | gzip -c; else main; fi
