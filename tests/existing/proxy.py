"""Plain HTTP requests: to a service, or to the Kubernetes API, with the limits of section 5.

Two limits run: the request's own (`timeout`, `deadline`, 2 min) and the client's, 30 s for a service's whole answer.
Neither fires while a streamed body waits for its next piece before the answer has begun: such a request hangs until
the piece, the end or the cancel arrives (section 5.3).
"""

import asyncio
from dataclasses import replace

from tests.existing.envelope import report
from tests.existing.exchange import Exchange, ExchangeError, Request
from tests.existing.golang import encode_path, url_error
from tests.existing.link import GoneError, Link
from tests.existing.network import DialError
from tests.existing.options import Address, Options
from tests.existing.order import Order, Where
from tests.existing.pipe import Pipe
from tests.existing.reply import Buffered, Reply, Streamed

_FRAMING = {"content-length", "transfer-encoding", "host"}


def reply_to(link: Link, order: Order) -> Reply:
    """The shape of answer that the request asked for."""
    return Streamed(link, order.id) if order.streamed_answer else Buffered(link, order.id)


def through_ingress(order: Order, options: Options) -> Order:
    """The same request, to the ingress controller."""
    name, _, port = (options.ingress or "").partition(":")
    service, _, namespace = name.partition(".")
    return replace(order, service=service, namespace=namespace, port=int(port))


def address_of(order: Order, options: Options) -> Address:
    """Where a service really listens; raises DialError, as a name that is not in the DNS."""
    address = options.services.get(f"{order.service}.{order.namespace}:{order.port}")
    if address is None:
        raise DialError(f"dial tcp: lookup {order.authority().rpartition(':')[0]}: no such host")
    return address


def api_address(options: Options) -> tuple[Address, bool] | None:
    """Address of the Kubernetes API and whether it speaks TLS."""
    if options.api_server is None:
        return None
    scheme, separator, rest = options.api_server.partition("://")
    host, _, port = (rest if separator else scheme).rpartition(":")
    return (host, int(port)), scheme == "https"


async def serve(link: Link, options: Options, order: Order, pipe: Pipe | None) -> None:
    """One request, to its last message."""
    reply = reply_to(link, order)
    try:
        where = order.where(options)
        if where is Where.KUBERNETES:
            await _kubernetes(reply, options, order, pipe)
        else:
            await _service(reply, options, through_ingress(order, options) if where is Where.INGRESS else order, pipe)
    except GoneError:
        report("10", f"{order.id} ended with the connection")
    finally:
        if pipe is not None:
            await pipe.leave()


async def _service(reply: Reply, options: Options, order: Order, pipe: Pipe | None) -> None:
    try:
        target = order.target()
    except ValueError as error:
        await reply.fail(str(error))
        return
    scheme, authority = ("https" if order.tls else "http"), order.authority()
    headers = order.service_headers()
    if order.tls:
        headers = [line for line in headers if line[0] != "X-Forwarded-Proto"] + [("X-Forwarded-Proto", "https")]
    url = f"{scheme}://{authority}{target}"
    try:
        address = address_of(order, options)
    except DialError as error:
        await reply.fail(f"service request failed: {url_error(order.method, url, str(error))}")
        return
    request = Request(order.method, target, order.header("Host") or authority, headers, pipe or order.body)
    exchange = Exchange(request, address, tls=order.tls, send_buffer=options.send_buffer)
    await _run(reply, exchange, order, options, f"service request failed: {url_error(order.method, url, '')}")


async def _kubernetes(reply: Reply, options: Options, order: Order, pipe: Pipe | None) -> None:
    report("5.1", f"{order.id} goes to the Kubernetes API")
    api = api_address(options)
    if api is None:
        await reply.fail("kubernetes HTTP client not initialized")
        return
    (host, port), tls = api
    target = encode_path(order.path) + (f"?{order.query}" if order.query else "")
    headers = [
        (name, value) for name, values in order.headers.items() if name.lower() not in _FRAMING for value in values
    ]
    request = Request(order.method, target, f"{host}:{port}", headers, pipe or order.body)
    exchange = Exchange(request, (host, port), tls=tls, send_buffer=0)
    url = f"https://{host}:{port}{target}"
    await _run(reply, exchange, order, options, f"kubernetes API request failed: {url_error(order.method, url, '')}")


async def _run(reply: Reply, exchange: Exchange, order: Order, options: Options, prefix: str) -> None:
    async def carry() -> None:
        await reply.head(await exchange.head())
        async for piece in exchange.chunks():
            await reply.body(piece)
        await reply.end()

    if order.seconds <= 0:
        await reply.fail(f"{prefix}context deadline exceeded")
        return
    pipe = exchange.upload
    work = asyncio.create_task(carry())
    try:
        await asyncio.wait({work}, timeout=min(order.seconds, options.service_limit))
        if work.done():
            await work
            return
        if pipe is not None and pipe.starving and not exchange.head_received:
            report("5.3", f"{order.id} is past its limit and hangs until the next chunk, end or cancel")
            pipe.moved.clear()
            await pipe.moved.wait()
        work.cancel()
        await asyncio.wait({work})
        reason = "context deadline exceeded"
        if options.service_limit < order.seconds:
            reason += (
                " (Client.Timeout or context cancellation while reading body)"
                if exchange.head_received
                else " (Client.Timeout exceeded while awaiting headers)"
            )
        await reply.fail(reason if exchange.head_received else prefix + reason)
    except ExchangeError as error:
        await reply.fail(str(error) if exchange.head_received else f"{prefix}{error}")
    finally:
        work.cancel()
        await exchange.close()
