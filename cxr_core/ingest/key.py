"""The key under which patients appear: how a data version says which one it was, without giving it away.

In: the key. Out: its identity, which stands in the lock file beside the pins (``patient_key:``), so that DVC runs
ingest again when the key is another one. Laws: a key has one identity everywhere; the identity leads neither to the key
nor to any patient's digest; writing it keeps the file's comments and pins.
"""

from __future__ import annotations

import re

from cxr_core.digests import keyed_digest
from cxr_core.errors import SettingError

__all__ = ["check_key", "key_identity", "with_key_identity"]

# No patient's text: those begin with a source's name and a colon.
_CONSTANT = "which key is this"
_LINE = re.compile(
    r"^patient_key:[ \t]*(?P<quote>['\"]?)(?P<identity>[0-9a-f]{16}|null|)(?P=quote)[ \t]*$", re.MULTILINE
)
_NONE = frozenset({"null", ""})


def key_identity(key: bytes) -> str:
    """16 hex digits that tell two keys apart."""
    return keyed_digest(key, _CONSTANT)


def with_key_identity(text: str, key: bytes) -> str:
    """The lock file's text, saying under which key patients' digests are made."""
    # Quoted: sixteen hex digits may look like a number.
    line = f'patient_key: "{key_identity(key)}"'
    if _LINE.search(text):
        return _LINE.sub(line, text, count=1)
    return text.rstrip("\n") + f"\n{line}\n"


def check_key(text: str, key: bytes) -> None:
    """Refuse a key that is not the one the lock file names; a file that names none takes any.

    Raises:
        SettingError: Another key (``patient_key_differs``).
    """
    found = _LINE.search(text)
    if found is not None and found["identity"] not in _NONE and found["identity"] != key_identity(key):
        raise SettingError(
            f"The workspace's patients are digested under the key {found['identity']}; CXR_PATIENT_KEY is "
            f"{key_identity(key)}.",
            reason="patient_key_differs",
            hint="Set CXR_PATIENT_KEY to that key, or set patient_key to null in data/sources.lock.yaml to begin anew.",
        )
