"""The page in a real browser: nothing is fetched, nothing complained about, everything can be read, wide and narrow."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from cxr_core.report.page import page
from tests.browser import Page
from tests.cxr_core.report.examples import decided, material
from tests.cxr_core.report.maps import saliency

WIDTHS = (1280, 390)

# Left and right edges of what must be inside the window, and what scrolls in a box of its own.
OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll('.box, .scroll, figure, p, h1, h2, h3, dl, nav, .verdict')]
    .filter(e => { const r = e.getBoundingClientRect(); return r.width && (r.right > width + 0.5 || r.left < -0.5); })
    .map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 40));
  return {page: document.scrollingElement.scrollWidth - width, out: out};
})()"""
TABLES = """[...document.querySelectorAll('table')].map(t => {
  const box = t.closest('.box'), style = getComputedStyle(box);
  const size = Math.min(...[...t.querySelectorAll('th, td')].map(c => parseFloat(getComputedStyle(c).fontSize)));
  return {name: box.getAttribute('aria-label'), reach: box.scrollWidth - t.offsetWidth, scrolls: style.overflowX,
          focus: box.tabIndex, size: size, height: t.offsetHeight};
})"""
IMAGES = """[...document.images].map(i => ({natural: i.naturalWidth, width: i.width, height: i.height, alt: i.alt,
  done: i.complete}))"""
DRAWINGS = "[...document.querySelectorAll('svg.drawing')].map(s => [s.getBBox().width, s.getBBox().height])"
HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => [+h.tagName[1], h.textContent.trim()])"
CONTRASTS = """(() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const names = ['p', 'a', 'th', 'td', 'caption', 'figcaption', '.ci', '.n', '.missing', '.bad', '.good', '.caution'];
  return names.flatMap(n => [...document.querySelectorAll(n)].slice(0, 3).map(e => {
    const one = light(parse(getComputedStyle(e).color)), other = light(back(e));
    return [n, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)]; }));
})()"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(material(decided=decided(), saliency=saliency())), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_fetched_and_nothing_complained_about(browser: Page, file: Path, width: int) -> None:
    browser.open(file, width=width)
    assert [url for url in browser.requests if not url.startswith("data:")] == [file.as_uri()]
    assert browser.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_visible_and_described(browser: Page, file: Path, width: int) -> None:
    images: list[dict[str, Any]] = browser.open(file, width=width).run(IMAGES)
    assert len(images) >= 6 + 2 + 12
    for image in images:
        assert image["done"]
        assert image["natural"] > 0
        assert min(image["width"], image["height"]) >= 100
        assert len(image["alt"]) > 20
    drawings = browser.run(DRAWINGS)
    assert len(drawings) == 3
    assert all(width > 300 and height > 80 for width, height in drawings)


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_can_be_read_and_scroll_in_their_own_box(browser: Page, file: Path, width: int) -> None:
    found = browser.open(file, width=width).run(OVERFLOW)
    assert found == {"page": 0, "out": []}
    tables = browser.run(TABLES)
    assert len(tables) >= 15
    for table in tables:
        assert table["reach"] >= 0, table
        assert (table["scrolls"], table["focus"]) == ("auto", 0), table
        assert table["size"] >= 12, table
        assert table["height"] > 40, table


def test_headings_are_in_order_and_tables_are_named(browser: Page, file: Path) -> None:
    headings = browser.open(file, width=1280).run(HEADINGS)
    levels = [level for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(words for _, words in headings)
    assert browser.run("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent.trim())")
    assert browser.run("[...document.querySelectorAll('th')].every(h => ['row', 'col'].includes(h.scope))")
    assert browser.run("document.documentElement.lang") == "en"
    targets = browser.run("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))")
    assert targets
    assert all(browser.run(f"!!document.getElementById('{target}')") for target in targets)


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_their_ground_in_light_and_dark(browser: Page, file: Path, dark: bool) -> None:
    browser.open(file, width=1280, dark=dark)
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is not dark
    found = browser.run(CONTRASTS)
    assert {name for name, _ in found} >= {"p", "td", "caption", ".missing", ".bad"}
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
    assert [pair for pair in found if pair[1] < 4.5] == []


def test_it_prints_to_pages_of_a4(browser: Page, file: Path) -> None:
    data = browser.open(file, width=1280).pdf()
    assert data.startswith(b"%PDF-")
    pages = re.findall(rb"/Type\s*/Page\b", data)
    boxes = {
        tuple(round(float(edge)) for edge in found.split()) for found in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", data)
    }
    assert len(pages) >= 5
    assert boxes == {(0, 0, 595, 842)}


def test_the_browser_sees_what_it_is_asked_to_watch_for(browser: Page, tmp_path: Path) -> None:
    """The checks above can fail."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<p style="width:3000px">wide</p><img src="http://127.0.0.1:9/x.png"><script>console.error("no")</script>'
        '<div class="box"><table><tr><th>h</th></tr></table></div>',
        encoding="utf-8",
    )
    browser.open(bad, width=390)
    assert "http://127.0.0.1:9/x.png" in browser.requests
    assert browser.complaints
    assert browser.run(OVERFLOW)["out"]
    assert browser.run(IMAGES)[0]["natural"] == 0
    assert not browser.run("[...document.querySelectorAll('table')].every(t => t.caption)")
