"""Charts as SVG: text, lines and hatching tell things apart, colours only help.

Colours are the page's style sheet's, so that a chart suits light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from scip_mpi.batches import FloatArray
from scip_mpi.report.timing import KINDS, Timeline

# Width of a chart, as wide as a phone; the height of a row of boxes, and room for its name.
WIDTH = 340
ROW = 18
NAME = 96
# Quantiles of a box: ends of the line, of the box, and the median.
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
# Characters of a name in a chart.
LETTERS = 15


def histogram(
    title: str,
    edges: FloatArray,
    kept: FloatArray,
    discarded: FloatArray | None = None,
    bounds: Sequence[float] = (),
    unit: str = "cells",
) -> str:
    """Bars, those of what was discarded hatched on top, and dashed lines at the bounds.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
    kept, discarded : ndarray, shape (n,)
    """
    height, bottom, left, right = 168, 24, 44, 8
    gone = np.zeros(len(kept)) if discarded is None else discarded
    top = float((kept + gone).max(initial=0)) or 1.0
    low, high = float(edges[0]), float(edges[-1])
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (value - low) / span

    def y(value: float) -> float:
        return height - bottom - (height - bottom - 48) * value / top

    parts = []
    for k, (n, g) in enumerate(zip(kept.tolist(), gone.tolist(), strict=True)):
        x0, x1 = x(float(edges[k])), x(float(edges[k + 1]))
        tip = f"<title>{number(edges[k])} to {number(edges[k + 1])}: {round(n):,} kept"
        tip += f", {round(g):,} discarded</title>" if discarded is not None else "</title>"
        for kind, lo, hi in (("kept", 0.0, n), ("gone", n, n + g)):
            if hi > lo:
                wide, tall = max(x1 - x0 - 0.5, 0.5), y(lo) - y(hi)
                parts.append(
                    f'<rect class="{kind}" x="{x0:.1f}" y="{y(hi):.1f}" width="{wide:.1f}" '
                    f'height="{tall:.1f}">{tip}</rect>'
                )
    for k, bound in enumerate(b for b in bounds if low <= b <= high):
        at = x(bound)
        anchor = "end" if at > WIDTH * 0.6 else "start"
        parts.append(
            f'<line class="bound" x1="{at:.1f}" x2="{at:.1f}" y1="18" y2="{height - bottom}"/>'
            f'<text x="{at + (-3 if anchor == "end" else 3):.1f}" y="{28 + 12 * (k % 2)}" '
            f'text-anchor="{anchor}">{number(bound)}</text>'
        )
    ticks = _ticks(x, (low, (low + high) / 2, high), height - 8, number)
    axis = (
        f'<line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{height - bottom}" '
        f'y2="{height - bottom}"/><text x="{left - 4}" y="{y(top) + 8:.1f}" text-anchor="end">'
        f'{number(top)}</text><text x="{left - 4}" y="{height - bottom}" text-anchor="end">0</text>'
    )
    told = f"{title}: histogram of {unit} from {number(low)} to {number(high)}"
    return _svg(title, told, WIDTH, height, axis + ticks + "".join(parts))


def boxes(title: str, rows: Sequence[tuple[str, FloatArray]], unit: str = "") -> str:
    """A box from quartile to quartile per row, its median, and a line between 1 % and 99 %.

    Parameters
    ----------
    rows : sequence of (str, ndarray)
        Names and values, those finite.
    """
    told = [(n, np.quantile(v, QUANTILES) if len(v) else None, len(v)) for n, v in rows]
    ends = [q for _, q, _ in told if q is not None]
    low = min((float(q[0]) for q in ends), default=0.0)
    high = max((float(q[-1]) for q in ends), default=1.0)
    span = (high - low) or 1.0
    top, right = 22, 8

    def x(value: float) -> float:
        return NAME + (WIDTH - NAME - right) * (value - low) / span

    parts = []
    for k, (name, q, n) in enumerate(told):
        middle = top + ROW * (k + 0.5)
        tip = f"<title>{escape(name)}: {n:,} cells</title>"
        if q is not None:
            a, b, m, c, d = (x(float(v)) for v in q)
            tip = (
                f"<title>{escape(name)}: median {number(q[2])}, quartiles {number(q[1])} and "
                f"{number(q[3])}, {n:,} cells</title>"
            )
            parts.append(
                f'<g>{tip}<line class="axis" x1="{a:.1f}" x2="{d:.1f}" y1="{middle}" '
                f'y2="{middle}"/><rect class="box" x="{b:.1f}" y="{middle - 5}" '
                f'width="{max(c - b, 1):.1f}" height="10"/>'
                f'<line class="median" x1="{m:.1f}" x2="{m:.1f}" y1="{middle - 6}" '
                f'y2="{middle + 6}"/></g>'
            )
        parts.append(
            f'<text x="{NAME - 6}" y="{middle + 4}" text-anchor="end">{tip}{escape(short(name))}'
            "</text>"
        )
    height = top + ROW * len(told) + 22
    ticks = _ticks(x, (low, (low + high) / 2, high), height - 8, number)
    told_text = f"{title}{', ' + unit if unit else ''}: a box for each of {len(told)} groups"
    return _svg(title, told_text, WIDTH, height, "".join(parts) + ticks)


def drift(title: str, quartiles: FloatArray) -> str:
    """The median along the rows of the table, between its quartiles.

    Parameters
    ----------
    quartiles : ndarray, shape (3, n)
        Lower quartile, median and upper quartile of n stretches; NaN where there is none.
    """
    height, left, right, top, bottom = 90, 44, 8, 22, 18
    known = np.asarray(np.isfinite(quartiles).all(axis=0))
    q = quartiles[:, known]
    if q.shape[1] < 2:
        return ""
    low, high = float(q.min()), float(q.max())
    span = (high - low) or 1.0
    xs = left + (WIDTH - left - right) * np.flatnonzero(known) / max(len(known) - 1, 1)
    ys = height - bottom - (height - bottom - top) * (q - low) / span

    def path(x: FloatArray, y: FloatArray) -> str:
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))

    band = f"M{path(xs, ys[0])}L{path(xs[::-1], ys[2][::-1])}Z"
    body = (
        f'<path class="band" d="{band}"/><path class="line" d="M{path(xs, ys[1])}"/>'
        f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{number(high)}</text>'
        f'<text x="{left - 4}" y="{height - bottom}" text-anchor="end">{number(low)}</text>'
        f'<text x="{left}" y="{height - 4}">first row</text>'
        f'<text x="{WIDTH - right}" y="{height - 4}" text-anchor="end">last row</text>'
    )
    return _svg(title, f"{title}: median and quartiles along the table", WIDTH, height, body)


def timeline(lines: Sequence[Timeline]) -> str:
    """A band per rank, in each moment as much of it filled as there was to do of each kind."""
    width, left, right, bottom = 720, 64, 8, 24
    band = 26 if len(lines) <= 16 else 12
    end = max((t.start + t.width * len(t.shares["busy"]) for t in lines), default=1.0) or 1.0

    def x(seconds: float) -> float:
        return left + (width - left - right) * seconds / end

    parts = []
    for k, own in enumerate(lines):
        floor = 4 + band * (k + 1) - 2
        parts.append(
            f'<text x="{left - 6}" y="{floor - band / 2 + 5:.1f}" text-anchor="end">'
            f"{'rank ' if band > 20 else ''}{own.rank}</text>"
        )
        below = np.zeros(len(own.shares["busy"]))
        for kind in KINDS:
            above = np.minimum(below + own.shares[kind], 1.0)
            if (above > below).any():
                d = _band(x, own, below, above, floor, band - 4)
                parts.append(f'<path class="{kind}" d="{d}"/>')
            below = above
    height = 4 + band * len(lines) + bottom
    ticks = _ticks(x, (0.0, end / 2, end), height - 8, lambda t: f"{t:,.3g} s")
    told = f"What {len(lines)} ranks did over {end:,.1f} seconds"
    return _svg("", told, width, height, "".join(parts) + ticks)


def _band(
    x: Callable[[float], float],
    own: Timeline,
    below: FloatArray,
    above: FloatArray,
    floor: float,
    height: float,
) -> str:
    """Bars of one kind as one outline; nothing is drawn where there is none of it."""
    out = []
    k = 0
    while k < len(below):
        if above[k] - below[k] < 1e-3:
            k += 1
            continue
        first = k
        while k < len(below) and above[k] - below[k] >= 1e-3:
            k += 1
        upper, lower = [], []
        for j in range(first, k):
            x0, x1 = x(own.start + own.width * j), x(own.start + own.width * (j + 1))
            upper.append(f"{x0:.1f} {floor - height * above[j]:.1f}H{x1:.1f}")
            lower.append(f"{x1:.1f} {floor - height * below[j]:.1f}H{x0:.1f}")
        out.append("M" + "L".join([*upper, *lower[::-1]]) + "Z")
    return "".join(out)


def legend(kinds: Mapping[str, str]) -> str:
    """What the kinds of a chart are."""
    return "".join(
        f'<span class="key"><svg width="22" height="12" aria-hidden="true"><rect class="{kind}" '
        f'width="22" height="12"/></svg> {escape(text)}</span>'
        for kind, text in kinds.items()
    )


def _ticks(
    x: Callable[[float], float],
    values: tuple[float, float, float],
    y: float,
    say: Callable[[float], str],
) -> str:
    """The two ends of an axis and its middle."""
    return "".join(
        f'<text x="{x(value):.1f}" y="{y}" text-anchor="{anchor}">{say(value)}</text>'
        for value, anchor in zip(values, ("start", "middle", "end"), strict=True)
    )


def _svg(title: str, told: str, width: int, height: float, body: str) -> str:
    head = f'<text class="title" x="2" y="13">{escape(title)}</text>' if title else ""
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(told)}">{head}{body}</svg>'
    )


def short(name: str) -> str:
    """A name for a narrow column: its end, which tells names apart, is kept."""
    return name if len(name) <= LETTERS else "…" + name[-(LETTERS - 1) :]


def number(value: float) -> str:
    """A number as people read it: three digits, or all before the point."""
    value = float(value)
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-3:
        return f"{value:.2e}"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
