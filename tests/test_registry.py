"""Names find what they stand for, of this program or of another."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scip_mpi import registry
from scip_mpi.errors import UserError

ALL = [(kind, name) for kind, known in registry.BUILT_IN.items() for name in known]

PLUGIN = '''
"""A package of somebody else."""
class family:
    name, features, compute = "dots", list, print

def ring(batch, enabled, xp, *, width: int = 3):
    """A mask method."""

NUMBER = 7
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with entry points, as pip leaves it behind."""
    (tmp_path / "foreign_masks.py").write_text(PLUGIN)
    (tmp_path / "foreign_broken.py").write_text("import a_module_that_nobody_has\n")
    info = tmp_path / "foreign_masks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-masks\nVersion: 1.0\n")
    entries = """\
        [scip_mpi.masks]
        ring = foreign_masks:ring
        li = foreign_masks:ring
        twice = foreign_masks:ring
        [scip_mpi.features]
        dots = foreign_masks:family
        """
    (info / "entry_points.txt").write_text(textwrap.dedent(entries))
    other = tmp_path / "other_masks-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-masks\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[scip_mpi.masks]\ntwice = other_masks:ring\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "foreign_masks"
    for name in ("foreign_masks", "foreign_broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_built_in_names_find_what_is_there(kind: str, name: str) -> None:
    found = registry.find(kind, name)
    if kind == "loaders":
        assert found.__name__ == f"scip_mpi.loaders.{name}"
        assert all(callable(getattr(found, m)) for m in ("discover", "probe", "read"))
    elif kind == "features":
        assert found.name == name
    else:
        assert callable(found)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("masks", "otzu", "unknown mask method 'otzu'; did you mean 'otsu'? Available: li, otsu"),
        ("masks", "LI", "did you mean 'li'?"),
        ("masks", "cellpose", "unknown mask method 'cellpose'; available: li, otsu, spot"),
        ("loaders", "netcdf", "unknown format 'netcdf'; available: multiframe_tiff, zarr"),
        ("loaders", "zar", "did you mean 'zarr'?"),
        ("prefilters", "normal", "did you mean 'normaltest'?"),
        ("filters", "quantiles", "did you mean 'quantile'?"),
        ("features", "textures", "did you mean 'texture'?"),
        ("features", "region", "did you mean 'regions'?"),
        ("masks", "", "unknown mask method ''"),
        ("masks", "no spaces:allowed", "unknown mask method"),
        ("masks", "..:li", "unknown mask method"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(kind: str, name: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        registry.find(kind, name)
    assert message in str(raised.value)


def test_names_in_the_config_may_say_where_the_function_is(plugin: str) -> None:
    assert registry.find("masks", f"{plugin}:ring").__name__ == "ring"
    assert registry.find("features", f"{plugin}:family").name == "dots"
    assert registry.find("loaders", "scip_mpi.loaders.zarr").__name__ == "scip_mpi.loaders.zarr"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("masks", "a_module_that_nobody_has:f", "No module named 'a_module_that_nobody_has'"),
        ("masks", "foreign_masks:rong", "has no attribute 'rong'"),
        ("masks", "foreign_broken:ring", "No module named 'a_module_that_nobody_has'"),
        ("masks", "foreign_masks:NUMBER", "is not a function"),
        ("features", "foreign_masks:ring", "has no name, features, compute"),
        ("loaders", "foreign_masks:ring", "has no discover, probe, read"),
        ("masks", "twice", "several packages"),
    ],
)
def test_what_cannot_be_used_is_the_users_to_mend(
    kind: str, name: str, message: str, plugin: str
) -> None:
    with pytest.raises(UserError) as raised:
        registry.find(kind, name)
    assert message in str(raised.value)


def test_installed_packages_offer_more(plugin: str) -> None:
    assert registry.names("masks") == [*registry.BUILT_IN["masks"], "ring", "twice"]
    assert registry.find("masks", "ring").__module__ == plugin
    assert registry.find("features", "dots").name == "dots"
    with pytest.raises(UserError, match="did you mean 'ring'"):
        registry.find("masks", "rings")


def test_built_in_names_cannot_be_taken(plugin: str) -> None:
    assert registry.find("masks", "li").__module__ == "scip_mpi.segmentation.li"


def test_parameters_are_the_keyword_only_ones() -> None:
    def method(batch, *, sigma: float, sizes: list[int] | None = None, free=3) -> None: ...  # type: ignore[no-untyped-def]

    found = registry.parameters(method)
    assert list(found) == ["sigma", "sizes", "free"]
    assert found["sigma"].required
    assert found["sigma"].annotation is float
    assert not found["sizes"].required
    assert found["sizes"].default is None
    assert found["sizes"].annotation == list[int] | None
    assert found["free"].default == 3
    assert set(registry.parameters(registry.find("masks", "spot"))) == {"spotsize"}
    assert registry.parameters(registry.find("masks", "otsu")) == {}


def test_annotations_for_type_checkers_only_are_no_obstacle() -> None:
    def method(*, sigma: NotThere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert registry.parameters(method)["sigma"].required


def test_importing_the_registry_imports_nothing_that_it_names() -> None:
    code = "import sys; from scip_mpi import registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "scip_mpi.registry" in loaded
    assert not loaded & {"numba", "tifffile", "numpy", "scip_mpi.segmentation"}
