"""The parser: what begins a DICOM file, how it is written, and what it may cost to find out."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from cxr_core.errors import ImageError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.dicom_parse import is_dicom, parse
from cxr_core.imaging.faults import ImageFault
from tests.cxr_core.imaging.pictures import outcome, ramp
from tests.cxr_core.imaging.raw_dicom import (
    BIG,
    DEFLATED,
    ENDLESS,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    JPEG,
    SEQUENCE_END,
    element,
    file,
    fragments,
    meta_group,
    nested,
    picture,
)

GREY = ramp()
MIB = 1 << 20


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


def message_of(data: bytes) -> str:
    """What a refusal says; nothing where there is none."""
    try:
        decode(data)
    except ImageError as error:
        return str(error)
    return ""


def peak_bytes(data: bytes) -> tuple[str, int]:
    """The reason of a refusal, and the memory taken until then."""
    tracemalloc.start()
    try:
        reason = reason_of(data)
        return reason, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- how a file may begin


@pytest.mark.parametrize(
    "begins",
    [
        {},
        {"preamble": None},
        {"preamble": None, "meta": False},
        {"preamble": None, "meta": False, "syntax": IMPLICIT},
        {"preamble": b"II*\0" + bytes(124)},
        {"preamble": b"Anything. ".ljust(128)},
    ],
    ids=["as published", "no preamble", "no meta group", "implicit, no meta group", "TIFF preamble", "text preamble"],
)
def test_a_file_reads_alike_with_and_without_its_preamble_and_meta_group(begins):
    data = file(GREY, **begins)
    assert is_dicom(data)
    assert np.array_equal(decode(data).pixels, GREY)


@pytest.mark.parametrize(
    "magic",
    [b"MZ\x90\0", b"\x7fELF\2", b"#!/bin/sh\n", b"PK\3\4", b"%PDF-1.7", b"\n\n%PDF-1.7", b"Rar!\x1a", b"7z\xbc\xaf'"],
)
def test_a_file_that_is_a_program_or_an_archive_as_well_is_refused(magic):
    assert reason_of(file(GREY, preamble=magic.ljust(128, b"\0"))) == ImageFault.EXECUTABLE_PREAMBLE


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",  # no element follows
        b"\x08\0\x05\0CS\x0b\0ISO_IR 100 \x08\0\x08\0CS\0\0",  # an odd length
        b"\x08\0\x16\0UI\x02\0\x31\0\x08\0\x05\0CS\0\0",  # a lower tag follows
        b"\x08\0\x05\0xx\x0a\0ISO_IR 100\x08\0\x08\0CS\0\0",  # neither a VR nor a length
        b"\x02\0\0\0XX\4\0" + bytes(4),  # a meta group in a VR that it does not have
        b"\x09\0\x05\0CS\x02\0ab\x09\0\x08\0CS\0\0",  # a private group
        b"DICM" + bytes(200),
    ],
)
def test_other_bytes_are_not_taken_for_a_file_without_preamble(data):
    assert not is_dicom(data)
    assert reason_of(data) == ImageFault.NOT_AN_IMAGE


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_refused_by_name(data):
    found = outcome(bytes(128) + b"DICM" + data)
    assert isinstance(found, ImageFault) or found.dtype == np.uint8


# --- how it may be written


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (16, True), (12, True)])
def test_every_uncompressed_syntax_holds_the_same_picture(syntax, bits, signed):
    pixels = picture(bits, signed=signed)
    data = file(pixels, syntax=syntax, BitsStored=bits)
    assert np.array_equal(decode(data).pixels, decode(file(pixels, BitsStored=bits)).pixels)
    assert np.array_equal(dcmread(io.BytesIO(data)).pixel_array, pixels)


def test_eight_bits_in_big_endian_words_are_put_in_order():
    data = file(GREY, syntax=BIG, BitsStored=8)
    words = GREY.reshape(-1, 2)[:, ::-1].tobytes()
    start = data.index(b"\x7f\xe0\x00\x10OB")
    swapped = data[:start] + element(0x7FE00010, "OW", words, syntax=BIG)
    assert np.array_equal(decode(swapped).pixels, GREY)


@pytest.mark.parametrize(
    ("uid", "words"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.840.10008.1.2.4.203", "High-Throughput"),
        ("1.2.840.10008.1.2.4.94", "JPIP"),
        ("1.2.840.10008.1.2.99", r"1\.2\.840\.10008\.1\.2\.99"),
        ("1.3.12.2.1107.5.9.19", "not DICOM's own"),
        ("", "none"),
    ],
)
def test_other_transfer_syntaxes_are_refused_by_name(uid, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode(file(GREY).replace(meta_group({0x00020010: EXPLICIT}), meta_group({0x00020010: uid})))
    assert caught.value.reason == ImageFault.UNSUPPORTED_TRANSFER_SYNTAX
    assert "1107" not in caught.value.message


def test_a_file_whose_syntax_is_another_than_it_says_is_refused():
    for said in (IMPLICIT, BIG, DEFLATED, JPEG):
        data = file(GREY).replace(meta_group({0x00020010: EXPLICIT}), meta_group({0x00020010: said}))
        assert reason_of(data) in {ImageFault.CORRUPT, ImageFault.TRUNCATED, ImageFault.NO_PIXELS}


# --- deflated, without inflating a bomb


@given(cut=st.integers(min_value=0))
@settings(max_examples=25)
def test_a_deflated_file_cut_anywhere_raises(cut):
    data = file(GREY, syntax=DEFLATED)
    body = len(data) - 12
    with pytest.raises(ImageError):
        decode(data[: cut % body])


def bomb(head: bytes, megabytes: int) -> bytes:
    """A deflated file: a head, then zeros."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(MIB)
    body = b"".join([engine.compress(head), *(engine.compress(zeros) for _ in range(megabytes)), engine.flush()])
    return bytes(128) + b"DICM" + meta_group({0x00020010: DEFLATED}) + body


