"""The plan of a run: all that is decided before the first pixel is read.

Made on rank 0, printed by ``check``, sent to every rank and executed by ``run``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi import registry
from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.chunks import cut, shrinking
from scip_mpi.columns import ColumnPlan, plan_columns
from scip_mpi.config import Config, resolve_channels
from scip_mpi.correction import read_spillover, unmixing
from scip_mpi.errors import UserError
from scip_mpi.identity import Facts, facts_of, fingerprint
from scip_mpi.illumination_groups import IlluminationGroups, group_images
from scip_mpi.loaders import packed
from scip_mpi.loaders.companions import attach
from scip_mpi.loaders.contract import Catalog, ImageInfo
from scip_mpi.loaders.plate import join_plate
from scip_mpi.measurements import (
    Measured,
    backgrounds,
    filter_statistics,
    gates,
    main_channel,
)
from scip_mpi.memory import machine_memory
from scip_mpi.parallel.roles import Layout, Roles, Sight, lay_out
from scip_mpi.results.illumination import read_functions
from scip_mpi.segmentation import gpu
from scip_mpi.units import in_micrometres, lengths, pixel_size

# Columns of obs that every table has.
OBS = ("image", "group", "object", "failed", "discarded")
# Images probed, before the images are taken to be no images at all.
PROBES = 10_000
# A chunk is what a rank reads at once: at most so many images and bytes of pixels, and at least so
# many pixels, beside which the work that comes with each chunk is small. In between it is one in so
# many of what is left for each rank: no more than two, as each chunk is work for rank 0.
CHUNK_IMAGES = 256
CHUNK_BYTES = 8 << 20
LEAST_PIXELS = 3 << 18
SHARE = 2


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    config : Config
        The config, checked.
    channels : list of int
        Channels read from each image, and ``channel_names`` beside them.
    sample : ImageInfo
        Shape and type of the first image that could be probed.
    dtype : str
        Pixel type of the run.
    combined, main_channel
        Places in ``channels``.
    sets : list of str
        Mask sets; one with an empty name without masking.
    columns : ColumnPlan
        Every column of the table.
    scale : ndarray of float64, shape (columns,), optional
        What turns each from pixels to its unit, where that is not pixels.
    bounds : ndarray of int64
        Bounds of the chunks of images.
    costs : ndarray of int64
        Bytes of each chunk's files.
    images : int
    groups : list of str
    statistics, gates : list of Measured
        What the filter looks at, and what stands in obs to gate by.
    backgrounds : list of str or float
        Per channel.
    companions : list of str
        Pictures that belong to each image.
    unmix : ndarray of float64, shape (C, C), optional
        What undoes the spillover.
    lit : IlluminationGroups, optional
        Which images share an illumination function.
    functions : list of ndarray of float64, optional
        The functions, where they were computed before.
    roles : list of Roles
        Roles of every rank, whose nodes are ``nodes``.
    devices : list of int or None
        Number of the device that each rank segments on; None for the CPU.
    memory : int
        Bytes a rank may keep between the passes.
    facts : dict
        All that decides the table's bits, spelt out.
    notes : list of str
        For the log.
    """

    config: Config
    channels: list[int]
    channel_names: list[str]
    sample: ImageInfo
    dtype: str
    combined: list[int]
    main_channel: int
    sets: list[str]
    columns: ColumnPlan
    scale: FloatArray | None
    bounds: Int64Array
    costs: Int64Array
    images: int
    groups: list[str]
    statistics: list[Measured]
    gates: list[Measured]
    backgrounds: list[str | float]
    companions: list[str]
    unmix: FloatArray | None
    lit: IlluminationGroups | None
    functions: list[FloatArray] | None
    roles: list[Roles]
    nodes: list[str]
    devices: list[int | None]
    memory: int
    facts: Facts
    notes: list[str]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return len(self.bounds) - 1

    @property
    def layout(self) -> Layout:
        """Who does what, where."""
        return Layout(self.nodes, self.roles, self.devices, [])

    @property
    def fingerprint(self) -> str:
        """Equal for runs that give the same table."""
        return fingerprint(self.facts)

    def table_bytes(self, rows: int) -> int:
        """Size of X for so many rows."""
        return rows * len(self.columns) * 4


