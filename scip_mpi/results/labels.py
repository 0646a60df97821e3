"""Label images of segmented fields, as compressed TIFF files: what other programs open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scip_mpi import disk
from scip_mpi.loaders.contract import References
from scip_mpi.segmentation.fields import Fields

FOLDER = "labels"
# Names of the files, as far as a pattern can tell them from others'.
PATTERN = "[0-9]*_*.tif"


def write_labels(folder: Path, references: References, fields: Fields) -> None:
    """Write ``FOLDER/<catalog index>_<file's name>.tif`` for every field of a batch.

    A label is the object's, as in obs; of channels with masks of their own there is a page each.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    references : References
        The chunk that the fields are from.
    fields : Fields
    """
    import tifffile

    folder.mkdir(exist_ok=True)
    first = int(references.index[0])
    for i in range(len(fields.labels)):
        place = int(fields.labels.index[i])
        source = next(s for s in references.sources[place - first] if s)
        mine = fields.row == i
        number, label = fields.number[mine], fields.objects.label[mine]
        original = np.zeros(int(number.max(initial=0)) + 1, np.uint64)
        original[number] = label
        if original.max() <= np.iinfo(np.uint32).max:
            original = original.astype(np.uint32)
        planes = original[fields.labels.image(i)]
        same = bool((planes == planes[0]).all())
        path = folder / f"{place:06d}_{Path(source).name.split('.')[0]}.tif"
        tifffile.imwrite(
            path,
            planes[0] if same else planes[fields.of_channel],
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "YX" if same else "CYX"},
        )
        # A chunk that is written down as measured has its label images too.
        disk.settle([path])
