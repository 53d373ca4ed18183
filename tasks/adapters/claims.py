"""What a remote says of itself: the manifest of a data version, and the marker that every object of it was verified.

A version is complete at a remote where the marker stands and names the digest of the manifest that stands beside it.
Laws: the marker is written last and taken back first; what was written is read back before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_core.audit.manifest import Manifest, Marker, manifest_name, marker_name, parse_manifest, parse_marker
from cxr_core.errors import AuditError, VersioningError
from tasks.adapters.objects import ObjectStore

__all__ = ["Claim", "read_claim", "withdraw_claim", "write_claim"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a remote says of one data version.

    Args:
        marked: Whether a marker stands, whatever it says.
        manifest: The manifest that the marker names; None where the remote does not claim to be complete.
        why: Why it does not; empty where it does.
    """

    marked: bool
    manifest: Manifest | None
    why: str


def read_claim(store: ObjectStore, data: str) -> Claim:
    """Whether a remote claims to hold a data version whole.

    Raises:
        VersioningError: The remote does not answer.
    """
    text = store.read_note(marker_name(data))
    if text is None:
        return Claim(marked=False, manifest=None, why=f"no marker at {store.address}/{marker_name(data)}")
    try:
        marker = parse_marker(text)
        body = store.read_note(manifest_name(data))
        if body is None:
            return Claim(marked=True, manifest=None, why=f"no manifest at {store.address}/{manifest_name(data)}")
        manifest = parse_manifest(body)
    except AuditError as error:
        return Claim(marked=True, manifest=None, why=error.message)
    if marker != Marker.of(manifest) or manifest.data != data:
        why = f"the marker speaks of the manifest {marker.manifest}, found {manifest.digest} of {manifest.data}"
        return Claim(marked=True, manifest=None, why=why)
    return Claim(marked=True, manifest=manifest, why="")


def write_claim(store: ObjectStore, manifest: Manifest) -> None:
    """Have a remote say that it is complete; every object was verified before.

    Raises:
        VersioningError: The remote does not keep what is written to it.
    """
    # What is claimed for ever has to survive a power cut, too.
    store.settle()
    name = manifest_name(manifest.data)
    store.write_note(name, manifest.encoded())
    if store.read_note(name) != manifest.encoded():
        raise VersioningError(
            f"{store.address}/{name} was written and reads otherwise.",
            reason="remote_incomplete",
            hint="Check the remote's disk or bucket, then publish again.",
        )
    store.write_note(marker_name(manifest.data), Marker.of(manifest).encoded())


def withdraw_claim(store: ObjectStore, data: str) -> None:
    """Take a marker back that has turned out to be wrong, before anything is repaired.

    Raises:
        VersioningError: The remote refuses.
    """
    store.remove_note(marker_name(data))
