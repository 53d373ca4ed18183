"""The paper's figures as it prints them, each with its place; nothing here was measured by us.

Source: The University of Louisville Journal of Respiratory Infections 5(1), article 34,
https://ir.library.louisville.edu/jri/vol5/iss1/34. References in brackets are the paper's own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_core.classes import ClassSlug

__all__ = [
    "BATCH",
    "BATCHES",
    "CLASS_SHARES",
    "COHORT",
    "CONFIDENCE",
    "IMAGES",
    "MARGIN",
    "MEAN",
    "SAMPLE_SIZE",
    "SYSTEMS",
    "TABLE_2",
    "TEST_ACCURACY",
    "FoldRow",
    "System",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldRow:
    """A row of Table 2: accuracy in per cent, error rate in thousandths."""

    fold: str
    accuracy: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A system that the paper compares itself with.

    Attributes:
        name: As the paper calls it.
        reference: Its number in the paper's list.
        images: What it reads: ``X-ray`` or ``CT``; empty where the paper does not say.
        printed: The figures in the paper's words.
        note: What a reader must know before he puts it beside another figure.
        ours: The architecture of ours that is nearest to it; empty where there is none.
    """

    name: str
    reference: str
    images: str
    printed: str
    note: str = ""
    ours: str = ""


# Methods, "Study population database and sample size".
COHORT: dict[ClassSlug, int] = {"covid": 240, "viral": 274, "normal": 267}
IMAGES = 781
SAMPLE_SIZE = 722
CONFIDENCE = 0.99
MARGIN = 0.01

# Methods, "Deep convolutional neural network model selection": 49 batches of 16 images; training, validation, test.
BATCH = 16
BATCHES = (29, 10, 10)

TABLE_2 = (
    FoldRow(fold="1", accuracy="99.14", error="8.61"),
    FoldRow(fold="2", accuracy="99.31", error="6.89"),
    FoldRow(fold="3", accuracy="99.48", error="5.16"),
    FoldRow(fold="4", accuracy="98.62", error="13.77"),
    FoldRow(fold="5", accuracy="98.97", error="10.33"),
)
MEAN = FoldRow(fold="Average result", accuracy="99.11", error="8.95")

# Abstract and Results (Fig. 3): sensitivity and, "identical", specificity, in per cent.
CLASS_SHARES: dict[ClassSlug, str] = {"covid": "100", "viral": "99.6", "normal": "98.9"}

# Abstract, Results, Discussion: "overall accuracy … for testing the subset", in per cent.
TEST_ACCURACY = "99.5"

SYSTEMS = (
    System(
        name="The paper's ResNet-34",
        reference="this paper",
        images="X-ray",
        printed="accuracy 99.5 %; mean of five folds 99.11 %; AUC 1.00 / 0.99 / 0.99",
        note="99.5 % is 777 of 781, training images included; Table 2 fits 581 images and multiples, not 781",
        ours="resnet34",
    ),
    System(
        name="COVID-Net (Wang and Wong)",
        reference="[32]",
        images="X-ray",
        printed="accuracy 93.3 %; sensitivity 91 / 94 / 95 % (COVID-19, pneumonia, normal)",
    ),
    System(
        name="COVIDX-Net: VGG19 and DenseNet (Hemdan et al.)",
        reference="[33]",
        images="X-ray",
        printed="F1 0.89 (normal) and 0.91 (COVID-19)",
        note="25 COVID-19 images in all",
        ours="vgg19",
    ),
    System(
        name="COVIDX-Net: MobileNet v2 (Hemdan et al.)",
        reference="[33]",
        images="X-ray",
        printed="named among seven networks, without a figure",
        ours="mobilenet_v2",
    ),
    System(
        name="ResNet-18 (Zhang et al.)",
        reference="[30]",
        images="X-ray",
        printed="AUC 83.61 %; sensitivity 71.70 %; 106 COVID-19 and 107 normal",
        note="anomaly detection trained without any COVID-19 image: the only external figure in the list",
        ours="resnet18",
    ),
    System(
        name="U-Net and 3D ResNet-50 (Li et al.)",
        reference="[34]",
        images="CT",
        printed="accuracy 87 %; six hospitals",
        ours="resnet50",
    ),
    System(
        name="DenseNet-169",
        reference="[35]",
        images="CT",
        printed="accuracy 79.5 % without and 83.3 % with segmentation of the lungs",
        ours="densenet169",
    ),
    System(name="U-Net and 3D CNN", reference="[36]", images="CT", printed="accuracy 90 %"),
    System(
        name="ResNet-50, transfer learning",
        reference="[37]",
        images="",
        printed="accuracy 94 %",
        ours="resnet50",
    ),
    System(
        name="Naive Bayes on augmented features (Akram et al.)",
        reference="[31]",
        images="CT",
        printed="accuracy 92.6 %",
    ),
)
"""The systems of the paper's discussion, in no order of merit: other images, other classes, other tests."""
