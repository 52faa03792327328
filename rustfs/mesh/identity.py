"""Whether two nodes belong together: pure comparison of what they say of themselves in the handshake.

Every difference becomes one sentence that names the nodes and the difference, for the logs of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import rustfs
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.ports import Clock
from rustfs.mesh.authentication import SKEW_SECONDS_MAX

# Raised when nodes of two versions cannot work together; versions of one release line share it.
PROTOCOL = 1


@dataclass(slots=True)
class Self:
    """What this process says of itself; the deployment becomes known when the drives are formatted."""

    node: str  # host:port of its S3 address, as in the volumes
    topology: str  # digest of the volumes
    drives: Sequence[str]  # a line per pool
    incarnation: bytes
    clock: Clock
    deployment_id: str = ""

    def identity(self) -> pb.Identity:
        """For the wire."""
        return pb.Identity(
            node=self.node,
            version=rustfs.__version__,
            protocol=PROTOCOL,
            topology=self.topology,
            deployment_id=self.deployment_id,
            time_ms=self.clock.now_milliseconds(),
            incarnation=self.incarnation,
            drives=self.drives,
        )


def difference(mine: pb.Identity, theirs: pb.Identity) -> str:
    """Why these two do not belong together: a sentence, or "" where they do."""
    me, other = mine.node, theirs.node
    if mine.protocol != theirs.protocol:
        return (
            f"{other} runs rustfs {theirs.version}, which speaks version {theirs.protocol} of the peer protocol, and "
            f"{me} runs rustfs {mine.version}, which speaks version {mine.protocol}: run the same release on all nodes"
        )
    if mine.topology != theirs.topology:
        return f"{other} was started with other volumes than {me}: {_volumes_difference(mine, theirs)}"
    if mine.deployment_id and theirs.deployment_id and mine.deployment_id != theirs.deployment_id:
        return (
            f"the drives of {other} belong to deployment {theirs.deployment_id}, those of {me} to deployment "
            f"{mine.deployment_id}: one of the two has drives of another cluster"
        )
    skew_seconds = (theirs.time_ms - mine.time_ms) / 1000
    if abs(skew_seconds) > SKEW_SECONDS_MAX:
        way = "ahead of" if skew_seconds > 0 else "behind"
        return (
            f"the clock of {other} is {abs(skew_seconds):.0f} s {way} the clock of {me}; at most {SKEW_SECONDS_MAX} s "
            "are tolerated: set the clocks right"
        )
    return ""


def _volumes_difference(mine: pb.Identity, theirs: pb.Identity) -> str:
    if len(mine.drives) != len(theirs.drives):
        return f"{len(theirs.drives)} pool(s) there, {len(mine.drives)} here"
    for number, (here, there) in enumerate(zip(mine.drives, theirs.drives, strict=True), 1):
        if here != there:
            ours, others = here.split("\n"), there.split("\n")
            if len(ours) != len(others):
                return f"pool {number} has {len(others)} drives there, {len(ours)} here"
            first, second = next((a, b) for a, b in zip(ours, others, strict=True) if a != b)
            return f"where pool {number} has the drive {second} there, it has {first} here"
    return "the sets are of another size"
