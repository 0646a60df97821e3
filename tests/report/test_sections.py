"""Sections of the report, from small tables."""

from __future__ import annotations

import importlib.machinery
import math
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from made_up import ROWS, columns, counted, facts, told

from scip_mpi.errors import UserError
from scip_mpi.report import charts
from scip_mpi.report.choice import spread
from scip_mpi.report.found import empty_masks, what_was_found
from scip_mpi.report.galleries import choose_galleries, some
from scip_mpi.report.labels import read_labels
from scip_mpi.report.plane import make_map, prepared, principal
from scip_mpi.report.ran import what_was_run
from scip_mpi.report.rules import rules_in


def test_what_was_run() -> None:
    ran = what_was_run(told())
    rows = dict(ran["rows"])
    assert rows["command"] == "scip_mpi run scip.yml 'my images'"
    assert rows["inputs"] == "my images"
    assert rows["started"] == "2026-11-25 12:30:23 +0000"
    assert rows["ended"] == "2026-11-25 12:30:43 +0000, after 20.0 s"
    assert rows["ranks"] == "1 on 1 node: 1 x manager + segmenter + featurizer"
    assert rows["speed"] == "21 images and 20 rows a second"
    assert rows["CPU time"] == "12.0 s, 28.6 ms an image"
    assert [s["name"] for s in ran["stages"]] == ["segment", "read"]
    assert ran["stages"][0]["ms"] == pytest.approx(5500 / 420)
    assert ran["balance"] == 1.0
    for kind in ("busy", "reading", "writing", "waiting"):
        assert f'<path class="{kind}"' in ran["timeline"]


def test_a_merge_has_neither_ranks_nor_a_command_of_its_images() -> None:
    run = told(ranks=[], paths=None, merged=[{"source": "a"}, {"source": "b"}], filter=None)
    ran = what_was_run(run)
    assert dict(ran["rows"])["joined from"] == "a, b"
    assert ran["timeline"] == ""
    assert what_was_found(facts(told=run), {})["filter"] == []


def test_what_was_found() -> None:
    known = facts()
    found = what_was_found(known, empty_masks(known))
    assert (found["images"], found["found"], found["kept"], found["discarded"]) == (
        420,
        420,
        400,
        20,
    )
    assert found["reasons"] == [{"name": "range of sum_DNA", "count": 20, "share": 1.0}]
    assert [g["name"] for g in found["groups"]] == ["plate 1", "plate 2"]
    assert found["per_image"] == ""
    assert len(found["intensities"]) == len(found["drifts"]) == 2
    for chart in found["intensities"]:
        assert "plate 1" in chart
        assert "200 cells" in chart
    assert len(found["areas"]) == 1
    assert found["empty"] == [{"name": "li", "shares": [0.0, 0.0]}]
    # A histogram for each group, each with the threshold, which is a bound of all.
    assert len(found["filter"]) == 2
    for chart in found["filter"]:
        assert chart.count('class="bound"') == 1
        assert ">10.0<" in chart or ">10<" in chart


def counted_in(chart: str, kind: str) -> int:
    """The cells that the bars of a histogram say there are."""
    bars = re.findall(rf'class="{kind}"[^>]*><title>[^:]*: ([\d,]+) kept, ([\d,]+) disc', chart)
    return sum(int(bar[kind == "gone"].replace(",", "")) for bar in bars)


def test_a_histogram_counts_the_cells_of_the_whole_table() -> None:
    known = facts(images=counted(kept=np.array([2000, 2000])))
    charts_of = what_was_found(known, {})["filter"]
    # 200 rows were looked at in each group, for 2,000; 10 discarded cells, all that there are.
    assert [counted_in(c, "kept") for c in charts_of] == [2000, 2000]
    assert [counted_in(c, "gone") for c in charts_of] == [10, 10]


