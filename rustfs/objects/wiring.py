"""The object layer put together over given sets of drives: for a node, for tests, for simulations."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from rustfs.core.ports import Clock, ClusterLocks, Entropy, KeyLocks
from rustfs.core.stamps import StampClock
from rustfs.erasure.codec import Codec
from rustfs.objects.configuration import ConfigurationStore
from rustfs.objects.driveset import Pool, Pools
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
    pools: Pools
    healer: Healer
    scanner: Scanner
    ingest: Ingest
    configuration: ConfigurationStore


def wire(
    pools: Sequence[Pool],
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
    """The object layer over these pools, in the order in which they were added.

    Args:
        executor: threads for hashing and coding.
        locks: shared by the processes of the node, where it has several.
        cluster_locks: shared by the nodes of a set, where there are several.
    """
    every = Pools(pools)
    stamps = StampClock(clock, entropy)
    pace = Pace(clock)
    rebuilder = Rebuilder(codec, executor, clock, pace)
    register = Register(stamps, clock, entropy, pace, rebuilder.completion, locks, cluster_locks, every.beside)
    scanner = Scanner(register, pace, clock)
    ingest = Ingest(codec, compress, executor, entropy, pace, inline_bytes_max)
    egress = Egress(codec, executor, clock, pace)
    store = ObjectStore(every, register, scanner, ingest, egress, stamps, clock, entropy)
    healer = Healer(register, rebuilder, executor, clock, pace, store.buckets.era)
    configuration = ConfigurationStore(every, register, clock, entropy)
    return ObjectRoom(store, every, healer, scanner, ingest, configuration)
