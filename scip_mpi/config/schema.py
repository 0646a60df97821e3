"""The sections of a config: types and defaults, in SCIP's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from scip_mpi.config import values
from scip_mpi.errors import UserError

Text = Annotated[str, Field(min_length=1)]
ChannelName = Annotated[str, AfterValidator(values.label), AfterValidator(values.channel_name)]
SetName = Annotated[str, AfterValidator(values.label), AfterValidator(values.set_name)]
# Indices, or the word `all`, which is None.
ChosenChannels = Annotated[
    Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None,
    BeforeValidator(values.all_as_none),
    WithJsonSchema({
        "anyOf": [
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            {"const": "all"},
            {"type": "null"},
        ]
    }),
]  # fmt: skip
ChannelReference = Annotated[int, Field(ge=0)] | Text
# Not strict: what a validator has looked at first is no JSON any more, where a list is a tuple.
ChannelReferences = Annotated[tuple[ChannelReference, ...], Field(min_length=1, strict=False)]
Settings = Annotated[
    dict[str, Any],
    BeforeValidator(values.none_as_empty),
    WithJsonSchema({"type": ["object", "null"]}),
]
Bytes = Annotated[
    int,
    BeforeValidator(values.memory_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]
NonNegative = Annotated[float, Field(ge=0)]
Background = Literal["outside", "ring", "field_median"] | float
# `{intensity: {views: [own]}}`; `json_schema` fills in what each family knows.
Selections = Annotated[
    dict[Text, Settings],
    Field(min_length=1),
    WithJsonSchema({"title": "Selections", "type": "object", "minProperties": 1}),
]
FeatureItem = Text | Selections
BitDepth = Annotated[int, Field(ge=1, le=64)]
PixelType = Literal[
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"
]


class Section(BaseModel):
    """A part of the config: unknown keys are wrong, and no value is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Companion(Section):
    """Where a picture that belongs to each image is: its path with a part replaced."""

    match: Text = Field(description="Pattern that is searched for in the image's path.")
    replace: str = Field(description="What stands in the companion's path there.")


class Load(Section):
    """Which images, and which of their channels."""

    format: Text = Field(description="How images are stored: the name of a loader.")
    channels: ChosenChannels = Field(
        None, description="Indices, in the order of the columns; all of them by default."
    )
    channel_names: Annotated[tuple[ChannelName, ...], Field(min_length=1)] | None = Field(
        None, description="One for each channel; the files' own, or CH0, CH1, ... by default."
    )
    kwargs: Settings = Field({}, description="The loader's own keys.")
    paths: tuple[Text, ...] | None = Field(
        None, description="Files and folders of images where the command line names none."
    )
    companions: dict[SetName, Companion] = Field(
        {}, description="Pictures beside each image, by a name of their own."
    )
    plate_map: Annotated[Text, Field(description="CSV: well, plate, metadata.")] | None = None
    dtype: PixelType | None = Field(None, description="Of pixels; the files' by default.")
    pixel_size: Annotated[float, Field(gt=0, description="Micrometres per pixel.")] | None = None
    bit_depth: BitDepth | tuple[BitDepth, ...] | None = Field(
        None, description="Of the camera, for all channels or for each: says what is saturated."
    )
    saturation: float | tuple[float, ...] | None = Field(
        None, description="Value from which a pixel is saturated, for all channels or for each."
    )
    offset: float | tuple[float, ...] | None = Field(
        None, description="Dark level subtracted from every pixel, for all channels or for each."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.bit_depth is not None and self.saturation is not None:
            raise ValueError("bit_depth and saturation say the same: give one of them")
        return self

    def saturation_levels(self, channels: int) -> list[float] | None:
        """The value from which a pixel counts as saturated, per channel; None if not given.

        Raises
        ------
        UserError
            There are not as many values as channels.
        """
        given = self.saturation if self.bit_depth is None else self.bit_depth
        if given is None:
            return None
        levels = list(given) if isinstance(given, tuple) else [given] * channels
        if len(levels) != channels:
            key = "saturation" if self.bit_depth is None else "bit_depth"
            raise UserError(f"load.{key}: {len(levels)} values for {channels} channels")
        return [float(v if self.bit_depth is None else 2**v - 1) for v in levels]


class MaskFilter(Section):
    """Which channels are worth masking at all."""

    method: Text = Field(description="Name of a filter of pixels.")
    channel_indices: ChannelReferences | None = Field(
        None, description="Channels that it looks at; all by default."
    )
    settings: Settings = Field({}, description="The filter's own keys.")

    def channels(self, channel_names: Sequence[str]) -> list[int]:
        """Places of its channels; all where none are given."""
        if self.channel_indices is None:
            return list(range(len(channel_names)))
        return values.places(self.channel_indices, channel_names, "mask.filters: channel_indices")


class MaskMethod(Section):
    """A mask set: a method, and the name that its columns carry."""

    method: Text = Field(description="Name of a mask method.")
    name: SetName = Field(description="Stands in the names of the columns.")
    export: Annotated[bool, AfterValidator(values.off)] = Field(
        False, description="SCIP's, without effect there: nothing but false."
    )
    kwargs: Settings = Field({}, description="The method's own keys.")
    opening: Annotated[int, Field(ge=0)] = Field(
        0, description="Radius in pixels of the disc that masks are opened by."
    )
    fill_holes: bool = Field(False, description="Enclosed background becomes mask.")
    min_size: Annotated[int, Field(ge=0)] = Field(0, description="Of a component, in pixels.")
    max_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of a component, in pixels."
    )
    border: Literal["remove", "keep"] = Field(
        "remove", description="Components of which too much is on the image's border."
    )
    largest_component: bool = Field(False, description="Keep no other.")


