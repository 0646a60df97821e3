"""Jobs on real cells, killed at random: nothing is lost, and no byte of a table differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobs import CHUNK, Ground, Tally, campaign, outlasting, prepare, ulfm_or_skip

KILLS = 12
SEEDS = 5
OUTLIVED = 6


@pytest.fixture(scope="module")
def ground(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return prepare(shared_dir, tmp_path_factory.mktemp("chaos"))


@pytest.mark.mpi
@pytest.mark.ranks(3)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_kills_cost_nothing_but_time(seed: int, ground: Ground) -> None:
    tally = Tally()
    campaign(ground, KILLS, seed, tally)
    print(f"seed {seed}: {tally}")
    assert tally.total >= KILLS
    assert tally.unexpected == []
    assert (tally.lost, tally.differing) == (0, 0)
    # A chunk of each rank, for every kill.
    assert tally.twice <= tally.total * 3 * CHUNK


@pytest.mark.mpi
@pytest.mark.ranks
def test_ranks_that_others_outlive_cost_nothing_but_time(ground: Ground) -> None:
    ulfm_or_skip()
    tally = Tally()
    outlasting(ground, OUTLIVED, 0, tally)
    print(f"seed 0: {tally}")
    assert tally.unexpected == []
    assert tally.total >= OUTLIVED
    assert (tally.lost, tally.differing) == (0, 0)
    assert tally.twice <= tally.total * 4 * CHUNK