def head_of(pixels, **changes) -> bytes:
    """A data set up to the length of its pixel data."""
    whole = file(pixels, preamble=None, meta=False, **changes)
    return whole[: whole.index(b"\xe0\x7f\x10\0")]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (head_of(GREY, Rows=34_000, Columns=18_000) + element(0x7FE00010, "OW", b"", length=612_000_000), "too_large"),
        (head_of(GREY) + element(0x7FE00010, "OW", b"", length=612_000_000), "corrupt"),
        (element(0x00080005, "CS", b"ISO_IR 6") + element(0x00091001, "UN", b"", length=612_000_000), "too_large"),
        (head_of(GREY) + element(0x7FE00010, "OB", ITEM + b"\0\0\0\x7a", length=0xFFFFFFFF), "too_large"),
        (element(0x00091001, "SQ", b"", length=0xFFFFFFFF) + ITEM + ENDLESS, "corrupt"),
    ],
    ids=["as large as it says", "larger than it says", "before the picture", "as a fragment", "in a sequence"],
)
def test_a_file_that_inflates_a_thousandfold_is_refused_in_flat_memory(head, reason):
    data = bomb(head, 600)
    assert len(data) < MIB
    found, peak = peak_bytes(data)
    assert found == reason
    assert peak < 16 * MIB


def test_a_deflated_picture_takes_no_more_memory_than_another_of_its_size():
    pixels = np.tile(picture(16), (40, 40))
    tracemalloc.start()
    found = decode(file(pixels, syntax=DEFLATED)).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, decode(file(pixels)).pixels)
    assert peak < 6 * pixels.nbytes


# --- nesting


@pytest.mark.parametrize("vr", ["SQ", "UN"])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED])
def test_ten_thousand_sequences_in_one_another_are_refused_without_recursion(vr, syntax):
    written = IMPLICIT if vr == "UN" or syntax == IMPLICIT else EXPLICIT
    inside = nested(10_000, syntax=written)
    if vr == "UN" and syntax != IMPLICIT:
        # The content of UN is implicit (PS3.5, 6.2.2), its own header is not.
        inside = element(0x00091001, "UN", b"", length=0xFFFFFFFF) + ITEM + ENDLESS + inside + ITEM_END + SEQUENCE_END
    data = file(GREY, before=element(0x00080005, "CS", b"ISO_IR 6", syntax=written) + inside, syntax=syntax)
    if vr == "UN" and syntax != IMPLICIT:
        data = file(GREY, before=element(0x00080005, "CS", b"ISO_IR 6") + inside, syntax=syntax)
    assert reason_of(data) == ImageFault.TOO_COMPLEX


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_what_stands_in_sequences_is_skipped_and_never_mistaken_for_the_picture(syntax):
    icon = element(0x00280010, "US", b"\1\0", syntax=syntax) + element(0x7FE00010, "OB", b"\7\7", syntax=syntax)
    coded = (
        element(0x7FE00010, "OB", fragments(b"frame"), syntax=syntax, length=0xFFFFFFFF) if syntax == EXPLICIT else b""
    )
    endless = ITEM + ENDLESS + icon + coded + nested(20, syntax=syntax) + ITEM_END
    defined = ITEM + len(icon).to_bytes(4, "little") + icon
    for value, length in ((endless + defined + SEQUENCE_END, 0xFFFFFFFF), (defined, None)):
        before = element(0x00080005, "CS", b"ISO_IR 6", syntax=syntax)
        before += element(0x00081140, "SQ", value, syntax=syntax, length=length)
        data = file(GREY, before=before, syntax=syntax, Modality=None, SOPClassUID=None)
        assert np.array_equal(decode(data).pixels, GREY)
        assert np.array_equal(dcmread(io.BytesIO(data)).pixel_array, GREY)