def suited(config: Config, paths: Sequence[str]) -> Config:
    """The config as it is meant for these PATHs: shards hold what was found and joined before.

    So a config for files serves for the shards that were made of them. What it says of finding
    images, and of their metadata, was done when they were packed.
    """
    wanted = list(paths) or list(config.load.paths or ())
    shards = bool(wanted) and all(p.lower().endswith(packed.SUFFIX) for p in wanted)
    if not shards or config.load.format not in registry.BUILT_IN["loaders"]:
        return config
    found: dict[str, object] = {
        "format": "packed",
        "kwargs": {},
        "plate_map": None,
        "companions": {},
    }
    load = config.load.model_copy(update=found)
    return config.model_copy(update={"load": load, "project": None})


def find_images(config: Config, paths: Sequence[str]) -> Catalog:
    """List the images of a config, on the one rank that does.

    Raises
    ------
    UserError
        No path was given, a path is missing or empty, or no file matches.
    """
    wanted = list(paths) or list(config.load.paths or ())
    if not wanted:
        raise UserError(
            "no images were named: give one or more PATHs after the config, or list them under "
            "load.paths"
        )
    loader = registry.find("loaders", config.load.format)
    planes = {} if config.project is None else {"z": config.project.settings.op}
    catalog = loader.discover(wanted, **config.load.kwargs, **planes)
    if config.load.pixel_size is not None and "pixel_size" in catalog.numbers:
        catalog.numbers["pixel_size"][:] = config.load.pixel_size
    if config.load.plate_map is not None:
        catalog = join_plate(catalog, config.load.plate_map)
    if config.load.companions:
        rules = {n: (c.match, c.replace) for n, c in config.load.companions.items()}
        catalog = attach(catalog, rules)
    taken = [n for n in (*catalog.metadata, *catalog.numbers) if n in OBS]
    if taken:
        raise UserError(
            f"the images' metadata has a column {taken[0]!r}, which the table has itself: give the "
            "group of the regex, or the column of the table, another name"
        )
    return catalog


def probe_sample(config: Config, catalog: Catalog) -> ImageInfo | None:
    """Shape and type of the first image that can be probed; None if no image can be.

    Raises
    ------
    UserError
        None of the first `PROBES` images can be probed, and there are more.
    """
    loader = registry.find("loaders", config.load.format)
    problem = ""
    for i in range(min(PROBES, len(catalog))):
        try:
            own = catalog.references(i, i + 1).alone()
            return loader.probe(own.sources[0], int(own.within[0]))
        except UserError as error:
            problem = problem or str(error)
    if len(catalog) > PROBES:
        raise UserError(f"none of the first {PROBES:,} images can be read: {problem}")
    return None


def make_plan(config: Config, catalog: Catalog, sights: Sequence[Sight]) -> Plan:
    """Decide everything that can be decided without pixels.

    Raises
    ------
    UserError
        The config does not fit the images: a channel out of range, or as many names as there are
        not channels; or a GPU was asked for, and there is none.
    """
    resources = config.resources
    layout = lay_out(
        sights,
        resources.segmenters,
        resources.device,
        resources.segmenters_per_gpu,
        unfit_for_devices(config),
    )
    sample = probe_sample(config, catalog)
    if sample is None:
        # Every image will end in failures.csv; the plan only needs some shape to go by.
        wanted = config.load.channels or [0]
        sample = ImageInfo((max(wanted) + 1, 64, 64), np.dtype(np.uint16))
    channels, names = resolve_channels(
        config, sample.shape[0], catalog.channels, catalog.channel_names
    )
    sets = config.sets()
    words = config.words()
    columns = plan_columns(words, sets, names, lambda name: registry.find("features", name))
    check_fields(config, columns)
    size, scale = pixel_size(config, catalog), None
    if size is not None:
        scale = lengths(columns, size)
        columns = in_micrometres(columns)
    dtype = config.load.dtype or run_dtype(sample.dtype)
    bounds = chunk_bounds(config, catalog, sample, len(channels), len(sights))
    memory = resources.memory or default_memory(sights)
    combined = config.mask.combined(names) if config.mask else list(range(len(names)))
    spillover = None
    if config.compensation is not None:
        spillover = read_spillover(config.compensation.matrix, names)
    lit, functions = plan_illumination(config, catalog, len(names))
    return Plan(
        config=config,
        channels=channels,
        channel_names=names,
        sample=sample,
        dtype=dtype,
        combined=combined,
        main_channel=main_channel(config, names),
        sets=sets,
        columns=columns,
        scale=scale,
        bounds=bounds,
        costs=np.add.reduceat(catalog.costs(), bounds[:-1]),
        images=len(catalog),
        groups=catalog.groups,
        statistics=filter_statistics(config, sets, names),
        gates=gates(config, sets, names),
        backgrounds=backgrounds(config, names),
        companions=catalog.companions,
        unmix=None if spillover is None else unmixing(spillover),
        lit=lit,
        functions=functions,
        roles=layout.roles,
        nodes=layout.nodes,
        devices=layout.devices,
        memory=memory,
        facts=facts_of(config, catalog, columns.names, spillover, functions),
        notes=layout.notes + catalog.notes,
    )


