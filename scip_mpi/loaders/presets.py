"""Patterns for the file names of common instruments, one file per channel.

The id holds the names of folders too, so that two plates may have wells of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping

_FOLDERS = r"(?:[^/]+/){0,2}"
# A01 to P24 and, of 1,536 wells, to AF48; not the end of a word.
_WELL = r"(?<![A-Z])(?P<well>(?:A[A-F]|[A-P])\d\d)"
PRESETS: Mapping[str, str] = {
    # Amnis ImageStream and FlowSight, exported by IDEAS: day1_1523_Ch6.ome.tif
    "ideas": rf"(?i)(?P<id>{_FOLDERS}[^/]*?(?P<cell>\d+))_Ch0*(?P<channel>\d+)(?:\.ome)?\.tiff?$",
    # Molecular Devices ImageXpress: plate_B03_s2_w1A1F0.tif, thumbnails left out; the folders are
    # those of the plate, the time (TimePoint_1) and the plane (ZStep_1)
    "imagexpress": rf"(?i)(?P<id>(?:[^/]+/){{0,3}}[^/]*?{_WELL}(?:_s(?P<site>\d+))?)"
    r"_w(?P<channel>\d)(?![^/]*_thumb)[^/]*\.tiff?$",
    # PerkinElmer / Revvity Opera Phenix and Operetta: r02c03f01p01-ch2sk1fk1fl1.tiff in a folder
    # that is always called Images; sk counts time
    "phenix": rf"(?i)(?P<id>{_FOLDERS}r(?P<row>\d\d)c(?P<column>\d\d)f(?P<site>\d+)p(?P<plane>\d+))"
    r"-ch(?P<channel>\d+)(?P<id2>sk(?P<time>\d+))fk\d+fl\d+\.tiff?$",
    # Yokogawa CellVoyager: assay_B03_T0001F002L01A01Z01C02.tif; A, the action, goes with C
    "yokogawa": rf"(?i)(?P<id>{_FOLDERS}[^/]*?{_WELL}_T(?P<time>\d+)F(?P<site>\d+)L\d+)"
    r"A\d+(?P<id2>Z(?P<plane>\d+))C(?P<channel>\d+)\.tiff?$",
    # GE / Cytiva IN Cell Analyzer: B - 03(fld 2 wv DAPI - DAPI).tif, in stacks ... DAPI z 1).tif
    "incell": rf"(?i)(?P<id>{_FOLDERS}[^/]*?(?<![A-Z])(?P<row>[A-P]) - (?P<column>\d\d?)"
    r"\(fld (?P<site>\d+)) wv (?P<channel>[^)]+?)(?: (?P<id2>z (?P<plane>\d+)))?\)\.tiff?$",
}
