"""Some requests, one after the other, from the host where it runs: `python -m tests.netns.asking`.

Standard input: a line with access key and secret key, then one with a JSON list of requests. Standard output: the JSON
list of their answers. What does not come within the time is status 0.
"""

import json
import sys
import time
from typing import Any

from tests.netns.workload import Client, NoAnswer

TIMEOUT_SECONDS = 15.0  # more than the tests allow: a late answer is told from none


def answer(keys: tuple[str, str], request: dict[str, Any]) -> dict[str, Any]:
    """One request, tried once, on a connection of its own."""
    client = Client(request["host"], request["port"], keys, TIMEOUT_SECONDS)
    start = time.monotonic_ns()
    try:
        status, _, body = client.ask(
            request["method"], request["path"], request["query"], request["body"].encode(), None
        )
    except NoAnswer as error:
        status, body = 0, str(error).encode()
    finally:
        client.close()
    return {"status": status, "body": body.decode(), "start_ns": start, "end_ns": time.monotonic_ns()}


def main() -> None:
    """See the module."""
    access_key, secret_key = sys.stdin.readline().split()
    requests = json.loads(sys.stdin.readline())
    json.dump([answer((access_key, secret_key), request) for request in requests], sys.stdout)


if __name__ == "__main__":
    main()
