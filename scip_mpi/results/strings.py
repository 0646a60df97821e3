"""Many texts written to HDF5 without a Python object for each."""

from __future__ import annotations

import h5py
import numpy as np

from scip_mpi.loaders.texts import Texts


def write_texts(dataset: h5py.Dataset, start: int, texts: Texts) -> None:
    """Write texts to consecutive places of a dataset of variable-length strings.

    What UTF-8, or a string that ends with NUL, does not hold is written as an escape.

    Parameters
    ----------
    dataset : h5py.Dataset
        One-dimensional.
    start : int
        Place of the first text.
    texts : Texts
    """
    if not len(texts):
        return
    held = texts.printable()
    if 0 in held.blob:
        held = Texts.of(text.replace("\0", "\\x00") for text in held)
    count = len(held)
    # HDF5 takes addresses of strings that end with NUL. h5py would make them of Python's strings,
    # at twice the price.
    letters = np.zeros(len(held.blob) + count, np.uint8)
    edges = held.starts + np.arange(count)
    inside = np.ones(len(letters), bool)
    inside[held.ends + np.arange(count)] = False
    letters[inside] = np.frombuffer(held.blob, np.uint8)
    addresses = (letters.ctypes.data + edges).astype(np.uintp)
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(h5py.h5t.VARIABLE)
    kind.set_cset(h5py.h5t.CSET_UTF8)
    place = dataset.id.get_space()
    place.select_hyperslab((start,), (count,))
    dataset.id.write(h5py.h5s.create_simple((count,)), place, addresses, kind)
