"""Concurrent clients of a few keys, who write down what they asked and were told (tests/consistency/history.py).

A process of its own, since it runs on a host of the network under test: `python -m tests.netns.workload OPTIONS`. Every
value written is unique. What a client cannot know (no answer in time, 503 to a write, a broken connection) it records
as unknown. It ends at the line that it reads from standard input, or after `--seconds`.
"""

import argparse
import hashlib
import http.client
import json
import random
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from rustfs.s3 import sigv4

REGION = "us-east-1"
TIMEOUT_SECONDS = 8.0
PAUSE_SECONDS = 0.01
_NAMESPACE = re.compile(r"\{[^}]*\}")


class NoAnswer(Exception):
    """The connection failed or took too long."""


@dataclass
class Client:
    """One connection at a time to one node."""

    host: str
    port: int
    keys: tuple[str, str]
    timeout_seconds: float = TIMEOUT_SECONDS
    _connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, query: str = "", body: bytes = b"", extra: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """A signed request, tried once. Raises NoAnswer."""
        headers = self._signed(method, path, query, body) | (extra or {})
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_seconds)
            self._connection.request(method, path + (f"?{query}" if query else ""), body=body, headers=headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(str(error)) from error
        return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _signed(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        payload = hashlib.sha256(body).hexdigest()
        headers = {"host": f"{self.host}:{self.port}", "x-amz-content-sha256": payload, "x-amz-date": timestamp}
        names = ";".join(sorted(headers))
        ordered = "&".join(sorted(part if "=" in part else f"{part}=" for part in query.split("&"))) if query else ""
        canonical = sigv4.canonical_request(method, path, ordered, headers, names, payload)
        scope = f"{timestamp[:8]}/{REGION}/s3/aws4_request"
        key = sigv4.signing_key(self.keys[1], timestamp[:8], REGION, "s3")
        signature = sigv4.sign(key, sigv4.string_to_sign(timestamp, scope, canonical))
        credential = f"Credential={self.keys[0]}/{scope}"
        authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "authorization": authorization}


def etags_of(value: str) -> tuple[str, str]:
    """The ETag of a value from a PUT, and from a multipart upload of one part."""
    digest = hashlib.md5(value.encode(), usedforsecurity=False)
    return digest.hexdigest(), f"{hashlib.md5(digest.digest(), usedforsecurity=False).hexdigest()}-1"


@dataclass
class Recorder:
    """Where all clients write their calls, and look up which value an ETag stands for."""

    file: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    values: dict[str, str] = field(default_factory=dict)

    def know(self, value: str) -> None:
        """This value may be met from now on."""
        for etag in etags_of(value):
            self.values[etag] = value

    def write(self, **fields: Any) -> None:
        """One call."""
        with self.lock:
            self.file.write(json.dumps(fields) + "\n")


@dataclass
class Person:
    """One client: does one thing after the other to random keys, at a random node each time."""

    number: int
    clients: list[Client]
    bucket: str
    objects: list[str]
    recorder: Recorder
    random: random.Random
    done: int = 0

    def act(self) -> None:
        """One call."""
        key, client = self.random.choice(self.objects), self.random.choice(self.clients)
        what = self.random.choices(
            (self.put, self.read, self.delete, self.conditional, self.multipart, self.listing), (25, 35, 8, 15, 7, 10)
        )[0]
        what(client, key)

    def _value(self) -> str:
        self.done += 1
        value = f"p{self.number}-{self.done}"
        self.recorder.know(value)
        return value

    def _path(self, key: str) -> str:
        return f"/{self.bucket}/{quote(key)}"

    def _write(
        self, client: Client, key: str, op: str, value: str | None, headers: dict[str, str], **fields: Any
    ) -> None:
        """A PUT or DELETE, and what came of it."""
        start = time.monotonic_ns()
        method, body = ("DELETE", b"") if op == "delete" else ("PUT", (value or "").encode())
        try:
            status, _, _ = client.ask(method, self._path(key), "", body, headers)
        except NoAnswer:
            status = 0
        self._note(op, key, value, start, status, conditional=bool(headers), **fields)

    def _note(
        self, op: str, key: str, value: str | None, start: int, status: int, *, conditional: bool, **fields: Any
    ) -> None:
        if status in (200, 204):
            outcome = "ok"
        elif conditional and status in (404, 412):
            outcome = "refused"
        elif 400 <= status < 500 and status != 408:
            outcome = "failed"
        else:
            outcome = "unknown"
        self.recorder.write(
            process=self.number, op=op, key=key, value=value, outcome=outcome, start_ns=start,
            end_ns=time.monotonic_ns(), **fields,
        )  # fmt: skip

    def put(self, client: Client, key: str) -> None:
        """A plain PUT."""
        self._write(client, key, "put", self._value(), {})

    def delete(self, client: Client, key: str) -> None:
        """A plain DELETE."""
        self._write(client, key, "delete", None, {})

    def conditional(self, client: Client, key: str) -> None:
        """A PUT that wants the key to be absent, or to hold what was just read."""
        if self.random.random() < 0.4:
            self._write(client, key, "put", self._value(), {"if-none-match": "*"}, if_none_match="*")
            return
        seen = self.read(client, key)
        if seen is None:
            return
        value, etag = seen
        self._write(client, key, "put", self._value(), {"if-match": f'"{etag}"'}, if_match=value)

    def multipart(self, client: Client, key: str) -> None:
        """A multipart upload of one small part, each step at a node of its own."""
        value, path = self._value(), self._path(key)
        try:
            began, _, document = client.ask("POST", path, "uploads")
            if began != 200:
                return
            upload = ET.fromstring(document).findtext("{*}UploadId") or ""
            part = f"partNumber=1&uploadId={upload}"
            sent, headers, _ = self.random.choice(self.clients).ask("PUT", path, part, value.encode())
            if sent != 200:
                return
        except NoAnswer:
            return  # the value was not offered to the key yet
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{headers['etag']}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        start = time.monotonic_ns()
        try:
            status, _, document = self.random.choice(self.clients).ask("POST", path, f"uploadId={upload}", body)
        except NoAnswer:
            status = 0
        if status == 200 and b"<Error>" in document:
            status = 503
        self._note("put", key, value, start, status, conditional=False)

    def read(self, client: Client, key: str) -> tuple[str, str] | None:
        """A GET; the value seen and its ETag, if there was one."""
        start = time.monotonic_ns()
        try:
            status, headers, body = client.ask("GET", self._path(key))
        except NoAnswer:
            return None
        if status not in (200, 404):
            return None
        value = body.decode() if status == 200 else None
        self.recorder.write(
            process=self.number, op="read", key=key, value=value, outcome="ok", start_ns=start,
            end_ns=time.monotonic_ns(),
        )  # fmt: skip
        return (value, headers["etag"].strip('"')) if value is not None else None

    def listing(self, client: Client, _key: str) -> None:
        """A list of all keys."""
        start = time.monotonic_ns()
        try:
            status, _, body = client.ask("GET", f"/{self.bucket}", "list-type=2")
        except NoAnswer:
            return
        if status != 200:
            return
        end = time.monotonic_ns()
        found: dict[str, str | None] = dict.fromkeys(self.objects)
        for entry in ET.fromstring(body).iter():
            if _NAMESPACE.sub("", entry.tag) == "Contents":
                etag = (entry.findtext("{*}ETag") or "").strip('"')
                found[entry.findtext("{*}Key") or ""] = self.recorder.values.get(etag, f"?{etag}")
        self.recorder.write(
            process=self.number, op="list", keys=found, key="", outcome="ok", start_ns=start, end_ns=end
        )


def main() -> None:
    """Run the clients until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", action="append", required=True, help="HOST:PORT, once for each")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--history", required=True, help="file to write")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--objects", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keys = tuple(sys.stdin.readline().split())  # access key and secret key, which are nobody else's business
    objects = [f"key{number}" for number in range(options.objects)]
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    with open(options.history, "w", encoding="utf-8") as file:
        recorder = Recorder(file)

        def live(number: int) -> None:
            nodes = [node.rpartition(":") for node in options.node]
            clients = [Client(host, int(port), (keys[0], keys[1])) for host, _, port in nodes]
            dice = random.Random(options.seed * 1000 + number)
            person = Person(number, clients, options.bucket, objects, recorder, dice)
            deadline = time.monotonic() + options.seconds
            while not stop.is_set() and time.monotonic() < deadline:
                person.act()
                time.sleep(dice.uniform(0, 2 * PAUSE_SECONDS))

        threads = [threading.Thread(target=live, args=(number,)) for number in range(options.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("ended", flush=True)  # noqa: T201 -- to whoever started us


if __name__ == "__main__":
    main()
