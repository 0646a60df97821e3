"""Who is asked for parts in the first pass and rows in the second, message by message."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from scip_mpi.checkpoint.ledger import Ledger
from scip_mpi.parallel.link import Message, Tag
from scip_mpi.parallel.manager import ChunkOffice, RowOffice, offer, report, segmenters
from scip_mpi.parallel.roles import Sight, assign_roles

# Rows of three chunks, which ranks 1, 2 and 1 hold: 14 rows on rank 1, 6 on rank 2.
BOUNDS = [0, 10, 16, 20]
HOLDERS = {0: 1, 10: 2, 16: 1}


class Counter:
    """The office's side of the counter: what it is told, and what it sends and counts."""

    def __init__(self, bounds: list[int] = BOUNDS) -> None:
        ledger = Ledger(bounds)
        for lo, entry in ledger.entries.items():
            entry.rank = HOLDERS[lo]
        self.progress: list[tuple[int, int]] = []
        self.sent: list[tuple[int, Tag, list[int]]] = []
        self.office = RowOffice(ledger, 4, lambda *told: self.progress.append(told))

    def _send(self, rank: int, tag: Tag, body: np.ndarray | bytes = b"") -> None:
        self.sent.append((rank, tag, np.frombuffer(body, np.int64).tolist()))

    def _tell(self, source: int, tag: Tag, body: np.ndarray) -> None:
        self.office.answer(Message(source, tag, body), self._send)

    def ask(self, rank: int) -> tuple[int, Tag, list[int]]:
        self._tell(rank, Tag.ASK, np.empty(0, np.uint8))
        return self.sent[-1]

    def nothing(self, rank: int, thief: int) -> tuple[int, Tag, list[int]]:
        self._tell(rank, Tag.NOTHING, np.array([thief], np.int64).view(np.uint8))
        return self.sent[-1]

    def written(self, source: int, lo: int, start: int, rows: int, bad: int = 0) -> None:
        self._tell(source, Tag.WRITTEN, report(lo, 1, rows, bad, start))


def test_the_rank_with_most_rows_left_is_asked() -> None:
    counter = Counter()
    assert counter.ask(3) == (1, Tag.GIVE, [3])
    counter.written(1, 0, 0, 9)
    # 5 rows are left of rank 1's, 6 of rank 2's.
    assert counter.ask(3) == (2, Tag.GIVE, [3])


def test_rows_handed_over_count_for_their_holder_at_once_and_only_once() -> None:
    counter = Counter()
    counter.written(2, 10, 10, 3)  # runs are of three rows
    given = [counter.ask(3)[0] for _ in range(4)]
    # 14, 11, 8 and 5 rows are left of rank 1's, 3 of rank 2's.
    assert given == [1, 1, 1, 1]
    counter.written(3, 0, 0, 3)
    # 2 rows against 3; and then, a run less, 2 against 1 at least.
    assert counter.ask(0) == (2, Tag.GIVE, [0])
    assert counter.ask(0) == (1, Tag.GIVE, [0])
    # Nobody said that nothing is left, so the rank is asked again.
    assert counter.ask(0)[1] is Tag.GIVE


def test_no_rank_is_asked_for_rows_of_its_own() -> None:
    counter = Counter()
    assert counter.ask(1) == (2, Tag.GIVE, [1])
    counter.written(2, 10, 10, 6)
    assert counter.ask(1) == (1, Tag.EXHAUSTED, [])


def test_when_a_rank_has_nothing_to_give_the_next_is_asked() -> None:
    counter = Counter()
    assert counter.ask(3) == (1, Tag.GIVE, [3])
    assert counter.nothing(1, thief=3) == (2, Tag.GIVE, [3])
    assert counter.nothing(2, thief=3) == (3, Tag.EXHAUSTED, [])
    # What is written of a run that had been handed over changes nothing about that.
    counter.written(3, 0, 4, 2)
    assert counter.ask(0) == (0, Tag.EXHAUSTED, [])


def test_a_report_that_comes_twice_counts_once() -> None:
    counter = Counter()
    for _ in range(2):
        counter.written(1, 0, 0, 6, bad=1)
    assert counter.progress == [(6, 1)]
    # Counted twice, 2 rows would be left of rank 1's, and rank 2 would be asked.
    assert counter.ask(3) == (1, Tag.GIVE, [3])


def test_the_pass_is_over_when_all_rows_are_written() -> None:
    counter = Counter()
    runs = [(16, 16, 4), (0, 5, 5), (10, 10, 6), (0, 0, 5)]
    for lo, start, rows in runs:
        assert not counter.office.done()
        counter.written(2, lo, start, rows)
    assert counter.office.done()


