import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.curate.licences import commercial_use
from cxr_core.ingest.connectors import LICENCES

ALLOWED = {
    "CC BY 4.0": "CC BY",
    "CC BY": "CC BY",
    "cc-by-3.0": "CC BY",
    "CC BY 3.0 US": "CC BY",
    "Creative Commons Attribution 4.0 International License": "CC BY",
    "https://creativecommons.org/licenses/by/4.0/": "CC BY",
    "CC BY-SA": "CC BY-SA",
    "CC BY-SA 4.0": "CC BY-SA",
    "https://creativecommons.org/licenses/by-sa/3.0/": "CC BY-SA",
    "CC0": "public domain",
    "CC0 1.0 Universal": "public domain",
    "https://creativecommons.org/publicdomain/zero/1.0/": "public domain",
    "Public Domain": "public domain",
    "Apache 2.0": "Apache",
    "Apache License, Version 2.0": "Apache",
    "MIT": "MIT",
    "MIT License": "MIT",
}
FORBIDDEN = {
    "CC BY-NC": "non-commercial",
    "CC BY-NC-SA": "non-commercial",
    "CC BY-NC-SA 4.0": "non-commercial",
    "CC BY-NC-ND": "non-commercial",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/": "non-commercial",
    "Creative Commons Attribution-NonCommercial 4.0": "non-commercial",
    "free for non-commercial purposes": "non-commercial",
    "RSNA Pneumonia Detection Challenge terms of use": "RSNA",
    "CC BY 4.0, research use only": "names its use",
    "CC BY-ND 4.0": "no derivatives",
    "All rights reserved": "all rights reserved",
}
NOT_STATED = ("", "  ", "listed as authorized for everyone", "free", "CC", "CC BY perhaps", "mitigated", "unknown")


@pytest.mark.parametrize("licence", ALLOWED)
def test_a_licence_that_allows_commercial_use_names_its_rule(licence):
    found = commercial_use(licence)
    assert found.use == "allowed"
    assert found.rule.startswith(ALLOWED[licence])


@pytest.mark.parametrize("licence", FORBIDDEN)
def test_a_licence_that_forbids_commercial_use_names_its_rule(licence):
    found = commercial_use(licence)
    assert found.use == "forbidden"
    assert FORBIDDEN[licence] in found.rule


@pytest.mark.parametrize("licence", NOT_STATED)
def test_blank_and_unknown_words_state_nothing(licence):
    assert commercial_use(licence).use == "not stated"


@given(st.sampled_from(sorted(ALLOWED)), st.sampled_from(sorted(FORBIDDEN)), st.booleans())
def test_beside_words_that_forbid_no_words_allow(allows, forbids, first):
    assert commercial_use(f"{allows}; {forbids}" if first else f"{forbids}; {allows}").use == "forbidden"


def test_of_the_sources_that_have_one_licence_rsna_s_forbids_and_kaggle_s_allows():
    assert commercial_use(LICENCES["rsna"]).use == "forbidden"
    assert commercial_use(LICENCES["kaggle"]).use == "allowed"
