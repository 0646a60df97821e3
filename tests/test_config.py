"""A config is right as a whole, or everything that is wrong with it is said at once."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from cells import CONFIG
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scip_mpi.config import (
    Config,
    ConfigError,
    json_schema,
    parse_config,
    read_config,
    resolve_channels,
)
from scip_mpi.errors import UserError

NO_MASK = """\
load: {format: multiframe_tiff, channels: [0, 1], channel_names: [BF, PI]}
feature_extraction: [shape, intensity]
"""
FULL = """\
load:
  format: zarr
  channels: [0, 1, 2]
  channel_names: [BF, PI, SSC]
  kwargs: {regex: 'sample(?P<group>[0-9])'}
  paths: [images, more]
  dtype: uint16
  pixel_size: 0.5
  bit_depth: [12, 12, 10]
project:
illumination_correction:
segment:
mask:
  combined_indices: [BF, 2]
  main_channel_index: PI
  filters:
    - {method: std, channel_indices: [PI], settings: {threshold: 20}}
    - {method: normaltest, channel_indices: [0, 1], settings: }
  methods:
    - {method: li, name: li, export: false, kwargs: {smooth: [1, 0.5, 1]}}
    - {method: spot, name: dots, kwargs: {spotsize: 3}}
    - {method: otsu, name: otsu, kwargs: }
filter: {name: quantile, statistic: mean, channel: PI, mask: li, by: group, action: flag,
         lower: 0.05, upper: 0.95}
normalization:
feature_extraction:
  li: [shape, intensity, texture, bbox, regions, raw]
  dots: [shape]
  otsu: [intensity]
