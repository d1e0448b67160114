# Mask secrets in a bundle.  Run twice over the same text by collect.sh: MODE=find prints each value that is a secret, one a line;
# MODE=mask is given "fingerprint<TAB>value" lines, the longest value first, a line with \001, sections in which only these values are
# looked for, a line with \002, and the text again; it prints all of it with the values masked.
# It must run in every awk: no intervals in expressions, no classes, no gensub; bytes, not letters (LC_ALL=C).
# What is said here of a file stands in its section's head: "@text FINGERPRINT PATH", "@code FINGERPRINT COUNT ROOT".

# --- what is a secret, and what is none ------------------------------------------------------------------------------

# Does a name say that its value is secret?
function secret(name,    k) {
    if (name in said_secret) return said_secret[name]
    # PWD is where a shell works; nobody writes that in small letters.
    if (name == "pwd" || name == "Pwd") return said_secret[name] = 1
    k = tolower(name)
    sub(/^.*[ \t$]/, "", k); gsub(/^[-_.]+|[-_.]+$/, "", k)
    return said_secret[name] = secret_name(k)
}
function secret_name(k) {
    if (k ~ /^clear-?text$|cipher[_.-]?seed$/) return 1
    if (k ~ /^(pwd|oldpwd|nopasswd|existing_?secret|image_?pull_?secrets|(proxy|fastcgi|uwsgi|scgi|grpc|memcached)_pass|htpasswd|htdigest|.*(bypass|compass|encompass|onepass|by_pass|first_pass))$/) return 0
    if (k ~ /(file|files|path|_dir|dirs?|folder|len|length|timeout|expir[a-z]*|ttl|lifetime|polic(y|ies)|[_.-]min|[_.-]max|[_.-]?ids?|keyid|enabled?|disabled?|params?|fields?|hashes|names?|types?|format|header|headers|maps?|algorithm|alg|method|methods|scheme|mechanisms?|provider|providers|class|handler|validators?|hashers?|encoders?|url|uri|urls|endpoint|host|hostname|port|prompt|label|placeholder|regexp?|pattern|strength|history|age|days|attempts|retries|tries|count|size|bits|iterations|rounds|cost|less|[_-]?ref|arn|manager|backend|driver|service|command|cmd|column|table|changed|required|authentication|dialog|encryption|reset|options?|mode|location|version|env|program|issuer|audience|scope|scopes|izer|izers|limit|usage|bucket|rotation|interval|warn|warning|change|notice|message|help|title|text|hint|visible|charset|strategy|storage|filter|rules?|confirmation|confirm|updated_at|created_at)$/ && k !~ /_?keyname$/) return 0
    if (k ~ /(^|[_.-])(min|max|num|n|total|server|context|input|output|prompt|completion|old|eos|bos|pad|unk|sep)_?(tokens?|passwords)/ || k ~ /^(server|max)tokens?$/) return 0
    if (k ~ /(public|pub|ssl_trusted|ca)_?-?key$/) return 0
    if (k ~ /(passw|passphrase|passwd|pass_?phrase|secret|credential|authori[sz]ation|requirepass|masterauth|authtok|dbpass|storepass|keypass)/) return 1
    if (k ~ /(^|[_.-]|[a-z])(pwd|pass|token|tokens|salt|psk|pepper|passcode|pincode|[_.-]pin)$/) return 1
    if (k ~ /(^|[_.-])(pw|otp|seed|auth|apikeys?|sig|signature|dsn_?key|community|nonce)$/ || k ~ /[a-z0-9](pw)$/) return k !~ /(^|[_.-])(seed|nonce|sig|signature|auth)$/ || k ~ /(^x-auth|x-.*signature|^sig|^signature|amz-signature|[_.-]auth)$/
    if (k ~ /^token|[_.-]token[_.-]/) return k !~ /^token(s|ize|iz|_?(bucket|count|url|type))/
    if (k ~ /(api|access|private|consumer|sec|upgrade|auth|signing|sign|encryption|encrypt|decrypt|app|application|cookie|crypt|crypto|master|session|shared|license|licence|hmac|jwt|jwe|jws|webhook|account|storage|deploy|client|service|server_?side|root|admin|ssh|rsa|aes|des|fernet|blowfish|cipher|hash|machine|validation|integration|routing|ingest|write|read|subscription|instrumentation|stripe|sendgrid|mailgun|twilio|rails|django|flask|laravel|sidekiq|devise)[_.-]?key([_.-]?(base|data|value|seed|s|[0-9]+))?$/) return 1
    return k ~ /^(des_?key|secure_link_secret|rocommunity6?|rwcommunity6?|snmp_?community|cookie|set-cookie|x-auth|x-api-key|x-.*-(auth|key|token|secret)|bindpw|rootpw|userpw|adminpw|setcredential|webhook|connectionstring_?key|activation_?code|recovery_?code[s]?|pass[0-9]|password[0-9])$/
}
# Random enough to be somebody's key: classes of letters change all the time, or it is one long number in base 16.
function random_looking(v) {
    if (v in said_random) return said_random[v]
    return said_random[v] = is_random(v)
}
function is_random(v,    n, i, c, class, before, changes, kinds, counted, upper, lower, digit, runs, vowels) {
    n = length(v)
    if (n < 20 || n > 2000 || v !~ /^[A-Za-z0-9+\/_.~-]+=*$/ || v ~ /^[.\/~-]/) return 0
    if (of_public_form(v)) return 0
    if (v ~ /^[0-9a-f]+$/ || v ~ /^[0-9A-F]+$/) return n >= 32 && v ~ /[a-fA-F]/ && v ~ /[0-9]/
    for (i = 1; i <= n && i <= 200; i++) {
        c = substr(v, i, 1)
        class = c ~ /[a-z]/ ? 1 : c ~ /[A-Z]/ ? 2 : c ~ /[0-9]/ ? 3 : 0
        if (!class) { runs += c ~ /[-_.\/]/; continue }
        if (class == 1) { lower++; if (c ~ /[aeiouy]/) vowels++ }
        if (class == 2) upper++
        if (class == 3) digit++
        if (before && class != before) changes++
        before = class; counted++
    }
    if (v ~ /\./ && v !~ /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?$/) return 0
    if (runs * 6 > counted) return 0
    if (upper && lower && digit) return changes * 100 >= counted * 34
    if (upper && lower) return n >= 24 && !runs && changes * 100 >= counted * 36
    if (digit && (upper || lower)) return n >= 24 && !runs && changes * 100 >= counted * 26
    return n >= 24 && !runs && (lower || upper) && (upper || vowels * 100 < counted * 31)
}
# PHOTO_KEY=zu9-Kappa-77aa: a key of which nobody knows what it opens, and a value that is no word.
function of_some_key(name, v,    k) {
    k = tolower(name)
    if (!sub(/[_.-]key$/, "", k)) return 0
    sub(/^.*[_.-]/, "", k)
    if (k == "" || k ~ /^(public|pub|primary|foreign|sort|partition|range|hash|cache|object|s3|routing|index|unique|group|lookup|natural|map|dict|row|host|ssh|gpg|apt|repo|i18n|locale|lang|translation|message|menu|short|hot)$/) return 0
    return length(v) >= 8 && v !~ /[ \t:\/"\047`(){}<>$]/ && v ~ /[A-Za-z]/ && v ~ /[0-9]/ && v !~ /^[a-z][a-z_.-]*[0-9]*$/ && !of_public_form(v) && !plain(v)
}
# Sums, public keys, identifiers: random, and everybody may know them.
function of_public_form(v) {
    if (v ~ /^(sha1|sha224|sha256|sha384|sha512|md5|h1)[-:_=]/ || v ~ /^(AAAA[BCEZ]|MII[A-Z])/ && v !~ /^MII[EJ][a-z]/) return 1
    if (v ~ /^[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+$/ && length(v) == 36) return 1
    if (v ~ /^(arn|ami|subnet|vpc|sg|i|vol|snap|eni|igw|rtb|acl|vpce|eipalloc|nat|lt|asg)-[0-9a-f]+$/) return 1
    if (v ~ /^(iVBORw0KGgo|R0lGOD|\/9j\/|PHN2Zy|d09GMg|T1RUTw|LS0tLS1CRUdJTiBDRVJUS|LS0tLS1CRUdJTiBQVUJMSUMg)/) return 1
    return v ~ /\.(js|css|png|jpe?g|gif|svg|woff2?|ttf|map|html?|php|py|rb|java|conf|so|gz|tgz|zip|xz|bz2|deb|rpm|jar|war|whl|pem|crt|service|socket|target|com|net|org|io|jp|local|internal|log)$/
}
# Values that give nothing away: references, words of configuration, nothing at all.
function plain(v,    w) {
    if (v == "" || length(v) < 3 || index(v, "<masked")) return 1
    # A salt of all signs may begin as a reference does, but no word stands in it.
    if (length(v) >= 32 && v !~ /[a-z][a-z][a-z][a-z][a-z][a-z]|[A-Z][A-Z][A-Z][A-Z][A-Z][A-Z]/ && many_signs(v)) return 0
    if (v ~ /^(\$[A-Za-z_{([]|\$\$|%[-a-zA-Z({]|\{|<[^m]|\\?#\{|@[A-Za-z]+@|`|!vault|!ENV|!secret|!Ref|!Sub|!GetAtt|\/dev\/|\.\/|\.\.\/|~\/)/) return v !~ /^\$(1|2[abxy]?|5|6|7|y|apr1|argon2[a-z]*|scrypt|pbkdf2[a-z0-9-]*|sha1|md5)\$/
    if (v ~ /^\/[A-Za-z0-9_.@-]+(\/[A-Za-z0-9_.@-]*)+$/ && v !~ /[A-Z0-9][a-z]*[0-9][A-Z]/) return 1
    if (v ~ /^(hash|btree|texthash|lmdb|cdb|pcre|regexp|proxy|ldap|mysql|pgsql|file|env|exec|vault|ssm|aws|arn|secretsmanager|op|sm|awskms|gcpkms|keyring|credential|builtin|unix|pipe|fd|https?|ref\+[a-z]+|sops|kms):[\/a-zA-Z_]/ && v !~ /:\/\/[^\/]*@/) return 1
    if (v ~ /^[0-9]+$/ && length(v) < 6 || v ~ /^[-=*_.#x?X~+!:,;|\/ \\]+$/ || v ~ /^[#;] /) return 1
    if (v ~ /^[a-zA-Z_][A-Za-z0-9_.]*(->[a-zA-Z_]+)*[[(]/ && v !~ /^[A-Za-z0-9]*[0-9][A-Za-z0-9]*[[(][^])]*$/ && v ~ /[])]/) return 1
    if (v ~ /^[A-Za-z_]+\.[A-Za-z_]+(\.[A-Za-z_]+)*$/ && v ~ /^(os|env|config|settings|process|self|this|app|args|options|opts|params|request|req|var|local|data|module|vault|secrets|github|credentials|system|conf|cfg|context|ctx|current_app|rails|node)\./) return 1
    if (v ~ /^%[0-9]\]?$|^[][(){}^$.*+?|\\]+$/) return 1
    if (v ~ /^arn:|^AWS::|^\{\{|^ENC\[|^ENC\(/) return 1
    if (v ~ /^[a-z]+(\|[a-z]+)+$/) return 1
    w = tolower(v); sub(/[,;.]+$/, "", w)
    return w in ORDINARY
}
function many_signs(v,    n, i) {
    gsub(/[A-Za-z0-9]/, "", v); n = 0
    for (i = 1; i <= 32; i++) if (index(v, substr("!@#$%^&*()-_[]{}<>~`+=,.;:/?|\"\\ ", i, 1))) n++
    return n >= 8
}
# Has it more than letters?  In code and prose only such a word is taken for a secret without quotes.
function strong(v) { return length(v) >= 5 && v ~ /[A-Za-z]/ && v ~ /[^A-Za-z_ \t.-]/ && v !~ /^[A-Za-z_.]+[([]/ && v !~ /^[0-9.]+[a-z]*$/ }
# A sentence or a label for people.
function prose(v) {
    if (length(v) < 8 || v !~ /[A-Za-z][a-z]* [A-Za-z]/) return 0
    return tolower(v) ~ /(^| )(the|your|a|an|must|please|invalid|enter|is|are|at|for|of|to|be|has|have|new|old|current|confirm|forgot|reset|change|password|passwords|token|wrong|not|with|and|or|field|user|required|incorrect)( |$|[.,:!?])/
}
# Rules of frameworks and names of columns, as code has them behind names of secrets.
function code_word(v) {
    return v ~ /^[A-Za-z_][A-Za-z_-]*$/ && (tolower(v) in CODE_WORDS || secret(v) || v ~ /_/ && v !~ /[0-9]/) || v ~ /^[a-z_]+(:[a-z0-9_,]+)?(\|[a-z_]+(:[a-z0-9_,]+)?)+$/ || v ~ /^[A-Za-z_.]+[\/\\][A-Za-z_\/\\.]+$/ && v !~ /[0-9]/ || prose(v)
}

# --- taking one out --------------------------------------------------------------------------------------------------

function take(v,    trimmed) {
    if (MODE == "find") {
        print v
        trimmed = v
        if (sub(/[ \t]+[#;].*$/, "", trimmed) && length(trimmed) > 5) print trimmed
    }
    return "<masked\002" (v in fingerprint ? fingerprint[v] : MODE == "find" ? "0000000000000000" : "unknown") ">"
}
# The word that a text begins with, without its quotes: WORD, and what stands before it: QUOTE.
function word(line, stops,    end, at) {
    QUOTE = ""; CLOSED = 1
    if (match(line, /^[bBrRuUfF]?[bBrR]?("""|\047\047\047|\\+["\047]|["\047`])/)) {
        QUOTE = substr(line, 1, RLENGTH); at = QUOTE; sub(/^[bBrRuUfF]+/, "", at)
        line = substr(line, RLENGTH + 1); end = closing(line, at)
        CLOSED = end > 0; WORD = CLOSED ? substr(line, 1, end - 1) : line
        if (!CLOSED) sub(/[ \t\r]+$/, "", WORD)
        return
    }
    if (match(line, /^q[qw]?[ \t]*[{(<|!~]/) && CODEY) {
        QUOTE = substr(line, 1, RLENGTH); at = substr(QUOTE, length(QUOTE)); line = substr(line, RLENGTH + 1)
        end = index(line, at == "{" ? "}" : at == "(" ? ")" : at == "<" ? ">" : at)
        WORD = end ? substr(line, 1, end - 1) : line
        return
    }
    WORD = match(line, stops) ? substr(line, 1, RSTART - 1) : line
}
# Where a quoted text ends: the first quote that is not escaped; 0: not on this line.
function closing(text, quote,    at, past, back) {
    past = 0
    while ((at = index(text, quote))) {
        back = at - 1
        while (back > 0 && substr(text, back, 1) == "\\") back--
        if ((at - 1 - back) % 2 == 0 || length(quote) > 1) {
            # Two in a row stand for one, as in SQL and YAML, unless nothing stands before them.
            if (length(quote) == 1 && quote == "\047" && at > 1 && substr(text, at + 1, 1) == quote && substr(text, at + 2, 1) ~ /[A-Za-z0-9]/) { past += at + 1; text = substr(text, at + 2); continue }
            return past + at
        }
        past += at; text = substr(text, at + 1)
    }
    return 0
}
# Mask the word behind each place that fits; of "user:word" only what stands behind the part.
function after(line, place, part,    out, v, head, at, kept) {
    out = ""
    while (match(line, place)) {
        out = out substr(line, 1, RSTART + RLENGTH - 1); line = substr(line, RSTART + RLENGTH)
        word(line, "[ \t\"\047`|;<>()]"); v = WORD; head = ""
        if (part != "") { at = index(v, part); if (!at) continue; head = substr(v, 1, at); v = substr(v, at + 1) }
        if (v == "" || plain(v) || v ~ /^<masked/ || head ~ /\/\// || part == ":" && v ~ /^\/\// || part == ":" && (v ~ /^[0-9]+$/ && length(v) < 6 || v ":" == head)) continue
        kept = QUOTE head
        out = out kept take(v); line = substr(line, length(kept) + length(v) + 1)
    }
    return out line
}

# --- forms -----------------------------------------------------------------------------------------------------------

# Tokens that are told by how they begin, hashes of passwords, and what stands behind Bearer and Basic.
function forms(line,    out, m, head, start) {
    if (line !~ /AKIA|ASIA|gh[pousr]_|github_pat|xox|xapp-|[sr]k_|sk-|whsec|glpat|glrt|gldt|SG\.|key-|AIza|ya29|eyJ|npm_|pypi-|dop_v1|shp|hvs\.|hvb\.|EAAC|sq0|rzp_|AGE-SECRET|Bearer|Basic|bearer|basic|LS0tLS1|\$[1-9ays][a-zA-Z0-9-]*\$|\{[A-Z0-9-]+\}|SCRAM-SHA|pbkdf2|bcrypt|argon2|md5[0-9a-f]|\*[0-9A-F]|hooks\.|webhook|api\.telegram|Tc4|dckr_|nfp_|lin_api|PMAK|sntr|ATATT|figd_|hf_|r8_|tskey-|CFPAT|glsa_|dapi|phx_/) return line
    out = ""
    while (match(line, /(AKIA|ASIA)[A-Z0-9]+|gh[pousr]_[A-Za-z0-9]+|github_pat_[A-Za-z0-9_]+|xox[abeprs]-[A-Za-z0-9-]+|xapp-[A-Za-z0-9-]+|[sr]k_(live|test)_[A-Za-z0-9]+|sk-[A-Za-z0-9_-]+|whsec_[A-Za-z0-9+\/=]+|gl(pat|rt|dt|sa)[-_][A-Za-z0-9_-]+|SG\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|key-[0-9a-f]+|AIza[A-Za-z0-9_-]+|ya29\.[A-Za-z0-9_-]+|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*|npm_[A-Za-z0-9]+|pypi-[A-Za-z0-9_-]+|dop_v1_[a-f0-9]+|shp(at|ca|pa|ss)_[a-fA-F0-9]+|hv[sb]\.[A-Za-z0-9_-]+|EAAC[A-Za-z0-9]+|sq0(atp|csp)-[A-Za-z0-9_-]+|rzp_(live|test)_[A-Za-z0-9]+|AGE-SECRET-KEY-[A-Z0-9]+|dckr_pat_[A-Za-z0-9_-]+|nfp_[A-Za-z0-9]+|lin_api_[A-Za-z0-9]+|PMAK-[A-Za-z0-9-]+|sntr[a-z]_[A-Za-z0-9_=+\/-]+|ATATT[A-Za-z0-9_=-]+|figd_[A-Za-z0-9_-]+|hf_[A-Za-z0-9]+|r8_[A-Za-z0-9]+|tskey-[A-Za-z0-9-]+|CFPAT-[A-Za-z0-9_-]+|dapi[0-9a-f]+|phx_[A-Za-z0-9]+|LS0tLS1CRUdJTi[A-Za-z0-9+\/=]+|([Bb]earer|[Bb]asic)\\? +[A-Za-z0-9+\/=._~-]+|\$(1|2[abxy]?|5|6|7|y|gy|apr1|sha1|md5|argon2[a-z]*|scrypt|pbkdf2[a-z0-9-]*|bcrypt-sha256)\$[A-Za-z0-9.\/+=$,*-]+|\{(SHA|SSHA|SHA256|SSHA256|SHA512|SSHA512|MD5|SMD5|CRYPT|PLAIN|PLAIN-MD5|CLEARTEXT|BLF-CRYPT|SHA512-CRYPT|SHA256-CRYPT|CRAM-MD5|ARGON2I|ARGON2ID|PBKDF2|LDAP-MD5|NTLM|LANMAN|SCRAM-SHA-1|SCRAM-SHA-256)\}[^ \t:"\047,;]+|SCRAM-SHA-(1|256)\$[0-9]+:[A-Za-z0-9+\/=:$]+|(pbkdf2_sha(1|256|512)|bcrypt(_sha256)?|argon2|scrypt|md5|sha1)\$[A-Za-z0-9.\/+=$,_-]+|md5[0-9a-f]+|\*[0-9A-F]+|hooks\.slack\.com\/(services|workflows|triggers)\/[A-Za-z0-9_\/-]+|discord(app)?\.com\/api\/webhooks\/[A-Za-z0-9_\/-]+|webhook\.office\.com\/[A-Za-z0-9_@\/-]+|hooks\.zapier\.com\/hooks\/[A-Za-z0-9_\/-]+|chat\.googleapis\.com\/v1\/spaces\/[^"\047 \t]+|api\.telegram\.org\/bot[A-Za-z0-9:_-]+/)) {
        m = substr(line, RSTART, RLENGTH); start = RSTART; head = ""
        if (m ~ /^([Bb]earer|[Bb]asic)\\? /) { head = m; sub(/ +.*$/, " ", head) }
        else if (m ~ /^\{/) { head = m; sub(/\}.*$/, "}", head) }
        else if (match(m, /\/(services|workflows|triggers|api\/webhooks|hooks|v1\/spaces)\/|\.office\.com\/|\.org\/bot/) && m ~ /^(hooks|disc|webh|chat|api)/) head = substr(m, 1, RSTART + RLENGTH - 1)
        out = out substr(line, 1, start - 1) masked_form(head, substr(m, length(head) + 1), start > 1 ? substr(line, start - 1, 1) : "")
        line = substr(line, start + length(m))
    }
    return out line
}
function masked_form(head, v, before,    n) {
    n = length(v)
    if (head ~ /^([Bb]earer|[Bb]asic)\\? /) return head (n >= 8 && v ~ /[0-9A-Z=_]/ && v !~ /^[A-Z]?[a-z]+$/ ? take(v) : v)
    if (head != "") return head (n >= 3 && !plain(v) ? take(v) : v)
    if (v ~ /^md5/ || v ~ /^\*/) return (n == 35 || n == 41) && before !~ /[A-Za-z0-9_]/ ? take(v) : v
    if (v ~ /^(sk-|key-|r8_|hf_|phx_|nfp_|dapi|EAAC)/ && (before ~ /[A-Za-z0-9_-]/ || v !~ /[0-9]/ || n < 24)) return v
    if (v ~ /^eyJ/) return n >= 20 ? take(v) : v
    if (v ~ /^LS0tLS1CRUdJTi(BDRVJ|BQVUJM|BUUlVTVEVE)/) return v
    if (v ~ /^\$1\$/ && n < 12) return v
    return n >= 16 || v ~ /^\$/ && n >= 10 ? take(v) : v
}
# Passwords and tokens before the "@" of a URL.
function urls(line,    out, rest, user, at, body, cut, stop) {
    if (!index(line, "://")) return line
    out = ""
    while ((at = index(line, "://"))) {
        out = out substr(line, 1, at + 2); line = substr(line, at + 3)
        rest = match(line, /[ \t"\047<>`,|)]/) ? substr(line, 1, RSTART - 1) : line
        if (substr(line, length(rest) + 1, 1) == "," && rest !~ /@/ && match(line, /^[^ \t"\047\/]*@/)) rest = substr(line, 1, RLENGTH)
        stop = match(rest, /[\/?#]/) ? RSTART - 1 : length(rest)
        cut = last_of(substr(rest, 1, stop), "@")
        if (!cut && match(rest, /^[^:\/@?#]*:[^\/?#]*/) && substr(rest, 1, RLENGTH) !~ /:[0-9]*$/ && rest !~ /^\[/) cut = last_of(rest, "@")
        if (!cut) {
            if (CUT && rest == line && match(rest, /^[^:\/@?#]*:/) && rest !~ /^[^:]*:[0-9]*([\/?#].*)?$/) cut = length(rest) + 1
            else continue
        }
        body = substr(rest, 1, cut - 1); at = index(body, ":"); user = at ? substr(body, 1, at) : ""; body = substr(body, at + 1)
        if (body == "" || plain(body) || body ~ /^<masked/) continue
        if (!at && !(length(body) >= 16 && body ~ /[0-9]/ && (random_looking(body) || body ~ /^[0-9a-f]+$/))) continue
        out = out user take(body); line = substr(line, length(user) + length(body) + 1)
    }
    return out line
}

# --- private keys, and what is public in the same dress --------------------------------------------------------------

# "" where the line is none of theirs.
function of_a_key(line,    rest, head) {
    if (index(line, "-----BEGIN ") && line !~ /<masked/ && match(line, /-----BEGIN [A-Z0-9 ]+/)) {
        head = substr(line, 1, RSTART - 1); rest = substr(line, RSTART)
        if (rest !~ /PRIVATE KEY|SECRET KEY|OpenVPN Static key/) { INPUBLIC = !CODE && rest !~ /-----END/; return "" }
        if (match(rest, /-----END [A-Z0-9 ]+-----(\\n)*/)) return head "<masked\002private-key>" substr(rest, RSTART + RLENGTH)
        INKEY = !CODE; return head "<masked\002private-key>"
    }
    if (INPUBLIC && (line ~ /-----END/ || line ~ /^[ \t]*$/ && ++BLANKS > 2)) INPUBLIC = 0
    if (line ~ /^PuTTY-User-Key-File/) { INPUTTY = 1; return "" }
    if (INPUTTY && line ~ /^Private-(Lines|MAC)/) { INKEY = line ~ /Lines/; return line ~ /Lines/ ? "" : "Private-MAC: <masked\002private-key>" }
    if (!INKEY) return ""
    if (line ~ /-----END/) { INKEY = 0; return "<masked\002private-key>" }
    rest = line; gsub(/^[ \t"\047#>|*+-]+|(\\n|\\r)+["\047+.,;\\ \t]*$|["\047+.,;\\ \t\r]+$/, "", rest)
    if (rest == "" || rest ~ /^[A-Za-z0-9+\/=]+$/ || rest ~ /^(Proc-Type|DEK-Info|Version|Comment|Hash):/ ) return "<masked\002private-key>"
    INKEY = 0
    return ""
}

# --- lines of files that hold nothing but logins ---------------------------------------------------------------------

function of_logins(line,    n, part, at, rest) {
    if (line ~ /^[ \t]*([#;]|$|<\?|\[[^]]*\][ \t]*$)/) return line
    # "192.0.2.7 word", of racoon; "https://dav.example.com/ user word", of davfs2
    if (BASE ~ /psk/ && match(line, /^[^ \t=:]+[ \t]+/)) return substr(line, 1, RLENGTH) taken(substr(line, RLENGTH + 1))
    if (line ~ /^[ \t]*"?(https?:\/)?\// && match(line, /^[ \t]*("[^"]*"|[^ \t]+)[ \t]+("[^"]*"|[^ \t]+)[ \t]+/) && substr(line, RLENGTH + 1) ~ /^("[^"]*"|[^ \t"]+)[ \t]*$/) return substr(line, 1, RLENGTH) taken(substr(line, RLENGTH + 1))
    if (BASE ~ /(chap|pap)-secrets/) return after(line, "^[ \t]*(\"[^\"]*\"|[^ \t]+)[ \t]+(\"[^\"]*\"|[^ \t]+)[ \t]+", "")
    if (line ~ /^[ \t]*[A-Za-z_"\047.-]+[ \t]*(=|:[ \t])/ && BASE !~ /sasl|htpasswd|htdigest|pgpass/ || line ~ /[{}]/ && line !~ /:\{/ || line ~ /^[ \t]*(-|[a-z]+[ \t]+[a-z]+[ \t])/) return line
    if (BASE ~ /pgpass/) {
        at = 0; rest = line; gsub(/\\:/, "\001\001", rest)
        for (n = 0; n < 4; n++) { part = index(substr(rest, at + 1), ":"); if (!part) return line; at += part }
        return substr(line, 1, at) taken(substr(line, at + 1))
    }
    n = split(line, fields_, ":")
    if (n > 5 && fields_[2] ~ /^[x*!]*$/) return line
    if (match(line, /^[^ \t]+[ \t]+[^" \t:]+:/)) return substr(line, 1, RLENGTH) taken(substr(line, RLENGTH + 1))
    if (line ~ /[ \t]/ && line !~ /^[^ \t:]+:[^:]+$/) return line
    if (n < 2) return (line ~ /^[^ \t=]+[ \t\r]*$/ || line ~ /^[A-Za-z0-9+\/]+==?$/ && length(line) % 4 == 0) && (!WORDS_ONLY || strong(line)) ? taken(line) : line
    if (line ~ /:\/\// || fields_[1] == "") return line
    if (n == 2) return fields_[1] ":" taken(fields_[2])
    if (n == 3) return fields_[1] ":" (fields_[1] ~ /[.*]/ || fields_[3] ~ /^[0-9a-f]+$/ && length(fields_[3]) == 32 ? fields_[2] ":" taken(fields_[3]) : taken(substr(line, length(fields_[1]) + 2)))
    return fields_[1] ":" taken(fields_[2]) substr(line, length(fields_[1]) + length(fields_[2]) + 2)
}
function taken(v,    head, tail) {
    if (match(v, /^[ \t"\047]+/)) { head = substr(v, 1, RLENGTH); v = substr(v, RLENGTH + 1) }
    if (match(v, /["\047 \t\r]+$/)) { tail = substr(v, RSTART); v = substr(v, 1, RSTART - 1) }
    return head (plain(v) || v ~ /^<masked/ || v ~ /^[x*!]+$/ ? v : take(v)) tail
}

# --- commands and their options --------------------------------------------------------------------------------------

function commands(line) {
    if (line ~ /stats[ \t]+auth|auth-user|http_auth|basic_auth|htauth/) line = after(line, "(stats[ \t]+auth|http_auth|basic_auth|htauth)[ \t]*[=:]?[ \t]+", ":")
    if (line ~ /(auth|userpwd|login|creds)["\047]?[ \t]*[:=][ \t]*["\047]?[A-Za-z0-9_.@-]+:[^ \t"\047\/]*[0-9]/) line = after(line, "(auth|userpwd|login|creds)[\"\047]?[ \t]*[:=][ \t]*", ":")
    if (line ~ /AuthInfo/) line = after(line, "\"P:", "")
    if (index(line, "@")) line = before_at(line)
    if (line ~ /BUNDLE_/) line = after(line, "BUNDLE_[A-Z0-9_]+__[A-Z0-9_]+[\"\047]?[ \t]*[:=][ \t]*", line ~ /[ "\047=][0-9a-f]+:[0-9a-f]+["\047]?[ \t]*$/ ? "" : ":")
    if (BASE ~ /curlrc/) line = after(line, "^[ \t]*-*(user|proxy-user|proxy-header|u)[ \t]*[=:]?[ \t]*", ":")
    if (line ~ /SQLConnectInfo/) line = after(line, "SQLConnectInfo[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+", "")
    if (line ~ /secure_link_md5/) line = after(line, "secure_link_md5[ \t]+\"?[^\" \t;]+[ \t]+", "")
    if (line ~ /%\{HTTP:/) line = after(line, "%\\{HTTP:[A-Za-z-]*([Kk]ey|[Tt]oken|[Aa]uth[a-z]*|[Ss]ecret)\\}[ \t]+\"?!?=+", "")
    if (line ~ /put-parameter/ && line ~ /SecureString|pass|secret|token|key/) line = after(line, "put-parameter[ \t]([^|;]*[ \t])?--value[= \t]+", "")
    if (line ~ /chpasswd/) line = after(line, "(echo|printf|<<<)[ \t]+(-[en]+[ \t]+)?", ":")
    else if (line ~ /\|[ \t]*(sudo[ \t]+)?(passwd[ \t]|sudo[ \t]+-[a-zA-Z]*S|cryptsetup|kinit|smbpasswd|vncpasswd|openconnect)|(password|pass)-stdin|passphrase-fd[ =]0|pass[a-z]*-?(file|fd)?[= \t]*<\((echo|printf)/) line = after(line, "(echo|printf)[ \t]+(-[en]+[ \t]+|[\"\047]%s[\"\047\\\\n]*[ \t]+)?", "")
    if (line ~ /IDENTIFIED|identified/) line = after(line, "([Ii][Dd][Ee][Nn][Tt][Ii][Ff][Ii][Ee][Dd]([ \t]+[Ww][Ii][Tt][Hh][ \t]+[^ \t]+)?[ \t]+([Bb][Yy]|[Aa][Ss])[ \t]+([Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd][ \t]+)?)", "")
    if (line ~ /PASSWORD[ \t]*\([ \t]*["\047]/) line = after(line, "PASSWORD[ \t]*\\([ \t]*", "")
    if (line ~ /^\$USER[0-9]/) line = after(line, "^\\$USER[0-9]+\\$=[ \t]*", "")
    if (line ~ /^usmUser/) line = after(line, "[ \t]0x", "")
    if (line ~ /ConvertTo-SecureString/) line = after(line, "ConvertTo-SecureString[ \t]+(-String[ \t]+)?", "")
    if (line ~ /net[ \t]+use[ \t].*(\/user:[^ \t]+[ \t]+|\\\\[^ \t]+[ \t]+)[^ \t\/]/) line = after(line, line ~ /\/user:[^ \t]+[ \t]+[^ \t\/]/ ? "net[ \t]+use[ \t].*\/user:[^ \t]+[ \t]+" : "net[ \t]+use[ \t]+([A-Za-z*]:?[ \t]+)?\\\\\\\\[^ \t]+[ \t]+", "")
    if (line ~ /kv[ \t]+put|etcdctl|redis-cli/) line = put(line)
    if (line ~ /mc[ \t]+(alias|config)/) line = after(line, "mc[ \t]+(alias[ \t]+set|config[ \t]+host[ \t]+add)[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+", "")
    if (line ~ /: *(PSK|XAUTH|EAP|PIN) +/) line = after(line, ":[ \t]*(PSK|XAUTH|EAP|PIN)[ \t]+", "")
    if (line ~ /(login|user|username|account)[ \t]+[^ \t]+[ \t]+(there[ \t]+)?(with[ \t]+)?(insecure-)?(password|passwd|pass|secret)[ \t]/) line = after(line, "(login|user|username|account)[ \t]+[^ \t]+[ \t]+(there[ \t]+)?(with[ \t]+)?(insecure-)?(password|passwd|pass|secret)[ \t]+([0-9][ \t]+)?", "")
    if (line ~ /neighbor[ \t].*password|enable[ \t]+(password|secret)|createUser/) { line = after(line, "(neighbor[ \t]+[^ \t]+|enable)[ \t]+(password|secret)[ \t]+([0-9][ \t]+)?", ""); line = after(line, "(MD5|SHA|SHA-256|SHA-512|DES|AES)[ \t]+", "") }
    if (line ~ /aws_s/) line = after(line, "(aws_secret_access_key|aws_session_token)[ \t]+", "")
    if (line ~ /auth-pass/) line = after(line, "auth-pass[ \t]+[^ \t]+[ \t]+", "")
    if (line ~ /[cC]ommunity|com2sec/) line = after(line, "((ro|rw)community6?[ \t]+|authCommunity[ \t]+[^ \t]+[ \t]+|com2sec6?[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+)", "")
    if (line ~ /^[ \t]*user[ \t].*[ \t][>#]/) line = after(line, "user[ \t]+[^ \t]+[ \t]+([^ \t>#]+[ \t]+)*[>#]", "")
    if (line !~ /[ \t"\047(,\[]-[A-Za-z-]/ && line !~ /sqlplus|expdp|impdp|sqlldr|rman|rabbitmqctl|vault|^-/) return line
    line = after(line, "(mysql[a-z_]*|mariadb[a-z-]*|mytop|xtrabackup|innobackupex|mydumper|myloader)[ \t]([^|;]*[ \t])?-p", "")
    if (line ~ /7z/) line = after(line, "7z[a-z]*[ \t]([^|;]*[ \t])?-p", "")
    if (line !~ /docker|podman|nerdctl|chown/) line = after(line, "(^|[ \t(\"\047`,\\[])(-u|-U|--user|--proxy-user|-auth|--auth|--userpwd|--creds|--login|--basic-auth|--http-user)[\"\047]?(=|,?[ \t]+|$)", ":")
    if (line !~ /docker|podman|nerdctl|chown|sudo/) line = after(line, "[ \t]-u", ":")
    line = after(line, "(smb[a-z]+|rpcclient|net|winexe|mount)[ \t]([^|;]*[ \t])?(-U|--user)[= \t]*", "%")
    if (line ~ /lftp|open[ \t]/) line = after(line, "(lftp|open)[ \t]([^|;]*[ \t])?-u[ \t]*", ",")
    if (line ~ /curl/) line = after(line, "curl[ \t]([^|;]*[ \t])?-[a-zA-Z]+u[ \t]*", ":")
    if (line ~ /(https?|xhs?|ab)[ \t]/) { line = after(line, "(^|[ \t\/])(https?|xhs?)[ \t]([^|;]*[ \t])?-a[ \t]*", ":"); line = after(line, "(^|[ \t\/])ab[ \t]([^|;]*[ \t])?-[AP][ \t]*", ":") }
    if (line ~ /snmp/) { line = after(line, "snmp[a-z]+[ \t]([^|;]*[ \t])?-A[ \t]*", ""); line = after(line, "snmp[a-z]+[ \t]([^|;]*[ \t])?-X[ \t]*", "") }
    line = after(line, "(sshpass[ \t]([^|;]*[ \t])?-p|redis-cli[ \t]([^|;]*[ \t])?(-a|--pass)|ldap[a-z]+[ \t]([^|;]*[ \t])?-w|(un)?zip[ \t]([^|;]*[ \t])?-P|ipmitool[ \t]([^|;]*[ \t])?-P|(sqlcmd|isql|bcp|tsql)[ \t]([^|;]*[ \t])?-P|(docker|podman|helm|az|skopeo|buildah|crane|oras|nerdctl|registry|oc)[ \t][^|;]*login[ \t]([^|;]*[ \t])?(-p|--password[= \t])|mongo[a-z]*[ \t]([^|;]*[ \t])?-p|ncftp[a-z]*[ \t]([^|;]*[ \t])?-p|openssl[ \t]([^|;]*[ \t])?-(k|K|hmac)|snmp[a-z]+[ \t]([^|;]*[ \t])?-c|check_[a-z_]+[ \t]([^|;]*[ \t])?-[pPC]|send[Ee]mail[ \t]([^|;]*[ \t])?-xp|swaks[ \t]([^|;]*[ \t])?(-ap|--ap|--auth-password)[= \t]|mosquitto_[a-z]+[ \t]([^|;]*[ \t])?-P)[ \t]*", "")
    if (line ~ /check_/) line = after(line, "check_[a-z_]+[ \t]([^|;]*[ \t])?-a[ \t]*", ":")
    line = after(line, "-(pass|passin|passout|password)[ \t]+pass:", "")
    if (line ~ /htpasswd/) line = after(line, line ~ /-[a-zA-Z]*n/ ? "htpasswd[ \t]+(-[a-zA-Z]+[ \t]+)+[^ \t-][^ \t]*[ \t]+" : "htpasswd[ \t]+(-[a-zA-Z]+[ \t]+)+[^ \t-][^ \t]*[ \t]+[^ \t]+[ \t]+", "")
    line = after(line, "rabbitmqctl[ \t]+(-[^ \t]+[ \t]+)*(add_user|change_password|authenticate_user)[ \t]+[^ \t]+[ \t]+", "")
    line = after(line, "vault[ \t]+login[ \t]+", "")
    line = after(line, "--from-literal[= \t][^= \t]+=", "")
    if (line ~ /sqlplus|expdp|impdp|sqlldr|rman/) line = of_oracle(line)
    if (line ~ /[ \t]-[uUl][ \t]*[^ \t-]/ && line ~ /[ \t]-[pP][ \t]+[^ \t\/.~0-9-]/ && line !~ /sudo|runuser|docker|podman|mkdir|rsync|ssh |useradd|systemd-run/) line = after(line, "[ \t]-[pP][ \t]+", "")
    return line
}
# "consul kv put shop/db_password word"
function put(line,    head, name) {
    if (!match(line, /(consul[ \t]+kv[ \t]+put|etcdctl[ \t]+(put|set)|redis-cli[ \t]+([^|;]*[ \t])?(set|SET))[ \t]+[^ \t=-][^ \t=]*[ \t]+/)) return line
    head = substr(line, 1, RSTART + RLENGTH - 1); line = substr(line, RSTART + RLENGTH)
    name = head; sub(/[ \t]+$/, "", name); sub(/^.*[ \t\/:]/, "", name)
    if (!secret(name)) return head line
    word(line, "[ \t\"\047`|;<>()]")
    return plain(WORD) ? head line : head QUOTE take(WORD) substr(line, length(QUOTE) + length(WORD) + 1)
}
# "user:word@tcp(db1:3306)/x", as Go writes it, and "user/word@//db1:1521/x", as Oracle does
function before_at(line,    head, v) {
    if (!match(line, /(^|[ \t"\047=:])[A-Za-z0-9_.-]+(:[^@ \t"\047\/]+@(tcp|udp|unix)\(|\/[^@ \t"\047\/]+@\/\/)/)) return line
    head = substr(line, 1, RSTART - 1); v = substr(line, RSTART, RLENGTH)
    match(v, /[A-Za-z0-9_.-]+[:\/]/); head = head substr(v, 1, RSTART + RLENGTH - 1)
    v = substr(v, RSTART + RLENGTH); sub(/@(tcp\(|udp\(|unix\(|\/\/)$/, "", v)
    return plain(v) ? line : head take(v) substr(line, length(head) + length(v) + 1)
}
# "sqlplus user/word@database"
function of_oracle(line,    head, v, at) {
    if (!match(line, /(sqlplus|expdp|impdp|sqlldr|rman)[ \t]+(-[a-zA-Z]+[ \t]+)*[A-Za-z0-9_]+\//)) return line
    head = substr(line, 1, RSTART + RLENGTH - 1); v = substr(line, RSTART + RLENGTH)
    if (match(v, /[@ \t"\047]/)) v = substr(v, 1, RSTART - 1)
    return v == "" || plain(v) ? line : head take(v) substr(line, length(head) + length(v) + 1)
}

# --- elements, pairs of name and value, calls ------------------------------------------------------------------------

# <password>x</password>, <entry key="password">x</entry>
function elements(line,    out, tag, name, v, head) {
    if (!index(line, "<") || line !~ />/) return line
    out = ""
    while (match(line, /<[A-Za-z][A-Za-z0-9_:.-]*([ \t][^<>]*)?>(<!\[CDATA\[)?[^]<>]*/)) {
        tag = substr(line, RSTART, RLENGTH); out = out substr(line, 1, RSTART - 1); line = substr(line, RSTART + RLENGTH)
        head = tag; sub(/>(<!\[CDATA\[)?[^]<>]*$/, "", head)
        v = substr(tag, length(head) + 2); if (v ~ /^<!\[CDATA\[/) v = substr(v, 10)
        head = substr(tag, 1, length(tag) - length(v))
        name = tag; sub(/^</, "", name); sub(/[ \t>].*$/, "", name); sub(/^.*:/, "", name)
        if (!secret(name) && match(head, /[ \t](key|name|id|property)=["\047][^"\047]*["\047]/)) { name = substr(head, RSTART, RLENGTH); sub(/^[^"\047]*["\047]/, "", name); sub(/["\047]$/, "", name) }
        if (secret(name) && tag ~ />/ && head !~ /\/>/ && head !~ /type=["\047]?(text|password|hidden)|<(input|label|option|button|a|th|td|h[1-6]|p|span|div|li|title)[ \t>]/) {
            if (v ~ /^[ \t\r]*$/ && line == "") { if (out ~ /^[ \t]*$/) INELEMENT = name }
            else v = prose(v) && CODE ? v : taken(v)
        }
        out = out head v
    }
    return out line
}
# A name on this line or one of the two before it, its value here: "- name: DB_PASSWORD", "value: x"
function pairs(line,    name, at) {
    if (match(line, /(^|[ \t{,(<"\047-])["\047]?([Nn]ame|[Kk]ey|param-name|ParameterKey|Variable|variable|property)["\047]?[ \t]*([:=>]|=>)[ \t]*["\047]?[A-Za-z0-9_.-]+["\047]?/)) {
        name = substr(line, RSTART, RLENGTH); at = RSTART + RLENGTH; sub(/["\047]$/, "", name); sub(/^.*[:=>"\047 \t]/, "", name)
        PAIR = secret(name) && !(line ~ /secretKeyRef|valueFrom/) ? 3 : 0
        if (!PAIR) { VALUED = ""; return line }
        # The value may stand before its name: on this line, or on the one before it.
        if (VALUED != "" && MODE == "find") print VALUED
        VALUED = ""; name = substr(line, 1, at - 1); line = substr(line, at)
        at = last_of(name, "{"); if (at) name = substr(name, 1, at) paired(substr(name, at + 1))
        if (!PAIR) return name line
        return name paired(line)
    }
    if (!PAIR) VALUED = line ~ /["\047]?[Vv]alue/ ? valued(line) : ""
    if (PAIR) { PAIR--; if (line ~ /valueFrom|secretKeyRef|fieldRef|configMapKeyRef/) PAIR = 0; return paired(line) }
    return line
}
function last_of(text, sign,    at, found) {
    while ((at = index(substr(text, found + 1), sign))) found += at
    return found + 0
}
# The value that a line of its own gives, before anybody knows whose it is.
function valued(line) {
    if (!match(line, /^[ \t]*(- )?[{<]?["\047]?([Vv]alue|param-value|ParameterValue)["\047]?[ \t]*[:=>][ \t]*/)) return ""
    word(substr(line, RLENGTH + 1), "[<,}\"\047]|[ \t]*$")
    return length(WORD) < 6 || plain(WORD) ? "" : WORD
}
function paired(line,    out, v) {
    if (!match(line, /(^|[ \t{,(<"\047\/])["\047]?([Vv]alue|param-value|string|ParameterValue|default|[Dd]efault[Vv]alue)["\047]?[ \t]*(=>|[:=>])[ \t]*/)) return line
    out = substr(line, 1, RSTART + RLENGTH - 1); line = substr(line, RSTART + RLENGTH)
    word(line, out ~ />[ \t]*$/ ? "<" : "[,}\"\047]|[ \t]*$"); v = WORD
    if (v == "" || plain(v) || v ~ /^<masked/) return out line
    PAIR = 0
    return out QUOTE take(v) substr(line, length(QUOTE) + length(v) + 1)
}
# Calls that take a secret by its place among the arguments.
function calls(line,    out, m, place, rest_) {
    if (!index(line, "(")) return line
    out = ""
    while (match(line, /(mysqli?_p?connect|mysqli_real_connect|real_connect|new +mysqli|new +\\?PDO|new +\\?MongoClient|DBI->connect(_cached)?|DBI->connect|(MySQLdb|pymysql|mysql\.connector|cx_Oracle|oracledb|pymssql|MySQL)\.connect|Mysql2?::Client\.new|getConnection|new +Sequelize|createConnection|odbc_p?connect|oci_p?connect|oci_new_connect|sqlsrv_connect|mssql_p?connect|sybase_connect|ftp_login|ldap_bind|imap_open|ssh2_auth_password|ssh2_auth_pubkey_file|simple_bind(_s)?|bind_s|[Ll]ogin|HTTPBasicAuth|HTTPDigestAuth|basic_auth|basicAuth|http_basic_auth|setBasicAuth|authenticate|NetworkCredential|PasswordAuthentication|UsernamePasswordCredentials|http_basic_authenticate_with|auth|AUTH|set_?[Pp]assword|setPass|with[A-Z]?[a-zA-Z]*Password|[Pp]assword|set_?[Ss]ecret|set_?[Tt]oken|jwt\.(sign|encode|verify|decode)|JWT(::|\.)(encode|decode)|createHmac|hash_hmac|hmac\.new|cookieParser|cookieSession|openssl_(en|de)crypt|Fernet|URLSafeTimedSerializer|TimestampSigner|Signer|set_auth|setAuth|setCredentials|BasicAWSCredentials|AwsCredentials|StaticCredentials|Credentials|login_user|Authenticator|Net::SMTP\.start|AMQP[A-Za-z]*Connection|JedisPool|->credentials|authorization_basic|\.Bind|HMAC\.(hex|base64)?digest|Net::FTP\.(open|new)|ftplib\.FTP(_TLS)?|Mysql\.new|PlainAuth|SetBasicAuth|UserPassword|UsernamePasswordToken|UsernamePasswordAuthenticationToken) *\(/)) {
        m = substr(line, RSTART, RLENGTH)
        out = out substr(line, 1, RSTART + RLENGTH - 1); before_ = RSTART > 1 ? substr(line, RSTART - 1, 1) : ""; line = substr(line, RSTART + RLENGTH)
        if (before_ ~ /[A-Za-z0-9]/ && m ~ /^[a-z]/ && m !~ /^(login|auth|password|getC|createC)/) continue
        place = place_in(m)
        rest_ = at_argument(line, place)
        # A robot logs in with a token alone.
        if (rest_ == line && m ~ /[Ll]ogin/ && match(line, /^[ \t]*["\047][^"\047]+["\047]/) && random_looking(substr(line, RSTART + 1, RLENGTH - 2))) rest_ = at_argument(line, 1)
        line = rest_
    }
    return out line
}
function place_in(m) {
    if (m ~ /SMTP\.start|JedisPool/) return 5
    if (m ~ /AMQP|->credentials/) return 4
    if (m ~ /FTP\.(open|new)|ftplib|Mysql\.new|PlainAuth/) return 3
    if (m ~ /SetBasicAuth|UsernamePassword|\.Bind|HMAC|authorization_basic/) return 2
    if (m ~ /ftp_login|ldap_bind|imap_open|ssh2_auth_password|[Cc]onnect|new +mysqli|PDO|MySQL|Mysql|cx_Oracle|Sequelize|DriverManager|getConnection|createHmac|hash_hmac|openssl_|oci_|odbc_/) return m ~ /createHmac/ ? 2 : m ~ /odbc_|oci_|sqlsrv/ ? (m ~ /oci_/ ? 2 : 3) : m ~ /createConnection/ ? 0 : 3
    if (m ~ /[Ss]et_?[Pp]ass|withPassw|with[A-Z]|^[Pp]assword|[Ss]et_?([Ss]ecret|[Tt]oken)|cookie|Fernet|Serializer|Signer|hmac\.new|^auth|^AUTH/) return m ~ /^(auth|AUTH)/ ? -1 : 1
    if (m ~ /jwt|JWT/) return 2
    return 2
}
# Mask the argument at a place if it is a text; -1: the last one.
function at_argument(line, place,    n, i, c, start, depth, end, kept, ends) {
    if (!place) return line
    n = 1; i = 1; start = 1; depth = 0; kept = length(line); ends = 0
    while (i <= kept) {
        c = substr(line, i, 1)
        if (c ~ /["\047`]/) { end = closing(substr(line, i + 1), c); if (!end) break; i += end + 1; continue }
        if (c ~ /[({[]/) depth++
        if (c ~ /[])}]/ && --depth < 0) { ends = i; break }
        if (c == "," && !depth) {
            if (n == place) { ends = i; break }
            n++; start = i + 1
        }
        i++
    }
    if (!ends && n != place && place != -1) return line
    if (place > 0 && n != place) return line
    while (substr(line, start, 1) ~ /[ \t]/) start++
    word(substr(line, start), "^")
    if (QUOTE == "" || !CLOSED || WORD == "" || plain(WORD) || WORD ~ /^<masked/ || WORD ~ /^[A-Za-z]+:\/\// || WORD ~ /=/ && WORD ~ /[;&]|host|db/ || code_word(WORD)) return line
    return substr(line, 1, start + length(QUOTE) - 1) take(WORD) substr(line, start + length(QUOTE) + length(WORD))
}

# Calls without brackets, pairs for a login, and several names that get several values at once.
function together(line,    head, n, i, names_) {
    if (line ~ /basic_auth|login|authenticate/) line = after(line, "(basic_auth|login|authenticate)[ \t]+[\"\047][^\"\047]*[\"\047],[ \t]*", "")
    if (line ~ /auth["\047]?[ \t]*(=>|=|:)[ \t]*[(\[]/) line = after(line, "auth[\"\047]?[ \t]*(=>|=|:)[ \t]*[(\\[][ \t]*[\"\047][^\"\047]*[\"\047],[ \t]*", "")
    if (!match(line, /[$@A-Za-z0-9_]+[ \t]*,[$@A-Za-z0-9_, \t]*[])]?[ \t]*:?=[ \t]*[([]?[ \t]*["\047]/)) return line
    head = substr(line, 1, RSTART + RLENGTH - 2); line = substr(line, RSTART + RLENGTH - 1)
    n = split(substr(head, RSTART), names_, /[ \t]*[,=][ \t]*/)
    for (i = 1; i < n; i++) { gsub(/[^A-Za-z0-9_]/, "", names_[i]); if (secret(names_[i])) line = at_argument(line, i) }
    return head line
}

# --- names with their values -----------------------------------------------------------------------------------------

function named(line,    out, key, sep, value, m, kept, list, low) {
    out = ""
    low = tolower(line)
    HASNAMES = low ~ /pass|pwd|pw|secret|token|key|cred|auth|salt|psk|pepper|pin|otp|seed|community|cookie|webhook|nonce|sig|code/
    if (!HASNAMES && (CODE || !long_word(line))) return line
    COMMENT = line ~ /^[ \t]*(#|\/\/|\*|;|--|<!--|rem )/
    while (match(line, /[A-Za-z0-9_.-]+[]"\047\\)}$]*[ \t]*(=>|:=|\?=|\|\|=|===|==|!==|!=|=|::|:|,|\|\||\?\?|\?:|\/\/|[ \t])[ \t]*/)) {
        m = substr(line, RSTART, RLENGTH); key = m; sub(/[]"\047\\ \t=>:,)}|?!$\/].*$/, "", key); sep = substr(m, length(key) + 1)
        BEFORE = out substr(line, 1, RSTART - 1)
        out = BEFORE m; line = substr(line, RSTART + RLENGTH)
        if (line == "") { empty_value(key, sep, BEFORE); break }
        if (BEFORE ~ /arn:aws[^ \t]*:$/ || BEFORE ~ /:\/\/$/ && line ~ /^[^ \t\/]+@/) continue
        if (!secret(key) && !(BEFORE ~ /[?&]$/ && tolower(key) ~ /^(auth|key|sig|signature|pw)$/)) {
            if (!CODE && sep ~ /[=:]/ && sep !~ /==|::|!=/ ) {
                word(line, "[ \t\"\047`,;)&]"); value = WORD
                if ((random_looking(value) || of_some_key(key, value)) && !of_a_sum(key) && BEFORE !~ /:\/\/[^ \t"\047]*$/ && value !~ /^<masked/) { out = out QUOTE take(value); line = substr(line, length(QUOTE) + length(value) + 1) }
            }
            continue
        }
        value = value_of(key, sep, line)
        if (value == "" || value ~ /^<masked/) continue
        out = out LEAD take(value); line = substr(line, length(LEAD) + length(value) + 1)
        if (!CLOSED && !CODE && LEAD ~ /["\047]/) { OPENED = LEAD; sub(/^[^"\047]*/, "", OPENED); OPENLINES = 0 }
        if (!CODE && value ~ /\\$/ && LEAD == "") CONTINUED = 1
    }
    return out line
}
function long_word(line) { return line ~ /[A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-][A-Za-z0-9+\/_-]/ }
function of_a_sum(key) { return tolower(key) ~ /(sha[0-9]*|md5|sum|hash|digest|integrity|commit|revision|rev|ref|version|etag|fingerprint|thumbprint|uuid|guid|id|checksum|build|release|tag|image|machine|boot|git|head|path|file|url|certificate|cert|certificate-authority-data|client-certificate-data|ca|public|pub|pubkey|public_?key|resolved|reference|algorithm|alg|method|ciphers?|protocols?|type|serial|pin-sha256|name|class|user|host|domain|bucket|zone|p|v|ssh-rsa|ssh-ed25519)$/ }
# What stands behind the name and is secret; LEAD is the quote before it.  "" for what is none.
function value_of(key, sep, line,    value, tag) {
    LEAD = ""; CLOSED = 1
    # "userPassword:: x" of LDIF
    if (sep ~ /::/ && (CODEY || sep !~ /^::[ \t]+$/ || BEFORE !~ /^[ \t]*$/)) return ""
    # "X-Auth:\ x", as one word of a shell
    if (!CODE && match(line, /^\\[ \t]+((Bearer|Basic|Token)\\[ \t]+)?/)) { value = substr(line, 1, RLENGTH); LEAD = value_of(key, sep, substr(line, RLENGTH + 1)) == "" ? "" : value LEAD; return LEAD == "" ? "" : WORD }
    # Erlang: {password, <<"x">>} and {password, "x"}
    if (line ~ /^<<"/ || BEFORE ~ /\{[ \t]*$/ && sep ~ /^,/ && line ~ /^"/) { tag = line ~ /^<</ ? "<<" : ""; word(substr(line, length(tag) + 1), "^"); LEAD = tag QUOTE; return CLOSED && !plain(WORD) ? WORD : "" }
    # "--password", "x": a command as a list of words
    if (key ~ /^--?[A-Za-z]/ && sep ~ /^\\?["\047],[ \t]*$/ && line ~ /^\\?["\047]/) { word(line, "^"); LEAD = QUOTE; return CLOSED && !plain(WORD) && WORD !~ /^-/ ? WORD : "" }
    # curl_setopt($c, CURLOPT_USERPWD, "user:x")
    if (key ~ /USERPWD$/ && sep ~ /^,/ && line ~ /^["\047][^"\047]*:/) { word(line, "^"); LEAD = QUOTE substr(WORD, 1, index(WORD, ":")); value = substr(WORD, index(WORD, ":") + 1); return plain(value) ? "" : value }
    # getenv("SECRET_KEY", default="x")
    if (sep ~ /^["\047],/ && match(line, /^(default|fallback|defaultValue)[ \t]*[=:][ \t]*["\047]/)) { tag = substr(line, 1, RLENGTH - 1); word(substr(line, RLENGTH), "^"); LEAD = tag QUOTE; return plain(WORD) || code_word(WORD) ? "" : WORD }
    # os.environ.get("API_TOKEN") or "x"
    if (CODEY && sep ~ /[])][ \t]*$/ && match(line, /^or[ \t]+["\047]/)) { tag = substr(line, 1, RLENGTH - 1); word(substr(line, RLENGTH), "^"); LEAD = tag QUOTE; return CLOSED && !plain(WORD) && !code_word(WORD) ? WORD : "" }
    # set :session_secret, "x"
    if (CODEY && sep ~ /^,/ && BEFORE ~ /(^|[ \t])(set|config|default)[ \t]+:$/ && line ~ /^["\047]/) { word(line, "^"); LEAD = QUOTE; return CLOSED && !plain(WORD) && !code_word(WORD) ? WORD : "" }
    # if ($arg_token != x) of nginx
    if (sep ~ /[!=]=/ && !CODEY && BEFORE ~ /if[ \t]*\([ \t]*\$$/ && line !~ /^["\047]/) { word(line, "[ \t)]"); return plain(WORD) ? "" : WORD }
    if (!CODE && line ~ /^\\[ \t\r]*$/) { CONTINUED = 1; return "" }
    if (sep ~ /^[ \t]+$/) return spaced_value(key, line)
    if (sep ~ /,/ && (sep !~ /["\047]/ || BEFORE !~ /\([ \t]*[bru]?\\?["\047]$/)) return ""
    # ${DB_PASSWORD:=x} and ${DB_PASSWORD=x} of shells, ${DB_PASSWORD:x} of Spring
    if (BEFORE ~ /\$\{[!#]?$/ && (sep ~ /^:?=$/ || sep == ":" && line !~ /^[-=?+ ]/)) { value = line; sub(/\}.*$/, "", value); return plain(value) || value ~ /^-?[0-9]+(:-?[0-9]+)?$/ ? "" : value }
    if (BEFORE ~ /\$\{[!#]?$/ && sep ~ /^:[ \t]*$/ && line ~ /^[-=]/) { LEAD = substr(line, 1, 1); value = substr(line, 2); sub(/\}.*$/, "", value); return plain(value) ? "" : value }
    if (BEFORE ~ /\$\{[!#]?$/ || BEFORE ~ /%\($/) return ""
    # "lists" has taken what stands in brackets.
    if (line ~ /^[({[]/ && line ~ /["\047]/ && sep !~ /,/) return ""
    # "password: &anchor x", "password: !!str x"
    tag = ""
    if (!CODE && sep ~ /:[ \t]*$/ && match(line, /^(&[A-Za-z0-9_-]+|!!str)[ \t]+/)) { tag = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1) }
    word(line, stops_of(key, sep)); LEAD = tag QUOTE; value = WORD
    if (!CLOSED && value == "" && !CODE && !COMMENT) { OPENED = QUOTE; sub(/^[^"\047]*/, "", OPENED); OPENLINES = 0; return "" }
    if (tolower(key) == "setcredential" && index(value, ":")) { LEAD = LEAD substr(value, 1, index(value, ":")); return substr(value, index(value, ":") + 1) }
    if (QUOTE != "") return quoted_value(key, sep, value)
    if (CODEY && QUOTE == "" && (sep == "=" || sep ~ /^:[ \t]+$/ && (key ~ /-/ || tolower(key) == "authorization")) && within_text(BEFORE)) return in_text(value)
    if (CODEY && !COMMENT) return value ~ /^[0-9]+[;,]?$/ && length(value) >= 6 && sep ~ /[=:]/ ? value : ""
    if (sep ~ /==|!=|\|\||\?|\/\/|,/ && sep !~ /\?=/) return ""
    # "A=x B=y" are two.
    if (WHOLE && line !~ /^[^ \t]+[ \t]+[A-Za-z_][A-Za-z0-9_.-]*=/) { value = line; sub(/[ \t\r]+$/, "", value) }
    if (tolower(key) ~ /authorization$/ && match(value, /^(Bearer|Basic|Token|Digest|ApiKey|OAuth|AWS4-HMAC-SHA256)[ \t]+/)) { LEAD = tag substr(value, 1, RLENGTH); value = substr(value, RLENGTH + 1); sub(/["\047].*$/, "", value) }
    return unquoted_value(key, sep, value, line)
}
# Stands a place of code in the middle of a text?
function within_text(before,    n) {
    gsub(/\\["\047`]/, "", before)
    if (index(before, "\"")) { n = before; if (gsub(/"/, "", n) % 2) return 1 }
    if (index(before, "\047")) { n = before; if (gsub(/\047/, "", n) % 2) return 1 }
    return 0
}
# "host=db1 user=u password=x" as an argument: of such settings even a word of letters is one.
function in_text(value) {
    sub(/[&;,)].*$/, "", value)
    if (match(value, /^(Bearer|Basic|Token|Digest|ApiKey) +/)) { LEAD = substr(value, 1, RLENGTH); value = substr(value, RLENGTH + 1) }
    if (plain(value) || value ~ /^[:?+.]/ || code_word(value)) return ""
    return strong(value) || tolower(BEFORE) ~ /(host|server|user|uid|user id|dbname|database|port)=[^=]*[ ;,&]$/ ? value : ""
}
# Where a value without quotes ends: at the end of its line, of the text around it, of its query.
function stops_of(key, sep,    quote) {
    WHOLE = 0
    if (BEFORE ~ /[?&]$/) return "[&#; \t\"\047<>`)]"
    if ((BEFORE ~ /[A-Za-z0-9],$|[ \t]-o[ \t]*$/ || BEFORE ~ /--set(-string)?[= \t][^ \t]*$/) && KIND != "code") return "[, \t\"\047]"
    quote = substr(BEFORE, length(BEFORE))
    if (quote ~ /["\047]/ && sep !~ /["\047]/ && sep ~ /:[ \t]*$/) return quote
    if (quote ~ /["\047]/ && sep !~ /["\047]/ && BEFORE ~ /(^|[ \t=])["\047]$/ && KIND ~ /units/) return quote
    if (BEFORE ~ /\{[^}]*$/ && sep ~ /:/ && KIND == "text") return "[,}\"\047 \t]"
    if (BEFORE ~ /^[ \t]*(export |declare (-x )?|set |SetEnv |env |- |local |readonly |ENV |setenv )*["\047]?$/ && sep ~ /[=:]/ && BEFORE !~ /[ \t]--?[A-Za-z]/ && KIND != "units" && KIND != "processes") { WHOLE = !COMMENT && !CODEY && sep !~ /["\047]/; return "[ \t\"\047)]" }
    return "[ \t\"\047`;)]"
}
function quoted_value(key, sep, value,    call) {
    if (plain(value) || tolower(value) == tolower(key)) return ""
    if (QUOTE ~ /`/ && !CODEY) return CLOSED && strong(value) && value !~ /[ \t\/$|]/ ? value : ""
    if (!CLOSED && (CODE || COMMENT || value ~ /^[.,;:)]/)) return CODE && CUT ? value : ""
    if (tolower(key) ~ /authorization$/ && match(value, /^(Bearer|Basic|Token|Digest|ApiKey|OAuth)[ \t]+/)) { LEAD = LEAD substr(value, 1, RLENGTH); value = substr(value, RLENGTH + 1); return plain(value) ? "" : value }
    if (sep ~ /==|!=/) return strong(value) && value !~ /^[A-Z_]+$/ ? value : ""
    if (sep ~ /,/) {
        call = BEFORE; sub(/[ \t]*\([ \t]*[bru]?\\?["\047]$/, "", call); sub(/^.*[^A-Za-z_]/, "", call)
        if (tolower(call) ~ /set|put|add|write|define|env|config|property|const|get|fetch|default|header|param|append|string/) return code_word(value) && tolower(call) !~ /define|setenv|putenv/ ? "" : value
        return strong(value) && !code_word(value) ? value : ""
    }
    if (OF_PACKAGES && value ~ /^[\^~<>=v ]*[0-9]+(\.[0-9x*]+)*/) return ""
    return (CODE || CODEY) && code_word(value) ? "" : value
}
function unquoted_value(key, sep, value, line,    single) {
    sub(/[ \t\r]+$/, "", value)
    if (tolower(key) ~ /[_.-]auth$/ && !strong(value)) return ""
    if (prose(value) && tolower(value) ~ /pass(word|phrase)|secret|token/) return ""
    if (plain(value) || value ~ /^["\047]/ || sep ~ /^[^=:]*$/) return ""
    if (tolower(key) ~ /^passwd$/ && value ~ /^(files|compat|db|nis|ldap|sss|systemd|winbind|cache)/) return ""
    if (OF_PACKAGES && value ~ /^[\^~<>=v ]*[0-9]+(\.[0-9x*]+)+/) return ""
    if (value ~ /^[A-Za-z_]+\(.*\)$/ || value ~ /^\[.*\]$/ && value !~ /["\047]/ && KIND == "code") return ""
    single = line !~ /^[^ \t]+[ \t]+[^ \t#;]/
    if ((COMMENT || KIND == "code") && !single) return strong(value) ? value : ""
    if (COMMENT && prose(line)) return ""
    return value
}
# "requirepass x", "fastcgi_param NAME "x";", "--password x"
function spaced_value(key, line,    head) {
    if (BEFORE ~ /-$/ || key ~ /^--?[A-Za-z]/ && BEFORE ~ /(^|[ \t"\047(,])$/) {
        if (line ~ /^-/ || CODEY && line !~ /^["\047]/) return ""
        word(line, "[ \t\"\047`;|)]"); LEAD = QUOTE
        return plain(WORD) || prose(line) && COMMENT ? "" : WORD
    }
    if (CODEY || BEFORE !~ /(^|[{;])[ \t]*([A-Za-z_.-]+[ \t]+)*$/ && BEFORE !~ /(^|[{;])[ \t]*set[ \t]+\$$/ && line !~ /^["\047]/) return ""
    head = BEFORE; sub(/^.*[{;]/, "", head)
    if (line ~ /^["\047]/) {
        if (COMMENT && head ~ /[a-z] [a-z]+ [a-z]+/) return ""
        word(line, "^"); LEAD = QUOTE
        if (!CLOSED || plain(WORD) || prose(WORD) || tolower(WORD) == tolower(key)) return ""
        if (match(WORD, /^(Bearer|Basic|Token|Digest|ApiKey) +/)) { LEAD = LEAD substr(WORD, 1, RLENGTH); return substr(WORD, RLENGTH + 1) }
        return WORD
    }
    sub(/^[ \t]*(#[ \t]*)?/, "", head)
    if (split(head, heads_, /[ \t]+/) > 2 && head !~ /^[ \t]*$/ || KIND == "processes") return ""
    word(line, "[ \t;}]")
    if (tolower(key) ~ /[_.-]auth$/ && !strong(WORD)) return ""
    if (line !~ /^[^ \t;]+[ \t\r]*([;}].*)?$/ || plain(WORD) || WORD ~ /^[=:,(]/ || (COMMENT && !strong(WORD) && head !~ /^[ \t]*$/)) return ""
    if (key !~ /[_-]|pass|pw|secret|token|auth|community|psk|Pass|PASS|Secret|Token/) return ""
    return WORD
}
# Nothing behind the name on this line: what is below it, deeper, belongs to it.
function empty_value(key, sep, before,    indent) {
    if (CODE || sep !~ /:|=/ || !secret(key)) return
    if (before !~ /^[ \t]*(- )?["\047]?$/) return
    match(before, /^[ \t]*/); INDENT = RLENGTH
    if (sep ~ /=[ \t]*$/) return
    BELOW = key
}
# Texts in brackets behind the name of secrets: ["x", "y"], {"alice": "x"}
function lists(line,    out, rest, end, m) {
    if (!match(line, /[A-Za-z0-9_.-]+[]"\047]*[ \t]*(=>|[:=])[ \t]*[({[]/)) return line
    m = substr(line, RSTART, RLENGTH); sub(/[]"\047 \t:=].*$/, "", m)
    if (!secret(m) || tolower(m) ~ /^secrets$/ && line ~ /:[ \t]*\[/) return line
    out = substr(line, 1, RSTART + RLENGTH - 1); line = substr(line, RSTART + RLENGTH)
    while (match(line, /["\047]/)) {
        out = out substr(line, 1, RSTART - 1); line = substr(line, RSTART)
        word(line, "^")
        if (!CLOSED) break
        rest = substr(line, 2 + length(WORD) + length(QUOTE))
        end = rest ~ /^[ \t]*(:|=>)/ || plain(WORD) || code_word(WORD) || WORD ~ /^<masked/
        out = out QUOTE (end ? WORD : take(WORD)) substr(QUOTE, length(QUOTE)); line = rest
    }
    return out line
}

# --- what lies on several lines --------------------------------------------------------------------------------------

# "" where no value goes on here.
function going_on(line,    indent, body, end, key) {
    if (CONTINUED) { CONTINUED = line ~ /\\[ \t\r]*$/; return indented(line) }
    if (OPENED != "") {
        end = closing(line, OPENED)
        if (!end && (++OPENLINES > 40 || line ~ /^[ \t]*$/ && OPENLINES > 1 || line ~ /^[A-Za-z_][A-Za-z0-9_]*=/)) OPENED = ""
        else {
            body = end ? substr(line, 1, end - 1) : line
            if (end) OPENED = ""
            return indented(body) (end ? substr(line, end) : "")
        }
    }
    if (INELEMENT != "") {
        if (line ~ /^[ \t]*<\//) { INELEMENT = ""; return "" }
        end = index(line, "</"); body = end ? substr(line, 1, end - 1) : line
        if (end || body ~ /</) INELEMENT = ""
        return body ~ /</ ? "" : indented(body) (end ? substr(line, end) : "")
    }
    if (BELOW == "") return ""
    match(line, /^[ \t]*/); indent = RLENGTH
    if (line ~ /^[ \t\r]*$/) return ""
    if (indent < INDENT || indent == INDENT && line !~ /^[ \t]*- / || line ~ /^[ \t]*[]#}]/) { BELOW = ""; return "" }
    if (BLOCK) return indented(line)
    return below(line)
}
function indented(line,    head) {
    match(line, /^[ \t]*/); head = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1)
    sub(/\r$/, "", line)
    return line == "" ? head "" : head taken(line)
}
# A value, an item, or "who: value" below the name of secrets.
function below(line,    head, v) {
    if (match(line, /^[ \t]*- +/)) {
        head = substr(line, 1, RLENGTH); v = substr(line, RLENGTH + 1)
        if (v ~ /^[A-Za-z_-]+:([ \t]|$)/ || tolower(BELOW) ~ /secrets$/ && v ~ /^[A-Za-z_-]+$/) return ""
        return head taken(v)
    }
    if (match(line, /^[ \t]*["\047]?[A-Za-z0-9_.@-]+["\047]?[ \t]*:([ \t]+|$)/)) {
        head = substr(line, 1, RLENGTH); v = substr(line, RLENGTH + 1)
        if (v == "" || v ~ /^[|>]/ || tolower(head) ~ /(file|name|key|external|type|path|environment|driver|kind|source|target|version|length|min|max|enabled|expiry|ttl|url|ref|labels|mode|uid|gid|policy|algorithm|provider|required|description|format|timeout|host|port|user|username)["\047]?[ \t]*:/) return ""
        word(v, "[ \t]+#|,?[ \t\r]*$"); v = WORD
        if (plain(v) || v ~ /^[{&*[]/ || v ~ /^<masked/) return ""
        return head QUOTE take(v) substr(line, length(head) + length(QUOTE) + length(v) + 1)
    }
    return line ~ /[ \t]*[A-Za-z0-9_-]+[ \t]*=/ || line ~ /^[ \t]*[({<[]/ || line ~ /;[ \t]*$/ ? "" : indented(line)
}
function begins_block(line,    key) {
    if (!match(line, /^[ \t]*(- )?["\047]?[A-Za-z0-9_.-]+["\047]?:[ \t]+(![a-z]+[ \t]+)?[|>][0-9+-]*[ \t]*(#.*)?\r?$/)) return 0
    key = line; sub(/^[ \t]*(- )?["\047]?/, "", key); sub(/["\047]?:.*$/, "", key)
    if (!secret(key)) return 0
    match(line, /^[ \t]*/); INDENT = RLENGTH; BELOW = key; BLOCK = 1
    return 1
}
# "expect assword:", then "send x"
function dialogue(line) {
    if (line ~ /assword/ && line ~ /expect/) ASKED = 3
    if (ASKED && line ~ /(^|[ \t{;"])send(line|-user)?[ \t]/) { ASKED = 0; return answered(line) }
    if (ASKED) ASKED--
    return line
}
function answered(line,    head, v) {
    if (!match(line, /(^|[ \t{;"])send(line)?[ \t]+(--[ \t]+)?["{]?/)) return line
    head = substr(line, 1, RSTART + RLENGTH - 1); v = substr(line, RSTART + RLENGTH)
    sub(/["}].*$/, "", v); sub(/(\\[rn])+$/, "", v)
    return v == "" || plain(v) ? line : head take(v) substr(line, length(head) + length(v) + 1)
}

# --- a line ----------------------------------------------------------------------------------------------------------

# map $http_x_api_key $known { "x" 1; }: what clients must send
function of_a_map(line,    head, v) {
    if (match(line, /map[ \t]+"?\$(http|arg|cookie)_[A-Za-z0-9_]+"?[ \t]+\$[A-Za-z0-9_]+[ \t]*\{/)) {
        head = substr(line, 1, RSTART + RLENGTH - 1); v = head; sub(/^.*map[ \t]+"?\$/, "", v); sub(/[" \t].*$/, "", v); sub(/^cookie_.*$/, "", v)
        MAPPED = secret(v)
        return MAPPED ? head of_a_map(substr(line, length(head) + 1)) : line
    }
    if (match(line, /^[ \t]*(default|include|hostnames|volatile)[ \t;][^;]*;?/)) { head = substr(line, 1, RLENGTH); return line == head ? line : head of_a_map(substr(line, RLENGTH + 1)) }
    if (index(line, "}") && line ~ /^[ \t]*\}/) { MAPPED = 0; return line }
    if (!match(line, /^[ \t]*["\047]?[^ \t"\047~$;{}#][^ \t"\047;{}]*["\047]?[ \t]+[^; \t]+;/)) return line
    match(line, /^[ \t]*/); head = substr(line, 1, RLENGTH); word(substr(line, RLENGTH + 1), "[ \t]"); head = head QUOTE; v = WORD
    line = substr(line, length(head) + length(v) + 1)
    match(line, /;/)
    return head (plain(v) ? v : take(v)) substr(line, 1, RSTART) of_a_map(substr(line, RSTART + 1))
}
function scan(line,    done, rest, trimmed) {
    done = CODE ? "" : going_on(line)
    if (done != "") return done
    done = of_a_key(line)
    if (done != "") return done
    if (INPUBLIC) return line
    BLOCK = 0
    if (!CODE && begins_block(line)) return line
    BELOW = ""
    if (LOGINS) line = of_logins(line)
    if (MAPPED || line ~ /map[ \t].*\$(http|arg)_/) line = of_a_map(line)
    if (index(line, "=") || index(line, ":") || index(line, " ") || index(line, "<") || index(line, "(")) {
        if (!CODE || !CODEY) line = commands(line)
        line = elements(line)
        if (KIND == "text" || CODE) line = pairs(line)
        if (CODE || CODEY || index(line, "NetworkCredential(")) line = calls(line)
        if (CODE || CODEY) line = together(line)
        if (CODEY && line ~ /@(tcp|udp|unix)\(|@\/\//) line = before_at(line)
        line = lists(line)
        line = named(line)
        line = urls(line)
        line = dialogue(line)
    } else if (ASKED || PAIR) line = pairs(line)
    line = forms(line)
    return KIND == "text" ? bare(line) : line
}
# A line that is nothing but something random.
function bare(line,    v, head, tail) {
    if (line !~ /^[ \t"\047-]*[A-Za-z0-9+\/_=.~-]+["\047,; \t\r]*$/ || OF_SUMS) return line
    match(line, /^([ \t]*-[ \t]+|[ \t])*["\047]*/); head = substr(line, 1, RLENGTH); v = substr(line, RLENGTH + 1)
    if (match(v, /["\047,; \t\r]+$/)) { tail = substr(v, RSTART); v = substr(v, 1, RSTART - 1) }
    return random_looking(v) || length(v) >= 24 && v ~ /^([a-z]+|[A-Z]+)$/ ? head take(v) tail : line
}
# A line of code: "name:number:text".
function scan_code(line,    head) {
    CUT = length(line) >= 1998
    head = ""
    if (match(line, /^[^:]*:[0-9]+:/)) { head = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1) }
    else if (line ~ /^=\t/) return line
    CODEY = is_program(head == "" ? "" : substr(head, 1, index(head, ":") - 1))
    INKEY = INPUBLIC = ASKED = PAIR = 0; INELEMENT = ""
    return head shortened(scan(line))
}
# Evidence needs no more of a line; a mask is not cut.
function shortened(line,    at, rest) {
    if (length(line) <= 400) return line
    rest = substr(line, 385, 60); line = substr(line, 1, 400)
    if (match(line, /<masked[^>]*$/) || match(line, /<(m|ma|mas|mask|maske|masked)?$/)) return substr(line, 1, RSTART - 1)
    return line
}
function is_program(path) { return path ~ /\.(py|rb|js|jsx|ts|tsx|mjs|cjs|vue|php[0-9]?|phtml|inc|ctp|pl|pm|t|cgi|java|go|c|h|cc|cpp|cs|scala|kt|lua|ex|exs|erl|twig|erb|haml|slim|html?|css|scss|sass|less|tt|tmpl|ejs|hbs|mustache|rs|swift|groovy|dart|rake|jsp|psgi|po|pot|md|rst|txt)$/ }
function scan_cells(line,    n, i, out, cells_) {
    if (!index(line, "\t")) return scan(line)
    n = split(line, cells_, "\t"); out = ""
    for (i = 1; i <= n; i++) out = out (i > 1 ? "\t" : "") (length(cells_[i]) > 5 ? scan(cells_[i]) : cells_[i])
    return out
}
# Does a known value perhaps begin somewhere in a line?  Of many values, looking for each would cost more.
function perhaps(line,    i, n) {
    if (known < 40) return known
    n = length(line) - 3
    for (i = 1; i <= n; i++) if (substr(line, i, 4) in beginning) return 1
    return 0
}
function everywhere(line,    i, at, v, out, edge) {
    if (!perhaps(line)) return line
    for (i = 1; i <= known; i++) {
        v = values[i]
        if (!index(line, v)) continue
        out = ""
        while ((at = index(line, v))) {
            edge = whole[v] && (at > 1 && substr(line, at - 1, 1) ~ /[A-Za-z0-9_]/ || at == 1 && out ~ /[A-Za-z0-9_]$/ || substr(line, at + length(v), 1) ~ /[A-Za-z0-9_]/)
            out = out substr(line, 1, at - 1) (edge ? v : "<masked\002" fingerprint[v] ">"); line = substr(line, at + length(v))
        }
        line = out line
    }
    return line
}
function shown(line) { line = everywhere(line); gsub(/<masked\002/, "<masked:", line); return line }
# Distinct enough to be looked for where nothing says that it is a secret?
function distinct(v) {
    if (v ~ /^[0-9.:-]+$/) return length(v) >= 12 && v ~ /^[0-9]+$/
    if (v ~ /^[A-Za-z]+$/) return length(v) >= 20 || length(v) >= 12 && v ~ /[a-z][A-Z]/
    if (v ~ /^[A-Za-z]+[ _.-][A-Za-z]+$/) return length(v) >= 14
    return length(v) >= 6
}
function begins(head,    path) {
    INKEY = INPUBLIC = INPUTTY = BLANKS = ASKED = PAIR = CONTINUED = BLOCK = MAPPED = 0; BELOW = VALUED = OPENED = INELEMENT = ""
    KIND = substr($1, 2); CODE = KIND == "code"; CODEY = LOGINS = OF_SUMS = OF_PACKAGES = CUT = 0; BASE = ""
    QUIET = KIND ~ /^(missing|initd|started|open|sockets|sysctl|spool|end)$/
    if (KIND != "text") return
    path = head; sub(/^@text [^ ]* /, "", path); BASE = tolower(path); sub(/^.*\//, "", BASE)
    CODEY = is_program(path) && path !~ /\.(txt|md|inc|t)$/
    LOGINS = BASE ~ /(htpasswd|htdigest|passwd|password|sasl|pgpass|psk|secret|credential|^\.?auth|users?(\.|$|_|-)|users$|accounts?(\.|$)|logins?(\.|$)|chap|^pap|\.pw$|[_.-]key(\.txt)?$|master\.key|cookie$)/ && BASE !~ /\.(ya?ml|json|xml|toml|php|py|rb|js|sh|service)$/ && path !~ /\/pam\.d\/|nsswitch|default\/useradd|adduser|login\.defs/
    WORDS_ONLY = BASE ~ /^users|accounts|logins|^passwd$/
    OF_SUMS = BASE ~ /(^|[._-])(revision|head|commit|version|build|release|sha[0-9]*|md5|sums?|sha[0-9]*sums?|checksums?|digest|hash|fingerprint|etag|machine-id|.*-id|integrity|lock)([._-]|$)/ || BASE ~ /\.lock$|-lock\.|\.sum$|known_hosts|authorized_keys|\.pub$/
    OF_PACKAGES = BASE ~ /^(package(-lock)?\.json|npm-shrinkwrap\.json|composer\.(json|lock)|.*\.lock|gemfile.*|requirements.*|go\.(mod|sum)|pipfile.*|yarn\.lock|pyproject\.toml)$/
}
BEGIN {
    n_ = split("yes no true false on off none null nil undef undefined required optional sufficient requisite include self str string text int bool boolean bytes any all always never ask prompt auto default disabled enabled empty unset crypt hidden password passwd token secret bearer basic digest negotiate kerberos gssapi peer trust ident reject md5 scram-sha-256 scram-sha-1 sha1 sha256 sha512 sha-256 sha-512 bcrypt argon2 argon2id scrypt pbkdf2 yescrypt aes-256-cbc rs256 hs256 es256 plain login cram-md5 xoauth2 no-password without-password prohibit-password forced-commands-only private public shared system local files allow deny warn info debug hashed encrypted redacted masked filtered changeit_not prod os full minor major minimal", words_, " ")
    for (i_ = 1; i_ <= n_; i_++) ORDINARY[words_[i_]] = 1
    n_ = split("required hashed confirmed nullable email text input string varchar char username user name password_hash submit button form label id value type class data post get session request hidden checkbox admin login logout reset forgot change update create delete index show edit store json xml html api web guard users provider eloquent bearer basic post_logout encrypt decrypt utf localhost root", words_, " ")
    for (i_ = 1; i_ <= n_; i_++) CODE_WORDS[words_[i_]] = 1
    FS = " "
}
MODE == "mask" && !mapped {
    if ($0 == "\001") { mapped = 1; next }
    v = substr($0, 18); fingerprint[v] = substr($0, 1, 16)
    if (distinct(v)) { values[++known] = v; beginning[substr(v, 1, 4)] = 1; whole[v] = length(v) < 10 || v ~ /^[A-Za-z]+$/ }
    next
}
MODE == "mask" && $0 == "\002" { SCANS = 1; next }
MODE == "mask" && !SCANS { print shown($0); next }
/^@/ { begins($0); if (MODE == "mask") print shown($0); next }
QUIET { if (MODE == "mask") print shown($0); next }
{
    # Known values first: what a line alone would take for a part of one is masked as a whole.
    line = substr($0, 2)
    # Windows ends lines so; it belongs to no value.
    ending = sub(/\r$/, "", line) ? "\r" : ""
    if (MODE == "mask") line = everywhere(line)
    line = CODE ? scan_code(line) : KIND == "text" || KIND == "units" ? scan(line) : scan_cells(line)
    # Until here a mask has no colon that could be taken for one of the text's own.
    gsub(/<masked\002/, "<masked:", line)
    if (MODE == "mask") print "|" line ending
}
