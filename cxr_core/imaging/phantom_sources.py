"""Phantom pictures to the four published layouts: one writer a source, each with that source's defects.

A writer takes the root, the studio and the usable images wanted of each class, and returns its defects.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_core.classes import ClassSlug, Source
from cxr_core.imaging.phantom_anatomy import ridge, smooth_noise
from cxr_core.imaging.phantom_defects import Defect, DefectKind
from cxr_core.imaging.phantom_files import dicom, jpeg, png, put, rgba_png, table
from cxr_core.imaging.phantom_studio import Shot, Studio

__all__ = ["WRITERS"]

Wanted = Mapping[ClassSlug, int]

# The columns of the collection's table at its last published versions, the nameless one included.
_GITHUB_COLUMNS = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
_GITHUB_WORDS: dict[ClassSlug, tuple[str, ...]] = {
    "covid": ("COVID-19", "COVID-19", "COVID-19", "COVID-19, ARDS"),
    "viral": ("SARS", "Influenza", "Varicella"),
    "normal": ("No Finding",),
}
_FRONTAL = ("PA", "PA", "AP", "AP Supine")
# Patients of a class count from here, so that no two classes share one; those of the defects count from _EXTRA.
_FIRST: dict[ClassSlug, int] = {"covid": 1, "viral": 30_001, "normal": 60_001}
_EXTRA = 90_001


def _write_sirm(root: Path, studio: Studio, wanted: Wanted) -> list[Defect]:
    shots = studio.patients("sirm", "covid", images=wanted["covid"], first=_FIRST["covid"])
    side = studio.shot("sirm", "covid", patient=shots[0].patient, number=9)
    rows: list[list[object]] = []
    for shot in [*shots, side]:
        rng = studio.rng(1, shot.patient)
        case = f"caso-{shot.patient:02d}"
        path = f"{case}/rx-{shot.number}.jpg"
        put(root / "sirm" / path, jpeg(_sideways(shot.pixels) if shot is side else shot.pixels, quality=90))
        view = "L" if shot is side else rng.choice(_FRONTAL)
        url = f"https://example.org/phantom/{case}/"
        rows.append([case, path, "COVID-19", view, rng.choice(("M", "F")), _age(rng, shot), url, ""])
    table(root / "sirm" / "cases.csv", "case,file,finding,view,sex,age,url,license", rows)
    return [Defect(kind=DefectKind.LATERAL, name=f"sirm:{rows[-1][1]}")]


def _write_github(root: Path, studio: Studio, wanted: Wanted) -> list[Defect]:
    rows: list[dict[str, object]] = []
    for slug, words in _GITHUB_WORDS.items():
        shots = studio.patients("github", slug, images=wanted[slug], first=_FIRST[slug])
        for place, shot in enumerate(shots):
            rgba = slug == "covid" and place == 0
            as_png = rgba or place % 3 == 2
            name = f"phantom-{shot.patient}-{shot.number}" + (".png" if as_png else ".jpeg")
            encoded = png(shot.pixels) if as_png else jpeg(shot.pixels, quality=85, colour=place % 2 == 1)
            put(root / "github" / "images" / name, rgba_png(shot.pixels) if rgba else encoded)
            rows.append(_github_row(studio, shot, filename=name, finding=words[shot.patient % len(words)]))
    first = f"github:images/{rows[0]['filename']}"
    defects = [
        Defect(kind=DefectKind.RGBA, name=first),
        Defect(kind=DefectKind.DUPLICATE_ROW, name=first),
        *_github_extras(root, studio, rows),
    ]
    rows.append({**rows[0], "patientid": _EXTRA + 99})
    cells = [[row.get(column, "") for column in _GITHUB_COLUMNS.split(",")] for row in rows]
    table(root / "github" / "metadata.csv", _GITHUB_COLUMNS, cells)
    return defects


def _github_extras(root: Path, studio: Studio, rows: list[dict[str, object]]) -> list[Defect]:
    """Files and rows that are no usable picture; the rows are added to ``rows``."""
    images = root / "github" / "images"
    shots = [studio.shot("github", "covid", patient=_EXTRA + number, number=1) for number in range(4)]
    lobe = studio.shot("github", "bacteria", patient=_EXTRA + 4, number=1)
    axial = png(_axial(studio.rng(2), studio.size))
    whole = jpeg(shots[1].pixels, quality=85)
    twin, original = _near_duplicate(root)
    defects: list[Defect] = []
    for kind, name, data, shot, words in (
        (DefectKind.NEAR_DUPLICATE, "phantom-twin.jpg", twin, shots[0], {}),
        (DefectKind.TRUNCATED, "phantom-truncated.jpg", whole[: len(whole) // 2], shots[1], {}),
        (DefectKind.LATERAL, "phantom-side.jpg", jpeg(_sideways(shots[2].pixels), quality=85), shots[2], {"view": "L"}),
        (DefectKind.CT, "phantom-ct.png", axial, shots[3], {"view": "Axial", "modality": "CT"}),
        (DefectKind.BACTERIAL, "phantom-lobe.png", png(lobe.pixels), lobe, {"finding": "Streptococcus"}),
        (DefectKind.FILE_WITHOUT_ROW, "phantom-stray.png", png(shots[0].pixels[:-9]), None, {}),
        (DefectKind.ROW_WITHOUT_FILE, "phantom-absent.jpg", None, shots[0], {}),
    ):
        if data is not None:
            put(images / name, data)
        if shot is not None:
            rows.append(_github_row(studio, shot, filename=name, **words))
        twin_of = original if kind is DefectKind.NEAR_DUPLICATE else None
        defects.append(Defect(kind=kind, name=f"github:images/{name}", original=twin_of))
    return defects


def _github_row(studio: Studio, shot: Shot, **words: object) -> dict[str, object]:
    rng = studio.rng(3, shot.patient)
    row: dict[str, object] = {
        "patientid": shot.patient,
        "offset": 3 * (shot.number - 1),
        "sex": rng.choice(("M", "F", "")),
        "age": _age(rng, shot),
        "finding": "COVID-19",
        "RT_PCR_positive": "Y" if shot.finding == "covid" and rng.random() < 0.7 else "",
        "view": rng.choice(_FRONTAL),
        "modality": "X-ray",
        "folder": "images",
        "url": f"https://example.org/phantom/{shot.patient}",
        "license": rng.choice(("CC BY-NC-SA 4.0", "CC BY 4.0", "")),
        "clinical_notes": "An invented patient.",
    }
    return {**row, **words}


def _write_rsna(root: Path, studio: Studio, wanted: Wanted) -> list[Defect]:
    classes: list[tuple[str, str]] = []
    boxes: list[tuple[str | int, ...]] = []
    defects: list[Defect] = []
    shots = studio.patients("rsna", "normal", images=wanted["normal"], first=_FIRST["normal"])
    opaque = studio.shot("rsna", "bacteria", patient=_EXTRA, number=1)
    other = studio.shot("rsna", "normal", patient=_EXTRA + 1, number=1)
    for shot in [*shots, opaque, other]:
        rng = studio.rng(4, shot.patient)
        patient, inverted = str(uuid.UUID(bytes=rng.bytes(16), version=4)), shot is shots[0]
        view, sex = str(rng.choice(("PA", "AP"))), str(rng.choice(("M", "F")))
        data = dicom(shot.pixels, patient=patient, view=view, sex=sex, age_years=_age(rng, shot), inverted=inverted)
        path = f"stage_2_train_images/{patient}.dcm"
        put(root / "rsna" / path, data)
        if shot is opaque:
            # One row a box, as published.
            classes += [(patient, "Lung Opacity")] * 2
            boxes += [(patient, 20, 90, 60, 80, 1), (patient, 150, 95, 60, 85, 1)]
        else:
            classes.append((patient, "No Lung Opacity / Not Normal" if shot is other else "Normal"))
            boxes.append((patient, "", "", "", "", 0))
        if inverted or shot is opaque or shot is other:
            kind = DefectKind.INVERTED if inverted else DefectKind.OTHER_FINDING
            defects.append(Defect(kind=kind, name=f"rsna:{path}"))
    table(root / "rsna" / "stage_2_detailed_class_info.csv", "patientId,class", classes)
    table(root / "rsna" / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", boxes)
    return defects


def _write_kaggle(root: Path, studio: Studio, wanted: Wanted) -> list[Defect]:
    viral = studio.patients("kaggle", "viral", images=wanted["viral"], first=_FIRST["viral"])
    normal = studio.patients("kaggle", "normal", images=wanted["normal"], first=_FIRST["normal"])
    lobes = [studio.shot("kaggle", "bacteria", patient=_EXTRA + number, number=1) for number in range(2)]
    files = {
        _kaggle_path(shot, place): jpeg(shot.pixels, quality=85)
        for place, shot in enumerate([*viral, *normal, *lobes], 1)
    }
    original = next(iter(files))
    twin = f"chest_xray/train/PNEUMONIA/person29999_virus_{len(files) + 1}.jpeg"
    files[twin] = files[original]
    for path, data in files.items():
        put(root / "kaggle" / path, data)
    bacterial = [Defect(kind=DefectKind.BACTERIAL, name=f"kaggle:{path}") for path in files if "_bacteria_" in path]
    return [
        *bacterial,
        Defect(kind=DefectKind.BYTE_DUPLICATE, name=f"kaggle:{twin}", original=f"kaggle:{original}"),
    ]


def _kaggle_path(shot: Shot, place: int) -> str:
    part = "chest_xray/" + ("test" if place % 8 == 0 else "train")
    if shot.finding == "normal":
        who = shot.patient - _FIRST["normal"] + 1
        return f"{part}/NORMAL/{'NORMAL2-' * (who % 3 == 0)}IM-{who:04d}-{shot.number:04d}.jpeg"
    if shot.finding == "bacteria":
        return f"{part}/PNEUMONIA/person{shot.patient}_bacteria_{place}.jpeg"
    return f"{part}/PNEUMONIA/person{shot.patient - _FIRST['viral'] + 1}_virus_{place}.jpeg"


WRITERS: dict[Source, Callable[[Path, Studio, Wanted], list[Defect]]] = {
    "sirm": _write_sirm,
    "github": _write_github,
    "rsna": _write_rsna,
    "kaggle": _write_kaggle,
}


def _near_duplicate(root: Path) -> tuple[bytes, str]:
    """SIRM's first picture at four fifths of its size, encoded anew; and the name of the original."""
    original = min((root / "sirm").glob("caso-*/rx-1.jpg"))
    with Image.open(original) as image:
        smaller = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.BICUBIC)
    return jpeg(np.asarray(smaller), quality=70), f"sirm:{original.relative_to(root / 'sirm').as_posix()}"


def _sideways(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A stand-in for a side view: a narrow chest between dark margins."""
    height, width = pixels.shape
    narrow = np.asarray(Image.fromarray(pixels).resize((width // 2, height), Image.Resampling.BILINEAR))
    return np.pad(narrow, ((0, 0), (width // 4, width // 4)), constant_values=8)


def _axial(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A stand-in for a CT slice: a body's outline, two lungs, a spine."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    u, v = axis[None, :], axis[:, None]
    body = ridge(1 - np.hypot(u / 0.9, v / 0.62), 0.04)
    lungs = ridge(1 - np.hypot((np.abs(u) - 0.42) / 0.32, (v + 0.02) / 0.44), 0.06)
    spine = ridge(1 - np.hypot(u / 0.13, (v - 0.36) / 0.13), 0.1)
    grey = 0.55 * body - 0.48 * lungs + 0.35 * spine + 0.02 * smooth_noise(rng, cells=size // 4, size=size)
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _age(rng: np.random.Generator, shot: Shot) -> int:
    """Years."""
    return int(rng.integers(1, 15) if shot.child else rng.integers(20, 90))
