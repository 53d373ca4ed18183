"""The page as text: whole, escaped, self-contained, the same each time, and honest about what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from cxr_core.classes import CLASSES
from cxr_core.evaluate.calibrate import calibrate
from cxr_core.paper.page import page_faults
from cxr_core.report.page import PICTURES_A_CLASS, page
from tests.cxr_core.evaluate.examples import prediction, predictions
from tests.cxr_core.report.examples import PARAMS, cohort, decided, material, outline, pictures
from tests.cxr_core.report.maps import saliency

CAUTION = "not a medical device"


@pytest.fixture(scope="module")
def text() -> str:
    return page(material(decided=decided(), saliency=saliency()))


class _Tags(HTMLParser):
    """Every opened element must be closed; every address is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "poster", "srcset")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def test_it_is_well_formed_and_everything_it_shows_is_inside(text: str) -> None:
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert all(address.startswith(("data:", "#")) for address in tags.addresses)
    assert not {"script", "iframe", "object", "form"} & tags.names
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert len(text.encode()) < 10_000_000


def test_the_same_material_gives_the_same_page(text: str) -> None:
    assert page(material(decided=decided(), saliency=saliency())) == text


def test_the_caution_stands_once(text: str) -> None:
    assert text.count(CAUTION) == 1


def test_every_figure_follows_from_the_count_beside_it(text: str) -> None:
    assert page_faults(text) == []
    assert len(re.findall("<data ", text)) > 80


