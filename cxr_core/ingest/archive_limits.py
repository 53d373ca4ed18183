"""How much an archive may unpack to: counted while it unpacks, whatever its headers claim."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cxr_core.errors import SourceError
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["Budget", "Limits", "Member", "refuse"]

_MIB = 1024 * 1024
_HINT = "Fetch it anew; what each reason means and what to do stands in docs/reasons.md."
# Below this nothing is a bomb, and between two looks at the disk no more than this is written.
_HARMLESS_BYTES = 64 * _MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What an archive may unpack to.

    Attributes:
        members: Files and folders; the largest of the four sources has 30 000.
        bytes: Of all members together.
        member_bytes: Of one member; pictures have at most 256 MiB, volumes beside them more.
        ratio: Unpacked to packed bytes. Pictures pack to a half at best, tables to a tenth, empty volumes to a
            hundredth; deflate's bombs reach a thousand.
        reserve_bytes: What stays free on the disk.
    """

    members: int = 200_000
    bytes: int = 1024 * 1024 * _MIB
    member_bytes: int = 4096 * _MIB
    ratio: float = 200.0
    reserve_bytes: int = 256 * _MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member: its name as the archive writes it, and its bytes, to be taken whole before the next one's."""

    name: str
    is_folder: bool
    chunks: Iterator[bytes]


@dataclass(kw_only=True, slots=True)
class Budget:
    """What is left of the limits for one archive that unpacks into one folder."""

    limits: Limits
    folder: Path
    packed_bytes: int
    members: int = 0
    bytes: int = 0
    _looked_at: int = field(default=0)

    def check_room(self, wanted_bytes: int) -> None:
        """Refuse what the disk has no room for.

        Raises:
            SourceError: ``archive_disk_full``.
        """
        free = shutil.disk_usage(self.folder).free
        if free < wanted_bytes + self.limits.reserve_bytes:
            raise refuse(
                ArchiveFault.DISK_FULL,
                f"Expected {wanted_bytes + self.limits.reserve_bytes} free bytes to unpack, found {free}.",
                hint="Free space on the disk, or set CXR_HOME to a larger one.",
            )

    def check_claim(self, unpacked: int) -> None:
        """Refuse an archive by the bytes that its directory claims, before any come out of it.

        Raises:
            SourceError: ``archive_bomb``, ``archive_too_large`` or ``archive_disk_full``.
        """
        self.check_ratio(unpacked, packed=self.packed_bytes)
        if unpacked > self.limits.bytes:
            words = f"Expected at most {self.limits.bytes} bytes unpacked, found {unpacked} announced."
            raise refuse(ArchiveFault.TOO_LARGE, words)
        self.check_room(unpacked)

    def take_member(self) -> None:
        """Count a member.

        Raises:
            SourceError: ``archive_too_many_members``.
        """
        self.members += 1
        self.check_members(self.members)

    def check_members(self, count: int) -> None:
        """Refuse an archive by how many members it has.

        Raises:
            SourceError: ``archive_too_many_members``.
        """
        if count > self.limits.members:
            raise refuse(ArchiveFault.TOO_MANY_MEMBERS, f"Expected at most {self.limits.members} members, found more.")

    def take_bytes(self, count: int) -> None:
        """Count bytes as they come out of the packing.

        Raises:
            SourceError: ``archive_bomb``, ``archive_too_large`` or ``archive_disk_full``.
        """
        self.bytes += count
        self.check_ratio(self.bytes, packed=self.packed_bytes)
        if self.bytes > self.limits.bytes:
            raise refuse(ArchiveFault.TOO_LARGE, f"Expected at most {self.limits.bytes} bytes unpacked, found more.")
        if self.bytes - self._looked_at > _HARMLESS_BYTES:
            self._looked_at = self.bytes
            self.check_room(0)

    def check_ratio(self, unpacked: int, *, packed: int) -> None:
        """Refuse what unpacks to far more than it is.

        Raises:
            SourceError: ``archive_bomb``.
        """
        if unpacked > _HARMLESS_BYTES and unpacked > self.limits.ratio * packed:
            raise refuse(
                ArchiveFault.BOMB,
                f"{packed} bytes unpack to over {unpacked}: more than the {self.limits.ratio:g}-fold.",
            )

    def check_member(self, unpacked: int) -> None:
        """Refuse a member by the bytes that have come out of it, or by those that it claims.

        Raises:
            SourceError: ``archive_too_large``.
        """
        if unpacked > self.limits.member_bytes:
            words = f"Expected members of at most {self.limits.member_bytes} bytes, found a larger one."
            raise refuse(ArchiveFault.TOO_LARGE, words)


def refuse(fault: ArchiveFault, message: str, *, hint: str = "") -> SourceError:
    """The error to raise for a fault of an archive."""
    return SourceError(message, reason=fault.value, hint=hint or _HINT)