def test_outliers_are_in_the_outermost_bars_and_bounds_are_always_shown() -> None:
    values = np.linspace(20, 30, ROWS)
    values[7] = 1e9
    (first, second) = what_was_found(facts(numbers={"filter_sum_DNA": values}), {})["filter"]
    assert counted_in(first, "kept") == counted_in(second, "kept") == 200
    assert first.count('class="bound"') == 1
    assert "1.00e+09" not in first + second


def test_cells_per_image_are_drawn_where_there_are_several() -> None:
    counts = np.zeros(401, np.int64)
    counts[[0, 3, 90]] = 5, 70, 1
    chart = what_was_found(facts(images=counted(counts=counts)), {})["per_image"]
    bars = [int(n) for n in re.findall(r": (\d+) kept", chart)]
    assert sum(bars) == 76


def test_empty_masks_by_regions_or_by_area() -> None:
    regions = {"li_regions_BF": (np.arange(ROWS) % 4 > 0).astype(int)}
    assert empty_masks(facts(numbers=regions)) == {("li", "BF"): 0.25, ("li", "DNA"): 0.0}
    known = facts()
    del known.sample.numbers["li_regions_DNA"]
    known.sample.X[4][:100] = np.nan
    assert empty_masks(known)["li", "DNA"] == 0.25


def test_rules_of_a_filter() -> None:
    assert rules_in(None) == []
    inner = [
        {"of": "range of sum_DNA", "rule": "range", "bounds": [[None, 5.0]]},
        {"of": "mad of mean_BF", "rule": "mad", "bounds": [[1.0, 2.0], [3.0, 4.0]]},
        {"of": "polygon of area_BF and mean_BF", "rule": "polygon", "bounds": [[0, 0], [1, 1]]},
    ]
    first, second, gate = rules_in({"all": [{"any": inner[:2]}, inner[2]], "objects": 3})
    assert first.bounds_of(7) == (-math.inf, 5.0)
    assert not first.by_group
    assert second.by_group
    assert second.bounds_of(1) == (3.0, 4.0)
    assert gate.statistics == ["area_BF", "mean_BF"]
    assert gate.bounds == []


def test_galleries_hold_the_cells_that_they_say() -> None:
    X = facts().sample.X
    X[2][7] = np.nan
    known = facts(X)
    found = {g.key: g for g in choose_galleries(known)}
    assert set(found) == {
        "kept", "discarded", "threshold0", "extreme0", "extreme1", "extreme2", "failed"
    }  # fmt: skip
    assert len(found["kept"].cells) == 12
    assert {c.image for c in found["discarded"].cells} <= set(range(400, 420))
    near = found["threshold0"].cells
    # The bound is 10: kept cells begin there, discarded ones end at 9.
    assert [c.image for c in near[:6]] == [0, 1, 2, 3, 4, 5]
    assert [c.image for c in near[6:]] == [419, 418, 417, 416, 415, 414]
    assert near[0].why == "kept, sum_DNA 10"
    area = known.sample.X[2].astype(float)
    order = [k for k in np.argsort(area) if k != 7]
    assert [c.image for c in found["extreme0"].cells] == order[:3] + order[-3:]
    assert [(c.image, c.why) for c in found["failed"].cells] == [(7, "none in li")]


def test_random_cells_of_fields_are_of_few_images() -> None:
    assert len(set(some(np.arange(1000)))) == 12
    fields = np.repeat(np.arange(50), 100)
    chosen = some(fields)
    assert len(set(chosen.tolist())) == 12
    assert len(set(fields[chosen].tolist())) == 4
    assert len(some(np.zeros(5, int))) == 5
    assert len(some(np.zeros(0, int))) == 0


def test_the_map_tells_two_kinds_of_cells_apart() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(300) % 2
    wanted = rng.normal(size=(300, 20)) + 4 * kind[:, np.newaxis]
    wanted[:, 3] = 7.0
    wanted[5, 4] = np.nan
    wanted[6, 5] = np.inf
    table = prepared(wanted)
    assert table.shape == (300, 19)
    assert np.isfinite(table).all()
    plane = principal(table)
    assert plane is not None
    first = plane.places[:, 0]
    assert max(first[kind == 0]) < min(first[kind == 1]) or min(first[kind == 0]) > max(
        first[kind == 1]
    )
    assert "component 1 (" in plane.axes[0]
    assert principal(table[:, :1]) is None


