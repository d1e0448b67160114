# Makes a host of the kind "php", as root in a fresh Debian: see survey_hosts.py.
mkdir -p /var/www/html/wp-content/themes/x /var/www/html/wp-content/uploads
cat >/var/www/html/index.php <<'P'
<?php session_start(); $_SESSION['n'] = 1;
$folder = __DIR__ . '/wp-content/uploads/' . date('Y/m'); @mkdir($folder, 0755, true);
file_put_contents($folder . '/' . uniqid() . '.jpg', str_repeat('x', 2000));
$db = new PDO('sqlite:' . __DIR__ . '/wp-content/store'); $db->exec('create table if not exists e (t text)');
$db->exec("insert into e values ('x')"); file_put_contents('/var/www/html/wp-content/cache-all.html', 'x'); echo 'ok';
P
echo 'a {}' >/var/www/html/wp-content/themes/x/style.css; cp /usr/share/pixmaps/*.png /var/www/html/wp-content/themes/x/ 2>/dev/null
echo '<?php // silence' >/var/www/html/wp-content/uploads/index.php
rm -f /var/www/html/*.html; chown -R www-data: /var/www/html
cat >/etc/nginx/sites-enabled/default <<'N'
server { listen 80 default_server; root /var/www/html; index index.php;
 location ~ \.php$ { include fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_pass unix:/run/php/php8.2-fpm.sock; } }
N
printf '[shop]\nuser = www-data\ngroup = www-data\nlisten = /run/php/shop.sock\npm = static\npm.max_children = 2\n' >/etc/php/8.2/fpm/pool.d/shop.conf
