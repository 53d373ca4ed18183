"""Where DVC keeps objects, read without DVC: a cache or remote folder, or an S3 bucket.

Layout (DVC 3): ``files/md5/<first two hex digits>/<the rest>``; a folder's listing ends in ``.dir``. Comes in: an
address. Goes out: an ``ObjectStore``. Nothing is deleted here, and only ``restore_objects`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import urlsplit

from cxr_core.audit.lock import Part, read_lock
from cxr_core.audit.objects import Copies, Object, objects_of, open_intact, read_intact
from cxr_core.errors import AuditError, VersioningError
from cxr_core.files import write_bytes

__all__ = ["FolderStore", "ObjectStore", "S3Store", "missing_objects", "open_store", "restore_objects"]


class ObjectStore(Protocol):
    """Objects by MD5 (``<32 hex>``, with ``.dir`` for a listing)."""

    def open(self, md5: str) -> BinaryIO | None:
        """The object's bytes, or None where it is not here."""
        ...

    def size(self, md5: str) -> int | None:
        """The object's bytes in number, or None where it is not here."""
        ...

    def put(self, md5: str, file: Path) -> None:
        """Copy a file in as an object, whole or not at all."""
        ...

    def where(self, md5: str) -> str:
        """How people find the object."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderStore:
    """A cache or remote in a folder."""

    root: Path

    def open(self, md5: str) -> BinaryIO | None:
        """The object's bytes, or None where it is not here.

        Raises:
            VersioningError: The file is there and cannot be opened.
        """
        try:
            return (self.root / _key(md5)).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VersioningError(
                f"{self.where(md5)} cannot be read: {error.strerror}.",
                reason="object_unreadable",
                hint=f"ls -l {self.where(md5)}",
            ) from error

    def size(self, md5: str) -> int | None:
        """The object's bytes in number, or None where it is not here."""
        path = self.root / _key(md5)
        return path.stat().st_size if path.is_file() else None

    def put(self, md5: str, file: Path) -> None:
        """Copy a file in as an object, whole or not at all."""
        write_bytes(self.root / _key(md5), file.read_bytes())

    def where(self, md5: str) -> str:
        """The object's file."""
        return str(self.root / _key(md5))


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Store:
    """A remote in an S3 bucket.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket.
        prefix: Before every key; empty or without slashes at its ends.
    """

    client: Any
    bucket: str
    prefix: str

    def open(self, md5: str) -> BinaryIO | None:
        """The object's bytes, or None where it is not here.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        found = self._ask(self.client.get_object, md5)
        return None if found is None else cast(BinaryIO, found["Body"])

    def size(self, md5: str) -> int | None:
        """The object's bytes in number, or None where it is not here.

        Raises:
            VersioningError: The bucket does not answer, or refuses.
        """
        found = self._ask(self.client.head_object, md5)
        return None if found is None else int(found["ContentLength"])

    def put(self, md5: str, file: Path) -> None:
        """Copy a file in as an object; S3 shows an object when all of it has arrived."""
        self.client.upload_file(str(file), self.bucket, self._name(md5))

    def where(self, md5: str) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self._name(md5)}"

    def _name(self, md5: str) -> str:
        return f"{self.prefix}/{_key(md5)}".lstrip("/")

    def _ask(self, call: Any, md5: str) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(Bucket=self.bucket, Key=self._name(md5))
        except (BotoCoreError, ClientError) as error:
            answer = error.response if isinstance(error, ClientError) else {}
            if cast(Any, answer).get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
                return None
            raise VersioningError(
                f"{self.where(md5)} cannot be read: {error}.",
                reason="remote_unreadable",
                hint="Check the bucket's address and AWS_PROFILE or AWS_ACCESS_KEY_ID.",
            ) from error


def open_store(address: str, options: Mapping[str, str] | None = None) -> ObjectStore | None:
    """A store by its address; None for a kind of remote that only DVC can read (ssh, gs, azure, …).

    Args:
        address: A folder, or ``s3://bucket/prefix``.
        options: DVC's options of the remote: endpointurl, region, profile, access_key_id, secret_access_key,
            session_token; what is absent comes from the AWS settings of this machine.
    """
    if "://" not in address:
        return FolderStore(root=Path(address))
    parts = urlsplit(address)
    if parts.scheme == "file":
        return FolderStore(root=Path(parts.path))
    if parts.scheme != "s3":
        return None
    import boto3

    given = options or {}
    session = boto3.Session(
        aws_access_key_id=given.get("access_key_id"),
        aws_secret_access_key=given.get("secret_access_key"),
        aws_session_token=given.get("session_token"),
        region_name=given.get("region"),
        profile_name=given.get("profile"),
    )
    client = cast(Any, session).client("s3", endpoint_url=given.get("endpointurl"))
    return S3Store(client=client, bucket=parts.netloc, prefix=parts.path.strip("/"))


def missing_objects(lock: bytes, store: ObjectStore) -> list[str]:
    """What of a dvc.lock a store lacks: every listing and every member must be there, with the sizes the lock states.

    Args:
        lock: The bytes of dvc.lock.
        store: The remote.

    Returns:
        One line a missing or misshapen object, naming file and address; empty where all is there.
    """
    return [fault for part in read_lock(lock).outputs for fault in _missing(part, store)]


def restore_objects(lock: bytes, store: ObjectStore, cache: FolderStore) -> None:
    """Copy into a store what it lacks of a dvc.lock, or holds in another size, from a cache's unchanged objects."""
    local = Copies(
        name="cache",
        open=lambda item: cache.open(item.md5),
        where=lambda item: cache.where(item.md5),
        complete=False,
    )
    for part in read_lock(lock).outputs:
        whole = Object(path=part.path, part=part.path, md5=part.md5)
        listing = read_intact(whole, [local]) if part.is_folder else None
        if part.is_folder and listing is None:
            continue
        # The listing last: where it stands, DVC believes that its members do.
        for item in reversed(objects_of(part, listing)):
            if store.size(item.md5) != cache.size(item.md5) and (stream := open_intact(item, [local])) is not None:
                stream.close()
                store.put(item.md5, Path(cache.where(item.md5)))


def _missing(part: Part, store: ObjectStore) -> list[str]:
    listing = None
    if part.is_folder:
        stream = store.open(part.md5)
        if stream is None:
            return [f"{part.path}: {store.where(part.md5)}"]
        with closing(stream):
            listing = stream.read()
    try:
        members = [item for item in objects_of(part, listing) if item.md5 != part.md5 or not part.is_folder]
    except AuditError as error:
        return [f"{part.path}: {store.where(part.md5)}: {error.message}"]
    sizes = {item.path: store.size(item.md5) for item in members}
    faults = [f"{item.path}: {store.where(item.md5)}" for item in members if sizes[item.path] is None]
    found = sum(size or 0 for size in sizes.values())
    if not faults and found != part.size:
        faults.append(f"{part.path}: {found} bytes in all, expected {part.size}")
    return faults


def _key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"
