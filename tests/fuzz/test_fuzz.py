"""Damaged files, a few of each kind: `make fuzz N=2000` tries more."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.campaign import attack
from fuzz.corpus import TARGETS

CASES = 60


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_images_failures_or_a_refusal(
    name: str, shared_dir: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    TARGETS[name].build(shared_dir, whole)
    outcome = attack(name, whole, 0, CASES, tmp_path)
    assert outcome.escapes == []
    assert outcome.endings.total() == CASES
    # Cases that all end alike would try nothing.
    assert len(outcome.endings) > 1
