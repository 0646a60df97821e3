from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.checkpoint.ledger import Ledger, State


def test_ranges_are_handed_out_once_and_in_order() -> None:
    ledger = Ledger([0, 4, 9, 10])
    taken = [ledger.take(1), ledger.take(2), ledger.take(1)]
    assert [(e.lo, e.hi, e.rank) for e in taken if e] == [(0, 4, 1), (4, 9, 2), (9, 10, 1)]
    assert ledger.take(1) is None
    assert ledger.images == 10


def test_a_second_report_of_a_range_does_not_count() -> None:
    ledger = Ledger([0, 4, 9])
    ledger.take(1)
    ledger.take(1)
    assert ledger.advance(0, 1, State.MEASURED)
    assert not ledger.advance(0, 2, State.MEASURED)
    assert ledger.entries[0].rank == 1
    assert not ledger.done(State.MEASURED)
    assert ledger.advance(4, 1, State.MEASURED)
    assert ledger.done(State.MEASURED)
    assert not ledger.done(State.WRITTEN)


def test_writing_counts_as_measuring_too() -> None:
    ledger = Ledger([0, 4])
    assert ledger.advance(0, 0, State.WRITTEN)
    assert ledger.done(State.MEASURED)
    assert ledger.done(State.WRITTEN)


def test_what_a_lost_rank_had_is_to_do_again_unless_written() -> None:
    ledger = Ledger([0, 1, 2, 3])
    for _ in range(3):
        ledger.take(1)
    ledger.advance(0, 1, State.WRITTEN)
    ledger.advance(1, 1, State.MEASURED)
    assert sorted(ledger.lose(1)) == [1, 2]
    assert not ledger.done(State.MEASURED)
    again = [ledger.take(2), ledger.take(2)]
    assert sorted(e.lo for e in again if e) == [1, 2]
    assert ledger.take(2) is None
    ledger.advance(1, 2, State.MEASURED)
    ledger.advance(2, 2, State.MEASURED)
    assert ledger.done(State.MEASURED)


def test_a_range_to_do_can_be_split() -> None:
    ledger = Ledger([0, 10])
    ledger.split(0, 6)
    assert [(e.lo, e.hi) for e in (ledger.take(0), ledger.take(0)) if e] == [(0, 6), (6, 10)]
    assert ledger.images == 10
    with pytest.raises(ValueError, match="cannot be split"):
        ledger.split(0, 3)


def test_no_images_are_done_at_once() -> None:
    assert Ledger([0]).done(State.WRITTEN)


def test_the_dearest_range_is_handed_out_first() -> None:
    ledger = Ledger([0, 2, 3, 5, 9], [4, 9, 4, 7])
    assert [e.lo for e in (ledger.take(0) for _ in range(4)) if e] == [2, 5, 0, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms())
def test_a_range_is_written_when_its_pieces_are(sizes: list[int], random) -> None:
    bounds = np.cumsum([0, *sizes]).tolist()
    ledger = Ledger(bounds)
    pieces = []
    for lo, hi in pairwise(bounds):
        cuts = sorted({lo, hi, *(random.randint(lo, hi) for _ in range(3))})
        pieces += [(lo, a, b - a) for a, b in pairwise(cuts)]
    order = pieces + random.sample(pieces, len(pieces) // 2)
    random.shuffle(order)
    told: set[tuple[int, int, int]] = set()
    for piece in order:
        assert ledger.done(State.WRITTEN) == (len(told) == len(pieces))
        assert ledger.advance_part(*piece, 3, State.WRITTEN) == (piece not in told)
        told.add(piece)
    assert ledger.done(State.WRITTEN)
    assert all(not e.parts for e in ledger.entries.values())


def test_what_had_come_to_a_state_before_counts() -> None:
    ledger = Ledger([0, 4, 10, 12])
    ledger.begun(0, 4, State.WRITTEN)
    ledger.begun(4, 2, State.WRITTEN)
    ledger.begun(10, 0, State.WRITTEN)
    assert [e.state for e in ledger.entries.values()] == [State.WRITTEN, State.TO_DO, State.TO_DO]
    assert ledger.advance_part(4, 6, 4, 1, State.WRITTEN)
    assert not ledger.done(State.WRITTEN)
    assert ledger.advance_part(10, 10, 2, 0, State.WRITTEN)
    assert ledger.done(State.WRITTEN)