@pytest.mark.parametrize("bounds", [[0], [0, 0, 0]])
def test_no_rows_are_written_at_once(bounds: list[int]) -> None:
    counter = Counter(bounds)
    assert counter.office.done()
    assert counter.ask(2) == (2, Tag.EXHAUSTED, [])


class Chunks:
    """The other side of a `ChunkOffice`: what it is told, and what it sends.

    What is sent is known by the rank, and the first image of a chunk, or the rank that a part is
    for.
    """

    def __init__(
        self, costs: list[float], segmenters: list[int], stand_ins: Sequence[int] = ()
    ) -> None:
        self.sent: list[tuple[int, Tag, int]] = []
        ledger = Ledger(range(len(costs) + 1), costs)
        self.office = ChunkOffice(
            ledger, lambda lo, hi: bytes([lo]), lambda *_: None, segmenters, stand_ins
        )

    def _send(self, rank: int, tag: Tag, body: np.ndarray | bytes = b"\0") -> None:
        self.sent.append((rank, tag, int(np.frombuffer(body, np.uint8)[0])))

    def begin(self) -> list[tuple[int, Tag, int]]:
        self.office.ask(self._send)
        return self.sent

    def tell(
        self, rank: int, tag: Tag, body: np.ndarray | None = None
    ) -> list[tuple[int, Tag, int]]:
        """What is sent when a rank says this."""
        before = len(self.sent)
        body = np.empty(0, np.uint8) if body is None else body.view(np.uint8)
        self.office.answer(Message(rank, tag, body), self._send)
        return self.sent[before:]

    def measured(self, rank: int, lo: int) -> list[tuple[int, Tag, int]]:
        return self.tell(rank, Tag.MEASURED, report(lo, 1, 1, 0))

    def returned(self, rank: int, *los: int) -> list[tuple[int, Tag, int]]:
        return self.tell(rank, Tag.RETURN, np.array(los, np.int64))


def chunks_of(*given: tuple[int, int]) -> list[tuple[int, Tag, int]]:
    """What hands out chunks, as (rank, first image)."""
    return [(rank, Tag.ASSIGN, lo) for rank, lo in given]


def parts_of(*given: tuple[int, int]) -> list[tuple[int, Tag, int]]:
    """What has parts handed over, as (rank that has them, rank that is free)."""
    return [(rank, Tag.GIVE, free) for rank, free in given]


def test_every_rank_has_two_chunks_from_the_beginning_and_one_for_each_measured() -> None:
    chunks = Chunks([1.0] * 6, [1, 2])
    assert chunks.begin() == chunks_of((1, 0), (2, 1), (1, 2), (2, 3))
    assert not chunks.office.ask(chunks._send)
    assert chunks.measured(2, 1) == chunks_of((2, 4))
    assert chunks.measured(1, 0) == chunks_of((1, 5))
    assert [chunks.measured(1, lo) for lo in (2, 5)] == [[], []]
    assert not chunks.office.done()
    assert [chunks.measured(2, lo) for lo in (3, 4)] == [[], []]
    assert chunks.office.done()


def test_who_only_segments_asks_and_who_only_measures_gets_nothing() -> None:
    chunks = Chunks([1.0] * 4, [1])
    assert chunks.begin() == chunks_of((1, 0), (1, 1))
    assert chunks.tell(1, Tag.ASK) == chunks_of((1, 2))
    assert chunks.measured(2, 0) == []
    assert chunks.tell(1, Tag.ASK) == chunks_of((1, 3))
    assert chunks.tell(1, Tag.ASK) == []


def test_a_rank_at_a_dear_chunk_gets_no_other_until_it_is_done() -> None:
    chunks = Chunks([500.0] + [10.0] * 10, [1, 0])
    # The dearest comes first; it is more than half of what is left.
    assert chunks.begin() == chunks_of((1, 0), (0, 1), (0, 2))
    assert [chunks.measured(0, lo) for lo in (1, 2)] == [chunks_of((0, 3)), chunks_of((0, 4))]
    assert chunks.measured(1, 0) == chunks_of((1, 5), (1, 6))
    assert chunks.measured(1, 5) == chunks_of((1, 7))


