from __future__ import annotations

import pytest

from scip_mpi.parallel.roles import Role, Sight, assign_roles, describe

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
