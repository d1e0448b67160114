# kirikae and its project file; build it beside kirikae's wheel:  docker build -t {{ image }} .
FROM python:3.11-slim
WORKDIR /kirikae
COPY kirikae-*.whl ./
RUN pip install --no-cache-dir ./kirikae-*.whl && rm ./kirikae-*.whl \
 && useradd --uid 1000 --no-create-home driver
COPY kirikae.yml ./
USER 1000:1000
ENTRYPOINT ["kirikae", "--project", "/kirikae/kirikae.yml"]
