"""Digests: bytes or plain values in, ``sha256:<64 hex>`` out.

Laws: equal values give equal digests on every machine; the algorithm stands in the digest; a change of how values are
written down would change the algorithm's name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["canonical_json", "digest_bytes", "digest_file", "digest_value", "keyed_digest"]

# Small enough that the C library gives out the same memory again and again: most files are a few KB.
_CHUNK_BYTES = 1 << 16
# One for all: `json.dumps` would make one for each value.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_bytes(data: bytes) -> str:
    """``sha256:<hex>`` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path | str) -> str:
    """``sha256:<hex>`` of a file's bytes, read in chunks of 64 KiB."""
    state = hashlib.sha256()
    # Where there are thousands of small files, a Path and a file object for each are a third of the time.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(file, _CHUNK_BYTES):
            state.update(chunk)
    finally:
        os.close(file)
    return "sha256:" + state.hexdigest()


def canonical_json(value: Any) -> str:
    """One JSON text a value: sorted keys, no blanks, UTF-8, no NaN.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value is not plain JSON.
    """
    return _CANONICAL.encode(value)


def digest_value(value: Any) -> str:
    """``sha256:<hex>`` of a plain value's canonical JSON."""
    return digest_bytes(canonical_json(value).encode())


def keyed_digest(key: bytes, text: str) -> str:
    """16 hex digits of HMAC-SHA-256: how a patient appears outside the raw source.

    The same key and patient give the same digest, so that groups hold across sources and runs; without the key the
    patient cannot be found by trying every id.
    """
    return hmac.digest(key, text.encode(), "sha256").hex()[:16]
