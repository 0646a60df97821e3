"""A part of a catalog arrives as the references that the catalog makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.dispatch import Dispatch, received
from scip_mpi.loaders.texts import Texts


def catalog(sources: list[list[int]], files: list[str], companions: int = 0) -> Catalog:
    n = len(sources)
    each = np.arange(n, dtype=np.int64)
    return Catalog(
        files=files, sources=np.array(sources, np.int64).reshape(n, -1), names=[], named=each,
        within=each * 3 - 1, unit=each, group=each.astype(np.int32) % 5, groups=[], metadata={},
        sizes=each, mtimes=each, companions=[f"c{k}" for k in range(companions)],
    )  # fmt: skip


def check(found: Catalog, dispatch: Dispatch, lo: int, hi: int) -> None:
    told = received(np.frombuffer(dispatch.message(lo, hi), np.uint8))
    want = found.references(lo, hi)
    assert told.sources == want.sources
    for name in ("within", "index", "group"):
        got, own = getattr(told, name), getattr(want, name)
        assert got.tolist() == own.tolist()
        assert got.dtype == own.dtype
    assert told.companions == want.companions


@given(st.data(), st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_any_part_arrives_as_it_is(data, width, n, held_as_texts) -> None:
    files = ["/data/a.h5", "é", "\udcff.tif", ""]
    row = st.lists(st.integers(-1, 3), min_size=width, max_size=width)
    sources = data.draw(st.lists(row, min_size=n, max_size=n))
    found = catalog(sources, Texts.of(files) if held_as_texts else files, min(width - 1, 1))
    dispatch = Dispatch(found)
    for _ in range(2):
        lo = data.draw(st.integers(0, n - 1))
        check(found, dispatch, lo, data.draw(st.integers(lo + 1, n)))


@pytest.mark.parametrize("companions", [0, 1])
def test_the_shard_of_a_chunk_is_named_once(companions: int) -> None:
    shards = [f"/data/shard_{k}.h5" for k in range(2)]
    sources = [[i // 500] * (1 + companions) for i in range(1000)]
    found = catalog(sources, shards, companions)
    dispatch = Dispatch(found)
    for lo, hi in ((0, 500), (500, 1000), (100, 200), (499, 500), (400, 600)):
        check(found, dispatch, lo, hi)
    assert len(dispatch.message(100, 200)) < 100 * 12 + 200
