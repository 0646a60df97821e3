"""``new``: a commented config for images that are there, which ``check`` accepts."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import registry
from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.loaders import hdf5, picture, tiff_file
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import Plan, find_images, make_plan
from scip_mpi.starter.look import Look, look
from scip_mpi.starter.names import guess_preset, guess_regex

# Names looked at, and images.
NAMES = 5000
SAMPLE = 12
# Endings of pictures; of two for one name the first is the image.
ENDINGS = (".bmp", ".jpg", ".jpeg", ".png")
# Names that do not end like those of masks and label images.
NO_MASKS = r"^(?!.*[_-](?i:masks?|labels?)\.[A-Za-z]+$)"
# Pixels of all sample images together, about.
SAMPLE_PIXELS = 40_000_000


@dataclass(frozen=True)
class Guess:
    """How images may be stored: ``load.format``, its ``kwargs``, and why."""

    format: str
    why: str
    kwargs: dict[str, Any] = field(default_factory=dict)


def write_config(
    paths: Sequence[str], path: Path, field: bool | None = None, overwrite: bool = False
) -> list[str]:
    """Write a config for the images under some paths; what was found, in lines.

    Parameters
    ----------
    paths : sequence of str
    path : Path
        Of the config.
    field : bool, optional
        Whether images are fields of view, where that is known.
    overwrite : bool

    Raises
    ------
    UserError
        No format fits, or the file is there already.
    """
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already; give another name with -o, or --overwrite")
    guess, plan, images = understand(paths)
    seen = look(images, field)
    text = config_text(guess, plan, seen, paths)
    # What is written must be what `check` accepts.
    config = parse_config(text, str(path))
    make_plan(config, find_images(config, paths), [Sight("this node")])
    path.write_text(text, encoding="utf-8")
    heights, widths = ([image.shape[k] for image in images] for k in (1, 2))
    kind = "fields of view" if seen.field else "single cells"
    return [
        f"images      {plan.images:,}, read as {guess.format}: {guess.why}",
        f"channels    {', '.join(plan.channel_names)} ({plan.dtype})",
        f"sizes       {min(heights)} to {max(heights)} rows, {min(widths)} to {max(widths)} columns"
        f"; taken for {kind}",
        "contrast    " + ", ".join(
            f"{name} {value:.2f}" for name, value in zip(plan.channel_names, seen.contrast,
                                                         strict=True)
        ),
        f"written     {path}",
        f"Next: python -m scip_mpi check {path} {shown(paths)}",
    ]  # fmt: skip


def understand(paths: Sequence[str]) -> tuple[Guess, Plan, list[NDArray[Any]]]:
    """The first guess that sample images can be read by, its plan, and those images.

    Raises
    ------
    UserError
        None of them.
    """
    problem = ""
    for guess in guesses(list(names_under(paths))):
        try:
            config = parse_config(load_text(guess, None) + "feature_extraction: [shape]\n", "new")
            catalog = find_images(config, paths)
            plan = make_plan(config, catalog, [Sight("this node")])
            loader = registry.find("loaders", guess.format)
            images: list[NDArray[Any]] = []
            places = np.unique(np.linspace(0, len(catalog) - 1, SAMPLE).astype(np.int64))
            for i in places.tolist():
                if sum(image.size for image in images) > SAMPLE_PIXELS:
                    break
                batch, failures = loader.read(
                    catalog.references(i, i + 1), plan.channels, np.dtype(plan.dtype),
                    of=plan.sample.shape[0],
                )  # fmt: skip
                problem = problem or "".join(f.error for f in failures)
                images += [np.asarray(image) for image in batch]
            if images:
                return guess, plan, images
        except UserError as error:
            problem = problem or str(error)
    raise UserError(
        f"no format was found for {shown(paths)}; a config written by hand may say more "
        f"(load.format, kwargs). {problem}"
    )


def names_under(paths: Sequence[str]) -> Iterator[str]:
    """Relative paths of the first files, and of the folders that are images by their names."""
    found = 0
    for given in paths:
        if not os.path.exists(given):
            raise UserError(f"{given} is not there")
        if os.path.isfile(given) or given.rstrip("/").lower().endswith(".zarr"):
            yield os.path.basename(given.rstrip("/"))
            continue
        for folder, folders, files in os.walk(given):
            folders.sort()
            stores = [name for name in folders if name.lower().endswith(".zarr")]
            folders[:] = [name for name in folders if name not in stores]
            for name in sorted(files) + stores:
                found += 1
                if found > NAMES:
                    return
                yield os.path.relpath(os.path.join(folder, name), given).replace(os.sep, "/")


def guesses(names: Sequence[str]) -> Iterator[Guess]:
    """Formats that the names speak for, the likeliest first."""
    lower = [name.lower() for name in names]

    def have(*ends: str) -> list[str]:
        return [name for name, low in zip(names, lower, strict=True) if low.endswith(ends)]

    if have(".czi"):
        yield Guess("czi", "Zeiss's files")
    if have(".cif"):
        yield Guess("cif", "an imaging flow cytometer's files")
    if have(".zarr"):
        yield Guess("ome_zarr", "stores of OME-Zarr")
        yield Guess("zarr", "SCIP's stores")
    if have(*hdf5.SUFFIXES):
        yield Guess("packed", "shards that pack has made")
    tiffs = have(*tiff_file.SUFFIXES)
    if tiffs:
        preset = guess_preset(tiffs)
        if preset is not None:
            yield Guess("tiff", f"a file per channel, named as by {preset}", {"preset": preset})
        regex = guess_regex(tiffs)
        if regex is not None:
            why = "a file per channel, by the names"
            yield Guess("tiff", why, {"regex": regex})
        if have(".ome.tif", ".ome.tiff"):
            yield Guess("ome_tiff", "OME-TIFF")
        why = "a file per image, a page per channel"
        yield Guess("multiframe_tiff", why, {"regex": NO_MASKS} if with_masks(tiffs) else {})
    pictures = [name for name in have(*picture.SUFFIXES) if name not in tiffs]
    if pictures:
        why = "pictures, whose colours are the channels"
        yield Guess("image", why, only_one_kind(pictures, bool(tiffs)))


def with_masks(names: Sequence[str]) -> bool:
    """Whether some of the files are masks or labels of others, by their names."""
    return 0 < sum(re.search(NO_MASKS, name) is None for name in names) < len(names)


def only_one_kind(names: Sequence[str], others: bool) -> dict[str, str]:
    """``kwargs`` for pictures: where names come with several endings, those of one.

    Of ``cell1.bmp`` and ``cell1.png`` one is no image but a mask, say: the PNG. ``others`` says
    that there are TIFF files too.
    """
    stems: dict[str, set[str]] = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        stems.setdefault(ending.lower(), set()).add(stem)
    kinds = [ending for ending in ENDINGS if ending in stems]
    paired = any(stems[a] & stems[b] for a in kinds for b in kinds if a != b)
    chosen = kinds[:1] if paired else kinds
    if paired or others:
        return {"regex": rf"\.(?i:{'|'.join(e.removeprefix('.') for e in chosen)})$"}
    return {}


def load_text(guess: Guess, plan: Plan | None) -> str:
    """The section ``load``; with the channels, if they are known."""
    lines = ["load:", f"  format: {guess.format}"]
    if guess.kwargs:
        words = ", ".join(f"{name}: {_quoted(value)}" for name, value in guess.kwargs.items())
        lines.append(f"  kwargs: {{{words}}}")
    if plan is None:
        return "\n".join(lines) + "\n"
    names = ", ".join(_name(name) for name in plan.channel_names)
    lines.append(
        f"  channel_names: [{names}]   # rename them as you like: columns carry these names"
    )
    return "\n".join(lines) + "\n"


def shown(paths: Sequence[str]) -> str:
    """Paths as a shell takes them; on one line, whatever is in their names."""
    return "".join(c if c.isprintable() else "?" for c in shlex.join(paths))


def config_text(guess: Guess, plan: Plan, seen: Look, paths: Sequence[str]) -> str:
    """The config, with what to look at and what may be changed."""
    main = _name(plan.channel_names[seen.main])
    head = [
        f"# Made by looking at {shown(paths)}: {plan.images:,} images, {guess.why}.",
        f"# Try it:  python -m scip_mpi check THIS {shown(paths)}",
        f"#          python -m scip_mpi run THIS {shown(paths)} -o table",
    ]
    body = _field_text(main) if seen.field else _cell_text(main, seen)
    return "\n".join(head) + "\n" + load_text(guess, plan) + body


def _field_text(main: str) -> str:
    return f"""
