"""The same bits, whatever the number of ranks, the chunks, the layout, the writer, the order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import H5PY, SYSTEM_RANKS, launch, scip
from pairs import pairwise
from tables import digest, obs_names, read_x

FACTORS = {
    "ranks": [SYSTEM_RANKS] if SYSTEM_RANKS else [None, 1, 2, 3, 4, 8],
    "chunk_size": [None, 1, 64],
    "segmenters": [0, 1, 2],
    # The h5py of the tests is built for MPICH.
    "writer": ["mpi"] if SYSTEM_RANKS else ["mpi", "hdf5"],
    "filtered": [False, True],
    "order": ["created in order", "created in reverse"],
}
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"
COMBINATIONS = pairwise(FACTORS)


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    files = jurkat_files(shared_dir, 150)
    root = tmp_path_factory.mktemp("cells")
    return {
        "created in order": copy_cells(files, root / "a"),
        "created in reverse": copy_cells(files[::-1], root / "b"),
    }


@pytest.fixture(scope="module")
def undisturbed(
    cells: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, dict[str, str]]:
    """The table of one process, without and with the filter."""
    root = tmp_path_factory.mktemp("undisturbed")
    digests = {}
    for filtered in (False, True):
        config = write_config(root / f"{filtered}.yml", FILTER if filtered else "")
        out = root / str(filtered)
        done = scip("run", config, cells["created in order"], "-o", out, "-q")
        assert done.returncode == 0, done.stderr
        digests[filtered] = digest(out)
        assert len(obs_names(out)) == (105 if filtered else 150)
        assert read_x(out).shape[1] > 1000
    return digests


@pytest.mark.mpi
@pytest.mark.parametrize(
    "layout", COMBINATIONS, ids=lambda c: "-".join(str(v).replace(" ", "_") for v in c.values())
)
def test_the_table_does_not_depend_on_the_layout(
    layout: dict[str, object],
    cells: dict[str, Path],
    undisturbed: dict[bool, dict[str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    resources = {"segmenters": layout["segmenters"]}
    if layout["chunk_size"]:
        resources["chunk_size"] = layout["chunk_size"]
    inside = ", ".join(f"{k}: {v}" for k, v in resources.items())
    extra = (FILTER if layout["filtered"] else "") + f"resources: {{{inside}}}\n"
    config = write_config(tmp_path / "scip.yml", extra)
    arguments = ["-m", "scip_mpi", "run", config, cells[str(layout["order"])], "-o"]
    out = tmp_path / "out"
    ranks = layout["ranks"]
    assert ranks is None or isinstance(ranks, int)
    if layout["writer"] == "hdf5" and ranks is not None:
        if not H5PY.is_file():
            message = "no parallel h5py: bash .ci/parallel_h5py makes one"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        done = launch([*arguments, out, "--writer", "hdf5"], ranks, python=H5PY)
    else:
        writer = "posix" if ranks is None else "mpi"
        done = launch([*arguments, out, "--writer", writer], ranks)
    assert done.returncode == 0, done.stderr
    assert digest(out) == undisturbed[bool(layout["filtered"])]


def test_the_table_does_not_depend_on_the_processor(
    cells: dict[str, Path], undisturbed: dict[bool, dict[str, str]], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml")
    environ = {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    arguments = ["-m", "scip_mpi", "run", config, cells["created in order"], "-o"]
    done = launch([*arguments, tmp_path / "out"], environ=environ)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == undisturbed[False]


def test_every_pair_of_settings_occurs() -> None:
    for a, x in FACTORS.items():
        for b, y in FACTORS.items():
            if a < b:
                seen = {(row[a], row[b]) for row in COMBINATIONS}
                assert seen == {(i, j) for i in x for j in y}
