"""A bug on one rank, in any stage, ends the job at once with that rank's traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import launch

PROGRAM = Path(__file__).with_name("faulty.py")
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 24), tmp_path_factory.mktemp("cells"))


@pytest.mark.mpi
@pytest.mark.ranks(4)
@pytest.mark.parametrize(
    ("where", "rank"),
    [
        ("scip_mpi.run:find_images", 0),
        ("scip_mpi.run:build_stages", 2),
        ("scip_mpi.parallel.manager:Manager._answer", 0),
        ("scip_mpi.loaders.multiframe_tiff:read", 1),
        ("scip_mpi.passes:segment", 3),
        ("scip_mpi.objects:statistics_of", 1),
        ("scip_mpi.run:number_rows", 2),
        ("scip_mpi.run:create_table", 0),
        ("scip_mpi.passes:open_writer", 1),
        ("scip_mpi.passes:compute", 1),
        ("scip_mpi.passes:put_rows", 0),
        ("scip_mpi.passes:tell", 2),
        ("scip_mpi.books:Books.write", 0),
        ("scip_mpi.publish:finish", 0),
    ],
)
@pytest.mark.parametrize("segmenters", [0, 2])
def test_a_bug_on_one_rank_ends_the_job(
    where: str, rank: int, segmenters: int, cells: Path, tmp_path: Path
) -> None:
    if segmenters and where.endswith(("put_rows", "compute", "passes:segment")):
        # With ranks 0 and 1 segmenting, ranks 2 and 3 compute.
        rank = 1 if where.endswith("segment") else 2
    extra = FILTER + f"resources: {{segmenters: {segmenters}, chunk_size: 2}}\n"
    config = write_config(tmp_path / "scip.yml", extra)
    out = tmp_path / "out"
    fault = [where, rank, "ValueError", tmp_path / "flag"]
    done = launch([PROGRAM, *fault, "run", config, cells, "-o", out], 4)
    assert done.returncode == 1, done.stderr
    assert f"[rank {rank} of 4] ValueError: fault in {where}" in done.stderr
    assert not (out / "features.h5ad").exists()


@pytest.mark.mpi
@pytest.mark.ranks(4)
def test_what_one_rank_alone_cannot_do_ends_the_job(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 2}\n")
    fault = ["scip_mpi.loaders.multiframe_tiff:read", 2, "UserError", tmp_path / "flag"]
    done = launch([PROGRAM, *fault, "run", config, cells, "-o", tmp_path / "out"], 4)
    assert done.returncode == 1
    assert "[rank 2 of 4]" in done.stderr
    assert "fault in scip_mpi.loaders.multiframe_tiff:read" in done.stderr
