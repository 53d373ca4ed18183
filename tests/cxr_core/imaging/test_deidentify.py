"""What is kept of a file: the same picture, always the same bytes, and not one word of the original."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword

from cxr_core.digests import digest_bytes
from cxr_core.errors import ImageError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.deidentify import KEPT, deidentify
from cxr_core.imaging.dicom import read_dicom
from cxr_core.imaging.dicom_header import Tag
from tests.cxr_core.imaging.canaries import CANARY, told, with_words
from tests.cxr_core.imaging.pictures import dicom, encoded, png, ramp
from tests.cxr_core.imaging.raw_dicom import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    J2K_LOSSLESS,
    JPEG,
    JPEG_LS,
    LOSSLESS_1,
    RLE,
    file,
    picture,
)
from tests.cxr_core.imaging.test_codecs import coded

CONFIDENTIAL = [
    line for line in (Path(__file__).with_name("ps315.txt")).read_text().splitlines() if not line.startswith("#")
]
# Attributes of that list that are kept, and why they may be.
KEPT_ALL_THE_SAME = {"SOPInstanceUID": "a new one, made from the picture"}


def test_of_a_file_full_of_names_no_word_is_kept():
    data = told(picture(12), BitsStored=12)
    found = deidentify(data)
    assert len(set(CANARY.findall(data))) > 2000
    assert CANARY.findall(found.data) == []
    assert np.array_equal(decode(found.data).pixels, decode(data).pixels)


def test_the_facts_of_a_file_full_of_names_hold_its_patient_s_id_and_no_other_word():
    facts = deidentify(told(picture(12), BitsStored=12)).facts
    said = {name: value for name in facts.__slots__ if CANARY.search(str(value := getattr(facts, name)).encode())}
    assert list(said) == ["patient_id"]


def test_a_kept_file_holds_the_listed_elements_and_no_other():
    data = told(
        picture(12),
        BitsStored=12,
        PixelPaddingValue=4000,
        PixelPaddingRangeLimit=4095,
        RescaleIntercept="0",
    )
    whole = dcmread(io.BytesIO(deidentify(data).data))
    assert {int(tag) for tag in whole.keys()} <= set(KEPT)  # noqa: SIM118
    everything = dicom(
        picture(12),
        BitsStored=12,
        PixelPaddingValue=4000,
        PixelPaddingRangeLimit=4095,
        WindowCenter=[2000, 1],
        WindowWidth=[3000, 1],
        RescaleSlope=1,
        RescaleIntercept=0,
        VOILUTFunction="SIGMOID",
        ViewPosition="PA",
    )
    whole = dcmread(io.BytesIO(deidentify(everything).data))
    assert {int(tag) for tag in whole.keys()} == set(KEPT)  # noqa: SIM118
    assert whole.PatientIdentityRemoved == "YES"
    assert whole.preamble == bytes(128)
    assert {int(tag) for tag in whole.file_meta.keys()} == {  # noqa: SIM118
        *(0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012)
    }


def test_the_list_agrees_with_the_standard_s_table_of_confidential_attributes():
    tags = {keyword: tag_for_keyword(keyword) for keyword in CONFIDENTIAL}
    assert len(tags) > 300
    assert None not in tags.values()
    assert {keyword for keyword, tag in tags.items() if tag in KEPT} == set(KEPT_ALL_THE_SAME)
    assert all(tag >> 16 & 1 == 0 and tag >> 16 not in (0x5000, 0x6000) for tag in KEPT)
    assert all(KEPT.values())


def test_names_and_numbers_of_the_elements_agree_with_pydicom():
    named = {keyword: tag for keyword, tag in vars(Tag).items() if isinstance(tag, int)}
    assert len(named) > 20
    assert {keyword: tag_for_keyword(keyword) for keyword in named} == named


# --- the same picture


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED, RLE, JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, True)])
def test_a_kept_file_shows_the_same_picture_here_and_in_pydicom(syntax, bits, signed):
    if syntax == JPEG and bits != 8:
        return
    pixels = picture(bits, signed=signed)
    frames = [coded(pixels, syntax, bits=bits)] if syntax in (RLE, JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS) else []
    data = file(pixels, *frames, syntax=syntax, BitsStored=bits, WindowCenter="100\\\\7", WindowWidth="90\\\\8")
    kept = deidentify(data).data
    assert np.array_equal(decode(kept).pixels, decode(data).pixels)
    assert deidentify(kept).data == kept
    whole = dcmread(io.BytesIO(kept))
    if syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED, RLE):
        assert whole.file_meta.TransferSyntaxUID == EXPLICIT
        assert np.array_equal(whole.pixel_array, pixels)
    else:
        assert whole.file_meta.TransferSyntaxUID == syntax
        frame = coded(pixels, syntax, bits=bits)
        # The writers of JPEG-LS and JPEG 2000 put their own name in.
        assert (frame in kept) == (syntax in (JPEG, LOSSLESS_1))


@given(
    bits=st.integers(2, 16), signed=st.booleans(), height=st.integers(16, 21), width=st.integers(16, 21), data=st.data()
)
@settings(max_examples=25)
def test_keeping_twice_is_keeping_once(bits, signed, height, width, data):
    pixels = picture(bits, signed=signed, height=height, width=width)
    more = {}
    if data.draw(st.booleans()):
        more |= {"WindowCenter": data.draw(st.sampled_from(["12", "1e2", " 7.5", "x"])), "WindowWidth": "30"}
    if data.draw(st.booleans()):
        more["PixelPaddingValue"] = int(pixels[0, 0])
    if data.draw(st.booleans()):
        more["PhotometricInterpretation"] = "MONOCHROME1"
    original = file(pixels, BitsStored=bits, **more)
    kept = deidentify(original).data
    assert deidentify(kept).data == kept
    assert np.array_equal(read_dicom(kept)[0], read_dicom(original)[0])


def test_an_odd_number_of_bytes_is_filled_up():
    pixels = picture(8, height=17, width=17)
    kept = deidentify(file(pixels)).data
    assert len(kept) % 2 == 0
    assert np.array_equal(dcmread(io.BytesIO(kept)).pixel_array, pixels)


def test_what_lay_in_unused_bits_is_gone():
    pixels = picture(12)
    hidden = pixels | np.uint16(0x5000)
    assert deidentify(file(hidden, BitsStored=12)).data == deidentify(file(pixels, BitsStored=12)).data


# --- the same bytes


def test_two_files_of_one_picture_are_kept_as_one():
    first = file(picture(12), BitsStored=12, PatientName="Doe^Jane", preamble=b"II*\0".ljust(128))
    second = file(picture(12), BitsStored=12, PatientName="Roe^Richard", syntax=IMPLICIT)
    assert deidentify(first).data == deidentify(second).data


def test_the_instance_s_uid_leads_to_the_picture_alone():
    uids = {
        dcmread(io.BytesIO(deidentify(file(picture(bits), BitsStored=bits, **names)).data)).SOPInstanceUID
        for bits in (8, 12)
        for names in ({}, {"PatientID": "p-1"}, {"SOPInstanceUID": b"1.2.840.113619.2.1"})
    }
    assert len(uids) == 2
    assert all(re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid) for uid in uids)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_other_processes_make_the_same_bytes(tmp_path, seed):
    data = told(picture(12), BitsStored=12)
    (tmp_path / "original.dcm").write_bytes(data)
    code = (
        "import sys; from cxr_core.digests import digest_bytes; from cxr_core.imaging.deidentify import deidentify\n"
        "print(digest_bytes(deidentify(open(sys.argv[1], 'rb').read()).data))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "original.dcm")],
        env={"PYTHONHASHSEED": seed, "PATH": "", "LC_ALL": "C", "TZ": f"Etc/GMT+{seed[:1]}"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == digest_bytes(deidentify(data).data)


def test_the_bytes_are_those_of_earlier_days():
    """A data version is compared byte for byte: what is kept of a file may change only with a reason."""
    pixels = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16)
    kept = deidentify(file(pixels, BitsStored=12, WindowCenter="100", WindowWidth="50", ViewPosition="PA")).data
    assert digest_bytes(kept) == "sha256:2ace9f7186ea51a0fbe494326c8ec5b4da853f01465b5beaa1b34c6d366c6aca"


# --- files that cannot be kept


def test_a_file_that_says_its_picture_shows_text_is_refused():
    with pytest.raises(ImageError) as caught:
        deidentify(file(ramp(), BurnedInAnnotation="YES"))
    assert caught.value.reason == "burned_in_annotation"


def test_bytes_that_are_no_picture_come_back_as_they_are():
    assert deidentify(b"GIF89a").data == b"GIF89a"


# --- PNG and JPEG


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_a_photograph_loses_its_words_and_stays_upright(kind, orientation):
    data = with_words(kind, ramp(), orientation)
    kept = deidentify(data).data
    assert CANARY.search(data)
    assert CANARY.findall(kept) == []
    assert b"tIME" not in kept
    assert np.array_equal(decode(kept).pixels, decode(data).pixels)
    assert deidentify(kept).data == kept


@pytest.mark.parametrize(
    "data",
    [
        png(ramp()),
        png(picture(16)),
        encoded(Image.fromarray(ramp()), "JPEG", quality=80),
        encoded(Image.fromarray(ramp()).convert("RGB"), "JPEG", progressive=True),
        encoded(Image.fromarray(ramp()).convert("P"), "PNG"),
    ],
    ids=["png", "deep png", "jpeg", "progressive colour", "palette"],
)
def test_a_picture_that_says_nothing_is_kept_byte_for_byte(data):
    assert deidentify(data).data == data


def test_every_vr_of_the_kept_elements_is_the_dictionary_s():
    whole = dcmread(io.BytesIO(deidentify(dicom(picture(12), BitsStored=12, WindowCenter=1, WindowWidth=9)).data))
    for item in whole:
        assert item.VR in dictionary_VR(item.tag).split(" or ")
