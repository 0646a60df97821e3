"""Who is asked for parts in the first pass and rows in the second, message by message."""

from __future__ import annotations

import numpy as np
import pytest

from scip_mpi.checkpoint.ledger import Ledger
from scip_mpi.loaders.contract import References
from scip_mpi.parallel.link import Message, Tag
from scip_mpi.parallel.manager import ChunkOffice, RowOffice, offer, report

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
    """The other side of a `ChunkOffice`: what it is told, and what it sends."""

    def __init__(self, bounds: list[int], costs: list[float], ranks: int) -> None:
        self.sent: list[tuple[int, Tag, list[int]]] = []
        ledger = Ledger(bounds, costs)
        self.office = ChunkOffice(ledger, self._references, lambda *_: None, ranks)

    @staticmethod
    def _references(lo: int, hi: int) -> References:
        index = np.arange(lo, hi)
        return References([("a",)] * (hi - lo), index, index, np.zeros(hi - lo, np.int32))

    def _send(self, rank: int, tag: Tag, body: np.ndarray | bytes = b"") -> None:
        told = [] if tag is Tag.ASSIGN else np.frombuffer(body, np.int64).tolist()
        self.sent.append((rank, tag, told))

    def tell(self, source: int, tag: Tag, body: np.ndarray | None = None) -> list[object]:
        """What is sent when a rank says this."""
        before = len(self.sent)
        body = np.empty(0, np.uint8) if body is None else body.view(np.uint8)
        self.office.answer(Message(source, tag, body), self._send)
        return self.sent[before:]

    def ask(self, rank: int) -> list[object]:
        return self.tell(rank, Tag.ASK)

    def measured(self, rank: int, lo: int) -> list[object]:
        return self.tell(rank, Tag.MEASURED, report(lo, 1, 1, 0))


def test_a_rank_at_a_dear_chunk_gets_no_other_until_it_is_done() -> None:
    chunks = Chunks([0, 1, *range(2, 12)], [500.0] + [10.0] * 10, ranks=2)
    assert chunks.ask(1) == [(1, Tag.ASSIGN, [])]  # the dearest
    assert chunks.ask(1) == []
    assert [chunks.ask(0) for _ in range(3)] == [[(0, Tag.ASSIGN, [])]] * 3
    assert chunks.measured(1, 0) == [(1, Tag.ASSIGN, [])]


def test_parts_are_sent_for_when_no_chunk_is_left() -> None:
    chunks = Chunks([0, 1, 2, 3], [1.0] * 3, ranks=4)
    assert [len(chunks.ask(rank)) for rank in (1, 2, 3)] == [1, 1, 1]
    assert chunks.ask(0) == chunks.ask(0) == []  # nothing there yet
    assert chunks.ask(3) == []  # it is at a chunk still
    assert chunks.tell(1, Tag.OFFER, offer(3)) == [(1, Tag.GIVE, [0]), (1, Tag.GIVE, [0])]
    # Of two ranks that have some, the one that has more is asked.
    assert chunks.tell(2, Tag.OFFER, offer(2)) == []
    assert chunks.ask(0) == [(2, Tag.GIVE, [0])]
    # Who had asked while it was at a chunk gets a part when that is measured.
    assert chunks.measured(3, 2) in ([(1, Tag.GIVE, [3])], [(2, Tag.GIVE, [3])])


def test_when_a_rank_has_no_part_left_the_next_is_asked() -> None:
    chunks = Chunks([0, 1, 2], [1.0] * 2, ranks=3)
    assert [len(chunks.ask(rank)) for rank in (1, 2)] == [1, 1]
    assert chunks.tell(1, Tag.OFFER, offer(9)) == []
    assert chunks.ask(0) == [(1, Tag.GIVE, [0])]
    assert chunks.tell(2, Tag.OFFER, offer(5)) == []
    assert chunks.tell(1, Tag.OFFER, offer(0, rank=0)) == [(2, Tag.GIVE, [0])]
    # Nobody has any: the rank waits for the next offer.
    assert chunks.tell(2, Tag.OFFER, offer(0, rank=0)) == []
    assert chunks.tell(1, Tag.OFFER, offer(4)) == [(1, Tag.GIVE, [0])]
    chunks.measured(1, 0)
    assert not chunks.office.done()
    chunks.measured(2, 1)
    assert chunks.office.done()
