"""The site: its config reference is the newest, and its examples of configs are configs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch import blocks

from scip_mpi.config import parse_config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from config_reference import reference

ROOT = Path(__file__).resolve().parents[2]
# Run by test_extending.py, with the package that they need.
EXTENDING = ("brightest", "method: above")


def test_the_config_reference_is_the_newest() -> None:
    stands = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert reference() == stands, "docs/config.md is stale: make reference"


def test_every_key_is_described() -> None:
    keys, _ = reference().split("## Loaders")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", keys, flags=re.M)
    assert len(rows) > 80
    assert [key for key, about in rows if not about.endswith(".")] == []


@pytest.mark.parametrize(
    "text", [b for b in blocks("yaml") if not any(word in b for word in EXTENDING)]
)
def test_examples_of_configs_are_configs(text: str) -> None:
    given = yaml.safe_load(text)
    assert given
    whole: dict[str, Any] = {
        "load": {"format": "tiff", "channel_names": ["BF", "DNA", "SSC", "ER"]},
        "feature_extraction": ["raw"],
    }
    words = given.get("feature_extraction")
    if "mask" not in given and isinstance(words, dict):
        whole["mask"] = {"methods": [{"method": "otsu", "name": name} for name in words]}
    if "segment" not in given and "neighbors" in str(words):
        whole["segment"] = {"method": "watershed"}
    parse_config(yaml.safe_dump(whole | given, sort_keys=False), "example")


def test_pages_name_files_that_are_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = [
        (p, x) for p in pages for x in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", p.read_text())
    ]
    assert len(links) > 40
    assert [(p.name, x) for p, x in links if not (p.parent / x).exists()] == []
    included = [x for p in pages for x in re.findall(r'^--8<-- "([^":]+)', p.read_text(), re.M)]
    assert len(included) > 8
    assert [x for x in included if not (ROOT / x).is_file()] == []
