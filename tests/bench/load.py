"""Our own load generator, for machines without warp: a process of its own, so that its CPU is not the servers'.

`run` starts it; it reads a job as JSON from its input and prints the result as JSON. Connections are dealt out to the
endpoints in turn. Each works on keys of its own, shuffled after they were put, so that what one deletes no other
reads, and reads go to other nodes than the writes did. A request counts by the part of it that lies within the
measured time, so neither a long last request nor a short run distorts the rate.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from tests.bench.accounts import cpu_seconds
from tests.bench.client import Answer, Connection, Target
from tests.bench.rows import Row

WARM_UP_SECONDS = 1.0
SETTLE_SECONDS = 1.0
ROW_SECONDS_MAX = 240.0
ERRORS_MAX = 1000
MIXED = (("get", 0.45), ("stat", 0.30), ("put", 0.15), ("delete", 0.10))  # warp's shares
_SPARE_BYTES = 64 << 10


@dataclass
class Result:
    """What a row came to; rates are those of the measured time."""

    objects_per_second: float
    megabytes_per_second: float
    requests: int
    p50_ms: float
    p99_ms: float
    errors: int
    first_error: str
    client_cpu_us: float  # of the generator, per request
    server_cpu_us: float  # of all processes of the servers, per request, or per MB where rates are in bytes


def run(row: Row, targets: Sequence[Target], seconds: float, pids: Sequence[int]) -> Result:
    """Run a row in a process of its own; `pids`: the servers', for their CPU. Raises RuntimeError."""
    job = {"row": asdict(row), "targets": targets, "seconds": seconds, "pids": pids}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps(job), capture_output=True, text=True, timeout=ROW_SECONDS_MAX + seconds, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{row.title}: {done.stderr[-400:]}")
    return Result(**json.loads(done.stdout))


@dataclass
class _Partition:
    """A connection, the keys that are its own, and what it has measured."""

    number: int
    connection: Connection
    keys: list[str] = field(default_factory=list)
    spans: list[tuple[float, float, int]] = field(default_factory=list)  # began, ended, objects


