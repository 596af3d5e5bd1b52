"""Which object carries an open WebSocket: a splice, where its bytes pass, or a conversation, which carries messages."""

from tunnel.account import Account
from tunnel.port import Exchange

from ..observed.access import Record
from ..observed.metrics import Metrics
from ..rules.policy import Policy
from .client_port import Handshake
from .conversation import Conversation
from .silence import Sleeper
from .splice import Splice


def carry(
    exchange: Exchange, policy: Policy, client: Handshake, reserved: int | None, *,
    account: Account, metrics: Metrics, record: Record, call: Sleeper,
) -> Conversation | Splice:  # fmt: skip
    """Open the client's end, after its 101. `reserved`: the reserved bits of a splice; None: it is not spliced.

    For `call` see `Conversation`.
    """
    if reserved is None:
        opened = client.open(policy.max_message_bytes, account)
        return Conversation(exchange, policy, opened, account=account, metrics=metrics, record=record, call=call)
    return Splice(
        exchange, policy, client.splice(), reserved=reserved,
        account=account, metrics=metrics, record=record, call=call,
    )  # fmt: skip
