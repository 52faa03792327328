"""The object layer put together over given sets of drives: for a node, for tests, for simulations."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from rustfs.core.ports import Clock, ClusterLocks, Entropy, KeyLocks
from rustfs.core.stamps import StampClock
from rustfs.erasure.codec import Codec
from rustfs.erasure.compress import Compressor
from rustfs.objects.driveset import DriveSet, Pool
from rustfs.objects.egress import Egress
from rustfs.objects.heal import Healer
from rustfs.objects.ingest import Ingest
from rustfs.objects.pace import Pace
from rustfs.objects.rebuild import Rebuilder
from rustfs.objects.register import Register
from rustfs.objects.scanning import Scanner
from rustfs.objects.store import ObjectStore

# Up to this size an object's shards lie in the metadata store. Measured: docs/adr/0003.
INLINE_BYTES_MAX = 128 << 10


@dataclass(frozen=True, slots=True)
class ObjectRoom:
    """What the rooms above use of the object layer."""

    store: ObjectStore
    pool: Pool
    healer: Healer
    scanner: Scanner


def wire(
    sets: Sequence[DriveSet],
    parities: Mapping[str, int],
    codec: Codec,
    clock: Clock,
    entropy: Entropy,
    executor: Executor,
    *,
    compress: bool = True,
    inline_bytes_max: int = INLINE_BYTES_MAX,
    locks: KeyLocks | None = None,
    cluster_locks: ClusterLocks | None = None,
) -> ObjectRoom:
    """The object layer over `sets`.

    Args:
        parities: parity shards by storage class.
        executor: threads for hashing and coding.
        locks: shared by the processes of the node, where it has several.
        cluster_locks: shared by the nodes of a set, where there are several.
    """
    pool = Pool(sets)
    stamps = StampClock(clock, entropy)
    pace = Pace(clock)
    rebuilder = Rebuilder(codec, executor, clock, pace)
    register = Register(stamps, clock, entropy, pace, rebuilder.completion, locks, cluster_locks)
    scanner = Scanner(register, pace, clock)
    ingest = Ingest(codec, Compressor() if compress else None, executor, entropy, inline_bytes_max)
    egress = Egress(codec, executor, clock, pace)
    store = ObjectStore(pool, parities, register, scanner, ingest, egress, stamps, clock, entropy)
    return ObjectRoom(store, pool, Healer(register, rebuilder, executor, clock, pace), scanner)