class Load:
    """One row, within the generator's process."""

    def __init__(self, row: Row, targets: Sequence[Target], seconds: float, pids: Sequence[int]) -> None:
        self._row = row
        self._pids = pids
        self._seconds = seconds
        self._bucket = f"bench-{os.urandom(6).hex()}"
        self._payload = memoryview(os.urandom(row.size_bytes + _SPARE_BYTES))
        self._random = random.Random(1)
        self._partitions = [
            _Partition(number, Connection(targets[number % len(targets)])) for number in range(row.concurrency)
        ]
        self._errors = 0
        self._first_error = ""
        self._stop_at = float("inf")

    async def run(self) -> Result:
        """Prepare, measure, tidy up. Raises RuntimeError where it cannot even begin."""
        created = await self._partitions[0].connection.request("PUT", f"/{self._bucket}", keep=True)
        if created.status != 200:
            raise RuntimeError(f"the bucket was not created: {created.status} {created.body[:300]!r}")
        await self._prepare()
        self._errors = 0
        operations: dict[str, Callable[[_Partition], Awaitable[int]]] = {
            "put": self._put, "get": self._get, "stat": self._stat, "delete": self._delete, "list": self._list,
            "mixed": self._mixed,
        }  # fmt: skip
        cpu_of_servers, cpu, began = cpu_seconds(self._pids), time.process_time(), time.perf_counter()
        self._stop_at = began + self._seconds + (0 if self._row.operation == "delete" else WARM_UP_SECONDS)
        await asyncio.gather(*(self._repeat(each, operations[self._row.operation]) for each in self._partitions))
        cpu = time.process_time() - cpu
        result = self._result(began, cpu, cpu_seconds(self._pids) - cpu_of_servers)
        await self._tidy()
        return result

    async def _prepare(self) -> None:
        share = -(-self._row.objects // len(self._partitions))

        async def fill(partition: _Partition) -> None:
            # One at least: some servers set a bucket up, for seconds, when it gets its first objects.
            for _ in range(max(1, share) if self._row.size_bytes < 1 << 20 else share):
                await self._put(partition)

        await asyncio.gather(*map(fill, self._partitions))
        if self._errors:
            raise RuntimeError(f"objects could not be put: {self._first_error}")
        if self._row.operation != "list":  # a listing has a prefix of its own
            keys = [key for partition in self._partitions for key in partition.keys]
            self._random.shuffle(keys)
            for partition in self._partitions:
                partition.keys = keys[partition.number :: len(self._partitions)]
        if share:
            await asyncio.sleep(SETTLE_SECONDS)

    async def _repeat(self, partition: _Partition, operation: Callable[[_Partition], Awaitable[int]]) -> None:
        while (began := time.perf_counter()) < self._stop_at:
            if self._row.operation == "delete" and not partition.keys:
                return
            try:
                objects = await operation(partition)
            except (OSError, ValueError) as error:
                self._failed(repr(error))
                continue
            if objects >= 0:
                partition.spans.append((began, time.perf_counter(), objects))

    def _result(self, began: float, cpu: float, cpu_of_servers: float) -> Result:
        spans = [span for partition in self._partitions for span in partition.spans]
        if not spans:
            raise RuntimeError(f"no request succeeded: {self._first_error}")
        if self._row.operation == "delete":
            start, end = began, min(self._stop_at, max(ended for _, ended, _ in spans))
        else:
            start, end = began + WARM_UP_SECONDS, self._stop_at
        objects = 0.0
        took: list[float] = []
        for first, last, count in spans:
            inside = min(last, end) - max(first, start)
            if inside > 0:
                objects += count * inside / (last - first)
                took.append(last - first)
        took.sort()
        rate = objects / (end - start)
        return Result(
            rate,
            rate * self._row.size_bytes / 1e6,
            len(took),
            took[len(took) // 2] * 1e3,
            took[min(len(took) - 1, len(took) * 99 // 100)] * 1e3,
            self._errors,
            self._first_error,
            cpu / len(spans) * 1e6,
            cpu_of_servers / (len(spans) * self._row.size_bytes / 1e6 if self._row.in_bytes else len(spans)) * 1e6,
        )

    async def _tidy(self) -> None:
        """Remove what was put, so that the next row finds the same room; nothing depends on it."""
        self._stop_at = float("inf")

        async def empty(partition: _Partition) -> None:
            with contextlib.suppress(OSError, ValueError):
                while partition.keys:
                    await self._delete(partition)
            partition.connection.close()

        await asyncio.gather(*map(empty, self._partitions))

    # -- operations: objects done, or -1 after an error ----------------------------------------------------------------

    async def _put(self, partition: _Partition) -> int:
        key = f"{partition.number:03}/{self._random.getrandbits(64):016x}"
        start = self._random.randrange(_SPARE_BYTES)
        body = self._payload[start : start + self._row.size_bytes]
        if not self._good(await partition.connection.request("PUT", f"/{self._bucket}/{key}", body=body)):
            return -1
        partition.keys.append(key)
        return 1

    async def _get(self, partition: _Partition) -> int:
        answer = await partition.connection.request("GET", f"/{self._bucket}/{self._random.choice(partition.keys)}")
        if self._good(answer) and answer.length_bytes != self._row.size_bytes:
            self._failed(f"{answer.length_bytes} bytes came")
            return -1
        return 1 if answer.status == 200 else -1

    async def _stat(self, partition: _Partition) -> int:
        path = f"/{self._bucket}/{self._random.choice(partition.keys)}"
        return 1 if self._good(await partition.connection.request("HEAD", path)) else -1

    async def _delete(self, partition: _Partition) -> int:
        index = self._random.randrange(len(partition.keys))
        partition.keys[index], partition.keys[-1] = partition.keys[-1], partition.keys[index]
        path = f"/{self._bucket}/{partition.keys.pop()}"
        return 1 if self._good(await partition.connection.request("DELETE", path)) else -1

    async def _list(self, partition: _Partition) -> int:
        query = f"list-type=2&max-keys=1000&prefix={partition.number:03}%2F"
        answer = await partition.connection.request("GET", f"/{self._bucket}", query, keep=True)
        found = answer.body.count(b"<Key>")
        if self._good(answer) and found != min(1000, len(partition.keys)):
            self._failed(f"{found} keys of {len(partition.keys)} were listed")
            return -1
        return found if answer.status == 200 else -1

    async def _mixed(self, partition: _Partition) -> int:
        name = self._random.choices(*zip(*MIXED, strict=True))[0]
        if name == "put" or len(partition.keys) < 2:
            return await self._put(partition)
        return await {"get": self._get, "stat": self._stat, "delete": self._delete}[name](partition)

    def _good(self, answer: Answer) -> bool:
        if answer.status in (200, 204):
            return True
        self._failed(f"{answer.status} {answer.body[:200]!r}")
        return False

    def _failed(self, what: str) -> None:
        self._errors += 1
        self._first_error = self._first_error or what
        if self._errors > ERRORS_MAX:
            raise RuntimeError(f"too many errors: {self._first_error}")


def _targets(raw: list[list[str | int]]) -> Iterator[Target]:
    for host, port, access_key, secret_key in raw:
        yield Target(str(host), int(port), str(access_key), str(secret_key))


def main() -> None:
    """See the module."""
    import uvloop

    job = json.load(sys.stdin)

    async def work() -> Result:
        async with asyncio.timeout(ROW_SECONDS_MAX):
            return await Load(Row(**job["row"]), list(_targets(job["targets"])), job["seconds"], job["pids"]).run()

    print(json.dumps(asdict(uvloop.run(work()))))


if __name__ == "__main__":
    main()