def test_a_hundred_thousand_elements_are_too_many():
    many = b"".join(element(0x00090000 + number, "US", b"\1\0") for number in range(0x10, 0xFFFF))
    more = b"".join(element(0x000B0000 + number, "US", b"\1\0") for number in range(0x10, 0xFFFF))
    assert np.array_equal(decode(file(GREY, before=many)).pixels, GREY)
    assert reason_of(file(GREY, before=many + more)) == ImageFault.TOO_COMPLEX


# --- contradictions


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (element(0x00080060, "CS", b"DX"), "corrupt"),  # Modality stands there twice
        (element(0x00091001, "??", b""), "corrupt"),
        (element(0x00091001, "LO", b"", length=0xFFFE), "truncated"),
        (element(0x00091001, "LT", b"").replace(b"LT\0\0", b"OB\0\0") + ENDLESS, "corrupt"),
        (ITEM + bytes(4), "corrupt"),
        (element(0x00091001, "SQ", b"", length=0xFFFFFFFF) + element(0x00091002, "US", b"\1\0"), "corrupt"),
    ],
    ids=["twice", "no VR", "past the end", "no sequence", "an item alone", "no item"],
)
def test_a_header_that_contradicts_itself_is_refused(before, reason):
    assert reason_of(file(GREY, before=before)) == reason


def test_what_follows_the_picture_is_not_read():
    padded = file(GREY, after=element(0xFFFCFFFC, "OB", bytes(300)))
    rubbish = file(GREY, after=b"\x01\x02\x03 any")
    assert np.array_equal(decode(padded).pixels, GREY)
    assert np.array_equal(decode(rubbish).pixels, GREY)


def test_burned_in_text_is_found_behind_the_picture_too():
    data = file(GREY, after=element(0x7FE10010, "LO", b"ab") + element(0x00280301, "CS", b"YES "))
    assert reason_of(data) == ImageFault.BURNED_IN_ANNOTATION


# --- what messages say

CANARY = "Zwanzig^Canary"


@given(noise=st.binary(min_size=1, max_size=40), place=st.integers(min_value=0))
@settings(max_examples=60)
def test_no_message_quotes_an_element(noise, place):
    words = {
        keyword: CANARY.ljust(16)
        for keyword in (
            *("PatientName", "PatientID", "PatientAge", "PatientSex", "StudyDate", "Modality", "ViewPosition"),
            *("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "VOILUTFunction", "ImageComments"),
        )
    }
    data = bytearray(file(GREY, **words))
    start = place % len(data)
    data[start : start + len(noise)] = noise
    assert CANARY[:7] not in message_of(bytes(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": CANARY},
        {"BurnedInAnnotation": CANARY},
        {"NumberOfFrames": CANARY},
        {"Rows": CANARY},
        {"BitsAllocated": CANARY},
    ],
)
def test_a_text_where_a_number_or_a_term_should_stand_is_refused_unseen(changes):
    with pytest.raises(ImageError) as caught:
        decode(file(GREY, **changes))
    assert "Zwanzig" not in str(caught.value)


def test_a_number_of_frames_that_python_would_not_read_is_refused():
    assert reason_of(file(GREY, NumberOfFrames="9" * 5000)) == ImageFault.CORRUPT


def test_the_parser_finds_the_elements_that_pydicom_finds():
    data = file(GREY, before=element(0x00080005, "CS", b"ISO_IR 6"), PatientName="Doe^Jane", WindowCenter="127.5")
    theirs = dcmread(io.BytesIO(data))
    assert set(parse(data).places) == {int(tag) for tag in theirs.keys()}  # noqa: SIM118
