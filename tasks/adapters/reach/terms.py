"""How long we wait and how much we take: the same for every way to a source.

``CXR_FETCH_STALL_SECONDS`` and ``CXR_FETCH_MAX_GB`` change what a slow line or a large archive needs changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cxr_core.errors import SettingError

__all__ = ["MAX_VARIABLE", "STALL_VARIABLE", "Terms", "read_terms"]

STALL_VARIABLE = "CXR_FETCH_STALL_SECONDS"
MAX_VARIABLE = "CXR_FETCH_MAX_GB"


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Limits of one fetch.

    Attributes:
        connect_seconds: For a connection to stand.
        stall_seconds: Without a byte, on a connection that stands.
        tries: In a row that bring nothing, the first one counted.
        first_wait_seconds: Between tries; doubled each time.
        longest_wait_seconds: Between tries, also where the server asks for it. Asked for longer, we stop and say so.
        redirects: From one address to the next.
        max_bytes: Of one archive, or of all files together.
    """

    connect_seconds: float = 20.0
    stall_seconds: float = 60.0
    tries: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    redirects: int = 5
    max_bytes: int = 500 * 10**9

    def waits(self) -> Iterator[float]:
        """Seconds before the second try, the third, …; ends where there is no further one."""
        for retry in range(self.tries - 1):
            yield min(self.longest_wait_seconds, self.first_wait_seconds * 2**retry)


def read_terms(environment: Mapping[str, str]) -> Terms:
    """The terms of this machine.

    Raises:
        SettingError: A variable is no positive number (``bad_fetch_setting``).
    """
    standard = Terms()
    return Terms(
        stall_seconds=_positive(environment, STALL_VARIABLE, standard.stall_seconds, "seconds"),
        max_bytes=int(_positive(environment, MAX_VARIABLE, standard.max_bytes / 1e9, "GB, 10^9 bytes each") * 1e9),
    )


def _positive(environment: Mapping[str, str], variable: str, standard: float, unit: str) -> float:
    text = environment.get(variable)
    if not text:
        return standard
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingError(
            f"{variable} should be a positive number ({unit}); found {text!r}.",
            reason="bad_fetch_setting",
            hint=f"unset {variable}  # {standard:g} then",
        )
    return value
