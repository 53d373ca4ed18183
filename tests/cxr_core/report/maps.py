"""What maps are worth in a run that never was, for pages and forms."""

from cxr_core.classes import ClassSlug
from cxr_core.evaluate.estimates import over_patients
from cxr_core.evaluate.parts import Estimate
from cxr_core.explain.records import (
    Agreed,
    Agreement,
    Cascade,
    CascadeStep,
    DependVerdict,
    InLungs,
    Lungs,
    Saliency,
)
from cxr_core.stats.intervals import Interval


def saliency(verdict: DependVerdict = "depend on the weights") -> Saliency:
    """Maps that forget as they should, lie in the lungs and agree; the images of one class have none."""

    def mean(value: float | None) -> Estimate:
        limits = None if value is None else Interval(low=value - 0.1, high=value + 0.1)
        return over_patients(value, limits, method="cluster_bootstrap", n=36 if limits else 0, why="No image has it.")

    names = ("fc", "layer4", "layer3", "layer2", "layer1", "conv1 to bn1")
    steps = tuple(
        CascadeStep(stage=name, rank=mean(0.6 - 0.1 * step), ssim=mean(0.5 - 0.05 * step), quartiles=(0.4, 0.7))
        for step, name in enumerate(names)
    )
    known: dict[ClassSlug, float | None] = {"covid": 0.7, "viral": 0.2, "normal": None}
    return Saliency(
        schema=1,
        layer="layer4",
        side=7,
        images=36,
        groups=30,
        confidence=0.95,
        cascade=Cascade(networks=5, steps=steps, verdict=verdict, why="The mean is 0.10 (0.00 to 0.20), n = 36."),
        lungs=Lungs(
            field="two ellipses",
            area=0.352,
            per_class={slug: InLungs(share=mean(value), random=mean(0.35)) for slug, value in known.items()},
        ),
        agreement=Agreement(
            networks=5,
            per_class={
                slug: Agreed(unseen=mean(value), every=mean(0.6), others=mean(0.3)) for slug, value in known.items()
            },
        ),
    )