class Mask(Section):
    """Mask sets, and what they have in common."""

    combined_indices: ChannelReferences | None = Field(
        None, description="Channels whose masks make the combined mask; all by default."
    )
    main_channel_index: ChannelReference = Field(
        0, description="The channel without whose mask a set has no values for a cell."
    )
    filters: tuple[MaskFilter, ...] | None = Field(
        None, description="A channel that fails one of them gets an empty mask."
    )
    methods: Annotated[tuple[MaskMethod, ...], Field(min_length=1)] = Field(
        description="The mask sets, in the order of the columns."
    )

    def combined(self, channel_names: Sequence[str]) -> list[int]:
        """Places of the channels whose masks make up the combined mask."""
        if self.combined_indices is None:
            return list(range(len(channel_names)))
        return values.places(self.combined_indices, channel_names, "mask.combined_indices")

    def main_channel(self, channel_names: Sequence[str]) -> int:
        """Place of the main channel."""
        return values.places([self.main_channel_index], channel_names, "mask.main_channel_index")[0]


Statistic = Literal[
    "sum", "mean", "std", "max", "min", "area", "aspect_ratio", "components", "focus", "saturated"
]


class Measurement(Section):
    """What is measured of every object: a statistic of a channel in a mask set's masks."""

    statistic: Statistic = Field("sum", description="What is measured.")
    channel: ChannelReference = Field(0, description="The channel that it is measured in.")
    mask: SetName | None = Field(None, description="Mask set; null for the whole image.")


class Rule(BaseModel):
    """One rule over the whole data set, whose own keys are among the others; or several rules."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    name: Text | None = Field(None, description="Name of a rule; its own keys are beside it.")
    statistic: Statistic = Field("sum", description="What is measured.")
    channel: ChannelReference = Field(0, description="The channel that it is measured in.")
    mask: SetName | None = Field(None, description="Mask set; null for the whole image.")
    by: Literal["group"] | None = Field(
        None, description="Each group of images by itself; all cells together by default."
    )
    x: Measurement | None = Field(None, description="Of a polygon.")
    y: Measurement | None = Field(None, description="Of a polygon.")
    all: Annotated[tuple[Rule, ...], Field(min_length=1)] | None = Field(
        None, description="Rules that a cell must all pass."
    )
    any: Annotated[tuple[Rule, ...], Field(min_length=1)] | None = Field(
        None, description="Rules of which a cell must pass one."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [k for k in ("name", "all", "any") if getattr(self, k) is not None]
        if len(ways) != 1:
            found = " and ".join(ways) or "none of them"
            raise ValueError(f"give one of name, all, any; found {found}")
        if self.name == "polygon" and (self.x is None or self.y is None):
            raise ValueError("a polygon needs x and y, a statistic each")
        return self

    def parts(self) -> tuple[Rule, ...]:
        """The rules that it combines; none if it is one itself."""
        return self.all or self.any or ()

    def leaves(self) -> list[Rule]:
        """Itself, or all single rules in it from left to right."""
        return [leaf for part in self.parts() for leaf in part.leaves()] or [self]

    def measurements(self) -> tuple[Measurement, ...]:
        """What a single rule looks at."""
        if self.x is not None and self.y is not None:
            return (self.x, self.y)
        return (Measurement(statistic=self.statistic, channel=self.channel, mask=self.mask),)

    def settings(self) -> dict[str, Any]:
        """The rule's own keys."""
        return dict(self.model_extra or {})


