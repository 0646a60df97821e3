"""Which columns a config asks for, in which order, and which selection fills them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from scip_mpi import registry
from scip_mpi.columns import ColumnPlan, plan_columns, selected
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family

NAMES = ["A", "B"]


def family(name: str) -> Family:
    found: Family = registry.find("features", name)
    return found


def plan(words: dict[str, list[Any]], channels: list[str] | None = None) -> ColumnPlan:
    return plan_columns(words, list(words), channels or NAMES, family)


def consistent(made: ColumnPlan) -> None:
    """Blocks cover all columns once, and each family, looked up again, has the block's columns."""
    stop = 0
    for block in pickle.loads(pickle.dumps(made.blocks)):
        assert block.start == stop
        stop = block.stop
        features = selected(family(block.family), block.settings).features(NAMES)
        assert features == made.features[block.start : block.stop]
        assert {block.family} == set(made.families[block.start : block.stop])
    assert stop == len(made) == len(set(made.names)) == len(made.mask_sets)


def test_bare_names_are_scips_full_set() -> None:
    made = plan({"li": ["texture", "bbox", "intensity", "shape"]})
    assert [b.family for b in made.blocks] == ["shape", "intensity", "texture", "raw"]
    assert all(b.settings == () for b in made.blocks)
    assert len(made) == 59 * 3 + 88 * 2 + 56 * 2 + 11 * 2
    assert made.bbox == [0]
    consistent(made)


def test_selections_follow_the_order_of_families_and_leave_the_bare_image_out() -> None:
    chosen = [{"texture": {"properties": [], "sobel": ["max"], "masks": ["own"]}},
              {"intensity": {"views": ["own", "bgcorr"], "stats": ["mean", "sum"]}}]  # fmt: skip
    made = plan({"li": chosen, "otsu": ["regions"]}, ["A"])
    assert made.names == [
        "feat_li_mean_A", "feat_li_sum_A", "feat_li_bgcorr_mean_A", "feat_li_bgcorr_sum_A",
        "feat_li_sobel_max_A",
    ]  # fmt: skip
    assert made.regions == [1]


def test_several_selections_of_a_family_are_one_block_with_each_column_once() -> None:
    made = plan({"li": [
        {"intensity": {"views": ["own"], "stats": ["mean", "max"], "channels": ["B"]}},
        {"intensity": {"views": ["own", "edge"], "stats": ["mean"], "channels": [0, "B"]}},
    ]})  # fmt: skip
    assert made.names == [f"feat_li_{n}" for n in ("mean_A", "edge_mean_A", "mean_B", "max_B",
                                                   "edge_mean_B")]  # fmt: skip
    assert [b.settings[1]["channels"] for b in made.blocks] == [[0, 1]]
    consistent(made)


def test_what_a_bare_name_covers_is_not_asked_for_again() -> None:
    full = plan({"li": ["shape", "intensity", "texture"]})
    both = plan({"li": ["shape", "compact", "intensity", {"texture": {"distances": [3]}},
                        "texture"]})  # fmt: skip
    compact = plan({"li": ["compact"]})
    more = [n for n in both.names if n not in full.names]
    assert more == [n for n in compact.names if "largest" in n]
    assert [n for n in both.names if n not in more] == full.names
    assert set(compact.names) <= set(both.names)
    for made in (full, both, compact):
        consistent(made)


def test_null_settings_are_the_bare_name() -> None:
    assert plan({"li": [{"intensity": {}}]}).names == plan({"li": ["intensity"]}).names


def test_the_bare_image_comes_with_bare_names_or_as_asked() -> None:
    def raw(words: list[Any]) -> list[str]:
        made = plan({"li": words}, ["A"])
        consistent_families = [b.family for b in made.blocks]
        assert consistent_families.count("raw") <= 1
        return [n for n in made.names if n.startswith("feat_raw_")]

    assert len(raw([])) == len(raw(["shape"])) == len(raw(["shape", "compact"])) == 11
    assert len(raw(["compact", "raw"])) == 11
    assert raw(["compact"]) == []
    assert raw(["shape", {"raw": {"stats": ["mad"]}}]) == ["feat_raw_mad_A"]
    assert len(raw([{"raw": {"stats": ["mad"]}}, "raw"])) == 11
    # Without masks only what is asked for.
    assert plan_columns({"": ["shape"]}, [""], ["A"], family).names[0] == "feat_area_combined"


def test_a_family_without_a_way_to_select_says_so() -> None:
    alone = Family("dots", lambda names: [], family("raw").compute)
    with pytest.raises(UserError, match="'dots' takes no settings"):
        selected(alone, [{"a": 1}])
    once = Family("dots", lambda names: [], family("raw").compute, select=lambda **_: alone)
    assert selected(once, [{"a": 1}]) is alone
    with pytest.raises(UserError, match="only once"):
        selected(once, [{"a": 1}, {"a": 2}])
