"""The layer rule, held by reading every import in the source; the size of files; and no trace of a machine."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "vitruvian"

# Each part may import what stands before it, and itself. `docs/architecture.md` says why.
LAYERS: dict[str, list[str]] = {
    "L0": ["errors", "extras", "provenance", "skeletons", "geometry", "types", "types3d"],
    "L1": [
        "formats",
        "transforms",
        "preprocess",
        "data",
        "codecs",
        "models",
        "detection",
        "losses",
        "adversarial",
        "metrics",
        "draw",
        "weights",
    ],
    "L2": ["predict", "synth", "training", "evaluate", "epochs", "analyze"],
    "L3": ["export", "cli"],
}
ORDER = [part for parts in LAYERS.values() for part in parts]
FACADE = {"__init__", "__main__"}  # the public names, and `python -m vitruvian`
MAX_LINES = 450

FILES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The folder or file directly under the package that a module belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Parts of the package that a file imports anywhere, inside functions and for type checkers too."""
    package = path.relative_to(SOURCE.parent).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("vitruvian.")}
    return {name for name in found if (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()}


def test_the_layers_name_every_part():
    parts = {part_of(path) for path in FILES} - FACADE
    assert parts == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) not in FACADE], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_only_go_down(path):
    allowed = set(ORDER[: ORDER.index(part_of(path)) + 1])
    assert imports_of(path) <= allowed, f"{part_of(path)} may not import {sorted(imports_of(path) - allowed)}"


def test_the_reader_of_imports_sees_all_kinds(tmp_path, monkeypatch):
    """A rule that sees nothing would always hold."""
    package = tmp_path / "vitruvian"
    for name in ("draw", "cli", "data"):
        (package / name).mkdir(parents=True)
    (package / "types.py").touch()
    file = package / "draw" / "sheet.py"
    file.write_text(
        "import numpy\nimport vitruvian.cli.predict\nfrom .. import data\nfrom . import palette\n"
        "def f():\n    from ..types import Poses\n    from vitruvian import nothing\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", package)
    assert imports_of(file) == {"cli", "data", "draw", "types"}
    assert part_of(file) == "draw"


@pytest.mark.parametrize("layer", ["L0", "L1"])
def test_optional_libraries_are_imported_in_functions(layer):
    """The core has numpy, onnxruntime, pillow, click and rich; the rest goes through `extras.need`."""
    for path in FILES:
        if part_of(path) not in LAYERS[layer] or part_of(path) in ("models", "losses", "adversarial", "detection"):
            continue
        top = [
            n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        modules = {a.name for n in top if isinstance(n, ast.Import) for a in n.names}
        modules |= {n.module or "" for n in top if isinstance(n, ast.ImportFrom) and not n.level}
        heavy = {m.split(".")[0] for m in modules} & {
            "torch",
            "scipy",
            "h5py",
            "yaml",
            "pandas",
            "pyarrow",
            "onnx",
            "cv2",
            "matplotlib",
        }
        assert not heavy, f"{path.relative_to(SOURCE)} imports {sorted(heavy)} when it is loaded"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_no_machine_paths():
    places = [
        p for folder in ("src", "docs", "recipes", "benchmarks", "tools") for p in sorted((ROOT / folder).rglob("*"))
    ]
    places += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml")]
    pattern = re.compile(r"(?<![\w.~])/(work|tmp|root|home|Users)/\w")
    found = []
    for path in places:
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".json") and path.is_file():
            found += [
                f"{path.relative_to(ROOT)}: {m.group()}" for m in pattern.finditer(path.read_text(encoding="utf-8"))
            ]
    assert not found
    assert pattern.search("see /" + "work/main")  # and the pattern finds what it is for
