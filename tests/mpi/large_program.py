"""A batch of more than 2 GiB, as a buffer, from rank 1 to rank 0 in one message."""

import numpy as np

from scip_mpi.batches import ImageBatch, from_buffer, to_buffer
from scip_mpi.parallel.link import Backoff, Port, Tag
from scip_mpi.parallel.world import enter

# One image of more pixels than 32 bits can count, with a sign.
SIDE = 47_000
world = enter()
link = world.link(Port.WORKER)
if world.rank == 1:
    image = np.zeros((1, SIDE, SIDE), np.uint8)
    image[0, ::100, -1] = 7
    image[0, -1, -1] = 9
    batch = ImageBatch(
        image.reshape(-1), np.array([0, image.size]), np.array([image.shape]), np.array([5])
    )
    link.send(0, Tag.MASKS, to_buffer(batch))
    link.send(0, Tag.CREDIT, b"after it")
    while link.unsent():
        Backoff().wait()
else:
    messages = []
    while len(messages) < 2:
        message = link.poll()
        if message is None:
            Backoff().wait()
        else:
            messages.append(message)
    assert [m.tag for m in messages] == [Tag.MASKS, Tag.CREDIT]
    assert messages[0].body.size > 2**31
    batch = from_buffer(ImageBatch, messages[0].body)
    received = batch.image(0)
    assert received.shape == (1, SIDE, SIDE)
    assert (received[0, ::100, -1] == 7).all()
    assert received[0, -1, -1] == 9
    assert np.count_nonzero(received[0, :, :-1]) == 0
    print("well")
world.close()
