"""Writing shards (`scip_mpi.loaders.shard` says what they hold)."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.loaders.shard import (
    FORMAT,
    KEY,
    PAGE,
    VERSION,
    Channels,
    Columns,
    put_column,
    put_texts,
)


class ShardWriter:
    """Writes a shard batch by batch, so that no more than a batch is in memory.

    How many pixels there will be is known only when the last image was read, and a contiguous
    dataset cannot grow. So the pixels are written to their place first; then the file is made anew
    around a dataset of the right size, empty, and what surrounds the pixels in it is copied.

    Parameters
    ----------
    path : Path
        The file, which is made anew.
    dtype : dtype
        Pixel type.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype = path, np.dtype(dtype).newbyteorder("=")
        self.start = self._frame(PAGE // self.dtype.itemsize, None)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self.pixels, self.key = 0, 0
        self.offsets: list[Int64Array] = []
        self.shapes: list[Int64Array] = []
        self.companions: dict[str, list[bytes]] = {}

    def add(self, batch: ImageBatch, companions: Mapping[str, ImageBatch] | None = None) -> None:
        """Write the images of a batch, and keep the pictures beside each, deflated, for the end."""
        for name, planes in (companions or {}).items():
            own = self.companions.setdefault(name, [])
            own += [zlib.compress(np.asarray(p, np.int64).tobytes(), 1) for p in planes]
        data = memoryview(np.ascontiguousarray(batch.pixels, self.dtype).view(np.uint8))
        self.key = zlib.crc32(data, self.key)
        self.offsets.append(batch.offsets[:-1] + self.pixels)
        self.shapes.append(batch.shapes)
        at = self.start + self.pixels * self.dtype.itemsize
        self.pixels += batch.pixels.size
        self._write(data, at)

    def finish(
        self,
        columns: Columns,
        channels: Channels,
        parts: int = 1,
        images: tuple[Int64Array, Int64Array] | None = None,
    ) -> None:
        """Write all but the pixels, and close the file.

        Parameters
        ----------
        columns : Columns
            Of the images in the order in which they were added.
        channels : Channels
        parts : int
            How many shards were made together.
        images : (offset, shape), optional
            Where each image's pixels are among those added, if not one after the other.
        """
        offset, shape = images or (
            np.concatenate([*self.offsets, np.empty(0, np.int64)]),
            np.concatenate([*self.shapes, np.empty((0, 3), np.int64)]),
        )
        length = max(self.pixels, PAGE // self.dtype.itemsize)

        def fill(file: Any) -> None:
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            file.attrs["parts"] = parts
            known = file.create_group("channels")
            if channels.numbers is not None:
                known["number"] = np.asarray(channels.numbers, np.int64)
            if channels.names is not None:
                put_texts(known.create_group("name"), channels.names)
            put_texts(file.create_group("companions/name"), channels.companions)
            for k, name in enumerate(channels.companions):
                planes = self.companions.get(name, [])
                group = file.create_group(f"companions/{k}")
                group["bytes"] = np.frombuffer(b"".join(planes), np.uint8)
                group["ends"] = np.cumsum([len(p) for p in planes], dtype=np.int64)
            images = file.create_group("images")
            images["offset"], images["shape"] = offset, shape
            put_texts(images.create_group("name"), columns.names)
            put_column(images.create_group("group"), columns.group)
            for name, column in columns.metadata.items():
                put_column(file.create_group(f"metadata/{name}"), column)
            for name, values in columns.numbers.items():
                file[f"numbers/{name}"] = values
            key = zlib.crc32(np.ascontiguousarray(offset), self.key)
            key = zlib.crc32(np.ascontiguousarray(shape), key)
            file.attrs["key"] = zlib.crc32(images["name/bytes"][()], key) & KEY

        frame = self.path.with_name(self.path.name + ".frame")
        try:
            if self._frame(length, fill, frame) != self.start:
                raise RuntimeError(f"HDF5 put the pixels of {self.path} elsewhere than before")
            end = self.start + length * self.dtype.itemsize
            with open(frame, "rb") as stream:
                self._write(memoryview(stream.read(self.start)), 0)
                stream.seek(end)
                self._write(memoryview(stream.read()), end)
            os.fsync(self.file)
        finally:
            frame.unlink(missing_ok=True)
            os.close(self.file)

    def _write(self, data: memoryview, at: int) -> None:
        while data:
            written = os.pwrite(self.file, data, at)
            data, at = data[written:], at + written

    def _frame(
        self, length: int, fill: Callable[[Any], None] | None, path: Path | None = None
    ) -> int:
        """Make a file with a pixel dataset that is not filled; where in the file it is.

        Without a path only to see where it would be, in memory.
        """
        import h5py

        where: dict[str, Any] = {"driver": "core", "backing_store": False} if path is None else {}
        with h5py.File(
            path or "frame", "w", libver="v110", alignment_threshold=PAGE, alignment_interval=PAGE,
            locking=False, **where,
        ) as file:  # fmt: skip
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.CONTIGUOUS)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            # The same images give the same bytes at any time.
            plist.set_obj_track_times(False)
            space, kind = h5py.h5s.create_simple((length,)), h5py.h5t.py_create(self.dtype)
            start = h5py.h5d.create(file.id, b"pixels", kind, space, plist).get_offset()
            if fill is not None:
                fill(file)
        return int(start)
