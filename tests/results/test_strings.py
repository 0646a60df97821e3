"""Texts in an HDF5 file are what h5py writes of Python's strings."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from scip_mpi.loaders.texts import Texts
from scip_mpi.results.strings import write_texts

TEXT = h5py.string_dtype("utf-8")


def written(path: Path, texts: Texts, step: int) -> list[str]:
    """What is read of texts written in parts, the last of them first, one place from the start."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("t", (len(texts) + 2,), TEXT)
        for lo in reversed(range(0, max(len(texts), 1), step)):
            write_texts(dataset, lo + 1, texts[lo : lo + step])
    with h5py.File(path) as file:
        found = file["t"].asstr()[()].tolist()
    assert (found[0], found[-1]) == ("", "")
    return found[1:-1]


@pytest.mark.parametrize("step", [1, 3, 100])
def test_texts_are_read_back(step: int, tmp_path: Path) -> None:
    names = ["plain.tif", "", "naïve/µ.tif", "漢字", 'say "hi"', "two\nlines", " ", "x" * 70_000]
    assert written(tmp_path / "t", Texts.of(names), step) == names
    assert written(tmp_path / "t", Texts.of(names)[::-1], step) == names[::-1]
    assert written(tmp_path / "t", Texts.of([]), step) == []


def test_what_a_string_does_not_hold_is_escaped(tmp_path: Path) -> None:
    names = ["é", os.fsdecode(b"caf\xe9.tif"), "a\0b", "\0", os.fsdecode(b"\0\xff")]
    want = ["é", "caf\\xe9.tif", "a\\x00b", "\\x00", "\\x00\\xff"]
    assert written(tmp_path / "t", Texts.of(names), 5) == want


def test_the_file_is_that_of_h5py(tmp_path: Path) -> None:
    names = [f"sample_{i % 7}/cell_{i:05d}é.tiff" for i in range(2000)]
    with h5py.File(tmp_path / "ours", "w") as file:
        write_texts(file.create_dataset("t", (2000,), TEXT), 0, Texts.of(names))
    with h5py.File(tmp_path / "theirs", "w") as file:
        file.create_dataset("t", (2000,), TEXT)[:] = np.array(names, object)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