def check_fields(config: Config, columns: ColumnPlan) -> None:
    """Refuse families that need whole fields where no rank sees one.

    Raises
    ------
    UserError
        There is no `segment:`, or it is done tile by tile.
    """
    segment = config.segment
    for name in dict.fromkeys(columns.families):
        if registry.find("features", name).in_field is None:
            continue
        told = f"feature_extraction: {name} tells of an object among the others of its field, "
        if segment is None:
            raise UserError(told + "so it needs `segment:`")
        if segment.tiles is not None:
            raise UserError(told + "which no rank sees in tiles: leave out one of the two")


def plan_illumination(
    config: Config, catalog: Catalog, channels: int
) -> tuple[IlluminationGroups | None, list[FloatArray] | None]:
    """Groups of images that share an illumination function, and functions computed before."""
    chosen = config.illumination_correction
    if chosen is None:
        return None, None
    lit = group_images(catalog, chosen.key, registry.find("loaders", config.load.format).probe)
    if chosen.settings.precomputed is None:
        return lit, None
    shapes = [(channels, rows, columns) for rows, columns in lit.shapes.tolist()]
    return lit, read_functions(chosen.settings.precomputed, lit.names, shapes)


def unfit_for_devices(config: Config) -> str:
    """Why a GPU would have nothing to do, if so."""
    methods = [m.method for m in config.mask.methods] if config.mask else []
    if any(method in gpu.METHODS for method in methods):
        return ""
    what = f"of the mask methods {', '.join(methods)} none runs" if methods else "nothing runs"
    return f"{what} on a GPU (what does: {', '.join(gpu.METHODS)})"


def run_dtype(dtype: np.dtype[Any]) -> str:
    """The pixel type of a run whose first image has this one: bool counts as uint8."""
    return "uint8" if dtype == np.bool_ else dtype.newbyteorder("=").name


def chunk_bounds(
    config: Config, catalog: Catalog, sample: ImageInfo, channels: int, ranks: int
) -> Int64Array:
    """Bounds of the chunks that ranks are handed, cut by the bytes of their files.

    By default chunks get smaller towards the end of the catalog, from 256 images or some 8 MiB of
    pixels down to a few: few enough to be cheap to hand out, and small enough at the end for all
    ranks to be done at once. A unit of storage (a chunk of an array) is never shared out over two.
    """
    if config.segment is not None and config.segment.tiles is not None:
        # A field in tiles is work for all ranks.
        return np.arange(len(catalog) + 1, dtype=np.int64)
    # What can only be read whole is not shared out.
    starts = np.flatnonzero(np.diff(catalog.unit, prepend=-1))
    edges = np.append(starts, len(catalog))
    given = config.resources.chunk_size
    if given is not None:
        return edges[cut(np.diff(edges), given)]
    costs = np.add.reduceat(catalog.costs(), starts)
    mean = max(int(costs.sum()) // len(catalog), 1)
    pixels = max(channels * sample.shape[1] * sample.shape[2], 1)
    most = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // (pixels * sample.dtype.itemsize)))
    least = min(max(1, LEAST_PIXELS // pixels), most)
    return edges[shrinking(costs, SHARE * ranks, least * mean, most * mean)]


def default_memory(sights: Sequence[Sight]) -> int:
    """A quarter of the node's memory, shared by its ranks."""
    fullest = max(Counter(sight.node for sight in sights).values())
    return machine_memory() // 4 // fullest
