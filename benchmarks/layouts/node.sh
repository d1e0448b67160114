# Makes a host of the kind "node", as root in a fresh Debian: see survey_hosts.py.
useradd -m deploy; root=/srv/nippo; mkdir -p $root/releases/r1 $root/releases/r2/public $root/shared/uploads $root/shared/log $root/shared/config
for r in r1 r2; do cat >$root/releases/$r/server.js <<'J'
const http = require('http'), fs = require('fs'); let n = 0;
http.createServer((q, a) => { fs.writeFileSync(process.env.UPLOAD_DIR + '/' + (++n) + '.jpg', 'x'.repeat(999));
 fs.appendFileSync('log/production.log', q.url + '\n'); fs.writeFileSync('tmp/sessions/' + n, '{}'); fs.writeFileSync('data/counter.json', '' + n); a.end('ok'); }).listen(3000, '127.0.0.1');
J
mkdir -p $root/releases/$r/tmp/sessions $root/releases/$r/data; echo '{"name":"nippo","dependencies":{"node-cron":"3"}}' >$root/releases/$r/package.json
echo '{"lockfileVersion": 3}' >$root/releases/$r/package-lock.json; ln -s $root/shared/log $root/releases/$r/log; done
echo 'body {}' >$root/releases/r2/public/a.css; cp /usr/share/pixmaps/*.png $root/releases/r2/public/ 2>/dev/null
ln -s $root/releases/r2 $root/current; echo "production: {}" >$root/shared/config/app.yml; chown -R deploy: $root
echo UPLOAD_DIR=$root/shared/uploads >/etc/default/nippo
cat >/etc/systemd/system/nippo.service <<'U'
[Service]
User=deploy
WorkingDirectory=/srv/nippo/current
ExecStart=/usr/bin/node server.js
EnvironmentFile=/etc/default/nippo
[Install]
WantedBy=multi-user.target
U
