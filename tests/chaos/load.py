"""The clients of a chaos run: a steady, modest load of every kind, each exchange with an id, all in the ledger.

No client tries anything again, and each request has a connection of its own: what the ledger holds is what one
request was told. WebSockets are `tests/soak/talkers.py`'s.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from tests.chaos.entries import Request, Talk
from tests.chaos.ledger import Ledger
from tests.chaos.schedule import CLUSTERS
from tests.services.pattern import digest
from tests.soak.talkers import Conversation, Refusal, Talker
from tests.system.clients import http_client
from tests.system.harness import DOMAIN

WORKERS_EACH = 6
"""Of each cluster."""
TALKERS_EACH = 4
PAUSE_SECONDS = 0.05
REFUSED_SECONDS = 0.5
"""After a failure, as people do: what fails fast is not most of the load."""
SLOW_SECONDS = 6
SMALL_BODY = b"small"
UPLOAD = bytes(range(256)) * 1_600
DOWNLOAD_BYTES = 400_000
DOWNLOAD_DIGEST = digest(DOWNLOAD_BYTES)
EVENTS = 10

Ask = Callable[[aiohttp.ClientSession, Request], Awaitable[None]]


def host_of(cluster: str) -> str:
    return f"{cluster}.{DOMAIN}"


@dataclass
class Load:
    """Runs until `over`, and then until every exchange has its outcome."""

    port: int
    ledger: Ledger
    over: asyncio.Event

    async def run(self) -> None:
        talkers = [
            (Talker(self._websocket_url(cluster), f"{cluster}-ws{number}", self.over), cluster)
            for cluster in CLUSTERS
            for number in range(TALKERS_EACH)
        ]
        async with http_client(limit=0, headers={"Connection": "close"}) as http, asyncio.TaskGroup() as group:
            for talker, _ in talkers:
                group.create_task(talker.run())
            for cluster in CLUSTERS:
                for number in range(WORKERS_EACH):
                    group.create_task(self._work(http, cluster, number))
        for talker, cluster in talkers:
            self.ledger.talks += (talk_of(each, cluster) for each in talker.conversations)
            for refusal in talker.refusals:
                self.ledger.begin(handshake_of(refusal, cluster))

    def _websocket_url(self, cluster: str) -> Callable[[str], str]:
        return lambda path: f"ws://{host_of(cluster)}:{self.port}{path}"

    def _url(self, request: Request, path: str) -> str:
        return f"http://{host_of(request.cluster)}:{self.port}{path}"

    async def _work(self, http: aiohttp.ClientSession, cluster: str, worker: int) -> None:
        kinds: list[tuple[Ask, bool]] = [
            (self._get, True), (self._post, False), (self._get, True), (self._upload, False),
            (self._slow_post, False), (self._download, True), (self._get, True), (self._events, True),
        ]  # fmt: skip
        turn = worker * 2  # not all the same at once
        while not self.over.is_set():
            ask, is_repeatable = kinds[turn % len(kinds)]
            request = Request(f"{cluster}-{worker}-{turn}", cluster, time.monotonic(), is_repeatable)
            self.ledger.begin(request)
            turn += 1
            try:
                await ask(http, request)
            except TimeoutError:
                request.is_hung, request.is_whole = True, False
            except (aiohttp.ClientError, OSError) as error:
                request.error, request.is_whole = type(error).__name__, False
            request.ended = time.monotonic()
            await asyncio.sleep(PAUSE_SECONDS if request.is_good else REFUSED_SECONDS)  # the pace of the load

    async def _get(self, http: aiohttp.ClientSession, request: Request) -> None:
        async with http.get(self._url(request, f"/get?id={request.key}")) as answer:
            if (body := await told(request, answer)) is not None:
                request.is_right = is_json(body, {"id": request.key})

    async def _post(self, http: aiohttp.ClientSession, request: Request) -> None:
        await self._send(http, request, SMALL_BODY)

    async def _slow_post(self, http: aiohttp.ClientSession, request: Request) -> None:
        """Longer under way than a gateway that stops gives it: its client must not be told to try again."""
        await self._send(http, request, SMALL_BODY, f"&seconds={SLOW_SECONDS}")

    async def _upload(self, http: aiohttp.ClientSession, request: Request) -> None:
        await self._send(http, request, UPLOAD)

    async def _send(self, http: aiohttp.ClientSession, request: Request, data: bytes, more: str = "") -> None:
        async with http.post(self._url(request, f"/post?id={request.key}{more}"), data=data) as answer:
            if (body := await told(request, answer)) is not None:
                request.is_right = is_json(body, {"id": request.key, "sha256": hashlib.sha256(data).hexdigest()})

    async def _download(self, http: aiohttp.ClientSession, request: Request) -> None:
        async with http.get(self._url(request, f"/download?id={request.key}&size={DOWNLOAD_BYTES}")) as answer:
            if (body := await told(request, answer)) is not None:
                request.is_right = hashlib.sha256(body).hexdigest() == DOWNLOAD_DIGEST

    async def _events(self, http: aiohttp.ClientSession, request: Request) -> None:
        """Events are right as far as they come, too."""
        due = "".join(f"data: {request.key} {number}\n\n" for number in range(EVENTS)).encode()
        came = b""
        async with http.get(self._url(request, f"/events?id={request.key}&count={EVENTS}")) as answer:
            if answer.status != 200:
                await told(request, answer)
                return
            note(request, answer)
            try:
                async for piece in answer.content.iter_any():
                    came += piece
            finally:
                request.is_right = due.startswith(came)
            request.is_right = came == due


def note(request: Request, answer: aiohttp.ClientResponse) -> None:
    """What the head says."""
    request.status = answer.status
    request.answered_by = answer.headers.get("X-Cluster", "")
    request.node = answer.headers.get("X-Node", "")
    request.told_to_retry = "Retry-After" in answer.headers


def is_json(body: bytes, due: object) -> bool:
    try:
        return bool(json.loads(body) == due)
    except ValueError:
        return False


async def told(request: Request, answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body of a 200, which may be empty; else None, and whether there was a page."""
    note(request, answer)
    body = await answer.read()
    if answer.status == 200:
        return body
    request.has_page = bool(body)
    return None


def talk_of(one: Conversation, cluster: str) -> Talk:
    return Talk(
        one.key, cluster, one.began, one.ended, one.sent, one.received, one.ending, one.code,
        answered_by=one.headers.get("X-Cluster", ""), node=one.headers.get("X-Node", ""),
    )  # fmt: skip


def handshake_of(refusal: Refusal, cluster: str) -> Request:
    """A WebSocket without a 101 is a request that was refused. It is a GET."""
    return Request(
        refusal.key,
        cluster,
        refusal.began,
        is_repeatable=True,
        ended=refusal.ended,
        status=refusal.status,
        node=refusal.headers.get("X-Node", ""),
        has_page=bool(refusal.body),
        is_hung="TimeoutError" in refusal.said,
        error=refusal.said,
    )
