"""The API of Amazon Data Firehose, for streams that one puts records into and that end in S3."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping

from kirikae.local.errors import AwsError
from kirikae.local.firehose.forms import destination_of, refused
from kirikae.local.firehose.rows import Stream
from kirikae.local.firehose.streams import Streams
from kirikae.local.plain import Plain
from kirikae.local.wire import ACCOUNT, Handlers, Json, Service, bound

DESTINATION = "destinationId-000000000001"
LARGEST_RECORD = 1000 << 10
LARGEST_BATCH = 4 << 20
_MOST_TAGS = 50
_OF_S3 = ("ExtendedS3", "S3")
"""Beginnings of the parameters that name a destination, of which one is taken."""


class Firehose:
    """The streams of one region."""

    def __init__(self, streams: Streams, region: str, clock: Callable[[], float]) -> None:
        """``clock`` answers Unix seconds: by them records are filed."""
        self._streams = streams
        self._region = region
        self._clock = clock

    def _arn(self, name: str) -> str:
        return f"arn:aws:firehose:{self._region}:{ACCOUNT}:deliverystream/{name}"

    def _named(self, name: str) -> Stream:
        """Raises AwsError where there is none."""
        found = self._streams.get(self._arn(name))
        if found is None:
            message = f"Firehose {name} under account {ACCOUNT} not found."
            raise AwsError("ResourceNotFoundException", message)
        return found

    # --- streams

    async def create(self, params: Plain) -> Plain:
        """ACTIVE at once; AWS takes up to a minute."""
        name = str(params["DeliveryStreamName"])
        if params.get("DeliveryStreamType", "DirectPut") != "DirectPut":
            raise refused("kirikae local does not carry out sources but DirectPut")
        _assert_none_of(params, ("SourceConfiguration",))
        if self._streams.get(self._arn(name)) is not None:
            message = f"Firehose {name} under accountId {ACCOUNT} already exists"
            raise AwsError("ResourceInUseException", message)
        now = self._clock()
        kind, asked = _asked(params, "DestinationConfiguration")
        tags = {each["Key"]: each.get("Value", "") for each in params.get("Tags", ())}
        stream: Stream = {
            "arn": self._arn(name),
            "name": name,
            "status": "ACTIVE",
            "version": 1,
            "created": now,
            "updated": now,
            "destination": destination_of(asked, kind == "ExtendedS3", now, {}),
            "encryption": _encryption(params.get("DeliveryStreamEncryptionConfigurationInput")),
            "tags": tags,
        }
        self._streams.put(stream)
        return {"DeliveryStreamARN": stream["arn"]}

    async def delete(self, params: Plain) -> Plain:
        """What waits is delivered first; with AllowForceDelete it is not."""
        stream = self._named(params["DeliveryStreamName"])
        if params.get("AllowForceDelete"):
            self._streams.drop(stream["arn"])
        else:
            self._streams.put({**stream, "status": "DELETING"})
        return {}

    async def describe(self, params: Plain) -> Plain:
        """One destination; S3's shorter form is told beside the extended one, as on AWS."""
        stream = self._named(params["DeliveryStreamName"])
        return {"DeliveryStreamDescription": _described(stream)}

    async def list_streams(self, params: Plain) -> Plain:
        """By name, ten unless another limit is asked for."""
        names = [stream["name"] for stream in self._streams.all(self._region)]
        begin = params.get("ExclusiveStartDeliveryStreamName")
        left = sorted(name for name in names if begin is None or name > begin)
        limit = int(params.get("Limit", 10))
        return {
            "DeliveryStreamNames": left[:limit],
            "HasMoreDeliveryStreams": len(left) > limit,
        }

    async def update(self, params: Plain) -> Plain:
        """What is not named stays; objects that are ordered already go where they were to go."""
        stream = self._named(params["DeliveryStreamName"])
        current = params["CurrentDeliveryStreamVersionId"]
        if current != str(stream["version"]):
            raise AwsError(
                "ConcurrentModificationException",
                f"Cannot update firehose: {stream['name']} since the current version id: "
                f"{stream['version']} and specified version id: {current} do not match",
            )
        if params["DestinationId"] != DESTINATION:
            raise refused(f"Destination Id {params['DestinationId']} not found")
        now = self._clock()
        kind, asked = _asked(params, "DestinationUpdate")
        before = stream["destination"]
        destination = destination_of(asked, kind == "ExtendedS3", now, before)
        version = stream["version"] + 1
        self._streams.put(
            {**stream, "version": version, "updated": now, "destination": destination}
        )
        return {}

    # --- records

    async def put(self, params: Plain) -> Plain:
        """Acknowledged when it is in the file."""
        stream = self._open(params["DeliveryStreamName"])
        data = _data(params["Record"])
        self._streams.add(stream["arn"], self._clock(), [data])
        return {"RecordId": _record_id(), "Encrypted": False}

    async def put_batch(self, params: Plain) -> Plain:
        """All of them or none: nothing here fails by halves."""
        stream = self._open(params["DeliveryStreamName"])
        datas = [_data(record) for record in params["Records"]]
        if (size := sum(map(len, datas))) > LARGEST_BATCH:
            raise refused(f"Records size exceeds 4 MB limit ({size} bytes)")
        self._streams.add(stream["arn"], self._clock(), datas)
        return {
            "FailedPutCount": 0,
            "Encrypted": False,
            "RequestResponses": [{"RecordId": _record_id()} for _ in datas],
        }

    def _open(self, name: str) -> Stream:
        """Raises AwsError where it takes no records."""
        stream = self._named(name)
        if stream["status"] != "ACTIVE":
            message = f"Firehose {name} under account {ACCOUNT} is {stream['status']}."
            raise AwsError("ResourceNotFoundException", message)
        return stream

    def receive(self, arn: str, datas: list[bytes]) -> None:
        """What another service of kirikae local sends (a subscription of logs).  Raises AwsError
        where there is no such stream."""
        stream = self._open(arn.rpartition("/")[2])
        self._streams.add(stream["arn"], self._clock(), datas)

    # --- tags, encryption

    async def tag(self, params: Plain) -> Plain:
        """At most fifty."""
        stream = self._named(params["DeliveryStreamName"])
        fresh = {each["Key"]: each.get("Value", "") for each in params["Tags"]}
        tags = {**stream["tags"], **fresh}
        if len(tags) > _MOST_TAGS:
            raise AwsError("LimitExceededException", f"at most {_MOST_TAGS} tags")
        self._streams.put({**stream, "tags": tags})
        return {}

    async def untag(self, params: Plain) -> Plain:
        """A tag that is not there is no error."""
        stream = self._named(params["DeliveryStreamName"])
        gone = set(params["TagKeys"])
        tags = {key: value for key, value in stream["tags"].items() if key not in gone}
        self._streams.put({**stream, "tags": tags})
        return {}

    async def list_tags(self, params: Plain) -> Plain:
        """By key."""
        stream = self._named(params["DeliveryStreamName"])
        begin = params.get("ExclusiveStartTagKey", "")
        left = sorted(item for item in stream["tags"].items() if item[0] > begin)
        limit = int(params.get("Limit", _MOST_TAGS))
        shown = [{"Key": key, "Value": value} for key, value in left[:limit]]
        return {"Tags": shown, "HasMoreTags": len(left) > limit}

    async def start_encryption(self, params: Plain) -> Plain:
        """Kept and told; nothing is encrypted."""
        asked = params.get("DeliveryStreamEncryptionConfigurationInput")
        return self._encrypt(params, _encryption(asked or {"KeyType": "AWS_OWNED_CMK"}))

    async def stop_encryption(self, params: Plain) -> Plain:
        """Kept and told."""
        return self._encrypt(params, _encryption(None))

    def _encrypt(self, params: Plain, encryption: Plain) -> Plain:
        stream = self._named(params["DeliveryStreamName"])
        self._streams.put({**stream, "encryption": encryption})
        return {}


