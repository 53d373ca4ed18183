"""What a run can say of its model and how it was made; one function an answer."""

from __future__ import annotations

from markupsafe import Markup

from cxr_core.report import recipe
from cxr_core.report.forms.words import class_list
from cxr_core.report.material import Material
from cxr_core.report.number import count, estimate, share

__all__ = [
    "approach",
    "chosen",
    "code",
    "combined",
    "dated",
    "design",
    "goal",
    "initialisation",
    "maker",
    "not_for",
    "output",
    "purpose",
    "refusal",
    "software",
    "specification",
    "summary",
    "training",
    "updating",
]


def approach(m: Material) -> str:
    """What kind of model it is."""
    outline = m.outline
    return (
        f"A convolutional network ({outline.architecture}, {outline.weighted_layers} weighted layers, "
        f"{count(outline.parameters)} parameters) that puts frontal chest X-rays into one of three classes: "
        f"{class_list()}."
    )


def summary(m: Material) -> Markup:
    """The result in one sentence."""
    clean = m.evidence.leak_free
    return Markup("{kind} Leak-free accuracy {accuracy}; macro AUC {auc}.").format(
        kind=approach(m), accuracy=share(clean.accuracy, patients=True), auc=estimate(clean.macro_auc)
    )


def goal(m: Material) -> str:
    """Development, and evaluation by which protocol."""
    outside = " and on images kept out of training" if m.evidence.external else ""
    return (
        f"Development of a model and its internal evaluation by the protocol '{m.evidence.context.protocol}' "
        f"({len(m.evidence.all.folds)} folds){outside}."
    )


def design(_: Material) -> str:
    """Prospective or retrospective."""
    return "Retrospective: published collections of images."


def training(m: Material) -> str:
    """How it was trained."""
    params = m.origin.params
    precision = m.origin.precision or "not recorded"
    return f"{recipe.optimiser(params)}; precision {precision}. {recipe.epochs(params)} No parameter was tuned here."


def initialisation(m: Material) -> str | None:
    """What weights training began with."""
    found = sorted(set(m.origin.initial_weights.values()))
    return f"{'; '.join(found)}; the last layer anew from a seed." if found else None


def specification(m: Material) -> str | None:
    """Where the model itself is."""
    weights = m.evidence.context.weights
    if weights is None:
        return None
    return (
        f"Weights {weights} as safetensors in the registered model, with the code that reads its images. {approach(m)}"
    )


def output(_: Material) -> str:
    """What the model says."""
    return "A probability for each of the three classes (softmax); the likeliest is named, with no other threshold."


def updating(m: Material) -> str:
    """Whether probabilities were corrected."""
    calibration = m.evidence.calibration
    if calibration is None or calibration.temperature.value is None:
        return "Nothing: the model is served as it was trained."
    return "One temperature divides the class scores; it is fitted on validation images."


def software(m: Material) -> str | None:
    """Versions."""
    return (
        ", ".join(f"{name} {version}" for name, version in m.origin.software.items()) + "."
        if m.origin.software
        else None
    )


def code(m: Material) -> str:
    """Where the code is."""
    return (
        f"Git commit {m.evidence.context.commit}, which also holds parameters, pins and dvc.lock; licence Apache-2.0."
    )


def refusal(_: Material) -> str:
    """What is done with inputs that cannot be used."""
    return (
        "A file that cannot be decoded is refused with a named reason. The quality of a picture is not judged: any "
        "picture that decodes gets a class."
    )


def chosen(m: Material) -> str:
    """How the registered model was chosen."""
    return recipe.chosen_by(m.origin.params)


def combined(_: Material) -> str:
    """Whether models were combined."""
    return "No: every image is tested by one network, and one network is registered."


def maker(m: Material) -> str:
    """Who started the run."""
    return f"{m.evidence.context.trained_by}, with {m.origin.program}."


def dated(m: Material) -> str:
    """When, and the version."""
    version = f"; version {m.decided.version} of {m.decided.decision.model}" if m.decided else ""
    return f"Begun {m.origin.started}{version}."


def purpose(_: Material) -> str:
    """What it is for."""
    return "Research on how such classifiers are retrained, judged and traced."


def not_for(_: Material) -> str:
    """What it is not for."""
    return "Diagnosis, treatment, triage or any other part of care; images that are no frontal chest X-rays."
