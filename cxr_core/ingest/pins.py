"""data/sources.lock.yaml: what each source is pinned to, as a package lock pins packages.

Laws: writing a pin keeps the file's comments and the other pins; reading gives back what was written; the same bytes
under a new version upstream leave the pin as it stands, so that nothing downstream of it reruns.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast, get_args

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from cxr_core.classes import SOURCES, Source
from cxr_core.errors import SourceError
from cxr_core.faults import Checked, faults_of, plain
from cxr_core.ingest.listing import Listing

__all__ = [
    "PINS_PATH",
    "Kind",
    "Pin",
    "check_pin",
    "kind_of",
    "pin_of",
    "read_pins",
    "settled_pin",
    "with_pin",
    "without_pins",
]

PINS_PATH = "data/sources.lock.yaml"

Kind = Literal["folder", "git", "https", "s3", "kaggle"]


class Pin(Checked, frozen=True, kw_only=True):
    """What a source was when it was pinned.

    Attributes:
        kind: How the source was reached.
        upstream: The version there, its kind first (``git:<commit>``, ``kaggle:owner/name/versions/3``); where to fetch
            these bytes again. Empty for a folder, which keeps no versions.
        revision: ``sha256:<hex>`` of the listing: the same bytes give the same one however they are reached.
        files: How many.
        bytes: Of all files together.
        licence: As the source states it.
        synthetic: Whether the source is marked as phantoms.
    """

    kind: Kind
    upstream: str = ""
    revision: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
    files: Annotated[int, Meta(ge=1)]
    bytes: Annotated[int, Meta(ge=0)]
    licence: str
    synthetic: bool

    def __post_init__(self) -> None:
        """Check that kind and upstream agree; a folder has no upstream."""
        if self.upstream == "folder":
            msgspec.structs.force_setattr(self, "upstream", "")
        if kind_of(self.upstream) != self.kind:
            raise ValueError(f"kind {self.kind} and upstream {self.upstream!r} do not agree")


def kind_of(upstream: str) -> Kind:
    """The kind that an upstream version begins with; ``folder`` where it is empty.

    Raises:
        ValueError: It begins with none of the kinds.
    """
    kind = upstream.partition(":")[0] or "folder"
    if kind not in get_args(Kind):
        raise ValueError(f"expected one of {', '.join(get_args(Kind))} first, found {upstream!r}")
    return cast(Kind, kind)


def pin_of(listing: Listing, *, licence: str, upstream: str = "") -> Pin:
    """The pin that holds a source at what it is now."""
    return Pin(
        kind=kind_of(upstream),
        upstream=upstream,
        revision=listing.revision,
        files=listing.files,
        bytes=listing.bytes,
        licence=licence,
        synthetic=listing.synthetic,
    )


def settled_pin(standing: Pin | None, found: Pin) -> Pin:
    """The pin to hold once ``found`` is there: the standing one where the bytes are its own.

    A commit, dataset version or ETag that brings the same bytes changes nothing, and a mirror folder of a fetched
    version tells less than the version. Bytes pinned from a folder, or fetched in another way, take the new version,
    so that other machines can fetch them.
    """
    if standing is None or (standing.revision, standing.licence) != (found.revision, found.licence):
        return found
    return standing if found.kind in ("folder", standing.kind) else found


def read_pins(text: str) -> dict[Source, Pin | None]:
    """The pins of the lock file's text; None where a source is not pinned yet.

    Raises:
        SourceError: The text is no lock file; every fault is listed with its dotted path.
    """
    sources = plain(_loaded(text)["sources"])
    held = [source for source in SOURCES if sources[source] is not None]
    if faults := [fault for source in held for fault in faults_of(sources[source], Pin, f"sources.{source}")]:
        raise _refusal("; ".join(faults))
    return {source: msgspec.convert(sources[source], Pin) if source in held else None for source in SOURCES}


def with_pin(text: str, source: Source, pin: Pin) -> str:
    """The lock file's text with one source pinned anew; comments and the other pins stay.

    Raises:
        SourceError: The text is no lock file.
    """
    data = _loaded(text)
    # A folder's pin has no upstream, as pins had before there were others: its text, which DVC compares, stays.
    data["sources"][source] = {key: value for key, value in pin.plain().items() if value or key != "upstream"}
    return _dumped(data)


def without_pins(text: str) -> str:
    """The lock file's text with every source unpinned; comments stay.

    Raises:
        SourceError: The text is no lock file.
    """
    data = _loaded(text)
    for source in data["sources"]:
        data["sources"][source] = None
    return _dumped(data)


def check_pin(source: Source, pin: Pin | None, listing: Listing, *, upstream: str = "") -> None:
    """Refuse bytes that are not the pinned ones.

    Args:
        source: Which of the four.
        pin: What it is pinned to.
        listing: What was found.
        upstream: The version that was fetched, for the message; empty for a folder.

    Raises:
        SourceError: No pin (``not_pinned``), or another revision (``pin_mismatch``, naming both).
    """
    if pin is None:
        raise SourceError(
            f"{source} is not pinned in {PINS_PATH}.", reason="not_pinned", hint=f"Run `cxr sources update {source}`."
        )
    if pin.revision != listing.revision:
        pinned, found = (f" at {version}" if version else "" for version in (pin.upstream, upstream))
        raise SourceError(
            f"{source} is pinned to {pin.revision} ({pin.files} files, {pin.bytes} bytes{pinned}); found "
            f"{listing.revision} ({listing.files} files, {listing.bytes} bytes{found}).",
            reason="pin_mismatch",
            hint=f"Restore the pinned files, or see what changed and accept it with `cxr sources update {source}`.",
        )


class _Representer(RoundTripRepresenter):
    """Writes ``null`` for an absent pin, as the file does, where ruamel would leave the place empty."""

    def represent_absent(self, _data: None) -> ScalarNode:
        """``null``."""
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_absent)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Representer = _Representer
    yaml.width = 120
    return yaml


def _dumped(data: Any) -> str:
    out = io.StringIO()
    _yaml().dump(data, out)
    return out.getvalue()


def _loaded(text: str) -> Any:
    try:
        data = _yaml().load(text)
    except YAMLError as error:
        raise _refusal(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping) or data.get("schema") != 1:
        raise _refusal("expected schema: 1 at the top")
    sources = data.get("sources")
    if not isinstance(sources, Mapping) or set(sources) != set(SOURCES):
        raise _refusal(f"expected exactly the sources {', '.join(SOURCES)}")
    return data


def _refusal(fault: str) -> SourceError:
    return SourceError(f"{PINS_PATH}: {fault}.", reason="bad_pins", hint=f"Restore it with `git checkout {PINS_PATH}`.")
