"""Which columns some of the channels give, masks included: label-free against stained, say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from scip_mpi.batches import BoolArray
from scip_mpi.columns import ORDER, requests
from scip_mpi.config import Config, parse_config
from scip_mpi.errors import UserError
from scip_mpi.registry import suggestion
from scip_mpi.results.finished import Part

COMBINED = "combined"
# Families whose columns are named after the mask that they are measured in.
NAMED = (*ORDER, "raw")


@dataclass(frozen=True)
class Subset:
    """Columns that need no other channels than these.

    ``note`` says what was left out, or what the channels depend on all the same.
    """

    channels: list[str]
    columns: BoolArray
    note: str


def texts(file: h5py.File, name: str) -> list[str]:
    """A column of var."""
    node = file["var"][name]
    found: list[str] = node["categories"].asstr()[()][node["codes"][()]].tolist()
    return found


def parse_channels(words: str, known: Sequence[str]) -> list[str]:
    """Channels from ``BF,SSC``.

    Raises
    ------
    UserError
        A name is unknown.
    """
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in known:
            raise UserError(
                f"--channels {words}: there is no channel {word!r}{suggestion(word, known)}; the "
                f"channels are {', '.join(known)}"
            )
    if not found:
        raise UserError(f"--channels names none; the channels are {', '.join(known)}")
    return found


def subset(file: h5py.File, part: Part, channels: Sequence[str]) -> Subset:
    """The columns of some channels.

    A column of the combined mask belongs to them only if they alone make that mask; one of a pair
    of channels, if both are among them.

    Parameters
    ----------
    file : h5py.File
        The table.
    part : Part
        Its run.
    channels : sequence of str
    """
    names = part.told["channels"]
    config = parse_config(part.told["config"], f"the config of {part.out}")
    makers = mask_channels(config, names)
    strange = [name for name in makers if name not in channels]
    # Columns of pairs carry both names.
    wanted = {*channels, COMBINED, *(f"{a}_{b}" for a in channels for b in channels)}
    columns = np.array([channel in wanted for channel in texts(file, "channel")], bool)
    note = ""
    if config.segment is not None:
        note = "where the cells are, and so their masks, was found with other channels perhaps"
    elif strange:
        columns &= ~in_combined_mask(file, config, names)
        note = f"without columns of the combined mask, which {', '.join(strange)} helps to make"
    return Subset(list(channels), columns, note)


def in_combined_mask(file: h5py.File, config: Config, names: Sequence[str]) -> BoolArray:
    """Columns that are measured in the combined mask, as far as names and config tell.

    SCIP's families say so in their columns' names; of others all are taken to be, unless their
    setting ``mask`` is ``own``.
    """
    own = {
        (mask_set, family)
        for mask_set, words in config.words().items()
        for family, settings in requests(words, names).items()
        if settings and all(s.get("mask") == "own" for s in settings)
    }
    rows = zip(*(texts(file, n) for n in ("channel", "feature", "family", "mask_set")), strict=True)
    return np.array(
        [
            channel == COMBINED or COMBINED in feature.split("_")
            if family in NAMED
            else (mask_set, family) not in own
            for channel, feature, family, mask_set in rows
        ],
        bool,
    )


def mask_channels(config: Config, names: Sequence[str]) -> list[str]:
    """Channels whose masks make up the combined mask; none where images are taken whole."""
    if config.mask is None:
        return []
    return [names[c] for c in config.mask.combined(names)]
