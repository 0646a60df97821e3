"""Parts of a catalog on their way to the ranks that are to read them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.loaders.contract import Catalog, References
from scip_mpi.loaders.texts import Texts

# Numbers at the beginning of a message: first image, images, files of each, for how many images
# files are named (for one if all have the same), and companions.
HEAD = 5


class Dispatch:
    """What makes messages of a catalog's parts, without a Python object for each image.

    Rank 0 sends one for every chunk of the run, and a thousand ranks may wait for it.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.files = Texts.of(catalog.files)
        # The chunks of a shard are mostly handed out one after the other.
        self.last: list[int] = []
        self.named: list[bytes] = []

    def message(self, lo: int, hi: int) -> bytes:
        """The images ``lo`` to ``hi``, as `received` takes them."""
        catalog, n = self.catalog, hi - lo
        sources = catalog.sources[lo:hi]
        one = sources[0].tolist()
        if n == 1 or (sources[1:] == one).all():
            if one != self.last:
                self.last, self.named = one, self._names(sources[:1])
            rows, (ends, letters) = 1, self.named
        else:
            rows, (ends, letters) = n, self._names(sources)
        head = np.array([lo, n, len(one), rows, len(catalog.companions)], np.int64).tobytes()
        within, group = catalog.within[lo:hi].tobytes(), catalog.group[lo:hi].tobytes()
        return b"".join([head, within, ends, group, letters])

    def _names(self, sources: Int64Array) -> list[bytes]:
        """Where each file's name ends among all letters, and these; "" for no file."""
        places = sources.reshape(-1)
        files = self.files.take(np.maximum(places, 0))
        files.starts[places < 0] = files.ends[places < 0] = 0
        files = files.dense()
        return [files.ends.tobytes(), bytes(files.blob)]


def received(body: UInt8Array) -> References:
    """What `Dispatch.message` has sent; numbers are views of it."""
    lo, n, each, rows, companions = body[: 8 * HEAD].view(np.int64).tolist()
    edges = np.cumsum([8 * HEAD, 8 * n, 8 * each * rows, 4 * n]).tolist()
    within, ends, group = (body[a:b] for a, b in pairwise(edges))
    stops = ends.view(np.int64)
    files = list(Texts(body[edges[-1] :].tobytes(), np.append(0, stops[:-1]), stops))
    sources = [tuple(files[i : i + each]) for i in range(0, len(files), each)]
    return References(
        sources * (n // rows),
        within.view(np.int64),
        np.arange(lo, lo + n, dtype=np.int64),
        group.view(np.int32),
        companions,
    )
