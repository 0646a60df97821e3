"""CZI files of Zeiss' ZEN: scenes, mosaics, channels, z and t (``czi``).

Only the tiles that hold the channels and the window asked for are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from scip_mpi import projection
from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import czi_file
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.czi_file import CziFile, Scene
from scip_mpi.loaders.gather import ImageError, Pick, gather, info_of, located
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.naming import refuse_columns
from scip_mpi.loaders.opening import LastOpened
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.series import (
    Chosen,
    ChosenPlane,
    Place,
    Series,
    broken,
    catalog_of,
    micrometres,
    placed_type,
    side,
)

SUFFIX = ".czi"
RESERVED = {
    name: f"czi has a column {name} already" for name in ("t", "z", "pixel_size", "scene", "tile")
} | {"channel": "each CZI file holds all channels of its images"}

warm_up = projection.warm_up


def discover(
    paths: Sequence[str],
    *,
    regex: str | None = None,
    scenes: str | list[str] | None = None,
    tiles: bool = False,
    z: ChosenPlane = 0,
    t: Chosen = "each",
) -> Catalog:
    """List the scenes of CZI files, or the tiles of their mosaics.

    A file that cannot be read is an image that fails.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.czi`` in any case.
    regex : str, optional
        Searched for in each scene's name (its number, from 0, if it has none), as in SCIP; a
        scene that does not match is left out. The named group ``group`` is its images' group
        (otherwise the name of the file's folder is), others become metadata.
    scenes : str or list of str, optional
        Names of the scenes that are wanted, or a pattern that is searched for in each name.
    tiles : bool
        Whether each tile of a mosaic is an image of its own, or the whole is. In the whole, of
        tiles that overlap the one of the higher number is on top, and 0 is where there is none.
    z, t : int or "each"
        Which plane in z, and which time; or each as an image of its own, in which case the columns
        ``z`` and ``t`` tell them apart.
        For z also what makes all planes one (`scip_mpi.projection.project`).

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, no scene matches, or a pattern is wrong.
    """
    wanted = _wanted(scenes)
    pattern = _compiled(regex or "", "regex")
    listing = list_images(paths, _is_czi, "*.czi files")
    kept, metadata, groups, skipped = select(listing, None, {})
    found = [_series_of(path, wanted, pattern, tiles) for path in kept.files]
    if not any(found):
        raise UserError(
            "load.kwargs: regex and scenes fit none of the scenes; the first file is "
            f"{shown(kept.files[0])}"
        )
    return catalog_of(kept, metadata, groups, skipped, found, z, t)


def _is_czi(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(SUFFIX)


def _wanted(scenes: str | list[str] | None) -> re.Pattern[str]:
    """What the names of scenes must be like."""
    if scenes is None or isinstance(scenes, str):
        return _compiled(scenes or "", "scenes")
    return re.compile("|".join(rf"\A{re.escape(name)}\Z" for name in scenes) or r"\Z\A.")


def _compiled(text: str, key: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"load.kwargs.{key} is no regular expression: {error}") from None
    for name in pattern.groupindex:
        if name in RESERVED:
            why = RESERVED[name]
            raise UserError(f"load.kwargs.{key}: a group cannot be called {name!r} here: {why}")
    refuse_columns(pattern.groupindex, f"load.kwargs.{key}: a group")
    return pattern


def _series_of(
    path: str, wanted: re.Pattern[str], pattern: re.Pattern[str], tiles: bool
) -> list[Series]:
    """The wanted scenes of a file."""
    try:
        with czi_file.opened(path) as file:
            told = file.told()
            numbers = list(file.scenes)
            scenes: list[Scene | None] = []
            for number in numbers:
                try:
                    scenes.append(file.scene(number))
                except ImageError:
                    scenes.append(None)
    except (ImageError, OSError):
        # Reading it will say why it cannot be.
        return [broken()]
    names = _scene_names(told)
    channels = _channel_names(told)
    size = _pixel_size(told)
    several = len(scenes) > 1 or bool(names)
    found = []
    for number, scene in zip(numbers, scenes, strict=True):
        name = names.get(number, str(number))
        match = pattern.search(name)
        if match is None or wanted.search(name) is None:
            continue
        label = f"s{number}" if len(scenes) > 1 else ""
        if scene is None:
            found.append(broken(label, number))
            continue
        groups = match.groupdict()
        group = groups.pop("group", None)
        if several:
            groups = {"scene": name, **groups}
        own = _colours(channels, scene)
        for part in range(1, len(scene.tiles) + 1) if tiles else [0]:
            tile = {"tile": str(scene.tiles[part - 1])} if tiles else {}
            found.append(
                Series(
                    "_".join([label] * bool(label) + [f"m{n}" for n in tile.values()]),
                    number, scene.shape(part), scene.dtype, scene.times, scene.planes, part,
                    own, size, {**groups, **tile}, group,
                )
            )  # fmt: skip
    return found


def _scene_names(told: ElementTree.Element) -> dict[int, str]:
    found = {}
    for scene in told.iterfind(".//Information/Image/Dimensions/S/Scenes/Scene"):
        index, name = scene.get("Index", ""), scene.get("Name", "")
        if index.isdecimal() and name:
            found[int(index)] = name
    return found


def _channel_names(told: ElementTree.Element) -> list[str]:
    channels = told.iterfind(".//Information/Image/Dimensions/Channels/Channel")
    return [c.get("Name", "") for c in channels]


def _colours(names: list[str], scene: Scene) -> list[str]:
    """Names of a scene's channels, of colours one each."""
    if len(names) != scene.channels or not all(names):
        return []
    if scene.colours == 1:
        return names
    return [f"{name}_{colour}" for name in names for colour in "RGB"]


def _pixel_size(told: ElementTree.Element) -> float:
    """Micrometres; NaN if it is not told, or pixels are not square."""
    return side(*(_distance(told, axis) for axis in "XY"))


def _distance(told: ElementTree.Element, axis: str) -> float:
    """Micrometres; the file tells metres."""
    value = told.findtext(f'.//Scaling/Items/Distance[@Id="{axis}"]/Value') or "nan"
    try:
        return micrometres(float(value), "m")
    except ValueError:
        return math.nan


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image, without its pixels.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    place = Place.of(index)
    try:
        with czi_file.opened(sources[0]) as file:
            scene = file.scene(place.number)
            return info_of(scene.shape(place.part), placed_type(place, scene.dtype))
    except (ImageError, OSError) as error:
        raise UserError(located(error, sources)) from None


def read(
    references: References,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    z: int | None = None,
    t: int | None = None,
    of: int | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Read images; those that cannot be are failures. A file is opened once for a batch.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`); ``z`` and ``t`` are
    another plane and another time than those that `discover` chose.
    """
    with LastOpened(czi_file.opened) as last:

        def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
            file: CziFile = last(sources[0])
            return file.read(Place.of(index, z, t), pick, window)

        return gather(references, decode, channels, dtype, None, of)
