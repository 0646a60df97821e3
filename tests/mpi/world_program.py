"""What every rank of a real MPI world does in test_world_mpi.py: ``world_program.py FILE LARGEST``.

Messages of more than LARGEST bytes go in pieces.
"""

import sys

import numpy as np

from scip_mpi.parallel import collectives
from scip_mpi.parallel.link import Backoff, Port, Tag
from scip_mpi.parallel.mpi import MPIWorld
from scip_mpi.parallel.world import enter

path, largest = sys.argv[1:]
collectives.LARGEST = int(largest)
world = enter()
assert isinstance(world, MPIWorld)
rank, size = world.rank, world.size
assert world.bcast({"a": np.arange(5)} if rank == 0 else None)["a"].tolist() == [0, 1, 2, 3, 4]
gathered = world.gather("x" * rank)
assert gathered == (["x" * r for r in range(size)] if rank == 0 else None)
values = np.arange(12, dtype=np.int64).reshape(3, 4) << 40
assert np.array_equal(world.allreduce(values + rank), values * size + size * (size - 1) // 2)
assert world.allreduce(np.zeros(0, np.int64)).size == 0

# All on one machine: one node, whatever it is called.
nodes = world.gather(world.node())
assert nodes is None or (len(nodes) == size and len(set(nodes)) == 1 and nodes[0]), nodes

# What takes more than one piece, in all collectives.
many = np.arange(100_000, dtype=np.int64) + rank
assert np.array_equal(world.allreduce(many), size * np.arange(100_000) + size * (size - 1) // 2)
assert np.array_equal(world.allmax(many), np.arange(100_000) + size - 1)
assert np.array_equal(world.bcast(many if rank == 0 else None), np.arange(100_000))
gathered = world.gather(many[: 50_000 * (rank % 2 + 1)])
if rank == 0:
    assert [g[0] for g in gathered] == list(range(size))
    assert {len(g) for g in gathered[1::2]} <= {100_000}

# Everybody sends everybody a small and a large message on all ports.
body = np.arange(3_000_000).astype(np.uint8)
for port in Port:
    link = world.link(port)
    for to in range(size):
        link.send(to, Tag.CREDIT)
        link.send(to, Tag.MASKS, body + np.uint8(rank))
    heard = []
    backoff = Backoff()
    while len(heard) < 2 * size:
        message = link.poll()
        if message is None:
            backoff.wait()
            continue
        if message.tag is Tag.MASKS:
            assert np.array_equal(message.body, body + np.uint8(message.source))
        heard.append((message.source, message.tag))
    assert sorted(heard) == sorted((r, t) for r in range(size) for t in (Tag.CREDIT, Tag.MASKS))

if rank == 0:
    with open(path, "wb") as handle:
        handle.truncate(size * 1000)
world.barrier()
shared = world.open_shared(path)
shared.write_at(rank * 1000, np.full(1000, rank + 1, np.uint8))
shared.sync()
shared.close()
world.barrier()
if rank == 0:
    with open(path, "rb") as handle:
        assert handle.read() == b"".join(bytes([r + 1]) * 1000 for r in range(size))
# A message that nobody takes must not keep the world from closing.
world.link(Port.WORKER).send((rank + 1) % size, Tag.FINISH, b"late")
world.close()
print("well")
