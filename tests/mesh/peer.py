"""A node in a process of its own, so that a test can stop or kill it.

python -m tests.mesh.peer NAME PORTS ROOT [DATA_ID]: PORTS is JSON, port by node. It serves the drive at ROOT as number
0; given a data id (hexadecimal), it stages a shard of that name on drive 0 of node b, too, and holds it. It says
"ready", and ends with its standard input.
"""

import asyncio
import json
import sys

from tests.drive.harness import open_drives
from tests.mesh.harness import open_node


async def main(name: str, ports: dict[str, int], root: str, data_id: bytes) -> None:
    """See the module."""
    async with open_drives([root]) as drives, open_node(name, ports, {0: drives[0]}) as node:
        if data_id:
            await node.wait_up(1)
            shard = await node.mesh.drive("b", 0, 0, "b/drive").stage(data_id, 7)
            await asyncio.to_thread(shard.write, [b"payload"])
            await shard.finish()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], bytes.fromhex(*sys.argv[4:5] or [""])))
