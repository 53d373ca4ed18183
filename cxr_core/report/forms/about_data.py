"""What a run can say of its images, labels and how they were dealt; one function an answer."""

from __future__ import annotations

from statistics import median

from markupsafe import Markup

from cxr_core.classes import CLASS_NAMES, CLASSES, SOURCE_NAMES, SOURCES
from cxr_core.report import recipe
from cxr_core.report.forms.words import class_list, known, patients, tally
from cxr_core.report.material import Material
from cxr_core.report.number import count, part

__all__ = [
    "bias",
    "characteristics",
    "counts",
    "data_availability",
    "deidentification",
    "eligibility",
    "fields",
    "flow",
    "identity",
    "imbalance",
    "instance",
    "licences",
    "missing_data",
    "not_for",
    "numbers",
    "older",
    "outcome",
    "partition",
    "predictors",
    "preparation",
    "purpose",
    "raw",
    "redundancies",
    "reference",
    "relations",
    "sample_size",
    "selection",
    "sensitive",
    "software_of_data",
    "sources",
    "used_for",
    "versions",
]


def sources(m: Material) -> str:
    """Which collections, and how many images of each."""
    totals = [sum(m.cohort["counts"][label][slug] for label in CLASSES) for slug in SOURCES]
    used = ", ".join(f"{SOURCE_NAMES[slug]} ({count(n)})" for slug, n in zip(SOURCES, totals, strict=True) if n)
    made = " Phantoms made by code stand for them in this run." if m.evidence.context.synthetic else ""
    return f"{count(m.cohort['images'])} images: {used}. Class by source is a table of the page.{made}"


def licences(m: Material) -> str:
    """The licences that the sources state."""
    return f"As the sources state them: {tally(m.cohort['licences'])}."


def eligibility(m: Material) -> str:
    """What was kept and what left out."""
    gone = {**m.cohort["exclusions"], **{f"quarantine, {why}": n for why, n in m.cohort["quarantine"].items()}}
    left = tally(gone) if gone else "nothing"
    return f"Kept: frontal X-rays of one of the three classes that can be decoded. Left out, by reason: {left}."


def selection(m: Material) -> str:
    """How images were drawn."""
    quota = {name.rpartition(".")[2]: value for name, value in m.origin.params.items() if ".quota." in name}
    asked = ", ".join(f"{slug} {'all' if value == 'null' else value}" for slug, value in quota.items())
    drawn = f"Quotas a class: {asked}, drawn by a fixed seed. " if quota else ""
    return f"{drawn}Of a cluster of duplicates one image is kept; {len(m.cohort['clusters'])} clusters were found."


def preparation(m: Material) -> str:
    """From file to network."""
    side = m.outline.input[1]
    return (
        f"Decoded to grey, resized to {side} × {side} pixels, three equal channels less ImageNet's mean over its "
        "deviation; no augmentation. Files that cannot be decoded lie in quarantine with a reason; duplicates are "
        "found by bytes, pixels and perceptual hash confirmed by correlation. The same for every image."
    )


def deidentification(_: Material) -> str:
    """What is taken out of files."""
    return (
        "Of DICOM files an allow-list of elements is kept, of PNG and JPEG files no text, EXIF or profile; a patient "
        "appears as a keyed digest only. File names are kept as published."
    )


def outcome(m: Material) -> str:
    """What is predicted, and what labels rest on."""
    told = "; ".join(
        f"{CLASS_NAMES[slug]}: {tally(m.cohort['provenance'][slug])}"
        for slug in CLASSES
        if slug in m.cohort["provenance"]
    )
    return f"The class of the image ({class_list()}), at the time it was taken. Labels rest on: {told}."


def reference(m: Material) -> str:
    """Where labels come from."""
    return f"{outcome(m)} They are the sources' own; nobody has read the images again for this run."


def predictors(m: Material) -> str:
    """What the model reads."""
    side = m.outline.input[1]
    return f"The {side} × {side} pixels of the image, and nothing else: no age, sex, view or source."


def sample_size(m: Material) -> str:
    """What the paper's rule asks for, and what there is."""
    size = m.cohort["sample_size"]
    needed = ", ".join(f"{count(n)} for a proportion of {p}" for p, n in size["needed"].items())
    return (
        f"The rule for one proportion (confidence {size['confidence']}, margin {size['margin']}) asks for {needed}; "
        f"there are {count(size['found_images'])} images of {count(size['found_groups'])} patients."
    )


def missing_data(m: Material) -> Markup:
    """What is not stated, and what was done about it."""
    rows = m.predictions
    unknown = {
        "view": sum(not row.view for row in rows),
        "sex": sum(not row.sex for row in rows),
        "age": sum(row.age_years is None for row in rows),
    }
    told = Markup("; ").join(
        Markup("{name} {share}").format(name=name, share=part(n, len(rows))) for name, n in unknown.items()
    )
    return Markup(
        "Images without a usable label are left out. Nothing is imputed: what is not stated is a stratum of its own. "
        "Not stated among test images: {told}."
    ).format(told=told)


def partition(m: Material) -> Markup:
    """How images were dealt, and whether patients were kept together."""
    evidence = m.evidence
    held = f" {m.evidence.coverage.words}." if m.evidence.coverage else ""
    return Markup(
        "Protocol '{protocol}', {folds} folds: {dealt}.{held} {leak} test images share a patient or "
        "duplicate cluster with images that trained or validated their fold; claims are made of the others."
    ).format(
        protocol=evidence.context.protocol,
        dealt=recipe.dealt(evidence.context.protocol),
        folds=len(evidence.all.folds),
        held=held,
        leak=part(evidence.leak.leaking, evidence.leak.n),
    )


