"""Dependencies point downward only, and importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scip_mpi"

# From the ground up. A module may import from its own layer's line or from lines above it here.
LAYERS = [
    {
        "errors",
        "log",
        "batches",
        "chunks",
        "compilation",
        "devices",
        "disk",
        "libraries",
        "memory",
        "progress",
        "projection",
        "signals",
        "timers",
    },
    {"statistics", "features", "loaders", "segmentation", "checkpoint"},
    {"illumination", "illumination_groups"},
    {"filters", "measure", "correction", "normalization", "store", "simulation", "registry"},
    {"tile_store"},
    {"summaries"},
    {"verdict"},
    {"columns", "feature_list"},
    {"config", "pipeline"},
    {"parallel"},
    {"objects", "tiles", "tile_fields", "tile_levels"},
    {"rows", "measurements", "segmenting", "tile_objects", "identity", "units"},
    {"holdings", "plan", "results"},
    {"items", "tallies", "recording"},
    {"stages"},
    {"trial", "apart", "again"},
    {"report"},
    {"check"},
    {"job"},
    {"provenance", "books", "restart", "suspicion"},
    {"table"},
    {"illuminate", "tile_rounds", "publish", "merge", "passes"},
    {"run"},
    {"demo", "pack", "classification", "export", "preview", "starter"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
# Algorithms know nothing of ranks, files of the table, or the config.
ALGORITHMS = {
    "features", "segmentation", "loaders", "statistics", "filters", "verdict", "measure",
    "summaries", "correction",
}  # fmt: skip
FORBIDDEN = {"parallel", "results", "config", "plan", "run", "registry", "cli", "stages", "store"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Names of all modules a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("scip_mpi.")}
    return {r for r in rooms if (PACKAGE / r).is_dir() or (PACKAGE / f"{r}.py").is_file()}


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_room_has_a_layer() -> None:
    layered = set().union(*LAYERS)
    assert {room(p) for p in MODULES} == layered


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    here = room(path)
    upward = {r for r in rooms_imported(path) if level[r] > level[here]}
    assert not upward, f"{here} is below {upward}"
    if here in ALGORITHMS:
        assert not rooms_imported(path) & FORBIDDEN


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_parallel_imports_mpi4py(path: Path) -> None:
    uses = any(name.split(".")[0] == "mpi4py" for name in imports(path))
    assert not uses or room(path) == "parallel"


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"mpi4py", "cupy", "numba", "pandas", "pyarrow", "h5py", "skimage", "scipy"}
    assert not loaded_by("import scip_mpi") & heavy
    assert not loaded_by("import scip_mpi.cli") & heavy


def test_checking_a_config_loads_neither_mpi_nor_kernels() -> None:
    assert not loaded_by("import scip_mpi.config") & {"mpi4py", "cupy", "numba", "pandas", "h5py"}


def test_features_work_alone() -> None:
    loaded = loaded_by("from scip_mpi.features import texture")
    assert not loaded & {"mpi4py", "cupy", "h5py", "pydantic", "tifffile"}
