"""Streams of nodes made one: bounded, and ended with their reader."""

import asyncio

from rustfs.node.gathering import QUEUED_MAX, Ended, Merged


class Source:
    """A node's stream, which notes how much of it was taken and whether it was closed."""

    def __init__(self, count, error=None):
        self.taken = 0
        self.closed = False
        self._count = count
        self._error = error

    async def stream(self):
        try:
            for number in range(self._count):
                self.taken += 1
                yield number
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


def run(scenario):
    async def main():
        async with asyncio.timeout(10.0):
            await scenario()

    asyncio.run(main())


def test_all_messages_come_and_each_node_says_that_it_is_over():
    async def scenario():
        failure = RuntimeError("gone")
        sources = {"a": Source(3), "b": Source(2, failure)}
        seen, ended = {"a": [], "b": []}, {}
        async with Merged({node: source.stream() for node, source in sources.items()}) as merged:
            while len(ended) < 2:
                node, message = await merged.next()
                if isinstance(message, Ended):
                    ended[node] = message.__cause__
                else:
                    seen[node].append(message)
        assert seen == {"a": [0, 1, 2], "b": [0, 1]}
        assert ended == {"a": None, "b": failure}

    run(scenario)


def test_a_reader_that_does_not_read_holds_the_nodes_up_and_closes_them():
    async def scenario():
        source = Source(10_000)
        async with Merged({"a": source.stream()}) as merged:
            assert await merged.next() == ("a", 0)
            for _ in range(1_000):
                await asyncio.sleep(0)
            assert source.taken <= QUEUED_MAX + 2
            assert not source.closed
        assert source.closed

    run(scenario)


def test_where_nothing_comes_the_reader_gets_a_turn():
    async def scenario():
        async def silent():
            await asyncio.Event().wait()
            yield 0

        async with Merged({"a": silent()}) as merged:
            assert await merged.next() is None

    run(scenario)
