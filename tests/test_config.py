from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from cells import CONFIG
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.config import Config, ConfigError, json_schema, parse_config, read_config
from scip_mpi.config import resolve_channels
from scip_mpi.errors import UserError

FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "scip.yml")
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    "name",
    [
        "jurkat_scip/scip.yml",
        "twelve_channel_scip/scip.yml",
        "scip_config_WBC.yml",
    ],
)
def test_scips_own_configs_are_valid_as_they_are(name: str, shared_dir: Path) -> None:
    config = read_config(shared_dir / "reference" / name)
    assert config.load.format == "zarr"
    assert config.mask is not None
    assert set(config.words()) == {"li", "otsu", "spot"}
    assert config.export.format == "parquet"


def test_scips_invalid_yaml_is_told_by_its_line(shared_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"BBBC021.yml:26: not valid YAML"):
        read_config(shared_dir / "reference" / "scip_config_BBBC021.yml")


def test_sections_that_are_not_there_yet_are_refused(shared_dir: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_config(shared_dir / "reference" / "scip_config_CD7.yml")
    text = str(raised.value)
    for section in ("project", "segment"):
        assert f": {section}: this program does not have this section yet" in text


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    text = CONFIG.replace("combined_indices", "combined_indexes")
    text = text.replace("{smooth: [1, 0.5, 1]}", "{smoth: [1, 0.5, 1]}")
    text = text.replace("format: parquet", "format: csv")
    told = problems(text)
    # Types are told first; what depends on them once they are right.
    assert told == [
        "scip.yml:6: mask.combined_indexes: unknown key; did you mean 'combined_indices'?",
        "scip.yml:14: export.format: expected 'parquet' or 'anndata', not 'csv'",
    ]
    text = text.replace("combined_indexes", "combined_indices").replace("csv", "parquet")
    told = problems(text.replace("method: otsu", "method: otzu"))
    assert any("mask.methods[0].kwargs.smooth: is missing: 'li' needs it" in t for t in told)
    assert any("mask.methods[0].kwargs.smoth: unknown setting of 'li'; did you mean 'smooth'?" in t
               for t in told)  # fmt: skip
    assert any("mask.methods[1].method: unknown mask method 'otzu'; did you mean 'otsu'?" in t
               for t in told)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channels: [0, 1, 2]", "channels: zero", "3: load.channels: expected a list, not 'zero'"),
        ("channels: [0, 1, 2]", "channels: [0, 1, -2]", "3: load.channels[2]: expected"),
        ("channels: [0, 1, 2]", "channels: [0, 1]", "load.channel_names: 3 names for 2 channels"),
        ("[BF, PI, SSC]", "[BF, PI, PI]", "4: load.channel_names: 'PI' is given twice"),
        ("[BF, PI, SSC]", "[BF, PI, 3]", "4: load.channel_names[2]: expected text, not 3"),
        ("format: multiframe_tiff", "format: multiframe", "did you mean 'multiframe_tiff'?"),
        ("format: multiframe_tiff", "formt: multiframe_tiff", "did you mean 'format'?"),
        ("indices: [0, 1]", "indices: [0, DNA]", "6: mask.combined_indices[1]: no channel 'DNA'"),
        ("indices: [0, 1]", "indices: [0, 3]", "3 is out of range: 3 channels, from 0"),
        ("main_channel_index: 0", "main_channel_index: 9", "mask.main_channel_index: 9 is out of"),
        ("name: otsu", "name: li", "10: mask.methods[1].name: 'li' is the name of another"),
        ("name: otsu", "name: raw", "'raw' cannot be the name of a mask set"),
        ("[1, 0.5, 1]", "[1, 0.5]", "mask.methods[0].kwargs.smooth: 2 values for 3 channels"),
        ("[1, 0.5, 1]", "wide", "mask.methods[0].kwargs.smooth: expected"),
        ("li: [shape, ", "li: [shapes, ", "unknown feature family 'shapes'; did you mean 'shape'?"),
        ("  li: [shape", "  lie: [shape", "feature_extraction.lie: no mask set of this name"),
        ("load:", "load:\n  format: zarr", "3: load.format: is given twice"),
        ("load:", "laod:", "1: laod: unknown key; did you mean 'load'?"),
        ("load:", "on_error: ignore\nload:", "1: on_error: expected 'skip' or 'abort'"),
        ("load:", "normalization: {lower: 0}\nload:", "does not have this section yet"),
        ("load:", "resources: {memory: lots}\nload:", "expected a size, such as 2 GiB"),
        ("load:", "resources: {device: gpu}\nload:", "resources.device: expected 'auto' or 'cpu'"),
        ("load:", "filter: {name: quantle}\nload:", "did you mean 'quantile'?"),
        ("load:", "filter: {name: mad, mask: spot}\nload:", "filter.mask: no mask set 'spot'"),
        ("load:", "filter: {name: quantile, lower: 3}\nload:", "quantiles lie between 0 and 1"),
        ("load:", "filter: {name: mad, lower: 3}\nload:", "unknown setting of 'mad'"),
        ("load:", "filter: {name: range, lower: 3, upper: 1}\nload:", "3.0 is above upper, 1.0"),
        ("load:", "filter: {name: mad, channel: DNA}\nload:", "filter.channel: no channel 'DNA'"),
    ],
)  # fmt: skip
def test_what_is_wrong_where_and_what_to_do(old: str, new: str, message: str) -> None:
    assert old in CONFIG
    told = problems(CONFIG.replace(old, new, 1))
    assert any(message in line for line in told), told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "scip.yml: is empty"),
        ("- a\n- b\n", "holds no sections"),
        ("load: [", "not valid YAML"),
        ("a: &a [*a]", "refers to itself"),
        ("load: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("feature_extraction: [shape]", "load: is missing"),
    ],
)
def test_text_that_is_no_config(text: str, message: str) -> None:
    assert any(message in line for line in problems(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.yml")
    (tmp_path / "latin.yml").write_bytes(b"load: {format: \xe9}")
    with pytest.raises(UserError, match="no UTF-8 text"):
        read_config(tmp_path / "latin.yml")


def test_mask_filters_and_their_settings() -> None:
    text = CONFIG.replace("  methods:", "  filters:\n    - {method: std, channel_indices: [0, PI], "
                          "settings: {threshold: 20}}\n  methods:")  # fmt: skip
    config = parse_config(text, "scip.yml")
    assert config.mask is not None
    assert config.mask.filters is not None
    assert config.mask.filters[0].channels(["BF", "PI", "SSC"]) == [0, 1]
    told = problems(text.replace("threshold: 20", "treshold: 20"))
    assert any("did you mean 'threshold'?" in t for t in told)
    assert any("is missing: 'std' needs it" in t for t in told)


def test_channels_by_name_are_channels_by_place() -> None:
    named = parse_config(CONFIG.replace("[0, 1]", "[BF, PI]") + FILTER, "x")
    names = ["BF", "PI", "SSC"]
    assert named.mask is not None
    assert named.mask.combined(names) == [0, 1]
    assert named.filter is not None
    assert named.filter.channel_index(names) == 1


def test_channels_that_only_the_images_can_tell() -> None:
    text = CONFIG.replace("  channels: [0, 1, 2]\n", "").replace(
        "  channel_names: [BF, PI, SSC]\n", ""
    )
    config = parse_config(text.replace("smooth: [1, 0.5, 1]", "smooth: 1"), "scip.yml")
    assert resolve_channels(config, 3) == ([0, 1, 2], ["CH0", "CH1", "CH2"])
    with pytest.raises(UserError, match=r"combined_indices"):
        resolve_channels(config, 1)
    with pytest.raises(UserError, match=r"load.channels: 2 is out of range: the first image has 2"):
        resolve_channels(parse_config(CONFIG, "x"), 2)


def test_the_fingerprint_part_leaves_out_what_changes_no_bit() -> None:
    plain = parse_config(CONFIG, "x").normalised()
    laid_out = CONFIG + "resources: {segmenters: 3, memory: 2 GiB}\n"
    assert parse_config(laid_out, "y").normalised() == plain
    assert parse_config(CONFIG.replace("[1, 0.5, 1]", "[1, 1, 1]"), "x").normalised() != plain


def test_sizes_of_memory() -> None:
    for text, size in (("2 GiB", 2**31), ("500MB", 5 * 10**8), ("1000", 1000), ("1.5 KiB", 1536)):
        config = parse_config(CONFIG + f"resources: {{memory: {text}}}\n", "x")
        assert config.resources.memory == size


def test_the_schema_names_every_section() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 20), st.floats(allow_nan=False), st.text(max_size=5),
    st.lists(st.integers(0, 3), max_size=3), st.dictionaries(st.text(max_size=3), st.integers()),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_mutation_is_accepted_or_told(data: st.DataObject) -> None:
    values = copy.deepcopy(yaml.safe_load(CONFIG + FILTER))
    for _ in range(data.draw(st.integers(1, 3))):
        node = values
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
                node = node[key]
                continue
            change = data.draw(st.sampled_from(["drop", "replace", "rename"]))
            if change == "replace" or isinstance(node, list):
                node[key] = data.draw(VALUES)
            else:
                old = node.pop(key)
                if change == "rename":
                    node[data.draw(st.text(max_size=6))] = old
            break
    try:
        parse_config(yaml.safe_dump(values), "scip.yml")
    except ConfigError as error:
        assert error.problems
        assert all(p.message for p in error.problems)