export: {format: parquet, filename: features}
resources: {segmenters: 1, memory: 2 GiB, scratch: /tmp, device: cpu, chunk_size: 8}
on_error: abort
"""


def problems(text: str) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "scip.yml")
    return [(p.key_path, p.line, p.message) for p in raised.value.problems]


def changed(old: str, new: str, text: str = FULL) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_everything_that_a_config_may_say() -> None:
    config = parse_config(FULL, "scip.yml")
    names = ["BF", "PI", "SSC"]
    assert config.mask is not None
    assert config.mask.filters is not None
    assert config.filter is not None
    assert config.mask.combined(names) == [0, 2]
    assert config.mask.main_channel(names) == 1
    assert [f.channels(names) for f in config.mask.filters] == [[1], [0, 1]]
    (looked_at,) = config.filter.measurements()
    assert (looked_at.statistic, looked_at.channel, looked_at.mask) == ("mean", "PI", "li")
    assert config.filter.settings() == {"lower": 0.05, "upper": 0.95}
    assert config.load.saturation_levels(3) == [4095, 4095, 1023]
    assert config.resources.memory == 2 * 2**30
    assert config.resources.stall_timeout == 1800
    assert config.resources.scratch == Path("/tmp")
    assert config.sets() == ["li", "dots", "otsu"]
    assert config.words()["dots"] == ["shape"]
    assert config.mask.methods[2].kwargs == {}
    assert config.notes() == []


def test_defaults_are_off() -> None:
    config = parse_config(NO_MASK, "scip.yml")
    assert config.mask is None
    assert config.filter is None
    assert config.sets() == [""]
    assert config.words() == {"": ["shape", "intensity"]}
    assert config.export.format == "anndata"
    assert config.on_error == "skip"
    assert config.resources.segmenters == 0
    assert config.load.saturation_levels(2) is None
    empty = "mask:\nfilter:\nexport:\nresources:\non_error:\nnormalization:\n"
    assert parse_config(NO_MASK + empty, "scip.yml") == config


def test_children_are_a_list_or_a_mapping() -> None:
    for told, found in (("[1]", (1,)), ("[PI, 0]", ("PI", 0)), ("{PI: {}}", {"PI": {}})):
        segment = f"segment: {{method: watershed, settings: {{children: {told}}}}}\n"
        config = parse_config(NO_MASK + segment, "scip.yml")
        assert config.segment is not None
        assert config.segment.settings.children == found
    wrong = "segment: {method: watershed, settings: {children: ['1', 1.5]}}\n"
    assert [path for path, _, _ in problems(NO_MASK + wrong)] == ["segment.settings.children[1]"]


def test_scips_own_filter_keeps_its_meaning() -> None:
    chosen = parse_config(NO_MASK + "filter: {name: threshold}\n", "scip.yml").filter
    assert chosen is not None
    assert (chosen.statistic, chosen.channel, chosen.mask) == ("sum", 0, None)
    assert (chosen.by, chosen.action, chosen.settings()) == (None, "drop", {})


@pytest.mark.parametrize(
    ("file", "channels", "sets"),
    [
        ("scip_config_WBC.yml", 12, ["spot", "li", "otsu"]),
        ("jurkat_scip/scip.yml", 3, ["li", "otsu", "spot"]),
        ("twelve_channel_scip/scip.yml", 12, ["spot", "li", "otsu"]),
    ],
)
def test_scips_published_configs_run_as_they_are(
    file: str, channels: int, sets: list[str], shared_dir: Path
) -> None:
    config = read_config(shared_dir / "reference" / file)
    assert resolve_channels(config, channels)[0] == list(range(channels))
    assert config.sets() == sets
    assert config.export.format == "parquet"


def test_what_scip_has_and_this_program_has_not_yet(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "scip_config_CD7.yml"
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    told = {p.key_path: p.message for p in raised.value.problems}
    known = "available: watershed, watershed_dapi, labels, threshold"
    assert told["segment.method"] == f"unknown segmentation method 'cellpose'; {known}"
    assert len(told) == 1


def test_a_published_config_that_is_not_yaml(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "scip_config_BBBC021.yml"
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    text = path.read_text().splitlines()
    (problem,) = raised.value.problems
    assert "left_index: 1" in text[problem.line - 1]
    assert str(raised.value).startswith(f"{path}:{problem.line}: not valid YAML, column ")


OTSU = "method: otsu, name: otsu, kwargs: "

# Each case: what is put in place of what; the problem's key path, how many lines below the
# change it stands, and its words.
WRONG = [
    ("{smooth: [1, 0.5, 1]}", "{smoth: 1, smooth: 1}", "mask.methods[0].kwargs.smoth", 0,
     "unknown key; did you mean 'smooth'?"),
    ("{smooth: [1, 0.5, 1]}", "{}", "mask.methods[0].kwargs.smooth", 0,
     "required key is missing"),
    ("[1, 0.5, 1]", "[1, a, 1]", "mask.methods[0].kwargs.smooth[1]", 0,
     "expected a number, found the text 'a'"),
    ("[1, 0.5, 1]", "much", "mask.methods[0].kwargs.smooth", 0,
     "expected a number or a list, found the text 'much'"),
    ("[1, 0.5, 1]", "[1, 1]", "mask.methods[0].kwargs.smooth", 0, "2 values for 3 channels"),
    ("[1, 0.5, 1]", "-1", "mask.methods[0].kwargs.smooth", 0, "must not be negative"),
    ("[1, 0.5, 1]", "1e3", "mask.methods[0].kwargs.smooth", 0, "write 1000.0"),
    ("[1, 0.5, 1]", ".nan", "mask.methods[0].kwargs.smooth", 0, ".nan is not a finite number"),
    ("spotsize: 3", "spotsize: 3.5", "mask.methods[1].kwargs.spotsize", 0,
     "expected a whole number, found 3.5"),
    ("spotsize: 3", "spotsize: 0", "mask.methods[1].kwargs", 0, "from 1 to 250"),
    ("otsu, kwargs: ", "otsu, kwargs: {size: 3}", "mask.methods[2].kwargs.size", 0,
     "unknown key; known here: none"),
    ("otsu, kwargs: ", "otsu, kwargs: [3]", "mask.methods[2].kwargs", 0,
     "expected a mapping (key: value), found a list"),
    ("method: otsu", "method: otzu", "mask.methods[2].method", 0,
     "unknown mask method 'otzu'; did you mean 'otsu'? Available: li, otsu, spot"),
    (OTSU, "method: threshold, name: otsu, kwargs: {method: fixed}", "mask.methods[2].kwargs", 0,
     "threshold: kwargs.value is missing"),
    (OTSU, "method: threshold, name: otsu, kwargs: {method: sauvola}",
     "mask.methods[2].kwargs.method", 0, "expected 'fixed', 'otsu'"),
    (OTSU, "method: threshold, name: otsu, kwargs: {method: fixed, value: [1, 2]}",
     "mask.methods[2].kwargs.value", 0, "2 values for 3 channels"),
    (OTSU, "method: file, name: otsu, kwargs: {companions: 3}",
     "mask.methods[2].kwargs.companions", 0, "unknown key; did you mean 'companion'?"),
    (OTSU, "method: file, name: otsu, kwargs: {values: []}", "mask.methods[2].kwargs", 0,
     "no pixel"),
    ("otsu, kwargs: ", "otsu, opening: -1, kwargs: ", "mask.methods[2].opening", 0, "at least 0"),
    ("otsu, kwargs: ", "otsu, min_size: 9, max_size: 8", "mask.methods[2].min_size", 0,
     "min_size (9) is above max_size (8)"),
    ("otsu, kwargs: ", "otsu, border: both, kwargs: ", "mask.methods[2].border", 0,
     "expected 'remove' or 'keep'"),
    ("name: dots", "name: li", "mask.methods[1].name", 0, "another mask set is called 'li' too"),
    ("name: otsu", "name: raw", "mask.methods[2].name", 0, "'raw' stands for the image"),
    ("name: otsu", "name: a/b", "mask.methods[2].name", 0, "must hold no /"),
    ("name: otsu", "name: no", "mask.methods[2].name", 0,
     "expected text, found false: YAML reads yes, no, on and off as true or false"),
    ("export: false", "export: true", "mask.methods[0].export", 0, "not exported yet"),
    ("threshold: 20", "threshold: x", "mask.filters[0].settings.threshold", 0,
     "expected a number, found the text 'x'"),
    ("settings: {threshold: 20}", "settings: ", "mask.filters[0].settings.threshold", 0,
     "required key is missing"),
    ("channel_indices: [0, 1]", "channel_indices: [0, 3]", "mask.filters[1].channel_indices[1]",
     0, "no channel 3: the channels are 0 to 2 (BF, PI, SSC)"),
    ("method: std", "method: sd", "mask.filters[0].method", 0, "did you mean 'std'?"),
    ("[BF, 2]", "[BF, 7]", "mask.combined_indices[1]", 0, "no channel 7"),
    ("[BF, 2]", "[BF, -2]", "mask.combined_indices[1]", 0, "must be at least 0, found -2"),
    ("[BF, 2]", "[]", "mask.combined_indices", 0, "must not be empty"),
    ("main_channel_index: PI", "main_channel_index: P", "mask.main_channel_index", 0,
     "no channel is called 'P'; did you mean 'PI'? The channels are BF, PI, SSC"),
    ("main_channel_index: PI", "main_channel_index: [1]", "mask.main_channel_index", 0,
     "expected a whole number or text, found a list"),
    ("combined_indices: [BF, 2]", "combined_indexes: [0]", "mask.combined_indexes", 0,
     "unknown key; did you mean 'combined_indices'?"),
    ("format: zarr", "format: zar", "load.format", 0, "unknown format 'zar'; did you mean 'zarr'?"),
    ("format: zarr", "fromat: zarr", "load.fromat", 0, "unknown key; did you mean 'format'?"),
    ("channels: [0, 1, 2]", "channels: zero", "load.channels", 0,
     "expected a list, found the text 'zero'"),
    ("channels: [0, 1, 2]", "channels: [0, 1, 1]", "load.channels", 0, "1 is listed 2 times"),
    ("channels: [0, 1, 2]", "channels: [0, 1, 010]", "load.channels[2]", 0, "YAML reads 010 as 8"),
    ("channels: [0, 1, 2]", "channels: [0, 1, 1:30]", "load.channels[2]", 0, "as 90"),
    ("[BF, PI, SSC]", "[BF, PI]", "load.channel_names", 0,
     "2 names for 3 channels in load.channels"),
    ("[BF, PI, SSC]", "[BF, PI, PI]", "load.channel_names", 0, "'PI' is listed 2 times"),
    ("[BF, PI, SSC]", "[BF, PI, 488]", "load.channel_names[2]", 0,
     "expected text, found 488; put it in quotes"),
    ("[BF, PI, SSC]", "[BF, PI, combined]", "load.channel_names[2]", 0, "combined mask"),
    ("[BF, PI, SSC]", "[BF, PI, ' ']", "load.channel_names[2]", 0, "without spaces"),
    ("{regex: 'sample(?P<group>[0-9])'}", "{regx: a}", "load.kwargs.regx", 0, "'regex'"),
    ("{regex: 'sample(?P<group>[0-9])'}", "{regex: 3}", "load.kwargs.regex", 0,
     "expected text, found 3"),
    ("dtype: uint16", "dtype: uint12", "load.dtype", 0, "did you mean 'uint"),
    ("pixel_size: 0.5", "pixel_size: 0", "load.pixel_size", 0, "must be greater than 0"),
    ("pixel_size: 0.5", "pixel_size: '0.5'", "load.pixel_size", 0, "write 0.5"),
    ("[12, 12, 10]", "[12, 12]", "load.bit_depth", 0, "2 values for 3 channels"),
    ("[12, 12, 10]", "80", "load.bit_depth", 0, "must be at most 64, found 80"),
    ("[12, 12, 10]", "12\n  saturation: 4000", "load", -8, "give one of them"),
    ("project:", "project: {method: op, settings: {op: max}}", "project", 0,
     "images of format zarr have no planes in z"),
    ("normalization:", "normalization: {lower: 1, upper: 0.5}", "normalization", 0,
     "lower (1.0) must be below upper (0.5)"),
    ("normalization:", "normalization: {lower: -1}", "normalization.lower", 0, "at least 0"),
    ("normalization:", "compensation: {}", "compensation.matrix", 0, "required key is missing"),
    ("normalization:", "background: rings", "background", 0, "'ring'"),
    ("normalization:", "background: {GFP: ring}", "background.GFP", 0, "no channel is called"),
    ("normalization:", "gating: {mask: lo}", "gating.mask", 0, "the mask sets are li"),
    ("normalization:", "gating: {channels: [7]}", "gating.channels[0]", 0, "no channel 7"),
    ("segment:", "segment: {method: watershet}", "segment.method", 0, "did you mean"),
    ("segment:", "segment: {method: watershed, settings: {cell_diametre: 9}}",
     "segment.settings.cell_diametre", 0, "did you mean 'cell_diameter'?"),
    ("segment:", "segment: {method: watershed, settings: {parent_channel_index: DAPI}}",
     "segment.settings.parent_channel_index", 0, "no channel is called 'DAPI'"),
    ("segment:", "segment: {method: watershed, settings: {children: {'9': {}}}}",
     "segment.settings.children.9", 0, "no channel 9"),
    ("segment:", "segment: {method: watershed, settings: {min_size: 9, max_size: 3}}",
     "segment.settings.min_size", 0, "above max_size"),
    ("segment:", "segment: {method: watershed, settings: {threshold: lee}}",
     "segment.settings.threshold", 0, "'li'"),
    ("name: quantile", "name: quantil", "filter.name", 0, "did you mean 'quantile'?"),
    ("statistic: mean", "statistic: median", "filter.statistic", 0, "expected 'sum', 'mean'"),
    ("channel: PI, ", "channel: 3, ", "filter.channel", 0, "no channel 3"),
    ("mask: li,", "mask: dot,", "filter.mask", 0,
     "no mask set is called 'dot'; did you mean 'dots'? The mask sets are li, dots, otsu"),
    ("by: group", "by: plate", "filter.by", 0, "expected 'group'"),
    ("action: flag", "action: delete", "filter.action", 0, "expected 'drop' or 'flag'"),
    ("action: flag", "actoin: flag", "filter.actoin", 0, "did you mean 'action'?"),
    ("lower: 0.05", "n_mads: 3", "filter.n_mads", 0, "unknown key"),
    ("lower: 0.05", "lower: 1.5", "filter.lower", 0, "above upper"),
    ("upper: 0.95", "upper: 95", "filter.upper", 0, "between 0 and 1, found 95"),
    ("  dots: [shape]", "  dot: [shape]", "feature_extraction.dot", 0, "did you mean 'dots'?"),
    ("dots: [shape]", "dots: [shapes]", "feature_extraction.dots[0]", 0,
     "unknown feature family 'shapes'; did you mean 'shape'? Available: shape, intensity"),
    ("dots: [shape]", "dots: [shape, shape]", "feature_extraction.dots", 0, "2 times"),
    ("dots: [shape]", "dots: shape", "feature_extraction.dots", 0,
     "expected a list, found the text 'shape'"),
    ("format: parquet", "format: csv", "export.format", 0,
     "expected 'parquet' or 'anndata', found the text 'csv'"),
    ("filename: features", "filename: ../x", "export.filename", 0, "without folders"),
    ("segmenters: 1", "segmenters: -1", "resources.segmenters", 0, "must be at least 0"),
    ("memory: 2 GiB", "memory: 2 GiBi", "resources.memory", 0, "expected a size such as 2 GiB"),
    ("memory: 2 GiB", "memory: 0", "resources.memory", 0, "at least a byte"),
    ("memory: 2 GiB", "memory: true", "resources.memory", 0, "expected a size"),
    ("device: cpu", "device: cqu", "resources.device", 0, "did you mean 'cpu'?"),
    ("chunk_size: 8", "chunk_size: 0", "resources.chunk_size", 0, "must be at least 1"),
    ("chunk_size: 8", "stall_timeout: 0", "resources.stall_timeout", 0, "greater than 0"),
    ("on_error: abort", "on_error: stop", "on_error", 0, "expected 'skip' or 'abort'"),
    ("on_error: abort", "on_errors:", "on_errors", 0, "did you mean 'on_error'?"),
    ("on_error: abort", "on_error: abort\ntypes:", "types", 1, "unknown key; known here: load"),
    ("on_error: abort", "on_error: abort\non_error: skip", "on_error", 1,
     "given twice: also in line 32"),
    ("on_error: abort", "1: abort", "", 0, "a key must be text: put 1 in quotes"),
    ("on_error: abort", "on_error: !!binary aa", "on_error", 0, "the YAML tag !!binary"),
    ("on_error: abort", "on_error: !!int aa", "on_error", 0, "'aa' cannot be read as !!int"),
    ("on_error: abort", "on_error: &a [*a]", "on_error[0]", 0, "an alias that holds itself"),
    ("on_error: abort", 'on_error: "\\ud800"', "on_error", 0, "not valid text"),
    ("on_error: abort", "on_error: {<<: 3}", "on_error", 0, "<< needs a mapping"),
    ("on_error: abort", "? [a]\n: b", "", 0, "a key must be text, not a list"),
    ("on_error: abort", "\ton_error: abort", "", 0, "indent with spaces, not tabs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "key_path", "below", "words"), WRONG, ids=[f"{w[2]}-{w[1]}" for w in WRONG]
)
def test_what_may_be_wrong(old: str, new: str, key_path: str, below: int, words: str) -> None:
    found = problems(changed(old, new))
    line = FULL[: FULL.index(old)].count("\n") + 1 + below
    said = [message for path, at, message in found if path == key_path and at == line]
    assert any(words in message for message in said), found
    # Nothing else but what follows from it: a name gone missing, or a key that is missing now.
    follows = {"load.format", "mask.methods[1].kwargs.spotsize", "filter.mask"}
    follows |= {f"feature_extraction.{s}" for s in ("dots", "otsu")}
    follows |= {"load.channel_names", "mask.combined_indices[1]"}
    assert {path for path, _, _ in found} - {key_path} <= follows, found


@pytest.mark.parametrize(
    ("text", "key_path", "words"),
    [
        ("", "", "found an empty file"),
        ("# only a comment\n", "", "found an empty file"),
        ("- load\n", "", "found a list"),
        ("load\n", "", "found the text 'load'"),
        ("feature_extraction: [shape]\n", "load", "required key is missing"),
        ("load:\nfeature_extraction: [shape]\n", "load", "required key is missing"),
        ("a: 1\n---\nb: 2\n", "", "expected a single document"),
        ("a: \x00\n", "", "not valid YAML"),
        ("a: [\n", "", "not valid YAML"),
        ("a: " + "[" * 60 + "]" * 60, "a" + "[0]" * 50, "nested too deeply"),
        ("[" * 5000, "", "nested too deeply"),
        ("a: " + "9" * 5000, "a", "cannot be read as !!int"),
        ("a: 2020-13-45\n", "a", "unknown key"),
        (changed("[shape, intensity]", "[]", NO_MASK), "feature_extraction", "no feature is asked"),
        (changed("[shape, intensity]", "[bbox]", NO_MASK), "feature_extraction", "no feature"),
        (changed("[shape, intensity]", "{li: [shape]}", NO_MASK), "feature_extraction",
         "give a plain list of features"),
        (CONFIG.split("feature_extraction")[0] + "feature_extraction: [shape]\n",
         "feature_extraction", "{li: [shape, ...], otsu: [shape, ...]}"),
        (NO_MASK + "filter: {name: mad, mask: li}\n", "filter.mask", "there are no mask sets"),
        (NO_MASK + "filter: {name: mad, n_mads: -1}\n", "filter.n_mads", "greater than 0"),
        (NO_MASK + "filter: {name: [mad]}\n", "filter.name", "expected text, found a list"),
        (NO_MASK + "mask: {methods: []}\n", "mask.methods", "must not be empty"),
        (NO_MASK + "mask: 3\n", "mask", "expected a mapping (key: value), found 3"),
    ],
)  # fmt: skip
def test_whole_texts_that_are_wrong(text: str, key_path: str, words: str) -> None:
    found = problems(text)
    assert any(path == key_path and words in message for path, _, message in found), found


def test_every_problem_is_said_at_once_in_the_order_of_the_file() -> None:
    text = FULL
    mistakes = [
        ("format: zarr", "format: zar"),
        ("main_channel_index: PI", "main_channel_index: 9"),
        ("{smooth: [1, 0.5, 1]}", "{smoth: 1}"),
        ("spotsize: 3", "spotsize: big"),
        ("statistic: mean", "statistic: men"),
        ("mask: li,", "mask: lu,"),
        ("dots: [shape]", "dots: [shap]"),
        ("on_error: abort", "on_eror: abort"),
    ]
    for old, new in mistakes:
        text = changed(old, new, text)
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "scip.yml")
    lines = str(raised.value).splitlines()
    assert lines[0] == "the config has 9 problems"
    assert lines[1].startswith("  scip.yml:2: load.format: unknown format 'zar'")
    assert [p.key_path for p in raised.value.problems] == [
        "load.format",
        "mask.main_channel_index",
        "mask.methods[0].kwargs.smoth",
        "mask.methods[0].kwargs.smooth",
        "mask.methods[1].kwargs.spotsize",
        "filter.statistic",
        "filter.mask",
        "feature_extraction.dots[0]",
        "on_eror",
    ]
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value)
    assert again.problems == raised.value.problems


def test_one_problem_is_one_line() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(changed("{smooth: [1, 0.5, 1]}", "{smooth: 1, smoth: 1}"), "a/scip.yml")
    assert str(raised.value) == (
        "a/scip.yml:20: mask.methods[0].kwargs.smoth: unknown key; did you mean 'smooth'?"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yml"
    latin.write_bytes("load:\n  format: zarr # grün\n".encode("latin-1"))
    cases = [
        (tmp_path / "none.yml", "none.yml: cannot be read: no such file"),
        (tmp_path, "cannot be read: is a directory"),
        (latin, "latin.yml:2: is not UTF-8 text: byte 0xfc"),
    ]
    for path, words in cases:
        with pytest.raises(ConfigError) as raised:
            read_config(path)
        assert words in str(raised.value)
    marked = tmp_path / "marked.yml"
    marked.write_bytes(b"\xef\xbb\xbf" + NO_MASK.encode())
    assert read_config(str(marked)) == parse_config(NO_MASK, "scip.yml")


def test_anchors_and_merge_keys() -> None:
    text = """\