# Images hold several objects each: a row of the table for each of them.
segment:
  method: watershed
  settings:
    parent_channel_index: {main}   # the channel of the highest contrast: objects are found in it
    # cell_diameter: 20      # in pixels; without it the program finds one
    min_size: 30             # smaller objects, in pixels, are left out
    border: drop             # so are those that the image's border cuts

background: ring             # bgcorr_ columns subtract what is round each object

# Over the whole data set: leave out the smallest and largest hundredth, for example.
# filter: {{name: quantile, statistic: area, channel: {main}, lower: 0.01, upper: 0.99}}

feature_extraction: [shape, intensity, texture]
"""


def _cell_text(main: str, seen: Look) -> str:
    if seen.dark:
        method = (
            "{method: threshold, name: cell, kwargs: {method: otsu, foreground: dark, smooth: 1}, "
            "fill_holes: true, border: keep}   # darker than what is around it"
        )
    else:
        method = (
            "{method: li, name: cell, kwargs: {smooth: 1}, border: keep}   # where greys change"
        )
    return f"""
# An image is a cell: a row of the table for each. A mask per channel says where in it the cell is.
mask:
  main_channel_index: {main}   # the highest contrast; without a mask here a cell has no features
  combined_indices: [{main}]   # the combined mask is the union of these channels' masks
  methods:
    - {method}

# Over the whole data set: mark cells out of focus, for example.
# filter:
#   {{name: quantile, statistic: focus, channel: {main}, mask: cell, lower: 0.02, action: flag}}

feature_extraction:
  cell: [shape, intensity, texture, bbox, regions]
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(name: str) -> str:
    """A channel's name as YAML takes it for a text."""
    plain = name.replace("_", "").isalnum() and not name[:1].isdigit()
    words = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
    return name if plain and name.isascii() and name.lower() not in words else json.dumps(name)
