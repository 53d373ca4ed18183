"""A source's CSV bytes to rows of trimmed text, however they are encoded.

Laws: column names are trimmed and lower-case, so that early and late versions of a table read alike; a cell is trimmed
text, empty where the row is short; no row is lost.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

from cxr_core.errors import SourceError

__all__ = ["OLDEST_YEARS", "age_years", "read_table", "sex"]

# Sources hold ages up to 155, which are typing errors.
OLDEST_YEARS = 120

_STRAY = re.compile("[\udc80-\udcff]")


def read_table(data: bytes, *, name: str, required: tuple[str, ...]) -> list[Mapping[str, str]]:
    """The rows of a CSV table.

    UTF-8, with or without a byte-order mark; a byte that is no UTF-8 is read as Windows-1252, by itself, so that one
    foreign cell does not turn the rest of the table into another encoding.

    Args:
        data: The file.
        name: The table's name, for messages.
        required: Columns that must be there, in lower case.

    Raises:
        SourceError: The bytes are no table (``bad_table``), or a column is missing (``missing_columns``).
    """
    text = _STRAY.sub(_windows_1252, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"))
    try:
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise SourceError(f"{name} is no CSV table: {error}.", reason="bad_table", hint="Fetch it again.") from error
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    missing = [column for column in required if column not in header]
    if missing:
        raise SourceError(
            f"{name}: expected the columns {', '.join(required)}; missing {', '.join(missing)}, found "
            f"{', '.join(header) or 'none'}.",
            reason="missing_columns",
            hint="Check that the folder holds the source in its published layout.",
        )
    empty = dict.fromkeys(header, "")
    return [
        {**empty, **dict(zip(header, (cell.strip() for cell in line), strict=False))} for line in lines[1:] if any(line)
    ]


def age_years(text: str) -> float | None:
    """A cell's age in years, [0, 120]; None where it is blank, no number or impossible."""
    try:
        years = float(text)
    except ValueError:
        return None
    return years if 0 <= years <= OLDEST_YEARS else None


def sex(text: str) -> str:
    """``M``, ``F`` or empty."""
    return text.upper() if text.upper() in {"M", "F"} else ""


def _windows_1252(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")
