"""Where a source is reached: a setting of the machine, never a pin. Read when called; failures name the variable.

In: the text of ``CXR_SOURCE_<NAME>``, or a folder of all sources in ``CXR_SOURCES``. Out: an ``Address``, of which
``kind`` is the word that pins begin with. Laws: parsing asks no disk and no network; ``str(address)`` can be shown to
anybody (what a web address carries behind its ``?`` may be a key to it and is left out) and, that aside, parses back to
the same address; an address holds no password, since settings end in logs and in the shell's history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from cxr_core.classes import Source
from cxr_core.errors import SettingError

__all__ = [
    "Address",
    "FolderAddress",
    "GitAddress",
    "HttpAddress",
    "KaggleAddress",
    "S3Address",
    "parse_address",
    "source_address",
    "source_folder",
    "source_variable",
]

_FORMS = (
    "a folder, git+https://HOST/REPOSITORY[@REF] (or git+ssh://, git+file://), https://HOST/ARCHIVE[#sha256=HEX], "
    "s3://BUCKET/ARCHIVE, s3://BUCKET/PREFIX/, kaggle:OWNER/NAME[/versions/N] or kaggle:competitions/NAME"
)
# One letter and a colon begin a folder on Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")
# What git-check-ref-format(1) forbids in a name, and a leading dash, which programs take for an option.
_BAD_REF = re.compile(r"^-|\.\.|@\{|[~^:?*\[\\]|//|^/|/$|\.$|\.lock$")
_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_DATASET = re.compile(r"([A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*)(?:/versions/([1-9][0-9]{0,8}))?", re.ASCII)
_COMPETITION = re.compile(r"competitions/([A-Za-z0-9][\w-]*)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderAddress:
    """A folder in the source's published layout."""

    kind: ClassVar[Literal["folder"]] = "folder"
    path: Path

    def __str__(self) -> str:
        """The folder."""
        return str(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class GitAddress:
    """A git repository.

    Attributes:
        url: What git is given: ``https://``, ``ssh://`` or ``file://``.
        ref: A branch, a tag or a commit; empty for the repository's own default.
    """

    kind: ClassVar[Literal["git"]] = "git"
    url: str
    ref: str = ""

    def __str__(self) -> str:
        """``git+URL[@REF]``."""
        return f"git+{self.url}" + (f"@{self.ref}" if self.ref else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAddress:
    """One archive on a web server.

    Attributes:
        url: ``https://`` or ``http://``, with its query, without its fragment.
        sha256: 64 hex digits that the archive must have; None where nothing is claimed.
    """

    kind: ClassVar[Literal["https"]] = "https"
    url: str
    sha256: str | None = None

    def __str__(self) -> str:
        """The address without its query."""
        return self.url.partition("?")[0] + (f"#sha256={self.sha256}" if self.sha256 else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Address:
    """An archive in an S3 bucket, or the objects under a prefix: a key that ends with a slash or is empty."""

    kind: ClassVar[Literal["s3"]] = "s3"
    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Whether the objects under the key are meant, not an object."""
        return not self.key or self.key.endswith("/")

    def __str__(self) -> str:
        """``s3://BUCKET/KEY``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class KaggleAddress:
    """A data set or a competition's data on Kaggle.

    Attributes:
        what: Which of the two.
        handle: ``owner/name`` of a data set, the name of a competition.
        version: Of a data set, from 1; None for the newest. Competitions keep no versions.
    """

    kind: ClassVar[Literal["kaggle"]] = "kaggle"
    what: Literal["dataset", "competition"]
    handle: str
    version: int | None = None

    def __str__(self) -> str:
        """``kaggle:OWNER/NAME[/versions/N]`` or ``kaggle:competitions/NAME``."""
        place = "competitions/" if self.what == "competition" else ""
        return f"kaggle:{place}{self.handle}" + (f"/versions/{self.version}" if self.version else "")


Address = FolderAddress | GitAddress | HttpAddress | S3Address | KaggleAddress


def source_variable(source: Source) -> str:
    """The variable that says where one source lies."""
    return f"CXR_SOURCE_{source.upper()}"


def parse_address(text: str, *, variable: str) -> Address:
    """The address that the text of a variable names.

    Raises:
        SettingError: It is none of the forms (``bad_address``), or holds a password (``credentials_in_address``).
    """
    scheme = _SCHEME.match(text)
    match scheme and scheme[1].lower():
        case None:
            return _folder(text, variable)
        case "git+https" | "git+ssh" | "git+file":
            return _git(text, variable)
        case "https" | "http":
            return _http(text, variable)
        case "s3":
            return _s3(text, variable)
        case "kaggle":
            return _kaggle(text, variable)
        case _:
            raise _refusal(variable, text, "no source is reached in this way")


def source_address(source: Source, environment: Mapping[str, str]) -> Address:
    """Where a source is reached: ``CXR_SOURCE_<NAME>``, or the folder of its name under ``CXR_SOURCES``.

    Raises:
        SettingError: Neither is set (``source_not_set``), the folder is not there (``source_not_found``), or as
            ``parse_address``.
    """
    own, shared = environment.get(source_variable(source)), environment.get("CXR_SOURCES")
    if not own and not shared:
        raise SettingError(
            f"No place is set for the source {source}.",
            reason="source_not_set",
            hint=f"Set CXR_SOURCES to a folder that holds {source}/ (or {source_variable(source)} to the folder "
            "itself or another address), or run `cxr demo` to see the walk on phantoms.",
        )
    variable = source_variable(source) if own else "CXR_SOURCES"
    address = parse_address(own or str(shared), variable=variable)
    if not isinstance(address, FolderAddress):
        if own:
            return address
        raise _refusal(variable, str(address), "it is the folder that holds all of them", forms="a folder")
    folder = address.path if own else address.path / source
    if not folder.is_dir():
        raise SettingError(
            f"{variable} says that {source} lies at {folder}; there is no such folder.",
            reason="source_not_found",
            hint=f"Mirror the source there, correct {variable}, or leave the source out with "
            "`--set ingest.sources=[...]`.",
        )
    return FolderAddress(path=folder)


def source_folder(source: Source, environment: Mapping[str, str]) -> Path:
    """A source's folder, where it is reached by one: all that a stage reads.

    Raises:
        SettingError: As ``source_address``; or it is reached otherwise (``source_not_fetched``).
    """
    address = source_address(source, environment)
    if isinstance(address, FolderAddress):
        return address.path
    raise SettingError(
        f"{source_variable(source)} says that {source} is fetched from {address}; this stage reads a folder.",
        reason="source_not_fetched",
        hint="`cxr retrain` fetches it first; by hand, set the variable to a version's folder in CXR_HOME/sources.",
    )


def _folder(text: str, variable: str) -> FolderAddress:
    if "\0" in text or not text.strip():
        raise _refusal(variable, text, "no folder has such a name")
    if re.match(r"[\w.-]+@[\w.-]+:", text):
        raise _refusal(variable, text, "write git+ssh://USER@HOST/PATH")
    try:
        return FolderAddress(path=Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise _refusal(variable, text, "nobody knows whose home that is") from error


def _git(text: str, variable: str) -> GitAddress:
    parts = _split(text, variable)
    if parts.query or parts.fragment:
        raise _refusal(variable, text, "git's addresses have no ? and no #")
    path, at, ref = parts.path.rpartition("@")
    path, ref = (path, ref) if at else (ref, "")
    scheme = parts.scheme.removeprefix("git+")
    if not path.strip("/") or (scheme == "file") == bool(parts.netloc):
        raise _refusal(variable, text, "a host (none with git+file://) and a path are needed")
    if at and (not ref or _BAD_REF.search(ref)):
        raise _refusal(variable, text, f"{ref!r} is no branch, tag or commit")
    return GitAddress(url=f"{scheme}://{parts.netloc}{path}", ref=ref)


def _http(text: str, variable: str) -> HttpAddress:
    parts = _split(text, variable)
    bare = parts._replace(fragment="").geturl()
    if not parts.netloc or not parts.path.strip("/"):
        raise _refusal(variable, text, "a host and the path of an archive are needed")
    if parts.path.endswith(".git"):
        raise _refusal(variable, text, f"a repository is reached by git: write git+{bare}")
    checksum = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and not checksum:
        raise _refusal(variable, text, f"{parts.fragment!r} is not sha256= and 64 hex digits")
    return HttpAddress(url=bare, sha256=checksum[1].lower() if checksum else None)


def _s3(text: str, variable: str) -> S3Address:
    # A key may hold ? and #, which are signs like any other there.
    bucket, _, key = text.partition("://")[2].partition("/")
    if not text[2:].startswith("://") or not _BUCKET.fullmatch(bucket):
        raise _refusal(variable, text, "a bucket's name is needed, of 3 to 63 letters, digits, dots and dashes")
    if re.search(r"[\x00-\x1f\x7f]", key):
        raise _refusal(variable, text, "the key holds a sign that cannot be shown")
    return S3Address(bucket=bucket, key=key)


def _kaggle(text: str, variable: str) -> KaggleAddress:
    handle = text.partition(":")[2]
    if competition := _COMPETITION.fullmatch(handle):
        return KaggleAddress(what="competition", handle=competition[1])
    dataset = _DATASET.fullmatch(handle)
    if dataset is None or handle.startswith("competitions/"):
        raise _refusal(variable, text, "Kaggle knows OWNER/NAME[/versions/N] and competitions/NAME")
    return KaggleAddress(what="dataset", handle=dataset[1], version=int(dataset[2]) if dataset[2] else None)


def _split(text: str, variable: str) -> SplitResult:
    """The parts of a URL, proven to be one line of text without a password."""
    if _UNPRINTABLE.search(text):
        raise _refusal(variable, text, "blanks are written %20 there")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _refusal(variable, text, "host or port cannot be read") from error
    # Over https a user name alone is a token, too.
    if parts.password is not None or (parts.username is not None and parts.scheme != "git+ssh"):
        raise SettingError(
            f"{variable} holds a user's name or password, which would end in logs.",
            reason="credentials_in_address",
            hint="Keep them in ~/.netrc (machine HOST login USER password TOKEN; chmod 600) and take them out of "
            f"{variable}.",
        )
    return parts


def _refusal(variable: str, text: str, fault: str, *, forms: str = _FORMS) -> SettingError:
    # Neither a password nor what stands behind a ? is for logs.
    shown = re.sub(r"//[^/]*@", "//***@", text.partition("?")[0])
    return SettingError(
        f"{variable} says {shown!r}, which is no address of a source: {fault}.",
        reason="bad_address",
        hint=f"Set {variable} to {forms}.",
    )
