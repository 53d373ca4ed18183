"""A source's CSV bytes to rows of trimmed text, however they are encoded.

Laws: column names are trimmed and lower-case, so that early and late versions of a table read alike; a cell is trimmed
text, empty where the row is short, and never anything but text (a formula stays the words it is written in); no row is
lost: a quote that is never closed, which would swallow every row behind it, makes the table a bad one.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping

from cxr_core.errors import SourceError
from cxr_core.ingest.faults import SourceFault

__all__ = ["MAX_TABLE_BYTES", "OLDEST_YEARS", "age_years", "read_table", "sex"]

# The largest published table of chest X-rays, the NIH's 112 000 rows, has 8 MB and 1.3 million cells.
MAX_TABLE_BYTES = 32 * 1024 * 1024
_MAX_CELLS = 4_000_000

# Sources hold ages up to 155, which are typing errors.
OLDEST_YEARS = 120

_STRAY = re.compile("[\udc80-\udcff]")
# A row behind the last one, which an unclosed quote would swallow. No table holds it: NULs are refused before.
_LAST = "\0"
_HINT = "Fetch it again, or save it anew as CSV in UTF-8."


def read_table(data: bytes, *, name: str, required: tuple[str, ...]) -> list[Mapping[str, str]]:
    """The rows of a CSV table.

    UTF-8, with or without a byte-order mark; a byte that is no UTF-8 is read as Windows-1252, by itself, so that one
    foreign cell does not turn the rest of the table into another encoding.

    Args:
        data: The file.
        name: The table's name, for messages.
        required: Columns that must be there, in lower case.

    Raises:
        SourceError: The bytes are no table (``bad_table``) or too many (``table_too_large``), a column is missing
            (``missing_columns``), or two have one name (``duplicate_columns``).
    """
    if len(data) > MAX_TABLE_BYTES:
        raise _refuse(SourceFault.TABLE_TOO_LARGE, f"{name}: expected at most {MAX_TABLE_BYTES} bytes: {len(data)}.")
    if b"\0" in data:
        raise _refuse(SourceFault.BAD_TABLE, f"{name} is no CSV table in UTF-8: it holds NUL bytes.")
    text = _STRAY.sub(_windows_1252, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"))
    lines = _lines(text, name)
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    missing = [column for column in required if column not in header]
    if missing:
        raise SourceError(
            f"{name}: expected the columns {', '.join(required)}; missing {', '.join(missing)}, found "
            f"{_shortened(', '.join(header)) or 'none'}.",
            reason=SourceFault.MISSING_COLUMNS.value,
            hint="Check that the folder holds the source in its published layout.",
        )
    # Columns without a name are published ones: somebody's spreadsheet had them. Nothing reads them.
    twice = sorted(column for column, times in Counter(header).items() if column and times > 1)
    if twice:
        raise _refuse(SourceFault.DUPLICATE_COLUMNS, f"{name} has two columns named {_shortened(', '.join(twice))}.")
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


def _lines(text: str, name: str) -> list[list[str]]:
    lines: list[list[str]] = []
    cells = 0
    try:
        for line in csv.reader(io.StringIO(f"{text}\n{_LAST}", newline="")):
            lines.append(line)
            # A short row has every column, too, once it is read.
            cells += max(len(line), len(lines[0]))
            if cells > _MAX_CELLS:
                raise _refuse(SourceFault.TABLE_TOO_LARGE, f"{name}: expected at most {_MAX_CELLS} cells, found more.")
    except csv.Error as error:
        raise _refuse(SourceFault.BAD_TABLE, f"{name} is no CSV table: {error}.") from error
    if lines.pop() != [_LAST]:
        raise _refuse(SourceFault.BAD_TABLE, f"{name} is no whole CSV table: a quote is opened and never closed.")
    return lines


def _refuse(fault: SourceFault, message: str) -> SourceError:
    return SourceError(message, reason=fault.value, hint=_HINT)


def _shortened(words: str) -> str:
    return words if len(words) <= 500 else f"{words[:500]}…"


def _windows_1252(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")
