"""Ready-made patterns, on names as the instruments write them."""

from __future__ import annotations

import os
import re

import pytest
from pictures import discover, groups, texts, touch

from scip_mpi.errors import UserError
from scip_mpi.loaders import tiff
from scip_mpi.loaders.presets import PRESETS

GUID = "07447158-AC76-4844-8431-E6A954BD1174"
# Preset, file, id, channel, other columns.
NAMES = [
    # IDEAS: one OME-TIFF per object and channel, as in SCIP's and published imaging flow data.
    ("ideas", "0_Ch1.ome.tif", "0", "1", {"cell": "0"}),
    ("ideas", "day1/1523_Ch12.ome.tif", "day1/1523", "12", {"cell": "1523"}),
    (
        "ideas",
        "pop/Exp14_Donor1_Minus_SEA_77_Ch06.ome.tif",
        "pop/Exp14_Donor1_Minus_SEA_77",
        "6",
        {"cell": "77"},
    ),
    ("ideas", "a/b/c/run 2_5_Ch3.tif", "b/c/run 2_5", "3", {"cell": "5"}),
    # ImageXpress: BBBC021 (with and without the plate's name), MetaXpress' folders, no sites.
    (
        "imagexpress",
        f"Week1_22123/Week1_150607_B02_s1_w1{GUID}.tif",
        "Week1_22123/Week1_150607_B02_s1",
        "1",
        {"well": "B02", "site": "1"},
    ),
    (
        "imagexpress",
        "Week4_27861/D07_s1_w192A46E20-C4C2-4748-B19D-541F77829FFA.tif",
        "Week4_27861/D07_s1",
        "1",
        {"well": "D07", "site": "1"},
    ),
    (
        "imagexpress",
        "plate 11001_Plate_136/TimePoint_1/ZStep_2/plate 11001_A01_s12_w2.TIF",
        "plate 11001_Plate_136/TimePoint_1/ZStep_2/plate 11001_A01_s12",
        "2",
        {"well": "A01", "site": "12"},
    ),
    ("imagexpress", "screen_P24_w3.tif", "screen_P24", "3", {"well": "P24", "site": None}),
    ("imagexpress", "Plate1_AE32_s1_w1.tif", "Plate1_AE32_s1", "1", {"well": "AE32"}),
    # Opera Phenix and Operetta, Harmony's export: JUMP's source 3 among them.
    (
        "phenix",
        "C13443aW__2021-09-18T06_57_42-Measurement1/Images/r07c21f02p01-ch2sk1fk1fl1.tiff",
        "C13443aW__2021-09-18T06_57_42-Measurement1/Images/r07c21f02p01_sk1",
        "2",
        {"row": "07", "column": "21", "site": "02", "plane": "01", "time": "1"},
    ),
    (
        "phenix",
        "r03c04f144p05-ch10sk12fk1fl1.tiff",
        "r03c04f144p05_sk12",
        "10",
        {"site": "144", "time": "12"},
    ),
    ("phenix", "Images/r01c01f01p01-ch1sk1fk1fl1.tiff", "Images/r01c01f01p01_sk1", "1", {}),
    # CellVoyager CV7000 and CV8000: JUMP, Fractal's examples.
    (
        "yokogawa",
        "CM00619158_A01_T0001F001L01A02Z01C02.tif",
        "CM00619158_A01_T0001F001L01_Z01",
        "2",
        {"well": "A01", "time": "0001", "site": "001", "plane": "01"},
    ),
    (
        "yokogawa",
        "x/210305NAR005AAN_210416_164828_B11_T0001F006L01A04Z14C01.tif",
        "x/210305NAR005AAN_210416_164828_B11_T0001F006L01_Z14",
        "1",
        {"well": "B11", "plane": "14"},
    ),
    (
        "yokogawa",
        "AssayPlate_Greiner_#655090_P24_T0012F002L01A01Z01C04.tif",
        "AssayPlate_Greiner_#655090_P24_T0012F002L01_Z01",
        "4",
        {"well": "P24", "time": "0012", "site": "002"},
    ),
    # IN Cell Analyzer 1000 to 6000.
    (
        "incell",
        "p1/A - 1(fld 1 wv DAPI - DAPI).tif",
        "p1/A - 1(fld 1",
        "DAPI - DAPI",
        {"row": "A", "column": "1", "site": "1", "plane": None},
    ),
    (
        "incell",
        "A - 01(fld 1 wv Green - dsRed z 3).tif",
        "A - 01(fld 1_z 3",
        "Green - dsRed",
        {"row": "A", "column": "01", "plane": "3"},
    ),
    (
        "incell",
        "20180328_TestAbs_G - 8(fld 4 wv Red - Cy5).tif",
        "20180328_TestAbs_G - 8(fld 4",
        "Red - Cy5",
        {"row": "G", "column": "8", "site": "4"},
    ),
    ("incell", "B - 12(fld 24 wv 390 - Blue).tif", "B - 12(fld 24", "390 - Blue", {"row": "B"}),
]


