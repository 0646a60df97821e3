"""The commands as users type them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from launch import documented_block, launch, scip
from tables import column_names, obs_names, read_x

sys.path.insert(0, str(Path(__file__).parent / "agreement"))
from reference import twelve_channel_images, write_zarr

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 12), tmp_path_factory.mktemp("cells"))


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_check_says_what_a_run_would_do_and_touches_nothing(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {segmenters: 1}\n")
    before = contents(tmp_path)
    done = scip("check", config, cells, "-n", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "12 in 12 files", "G1 (", "BF, PI, SSC", "li, otsu", "3 channels of uint16",
        "1 x manager + segmenter", "3 x featurizer", "shape 472", "table", "memory", "fingerprint",
    ):  # fmt: skip
        assert words in done.stdout, done.stdout
    assert contents(tmp_path) == before


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_under_mpiexec_one_process_speaks_and_commands_for_one_are_refused(
    cells: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml")
    done = scip("check", config, cells, ranks=2)
    assert (done.returncode, done.stdout.count("12 in 12 files")) == (0, 1), done.stderr
    assert "ranks       2: " in done.stdout
    assert scip("schema", ranks=2).stdout.count('"$defs"') == 1
    done = scip("simulate", tmp_path / "sim", "-n", "5", ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("simulate works in one process") == 1
    assert not (tmp_path / "sim").exists()
    assert scip("check", config, cells, "-n", "0").returncode == 2


@pytest.mark.parametrize("scratch", ["nowhere", "file"])
def test_a_scratch_folder_that_is_none_is_refused_before_any_work(
    scratch: str, cells: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    extra = f"resources: {{scratch: {tmp_path / scratch}}}\n"
    done = scip("run", write_config(tmp_path / "scip.yml", extra), cells, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "resources.scratch: on " in done.stderr
    assert f"{tmp_path / scratch} cannot be written" in done.stderr
    assert not (tmp_path / "out").exists()


def test_check_refuses_what_a_run_would_refuse(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    assert scip("check", config, tmp_path / "nowhere").returncode == 2
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.tif").write_text("no image")
    done = scip("check", config, tmp_path / "bad")
    assert done.returncode == 2
    assert "x.tif" in done.stderr + done.stdout


def test_check_starts_no_mpi(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    program = (
        "import sys\n"
        f"sys.argv = ['scip_mpi', 'check', {str(config)!r}, {str(cells)!r}]\n"
        "from scip_mpi.cli import main\n"
        "try: main()\n"
        "finally: print('MPI' if 'mpi4py' in sys.modules else 'none', file=sys.stderr)\n"
    )
    done = launch(["-c", program])
    assert done.returncode == 0
    assert done.stderr.strip() == "none"


def test_bare_it_runs_scip_yml_with_the_paths_it_names(cells: Path, tmp_path: Path) -> None:
    text = (
        f"load:\n  format: multiframe_tiff\n  paths: [{cells}]\nfeature_extraction: [intensity]\n"
    )
    write_config(tmp_path / "scip.yml", text=text)
    done = scip(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(obs_names(tmp_path / "scip_output")) == 12
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    nothing = scip(cwd=elsewhere)
    assert nothing.returncode == 2
    assert "no scip.yml here" in nothing.stderr


def test_simulate_makes_images_with_truth_and_a_config_that_runs(tmp_path: Path) -> None:
    done = scip("simulate", tmp_path / "sim", "-n", "30", "-c", "4", "-s", "7")
    assert done.returncode == 0, done.stderr
    truth = pd.read_csv(tmp_path / "sim" / "truth.csv")
    assert len(truth) == 30
    again = scip("simulate", tmp_path / "sim", "-n", "30")
    assert again.returncode == 2
    out = tmp_path / "table"
    run = scip("run", tmp_path / "sim" / "scip.yml", tmp_path / "sim" / "images", "-o", out)
    assert run.returncode == 0, run.stderr
    assert len(obs_names(out)) == 30
    assert "30 of 30 images" in run.stderr


def test_a_writer_that_cannot_work_is_refused_before_any_work(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    for writer in ("mpi", "hdf5"):
        done = scip("run", config, cells, "-o", tmp_path / "out", "--writer", writer)
        assert done.returncode == 2
        assert f"--writer {writer} needs" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_filename_names_both_tables(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", text=CONFIG.replace("features}", "plate7}"))
    assert scip("run", config, cells, "-o", tmp_path / "out").returncode == 0
    found = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"plate7.h5ad", "plate7.parquet"} <= found
    assert not any("features" in name for name in found)
    assert scip("run", config, cells, "-o", tmp_path / "out").returncode == 2


def test_the_shell_completes_commands() -> None:
    code = "import sys; sys.argv = ['scip_mpi']; from scip_mpi.__main__ import main; main()"
    asked = {"_SCIP_MPI_COMPLETE": "bash_complete", "COMP_WORDS": "scip_mpi cl", "COMP_CWORD": "1"}
    assert launch(["-c", code], environ=asked).stdout.split() == ["plain,classify"]


def test_the_schema_is_json() -> None:
    done = scip("schema")
    assert "mask" in json.loads(done.stdout)["properties"]


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_the_demo_ends_with_the_table_and_its_shape_and_the_report(tmp_path: Path) -> None:
    done = scip("demo", "-o", tmp_path / "demo", "-n", "40", ranks=2)
    assert done.returncode == 0, done.stderr
    table, report = done.stderr.strip().splitlines()[-2:]
    assert re.search(r"demo/table/features.h5ad \(40 cells x [\d,]+ features\)", table)
    assert report.endswith(f"report: {tmp_path}/demo/table/report.html")
    # It knows what was simulated.
    text = (tmp_path / "demo" / "table" / "report.html").read_text()
    assert re.search(r'"name": "kind"', text)
    assert re.search(r"neutrophil \(\d+\)", text)
    # Once more, as people do.
    assert scip("demo", "-o", tmp_path / "demo", "-n", "40", ranks=2).returncode == 0


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_scips_jurkat_config_runs_unchanged(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "reference" / "jurkat_scip"
    out = tmp_path / "out"
    done = scip("run", folder / "scip.yml", folder / "sample0_part1.zarr", "-o", out, ranks=2)
    assert done.returncode == 0, done.stderr
    scip_own = pd.read_parquet(folder / "features.parquet")
    ours = pd.read_parquet(out / "features.parquet")
    for column in ("meta_group", "meta_part", "meta_zarr_idx", "meta_object_number"):
        assert ours[column].astype(str).tolist() == scip_own[column].astype(str).tolist()
    loaders = {"meta_path", "meta_group", "meta_part", "meta_zarr_idx", "meta_object_number"}
    order = [c for c in scip_own.columns if c not in loaders]
    assert [c for c in ours.columns if c in order] == order
    names = [c for c in scip_own.columns if c.startswith("feat_") and "orientation" not in c]
    assert np.allclose(ours[names], scip_own[names], rtol=2e-6, atol=1e-5, equal_nan=True)


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_scips_published_wbc_config_runs_unchanged(shared_dir: Path, tmp_path: Path) -> None:
    images = twelve_channel_images(shared_dir / "reference")
    write_zarr(tmp_path / "data" / "sample1_early_part1_a.zarr", images[:12], chunk=5)
    write_zarr(tmp_path / "data" / "sample2_part1_b.zarr", images[12:], chunk=5)
    out = tmp_path / "out"
    config = shared_dir / "reference" / "scip_config_WBC.yml"
    done = scip("run", config, tmp_path / "data", "-o", out, ranks=2)
    assert done.returncode == 0, done.stderr
    # Shape, intensity and texture of li and otsu, shape and intensity of spot, raw.
    assert len(column_names(out)) == 3 * (767 + 1056) + 2 * 672 + 132
    assert read_x(out).shape[0] == 20
    rows = pd.read_parquet(out / "features.parquet")
    assert rows["meta_group"].tolist() == ["1"] * 12 + ["2"] * 8
    assert rows["meta_fix"].tolist() == ["early"] * 12 + [None] * 8


def test_the_readmes_example_of_features_alone_works() -> None:
    block = documented_block("scip_mpi.features")
    scope: dict[str, object] = {}
    exec(block, scope)
    columns = scope["columns"]
    assert isinstance(columns, dict)
    assert columns["glcm_mean_contrast_3_DNA"].shape == (3,)


def test_an_interrupt_finishes_the_chunk_and_exits_75(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 1}\n")
    program = (
        "import signal, time, os\n"
        "import scip_mpi.passes as passes\n"
        "inner = passes.segment\n"
        "def slow(*a, told=[]):\n"
        "    if not told: os.kill(os.getpid(), signal.SIGINT)\n"
        "    told.append(1)\n"
        "    time.sleep(0.1)\n"
        "    return inner(*a)\n"
        "passes.segment = slow\n"
        "from scip_mpi.cli import main\n"
        "main()\n"
    )
    script = tmp_path / "slow.py"
    script.write_text(program)
    done = launch([script, "run", config, cells, "-o", tmp_path / "out"])
    assert done.returncode == 75
    assert "start the same command again" in done.stderr
    assert not (tmp_path / "out" / "features.h5ad").exists()