class Filter(Rule):
    """Which objects have a row in the table."""

    action: Literal["drop", "flag"] = Field(
        "drop", description="Other cells have no row, or a flag in obs."
    )


class Gating(Section):
    """Columns of obs to gate by, without looking into X."""

    mask: SetName | None = Field(None, description="Mask set; the first one by default.")
    channels: tuple[ChannelReference, ...] | None = Field(
        None, description="The main channel and the next two by default."
    )


class Subtract(Section):
    """The mask of one channel becomes that of ``left`` without that of ``right``."""

    left_index: ChannelReference = Field(description="Channel whose mask is taken.")
    right_index: ChannelReference = Field(description="Channel whose mask is taken away.")
    for_index: ChannelReference = Field(
        validation_alias=AliasChoices("for_index", "for_channel_index"),
        description="Channel whose mask it becomes.",
    )

    def channels(self) -> tuple[int | str, int | str, int | str]:
        """Left, right, and the channel whose mask changes."""
        return self.left_index, self.right_index, self.for_index


class SegmentSettings(BaseModel):
    """What all segmentation methods have in common; further keys are the method's own."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    parent_channel_index: ChannelReference = Field(
        0,
        validation_alias=AliasChoices("parent_channel_index", "dapi_channel_index"),
        description="Channel whose objects are the rows of the table.",
    )
    children: dict[ChannelReference, Settings] | ChannelReferences | None = Field(
        None, description="Channels with objects of their own, and settings that differ there."
    )
    subtract: Subtract | None = Field(
        None,
        validation_alias=AliasChoices("subtract", "substract"),
        description="A mask without another.",
    )
    expansion: NonNegative | dict[ChannelReference, NonNegative] = Field(
        0.0, description="Pixels by which masks grow, for the parents or per channel."
    )
    border: Literal["keep", "drop"] = Field(
        "keep", description="Objects that touch the field's border."
    )
    min_size: Annotated[int, Field(ge=0)] = Field(0, description="Of an object, in pixels.")
    max_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of an object, in pixels."
    )

    def own(self) -> dict[str, Any]:
        """The method's own keys."""
        return dict(self.model_extra or {})


class Tiles(Section):
    """Large fields cut into tiles, which are segmented by themselves and put together again."""

    size: Annotated[int, Field(ge=64)] = Field(
        2048, description="Longest side of a tile in pixels; smaller fields are taken whole."
    )
    halo: Annotated[int, Field(ge=8)] = Field(
        128, description="Pixels round a tile that are looked at with it."
    )

    @model_validator(mode="after")
    def _smaller(self) -> Self:
        if 2 * self.halo > self.size:
            raise ValueError(f"halo ({self.halo}) must be at most half of size ({self.size})")
        return self


class Segment(Section):
    """How objects are found in fields of view."""

    method: Text = Field(description="Name of a segmenter.")
    tiles: Tiles | None = Field(None, description="For fields larger than memory.")
    export: bool | Literal["tiff", "ome_tiff", "ome_zarr"] = Field(
        False, description="Whether label images are written, and as what; true: tiff."
    )
    settings: Annotated[SegmentSettings, BeforeValidator(values.none_as_empty)] = SegmentSettings()


class IlluminationSettings(BaseModel):
    """What all methods have in common; further keys are the method's own."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    precomputed: Text | None = Field(
        None, description="Folder that an earlier run exported, or a .npy of (C, H, W) for all."
    )

    def own(self) -> dict[str, Any]:
        """The method's own keys."""
        return dict(self.model_extra or {})


class Illumination(Section):
    """Images divided by a smooth function of the place, per group of images and channel."""

    method: Text = Field(description="Name of an illumination method.")
    key: Text = Field("group", description="Column of the images' metadata that tells groups.")
    export: bool = Field(False, description="Functions as pictures and arrays beside the table.")
    settings: Annotated[IlluminationSettings, BeforeValidator(values.none_as_empty)] = (
        IlluminationSettings()
    )


class Compensation(Section):
    """Spillover between channels, undone before anything is masked."""

    matrix: Annotated[Text, Field(description="CSV: a row and a column per channel, by name.")]


class ProjectSettings(Section):
    """What planes in z are made one by."""

    op: Literal["max", "mean", "median", "sum", "best_focus"] = Field(
        description="Of each pixel's values; best_focus takes each channel's sharpest plane."
    )