@pytest.mark.parametrize(("preset", "name", "id_", "channel", "columns"), NAMES)
def test_names_as_they_are_written(tmp_path, monkeypatch, preset, name, id_, channel, columns):
    touch(tmp_path, [name])
    monkeypatch.chdir(tmp_path)
    catalog = discover(tiff, name.split("/")[0], preset=preset)
    assert catalog.names == [id_]
    if channel.isdecimal():
        assert catalog.channels == [int(channel)]
    else:
        assert catalog.channel_names == [channel]
    for column, value in columns.items():
        assert texts(catalog, column) == [value]
    assert not {"id", "id2", "channel"} & set(catalog.metadata)


FIELDS = [
    ("ideas", "d{p}/{w}_Ch{c}.ome.tif", ["1", "2"]),
    ("imagexpress", "p{p}/TimePoint_1/x_A0{w}_s1_w{c}07447158-AC76.tif", ["1", "2"]),
    ("phenix", "p{p}/Images/r01c0{w}f01p01-ch{c}sk1fk1fl1.tiff", ["1", "2"]),
    # Each channel is an action of its own.
    ("yokogawa", "p{p}/x_A0{w}_T0001F001L01A0{c}Z01C0{c}.tif", ["1", "2", "3"]),
    ("incell", "p{p}/A - {w}(fld 1 wv {c}).tif", ["DAPI - DAPI", "UV - FITC"]),
]


@pytest.mark.parametrize(("preset", "pattern", "channels"), FIELDS)
def test_channels_of_a_field_meet_and_plates_stay_apart(tmp_path, preset, pattern, channels):
    names = [pattern.format(p=p, w=w, c=c) for p in "12" for w in "123" for c in channels]
    catalog = discover(tiff, touch(tmp_path, names), preset=preset)
    assert catalog.sources.shape == (6, len(channels))
    assert (catalog.sources >= 0).all()
    assert not catalog.notes
    assert len(set(catalog.names)) == 6
    assert len(set(groups(catalog))) == (2 if names[0].count("/") == 1 else 1)


STACKS = [
    ("phenix", ["r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c01f01p01-ch1sk2fk1fl1.tiff"]),
    ("phenix", ["r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c01f01p02-ch1sk1fk1fl1.tiff"]),
    ("yokogawa", ["x_A01_T0001F001L01A01Z01C01.tif", "x_A01_T0001F001L01A01Z02C01.tif"]),
    ("imagexpress", ["ZStep_1/x_A01_s1_w1.tif", "ZStep_2/x_A01_s1_w1.tif"]),
    ("incell", ["A - 1(fld 1 wv UV - DAPI z 1).tif", "A - 1(fld 1 wv UV - DAPI z 2).tif"]),
]


@pytest.mark.parametrize(("preset", "names"), STACKS)
def test_planes_and_times_are_images_of_their_own(tmp_path, preset, names):
    catalog = discover(tiff, touch(tmp_path, names), preset=preset)
    assert len(catalog) == 2
    assert catalog.sources.shape == (2, 1)


def test_thumbnails_are_left_out(tmp_path):
    names = [
        f"x_B03_s1_w1{GUID}.tif",
        f"x_B03_s1_w1_thumb{GUID}.tif",
        "x_B03_s1_w2.TIF",
        "x_B03_s1_w2_thumb.TIF",
    ]
    catalog = discover(tiff, touch(tmp_path, names), preset="imagexpress")
    assert len(catalog) == 1
    assert catalog.skipped == 2
    assert [os.path.basename(f) for f in catalog.files] == [names[0], names[2]]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_other_files_are_no_images(tmp_path, preset):
    names = ["overview.tif", "DC_sony_CAM1.tif", "mask_A01.tif", "Channel1-01-A-01.tif"]
    touch(tmp_path, names)
    with pytest.raises(UserError, match=r"matches none of 4 files; the first is .*Channel1"):
        discover(tiff, tmp_path, preset=preset)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_other_presets_do_not_match(preset):
    names = [name for owner, name, *_ in NAMES if owner != preset]
    assert [n for n in names if re.search(PRESETS[preset], n)] == []


def test_a_preset_that_cannot_tell_files_apart_says_so(tmp_path):
    touch(tmp_path, ["x_A01_s1_w1AB.tif", "x_A01_s1_w1CD.tif"])
    with pytest.raises(UserError, match="the preset imagexpress does not fit these names"):
        discover(tiff, tmp_path, preset="imagexpress")
