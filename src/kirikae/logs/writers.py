"""What makes the old writer write both trees: configuration as text, for a person to put in.  Pure.

fluentd: "copy output plugin", "Config: Buffer Section"; Fluent Bit: "Amazon S3" output; Vector:
"AWS S3 sink"; rsyslog: "Templates" (``date.inUTC``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.logs.errors import NoLayout
from kirikae.logs.layout import Layout
from kirikae.logs.trees import S3

_STRFTIME_AND_REST = re.compile("(%[YmdHM])")
_NAMES = {
    "%Y": "year",
    "%m": "month",
    "%d": "day",
    "%H": "hour",
    "%M": "minute",
}


def double_on(
    writer: str,
    url: str,
    layout: Layout,
    region: str,
    tag: str = "access",
) -> str:
    """The second output.  Raises NoLayout for a writer that cannot do it."""
    makers = {
        "fluentd": _fluentd,
        "fluent-bit": _fluent_bit,
        "vector": _vector,
        "rsyslog": _rsyslog,
    }
    if writer not in makers:
        raise NoLayout(
            f"`writer: {writer}` writes one tree only, or is not known here; "
            f"`logs double` knows {', '.join(makers)}"
        )
    return makers[writer](
        url,
        layout,
        region,
        tag,
    )


def double_off(writer: str) -> str:
    """What is taken out again."""
    return {
        "fluentd": "remove the second <store ignore_error>; empty its buffer first (SIGUSR1)",
        "fluent-bit": "remove the second [OUTPUT] s3 with alias kirikae_utc",
        "vector": "remove the sink kirikae_utc; Vector empties its buffer when it is reloaded",
        "rsyslog": "remove the action with the template kirikae_utc",
    }.get(writer, "remove the second output")


def _bucket(url: str) -> tuple[str, str]:
    if not url.startswith(S3):
        return "BUCKET", url
    bucket, _, prefix = url.removeprefix(S3).partition("/")
    return bucket, prefix


def _timekey(layout: Layout) -> str:
    return "1h" if layout.grain.value == "hour" else "1d"


def _fluentd(
    url: str,
    layout: Layout,
    region: str,
    tag: str,
) -> str:
    """An error of one store stops the others, so the new one is told not to; the old one stays
    first and as it is.  A full buffer must not stop it either: `logs verify` finds what is then
    missing."""
    bucket, prefix = _bucket(url)
    utc = "timekey_use_utc true" if layout.zone == "UTC" else f"timekey_zone {layout.zone}"
    return f"""\
<match {tag}.**>
  @type copy
  <store>
    # the output that is there today: leave it as it is, and first
  </store>
  <store ignore_error>
    @type s3
    @id kirikae_utc
    s3_bucket {bucket}
    s3_region {region}
    path {prefix}{layout.prefix}
    s3_object_key_format %{{path}}%{{time_slice}}_%{{index}}_%{{hex_random}}.%{{file_extension}}
    store_as gzip
    <buffer tag,time>
      @type file
      path /var/log/fluentd/buffer/kirikae_utc
      timekey {_timekey(layout)}
      timekey_wait 60s
      {utc}
      overflow_action drop_oldest_chunk
    </buffer>
    <format>
      # the same lines as the first output: copy its <format> here
    </format>
  </store>
</match>
"""


def _fluent_bit(
    url: str,
    layout: Layout,
    region: str,
    tag: str,
) -> str:
    """Its paths are always in UTC, by the first record of a file: an arrival-time tree at its
    edges."""
    bucket, prefix = _bucket(url)
    if layout.zone != "UTC":
        raise NoLayout(
            f"Fluent Bit's paths are in UTC only, the new tree's are in {layout.zone}; write "
            "`zone: UTC` for the new tree, or write it with another program"
        )
    return f"""\
[OUTPUT]
    Name              s3
    Alias             kirikae_utc
    Match             {tag}.*
    bucket            {bucket}
    region            {region}
    s3_key_format     /{prefix}{layout.prefix}$TAG-$UUID.gz
    compression       gzip
    upload_timeout    5m
    total_file_size   50M
    use_put_object    On
    log_key           log
    storage.total_limit_size 1G
    Retry_Limit       no_limits
"""


def _vector(
    url: str,
    layout: Layout,
    region: str,
    tag: str,
) -> str:
    bucket, prefix = _bucket(url)
    return f"""\
[sinks.kirikae_utc]
type = "aws_s3"
inputs = ["{tag}"]          # the input of today's sink
bucket = "{bucket}"
region = "{region}"
key_prefix = "{prefix}{layout.prefix}"
timezone = "{layout.zone}"
filename_append_uuid = true
compression = "gzip"
encoding.codec = "text"      # the same lines as today's sink
framing.method = "newline_delimited"
buffer.type = "disk"
buffer.max_size = 1073741824
"""


def _rsyslog(
    url: str,
    layout: Layout,
    region: str,
    tag: str,
) -> str:
    """Files of this machine; what carries them to a bucket carries this folder as well."""
    if layout.zone != "UTC":
        raise NoLayout(
            f"rsyslog names files in its own zone or in UTC, the new tree's are in {layout.zone}; "
            "write `zone: UTC` for the new tree"
        )
    folder = "/var/log/utc/" if url.startswith(S3) else url
    rows = "\n".join(_rsyslog_rows(f"{folder}{layout.prefix}{tag}.log"))
    return f"""\
template(name="kirikae_utc" type="list") {{
{rows}
}}
# beside the action that is there today, in the same rule set, with the same template of lines:
action(type="omfile" dynaFile="kirikae_utc" template="TODAYS_TEMPLATE"
       queue.type="LinkedList" queue.filename="kirikae_utc" action.resumeRetryCount="-1")
"""


def _rsyslog_rows(template: str) -> Iterator[str]:
    for part in _STRFTIME_AND_REST.split(template):
        if part in _NAMES:
            yield (f'  property(name="timegenerated" dateFormat="{_NAMES[part]}" date.inUTC="on")')
        elif part:
            yield f'  constant(value="{part}")'
