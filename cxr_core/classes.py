"""The three classes, in the paper's order: their index is the network's output, their slug the word in every file."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CLASSES", "CLASS_NAMES", "SOURCES", "SOURCE_NAMES", "ClassSlug", "Source"]

ClassSlug = Literal["covid", "viral", "normal"]
Source = Literal["sirm", "github", "rsna", "kaggle"]

CLASSES: tuple[ClassSlug, ...] = get_args(ClassSlug)
SOURCES: tuple[Source, ...] = get_args(Source)

CLASS_NAMES: dict[ClassSlug, str] = {"covid": "COVID-19", "viral": "other viral pneumonia", "normal": "normal"}
SOURCE_NAMES: dict[Source, str] = {
    "sirm": "SIRM COVID-19 cases",
    "github": "COVID-19 image data collection (Cohen et al.)",
    "rsna": "RSNA Pneumonia Detection Challenge",
    "kaggle": "Chest X-Ray Images (Pneumonia), Kermany et al.",
}