class Project(Section):
    """Planes in z made one."""

    method: Literal["op"] = Field(description="SCIP's word; there is one.")
    settings: ProjectSettings


class Normalization(Section):
    """Pixels scaled so that two quantiles of the masks' pixels become 0 and 1, per group."""

    lower: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="Becomes 0.")
    upper: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="Becomes 1.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower}) must be below upper ({self.upper})")
        return self


class Export(Section):
    """Files beside features.h5ad, which is always written."""

    format: Literal["parquet", "anndata"] = Field(
        "anndata", description="parquet: a Parquet table too."
    )
    filename: Annotated[str, AfterValidator(values.file_name)] = Field(
        "features", description="Of both tables, without an ending."
    )
    naming: Literal["scip", "cellprofiler"] = Field(
        "scip", description="Whose names the columns of the Parquet table have."
    )
    compartments: dict[Text, Annotated[str, AfterValidator(values.compartment)]] | None = Field(
        None, description="What CellProfiler's names call each mask set, such as Nuclei."
    )


class Resources(Section):
    """How the job is spread out; changes no result."""

    segmenters: Annotated[int, Field(ge=0)] = Field(
        0, description="Ranks that only segment; 0: every rank does both."
    )
    memory: Bytes | None = Field(None, description="Of a rank, for masks and pixels: 2 GiB.")
    scratch: Path | None = Field(None, description="Folder for what memory cannot hold.")
    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto", description="What masks are made on; auto: GPUs where there are any."
    )
    segmenters_per_gpu: Annotated[int, Field(ge=1)] = Field(
        1, description="Ranks that share a GPU."
    )
    chunk_size: Annotated[int, Field(ge=1, le=2**31)] | None = Field(
        None, description="Images handed out at once."
    )
    stall_timeout: Annotated[float, Field(gt=0)] | None = Field(
        1800.0, description="Seconds without progress after which a rank hangs; null: never."
    )
    # YAML takes a bare off for a truth value.
    checkpoint: Annotated[
        Literal["full", "rows", "off"], BeforeValidator(lambda v: "off" if v is False else v)
    ] = Field(
        "full",
        description="What is kept for a restart: masks and rows, rows only, or nothing.",
    )


class Config(Section):
    """A whole config, as `scip_mpi.config.read_config` and `parse_config` return it."""

    load: Load
    project: Project | None = None
    illumination_correction: Illumination | None = None
    compensation: Compensation | None = None
    segment: Segment | None = None
    mask: Mask | None = None
    background: Background | dict[Text, Background] | None = Field(
        None, description="What bgcorr_ features subtract, for all channels or for each."
    )
    units: Literal["pixel", "um"] = Field(
        "pixel", description="Of the table's lengths and areas; um: micrometres."
    )
    filter: Filter | None = None
    gating: Gating = Gating()
    normalization: Normalization | None = None
    feature_extraction: dict[str, tuple[FeatureItem, ...]] | tuple[FeatureItem, ...] | None = Field(
        None, description="Feature families, for all mask sets or for each by its name."
    )
    export: Export = Export()
    resources: Resources = Resources()
    on_error: Literal["skip", "abort"] = Field(
        "skip", description="An image that cannot be processed is listed, or ends the run."
    )

    def sets(self) -> list[str]:
        """Names of the mask sets; one empty name where there are no masks."""
        return [m.name for m in self.mask.methods] if self.mask else [""]

    def compartments(self) -> dict[str, str]:
        """What CellProfiler's names call each mask set; see `values.compartments`."""
        return values.compartments(self.sets(), self.export.compartments or {})

    def words(self) -> dict[str, list[str | dict[str, dict[str, Any]]]]:
        """The items of ``feature_extraction`` for each mask set: words, or families' settings."""
        asked = self.feature_extraction or ()
        if isinstance(asked, Mapping):
            return {name: list(asked.get(name, ())) for name in self.sets()}
        return {name: list(asked) for name in self.sets()}

    def notes(self) -> list[str]:
        """What is allowed but may not be meant."""
        bare = [name for name, words in self.words().items() if not words]
        return [f"mask set {name!r} has no features in feature_extraction" for name in bare]

    def normalised(self) -> dict[str, Any]:
        """All that the table depends on, defaults filled in, as JSON can hold it.

        Without ``resources``, which change no result, ``on_error``, which a table that is there did
        not need, and ``load.paths``: the images themselves are in the fingerprint.
        """
        return self.model_dump(
            mode="json", exclude={"resources": True, "on_error": True, "load": {"paths"}}
        )
