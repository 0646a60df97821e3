"""Columns under CellProfiler's names: ``<compartment>_<category>_<measurement>_<channel>``.

A column has CellProfiler's own name where it measures what CellProfiler calls so, and otherwise one
of the same form. Values are the same as under SCIP's names, in the same units.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from scip_mpi.columns import ColumnPlan, prefix
from scip_mpi.features.family import Feature

# Of columns of the bare image, which no mask set has.
CROP = "Crop"
IMAGE_NUMBER, OBJECT_NAME = "Metadata_ImageNumber", "Metadata_ObjectName"
# Columns of obs that CellProfiler has another word for.
WORDS = {"object": "ObjectNumber", "field": "Site"}
# Families whose columns begin with another word.
PREFIXES = {"colocalization": "coloc"}
CATEGORIES = {
    "shape": "AreaShape",
    "cp_shape": "AreaShape",
    "intensity": "Intensity",
    "raw": "Intensity",
    "cp_intensity": "Intensity",
    "texture": "Texture",
    "haralick": "Texture",
    "radial": "RadialDistribution",
    "colocalization": "Correlation",
}
# What SCIP's families are called where one of CellProfiler's has the name already.
SCIP = {"shape": "ScipShape", "intensity": "ScipIntensity", "texture": "ScipTexture"}
BOX = {
    "minc": "BoundingBoxMinimum_X",
    "minr": "BoundingBoxMinimum_Y",
    "maxc": "BoundingBoxMaximum_X",
    "maxr": "BoundingBoxMaximum_Y",
}

_OF_PIXELS = {
    "mean": "Mean",
    "median": "Median",
    "max": "Max",
    "min": "Min",
    "std": "Std",
    "mad": "MAD",
    "lower_quartile": "LowerQuartile",
    "upper_quartile": "UpperQuartile",
    "sum": "Integrated",
    "integrated": "Integrated",
    "skewness": "Skewness",
    "kurtosis": "Kurtosis",
}
_INTENSITIES = [
    *((rf"{ours}", f"{theirs}Intensity@") for ours, theirs in _OF_PIXELS.items()),
    *((rf"edge_{ours}", f"{theirs}IntensityEdge@") for ours, theirs in _OF_PIXELS.items()),
]
# By family, patterns of statistics and what follows the category. An `@` stands for the channels
# with an underscore in front, `~` for a pair of them the other way round.
RULES: dict[str, list[tuple[str, str]]] = {
    "shape": [
        ("feret_diameter_max", "MaxFeretDiameter@"),
        # CellProfiler's are degrees.
        ("orientation", "OrientationRadian@"),
        (r"inertia_tensor-(\d)-(\d)", r"InertiaTensor_\1_\2@"),
        (r"inertia_tensor_eigvals-(\d)", r"InertiaTensorEigenvalues_\1@"),
        (r"moments-(\d)-(\d)", r"SpatialMoment_\1_\2@"),
        (r"moments_central-(\d)-(\d)", r"CentralMoment_\1_\2@"),
        (r"moments_hu-(\d)", r"HuMoment_\1@"),
    ],
    "intensity": [
        # The rim is six pixels wide, CellProfiler's edge one.
        *((rf"(bgcorr_)?(edge_)?{ours}", f"{theirs}Intensity") for ours, theirs in
          _OF_PIXELS.items()),
    ],
    "raw": _INTENSITIES,
    "cp_intensity": [
        *_INTENSITIES,
        ("mass_displacement", "MassDisplacement@"),
        ("center_mass_(x|y)", r"/Location_CenterMassIntensity_\1@"),
        ("max_(x|y)", r"/Location_MaxIntensity_\1@"),
    ],
    "radial": [
        (r"fraction_(\w+)", r"FracAtD@_\1"),
        (r"mean_fraction_(\w+)", r"MeanFrac@_\1"),
        (r"cv_(\w+)", r"RadialCV@_\1"),
    ],
    "zernike": [
        (r"shape_magnitude_(\d+)_(\d+)", r"/AreaShape_Zernike_\1_\2@"),
        (r"shape_phase_(\d+)_(\d+)", r"/AreaShape_ZernikePhase_\1_\2@"),
        (r"magnitude_(\d+)_(\d+)", r"/RadialDistribution_ZernikeMagnitude@_\1_\2"),
        (r"phase_(\d+)_(\d+)", r"/RadialDistribution_ZernikePhase@_\1_\2"),
    ],
    "colocalization": [
        ("pearson", "Correlation@"),
        *((f"{ours}_1", f"{theirs}@") for ours, theirs in
          (("manders", "Manders"), ("k", "K"), ("rwc", "RWC"), ("costes", "Costes"))),
        *((f"{ours}_2", f"{theirs}~") for ours, theirs in
          (("manders", "Manders"), ("k", "K"), ("rwc", "RWC"), ("costes", "Costes"))),
    ],
    "neighbors": [
        (r"number_(\d+)", r"NumberOfNeighbors_\1"),
        (r"angle_(\d+)", r"AngleBetweenNeighbors_\1"),
    ],
    "granularity": [(r"(\d+)", r"\1@")],
}  # fmt: skip


def feature_names(
    columns: ColumnPlan, channels: Sequence[str], compartments: Mapping[str, str]
) -> list[str]:
    """CellProfiler's names of the columns of X, each another.

    Parameters
    ----------
    columns : ColumnPlan
    channels : sequence of str
        Their names.
    compartments : mapping of str to str
        Of each mask set.
    """
    of = {**compartments, "raw": CROP}
    ahead = [of[s] for s in columns.mask_sets]
    names = [
        f"{compartment}_{measurement(family, *taken_apart(feature, family, channels))}"
        for compartment, family, feature in zip(
            ahead, columns.families, columns.features, strict=True
        )
    ]
    twice = Counter(names)
    for k, family in enumerate(columns.families):
        if twice[names[k]] > 1 and family in SCIP:
            tail = names[k].removeprefix(f"{ahead[k]}_").partition("_")[2]
            names[k] = f"{ahead[k]}_{SCIP[family]}_{tail}"
    # Two families of other packages may still mean the same name.
    twice = Counter(names)
    return [
        name if twice[name] == 1 else f"{compartment}_{old}"
        for name, compartment, old in zip(names, ahead, columns.names, strict=True)
    ]


def taken_apart(
    feature: Feature, family: str, channels: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """What a column measures, without the family and channels; and the channels, two at most."""
    statistic = feature.name.removeprefix(f"{PREFIXES.get(family, family)}_")
    statistic = statistic.removesuffix(f"_{feature.channel}")
    if feature.channel == "combined":
        return statistic, ()
    if feature.channel in channels:
        return statistic, (feature.channel,)
    pairs = ((a, b) for a in channels for b in channels)
    return statistic, next((p for p in pairs if "_".join(p) == feature.channel), ())


def measurement(family: str, statistic: str, channels: tuple[str, ...]) -> str:
    """Category, measurement and channels of a column."""
    category = CATEGORIES.get(family, camel(family))
    own = ""
    if family in ("intensity", "texture"):
        # CellProfiler measures in the whole object, as the combined mask is.
        own = "" if statistic.startswith("combined_") else "Own"
        statistic = statistic.removeprefix("combined_")
    extra = ""
    if statistic.startswith("largest_") and family == "shape":
        statistic, extra = statistic.removeprefix("largest_"), "Largest"
    found = camel(f"{statistic}_{own}") + "@"
    for pattern, template in RULES.get(family, ()):
        match = re.fullmatch(pattern, statistic)
        if match is None:
            continue
        if family == "intensity":
            background = "BackgroundCorrected" if match[1] else ""
            found = f"{template}{'Rim' if match[2] else ''}{background}{own}@"
        else:
            found = match.expand(template)
        break
    if found.startswith("/"):
        category, _, found = found[1:].partition("_")
        found = re.sub(r"_([xy])(?=@)", lambda m: f"_{m[1].upper()}", found)
    text = "".join(f"_{c}" for c in channels)
    reverse = "".join(f"_{c}" for c in reversed(channels))
    return f"{category}_{extra}{found.replace('@', text).replace('~', reverse)}"


def camel(text: str) -> str:
    """``glcm_mean_contrast_3`` as ``GlcmMeanContrast_3``: numbers stay apart."""
    found = ""
    for word in filter(None, re.split(r"[_-]", text)):
        apart = found and (word[:1].isdigit() or found[-1].isdigit())
        found += f"{'_' if apart else ''}{word[:1].upper()}{word[1:]}"
    return found


def obs_names(columns: Sequence[str], compartments: Mapping[str, str]) -> dict[str, str]:
    """What the columns of obs are called: measurements of a mask set's objects, else metadata."""
    found: dict[str, str] = {}
    taken = {IMAGE_NUMBER, OBJECT_NAME}
    for name in columns:
        bare = name.removeprefix("Metadata_")
        capital = bare[:1].upper() + bare[1:]
        candidates = [
            *_of_set(name, compartments),
            *(f"Metadata_{n}" for n in (WORDS.get(name, capital), capital, bare, f"Own_{bare}")),
        ]
        found[name] = next(c for c in candidates if c not in taken)
        taken.add(found[name])
    return found


def _of_set(name: str, compartments: Mapping[str, str]) -> Iterator[str]:
    for s, compartment in compartments.items():
        ahead = prefix(s)
        side = name.removeprefix(f"{ahead}bbox_")
        if side != name and side in BOX:
            yield f"{compartment}_AreaShape_{BOX[side]}"
        elif name.startswith(f"{ahead}regions_"):
            yield f"{compartment}_Number_Regions_{name.removeprefix(f'{ahead}regions_')}"
