"""A remote in an S3 bucket, or in anything that speaks S3's protocol.

What is trusted of it: an object is there whole or not at all, and S3 states as ETag the MD5 that it took itself of the
bytes it received, where they came in one part and are not encrypted with a key of KMS or the customer's (S3 API
Reference, ``Object``). Every other ETag proves nothing here, so such an object is read back; S3's additional checksums
are not used, since most of DVC's uploads carry a CRC alone. An ETag with a dash is one of parts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from cxr_core.errors import VersioningError
from tasks.adapters.objects import Standing, object_name

__all__ = ["S3Store", "connect"]

_MD5 = re.compile(r"[0-9a-f]{32}")
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_LISTINGS_AT_ONCE = 8
_CONNECTIONS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Store:
    """A remote in a bucket.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket.
        prefix: Before every key; empty or without slashes at its ends.
    """

    client: Any
    bucket: str
    prefix: str

    @property
    def address(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def open(self, md5: str, *, start: int = 0) -> BinaryIO | None:
        """The object's bytes from an offset on, or None where it is not here.

        Raises:
            VersioningError: The bucket does not answer, or refuses; also while the stream is read.
        """
        key = self._key(object_name(md5))
        whence = {"Range": f"bytes={start}-"} if start else {}
        found = self._ask(key, lambda: self.client.get_object(Bucket=self.bucket, Key=key, **whence))
        return None if found is None else cast(BinaryIO, _Body(found["Body"], self.where(md5)))

    def standing(self, md5s: Iterable[str]) -> dict[str, Standing]:
        """Size, ETag and time of each object, from listings: one request a thousand objects.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        wanted = {self._key(object_name(md5)): md5 for md5 in md5s}
        # Objects spread evenly over 256 folders, so listings of those side by side stay short in a remote of any size.
        folders = sorted({key.rsplit("/", 1)[0] + "/" for key in wanted})
        with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as pool:
            pages = pool.map(self._listed, folders)
            rows = [row for page in pages for row in page if row["Key"] in wanted]
        return {wanted[row["Key"]]: _standing(row) for row in rows}

    def put(self, md5: str, stream: BinaryIO) -> None:
        """Copy a stream in as an object; S3 shows an object when all of it has arrived.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        key = self._key(object_name(md5))
        self._ask(key, lambda: self.client.upload_fileobj(stream, self.bucket, key), verb="written")

    def where(self, md5: str) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self._key(object_name(md5))}"

    def read_note(self, name: str) -> bytes | None:
        """A note, or None where it is not here.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        key = self._key(name)
        found = self._ask(key, lambda: self.client.get_object(Bucket=self.bucket, Key=key))
        return None if found is None else _Body(found["Body"], key).read()

    def write_note(self, name: str, data: bytes) -> None:
        """Set a note, whole or not at all.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        key = self._key(name)
        self._ask(
            key,
            lambda: self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType="application/json"),
            verb="written",
        )

    def remove_note(self, name: str) -> None:
        """Take a note back.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        key = self._key(name)
        self._ask(key, lambda: self.client.delete_object(Bucket=self.bucket, Key=key), verb="removed")

    def settle(self) -> None:
        """S3 answers a write after it has stored it."""

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}".lstrip("/")

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
        return self._ask(folder, lambda: [row for page in pages for row in page.get("Contents", [])]) or []

    def _ask(self, key: str, call: Callable[[], Any], *, verb: str = "read") -> Any:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (Boto3Error, BotoCoreError, ClientError) as error:
            answer = error.response if isinstance(error, ClientError) else {}
            code = cast(Any, answer).get("Error", {}).get("Code")
            if verb == "read" and code in _ABSENT:
                return None
            raise _refusal(f"s3://{self.bucket}/{key}", verb, error) from error


class _Body(io.RawIOBase):
    """A body as it arrives; what breaks on the way is told in our own words."""

    def __init__(self, body: Any, where: str) -> None:
        self._body = body
        self._where = where

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            return self._body.read(None if size is None or size < 0 else size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise _refusal(self._where, "read", error) from error

    def close(self) -> None:
        self._body.close()
        super().close()


def connect(bucket: str, prefix: str, options: Mapping[str, str]) -> S3Store:
    """A bucket's store.

    Args:
        bucket: Its name.
        prefix: Before every key; without slashes at its ends.
        options: DVC's options of the remote: endpointurl, region, profile, access_key_id, secret_access_key,
            session_token, ssl_verify; what is absent comes from the AWS settings of this machine (AWS_PROFILE,
            AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …), as DVC takes it.

    Raises:
        VersioningError: No client can be made of these settings.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    verify: dict[str, bool | str] = {}
    if (said := options.get("ssl_verify")) is not None:
        verify["verify"] = {"true": True, "false": False}.get(said.lower(), said)
    try:
        session = boto3.Session(
            aws_access_key_id=options.get("access_key_id"),
            aws_secret_access_key=options.get("secret_access_key"),
            aws_session_token=options.get("session_token"),
            region_name=options.get("region"),
            profile_name=options.get("profile"),
        )
        settings = Config(max_pool_connections=_CONNECTIONS)
        client = cast(Any, session).client("s3", endpoint_url=options.get("endpointurl"), config=settings, **verify)
    except (BotoCoreError, ValueError) as error:
        raise _refusal(f"s3://{bucket}/{prefix}", "reached", error) from error
    return S3Store(client=client, bucket=bucket, prefix=prefix)


def _standing(row: Mapping[str, Any]) -> Standing:
    etag = str(row["ETag"]).strip('"')
    return Standing(
        size=int(row["Size"]),
        stamp=f"{etag} {row['LastModified'].isoformat()}",
        computed_md5=etag if _MD5.fullmatch(etag) else "",
    )


def _refusal(where: str, verb: str, error: Exception) -> VersioningError:
    return VersioningError(
        f"{where} cannot be {verb}: {' '.join(str(error).split())}.",
        reason="remote_unwritable" if verb in ("written", "removed") else "remote_unreadable",
        hint="Check the bucket's address, and AWS_ENDPOINT_URL, AWS_PROFILE or AWS_ACCESS_KEY_ID.",
    )
