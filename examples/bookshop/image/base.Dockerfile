# The lower storey: operating system and packages; changes rarely.
ARG DEBIAN
FROM ${DEBIAN}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      gunicorn python3-flask python3-psycopg2 python3-boto3 nginx-light >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
 && useradd -r -d /srv/bookshop -s /usr/sbin/nologin bookshop