load: &load {format: multiframe_tiff, channels: [0, 1], channel_names: [BF, PI]}
mask:
  methods:
    - &first {method: li, name: a, kwargs: {smooth: 1}}
    - {<<: *first, name: b}
    - {name: c, <<: [{method: spot}, *first], kwargs: {spotsize: 3}}
feature_extraction:
  a: &words [shape]
  b: *words
  c: *words
"""
    config = parse_config(text, "scip.yml")
    assert config.mask is not None
    assert [(m.method, m.name) for m in config.mask.methods] == [
        ("li", "a"),
        ("li", "b"),
        ("spot", "c"),
    ]
    found = problems(changed("spotsize: 3", "spotsiz: 3", text))
    assert ("mask.methods[2].kwargs.spotsiz", 6, "unknown key; did you mean 'spotsize'?") in found


def test_aliases_of_aliases_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert any("too large" in message for _, _, message in problems("\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("'1000'", 1000),
        ("2 GiB", 2**31),
        ("1.5G", 3 * 2**29),
        ("500 MB", 500_000_000),
        ("64kib", 65536),
        ("3 b", 3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_config(NO_MASK + f"resources: {{memory: {text}}}", "").resources.memory == size


def test_a_set_without_features_is_noted() -> None:
    text = changed("  otsu: [shape, intensity, bbox, texture, regions]\n", "", CONFIG)
    assert parse_config(text, "").notes() == [
        "mask set 'otsu' has no features in feature_extraction"
    ]


def test_a_config_cannot_be_changed_and_travels() -> None:
    config = parse_config(FULL, "scip.yml")
    with pytest.raises(ValueError, match="frozen"):
        config.on_error = "skip"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        config.load.format = "x"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


def test_the_normalised_form_leaves_out_what_changes_no_result() -> None:
    first = parse_config(FULL, "scip.yml").normalised()
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    text = changed("segmenters: 1", "segmenters: 4")
    text = changed("paths: [images, more]", "paths: [elsewhere]", text)
    text = changed("on_error: abort", "on_error:   abort   # and a comment", text)
    assert parse_config(text, "other.yml").normalised() == first
    for old, new in [
        ("smooth: [1, 0.5, 1]", "smooth: [1, 0.5, 2]"),
        ("lower: 0.05", "lower: 0.06"),
        ("main_channel_index: PI", "main_channel_index: BF"),
        ("dots: [shape]", "dots: [intensity]"),
    ]:
        assert parse_config(changed(old, new), "scip.yml").normalised() != first
    bare = parse_config(NO_MASK, "").normalised()
    assert parse_config(NO_MASK + "on_error: skip\nmask:\n", "").normalised() == bare


def bare(load: str, rest: str = "feature_extraction: [shape]\n") -> Config:
    return parse_config(f"load: {{format: zarr{load}}}\n{rest}", "scip.yml")


def test_channels_are_resolved_once_the_images_are_known() -> None:
    assert resolve_channels(bare(""), 3) == ([0, 1, 2], ["CH0", "CH1", "CH2"])
    assert resolve_channels(bare(", channels: [4, 2]"), 6) == ([4, 2], ["CH4", "CH2"])
    assert resolve_channels(bare(", channel_names: [A, B]"), 2) == ([0, 1], ["A", "B"])


@pytest.mark.parametrize(
    ("load", "rest", "words"),
    [
        (", channels: [0, 3]", "feature_extraction: [shape]\n", "load.channels: no channel 3"),
        (", channel_names: [A]", "feature_extraction: [shape]\n",
         "load.channel_names: 1 names for the images' 3 channels"),
        (", bit_depth: [8, 8]", "feature_extraction: [shape]\n", "load.bit_depth: 2 values"),
        ("", "feature_extraction: [shape]\nfilter: {name: mad, channel: DNA}\n",
         "filter.channel: no channel is called 'DNA'"),
        ("", "mask: {methods: [{method: li, name: li, kwargs: {smooth: [1, 1]}}], "
         "main_channel_index: 5}\nfeature_extraction: {li: [shape]}\n",
         "mask.main_channel_index: no channel 5"),
        ("", "mask: {methods: [{method: li, name: li, kwargs: {smooth: [1, 1]}}]}\n"
         "feature_extraction: {li: [shape]}\n", "kwargs.smooth: 2 values for 3 channels"),
    ],
)  # fmt: skip
def test_channels_that_the_images_do_not_have(load: str, rest: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve_channels(bare(load, rest), 3)
    assert words in str(raised.value)


def test_the_json_schema_is_one() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["load"]
    for name, section in schema["properties"].items():
        empty = section.get("type") == "null" or {"type": "null"} in section.get("anyOf", [])
        assert empty == (name != "load")


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key path of plain data."""
    inside = data.items() if isinstance(data, dict) else []
    inside = enumerate(data) if isinstance(data, list) else inside
    return [p for key, value in inside for p in [(*path, key), *places(value, (*path, key))]]


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["li", "otsu", "BF", "shape", "zarr", "os:sep", "a.b:c", "x:y", "2 GiB"]),
    st.lists(st.one_of(st.integers(-1, 4), st.text(max_size=3), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(-2, 4), max_size=3),
)
ALL_PLACES = places(yaml.safe_load(FULL))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ALL_PLACES), st.sampled_from(["delete", "retype", "rename"]), ODD
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_change_is_accepted_or_explained(changes: list[tuple[Any, str, Any]]) -> None:
    data = copy.deepcopy(yaml.safe_load(FULL))
    for path, action, value in changes:
        parent = data
        for key in path[:-1]:
            inside = isinstance(parent, dict) and key in parent
            inside = inside or (isinstance(parent, list) and key in range(len(parent)))
            parent = parent[key] if inside else None
        key = path[-1]
        if isinstance(parent, list) and key in range(len(parent)):
            if action == "delete":
                del parent[key]
            else:
                parent[key] = value
        elif isinstance(parent, dict) and key in parent:
            old = parent.pop(key)
            if action == "retype":
                parent[key] = value
            elif action == "rename" and not isinstance(value, list | dict):
                parent[value] = old
    text = yaml.safe_dump(data, sort_keys=False)
    try:
        config = parse_config(text, "scip.yml")
    except ConfigError as wrong:
        error: ConfigError | None = wrong
    else:
        error = None
    if error is not None:
        assert error.problems
        assert all(p.message for p in error.problems)
        return
    # What is accepted can be used.
    json.dumps(config.normalised(), allow_nan=False)
    given = list(config.load.channel_names or ())
    names = given or [f"CH{i}" for i in range(100)]
    if config.mask is not None:
        try:
            config.mask.combined(names)
            config.mask.main_channel(names)
        except UserError:
            # The images alone can tell what their channels are called.
            assert not given
    if config.filter is not None:
        assert all(rule.measurements() for rule in config.filter.leaves())


