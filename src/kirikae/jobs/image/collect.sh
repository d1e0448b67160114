#!/bin/sh
# Collect a worker that needs nothing of the image it is copied into but /bin/sh: Python, kirikae, and every library that they
# load, the C library and its loader among them.  So it runs beside any application, on Debian, Alpine and others.
#
#   collect.sh FOLDER [PYTHON]      FOLDER: where it will lie, too; PYTHON: one that has kirikae (/opt/kirikae/bin/python3)
#
# Run in an image of the same kind of processor.  Nothing in FOLDER is on anybody's PATH or library path.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=${2:-/opt/kirikae/bin/python3}

told() { "$python" -c "import os, sys, sysconfig; print($1)"; }
prefix=$(told 'sys.base_prefix')
version=$(told '"python%d.%d" % sys.version_info[:2]')
site=$("$python" -c 'import kirikae, os; print(os.path.dirname(os.path.dirname(kirikae.__file__)))')
click=$("$python" -c 'import click, os; print(os.path.dirname(click.__file__))')

mkdir -p "$out/bin" "$out/lib" "$out/python/bin" "$out/python/lib" "$out/site"
cp -L "$prefix/bin/$version" "$out/python/bin/python3"
cp -RL "$prefix/lib/$version" "$out/python/lib/$version"
rm -rf "$out/python/lib/$version/site-packages" "$out/python/lib/$version/dist-packages" "$out/python/lib/$version/test"
rm -rf "$out/python/lib/$version/idlelib" "$out/python/lib/$version/tkinter" "$out/python/lib/$version/ensurepip"
rm -rf "$out/python/lib/$version"/config-* "$out/python/lib/$version"/lib-dynload/_tkinter*
cp -RL "$site/kirikae" "$out/site/kirikae"
cp -RL "$click" "$out/site/click"
if zones=$("$python" -c 'import tzdata, os; print(os.path.dirname(tzdata.__file__))' 2>/dev/null); then
    cp -RL "$zones" "$out/site/tzdata"
fi

# Every library of Python and of its modules, wherever it lies; those that are not there belong to modules nobody imports here.
find "$out/python" -type f \( -name '*.so' -o -name '*.so.*' -o -name python3 \) -exec ldd {} \; 2>/dev/null |
    sed -n -e 's/.* => \(\/[^ ]*\) (.*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) (.*/\1/p' | sort -u |
    while IFS= read -r library; do cp -L "$library" "$out/lib/"; done
for loader in "$out"/lib/ld-linux*; do mv "$loader" "$out/lib/loader"; done
if [ -r /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt "$out/certificates.pem"; fi

cat >"$out/run.py" <<'END'
"""Of this folder alone: what the application has of Python is neither seen nor changed."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "site"))
CERTIFICATES = os.path.join(HERE, "certificates.pem")
if os.path.exists(CERTIFICATES):
    os.environ.setdefault("SSL_CERT_FILE", CERTIFICATES)

if sys.argv[1:2] == ["--as-sendmail"]:
    from kirikae.jobs.sendmail import main

    sys.exit(main(sys.argv[2:]))
from kirikae.console.main import main

main()
END
# No variable is set for them: what the worker runs must not find this folder's libraries.
start() {
    cat <<END
#!/bin/sh
exec '$out/lib/loader' --library-path '$out/lib' --argv0 '$out/python/bin/python3' \\
    '$out/python/bin/python3' -I '$out/run.py' $1"\$@"
END
}
start '' >"$out/bin/kirikae"
start '--as-sendmail ' >"$out/bin/sendmail"
chmod 755 "$out/bin/kirikae" "$out/bin/sendmail"
"$out/bin/kirikae" --version >/dev/null
