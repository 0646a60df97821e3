"""Microscope files that hold several images: series (scenes, wells), planes in z, times in t.

Every series is an image of its own, at each time of its own; of several planes in z one is chosen,
or they are made one (`scip_mpi.projection`). What the formats have in common is here: how that
choice is made, the ids, the catalog.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog, Window
from scip_mpi.loaders.gather import ImageError, cut_window, refuse_beyond_memory
from scip_mpi.loaders.listing import Listing
from scip_mpi.loaders.patterns import Groups, factorize
from scip_mpi.loaders.texts import Categorical, compact
from scip_mpi.projection import OPERATIONS, project, projected_type

# One by its index, or each as an image of its own.
Chosen = int | Literal["each"]
# Of planes in z: one by its index, each, or what all of them are made one by.
ChosenPlane = int | Literal["each", "max", "mean", "median", "sum", "best_focus"]
# An image's place in its file is one number: bits of the plane, the time, the part, the series.
_BITS = {"z": 14, "t": 16, "part": 16, "number": 16}
# Sides of a pixel that differ by less, relatively, are those of a square.
SQUARE = 1e-3
# From here on the plane stands for one of `OPERATIONS` on all of them.
_ALL_PLANES = (1 << _BITS["z"]) - 64


@dataclass(frozen=True)
class Place:
    """Where in its file an image is.

    Attributes
    ----------
    number : int
        Of its series.
    part : int
        What else must be chosen: a level of a pyramid, a tile of a mosaic.
    t, z : int
        A plane's index, or `_ALL_PLANES` and more: planes made one by `operation`.
    """

    number: int
    part: int
    t: int
    z: int

    @property
    def operation(self) -> str | None:
        """What makes all planes one; None for a single plane."""
        return OPERATIONS[self.z - _ALL_PLANES] if self.z >= _ALL_PLANES else None

    def packed(self) -> int:
        """The place as one number.

        Raises
        ------
        ImageError
            There are more series, parts, times or planes than it can hold.
        """
        packed = 0
        for name in reversed(_BITS):
            value = getattr(self, name)
            if not 0 <= value < 1 << _BITS[name]:
                raise ImageError(f"has {name} {value}, the last that can be read is "
                                 f"{(1 << _BITS[name]) - 1}")  # fmt: skip
            packed = packed << _BITS[name] | value
        return packed

    @classmethod
    def of(cls, packed: int, z: int | None = None, t: int | None = None) -> Place:
        """A place from its number, with another plane or time if they are given."""
        values = {}
        for name, bits in _BITS.items():
            values[name] = packed & ((1 << bits) - 1)
            packed >>= bits
        return cls(values["number"], values["part"], values["t"] if t is None else t,
                   values["z"] if z is None else z)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One image of a file, or its times and planes in z.

    Attributes
    ----------
    label : str
        What tells it apart from the file's others; empty if there are none.
    number, part : int
        As of `Place`.
    shape : (int, int, int)
        Channels, height, width.
    dtype : dtype
    times, planes : int
        Sizes in t and z.
    names : list of str
        Of the channels; empty if the file does not tell.
    pixel_size : float
        Micrometres; NaN if the file does not tell.
    metadata : dict of str to (str or None)
    group : str, optional
        Its group, if that is not the folder's or the regex's.
    """

    label: str
    number: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    times: int = 1
    planes: int = 1
    part: int = 0
    names: Sequence[str] = ()
    pixel_size: float = math.nan
    metadata: dict[str, str | None] = field(default_factory=dict)
    group: str | None = None


def broken(label: str = "", number: int = 0, part: int = 0) -> Series:
    """An image that cannot be read, so that reading it says why."""
    return Series(label, number, (1, 1, 1), np.dtype(np.uint8), part=part)


