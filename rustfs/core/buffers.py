"""What counts as a run of bytes: every hot path takes any of these and copies none of them."""

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