@pytest.mark.parametrize(
    ("chosen", "where", "message"),
    [
        ("{all: [{name: mad, by: group}, {statistic: sum}]}", "all[1]", "one of name, all, any"),
        ("{all: [{name: mad}], any: [{name: mad}]}", "", "found all and any"),
        ("{all: []}", "all", "must not be empty"),
        ("{any: [{name: mad, mask: lo}]}", "any[0].mask", "no mask set is called 'lo'"),
        ("{any: [{name: mad, action: drop}]}", "any[0].action", "stands once"),
        ("{any: [{all: [{name: mat}]}]}", "any[0].all[0].name", "did you mean 'mad'?"),
        ("{any: [{name: mad}], n_mads: 2}", "n_mads", "unknown key"),
        ("{name: polygon, points: [[0, 1]]}", "", "needs x and y"),
        ("{name: polygon, x: {}, y: {statistic: aria}, points: []}", "y.statistic", "'area'"),
    ],
)
def test_what_may_be_wrong_with_a_filter(chosen: str, where: str, message: str) -> None:
    found = problems(f"{NO_MASK}filter: {chosen}\n")
    at = f"filter.{where}".rstrip(".")
    assert any(path == at and message in text for path, _, text in found), found


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="a:-[]{}&*!|>'\"\n \t#,?<0.1e", max_size=40)))
def test_any_text_is_explained(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "scip.yml")
    assert str(raised.value).strip()


def test_all_channels_may_be_said(tmp_path: Path) -> None:
    text = "load: {format: multiframe_tiff, channels: %s}\nfeature_extraction: [raw]\n"
    path = tmp_path / "scip.yml"
    path.write_text(text % "all")
    config = read_config(path)
    path.write_text(text % "null")
    assert config.normalised() == read_config(path).normalised()
    assert resolve_channels(config, 3) == ([0, 1, 2], ["CH0", "CH1", "CH2"])
    path.write_text(text % "everything")
    with pytest.raises(ConfigError, match=r"load\.channels"):
        read_config(path)
