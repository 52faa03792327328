"""An Ethernet switch in user space: one port for each host, and rules about what gets lost or delayed between them.

Runs in a namespace of its own that holds the far ends of all hosts' cables. Kernels without netem can lose and delay
nothing, and a switch of our own cuts one direction as easily as both. Rules come as JSON lines on standard input:

    {"cut": [[0, 3]], "delay_ms": 20, "loss": 0.02}

`cut` lists [from, to]; everything else passes. `loss` is a probability, with a fixed seed. Frames keep their order.
"""

import fcntl
import heapq
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

_ETH_P_ALL = 3
_SIOCETHTOOL = 0x8946
# Checksums and segmentation are done by the sender: a frame that is passed on as it is must be whole. linux/ethtool.h:
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SUFO, SGSO, SGRO
_OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x22, 0x24, 0x2C)
_FRAME_BYTES_MAX = 65_600
_BROADCAST = b"\xff" * 6


def whole_frames(interface: str) -> None:
    """Let the kernel leave nothing of a frame to the hardware that is not there. For the calling namespace."""
    import ctypes

    with socket.socket() as probe:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(probe, _SIOCETHTOOL, request)
            except OSError:
                continue  # this kernel has no such switch


class Switch:
    """Learns which host is where, and passes frames on."""

    def __init__(self, ports: int, seed: int) -> None:
        self._sockets = [self._open(f"port{number}") for number in range(ports)]
        self._where: dict[bytes, int] = {}
        self._cut: set[tuple[int, int]] = set()
        self._delay_seconds = 0.0
        self._loss = 0.0
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._rules = b""

    @staticmethod
    def _open(interface: str) -> socket.socket:
        whole_frames(interface)
        port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        port.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING: what we send does not come back
        port.bind((interface, _ETH_P_ALL))
        port.setblocking(False)
        return port

    def run(self) -> None:
        """Until standard input ends."""
        selector = selectors.DefaultSelector()
        for number, port in enumerate(self._sockets):
            selector.register(port, selectors.EVENT_READ, number)
        selector.register(0, selectors.EVENT_READ, None)
        print("ready", flush=True)  # noqa: T201 -- to whoever started us
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in selector.select(wait):
                if key.data is None:
                    if not self._obey():
                        return
                else:
                    self._receive(key.data)
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, to, frame = heapq.heappop(self._due)
                self._send(to, frame)

    def _obey(self) -> bool:
        said = os.read(0, 65_536)
        *lines, self._rules = (self._rules + said).split(b"\n")
        for line in lines:
            rules = json.loads(line)
            self._cut = {(a, b) for a, b in rules.get("cut", ())}
            self._delay_seconds = rules.get("delay_ms", 0) / 1000
            self._loss = rules.get("loss", 0.0)
            print("done", flush=True)  # noqa: T201 -- to whoever gave the rules
        return bool(said)

    def _receive(self, number: int) -> None:
        for _ in range(64):
            try:
                frame = self._sockets[number].recv(_FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            self._where[frame[6:12]] = number
            target = self._where.get(frame[:6]) if frame[:6] != _BROADCAST else None
            for to in range(len(self._sockets)) if target is None else (target,):
                if to != number and (number, to) not in self._cut and self._random.random() >= self._loss:
                    self._pass_on(to, frame)

    def _pass_on(self, to: int, frame: bytes) -> None:
        if not self._delay_seconds:
            self._send(to, frame)
            return
        self._count += 1
        heapq.heappush(self._due, (time.monotonic() + self._delay_seconds, self._count, to, frame))

    def _send(self, to: int, frame: bytes) -> None:
        try:
            self._sockets[to].send(frame)
        except OSError:
            return  # as a real one does: a full queue loses frames


if __name__ == "__main__":
    Switch(int(sys.argv[1]), int(sys.argv[2])).run()