def imbalance(m: Material) -> str:
    """What was done about unequal classes."""
    sizes = ", ".join(f"{CLASS_NAMES[slug]} {sum(m.cohort['counts'][slug].values())}" for slug in CLASSES)
    return f"{recipe.loss_weights(m.origin.params)} ({sizes})."


def flow(m: Material) -> str:
    """Numbers from sources to test."""
    out = sum(m.cohort["exclusions"].values()) + sum(m.cohort["quarantine"].values())
    cohort = m.cohort
    return (
        f"{count(cohort['images'] + out)} images or table rows were looked at and {count(out)} left out; "
        f"{count(cohort['images'])} images of {count(cohort['groups']['n'])} patients were kept, of which "
        f"{count(m.evidence.all.n)} were tested by folds, {count(m.evidence.leak_free.n)} of them leak-free."
    )


def characteristics(m: Material) -> str:
    """Who the test images show, as far as sources say."""
    told: list[str] = []
    for index, slug in enumerate(CLASSES):
        rows = [row for row in m.predictions if row.label == index]
        ages = [row.age_years for row in rows if row.age_years is not None]
        age = f"median age {median(ages):.0f} years (known of {len(ages)})" if ages else "age not stated"
        sexes, views = known(row.sex for row in rows), known(row.view for row in rows)
        told.append(
            f"{CLASS_NAMES[slug]}, {len(rows)} images of {patients(rows)} patients: {age}; sex {sexes}; view {views}"
        )
    return ". ".join(told) + "."


def numbers(m: Material) -> str:
    """How many images and patients stand in each analysis."""
    populations = {"all test images": m.evidence.all, "leak-free": m.evidence.leak_free, "held out": m.evidence.holdout}
    told = [
        f"{name}: {people.n} images of {people.groups} patients ("
        + ", ".join(f"{CLASS_NAMES[slug]} {people.per_class[slug].n}" for slug in CLASSES)
        + ")"
        for name, people in populations.items()
        if people
    ]
    return "; ".join(told) + "."


def data_availability(m: Material) -> str:
    """Where the data are."""
    commit = m.evidence.context.commit[:12]
    return f"The sources publish the images; `cxr data pull {commit}` brings back the bytes used. {licences(m)}"


def purpose(_: Material) -> str:
    """Why a cohort is drawn at all."""
    return "To retrain and judge a classifier of chest X-rays by the protocol of a published paper, for research."


def not_for(_: Material) -> str:
    """What the images must not be used for."""
    return "Care of patients; estimates of how common a disease is; uses that a source's licence forbids."


def instance(_: Material) -> str:
    """What one row is."""
    return "One frontal chest X-ray with its class, its source and what the source states of it."


def counts(m: Material) -> str:
    """How many images and patients."""
    sizes = ", ".join(f"{CLASS_NAMES[slug]} {sum(m.cohort['counts'][slug].values())}" for slug in CLASSES)
    return f"{count(m.cohort['images'])} images of {count(m.cohort['groups']['n'])} patients ({sizes})."


def fields(_: Material) -> str:
    """What a row holds."""
    return (
        "Name, source, digests of file and picture, class and what it rests on, patient as a keyed digest, group, "
        "view, sex, age in years, address of origin, licence."
    )


def relations(m: Material) -> str:
    """Patients and duplicates."""
    groups = m.cohort["groups"]
    return (
        f"Images of one patient or one X-ray share a group: {count(groups['n'])} groups, "
        f"{groups['with_several_images']} with several images, the largest with {groups['largest']}."
    )


def redundancies(m: Material) -> str:
    """Duplicates, and what cannot be read."""
    return (
        f"{len(m.cohort['clusters'])} clusters of duplicates, of which one image each is kept; "
        f"{sum(m.cohort['quarantine'].values())} files in quarantine. The sources' labels are taken as they are."
    )


def identity(m: Material) -> str:
    """Whether anybody can be found."""
    if m.evidence.context.synthetic:
        return "Phantoms show nobody."
    return "Not by name or id, which are taken out or keyed. File names are kept as published; a picture may be known."


def sensitive(_: Material) -> str:
    """Health data."""
    return "Yes: an image and its class are data about health."


def raw(m: Material) -> str:
    """Where files of before preparation are."""
    return f"Yes, under the same data version ({m.origin.data})."


def software_of_data(m: Material) -> str:
    """What prepared the data."""
    return f"Yes: the stages ingest, curate, prepare and split at git commit {m.evidence.context.commit}."


def used_for(m: Material) -> str:
    """This run."""
    return f"The run {m.origin.run}; others name the same cohort digest, {m.evidence.context.cohort}."


def bias(m: Material) -> str:
    """Class and source."""
    value = m.cohort["cramers_v"]
    told = "one source" if value is None else f"Cramér's V of class and source {value:.2f}"
    return f"{told}: {m.cohort['verdict']}. Age, view and sex differ between sources."


def versions(m: Material) -> str:
    """How a data version is named."""
    return f"By the digest of its content ({m.origin.data}) and the git commit that pins it."


def older(_: Material) -> str:
    """What becomes of earlier versions."""
    return "They stay at the remote until somebody collects garbage there; `cxr data verify` says what is whole."
