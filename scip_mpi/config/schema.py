"""The config's sections, their keys, types and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt

Channel = Annotated[NonNegativeInt | str, Field(description="Place in the channels, or name.")]


class Section(BaseModel):
    """A section: strict, nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _memory_bytes(value: Any) -> Any:
    """``2 GiB`` as a number of bytes."""
    if not isinstance(value, str):
        return value
    units = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
             "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}  # fmt: skip
    number = value.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = value.strip()[len(number) :].strip().lower()
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError("a size, such as 2 GiB or 500 MB, or a number of bytes") from None


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


Bytes = Annotated[PositiveInt, BeforeValidator(_memory_bytes)]
FolderPath = Annotated[Path, BeforeValidator(_path)]


class Load(Section):
    """Where images come from, and which of their channels."""

    format: str = Field(description="Loader: multiframe_tiff or zarr.")
    channels: list[NonNegativeInt] | None = Field(
        None, description="Channels to read, from 0; all if not given."
    )
    channel_names: list[str] | None = Field(None, description="A name for each channel read.")
    kwargs: dict[str, Any] | None = Field(None, description="Settings of the loader.")
    paths: list[str] | None = Field(None, description="Images, if none are named on the command.")
    dtype: Literal["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"] | (
        None
    ) = Field(None, description="Pixel type of the run; the first image's if not given.")
    pixel_size: float | None = Field(None, gt=0, description="Micrometres per pixel.")
    bit_depth: PositiveInt | list[PositiveInt] | None = Field(
        None, description="Bits of a pixel: pixels at the largest value count as saturated."
    )
    saturation: float | list[float] | None = Field(
        None, description="Value from which a pixel counts as saturated; goes before bit_depth."
    )

    def saturation_levels(self, channels: int) -> list[float] | None:
        """Saturation of each channel, if the config says."""
        given: Any = self.saturation
        if given is None and self.bit_depth is not None:
            given = np.exp2(self.bit_depth) - 1
        return None if given is None else np.broadcast_to(given, channels).tolist()


class MaskMethod(Section):
    """A named mask set."""

    method: str = Field(description="li, otsu or spot.")
    name: str = Field(description="Name of the mask set, prefix of its columns.")
    export: Literal[False] | None = Field(None, description="Accepted as SCIP's; only false.")
    kwargs: dict[str, Any] | None = Field(None, description="Settings of the method.")


class MaskFilter(Section):
    """A filter on channels, before any mask."""

    method: str = Field(description="std, value_range or normaltest.")
    channel_indices: list[Channel] = Field(description="Channels that must pass.")
    settings: dict[str, Any] | None = Field(None, description="Settings of the filter.")

    def channels(self, names: Sequence[str]) -> list[int]:
        """Places of the channels."""
        return [place(c, names) for c in self.channel_indices]


class Mask(Section):
    """Mask sets and the combined mask."""

    methods: list[MaskMethod] = Field(min_length=1, description="The mask sets.")
    combined_indices: list[Channel] | None = Field(
        None, description="Channels whose union is the combined mask; all if not given."
    )
    main_channel_index: Channel = Field(0, description="Without a mask here, no cell in the set.")
    filters: list[MaskFilter] | None = Field(None, description="Filters before masking.")

    def combined(self, names: Sequence[str]) -> list[int]:
        """Places of the combined channels."""
        if self.combined_indices is None:
            return list(range(len(names)))
        return [place(c, names) for c in self.combined_indices]

    def main_channel(self, names: Sequence[str]) -> int:
        """Place of the main channel."""
        return place(self.main_channel_index, names)


class Filter(Section):
    """The dataset-wide filter of cells."""

    name: str = Field(description="threshold, quantile, range or mad.")
    statistic: Literal["sum", "mean", "std", "max", "min", "area"] = Field(
        "sum", description="What is measured of each cell."
    )
    channel: Channel = Field(0, description="Of which channel.")
    mask: str | None = Field(None, description="In the mask of which set; whole image if not.")
    by: Literal["group"] | None = Field(None, description="Decide for each group by itself.")
    action: Literal["drop", "flag"] = Field("drop", description="Remove rows, or mark them.")
    lower: float | None = Field(None, description="quantile: 0 to 1; range: a value.")
    upper: float | None = Field(None, description="quantile: 0 to 1; range: a value.")
    n_mads: float | None = Field(None, gt=0, description="mad: how many.")

    def channel_index(self, names: Sequence[str]) -> int:
        """Place of the channel."""
        return place(self.channel, names)

    def settings(self) -> dict[str, float]:
        """What the config gives of the rule's own settings."""
        given = {"lower": self.lower, "upper": self.upper, "n_mads": self.n_mads}
        return {name: value for name, value in given.items() if value is not None}


class Export(Section):
    """What is written beside the HDF5 table."""

    format: Literal["parquet", "anndata"] = "anndata"
    filename: str = Field("features", pattern=r"^[^/\x00]+$", description="Name of the table.")


class Resources(Section):
    """How the run is laid out; nothing here changes the table."""

    segmenters: NonNegativeInt = Field(
        0, description="Ranks that only segment; 0: every rank segments and computes."
    )
    memory: Bytes | None = Field(None, description="For masks and pixels of a rank.")
    scratch: FolderPath | None = Field(None, description="Folder for masks beyond the memory.")
    device: Literal["auto", "cpu"] = Field("auto", description="Where images are segmented.")
    chunk_size: PositiveInt | None = Field(None, description="Images handed out at once.")


class Config(Section):
    """A whole config; a missing section means off."""

    load: Load
    project: None = None
    illumination_correction: None = None
    segment: None = None
    mask: Mask | None = None
    filter: Filter | None = None
    normalization: None = None
    feature_extraction: dict[str, list[str]] | list[str] = Field(
        description="Families, by mask set; a plain list where there are no masks."
    )
    export: Export = Export()
    resources: Resources = Resources()
    on_error: Literal["skip", "abort"] = Field("skip", description="What a bad image leads to.")

    def words(self) -> dict[str, list[str]]:
        """The families asked for, by mask set; the empty name where there are no masks."""
        asked = self.feature_extraction
        return {"": asked} if isinstance(asked, list) else asked

    def sets(self) -> list[str]:
        """Names of the mask sets; one empty name where there are no masks."""
        return [m.name for m in self.mask.methods] if self.mask else [""]

    def normalised(self) -> dict[str, Any]:
        """All that may change the table, in one form for equal configs."""
        found = self.model_dump(mode="json", exclude={"resources", "export", "on_error"})
        found["load"].pop("paths")
        return found


def place(channel: int | str, names: Sequence[str]) -> int:
    """Place of a channel given by place or name."""
    return channel if isinstance(channel, int) else list(names).index(channel)


def json_schema() -> dict[str, Any]:
    """JSON Schema of the config, for editors."""
    return Config.model_json_schema()
