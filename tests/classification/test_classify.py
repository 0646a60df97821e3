"""From labels to a model, figures and columns of obs, on tables whose truth is known."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import xgboost
from finished import CONFIG, make_out, write_labels
from launch import scip
from sklearn import metrics

from scip_mpi.classification import boosting
from scip_mpi.classification.boosting import Cells, Effort, Settings
from scip_mpi.classification.cells import gather, screen
from scip_mpi.classification.classify import Request, classify
from scip_mpi.classification.model import load
from scip_mpi.classification.page import page
from scip_mpi.classification.predict import predict
from scip_mpi.classification.scores import confusion, summary
from scip_mpi.classification.subsets import subset
from scip_mpi.classification.validation import cross_validate
from scip_mpi.errors import UserError
from scip_mpi.results.finished import open_part

KINDS = ["big", "round", "small"]


def cells_of(n: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Columns of BF (even) and DNA (odd): 0 and 1 tell the kinds, 5 is 2, 6 constant, 7 missing."""
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.repeat(np.arange(3), [n - n // 2 - n // 6, n // 2, n // 6]))
    X = rng.standard_normal((n, 8)).astype(np.float32)
    X[:, 0] += 6 * (kind == 0)
    X[:, 1] += 6 * (kind == 1)
    X[:, 5] = X[:, 2]
    X[:, 6] = 3.5
    X[: n // 2 + 2, 7] = np.nan
    X[0, 3] = np.inf
    return X, [KINDS[k] for k in kind]


def label_file(out: Path, kinds: list[str], upto: int) -> Path:
    rows = [(f"cell_{i}.tif", kind, i % 7) for i, kind in enumerate(kinds[:upto])]
    return write_labels(out.with_suffix(".csv"), "image,label,donor", rows)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """A run of 160 cells, one of them failed, of which 120 are labelled."""
    X, kinds = cells_of(160)
    failed = np.arange(160) == 150
    out = make_out(tmp_path_factory.mktemp("classify") / "out", X, failed=failed)
    labels = label_file(out, kinds, 120)
    told = classify(
        Request(out, labels, repeats=2, hold_out="0.2", channels=("BF",), tune=0.0, quiet=True)
    )
    return out, told, kinds


def test_kinds_that_differ_are_told_apart(done: tuple[Path, dict[str, Any], list[str]]) -> None:
    out, told, kinds = done
    assert told["cells"] == 120
    assert told["columns"] == {"of": 8, "used": 5, "constant": 1, "missing": 1, "duplicate": 1}
    assert told["validation"]["balanced_accuracy"]["mean"] > 0.9
    assert len(told["validation"]["repeats"]) == 2
    assert told["held_out"]["cells"] == 24
    assert told["held_out"]["balanced_accuracy"]["mean"] > 0.75
    (subset,) = told["subsets"]
    # Of BF are 0, 2, 4 and 6; 0 knows `big` alone. 2 or its twin 5 may be the one that was kept.
    assert subset["columns"] == 3
    assert subset["balanced_accuracy"]["mean"] < 0.85
    assert {top["column"] for top in told["importance"]["top"][:2]} == {
        "feat_li_mean0_BF",
        "feat_li_mean1_DNA",
    }
    assert sum(told["importance"]["by"]["channel"].values()) == pytest.approx(1, abs=1e-4)
    assert json.loads((out / "classification.json").read_text()) == told
    obs = anndata.read_h5ad(out / "features.h5ad").obs
    assert obs["class_given"].astype(object).tolist()[:120] == kinds[:120]
    assert obs["class_given"][120:].isna().all()
    fine = np.arange(160) != 150
    right = obs["class_predicted"].astype(object) == kinds
    assert right[120:][fine[120:]].mean() > 0.8
    assert np.isnan(obs["class_probability_big"].iloc[150])
    assert obs["class_predicted"].isna().tolist() == (~fine).tolist()
    shares = obs[[f"class_probability_{k}" for k in KINDS]].to_numpy()
    np.testing.assert_allclose(shares[fine].sum(axis=1), 1, rtol=1e-5)
    by = obs["class_predicted_by"].value_counts()
    assert by["cross-validation"] == 120 - 24
    assert by["model"] == 24 + 39
    assert open_part(out).table == out / "features.h5ad"
    assert not list(out.glob(".classify-*"))


def test_the_model_is_xgboosts_own_json(done: tuple[Path, dict[str, Any], list[str]]) -> None:
    out, told, _ = done
    json.loads((out / "model.json").read_text())
    booster = xgboost.Booster(model_file=out / "model.json")
    X = anndata.read_h5ad(out / "features.h5ad").X
    used = json.loads(booster.attr("scip_mpi"))["used"]
    found = booster.predict(xgboost.DMatrix(np.where(np.isinf(X), np.nan, X)[121:150][:, used]))
    obs = anndata.read_h5ad(out / "features.h5ad").obs
    ours = obs[[f"class_probability_{k}" for k in KINDS]].to_numpy()[121:150]
    np.testing.assert_allclose(ours, found, rtol=1e-5)
    assert booster.num_boosted_rounds() == told["settings"]["rounds"]


class Page(HTMLParser):
    """Tags in balance, and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.fetched += [f"{k}={v}" for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone(done: tuple[Path, dict[str, Any], list[str]]) -> None:
    out, told, _ = done
    text = (out / "classification.html").read_text()
    parser = Page()
    parser.feed(text)
    assert not parser.open
    assert not parser.fetched
    assert "url(" not in text
    for words in ("Confusion matrix", "Held out: 0.2", "feat_li_mean1_DNA", "With some channels"):
        assert words in parser.text
    strange = told | {"classes": ["<b>&", *told["classes"][1:]]}
    parser = Page()
    parser.feed(page(strange, report=True))
    assert parser.fetched == ["href=report.html"]
    assert "<b>&" in parser.text


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json"])
def test_what_is_no_model_is_told_in_a_line(
    done: tuple[Path, dict[str, Any], list[str]], tmp_path: Path, text: str
) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(UserError, match=r"no model that classify wrote: [^\n]+$") as told:
        load(tmp_path / "m.json")
    assert "libxgboost" not in str(told.value)


def test_another_run_is_told_by_the_model(
    done: tuple[Path, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    X, kinds = cells_of(60, seed=5)
    out = make_out(tmp_path / "other", X)
    told = scip("predict", out, done[0] / "model.json", "-q")
    assert told.returncode == 0, told.stderr
    obs = anndata.read_h5ad(out / "features.h5ad").obs
    right = obs["class_predicted"].astype(object) == kinds
    assert right.mean() > 0.95
    assert f"small: {(obs['class_predicted'] == 'small').sum()} cells" in told.stdout


def test_other_columns_are_refused(
    done: tuple[Path, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    X, _ = cells_of(12)
    model = done[0] / "model.json"
    fewer = make_out(tmp_path / "fewer", X[:, :7])
    with pytest.raises(UserError, match="has 7 columns, and the model was learnt from 8"):
        predict(fewer, model, quiet=True)
    renamed = make_out(tmp_path / "renamed", X, channels=("BF", "SSC"))
    with pytest.raises(UserError, match=r"feat_li_mean1_SSC, and .* feat_li_mean1_DNA"):
        predict(renamed, model, quiet=True)
    other = make_out(tmp_path / "other", X)
    with h5py.File(other / "features.h5ad", "r+") as file:
        units = file["var/unit/categories"]
        units[0] = "um"
    with pytest.raises(UserError, match="another than the model was learnt from: 'um; Column 0"):
        predict(other, model, quiet=True)
    assert "class_predicted" not in anndata.read_h5ad(other / "features.h5ad").obs
    (tmp_path / "wrong.json").write_text('{"a": 1}')
    for path in (tmp_path / "wrong.json", tmp_path / "none.json", other / "features.h5ad"):
        with pytest.raises(UserError, match="MODEL"):
            predict(other, path, quiet=True)


def test_the_same_seed_gives_the_same_figures_whatever_goes_on_at_once(tmp_path: Path) -> None:
    X, kinds = cells_of(60)
    X[:, :2] /= 4
    told = []
    for k, (jobs, seed) in enumerate(((1, 0), (3, 0), (1, 1))):
        out = make_out(tmp_path / f"out{k}", X)
        labels = label_file(out, kinds, 60)
        request = Request(out, labels, repeats=1, folds=3, jobs=jobs, seed=seed, quiet=True)
        told.append((classify(request), (out / "model.json").read_bytes()))
    assert told[0][1] == told[1][1]
    assert told[0][0]["validation"] == told[1][0]["validation"]
    assert told[0][0]["validation"] != told[2][0]["validation"]


def test_groups_stay_on_one_side() -> None:
    rng = np.random.default_rng(0)
    codes, groups = rng.integers(0, 2, 200), rng.integers(0, 12, 200)
    cells = Cells(np.zeros((200, 1), np.float32), codes, ["p", "q"], groups)
    rows = np.flatnonzero(rng.random(200) < 0.8)
    told = np.zeros(200, int)
    for learn, test in boosting.splits(cells, rows, 4, seed=3):
        assert not set(groups[learn]) & set(groups[test])
        assert set(learn) | set(test) == set(rows)
        told[test] += 1
    assert told.sum() == len(rows) == (told[rows] == 1).sum()


def test_cells_set_apart_are_of_all_classes_or_whole_groups() -> None:
    codes = np.repeat([0, 1, 2], [30, 12, 2])
    cells = Cells(np.zeros((44, 1), np.float32), codes, list("pqr"))
    learn, apart = boosting.set_apart(cells, np.arange(44), 0.2, seed=0)
    assert np.bincount(codes[apart]).tolist() == [6, 2]
    assert sorted([*learn, *apart]) == list(range(44))
    groups = np.repeat(np.arange(11), 4)
    cells = Cells(cells.values, codes, list("pqr"), groups)
    for seed in range(5):
        learn, apart = boosting.set_apart(cells, np.arange(44), 0.2, seed)
        assert len(apart) == 8
        assert not set(groups[learn]) & set(groups[apart])
    one = Cells(cells.values, codes, list("pqr"), np.zeros(44, np.int64))
    assert len(boosting.set_apart(one, np.arange(44), 0.2, 0)[1]) == 0
    # Of so few cells none can be spared; then they say themselves when to stop.
    assert boosting.set_aside(one, np.arange(4), 0)[1].tolist() == [0, 1, 2, 3]


def test_a_handful_of_cells_will_do(tmp_path: Path) -> None:
    X, _ = cells_of(12)
    X[:6, 4] += 50
    out = make_out(tmp_path / "out", X)
    labels = label_file(out, ["p"] * 6 + ["q"] * 6, 12)
    told = classify(Request(out, labels, folds=2, repeats=1, group_by="donor", quiet=True))
    assert told["cells"] == 12
    told = classify(Request(out, labels, folds=3, repeats=1, hold_out="0.3", quiet=True))
    assert told["held_out"]["cells"] == 4


def test_a_group_that_gives_the_kind_away_does_so_no_more(tmp_path: Path) -> None:
    """Each donor has its own brightness: cells of other donors say nothing of the kind."""
    rng = np.random.default_rng(1)
    donor = np.repeat(np.arange(12), 10)
    X = (rng.standard_normal((12, 2))[donor] + 0.01 * rng.standard_normal((120, 2))).astype("f4")
    kinds = [KINDS[d % 2] for d in donor]
    names = [str(d) for d in donor]
    out = make_out(tmp_path / "out", X, text={"donor": names})
    labels = label_file(out, kinds, 120)
    apart = classify(Request(out, labels, repeats=2, quiet=True))
    together = classify(Request(out, labels, repeats=2, group_by="donor", quiet=True))
    assert apart["validation"]["balanced_accuracy"]["mean"] > 0.85
    assert together["validation"]["balanced_accuracy"]["mean"] < 0.8
    held = classify(Request(out, labels, repeats=1, hold_out="donor=3", quiet=True))
    assert held["held_out"]["cells"] == 10
    with pytest.raises(UserError, match="no labelled cells; donor is one of: 0, 1, 10"):
        classify(Request(out, labels, hold_out="donor=44", quiet=True))


def test_from_files_the_same_is_learnt(tmp_path: Path) -> None:
    X, kinds = cells_of(300)
    codes = np.array([KINDS.index(k) for k in kinds])
    X[np.isinf(X)] = np.nan
    cells = Cells(X, codes, KINDS)
    rows, settings = np.arange(0, 300, 2), Settings(rounds=20, patience=5)
    near = boosting.fit(cells, rows, None, settings, 0, Effort())
    far = boosting.fit(cells, rows, None, settings, 0, Effort(external=tmp_path))
    assert far.num_boosted_rounds() == near.num_boosted_rounds()
    test = np.arange(1, 300, 2)
    a, b = (boosting.told(m, cells, test, None) for m in (near, far))
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_table_larger_than_memory_is_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, kinds = cells_of(90)
    out = make_out(tmp_path / "out", X)
    labels = label_file(out, kinds, 90)
    monkeypatch.setattr("scip_mpi.classification.cells.BLOCK_VALUES", 100)
    monkeypatch.setattr("scip_mpi.classification.boosting.BLOCK_VALUES", 100)
    told = classify(Request(out, labels, repeats=1, folds=3, memory=1000, quiet=True))
    assert told["external"]
    assert told["validation"]["balanced_accuracy"]["mean"] > 0.8
    assert sorted(p.name for p in out.iterdir()) == [
        "classification.html", "classification.json", "features.h5ad", "model.json", "run.json",
    ]  # fmt: skip


def test_columns_are_screened_by_the_labelled_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 6)).astype(np.float32)
    rows = np.sort(rng.permutation(40)[:20])
    X[rows, 1] = 2
    X[rows, 2] = X[rows, 4]
    X[rows[:11], 3] = np.nan
    X[rows[:3], 5] = -np.inf
    out = make_out(tmp_path / "out", X)
    monkeypatch.setattr("scip_mpi.classification.cells.BLOCK_VALUES", 50)
    with h5py.File(out / "features.h5ad") as file:
        found = screen(file, rows, 0.5, lambda n: None)
        assert found.kept.tolist() == [0, 2, 5]
        assert (found.constant, found.missing, found.duplicate) == (1, 1, 1)
        near = gather(file, rows, found.kept, 1 << 20, tmp_path, lambda n: None)
        far = gather(file, rows, found.kept, 0, tmp_path, lambda n: None)
    wanted = X[rows][:, [0, 2, 5]]
    wanted[:3, 2] = np.nan
    np.testing.assert_array_equal(near, wanted)
    assert isinstance(far, np.memmap)
    np.testing.assert_array_equal(far, wanted)


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    given, said = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    said = np.where(rng.random(500) < 0.5, given, said)
    matrix = confusion(given, said, 4)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(given, said))
    told = summary(matrix[None], list("abcd"))
    wanted = metrics.balanced_accuracy_score(given, said)
    assert told["balanced_accuracy"]["mean"] == pytest.approx(wanted, abs=1e-6)
    assert told["accuracy"]["mean"] == pytest.approx(metrics.accuracy_score(given, said), abs=1e-6)
    precision, recall, _, cells = metrics.precision_recall_fscore_support(given, said)
    for k, row in enumerate(told["classes"]):
        assert row["cells"] == cells[k]
        assert row["precision"]["mean"] == pytest.approx(precision[k], abs=1e-6)
        assert row["recall"]["mean"] == pytest.approx(recall[k], abs=1e-6)
    several = summary(np.stack([matrix, np.diag([5, 5, 5, 5])]), list("abcd"))
    assert several["accuracy"]["sd"] == pytest.approx(
        np.std([np.trace(matrix) / matrix.sum(), 1], ddof=1), abs=1e-6
    )


def test_rare_classes_count_as_much_as_others() -> None:
    codes = np.array([0] * 90 + [1] * 10)
    weights = boosting.class_weights(codes, 3, 1.0)
    assert weights.mean() == pytest.approx(1)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum(), rel=1e-6)
    np.testing.assert_allclose(boosting.class_weights(codes, 3, 0.0), 1)


class Spy:
    """In place of a model: what it learnt from, and what it was asked for."""

    def __init__(self, learnt: set[int]) -> None:
        self.learnt, self.asked = learnt, set[int]()

    def num_boosted_rounds(self) -> int:
        return len(self.learnt)


def test_no_model_sees_the_cell_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    cells = Cells(rng.random((50, 2)).astype(np.float32), np.arange(50) % 2, ["p", "q"])
    spies: list[Spy] = []

    def fit(cells: Cells, rows: Any, *others: Any) -> Spy:
        spies.append(Spy(set(rows)))
        return spies[-1]

    def told(model: Spy, cells: Cells, rows: Any, columns: Any) -> Any:
        model.asked |= set(rows)
        return np.eye(2, dtype=np.float32)[cells.codes[rows]]

    monkeypatch.setattr(boosting, "fit", fit)
    monkeypatch.setattr(boosting, "told", told)
    rows = np.arange(5, 45)
    found = cross_validate(cells, rows, None, Settings(), 4, [0, 1], Effort(), lambda n: None)
    assert len(spies) == 8
    assert all(s.learnt | s.asked == set(rows) and not s.learnt & s.asked for s in spies)
    assert found.matrices.tolist() == [[[20, 0], [0, 20]]] * 2
    np.testing.assert_array_equal(found.probabilities, np.eye(2)[cells.codes[rows]])
    assert found.rounds == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune": 1.0}, "give --hold-out"),
        ({"channels": ("BF,RNA",)}, "no channel 'RNA'; did you mean 'DNA'"),
        ({"group_by": "plat"}, "no column 'plat'"),
        ({"folds": 19}, "'big' has 18 of the cells"),
        ({"hold_out": "x"}, "--hold-out x is neither"),
        ({"group_by": "group"}, "one group of labelled cells only"),
        ({"group_by": "group", "hold_out": "0.2"}, "leaves nothing to hold out"),
        ({"scratch": Path("/dev/null")}, "/dev/null cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, options: Any, message: str) -> None:
    X, _ = cells_of(60)
    out = make_out(tmp_path / "out", X)
    labels = label_file(out, ["big"] * 18 + ["small"] * 42, 60)
    with pytest.raises(UserError, match=message):
        classify(Request(out, labels, quiet=True, **options))
    assert sorted(p.name for p in out.iterdir()) == ["features.h5ad", "run.json"]


def test_classes_too_rare_are_left_out_if_that_is_wanted(tmp_path: Path) -> None:
    X, kinds = cells_of(60)
    out = make_out(tmp_path / "out", X)
    labels = label_file(out, ["rare", "rare", *kinds[2:]], 60)
    with pytest.raises(UserError, match=r"'rare' has 2 of the cells.*--drop-rare"):
        classify(Request(out, labels, quiet=True))
    done = scip("classify", out, labels, "--drop-rare", "--repeats", "1", "-q")
    assert done.returncode == 0, done.stderr
    assert "class 'rare' was left out: it has 2 cells only" in done.stdout
    assert "58 labelled cells of 3 classes" in done.stdout


def test_combined_masks_belong_to_who_makes_them(tmp_path: Path) -> None:
    X, _ = cells_of(12)
    out = make_out(tmp_path / "out", X, channels=("BF", "DNA", "combined"))
    part = open_part(out)
    with h5py.File(part.table) as file:
        alone = subset(file, part, ["BF"])
        assert alone.columns.tolist() == [True, False, False] * 2 + [True, False]
        assert "DNA helps to make" in alone.note
        both = subset(file, part, ["BF", "DNA"])
        assert both.columns.all()
        assert not both.note
    other = make_out(
        tmp_path / "other", X, channels=("BF", "DNA", "combined"),
        config=CONFIG.replace("[BF, DNA]\n  methods", "[BF]\n  methods"),
    )  # fmt: skip
    part = open_part(other)
    with h5py.File(part.table) as file:
        assert subset(file, part, ["BF"]).columns.tolist() == [True, False, True] * 2 + [
            True,
            False,
        ]


def test_pairs_and_families_of_unknown_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _ = cells_of(12)
    part = open_part(make_out(tmp_path / "out", X, channels=("BF", "DNA", "BF_DNA", "DNA_BF")))
    with h5py.File(part.table, "r+") as file:
        node = file["var/family"]
        del node["categories"], node["codes"]
        node["categories"] = ["intensity", "sizes"]
        node["codes"] = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    with h5py.File(part.table) as file:
        assert subset(file, part, ["BF", "DNA"]).columns.all()
        assert subset(file, part, ["BF"]).columns.tolist() == [True, *[False] * 7]
        asked = {"sizes": [{"mask": "own"}]}
        monkeypatch.setattr("scip_mpi.classification.subsets.requests", lambda *args: asked)
        assert subset(file, part, ["BF"]).columns.tolist() == [True, False, False, False] * 2
