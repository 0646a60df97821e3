from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.batches import ImageBatch, MaskBatch, from_buffer, offsets_of, to_buffer


def test_images_of_any_size_come_back_as_views() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 99, (2, h, w), np.uint16) for h, w in [(1, 1), (3, 5), (4, 2)]]
    batch = ImageBatch.from_images(images, index=[7, 8, 11])
    assert [a.tolist() for a in batch] == [a.tolist() for a in images]
    assert batch.index.tolist() == [7, 8, 11]
    assert batch.planes.tolist() == [0, 1, 16, 24]
    assert np.shares_memory(batch.image(1), batch.pixels)


def test_two_dimensional_images_are_one_channel() -> None:
    assert ImageBatch.from_images([np.zeros((3, 4))]).shapes.tolist() == [[1, 3, 4]]


def test_an_empty_batch() -> None:
    batch = ImageBatch.from_images([])
    assert (len(batch), batch.channels, batch.pixels.size) == (0, 0, 0)


def test_differing_channel_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="same number of channels"):
        ImageBatch.from_images([np.zeros((1, 2, 2)), np.zeros((2, 2, 2))])


def test_other_byte_order_becomes_native() -> None:
    batch = ImageBatch.from_images([np.array([[1, 256]], ">u2")])
    assert batch.pixels.dtype == np.uint16
    assert batch.pixels.tolist() == [1, 256]


@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
def test_a_record_survives_its_buffer(n: int, sets: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = MaskBatch(
        image=rng.integers(0, 2**40, n),
        label=rng.integers(0, 2**31, n),
        bbox=rng.integers(0, 99, (n, 4)),
        shapes=rng.integers(1, 9, (n, 3)),
        kept=rng.random((n, sets)) < 0.5,
        regions=rng.integers(0, 9, (n, sets, channels)),
        set_bbox=rng.integers(0, 9, (n, sets, 4)),
        background=rng.random((n, sets, channels)),
        statistics=rng.random((n, 2)),
        in_field=rng.random((n, 2)),
        offsets=offsets_of(np.full(n, 3)),
        bits=rng.integers(0, 256, 3 * n).astype(np.uint8),
    )
    back = from_buffer(MaskBatch, to_buffer(masks))
    for f in fields(MaskBatch):
        a, b = getattr(masks, f.name), getattr(back, f.name)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.array_equal(a, b)


def test_taking_objects_takes_their_bits() -> None:
    masks = MaskBatch(
        *(np.arange(4) for _ in range(2)),
        bbox=np.zeros((4, 4), np.int64),
        shapes=np.ones((4, 3), np.int64),
        kept=np.ones((4, 1), bool),
        regions=np.ones((4, 1, 1), np.int64),
        set_bbox=np.zeros((4, 1, 4), np.int64),
        background=np.zeros((4, 1, 1)),
        statistics=np.arange(8.0).reshape(4, 2),
        in_field=np.arange(4.0).reshape(4, 1),
        offsets=np.array([0, 1, 3, 3, 4]),
        bits=np.array([10, 20, 21, 40], np.uint8),
    )
    some = masks.take(np.array([3, 1]))
    assert some.bits.tolist() == [40, 20, 21]
    assert some.offsets.tolist() == [0, 1, 3]
    assert some.image.tolist() == [3, 1]
    assert some.statistics.tolist() == [[6, 7], [2, 3]]
    assert some.in_field.tolist() == [[3], [1]]