def test_any_figure_that_is_changed_is_found(text: str) -> None:
    figures = list(re.finditer(r'<data class="(figure|part|cell)".*?</data>', text, re.DOTALL))
    counted = [found for found in figures if " of " in found[0]]
    for found in counted[:: max(1, len(counted) // 25)]:
        body = re.search(r"\d+\.\d+", found[0][found[0].index(">") :])
        assert body, found[0]
        start = found.start() + found[0].index(">") + body.start()
        other = str((float(body[0]) + 3.3) % 100)[: len(body[0])]
        changed = text[:start] + other + text[start + len(body[0]) :]
        assert page_faults(changed), found[0]


def test_a_mean_that_is_not_the_mean_of_its_rows_is_found(text: str) -> None:
    changed = re.sub(r'(<data class="mean"[^>]*>)\d+\.\d\d', r"\g<1>8.95", text)
    assert changed != text
    assert [fault.why.split()[:3] for fault in page_faults(changed)] == [["their", "mean", "is"]]


@pytest.mark.parametrize(
    "bare",
    ["<p>Accuracy is 97.3 %.</p>", "<td>88%</td>", '<data class="figure" value="1"><b>99.0&nbsp;%</b></data>'],
)
def test_a_percentage_without_a_count_is_found(text: str, bare: str) -> None:
    assert [fault.stated for fault in page_faults(text.replace("</main>", f"{bare}</main>"))] == ["nothing"]


@pytest.mark.parametrize(
    "words",
    [
        "Training loss",
        "other viral pneumonia and normal: χ² =",
        "COVID-19 and other viral pneumonia: χ² =",
        "16 588",
        "Cramér",
        "99.48 %, 5.16 × 10⁻³",
        "COVID-Net (Wang and Wong)",
        "as printed, other data",
        "777/781",
        "layer4",
        "resnet18",
        "0 of 1 gates passed",
        "ledger event 7",
    ],
)
def test_what_the_paper_shows_and_could_not_know_is_there(text: str, words: str) -> None:
    assert words in text


def test_what_was_not_measured_says_so() -> None:
    bare = page(material(held_out=0, pictures=[], randomised_similarity=None, saliency=None))
    for what in (
        "a temperature fitted",
        "classifiers of the rim",
        "images kept out of training",
        "whether maps depend",
    ):
        assert re.search(rf"Not measured in this run</span>: [^.]*{what}", bare), what
    assert "No map was drawn in this run" in bare
    assert "Not judged yet" in bare
    assert "Held-out" not in bare
    assert page_faults(bare) == []


def test_nothing_is_called_tempered_where_no_temperature_was_fitted() -> None:
    rows = predictions(90)
    sure = [prediction(n, label=n % 3, probabilities=tuple(np.eye(3)[n % 3] * 0.97 + 0.01)) for n in range(30)]
    fitted, none = (calibrate(validation, rows, PARAMS) for validation in (rows, sure))
    assert (fitted.temperature.value is None, none.temperature.value is None) == (False, True)
    shown = []
    for calibration in (fitted, none):
        one = material(rows=rows)
        evidence = one.evidence.model_copy(update={"calibration": calibration})
        text = page(replace(one, evidence=evidence))
        shown.append(text.split('id="calibration"')[1].split("</section>")[0])
        assert page_faults(text) == []
    assert ["with temperature" in each or "with the temperature" in each for each in shown] == [True, False]
    assert "none was fitted" in shown[1]
    assert none.temperature.why in shown[1]


def test_what_maps_are_worth_stands_with_what_it_cannot_mean(text: str) -> None:
    section = text.split('id="saliency"')[1].split("</section>")[0]
    assert section.count("<b>It means</b>") == section.count("<b>It cannot mean</b>") == 3
    assert re.search(r"They <b class=\"good\">depend on the weights</b>. The mean is 0.10", section)
    told = re.findall(r'<span class="(?:good|bad)">(more than both|less than the area)</span>', section)
    assert told == ["more than both", "less than the area"]
    # Random weights whose maps lie there as well take the praise away.
    given = saliency()
    lungs = {slug: one.model_copy(update={"random": one.share}) for slug, one in given.lungs.per_class.items()}
    there = given.lungs.model_copy(update={"per_class": lungs})
    untold = page(material(saliency=given.model_copy(update={"lungs": there})))
    assert "more than both" not in untold
    assert "more than the area, not than random weights" in untold
    assert section.count("<figure>") == 3
    assert "Do the Grad-CAM maps show what was learned?" in text
    ignoring = page(material(saliency=saliency("do not depend on the weights")))
    assert '<b class="bad">do not depend on the weights</b>' in ignoring
    assert "no reason is read off them" in ignoring


def test_a_run_of_before_tells_what_it_knows_of_its_maps() -> None:
    older = page(material(saliency=None))
    assert "rank correlation of 0.12 (mean of 12 maps" in older
    assert "rank correlation of 0.12" not in page(material(saliency=saliency()))


def test_phantoms_are_called_phantoms() -> None:
    made = material()
    context = made.evidence.context.model_copy(update={"synthetic": True})
    told = page(replace(made, evidence=made.evidence.model_copy(update={"context": context})))
    assert "is a phantom made by code" in told
    assert "is a phantom made by code" not in page(made)


def test_names_from_outside_are_escaped() -> None:
    bad = '<script>alert("1")</script>'
    made = material()
    shown = [replace(one, name=bad) for one in made.pictures]
    report = dict(made.cohort) | {"exclusions": {bad: 1}}
    told = page(replace(made, pictures=shown, cohort=report, origin=replace(made.origin, name=bad, program=bad)))
    assert "<script" not in told
    assert told.count("&lt;script&gt;") >= len(shown) + 3


def test_a_run_of_thousands_of_images_and_hundreds_of_pictures_stays_small() -> None:
    rows = predictions(3_000, folds=10)
    many = pictures(rows, per_class=12, side=512)
    told = page(material(rows=rows, pictures=many))
    assert len(told.encode()) < 10_000_000
    assert told.count('class="xray"') == PICTURES_A_CLASS * len(CLASSES)
    assert f"{len(many) - PICTURES_A_CLASS * len(CLASSES)} more are among the run's artifacts" in told


def test_a_run_of_almost_nothing_has_a_page() -> None:
    rows = [prediction(n, label=n % 2, group="one", leak_free=False) for n in range(6)]
    report = cohort(rows) | {"cramers_v": None, "exclusions": {}, "quarantine": {}, "clusters": []}
    plain = replace(outline(), block=None, architecture="vgg19")
    told = page(material(rows=rows, held_out=0, cohort=report, outline=plain))
    assert "not measured" in told
    assert "has none: every layer reads the one before it alone" in told
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"data:[^\"]+", "", told))
    assert page_faults(told) == []


def test_nothing_that_is_not_a_number_is_printed(text: str) -> None:
    words = re.sub(r"data:[^\"]+", "", text)
    assert not re.search(r"\b(nan|inf|None|undefined)\b", words)
    assert np.isfinite([float(value) for value in re.findall(r'<data class="[a-z]+" value="([^"]+)"', text)]).all()
