"""The chunked transfer coding (RFC 9112, 7.1), undone piece by piece without copying what is worth not copying.

Knows no I/O: it is fed what came and says where the body ended. Chunk extensions and trailer fields are skipped; S3's
own chunks and trailers are inside the body, and not this module's affair. Strict about line ends and sizes, because
two servers that disagree about them can be made to disagree about where a request ends.
"""

import re
from enum import Enum, auto
from functools import lru_cache

from rustfs.core.buffers import Buffer
from rustfs.http.messages import BodyBroken

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_BYTES_MAX = 4 << 10
_TRAILER_BYTES_MAX = 16 << 10
_COPY_BYTES_MAX = 2 << 10  # below this a copy is cheaper than a view, which also keeps the whole read alive


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


@lru_cache(maxsize=256)
def _chunk_size(line: bytes) -> int:
    match = _SIZE_LINE.fullmatch(line)
    if match is None or len(line) > _LINE_BYTES_MAX:
        raise BodyBroken(400, "malformed chunk size")
    return int(match[1], 16)


def _take_crumbs(data: bytes, offset: int, payload: bytearray) -> int:
    """Take small chunks that are here as a whole; a client that sends nothing else must not hold up the loop."""
    while True:
        start = data.find(b"\n", offset, offset + _LINE_BYTES_MAX) + 1
        if not start:
            return offset
        stop = start + _chunk_size(data[offset:start])
        if not start < stop <= start + _COPY_BYTES_MAX or data[stop : stop + 2] != b"\r\n":
            return offset
        payload += data[start:stop]
        offset = stop + 2


class ChunkedDecoder:
    """One body. After BodyBroken it must not be fed again."""

    __slots__ = ("_expect", "_line", "_remaining_bytes", "_trailer_bytes")

    def __init__(self) -> None:
        self._expect = _Expect.SIZE
        self._line = b""  # the beginning of a line whose end has not come
        self._remaining_bytes = 0  # of the current chunk
        self._trailer_bytes = 0

    @property
    def ended(self) -> bool:
        """Whether the last chunk and the trailer section are through."""
        return self._expect is _Expect.NOTHING

    def feed(self, data: bytes, offset: int, pieces: list[Buffer]) -> int:
        """Take `data` from `offset` on, append the payload to `pieces`, return the offset of what is not the body's.

        Raises BodyBroken (400).
        """
        small = bytearray()
        end = len(data)
        while offset < end and self._expect is not _Expect.NOTHING:
            if self._expect is _Expect.SIZE and not self._line:
                offset = _take_crumbs(data, offset, small)
            if self._expect is _Expect.DATA:
                count = min(self._remaining_bytes, end - offset)
                if count <= _COPY_BYTES_MAX:
                    small += memoryview(data)[offset : offset + count]
                else:
                    if small:
                        pieces.append(small)
                        small = bytearray()
                    pieces.append(memoryview(data)[offset : offset + count])
                offset += count
                self._remaining_bytes -= count
                if not self._remaining_bytes:
                    self._expect = _Expect.DATA_END
                continue
            stop = data.find(b"\n", offset) + 1
            self._line += data[offset : stop or end]
            offset = stop or end
            if stop:
                line, self._line = self._line, b""
                self._take_line(line)
            elif len(self._line) > _LINE_BYTES_MAX or (self._expect is _Expect.DATA_END and self._line != b"\r"):
                raise BodyBroken(400, "malformed chunk")
        if small:
            pieces.append(small)
        return offset

    def _take_line(self, line: bytes) -> None:
        if self._expect is _Expect.SIZE:
            self._remaining_bytes = _chunk_size(line)
            self._expect = _Expect.DATA if self._remaining_bytes else _Expect.TRAILER
        elif self._expect is _Expect.DATA_END:
            if line != b"\r\n":
                raise BodyBroken(400, "a chunk is longer than its size")
            self._expect = _Expect.SIZE
        else:
            self._trailer_bytes += len(line)
            if line[-2:] != b"\r\n" or self._trailer_bytes > _TRAILER_BYTES_MAX:
                raise BodyBroken(400, "malformed trailer section")
            if line == b"\r\n":
                self._expect = _Expect.NOTHING
