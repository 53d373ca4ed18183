"""What the hostile corpus is made of: kinds of file, each with the reason for which it must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Make = Callable[[np.random.Generator], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One way of being broken or hostile.

    Attributes:
        name: What is wrong, in words joined by hyphens.
        reason: The code of the refusal, a member of the enums of ``docs/reasons.md``.
        suffix: How the file's name ends.
        make: The file's bytes; another draw gives another file of the kind.
    """

    name: str
    reason: str
    suffix: str
    make: Make


class Kinds(dict[str, Kind]):
    """Kinds by name, filled by decorating their makers."""

    def add(self, name: str, reason: str, *, suffix: str) -> Callable[[Make], Make]:
        def register(make: Make) -> Make:
            assert name not in self, f"{name} is there already"
            self[name] = Kind(name=name, reason=str(reason), suffix=suffix, make=make)
            return make

        return register