def catalog_of(
    kept: Listing,
    columns: dict[str, Categorical],
    groups: Groups,
    skipped: int,
    found: Sequence[Sequence[Series]],
    z: ChosenPlane,
    t: Chosen,
) -> Catalog:
    """The catalog of files and their series.

    Parameters
    ----------
    kept, columns, groups, skipped
        As of `scip_mpi.loaders.patterns.select`.
    found : sequence of sequences of Series
        The series of each file.
    z, t : int or "each"
        Which plane and which time are images; each of them with a column ``z`` or ``t``. For z also
        one of `OPERATIONS`.

    Raises
    ------
    UserError
        ``z`` is no plane that can be chosen, or there are too many to tell apart.
    """
    chosen = _plane_number(z)
    most = max((s.planes for series in found for s in series), default=0)
    if chosen is None and most > _ALL_PLANES:
        raise UserError(
            f"an image has {most:,} planes in z; load.kwargs.z can tell {_ALL_PLANES:,} apart"
        )
    file: list[int] = []
    names: list[str] = []
    places: list[int] = []
    nbytes: list[int] = []
    own: list[Series] = []
    at: dict[str, list[int]] = {"t": [], "z": []}
    for f, series in enumerate(found):
        for one in series:
            times, planes = range(one.times), range(one.planes)
            for time in times if t == "each" else [t]:
                for plane in planes if chosen is None else [chosen]:
                    label = [one.label] * bool(one.label)
                    label += [f"t{time}"] * (t == "each" and len(times) > 1)
                    label += [f"z{plane}"] * (z == "each" and len(planes) > 1)
                    file.append(f)
                    names.append("#".join([kept.names[f], "_".join(label)][: 1 + bool(label)]))
                    places.append(Place(one.number, one.part, time, plane).packed())
                    read = one.planes if isinstance(z, str) and z != "each" else 1
                    nbytes.append(math.prod(one.shape) * one.dtype.itemsize * read)
                    own.append(one)
                    at["t"].append(time)
                    at["z"].append(plane)
    of = np.array(file, np.int64)
    n = len(of)
    codes, texts = groups
    group, values = codes[of], texts
    if any(s.group is not None for s in own):
        ids = zip(own, group.tolist(), strict=True)
        group, known = factorize([texts[k] if s.group is None else s.group for s, k in ids])
        values = list(known)
    metadata = {name: (column[of], known) for name, (column, known) in columns.items()}
    for name in {name: None for s in own for name in s.metadata}:
        metadata[name] = factorize([s.metadata.get(name) for s in own])
    numbers: dict[str, NDArray[Any]] = {}
    several = {"t": any(s.times > 1 for s in own), "z": any(s.planes > 1 for s in own)}
    for name in at:
        projected = name == "z" and isinstance(z, str) and z != "each"
        if several[name] and not projected:
            numbers[name] = np.array(at[name], np.int64)
    sizes = np.array([s.pixel_size for s in own], np.float64)
    if np.isfinite(sizes).any():
        numbers["pixel_size"] = sizes
    each = np.arange(n, dtype=np.int64)
    return Catalog(
        files=kept.files,
        sources=of[:, np.newaxis],
        names=compact(names),
        named=each,
        within=np.array(places, np.int64),
        unit=each,
        group=group,
        groups=values,
        metadata=metadata,
        sizes=kept.sizes,
        mtimes=kept.mtimes,
        skipped=skipped,
        notes=_notes(own, z),
        numbers=numbers,
        channel_names=_channel_names(own),
        nbytes=np.array(nbytes, np.int64),
    )


def _plane_number(z: ChosenPlane) -> int | None:
    """What stands for the choice in a `Place`; None for each plane."""
    if z == "each":
        return None
    if isinstance(z, int) and not 0 <= z < _ALL_PLANES:
        raise UserError(f"load.kwargs.z: {z} is no plane: write one from 0 to {_ALL_PLANES - 1:,}")
    return z if isinstance(z, int) else _ALL_PLANES + OPERATIONS.index(z)


def _notes(own: Sequence[Series], z: ChosenPlane) -> list[str]:
    several = sum(s.planes > 1 for s in own)
    if isinstance(z, str) or not several:
        return []
    return [f"{several:,} images have several planes in z: load.kwargs.z chooses z {z} of them"]


def _channel_names(own: Sequence[Series]) -> list[str] | None:
    """Names of the channels if all series that tell agree on them, and can be names of columns."""
    told = {tuple(name.strip() for name in s.names) for s in own if s.names}
    if len(told) != 1:
        return None
    (names,) = told
    usable = all(n and n.isprintable() and "/" not in n and n != "combined" for n in names)
    return list(names) if usable and len(set(names)) == len(names) else None


def checked(place: Place, times: int, planes: int) -> Place:
    """The place, if a series has this time and plane, or all; `ImageError` otherwise."""
    plane = 0 if place.operation else place.z
    for what, chosen, size in (("times", place.t, times), ("planes in z", plane, planes)):
        if not 0 <= chosen < size:
            raise ImageError(f"has {size} {what}, so none with index {chosen}")
    return place


def side(width: float, height: float) -> float:
    """Length of a square pixel's sides; NaN if it is none. One that is not told is the other."""
    if math.isnan(width) or math.isnan(height):
        return height if math.isnan(width) else width
    return width if math.isclose(width, height, rel_tol=SQUARE) else math.nan


def placed_type(place: Place, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type of the image at a place whose planes have this one."""
    return dtype if place.operation is None else projected_type(place.operation, dtype)


# ReadPlane(place, part of it) -> the pixels of one plane, shape (C, H, W)
ReadPlane = Callable[[Place, Window | None], NDArray[Any]]


def image_at(
    place: Place, planes: int, nbytes: int, read: ReadPlane, window: Window | None
) -> NDArray[Any]:
    """The image at a place, or a window of it: one plane, or all made one.

    Parameters
    ----------
    place : Place
    planes : int
        How many there are.
    nbytes : int
        Of a plane with all channels.
    read : ReadPlane
    window : (min row, min column, max row, max column), optional
    """
    operation = place.operation
    if operation is None:
        return read(place, window)
    if operation == "median":
        refuse_beyond_memory(nbytes * planes)
    # Which plane is sharpest is decided by all of it, whatever part is wanted.
    whole = operation == "best_focus"

    def plane(z: int) -> NDArray[Any]:
        return read(replace(place, z=z), None if whole else window)

    return cut_window(project(operation, plane, planes), window if whole else None)


def micrometres(size: float, unit: str | None) -> float:
    """A length in micrometres; NaN for an unknown unit, or what is no size."""
    known = {
        None: 1.0, "": 1.0, "µm": 1.0, "μm": 1.0, "um": 1.0, "micrometer": 1.0, "micrometre": 1.0,
        "micron": 1.0, "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "millimeter": 1e3, "m": 1e6,
        "meter": 1e6, "cm": 1e4, "centimeter": 1e4, "pm": 1e-6, "Å": 1e-4, "angstrom": 1e-4,
    }  # fmt: skip
    length = size * known.get(unit, math.nan)
    return length if 0 < length < math.inf else math.nan