OPERATIONS: Handlers[Firehose] = {
    "CreateDeliveryStream": Firehose.create,
    "DeleteDeliveryStream": Firehose.delete,
    "DescribeDeliveryStream": Firehose.describe,
    "ListDeliveryStreams": Firehose.list_streams,
    "ListTagsForDeliveryStream": Firehose.list_tags,
    "PutRecord": Firehose.put,
    "PutRecordBatch": Firehose.put_batch,
    "StartDeliveryStreamEncryption": Firehose.start_encryption,
    "StopDeliveryStreamEncryption": Firehose.stop_encryption,
    "TagDeliveryStream": Firehose.tag,
    "UntagDeliveryStream": Firehose.untag,
    "UpdateDestination": Firehose.update,
}
PARTLY: Mapping[str, str] = {
    "CreateDeliveryStream": "from DirectPut to S3, ACTIVE at once; compression GZIP, ZIP or none; "
    "processors AppendDelimiterToRecord, Decompression and CloudWatchLogProcessing; refused: other "
    "sources and destinations, dynamic partitioning, conversion of formats, backups, Snappy, other "
    "processors, pattern letters of prefixes that go by a locale (Y w W e c F B g v p)",
    "UpdateDestination": "as CreateDeliveryStream",
    "PutRecordBatch": "all of a batch is taken or none",
    "DeleteDeliveryStream": "what waits is delivered first, unless AllowForceDelete is said",
    "StartDeliveryStreamEncryption": "kept and told, without effect",
    "StopDeliveryStreamEncryption": "kept and told, without effect",
}
"""Operations of which something is missing, and what."""


