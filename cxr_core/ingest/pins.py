"""data/sources.lock.yaml: what each source is pinned to, as a package lock pins packages.

Laws: writing a pin keeps the file's comments and the other pins; reading gives back what was written.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from cxr_core.classes import SOURCES, Source
from cxr_core.errors import SourceError
from cxr_core.ingest.listing import Listing

__all__ = ["PINS_PATH", "Pin", "check_pin", "pin_of", "read_pins", "with_pin", "without_pins"]

PINS_PATH = "data/sources.lock.yaml"


class Pin(BaseModel):
    """What a source was when it was pinned."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["folder"]
    revision: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    files: int = Field(ge=1)
    bytes: int = Field(ge=0)
    licence: str
    synthetic: bool


def pin_of(listing: Listing, *, licence: str) -> Pin:
    """The pin that holds a source at what it is now."""
    return Pin(
        kind="folder",
        revision=listing.revision,
        files=listing.files,
        bytes=listing.bytes,
        licence=licence,
        synthetic=listing.synthetic,
    )


def read_pins(text: str) -> dict[Source, Pin | None]:
    """The pins of the lock file's text; None where a source is not pinned yet.

    Raises:
        SourceError: The text is no lock file; every fault is listed with its dotted path.
    """
    sources = _loaded(text)["sources"]
    pins: dict[Source, Pin | None] = {}
    faults: list[str] = []
    for source in SOURCES:
        try:
            pins[source] = None if sources[source] is None else Pin.model_validate(dict(sources[source]))
        except (ValidationError, TypeError, ValueError) as error:
            faults.append(f"sources.{source}: {' '.join(str(error).split())}")
    if faults:
        raise _refusal("; ".join(faults))
    return pins


def with_pin(text: str, source: Source, pin: Pin) -> str:
    """The lock file's text with one source pinned anew; comments and the other pins stay.

    Raises:
        SourceError: The text is no lock file.
    """
    data = _loaded(text)
    data["sources"][source] = pin.model_dump()
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


def check_pin(source: Source, pin: Pin | None, listing: Listing) -> None:
    """Refuse bytes that are not the pinned ones.

    Raises:
        SourceError: No pin (``not_pinned``), or another revision (``pin_mismatch``, naming both).
    """
    if pin is None:
        raise SourceError(
            f"{source} is not pinned in {PINS_PATH}.", reason="not_pinned", hint=f"Run `cxr sources update {source}`."
        )
    if pin.revision != listing.revision:
        raise SourceError(
            f"{source} is pinned to {pin.revision} ({pin.files} files, {pin.bytes} bytes); found {listing.revision} "
            f"({listing.files} files, {listing.bytes} bytes).",
            reason="pin_mismatch",
            hint=f"Restore the pinned files, or accept these with `cxr sources update {source}`.",
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
