# The upper storey: the release's code and static files; changes with every release.
ARG BASE
FROM ${BASE}
COPY nginx.conf /etc/nginx/nginx.conf
COPY release/ /srv/bookshop/
WORKDIR /srv/bookshop
CMD ["gunicorn", "--workers", "3", "--bind", "127.0.0.1:8000", "--graceful-timeout", "20", "bookshop.web:app"]
