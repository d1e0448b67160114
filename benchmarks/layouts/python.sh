# Makes a host of the kind "python", as root in a fresh Debian: see survey_hosts.py.
useradd -m app; mkdir -p /opt/app/static /opt/app/templates; cat >/opt/app/app.py <<'P'
import http.server, sqlite3, json, os
class H(http.server.BaseHTTPRequestHandler):
    n = 0
    def do_GET(self):
        H.n += 1
        db = sqlite3.connect('app.db'); db.execute('create table if not exists t (a)'); db.execute('insert into t values (1)'); db.commit(); db.close()
        os.makedirs('data', exist_ok=True); os.makedirs('media/avatars', exist_ok=True)
        json.dump({'n': H.n}, open('data/state.json', 'w')); open(f'media/avatars/{H.n}.png', 'w').write('x' * 500)
        os.makedirs(os.path.expanduser('~/exports'), exist_ok=True); open(os.path.expanduser(f'~/exports/{H.n}.csv'), 'w').write('a,b')
        open('app.log', 'a').write('x\n'); self.send_response(200); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', 8000), H).serve_forever()
P
echo '<p>' >/opt/app/templates/a.html; cp /usr/share/pixmaps/*.png /opt/app/static/ 2>/dev/null; echo '{}' >/opt/app/static/manifest.json; chown -R app: /opt/app
cat >/etc/systemd/system/app.service <<'U'
[Service]
User=app
WorkingDirectory=/opt/app
ExecStart=/usr/bin/python3 app.py

[Install]
WantedBy=multi-user.target
U
