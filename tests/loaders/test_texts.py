"""Texts in one buffer behave as a list of strings does, and a catalog of them stays small."""

from __future__ import annotations

import os
import stat
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.config import parse_config
from scip_mpi.identity import facts_of
from scip_mpi.loaders import multiframe_tiff
from scip_mpi.loaders.contract import ImageInfo
from scip_mpi.loaders.listing import twice
from scip_mpi.loaders.texts import (
    PIECE,
    Categories,
    Texts,
    TextsBuilder,
    compact,
    joined,
    printable,
)
from scip_mpi.plan import chunk_bounds

# What a file's name may be: surrogates stand for bytes that are no UTF-8.
NAMES = st.binary(max_size=8).map(os.fsdecode)


@given(st.lists(NAMES, max_size=9), st.data())
def test_texts_are_a_list_of_strings(names, data):
    texts = Texts.of(iter(names))
    assert texts == names
    assert names == texts
    assert list(texts) == names
    assert [texts[i] for i in range(len(names))] == names
    assert Texts.of(texts) is texts
    lo, hi, step = (data.draw(st.integers(-9, 9)) for _ in range(3))
    assert texts[lo : hi : step or 1] == names[lo : hi : step or 1]
    if names:
        rows = data.draw(st.lists(st.integers(0, len(names) - 1)))
        assert texts.take(rows) == [names[i] for i in rows]
        assert texts[-1] == names[-1]
        assert texts.index(names[0]) == 0


@given(st.lists(NAMES, max_size=5), st.lists(NAMES, max_size=5))
def test_joined_letters_tell_texts_apart(one, other):
    same = b"".join(joined(one)) == b"".join(joined(other))
    assert same == (one == other)


@given(st.lists(st.lists(NAMES, max_size=5), max_size=3), st.booleans())
def test_a_builder_takes_texts_as_they_lie(parts, backwards):
    step = -1 if backwards else 1
    builder = TextsBuilder()
    for part in parts:
        builder.append(Texts.of(part)[::step])
    assert builder.texts() == [name for part in parts for name in part[::step]]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "a", "aa", "b", "ab", "\udcff", "é"]), max_size=6))
def test_the_first_text_that_comes_again_is_found(names):
    again = [(names.index(n), i) for i, n in enumerate(names) if n in names[:i]]
    assert twice(names) == twice(Texts.of(names)[::-1][::-1]) == next(iter(again), None)


def test_texts_are_not_other_things():
    texts = Texts.of(["a", "b"])
    assert texts != ["a"]
    assert texts != ["a", "c"]
    assert texts != "ab"
    assert texts != 3
    assert repr(texts) == "Texts(['a', 'b'], n=2)"
    with pytest.raises(IndexError):
        texts[2]


def test_suffixes_share_the_bytes():
    texts = Texts.of(["in/a", "in/é", "in/"])
    assert texts.suffixes(3) == ["a", "é", ""]
    assert texts.suffixes(3).blob is texts.blob


@given(st.lists(NAMES, max_size=9), st.data())
def test_dense_texts_have_nothing_between_them(names, data):
    rows = data.draw(st.lists(st.integers(0, len(names) - 1))) if names else []
    for texts in (Texts.of(names).take(rows), Texts.of(names)[:-1], Texts.of(names)[::-1]):
        held = texts.dense()
        assert held == list(texts)
        assert held.blob == b"".join(os.fsencode(t) for t in texts)
        assert held.starts.tolist() == [0, *held.ends.tolist()][: len(held)]


# Bytes of which some are UTF-8 only with those of the text before.
PIECES = st.sampled_from(
    [b"a", b"\xc3", b"\xa9", b"\xc3\xa9", b"\xed\xa0\x80", b"\xe9", b"", b"\0"]
)


@given(st.lists(st.lists(PIECES, max_size=3).map(b"".join).map(os.fsdecode), max_size=6))
def test_what_is_no_utf8_is_escaped(names):
    shown = Texts.of(names).printable()
    assert shown == [printable(name) for name in names]
    assert shown.dense() == shown
    for text in shown:
        text.encode()  # UTF-8 holds it


def test_only_the_text_at_fault_is_escaped():
    apart = Texts.of([os.fsdecode(b"\xc3"), os.fsdecode(b"\xa9"), "é"])
    assert apart.blob == "éé".encode()
    assert not apart.is_utf8()
    assert apart.printable() == ["\\xc3", "\\xa9", "é"]
    assert Texts.of(["é", "", "a"]).is_utf8()


def test_dense_texts_in_parts():
    names = [f"{i:x}" for i in range(2 * PIECE + 3)]
    assert Texts.of(names)[::-1].dense() == names[::-1]


def test_many_texts_in_parts():
    names = [f"{i:x}" for i in range(2 * PIECE + 3)]
    texts = compact(names)
    assert isinstance(texts, Texts)
    assert texts == names
    assert b"".join(joined(texts)) == b"".join(joined(names))
    assert compact(names[:5]) == names[:5]
    assert isinstance(compact(names[:5]), list)


def test_categories_as_they_come():
    column = Categories()
    for value in ("b", None, "a", "b"):
        column.add(value)
    codes, values = column.finish()
    assert (codes.tolist(), values) == ([1, -1, 0, 1], ["a", "b"])


class MadeUp:
    """A folder of many files, without files."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> Iterator[SimpleNamespace]:
        status = SimpleNamespace(st_size=9000, st_mtime_ns=10**18, st_mode=stat.S_IFREG)
        for i in range(self.count):
            name = f"cell_{(i * 7919) % self.count:08d}.tiff"
            yield SimpleNamespace(name=name, path=name, is_dir=lambda: False, stat=lambda: status)

    def __exit__(self, *_: object) -> None:
        pass


def test_a_catalog_takes_less_than_250_bytes_an_image(tmp_path, monkeypatch):
    n = 100_000
    config = parse_config(
        "load: {format: multiframe_tiff}\nfeature_extraction: [shape]\n", "made-up"
    )
    monkeypatch.setattr(os, "scandir", lambda _: MadeUp(n))
    tracemalloc.start()
    try:
        catalog = multiframe_tiff.discover([str(tmp_path)])
        sample = ImageInfo((12, 64, 64), np.dtype(np.uint16))
        bounds = chunk_bounds(config, catalog, sample, 12, 64)
        facts_of(config, catalog, ["area"])
        everything = catalog.image_names(np.arange(n))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 250 * n
    assert bounds[-1] == len(catalog) == n
    assert everything[n - 1] == catalog.names[n - 1] == f"cell_{n - 1:08d}.tiff"
    assert catalog.references(5, 6).sources == [(f"{tmp_path}/cell_00000005.tiff",)]
