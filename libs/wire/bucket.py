"""A prefix of a bucket as the place of an archive, through pyarrow's S3 client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import fs

from libs.wire.places import PlaceAway, PlaceProblem

ENDPOINT_NAMES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION")
CONNECT_S = 2.0
SILENCE_S = 3.0  # of an endpoint that has taken a request, before it counts as away; a PUT is tried twice
# Above 10 MB pyarrow uploads in parts, and when one part fails it completes the upload with the others as it cleans
# up: a cut file under the right name. What is below goes out in one request, which S3 takes whole or not at all.
MOST_BYTES = 9_500_000

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[^/?#]+)*)/?")
_ERROR = re.compile(
    r"AWS Error (?P<code>\w+)(?: \(HTTP status (?P<status>\d+)\))? during (?P<call>\w+) operation: ?(?P<text>.*)", re.S
)
_REQUEST_ID = re.compile(r"\s*\(Request ID:[^)]*\)")
_PASSING = frozenset(
    {
        "NETWORK_CONNECTION", "INTERNAL_FAILURE", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "THROTTLING", "REQUEST_TIMEOUT",
        "REQUEST_LIMIT_EXCEEDED", "BANDWIDTH_LIMIT_EXCEEDED",
    }
)  # fmt: skip
_FULL = ("XMinioStorageFull", "QuotaExceeded", "InsufficientCapacity", "EntityTooLarge")
_DENIED = frozenset(
    {
        "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID",
        "INVALID_SIGNATURE", "MISSING_AUTHENTICATION_TOKEN", "INCOMPLETE_SIGNATURE", "UNRECOGNIZED_CLIENT",
        "ACCESS_KEY_NOT_FOUND", "NOT_INITIALIZED",
    }
)  # fmt: skip


def open_bucket(address: str, environ: Mapping[str, str]) -> Bucket:
    """`s3://bucket/prefix`; endpoint, region and keys come from the usual AWS_* names in `environ`; without keys the
    client looks where it always does: web identity, files, the machine's role. Nothing is sent yet.

    Raises PlaceProblem for an address or endpoint that is none."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise PlaceProblem(f"{address!r} is no place in a bucket: wanted s3://bucket/prefix")
    endpoint = next((environ[name] for name in ENDPOINT_NAMES if environ.get(name)), None)
    region = next((environ[name] for name in REGION_NAMES if environ.get(name)), "us-east-1" if endpoint else None)
    if endpoint is not None and not re.fullmatch(r"https?://[^\s/]+/?", endpoint):
        raise PlaceProblem(f"AWS_ENDPOINT_URL is {endpoint!r}: wanted http://HOST:PORT or https://HOST[:PORT]")
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    client = fs.S3FileSystem(
        access_key=key if key and secret else None,
        secret_key=secret if key and secret else None,
        session_token=environ.get("AWS_SESSION_TOKEN") if key and secret else None,
        endpoint_override=endpoint.rstrip("/") if endpoint else None,
        region=region,
        background_writes=False,
        allow_delayed_open=True,
        connect_timeout=CONNECT_S,
        request_timeout=SILENCE_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )
    return Bucket(client, found["bucket"], found["prefix"].strip("/"), endpoint or "AWS", bool(key and secret))


class Bucket:
    """One try for each call: whoever needs more waits and says so. `endpoint` and `has_key` are for its messages."""

    most_bytes = MOST_BYTES

    def __init__(self, client: Any, bucket: str, prefix: str, endpoint: str, has_key: bool) -> None:
        self._client = client
        self._bucket = bucket
        self._root = f"{bucket}/{prefix}".rstrip("/")
        self._endpoint = endpoint
        self._has_key = has_key

    def __str__(self) -> str:
        return f"s3://{self._root}"

    def where(self, name: str) -> str:
        return f"s3://{self._root}/{name}"

    def check(self) -> None:
        with self._telling():
            found = self._client.get_file_info(self._bucket)
        if found.type == fs.FileType.NotFound:
            raise self._no_bucket()

    def folders(self) -> list[str]:
        return sorted(info.base_name for info in self._list(self._root) if info.type == fs.FileType.Directory)

    def names(self, folder: str) -> list[str]:
        infos = self._list(f"{self._root}/{folder}")
        return [info.base_name for info in infos if info.is_file and info.base_name.endswith(".parquet")]

    def _list(self, path: str) -> list[Any]:
        with self._telling():
            return list(self._client.get_file_info(fs.FileSelector(path, allow_not_found=True)))

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        with self._telling():
            infos = self._client.get_file_info([f"{self._root}/{name}" for name in names])
        return [info.size if info.is_file else None for info in infos]

    def read(self, name: str) -> bytes | None:
        data = self._bytes(name)
        # The client asks for the length before it asks for the bytes: an object replaced in between would come cut.
        while data is not None and self.sizes([name]) not in ([len(data)], [None]):
            data = self._bytes(name)
        return data

    def _bytes(self, name: str) -> bytes | None:
        try:
            with self._telling(), self._client.open_input_file(f"{self._root}/{name}") as file:
                data: bytes = file.read()
        except FileNotFoundError:
            return None
        return data

    def open(self, name: str) -> Any:
        data = self._bytes(name)  # no file of records is ever replaced
        if data is None:
            raise FileNotFoundError(f"{self.where(name)} is not there")
        return pa.BufferReader(data)

    def write(self, name: str, data: bytes) -> None:
        if len(data) > MOST_BYTES:
            raise ValueError(f"{self.where(name)}: {len(data)} bytes do not go out in one request of {MOST_BYTES}")
        with self._telling():
            file = self._client.open_output_stream(f"{self._root}/{name}")
            file.write(data)
            file.close()

    def tidy(self) -> int:
        return 0

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the client's errors as a place's; an object that is not there stays FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._told(str(error)) from error

    def _told(self, text: str) -> PlaceAway | PlaceProblem:
        found = _ERROR.search(text)
        if found is None:
            return PlaceProblem(f"{self} at {self._endpoint}: {text}")
        code, status = found["code"], int(found["status"] or 0)
        said = " ".join(_REQUEST_ID.sub("", found["text"]).split()).removesuffix("No response body.").strip()
        why = f"{found['call']}: {code}{f' {status}' if status else ''}{f' ({said})' if said else ''}"
        if any(word in text for word in _FULL):
            return PlaceAway(f"{self} at {self._endpoint} has no room: {why}", "full")
        if code in _PASSING or status >= 500 or status == 429:
            unsigned = "" if self._has_key or not status else f"; {self._remedy()}"  # some answer 500 to such a request
            return PlaceAway(f"{self} at {self._endpoint} does not answer: {why}{unsigned}", "away")
        if code == "NO_SUCH_BUCKET":
            return self._no_bucket()
        if code in _DENIED or status in (401, 403):
            return PlaceProblem(f"{self} at {self._endpoint} refuses {why}: {self._remedy()}")
        return PlaceProblem(f"{self} at {self._endpoint}: {why}; check AWS_REGION and AWS_ENDPOINT_URL")

    def _no_bucket(self) -> PlaceProblem:
        return PlaceProblem(f"{self}: no bucket {self._bucket!r} at {self._endpoint}; make it, or name another")

    def _remedy(self) -> str:
        if not self._has_key:
            return (
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; set them, or let the role or web "
                "identity in their place list, get and put there"
            )
        return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, get and put there"
