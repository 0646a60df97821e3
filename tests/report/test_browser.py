"""The report in a real browser: no error, plots drawn, light and dark, wide and narrow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cells import copy_cells, jurkat_files, write_config
from PIL import Image

from scip_mpi.job import Request
from scip_mpi.parallel.world import Alone
from scip_mpi.preview.write import preview
from scip_mpi.run import run

FILTER = "filter: {name: mad, statistic: mean, channel: PI, n_mads: 2, by: group}\n"
PATIENCE = 120


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser; CI always has it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "no chromium: bash .ci/chromium installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def page(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    cells = copy_cells(jurkat_files(shared_dir, 40), folder / "cells")
    for k in range(3):
        (cells / "G1" / f"broken_{k}.tiff").write_bytes(b"no TIFF")
    config = write_config(folder / "scip.yml", FILTER)
    request = Request(config, [str(cells)], folder / "out", quiet=True, report=True)
    assert run(Alone(), request) == 0
    return folder / "out" / "report.html"


def browse(chromium: str, page: Path, folder: Path, *options: str) -> tuple[str, str]:
    """What the browser prints, and what it logs."""
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0",
        "--virtual-time-budget=4000", *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout, done.stderr


def errors(log: str) -> list[str]:
    """What the page's console got: nothing is written there on purpose."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


def test_it_opens_without_an_error_and_everything_is_drawn(
    chromium: str, page: Path, tmp_path: Path
) -> None:
    dom, log = browse(chromium, page, tmp_path, "--dump-dom")
    assert errors(log) == []
    for name in ("worries", "run", "found", "galleries", "map"):
        assert f'<section id="{name}"' in dom
    drawn = re.search(r'<canvas id="map-canvas"[^>]*data-drawn="(\d+)"', dom)
    assert drawn is not None
    assert int(drawn[1]) > 20
    # The legend is made by the script: a box for each of the seven groups.
    legend = re.search(r'<div id="legend">(.*?)</div>', dom, re.DOTALL)
    assert legend is not None
    assert legend[1].count('type="checkbox"') == 7
    assert dom.count('class="chart"') > 15


def test_a_console_error_would_be_seen(chromium: str, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text().replace("showMap(JSON", "showNoMap(JSON"))
    _, log = browse(chromium, bad, tmp_path, "--dump-dom")
    assert any("showNoMap" in line for line in errors(log))


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_light_or_dark_as_asked_and_no_wider_than_the_screen(
    width: int, dark: bool, chromium: str, page: Path, tmp_path: Path
) -> None:
    shown = tmp_path / "shown.html"
    told = (
        "<script>console.log('width ' + document.documentElement.scrollWidth + ' of ' + "
        "window.innerWidth)</script></body>"
    )
    shown.write_text(page.read_text().replace("</body>", told))
    picture = tmp_path / "page.png"
    options = [f"--window-size={width},900", f"--screenshot={picture}"]
    if dark:
        options.append("--blink-settings=preferredColorScheme=0")
    _, log = browse(chromium, shown, tmp_path, *options)
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (900, width)
    assert (np.median(pixels) < 60) if dark else (np.median(pixels) > 230)
    # Something is written on it.
    assert pixels.std() > 5
    sizes = re.search(r"width (\d+) of (\d+)", log)
    assert sizes is not None
    assert int(sizes[1]) <= int(sizes[2]) == width


def test_a_preview_opens_without_an_error(chromium: str, shared_dir: Path, tmp_path: Path) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 7), tmp_path / "cells")
    page = tmp_path / "preview.html"
    preview(write_config(tmp_path / "scip.yml", FILTER), [str(cells)], 7, page, quiet=True)
    dom, log = browse(chromium, page, tmp_path, "--dump-dom")
    assert errors(log) == []
    assert dom.count("<figure>") == 7
    assert '<option value="1">otsu</option>' in dom
