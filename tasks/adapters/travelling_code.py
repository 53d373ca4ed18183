"""The code that travels with a model: a module and all of ours that it imports, under a name of its own.

In: the folder that holds ``cxr_core`` and the module to take. Out: file texts and the packages from outside that they
import. Laws: the same sources give the same name; sources that differ in one character give another, so that two model
versions in one process, or a model beside this repository, each run their own code.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cxr_core.digests import digest_value
from cxr_core.errors import TrackingError

__all__ = ["TravellingCode", "collect", "requirements"]

_PACKAGE = "cxr_core"
_NAME_DIGITS = 12

# Where a distribution is not called like what it is imported as. The standard library could look this up in half a
# second, reading the files of everything installed.
_DISTRIBUTIONS = {"PIL": "pillow"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TravellingCode:
    """A renamed copy of part of this repository.

    Attributes:
        name: ``cxr_model_<12 hex digits>`` of the sources' digest.
        files: Text by path relative to the package (POSIX).
        script: The model script with the package's name rewritten.
        imports: Top-level names of the packages from outside that the code imports, sorted.
    """

    name: str
    files: Mapping[str, str]
    script: str
    imports: tuple[str, ...]

    def write(self, folder: Path) -> Path:
        """Write the package into a folder and return its path."""
        package = folder / self.name
        for relative, text in self.files.items():
            path = package / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return package


def collect(root: Path, entry: str, script: str) -> TravellingCode:
    """Follow the imports from a module and from the script's text.

    Imports inside functions count; a module named by a computed string is not seen.

    Args:
        root: The folder that holds the package ``cxr_core``.
        entry: The module to take, e.g. ``cxr_core.model.inference``.
        script: The text of the model script.

    Raises:
        TrackingError: A module of ours that is imported is not there.
    """
    ours, outside = _imports(script, "", root)
    waiting = {entry, *ours}
    sources: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        path = _file(root, module)
        relative = path.relative_to(root / _PACKAGE).as_posix()
        if relative in sources:
            continue
        sources[relative] = path.read_text(encoding="utf-8")
        parent = module.rpartition(".")[0]
        inner, outer = _imports(sources[relative], module if path.name == "__init__.py" else parent, root)
        waiting |= inner | ({parent} if parent else set())
        outside |= outer
    digest = digest_value({"files": sources, "script": script})
    name = f"cxr_model_{digest.removeprefix('sha256:')[:_NAME_DIGITS]}"
    return TravellingCode(
        name=name,
        files={path: _renamed(text, name) for path, text in sorted(sources.items())},
        script=_renamed(script, name),
        imports=tuple(sorted(outside)),
    )


def requirements(imports: tuple[str, ...]) -> list[str]:
    """Each imported name as ``distribution==version``, as installed here, sorted.

    A local label is left off (``2.13.0+cpu``): the index that a user installs from has no such file.

    Raises:
        TrackingError: No installed distribution provides a name.
    """
    found: list[str] = []
    missing: list[str] = []
    for name in imports:
        distribution = _DISTRIBUTIONS.get(name, name)
        try:
            found.append(f"{distribution}=={version(distribution).partition('+')[0]}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise TrackingError(
            f"The model's code imports {', '.join(missing)}, which no installed distribution provides.",
            reason="unknown_requirement",
            hint="Install the project with its constraints: `pip install -e . -c constraints.txt`.",
        )
    return sorted(found)


def _imports(text: str, package: str, root: Path) -> tuple[set[str], set[str]]:
    """What a source of this package imports: our own modules, and the top-level names of those from outside."""
    ours: set[str] = set()
    outside: set[str] = set()
    for name, is_module in _imported_names(ast.parse(text), package):
        top = name.partition(".")[0]
        if top == _PACKAGE:
            if is_module or _path(root, name) is not None:
                ours.add(name)
        elif top not in sys.stdlib_module_names:
            outside.add(top)
    return ours, outside


def _imported_names(tree: ast.Module, package: str) -> Iterator[tuple[str, bool]]:
    """Dotted names, and whether each is a module for certain (``from a import b`` leaves ``a.b`` open)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package itself, each further dot one above.
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base, True
            yield from ((f"{base}.{alias.name}", False) for alias in node.names)


def _path(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _file(root: Path, module: str) -> Path:
    path = _path(root, module)
    if path is None:
        raise TrackingError(f"The model's code imports {module}, which is not under {root}.", reason="module_missing")
    return path


def _renamed(text: str, name: str) -> str:
    return re.sub(rf"\b{_PACKAGE}\b", name, text)
