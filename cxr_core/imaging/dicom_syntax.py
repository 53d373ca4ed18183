"""DICOM's transfer syntaxes: how a file's bytes are to be read, and which of them are read here (PS3.5, annex A).

In: the UID of a file's meta group. Out: a ``Syntax``, or a refusal that names what was found. A UID is shown only where
it is one of DICOM's own: any other could be anybody's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["DEFLATED", "EXPLICIT_LITTLE", "IMPLICIT_LITTLE", "Codec", "Syntax", "syntax_of"]

Codec = Literal["native", "rle", "jpeg", "jpeg_lossless", "jpeg_ls", "jpeg_2000"]

_OWN_ROOT = re.compile(r"1\.2\.840\.10008\.[0-9.]{1,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Syntax:
    """One transfer syntax.

    Attributes:
        uid: As the meta group writes it.
        codec: How the pixel data is coded.
        explicit: Whether each element states its VR.
        big_endian: Whether numbers have their high byte first.
        deflated: Whether the data set is one deflate stream.
    """

    uid: str
    codec: Codec = "native"
    explicit: bool = True
    big_endian: bool = False
    deflated: bool = False


IMPLICIT_LITTLE = Syntax(uid="1.2.840.10008.1.2", explicit=False)
EXPLICIT_LITTLE = Syntax(uid="1.2.840.10008.1.2.1")
DEFLATED = Syntax(uid="1.2.840.10008.1.2.1.99", deflated=True)

_READ = {
    syntax.uid: syntax
    for syntax in (
        IMPLICIT_LITTLE,
        EXPLICIT_LITTLE,
        DEFLATED,
        # Retired, and still what old archives hold.
        Syntax(uid="1.2.840.10008.1.2.2", big_endian=True),
        Syntax(uid="1.2.840.10008.1.2.5", codec="rle"),
        Syntax(uid="1.2.840.10008.1.2.4.50", codec="jpeg"),
        Syntax(uid="1.2.840.10008.1.2.4.51", codec="jpeg"),
        Syntax(uid="1.2.840.10008.1.2.4.57", codec="jpeg_lossless"),
        Syntax(uid="1.2.840.10008.1.2.4.70", codec="jpeg_lossless"),
        Syntax(uid="1.2.840.10008.1.2.4.80", codec="jpeg_ls"),
        Syntax(uid="1.2.840.10008.1.2.4.81", codec="jpeg_ls"),
        Syntax(uid="1.2.840.10008.1.2.4.90", codec="jpeg_2000"),
        Syntax(uid="1.2.840.10008.1.2.4.91", codec="jpeg_2000"),
    )
}
# Known and not read: no X-ray of one frame is written so.
_NAMES = {
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Multi-component Lossless",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Multi-component",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.95": "JPIP Referenced Deflate",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame",
}


def syntax_of(uid: str) -> Syntax:
    """The syntax of a UID; empty where the meta group has none.

    Raises:
        ImageError: It is not read here (``unsupported_transfer_syntax``).
    """
    if uid in _READ:
        return _READ[uid]
    found = _NAMES.get(uid, "") or ("none" if not uid else "one that is not DICOM's own")
    if _OWN_ROOT.fullmatch(uid):
        found = f"{found} ({uid})" if uid in _NAMES else uid
    raise refuse(
        ImageFault.UNSUPPORTED_TRANSFER_SYNTAX,
        "Expected a transfer syntax that is uncompressed, deflated, RLE, JPEG, JPEG lossless, JPEG-LS or JPEG 2000; "
        f"found {found}.",
        hint="Transcode the file, e.g. `gdcmconv --raw IN OUT`.",
    )
