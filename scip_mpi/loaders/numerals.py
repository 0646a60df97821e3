"""Numbers written out for millions of rows at once, without a Python string for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, Int64Array, UInt8Array, offsets_of
from scip_mpi.loaders.texts import Texts


def spelled(*parts: Int64Array | str) -> Texts:
    """A text for each row: numbers in decimal, and between them what is the same in all rows.

    Parameters
    ----------
    parts : ndarray of int64, shape (n,), or str
        One after the other; at least one is an array.
    """
    n = next(len(p) for p in parts if not isinstance(p, str))
    letters, used = [], []
    for part in parts:
        if isinstance(part, str):
            same = np.frombuffer(part.encode(), np.uint8)
            letters.append(np.broadcast_to(same, (n, len(same))))
            used.append(np.ones((n, len(same)), bool))
        else:
            own, written = _digits(np.asarray(part, np.int64))
            letters.append(own)
            used.append(written)
    chosen = np.concatenate(used, axis=1)
    edges = offsets_of(chosen.sum(axis=1))
    return Texts(np.concatenate(letters, axis=1)[chosen].tobytes(), edges[:-1], edges[1:])


def numbered(texts: Texts, numbers: Int64Array, chosen: BoolArray) -> Texts:
    """The texts, those that are ``chosen`` with ``#number`` behind them."""
    behind = spelled("#", numbers)
    own = texts.dense()
    starts = np.stack([own.starts, behind.starts + len(own.blob)], axis=1)
    ends = np.stack([own.ends, behind.ends + len(own.blob)], axis=1)
    ends[~chosen, 1] = starts[~chosen, 1]
    both = Texts(bytes(own.blob + behind.blob), starts.reshape(-1), ends.reshape(-1)).dense()
    return Texts(both.blob, both.starts[::2], both.ends[1::2])


def _digits(values: Int64Array) -> tuple[UInt8Array, BoolArray]:
    """Decimal digits, and a sign before negative numbers, right-aligned; which places are used."""
    negative = values < 0
    # The magnitude of the least int64 is no int64.
    left = np.where(negative, -values.view(np.uint64), values.view(np.uint64))
    width = len(str(left.max(initial=0)))
    if width < 10:
        left = left.astype(np.uint32)
    signs = int(negative.any())
    letters = np.empty((len(values), signs + width), np.uint8)
    used: NDArray[np.bool_] = np.zeros(letters.shape, bool)
    for k in reversed(range(signs, signs + width)):
        used[:, k] = left > 0
        rest = left // 10
        letters[:, k] = left - rest * 10 + ord("0")
        left = rest
    used[:, -1] = True
    if signs:
        # The sign stands before the first digit.
        first = used.argmax(axis=1)
        row = np.flatnonzero(negative)
        letters[row, first[row] - 1] = ord("-")
        used[row, first[row] - 1] = True
    return letters, used
