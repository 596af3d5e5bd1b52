"""Decodes the agent's messages about answers and tells their exchange. The same in both dialects.

No state and no I/O. Raises MessageError for a message that cannot be understood; the caller ends the exchange.
"""

import msgspec

from tunnel.gateway.proxied.answer import AnswerHead, decoded_headers
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.wire.messages import Envelope, MessageError, decode_payload
from tunnel.wire.proxy_messages import BodyChunk, Failure, decode_data

ANSWER_TYPES = frozenset(
    (
        "proxy_response", "proxy_response_header", "proxy_response_chunk", "proxy_response_end",
        "proxy_response_abort", "proxy_error",
    )
)  # fmt: skip


class Ids(msgspec.Struct):
    """Where a message may name its exchange, besides the top level."""

    request_id: str = ""
    stream_id: str = ""


class _Header(msgspec.Struct):
    """`ResponseHeader` with its fields not decoded yet."""

    status: int
    headers: msgspec.Raw = msgspec.Raw(b"null")


class _Response(_Header):
    """`Response` with its fields not decoded yet."""

    body: str = ""
    encoding: str = ""


def id_of(envelope: Envelope) -> str:
    """The id of the exchange that a message is about. Raises MessageError if it has none."""
    if envelope.request_id:
        return envelope.request_id
    ids = decode_payload(envelope, Ids)
    request_id = ids.request_id or ids.stream_id
    if not request_id:
        raise MessageError(f"{envelope.type} without a request_id")
    return request_id


def deliver_answer(exchange: ProxiedExchange, envelope: Envelope) -> bool:
    """Tell an exchange one of `ANSWER_TYPES`; False for any other type. Raises MessageError."""
    match envelope.type:
        case "proxy_response_chunk":
            exchange.chunk_received(decode_data(decode_payload(envelope, BodyChunk).data))
        case "proxy_response_header":
            header = decode_payload(envelope, _Header)
            exchange.header_received(AnswerHead(header.status, decoded_headers(header.headers)))
        case "proxy_response_end":
            exchange.end_received()
        case "proxy_response_abort" | "proxy_error":
            exchange.abort_received(decode_payload(envelope, Failure).error)
        case "proxy_response":
            exchange.whole_received(*_whole(decode_payload(envelope, _Response)))
        case _:
            return False
    return True


def _whole(response: _Response) -> tuple[AnswerHead, bytes]:
    encoding = response.encoding.lower()
    if encoding not in ("", "base64", "gzip"):
        raise MessageError("proxy_response with an encoding that is neither base64 nor gzip")
    body = decode_data(response.body) if encoding else response.body.encode()
    headers = decoded_headers(response.headers)
    return AnswerHead(response.status, headers, gzipped=encoding == "gzip" and bool(body)), body
