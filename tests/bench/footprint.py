"""What warp does not measure: listing 100,000 keys, memory under large transfers, CPU while idle."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.client import BaseClient
from botocore.config import Config

from tests.bench.accounts import cpu_seconds, resident_mib
from tests.bench.contenders import ACCESS_KEY, SECRET_KEY, Running

KEYS = 100_000
STREAMS = 16
GIB = 1 << 30
_BLOCK = os.urandom(1 << 20)


def client_of(server: Running) -> BaseClient:
    """A client that hashes nothing, so that its own CPU is out of the way."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(
            max_pool_connections=64,
            read_timeout=600,
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def listing(server: Running) -> tuple[float, float, float]:
    """Keys per second over a bucket of 100,000, and milliseconds of a page at its start and at its end.

    The time is between a request and its whole answer; parsing it is the client's affair.
    """
    client = client_of(server)
    client.create_bucket(Bucket="many")
    with ThreadPoolExecutor(32) as pool:
        list(
            pool.map(
                lambda n: client.put_object(Bucket="many", Key=f"dir{n % 100:02}/key{n:06}", Body=b""), range(KEYS)
            )
        )
    time.sleep(2.0)
    seconds: list[float] = []
    began = 0.0

    def before(**_: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def after(**_: object) -> None:
        seconds.append(time.perf_counter() - began)

    client.meta.events.register("before-send.s3.ListObjectsV2", before)
    client.meta.events.register("before-parse.s3.ListObjectsV2", after)
    count = sum(
        len(page.get("Contents", ())) for page in client.get_paginator("list_objects_v2").paginate(Bucket="many")
    )
    if count != KEYS:
        raise RuntimeError(f"listed {count} of {KEYS} keys")
    return KEYS / sum(seconds), min(seconds[:10]) * 1e3, min(seconds[-10:-1]) * 1e3


class _Gibibyte:
    """A body of 1 GiB that occupies 1 MiB."""

    def __init__(self) -> None:
        self._left = GIB

    def __len__(self) -> int:
        return GIB

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        size = min(len(_BLOCK), self._left, size if size >= 0 else GIB)
        self._left -= size
        return _BLOCK[:size]

    def tell(self) -> int:
        """Where the next byte comes from."""
        return GIB - self._left

    def seek(self, position: int, whence: int = 0) -> None:
        """To a position from the start, or the end."""
        self._left = GIB - position if whence == 0 else -position

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(1 << 20):
            yield piece


def memory(server: Running) -> tuple[float, float]:
    """The largest worker's resident MiB during 16 concurrent uploads, then downloads, of 1 GiB each."""
    client = client_of(server)
    client.create_bucket(Bucket="large")
    peaks = []
    for work in (_upload, _download):
        peak = 0.0
        with ThreadPoolExecutor(STREAMS) as pool:
            transfers = [pool.submit(work, client, number) for number in range(STREAMS)]
            while not all(transfer.done() for transfer in transfers):
                peak = max(peak, *resident_mib(server.pids()))
                threading.Event().wait(0.1)
            for transfer in transfers:
                transfer.result()
        peaks.append(peak)
    for number in range(STREAMS):
        client.delete_object(Bucket="large", Key=f"{number}")
    return peaks[0], peaks[1]


def _upload(client: BaseClient, number: int) -> None:
    client.put_object(Bucket="large", Key=f"{number}", Body=_Gibibyte())


def _download(client: BaseClient, number: int) -> None:
    digest = hashlib.blake2b(digest_size=8)
    size = 0
    for piece in client.get_object(Bucket="large", Key=f"{number}")["Body"].iter_chunks(1 << 20):
        size += len(piece)
        digest.update(piece[:64])
    if size != GIB:
        raise RuntimeError(f"downloaded {size} bytes of {GIB}")


def idle_percent(server: Running, seconds: float = 20.0) -> float:
    """Share of one core that the idle server takes, percent."""
    time.sleep(3.0)
    before = cpu_seconds(server.pids())
    time.sleep(seconds)
    return (cpu_seconds(server.pids()) - before) / seconds * 100