def service_of(firehose: Firehose) -> Service:
    """In its protocol."""
    protocol = Json("firehose", "InvalidArgumentException")
    return Service(protocol, bound(OPERATIONS, firehose), "InvalidArgumentException")


def _asked(params: Plain, end: str) -> tuple[str, Plain]:
    """Which destination a request names, and what it says of it.  Raises AwsError."""
    named = [name.removesuffix(end) for name in params if name.endswith(end)]
    if others := [name for name in named if name not in _OF_S3]:
        raise refused(f"kirikae local does not carry out the destination {others[0]}")
    if len(named) != 1:
        raise refused("Exactly one destination configuration is supported for a Firehose")
    return named[0], params[f"{named[0]}{end}"]


def _assert_none_of(params: Plain, ends: tuple[str, ...]) -> None:
    """DirectPutSourceConfiguration is a hint about the rate, and may be there."""
    for name in params:
        if name.endswith(ends) and name != "DirectPutSourceConfiguration":
            raise refused(f"kirikae local does not carry out {name}")


def _encryption(asked: Plain | None) -> Plain:
    return {"Status": "DISABLED"} if asked is None else {**asked, "Status": "ENABLED"}


def _described(stream: Stream) -> Plain:
    destination = stream["destination"]
    plain = {key: value for key, value in destination.items() if key not in _OF_EXTENDED_ALONE}
    both = {"S3DestinationDescription": plain, "ExtendedS3DestinationDescription": destination}
    return {
        "DeliveryStreamName": stream["name"],
        "DeliveryStreamARN": stream["arn"],
        "DeliveryStreamStatus": stream["status"],
        "DeliveryStreamEncryptionConfiguration": stream["encryption"],
        "DeliveryStreamType": "DirectPut",
        "VersionId": str(stream["version"]),
        "CreateTimestamp": stream["created"],
        "LastUpdateTimestamp": stream["updated"],
        "Destinations": [{"DestinationId": DESTINATION, **both}],
        "HasMoreDestinations": False,
    }


_OF_EXTENDED_ALONE = frozenset(
    (
        "ProcessingConfiguration",
        "S3BackupMode",
        "DataFormatConversionConfiguration",
        "DynamicPartitioningConfiguration",
        "FileExtension",
        "CustomTimeZone",
    )
)


def _data(record: Plain) -> bytes:
    """Raises AwsError for what is no base64, and for more than 1,000 KiB."""
    try:
        data = base64.b64decode(record["Data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise AwsError("SerializationException", f"Data is no base64: {error}") from error
    if len(data) > LARGEST_RECORD:
        raise refused(f"Record size exceeds the limit of 1000 KB ({len(data)} bytes)")
    return data


def _record_id() -> str:
    return uuid.uuid4().hex * 6
