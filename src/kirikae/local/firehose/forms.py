"""A destination in S3: what a request says of it, with every default in its place; pure.

Amazon Data Firehose API reference, ExtendedS3DestinationConfiguration, S3DestinationConfiguration;
developer guide, "Buffering hints".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kirikae.local.errors import AwsError
from kirikae.local.firehose.prefixes import Prefixes
from kirikae.local.plain import Plain

SIZE_MB = 5
INTERVAL_S = 300
EXTENSIONS = {"UNCOMPRESSED": "", "GZIP": ".gz", "ZIP": ".zip"}
"""Compression that is carried out -> the extension of its objects."""
PROCESSORS = ("Decompression", "CloudWatchLogProcessing", "AppendDelimiterToRecord")
"""Those that are carried out, in the order in which they work."""
_DEFAULTS: Plain = {
    "BufferingHints": {"SizeInMBs": SIZE_MB, "IntervalInSeconds": INTERVAL_S},
    "CompressionFormat": "UNCOMPRESSED",
    "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
    "CloudWatchLoggingOptions": {"Enabled": False},
}
_OF_EXTENDED: Plain = {"S3BackupMode": "Disabled", "CustomTimeZone": "UTC"}
_TIMED = ("SizeInMBs", "IntervalInSeconds")


def refused(why: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("InvalidArgumentException", why)


def destination_of(asked: Plain, is_extended: bool, when: float, before: Plain) -> Plain:
    """``before``: what is there already, for an update.  Raises AwsError for what AWS refuses, and
    for what is not carried out here."""
    found = {**_DEFAULTS, **(_OF_EXTENDED if is_extended else {}), **before, **asked}
    hints = asked.get("BufferingHints", {})
    if len(hints) == 1:
        # AWS API reference, BufferingHints: whoever names one must name the other.
        raise refused(f"BufferingHints: {' and '.join(_TIMED)} must be specified together")
    for why in _not_carried_out(found):
        raise refused(f"kirikae local does not carry out {why}")
    if not str(found["BucketARN"]).startswith("arn:aws:s3:::"):
        raise refused(f"BucketARN {found['BucketARN']} is no ARN of a bucket")
    _assert_processors(found.get("ProcessingConfiguration", {}))
    prefixes_of(found).check(when)
    return found


def prefixes_of(destination: Plain) -> Prefixes:
    """What its prefixes say."""
    return Prefixes(
        destination.get("Prefix", ""),
        destination.get("ErrorOutputPrefix") or None,
        destination.get("CustomTimeZone") or "UTC",
    )


def extension_of(destination: Plain) -> str:
    """Of its objects' names."""
    own: str = destination.get("FileExtension", "")
    return own or EXTENSIONS[destination["CompressionFormat"]]


def _not_carried_out(found: Plain) -> Iterator[str]:
    """By name: nothing is ignored."""
    if (packing := found["CompressionFormat"]) not in EXTENSIONS:
        yield f"CompressionFormat {packing}"
    if found.get("S3BackupMode") == "Enabled":
        yield "S3BackupMode Enabled"
    switches = ("DataFormatConversionConfiguration", "DynamicPartitioningConfiguration")
    for name in switches:
        default = name.startswith("Data")
        if name in found and found[name].get("Enabled", default):
            yield name
    for each in processors_of(found):
        if each not in PROCESSORS:
            yield f"the processor {each}"


def processors_of(destination: Plain) -> Mapping[str, Mapping[str, str]]:
    """Type -> its parameters; none where processing is off."""
    configuration = destination.get("ProcessingConfiguration", {})
    if not configuration.get("Enabled", False):
        return {}
    return {
        each["Type"]: {
            one["ParameterName"]: one["ParameterValue"] for one in each.get("Parameters", ())
        }
        for each in configuration.get("Processors", ())
    }


def _assert_processors(configuration: Plain) -> None:
    """API reference, ProcessorParameter: DataMessageExtraction must be true, and messages are
    extracted of what was unpacked."""
    found = processors_of({"ProcessingConfiguration": configuration})
    packing = found.get("Decompression", {}).get("CompressionFormat", "GZIP")
    if packing != "GZIP":
        raise refused(f"Decompression: CompressionFormat {packing} is not GZIP")
    messages = found.get("CloudWatchLogProcessing")
    if messages is None:
        return
    if messages.get("DataMessageExtraction", "").lower() != "true":
        raise refused("CloudWatchLogProcessing: DataMessageExtraction must be true")
    if "Decompression" not in found:
        raise refused("CloudWatchLogProcessing needs the processor Decompression before it")
