"""The deadlines of an HTTP call: for the answer's head, for the next byte of either body, for the service to read."""

from typing import NamedTuple

from tunnel.errors import ClientTooSlowError, TooSlowError, TunnelError
from tunnel.port import ResponseHead

from ..observed.metrics import Limit
from ..rules.policy import Policy
from .header_rules import is_event_stream
from .upload import Upload


class Overdue(NamedTuple):
    """The limit that was hit, how the call fails, and whether the client is to blame."""

    limit: Limit
    error: TunnelError
    by_client: bool = False


def overdue(
    policy: Policy, now: float, head: ResponseHead | None, upload: Upload | None,
    *, opened_at: float, last_data: float, done: bool,
) -> Overdue | None:  # fmt: skip
    """What is overdue at `now`, if anything is. `upload`: of a request with a body. `done`: the answer is complete."""
    progress_at = upload.progress_at if upload is not None else opened_at
    if upload is not None and upload.stalled and now - progress_at > policy.http_write_timeout:
        return Overdue(Limit.TIMEOUT_WRITE, TooSlowError("the service does not read the request's body"))
    if done:
        return None
    if head is None:
        seconds = policy.response_head_timeout
        if now - max(last_data, progress_at) <= seconds:
            return None
        if upload is None or upload.ended or upload.stalled:
            return Overdue(Limit.TIMEOUT_HEAD, TooSlowError(f"no answer within {seconds:g} s"))
        return Overdue(Limit.TIMEOUT_HEAD, ClientTooSlowError(f"no byte of the body for {seconds:g} s"), by_client=True)
    if now - max(last_data, progress_at) <= policy.idle_timeout or is_event_stream(head.headers):
        return None
    return Overdue(Limit.TIMEOUT_IDLE, TooSlowError(f"no byte of the answer for {policy.idle_timeout:g} s"))
