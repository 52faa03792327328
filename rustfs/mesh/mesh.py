"""All peers of a node, as one of its workers sees them: links, connections for calls, and the drives behind them."""

import asyncio
from collections.abc import Sequence

from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.authentication import Signer
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.channel import ChannelCredentials, Peer, PeerChannel
from rustfs.mesh.identity import Self
from rustfs.mesh.link import Link
from rustfs.mesh.remote import RemoteDrive


class Mesh:
    """See the module. Made and used by the event loop's thread."""

    def __init__(
        self,
        own: Self,
        signer: Signer,
        peers: Sequence[Peer],
        credentials: ChannelCredentials | None,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        def open_channel(peer: Peer) -> PeerChannel:
            return PeerChannel(peer, own, signer, credentials)

        self.links = {peer.node: Link(peer, open_channel, clock, entropy) for peer in peers}
        self.calls = {node: PeerCalls(link, open_channel) for node, link in self.links.items()}
        self._drives: list[RemoteDrive] = []

    def start(self) -> None:
        """Begin to connect to all peers."""
        for link in self.links.values():
            link.start()

    async def close(self) -> None:
        """Send what is waiting and end all conversations."""
        for drive in self._drives:
            drive.flush_notes()
        await asyncio.gather(*(link.close() for link in self.links.values()))
        await asyncio.gather(*(calls.close() for calls in self.calls.values()))

    def drive(self, node: str, index: int, position: int, endpoint: str, expected_id: str = "") -> RemoteDrive:
        """A drive of a peer; see RemoteDrive."""
        drive = RemoteDrive(self.links[node], self.calls[node], index, position, endpoint, expected_id)
        self._drives.append(drive)
        return drive

    def online(self) -> list[str]:
        """Peers that answer."""
        return [node for node, link in self.links.items() if link.up]
