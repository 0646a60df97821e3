from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scip_mpi.batches import ImageBatch, MaskBatch, offsets_of, to_buffer
from scip_mpi.memory import MemoryAccount
from scip_mpi.store import MaskStore, Place, Saved


def some_masks(n: int, seed: int) -> MaskBatch:
    rng = np.random.default_rng(seed)
    shapes = np.column_stack([np.full(n, 2), rng.integers(1, 9, (n, 2))]).astype(np.int64)
    sizes = 2 * -(-shapes[:, 1] * shapes[:, 2] // 8)
    return MaskBatch(
        image=np.arange(n),
        label=np.ones(n, np.int64),
        bbox=np.zeros((n, 4), np.int64),
        shapes=shapes,
        kept=np.ones((n, 1), bool),
        regions=np.ones((n, 1, 2), np.int64),
        set_bbox=np.zeros((n, 1, 4), np.int64),
        background=rng.random((n, 1, 2)),
        statistics=rng.random((n, 3)),
        in_field=rng.random((n, 2)),
        offsets=offsets_of(sizes),
        bits=rng.integers(0, 256, int(sizes.sum())).astype(np.uint8),
    )


def notes_on(lo: int) -> np.ndarray:
    return np.full(100, lo, np.uint8)


@pytest.mark.parametrize("limit", [0, 1500, 1 << 20])
def test_masks_come_back_from_memory_or_scratch_as_they_were(limit: int, tmp_path: Path) -> None:
    account = MemoryAccount(limit)
    store = MaskStore(account, tmp_path)
    masks = {lo: some_masks(3 + lo % 4, lo) for lo in (0, 7, 9, 30)}
    for lo, batch in masks.items():
        store.put(lo, to_buffer(batch), notes_on(lo), None)
    for lo, batch in masks.items():
        back = store.masks(lo)
        assert np.array_equal(back.bits, batch.bits)
        assert np.array_equal(back.shapes, batch.shapes)
        assert np.array_equal(back.kept, batch.kept)
        assert np.array_equal(store.notes(lo), notes_on(lo))
    assert account.total() <= limit
    assert list(tmp_path.iterdir()) == []  # the spill file has no name
    assert (store.spilled > 0) == (limit < 1 << 20)
    for lo in masks:
        store.drop(lo)
        assert np.array_equal(store.notes(lo), notes_on(lo))
    # Notes outlive the masks.
    assert account.total() == account.held["notes"] <= 400
    store.close()


def test_pixels_are_kept_only_if_they_fit() -> None:
    batch = ImageBatch.from_images([np.ones((2, 40, 40), np.uint16)])
    store = MaskStore(MemoryAccount(10_000))
    store.put(0, to_buffer(some_masks(1, 0)), notes_on(0), batch)
    store.put(1, to_buffer(some_masks(1, 0)), notes_on(1), batch)
    assert store.pixels(0) is batch
    assert store.pixels(1) is None


def test_releasing_more_than_is_held_is_an_error() -> None:
    with pytest.raises(ValueError, match="masks: 5 bytes released, 0 held"):
        MemoryAccount(10).release("masks", 5)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_what_stands_in_a_journal_goes_to_no_scratch(limit: int, tmp_path: Path) -> None:
    masks, notes = to_buffer(some_masks(4, 1)), notes_on(3)
    journal = tmp_path / "journal"
    journal.write_bytes(b"head" + masks.tobytes() + notes.tobytes())
    saved = Saved(Place(journal, 4, masks.size), Place(journal, 4 + masks.size, notes.size))
    store = MaskStore(MemoryAccount(limit))
    store.put(0, masks, notes, None, saved)
    store.adopt(1, saved)
    assert store.spill is None
    for lo in (0, 1):
        assert np.array_equal(to_buffer(store.masks(lo)), masks)
        assert np.array_equal(store.notes(lo), notes)
        store.drop(lo)
    # What was adopted takes no memory.
    assert store.memory.total() == (notes.size if limit else 0)
