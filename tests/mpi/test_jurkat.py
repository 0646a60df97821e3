"""The main job on all 2,050 real cells of an imaging flow cytometer."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import anndata
import numpy as np
import pytest
from cells import write_config
from launch import scip
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(2)]


@pytest.fixture(scope="module")
def table(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> anndata.AnnData:
    root = tmp_path_factory.mktemp("jurkat")
    config = write_config(root / "scip.yml")
    cells = shared_dir / "data" / "jurkat_ifc" / "experiment1"
    done = scip("run", config, cells, "-o", root / "out", "-q", ranks=2)
    assert done.returncode == 0, done.stderr
    told = json.loads((root / "out" / "run.json").read_text())
    assert told["images"] == told["rows"] == 2050
    table = anndata.read_h5ad(root / "out" / "features.h5ad")
    labels = {}
    with (shared_dir / "data" / "jurkat_ifc" / "labels.csv").open() as handle:
        for row in csv.DictReader(handle):
            labels[row["file"].removeprefix("experiment1/")] = row["label"]
    table.obs["phase"] = [labels[image] for image in table.obs["image"]]
    return table


def test_every_cell_has_a_row_and_its_folder_is_its_group(table: anndata.AnnData) -> None:
    assert table.n_obs == 2050
    assert table.obs_names.is_unique
    assert (table.obs["group"].astype(str) == table.obs["phase"]).all()
    assert table.obs["image"].nunique() == 2050
    assert list(table.obs["image"].astype(str)) == sorted(table.obs["image"].astype(str))


def test_dna_content_rises_through_the_cell_cycle(table: anndata.AnnData) -> None:
    dna = table[:, "feat_li_bgcorr_sum_PI"].X[:, 0]
    medians = {p: np.nanmedian(dna[table.obs["phase"] == p]) for p in ("G1", "S_phase", "G2")}
    assert medians["G1"] < medians["S_phase"] < medians["G2"]
    # Mitotic cells have replicated their DNA: about twice that of G1.
    assert 1.4 < medians["G2"] / medians["G1"] < 2.2


def distinct(X: np.ndarray) -> np.ndarray:
    """Columns that vary and do not nearly repeat an earlier one: a half of the work of all."""
    X = X[:, np.nanstd(X, axis=0) > 0].astype(float)
    scaled = np.nan_to_num((X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0))
    scaled /= np.linalg.norm(scaled, axis=0)
    alike = np.abs(scaled.T @ scaled)
    kept = [0]
    for j in range(1, len(alike)):
        if alike[j, kept].max() < 0.97:
            kept.append(j)
    return X[:, kept]


def accuracy(table: anndata.AnnData, columns: np.ndarray) -> float:
    """Mean balanced accuracy of gradient boosting over twice repeated 5-fold cross-validation."""
    model = HistGradientBoostingClassifier(
        max_iter=25, learning_rate=0.2, max_leaf_nodes=7, min_samples_leaf=10, max_bins=63,
        max_features=0.1, class_weight="balanced", early_stopping=False, random_state=0,
    )  # fmt: skip
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    X = distinct(np.asarray(table.X[:, columns]))
    scores = cross_val_score(model, X, table.obs["phase"], cv=folds, scoring="balanced_accuracy")
    return float(scores.mean())


def test_the_table_tells_the_phases_of_the_cell_cycle(table: anndata.AnnData) -> None:
    shape = (table.var["family"] == "shape").to_numpy()
    everything = accuracy(table, np.ones(table.n_vars, bool))
    shape_alone = accuracy(table, shape)
    print(f"balanced accuracy: {everything:.3f}, of shape alone {shape_alone:.3f}")
    assert everything >= 0.70
    assert everything > shape_alone
