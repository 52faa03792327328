"""Clients that go on whatever happens to the nodes, as those do that know several addresses and retry."""

import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.payloads import noise

DEAD_LINE_SECONDS = 30.0  # a client that retries gives up after this


class Load:
    """Clients that write, overwrite and read on all nodes that they may use, and remember what was acknowledged."""

    def __init__(self, cluster, bucket, threads=4):
        self.cluster = cluster
        self.bucket = bucket
        self.acknowledged = {}
        self.failures = []
        self.retried = []  # what went wrong at the first node, and for the most part well at another
        self.latencies = []  # (when, seconds)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number):
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"w{number}-{count % 15}"
            data = noise(300_000 if count % 9 == 0 else 3_000, number * 100_003 + count)
            if self._insist(count, lambda client: client.put_object(Bucket=self.bucket, Key=key, Body=data)):  # noqa: B023
                self.acknowledged[key] = data
            else:
                self.acknowledged.pop(key, None)
            seen = []
            self._insist(
                count + 1,
                lambda client: seen.append(client.get_object(Bucket=self.bucket, Key=key)["Body"].read()),  # noqa: B023
            )
            if key in self.acknowledged and seen and seen[-1] != data:
                self.failures.append(f"stale: {key}")

    def _insist(self, first, call):
        """As a client does that knows all nodes: the next one after an error, for a while."""
        deadline = time.monotonic() + DEAD_LINE_SECONDS
        turn = first
        while True:
            running = self.cluster.running()
            began = time.monotonic()
            try:
                call(self.cluster.s3(running[turn % len(running)]))
            except (ClientError, BotoCoreError) as error:
                problem = error
                self.retried.append(repr(error))
            else:
                self.latencies.append((began, time.monotonic() - began))
                return True
            if time.monotonic() > deadline:
                self.failures.append(repr(problem))
                return False
            turn += 1
            time.sleep(0.05)

    def check(self):
        """Nothing failed, and all that was acknowledged is there."""
        assert not self.failures, self.failures[:5]
        for number, (key, data) in enumerate(self.acknowledged.items()):
            running = self.cluster.running()
            client = self.cluster.s3(running[number % len(running)])
            assert client.get_object(Bucket=self.bucket, Key=key)["Body"].read() == data, key

    def between(self, start, end):
        return sorted(seconds for began, seconds in self.latencies if start <= began < end)
