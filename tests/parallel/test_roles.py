from __future__ import annotations

import pytest

from scip_mpi.errors import UserError
from scip_mpi.parallel.roles import (
    Role,
    Sight,
    assign_roles,
    describe,
    describe_layout,
    lay_out,
    ranges,
)

M, S, F = Role.MANAGER, Role.SEGMENTER, Role.FEATURIZER


def test_by_default_every_rank_segments_and_computes() -> None:
    roles, notes = assign_roles([Sight("a")] * 3, 0)
    assert roles == [{M, S, F}, {S, F}, {S, F}]
    assert notes == []


def test_dedicated_segmenters_are_the_first_ranks_of_each_node() -> None:
    roles, _ = assign_roles([Sight(n) for n in "aaabbb"], 2)
    assert [r for r, held in enumerate(roles) if S in held] == [0, 3]
    assert all((S in held) != (F in held) for held in roles)
    assert M in roles[0]


@pytest.mark.parametrize(("size", "asked", "given"), [(1, 1, 0), (1, 5, 0), (3, 3, 2), (4, 2, 2)])
def test_at_least_one_rank_computes_features(size: int, asked: int, given: int) -> None:
    roles, notes = assign_roles([Sight("a")] * size, asked)
    assert any(F in held for held in roles)
    assert any(S in held for held in roles)
    assert sum(F not in held for held in roles) == given
    assert bool(notes) == (given < asked)


def test_roles_in_words() -> None:
    assert describe(frozenset({F, M, S})) == "manager + segmenter + featurizer"


TWO = ("x", "y")


def test_the_first_ranks_of_each_node_have_a_device_each() -> None:
    layout = lay_out([Sight(n, TWO) for n in "aaabbb"], 0, "auto")
    assert layout.devices == [0, 1, None, 0, 1, None]
    assert layout.roles == [{M, S}, {S}, {F}, {S}, {S}, {F}]
    assert layout.notes == []


def test_ranks_may_share_a_device_once_each_has_one() -> None:
    layout = lay_out([Sight("a", TWO)] * 6, 0, "gpu", per_device=2)
    assert layout.devices == [0, 1, 0, 1, None, None]


def test_ranks_that_see_a_device_each_have_that_one() -> None:
    """Where a batch system shows each rank a device of its own, all of them are number 0."""
    layout = lay_out([Sight("a", (name,)) for name in "xyx"], 0, "gpu")
    assert layout.devices == [0, 0, None]


def test_the_same_names_on_two_nodes_are_two_devices() -> None:
    assert lay_out([Sight(n, ("0",)) for n in "aabb"], 0, "gpu").devices == [0, None, 0, None]


@pytest.mark.parametrize("size", [1, 2])
def test_ranks_that_all_have_a_device_compute_features_too(size: int) -> None:
    layout = lay_out([Sight("a", TWO)] * size, 0, "auto")
    assert layout.devices == [0, 1][:size]
    assert all(S in held and F in held for held in layout.roles)
    assert ("every rank has a GPU" in "".join(layout.notes)) == (size > 1)


def test_nodes_without_a_device_compute_features() -> None:
    layout = lay_out([Sight("a", TWO)] * 2 + [Sight("b")] * 2, 3, "gpu")
    assert layout.roles == [{M, S}, {S}, {F}, {F}]
    assert layout.notes == [
        "no GPU is visible on b: the ranks there compute features",
        "resources.segmenters is passed over: the ranks with a GPU segment",
    ]


def test_a_gpu_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(UserError, match="no GPU can be used on a, b; write auto or cpu"):
        lay_out([Sight("a"), Sight("b"), Sight("a")], 0, "gpu")
    with pytest.raises(UserError, match="on a; a: CuPy is not installed"):
        lay_out([Sight("a", (), "CuPy is not installed")] * 3, 0, "gpu")
    with pytest.raises(UserError, match="gpu, but nothing runs on one"):
        lay_out([Sight("a", TWO)] * 3, 0, "gpu", unfit="nothing runs on one")
    with pytest.raises(UserError, match="on 0, 1, 2, 3 and 6 more nodes"):
        lay_out([Sight(str(k)) for k in range(10)], 0, "gpu")


def test_auto_falls_back_and_says_so() -> None:
    broken = [Sight("a", (), "the driver does not work")] * 2
    layout = lay_out(broken, 1, "auto")
    assert layout.devices == [None, None]
    assert layout.roles == [{M, S}, {F}]
    assert layout.notes == ["no GPU is used: a: the driver does not work"]
    layout = lay_out([Sight("a", TWO)] * 2, 0, "auto", unfit="no method runs on one")
    assert layout.devices == [None, None]
    assert layout.notes == ["no GPU is used: no method runs on one"]
    assert lay_out([Sight("a")] * 2, 0, "auto").notes == []
    assert lay_out(broken[:1] + [Sight("b", TWO)] * 2, 0, "auto").notes == [
        "no GPU is used on a: the driver does not work"
    ]


def test_cpu_leaves_devices_alone() -> None:
    layout = lay_out([Sight("a", TWO, "broken")] * 3, 0, "cpu")
    assert layout.devices == [None] * 3
    assert layout.notes == []


def test_the_layout_in_words() -> None:
    layout = lay_out([Sight(n, TWO) for n in "abababab"], 0, "auto")
    assert list(describe_layout(layout)) == [
        "a: rank 0 manager + segmenter on device 0; rank 2 segmenter on device 1; "
        "ranks 4, 6 featurizer",
        "b: rank 1 segmenter on device 0; rank 3 segmenter on device 1; ranks 5, 7 featurizer",
    ]
    layout = lay_out([Sight(f"n{k // 16}", TWO) for k in range(1600)], 0, "auto")
    lines = list(describe_layout(layout))
    assert lines[1] == (
        "n1: rank 16 segmenter on device 0; rank 17 segmenter on device 1; ranks 18-31 featurizer"
    )
    assert lines[8:] == ["and 92 more nodes with 1,472 ranks, 184 of them on a device"]


def test_ranges_of_ranks() -> None:
    assert ranges([3]) == "rank 3"
    assert ranges([0, 1, 2, 5, 7, 8]) == "ranks 0-2, 5, 7-8"
