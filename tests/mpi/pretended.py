"""The program on pretended nodes: ``pretended.py RANKS_PER_NODE FAULTS ARGUMENTS ...``.

FAULTS is JSON, for the fake devices of each rank by its number: what of `FakeDevice` is otherwise,
such as ``{"1": {"calls_left": 2}}``.
"""

import json
import os
import sys

from scip_mpi.cli import main
from scip_mpi.parallel.mpi import MPIWorld
from scip_mpi.parallel.world import launched_rank
from scip_mpi.segmentation.gpu.fake import FakeDevice

per_node, faults, *sys.argv[1:] = sys.argv[1:]

MPIWorld.node = lambda self: f"node{self.rank // int(per_node)}"  # type: ignore[method-assign]
for name, value in json.loads(faults).get(str(launched_rank(os.environ)), {}).items():
    default = dict(zip(FakeDevice.__dataclass_fields__, (None,) * 3, strict=True)) | {name: value}
    FakeDevice.__init__.__defaults__ = (default["capacity"], default["calls_left"])

main()