def test_parts_are_sent_for_when_no_chunk_is_left() -> None:
    chunks = Chunks([1.0] * 3, [1, 2, 3, 0])
    # Rank 0 has nothing from the beginning, and the others no second chunk.
    assert chunks.begin() == chunks_of((1, 0), (2, 1), (3, 2))
    assert chunks.tell(1, Tag.OFFER, offer(3)) == parts_of((1, 0), (1, 0))
    # Of two ranks that have some, the one that has more is asked.
    assert chunks.tell(2, Tag.OFFER, offer(2)) == []
    assert chunks.tell(0, Tag.ASK) == parts_of((2, 0))
    # Whose chunk is measured gets two parts.
    assert chunks.measured(3, 2) == parts_of((1, 3), (2, 3))


def test_when_a_rank_has_no_part_left_the_next_is_asked() -> None:
    chunks = Chunks([1.0] * 2, [1, 2, 0])
    assert chunks.begin() == chunks_of((1, 0), (2, 1))
    assert chunks.tell(1, Tag.OFFER, offer(9)) == parts_of((1, 0), (1, 0))
    assert chunks.tell(2, Tag.OFFER, offer(5)) == []
    assert chunks.tell(1, Tag.OFFER, offer(0, rank=0)) == parts_of((2, 0))
    # Nobody has any: the rank waits for the next offer.
    assert chunks.tell(2, Tag.OFFER, offer(0, rank=0)) == []
    assert chunks.tell(1, Tag.OFFER, offer(4)) == parts_of((1, 0))
    chunks.measured(1, 0)
    assert not chunks.office.done()
    chunks.measured(2, 1)
    assert chunks.office.done()


def test_chunks_that_are_sent_back_go_to_ranks_with_a_device() -> None:
    chunks = Chunks([1.0] * 5, [1, 2], [0, 1, 2, 3])
    assert chunks.begin() == chunks_of((1, 0), (2, 1), (1, 2), (2, 3))
    assert chunks.returned(1, 0, 2) == []
    # What was on its way to it comes back by itself; it gets no other.
    assert chunks.tell(1, Tag.ASK) == []
    assert chunks.measured(2, 1) == chunks_of((2, 2))
    assert chunks.measured(2, 3) == chunks_of((2, 0))
    assert chunks.measured(2, 2) == chunks_of((2, 4))
    assert not chunks.office.done()
    assert [chunks.measured(2, lo) for lo in (0, 4)] == [[], []]
    assert chunks.office.done()


def test_ranks_that_had_nothing_left_to_do_take_what_is_sent_back() -> None:
    chunks = Chunks([1.0] * 3, [1, 2])
    assert chunks.begin() == chunks_of((1, 0), (2, 1), (1, 2))
    assert chunks.measured(2, 1) == []
    assert chunks.returned(1, 0, 2) == chunks_of((2, 2), (2, 0))
    # The rank without a device may do parts.
    assert chunks.tell(2, Tag.OFFER, offer(9)) == parts_of((2, 1), (2, 1))
    chunks.tell(2, Tag.OFFER, offer(0))
    assert [chunks.measured(2, lo) for lo in (0, 2)] == [[], []]
    assert chunks.office.done()


def test_when_no_device_is_left_all_ranks_share_the_chunks() -> None:
    chunks = Chunks([1.0] * 9, [1, 2], [0, 1, 2, 3])
    chunks.begin()
    assert chunks.returned(2, 1) == []
    # Rank 2 has one on its way still, which it sends back later.
    sent = chunks.returned(1, 0, 2)
    assert sent[:2] == [(1, Tag.GO_ON, 0), (2, Tag.GO_ON, 0)]
    given = sent[2:]
    assert {tag for _, tag, _ in given} == {Tag.ASSIGN}
    assert sorted(rank for rank, _, _ in given) == [0, 0, 1, 1, 2, 3, 3]
    assert chunks.returned(2, 3) == chunks_of((2, 3))
    assert sorted(lo for _, _, lo in given) == [0, 1, 2, 4, 5, 6, 7]
    at = {lo: rank for rank, _, lo in given} | {3: 2}
    assert chunks.measured(at[0], 0) == chunks_of((at[0], 8))
    for lo, rank in (at | {8: at[0]}).items():
        if lo:
            assert not chunks.office.done()
            chunks.measured(rank, lo)
    assert chunks.office.done()


def test_among_many_ranks_rank_0_only_hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scip_mpi.parallel.manager.MANY", 3)
    for size, ranks in ((2, [0, 1]), (3, [1, 2])):
        roles, _ = assign_roles([Sight("n")] * size, 0)
        assert segmenters(roles) == ranks
    roles, _ = assign_roles([Sight("n")] * 5, 3)
    assert segmenters(roles) == [1, 2]
