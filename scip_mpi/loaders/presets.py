"""Patterns for the file names of common instruments, one file per channel."""

from __future__ import annotations

from collections.abc import Mapping

# The id holds the name of the folder too, so that two plates may have wells of the same name.
_FOLDER = r"(?:[^/]+/)?"
PRESETS: Mapping[str, str] = {
    # Amnis ImageStream and FlowSight, exported by IDEAS: day1_1523_Ch6.ome.tif
    "ideas": rf"(?i)(?P<id>{_FOLDER}[^/]*?(?P<number>\d+))_Ch0*(?P<channel>\d+)(?:\.ome)?\.tiff?$",
    # Molecular Devices ImageXpress: plate_B03_s2_w1A1F0.tif, thumbnails left out
    "imagexpress": rf"(?i)(?P<id>{_FOLDER}[^/]*?(?P<well>[A-P]\d\d)(?:_s(?P<site>\d+))?)"
    r"_w(?P<channel>\d)(?![^/]*_thumb)[^/]*\.tiff?$",
    # PerkinElmer / Revvity Opera Phenix and Operetta: r02c03f01p01-ch2sk1fk1fl1.tiff
    "phenix": rf"(?i)(?P<id>{_FOLDER}r(?P<row>\d\d)c(?P<column>\d\d)f(?P<site>\d+)p(?P<plane>\d+))"
    r"-ch(?P<channel>\d+)sk\d+fk\d+fl\d+\.tiff?$",
    # Yokogawa CellVoyager: assay_B03_T0001F002L01A01Z01C02.tif
    "yokogawa": rf"(?i)(?P<id>{_FOLDER}[^/]*?(?P<well>[A-P]\d\d)_T(?P<time>\d+)F(?P<site>\d+)"
    r"L\d+A\d+Z(?P<plane>\d+))C(?P<channel>\d+)\.tiff?$",
    # GE / Cytiva IN Cell Analyzer: B - 03(fld 2 wv DAPI - DAPI).tif
    "incell": rf"(?i)(?P<id>{_FOLDER}(?P<row>[A-P]) - (?P<column>\d\d?)\(fld (?P<site>\d+))"
    r" wv (?P<channel>[^)]+)\)\.tiff?$",
}
