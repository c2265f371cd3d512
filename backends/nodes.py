"""The processes that share a database: each says that it lives, and sees which of the others do not.

A node has a row with a count, which it raises every RENEW_S. If another node sees no change for LEASE_S, it deletes the row,
provided that the count is still the same. What the dead node was answering then has no owner, and any node may close it.
No two machines' clocks are ever compared. A node that was only slow finds its row gone, and goes on under another id.
"""

import logging
import math
import time
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update

from backends.lease import Lease
from backends.storage import Storage
from backends.tables import nodes

RENEW_S = 3.0
LEASE_S = 10.0  # three renewals may fail

ALL = select(nodes)
ENTER_NODE = insert(nodes)
RENEW_NODE = update(nodes).where(nodes.c.id == bindparam("node")).values(renewals=nodes.c.renewals + 1)
LEAVE = delete(nodes).where(nodes.c.id == bindparam("node"))
BURY = LEAVE.where(nodes.c.renewals == bindparam("count"))
CLEAR = delete(nodes)

logger = logging.getLogger("threadcast")


class Membership:
    """This process as one of the nodes."""

    def __init__(self, storage: Storage) -> None:
        self.lease = Lease()
        self._storage = storage.apart
        self._still: dict[UUID, tuple[int, float]] = {}  # the count of each other node, and since when it stands still
        self._looked = -math.inf

    async def enter(self) -> None:
        """Become one of the nodes."""
        lease = Lease(time.monotonic() + LEASE_S)
        await self._storage.write((ENTER_NODE, {"id": lease.id, "renewals": 0}))
        self.lease = lease

    async def renew(self) -> None:
        """Say that this node lives. If it was taken for dead its lease is lost, and it has another."""
        started = time.monotonic()
        if await self._storage.write(only_if=(RENEW_NODE, {"node": self.lease.id})):
            self.lease.renew(started + LEASE_S)
            return
        logger.error("the other nodes took this node for dead: it did not renew its lease in time")
        self.lease.lose()
        await self.enter()

    async def bury(self) -> None:
        """Look at the others, and delete those that have not renewed for LEASE_S. To be called every RENEW_S."""
        # A time in which we did not look does not count: we, or the database, stood still. Nor does a time in which our own
        # renewals failed, since whatever stops ours may stop those of the others.
        passed = min(time.monotonic() - self._looked, RENEW_S)
        writes = time.monotonic() - (self.lease.until - LEASE_S) < 2 * RENEW_S
        counts = {row["id"]: row["renewals"] for row in await self._storage.fetch_all(ALL)}
        self._looked = time.monotonic()
        before, self._still = self._still, {}
        for id in counts.keys() - {self.lease.id}:
            count, still = before.get(id, (None, 0.0))
            self._still[id] = counts[id], still + passed if count == counts[id] and writes else 0.0
            dead = self._still[id][1] >= LEASE_S
            if dead and await self._storage.write(only_if=(BURY, {"node": id, "count": counts[id]})):
                logger.warning("a node is dead", extra={"node": str(id)})

    async def leave(self) -> None:
        """Leave the nodes."""
        await self._storage.write((LEAVE, {"node": self.lease.id}))


async def forget_nodes(storage: Storage) -> None:
    """Delete all rows of nodes. For a server that is alone and has just started: any other node is dead."""
    if await storage.fetch_all(ALL):
        await storage.write(CLEAR)
