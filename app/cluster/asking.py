"""What the operator's side asks of other nodes: which there are, who has a cluster, and what they say.

Made of the parts of a node, and decides nothing: presence says who is there, the directory who has agents, and a query
goes over the peer link that this node dialled.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from tunnel.errors import LinkLostError, NodeBusyError, TunnelError
from tunnel.override import override

from ..node.asking import Ask, NotAnsweredError, OtherNode, Query, Reply
from .directory import Directory
from .peer.dialler import Dialler
from .peer.question import put
from .presence import Beats, Peer, PeerState

SECONDS: Final = 3.0
"""As long as it takes to find out that a peer is dead."""


class AskNodes(Ask):
    """See the module. `own`: this node."""

    def __init__(self, own: OtherNode, directory: Directory, dialler: Dialler) -> None:
        self._own = own
        self._directory = directory
        self._dialler = dialler

    @property
    @override
    def own(self) -> OtherNode:
        return self._own

    @override
    def others(self) -> Sequence[OtherNode]:
        there = (peer for peer in self._directory.presence if peer.state is not PeerState.GONE)
        return sorted((_named(peer) for peer in there), key=lambda other: other.node)

    @override
    def holders(self, cluster: str) -> Sequence[OtherNode]:
        presence = self._directory.presence
        peers = (presence.peer(node) for node in {claim.node for claim in self._directory.claims(cluster)})
        return sorted(
            (_named(peer) for peer in peers if peer is not None and peer.rank is not None),
            key=lambda other: other.node,
        )

    @override
    async def ask(self, node: str, query: Query) -> Reply:
        asking = self._dialler.asking(node)
        if asking is None:
            raise NotAnsweredError(self._unlinked(node))
        try:
            async with asyncio.timeout(SECONDS):
                return await put(asking.session, query)
        except TimeoutError:
            raise NotAnsweredError(f"no answer within {SECONDS:g} s") from None
        except NodeBusyError:
            raise NotAnsweredError("it is answering as many queries of this node as it may; try again") from None
        except LinkLostError as error:
            stops = asking.going_away and not asking.is_lost
            raise NotAnsweredError("it is stopping; ask it itself" if stops else str(error)) from None
        except TunnelError as error:
            raise NotAnsweredError(str(error)) from None

    def _unlinked(self, node: str) -> str:
        peer = self._directory.presence.peer(node)
        if peer is not None and peer.beat is None:
            if peer.beats is Beats.COME:
                return "its beats cannot be read here: it is of another release"
            return "it does not beat, and only what it left is known of it: it was killed, and is forgotten within 70 s"
        state = self._dialler.states().get(node)
        why = f": {state.why}" if state is not None and state.why else ""
        return f"there is no peer link to it{why}"


def _named(peer: Peer) -> OtherNode:
    return OtherNode(node=peer.node, name=peer.beat.name if peer.beat is not None else "")
