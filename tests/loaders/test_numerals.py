"""Numbers written out row by row are what Python's own formatting makes of them."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from scip_mpi.loaders.numerals import numbered, spelled
from scip_mpi.loaders.texts import Texts

INT64 = np.iinfo(np.int64)
NUMBERS = st.integers(INT64.min, INT64.max) | st.integers(-11, 1001)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=9))
@example([])
@example([(INT64.min, INT64.max), (0, -1), (9, 10), (99, 100)])
@example([(7, 1), (8, 1)])
def test_numbers_in_decimal(rows):
    a, b = np.array(rows, np.int64).reshape(-1, 2).T
    assert spelled(a, "_", b) == [f"{i}_{k}" for i, k in rows]
    assert spelled("é#", b) == [f"é#{k}" for _, k in rows]


def test_names_of_objects():
    image = np.array([0, 9, 10, 5_000_000_000])
    assert spelled(image, "_", np.array([1, 1, 12, 3])) == ["0_1", "9_1", "10_12", "5000000000_3"]


@given(st.lists(st.tuples(st.binary(max_size=4).map(os.fsdecode), NUMBERS, st.booleans())))
def test_several_images_of_a_name_are_numbered(rows):
    names = [name for name, _, _ in rows]
    numbers = np.array([k for _, k, _ in rows], np.int64)
    chosen = np.array([c for _, _, c in rows], bool)
    want = [f"{name}#{k}" if c else name for name, k, c in rows]
    assert numbered(Texts.of(names), numbers, chosen) == want
    back = numbered(Texts.of(names)[::-1], numbers[::-1], chosen[::-1])
    assert back == want[::-1]