def test_the_map_is_coloured_by_labels_groups_and_features() -> None:
    known = facts()
    codes = np.arange(ROWS) % 3
    made = make_map(known, {"phase": (codes, ["G1", "S", "G2"])}, patient=False)
    names = [c["name"] for c in made["colours"]]
    assert names[:2] == ["phase", "group"]
    assert "sum_DNA" in names
    assert "DNA: mean in the channel's mask" in names
    assert made["colours"][0]["categories"] == ["G1 (134)", "S (133)", "G2 (133)"]
    assert made["count"] == ROWS
    assert made["columns"] == 6
    assert make_map(facts(columns=columns(constant=np.ones(6, bool))), {}, patient=False) == {}


def test_umap_is_there_if_it_is_installed_and_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class UMAP:
        def __init__(self, **settings: int) -> None:
            assert settings == {"random_state": 0, "n_jobs": 1}

        def fit_transform(self, columns: np.ndarray) -> np.ndarray:
            return columns[:, :2]

    fake = types.ModuleType("umap")
    fake.__spec__ = importlib.machinery.ModuleSpec("umap", None)
    fake.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", fake)
    for patient, names in ((True, ["PCA", "UMAP"]), (False, ["PCA"])):
        assert [p["name"] for p in make_map(facts(), {}, patient)["planes"]] == names


def test_columns_of_the_map_are_of_all_kinds() -> None:
    kinds = np.array([f"k{j % 3}" for j in range(900)], object)
    many = columns(facts={n: kinds for n in ("family", "mask_set", "channel")})
    chosen = spread(many, np.arange(900), most=30)
    assert len(chosen) == 30
    assert [int((kinds[chosen] == f"k{k}").sum()) for k in range(3)] == [10, 10, 10]
    assert chosen.min() < 100
    assert chosen.max() > 700


def test_labels_by_image_and_by_cell(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,phase,dose,well\na.tif,G1,1.5,A1\nb.tif,S,2,\nc.tif,G1,3,B1\n")
    found = read_labels(path, ["0_1", "0_2", "1_1", "3_1"], ["a.tif", "a.tif", "b.tif", "x.tif"])
    # Numbers are no labels.
    assert set(found) == {"phase", "well"}
    codes, categories = found["phase"]
    assert (codes.tolist(), categories) == ([0, 0, 1, -1], ["G1", "S"])
    assert found["well"][0].tolist() == [0, 0, -1, -1]
    path.write_text("cell,phase\n0_2,S\n1_1,G1\n")
    found = read_labels(path, ["0_1", "0_2", "1_1"], ["a", "a", "b"])
    assert found["phase"][0].tolist() == [-1, 1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,phase\na,G1\n", "no column image"),
        ("image,phase\nz,G1\n", "names none of the cells"),
        ("", "no column image"),
        (None, "cannot be read"),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    text: str | None, words: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_labels(tmp_path / "labels.csv", ["0_1"], ["a"])


def test_charts_say_what_they_show_and_hold_no_markup_of_names() -> None:
    rows = [("<script>alert(1)</script>", np.arange(100.0)), ("none", np.zeros(0))]
    chart = charts.boxes("<b>", rows, "mean")
    assert "<script" not in chart
    assert "<b>" not in chart
    assert "median 49.5, quartiles 24.8 and 74.2" in chart
    assert charts.drift("flat", np.full((3, 5), np.nan)) == ""
    for value, text in ((0, "0"), (1234.4, "1,234"), (0.12345, "0.123"), (3e9, "3.00e+09"),
                        (float("nan"), "none")):  # fmt: skip
        assert charts.number(value) == text
    assert charts.short("sample_of_the_first_day_A1") == "…e_first_day_A1"
