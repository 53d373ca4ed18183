"""Why a source, a file of it, a row or an archive is not taken in: the codes that ingest gives, each meaning one thing.

What one image's bytes can lack stands in ``cxr_core.imaging.faults``. ``docs/reasons.md`` lists both, with what to do;
a test holds the two together.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ArchiveFault", "DecoderFault", "IngestFault", "SourceFault"]


class DecoderFault(StrEnum):
    """Why a file's decoding was ended from outside: beside ``ImageFault``, the reasons of ``quarantine.jsonl``."""

    DIED = "decoder_died"
    """Decoding ended its worker process, twice: a crash in a library, or a write beyond the limit."""
    TIMEOUT = "decoder_timeout"
    """Decoding took more processor or wall time than any picture needs, twice."""
    OUT_OF_MEMORY = "decoder_out_of_memory"
    """Decoding asked for more memory than the largest picture needs, also when tried again alone."""


class IngestFault(StrEnum):
    """Why a row or file is no usable image by nature: the closed list of ``exclusions.jsonl``."""

    FILE_MISSING = "file_missing"
    """A row names a file that the source does not hold."""
    UNSAFE_PATH = "unsafe_path"
    """A row names an absolute path, one that leaves the source's folder, or one that cannot be written down."""
    NOT_AN_IMAGE_FILE = "not_an_image_file"
    """A row names a file that is there and, by its name, no image (a CT volume, say)."""
    DUPLICATE_ROW = "duplicate_row"
    """An earlier row names the same file; the earlier one is used."""
    CONFLICTING_ROWS = "conflicting_rows"
    """Rows give one file different findings: which is true cannot be known."""
    NO_METADATA = "no_metadata"
    """An image file that no row names."""
    UNKNOWN_LAYOUT = "unknown_layout"
    """An image file at a place, or with a name, that the published layout does not have."""
    NESTED_COPY = "nested_copy"
    """An archive packed into itself: the same file stands at the outer place."""


class SourceFault(StrEnum):
    """Why a source's folder or table is refused as a whole (``SourceError.reason``)."""

    SOURCE_MISSING = "source_missing"
    """There is no such folder."""
    SOURCE_EMPTY = "source_empty"
    """The folder holds no file."""
    SOURCE_CHANGED = "source_changed"
    """A file changed, came or went while the source was read."""
    NOT_A_PLAIN_FILE = "not_a_plain_file"
    """The folder holds a link, a pipe or a device, whose bytes may change without the folder changing."""
    UNREADABLE_NAME = "unreadable_name"
    """A file's name is no Unicode text or holds signs that cannot be shown."""
    UNREADABLE_FILE = "unreadable_file"
    """The operating system does not let a file or folder be read."""
    TOO_DEEP = "too_deep"
    """Folders stand in folders deeper than any published layout."""
    LAYOUT_NOT_FOUND = "layout_not_found"
    """A table or folder of the published layout is absent."""
    TABLE_TOO_LARGE = "table_too_large"
    """A table has more bytes than all published ones together."""
    BAD_TABLE = "bad_table"
    """The bytes are no CSV table: a NUL, a cell without an end, a cell larger than any text."""
    MISSING_COLUMNS = "missing_columns"
    """A table lacks a column that its layout has."""
    DUPLICATE_COLUMNS = "duplicate_columns"
    """Two columns of a table have one name: which is meant cannot be known."""
    CONFLICTING_PATIENTS = "conflicting_patients"
    """A table of patients gives one picture to two of them."""


class ArchiveFault(StrEnum):
    """Why an archive is refused as a whole (``SourceError.reason`` of ``unpack``)."""

    NOT_AN_ARCHIVE = "not_an_archive"
    """The bytes are no zip or tar, whatever the file's name says: a web page saved under its name, often."""
    EMPTY_ARCHIVE = "empty_archive"
    """The archive holds no file."""
    TRUNCATED = "archive_truncated"
    """The archive ends before its end is reached."""
    CORRUPT = "archive_corrupt"
    """A header or the packed data cannot be read, or does not fit the checksum that the packing keeps."""
    WRONG_CHECKSUM = "archive_wrong_checksum"
    """A zip member's bytes are not those that its checksum was made of."""
    FOREIGN_DATA = "archive_foreign_data"
    """Bytes stand before the first or behind the last part of the archive: a second file may hide there."""
    HEADERS_DIFFER = "archive_headers_differ"
    """Two places of the archive tell one member differently, or its data is not as long as they say."""
    OVERLAP = "archive_overlap"
    """Two members share bytes of the archive: the mark of a bomb."""
    BOMB = "archive_bomb"
    """Data unpacks to far more than images can, or asks the unpacker for far more memory."""
    TOO_LARGE = "archive_too_large"
    """One member, or all together, unpack to more bytes than allowed."""
    TOO_MANY_MEMBERS = "archive_too_many_members"
    """More members than any published source has files."""
    DISK_FULL = "archive_disk_full"
    """The disk has no room for what the archive holds."""
    UNREADABLE = "archive_unreadable"
    """The operating system does not let the archive be read, or its files be written."""
    FOLDER_NOT_EMPTY = "folder_not_empty"
    """The folder to unpack into holds something already."""
    ENCRYPTED = "member_encrypted"
    """A member is encrypted."""
    UNSUPPORTED_COMPRESSION = "member_unsupported_compression"
    """A zip member is packed otherwise than stored or deflated."""
    LINK = "member_link"
    """A member is a symbolic or hard link, which can lead out of the folder."""
    SPECIAL = "member_special"
    """A member is a device, a pipe, a sparse file or of a kind unknown."""
    DUPLICATE = "member_duplicate"
    """Two members have the same name."""
    COLLISION = "member_collision"
    """Two names differ by case or Unicode form alone, or a file stands where another member needs a folder."""
    PARENT_PATH = "member_parent_path"
    """A name climbs out of the folder by ``..``."""
    ABSOLUTE_PATH = "member_absolute_path"
    """A name begins at the root or with a drive letter."""
    BACKSLASH = "member_backslash"
    """A name holds a backslash, which some systems take for a slash."""
    UNPRINTABLE_NAME = "member_unprintable_name"
    """A name holds a NUL, a control sign or another one that cannot be shown, or is no Unicode text."""
    BAD_NAME = "member_bad_name"
    """A name is empty, or holds a colon, which some systems take for a drive or a hidden stream."""
    LONG_NAME = "member_long_name"
    """A name, or a part of it, is longer than file systems allow, or lies too deep."""
