"""Which environment variables are read by others than a service's own code: languages, frameworks,
libraries, agents and the operating system.

Own code that names none of them says nothing about whether they are needed.
"""

from __future__ import annotations

import re

_NAMES = (
    # the operating system, systemd and the C library
    r"LANG|LANGUAGE|LC_\w+|TZ|PATH|HOME|USER|LOGNAME|SHELL|PWD|TMPDIR|TERM|XDG_\w+|LD_\w+",
    r"INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_\w+|NOTIFY_SOCKET|LISTEN_\w+|MEMORY_PRESSURE_\w+",
    r"MALLOC_\w+|GLIBC_\w+|SSL_CERT_\w+|OPENSSL_\w+|CURL_\w+|FONTCONFIG_\w+|MAGICK_\w+",
    # what many programs agree upon
    r"\w*ENV|\w*ENVIRONMENT|DEBUG|(?:\w+_)?LOG_?LEVEL|(?:\w+_)?LOG|HOST|PORT|BIND",
    r"\w+_PROXY|\w+_proxy|\w+_DSN|\w+_OPTS|\w+_OPTIONS|APP_\w+|WEB_CONCURRENCY|\w+_MAX_THREADS",
    r"\w*(?:DATABASE|DB|REDIS|AMQP|RABBITMQ|BROKER|MONGO|MONGODB|MEMCACHED?|SMTP|MAILER)_UR[LI]",
    # languages and their servers
    r"NODE_\w+|NPM_\w+|npm_\w+|UV_\w+|NEXT_\w+|NUXT_\w+|PM2_\w+|PUPPETEER_\w+|PLAYWRIGHT_\w+",
    r"PYTHON\w*|DJANGO_\w+|FLASK_\w+|CELERY_\w+|GUNICORN_\w+|UVICORN_\w+|UWSGI_\w+|REQUESTS_\w+",
    r"OMP_\w+|OPENBLAS_\w+|MKL_\w+|RAILS_\w+|RACK_\w+|RUBY\w*|BUNDLE_\w+|GEM_\w+|PUMA_\w+",
    r"SIDEKIQ_\w+|SECRET_KEY_BASE|PHP\w*|COMPOSER_\w+|SYMFONY_\w+|PERL\w+|PLACK_\w+",
    r"JAVA_\w+|_JAVA_\w+|JVM_\w+|CATALINA_\w+|SPRING_\w+|QUARKUS_\w+|MICRONAUT_\w+|LOGGING_\w+",
    r"GO\w+|GIN_\w+|RUST_\w+|ROCKET_\w+|ASPNETCORE_\w+|DOTNET_\w+|COMPlus_\w+|MIX_\w+|ERL_\w+",
    r"ELIXIR_\w+|PHX_\w+|RELEASE_\w+",
    # clients of databases and clouds, and what watches a service
    r"PG[A-Z]+|MYSQL_\w+|REDIS_\w+|KAFKA_\w+|ORACLE_\w+|NLS_\w+|TNS_ADMIN|ODBC\w+",
    r"AWS_\w+|GOOGLE_\w+|AZURE_\w+|SENTRY_\w+|OTEL_\w+|DD_\w+|DATADOG_\w+|NEW_?RELIC_\w+",
    r"ELASTIC_\w+|ROLLBAR_\w+|BUGSNAG_\w+|HONEYBADGER_\w+|AIRBRAKE_\w+|STATSD_\w+|SCOUT_\w+",
)
_READ_BY_OTHERS = re.compile("|".join(_NAMES))


def read_by_others(name: str) -> bool:
    """May something besides the service's own code read it?"""
    return _READ_BY_OTHERS.fullmatch(name) is not None
