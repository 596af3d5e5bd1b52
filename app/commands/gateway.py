"""`RunningGateway`: the operator's API of a gateway that runs, as the commands ask it.

Whatever goes wrong is a `CommandError` with what to do: nobody answers, the admin token is missing or wrong, the path
is not there, or the gateway refused and said why.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, NoReturn
from urllib.parse import quote

import httpx

from ..settings import admin_token
from .statuses import CommandError, Status

Query = Mapping[str, str | int | float | bool | None]
"""Parameters by name. None: not given."""
Json = dict[str, Any]

ANSWER_SECONDS: Final = 10.0
PAGE_ROWS: Final = 1_000
"""The most that the API puts on one page."""
_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)
"""UnicodeError: the host is no name in DNS."""
_IN_ALL_VERSIONS: Final = ("drain",)
_TOLD_CHARACTERS: Final = 500


class UnreachableError(CommandError):
    """No answer came, or not a whole one, or not one of a gateway."""

    def __init__(self, command: str, url: str, cause: str) -> None:
        text = f"{command}: {url}: {cause}; is the gateway running at this address? See --url and GATEWAY_URL"
        super().__init__(text, status=Status.UNREACHABLE)


class RunningGateway:
    """One gateway. `command`: who asks, for the messages. Raises ConfigurationError for a token that is none."""

    def __init__(self, command: str, url: str, token_file: str | None) -> None:
        self.command = command
        self.url = url
        self._secret = admin_token(token_file)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, wherever it stands."""
        return () if self._secret is None else (self._secret,)

    def ask(self, method: str, path: str, query: Query | None = None, *, seconds: float = ANSWER_SECONDS) -> Json:
        """The JSON of the answer. `seconds`: how long it may take. Raises CommandError."""
        response = self.answer(method, path, query, seconds=seconds)
        if not response.is_success:
            self.refuse(response)
        return self.read(response.text)

    def answer(
        self, method: str, path: str, query: Query | None = None, *, seconds: float = ANSWER_SECONDS
    ) -> httpx.Response:
        """The answer, whatever its status. Raises UnreachableError."""
        try:
            with self._client(seconds) as client:
                return client.request(method, self._target(path, query))
        except _FAILURES as error:
            raise self._unreachable(error) from error

    @contextmanager
    def stream(self, path: str, query: Query, headers: dict[str, str], *, seconds: float) -> Iterator[Iterator[bytes]]:
        """The body of a GET, as it comes. `seconds`: the longest silence. Raises CommandError."""
        fields = {**headers, "accept": "text/event-stream, application/json"}
        try:
            with self._client(seconds) as client, client.stream("GET", self._target(path, query), headers=fields) as it:
                if not it.is_success:
                    it.read()
                    self.refuse(it)
                yield it.iter_bytes()
        except _FAILURES as error:
            raise self._unreachable(error) from error

    def pages(self, resource: str, query: Query, limit: int | None = None) -> Json:
        """A list, at most `limit` rows of it, as if it came on one page. Raises CommandError."""
        path = f"/-/{resource}"
        rows: list[Any] = []
        after = query.get("after")
        while True:
            wanted = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(rows))
            page = self.ask("GET", path, {**query, "limit": wanted, "after": after})
            try:
                fresh, following = page[resource], page["next"]
                rows += fresh
            except (KeyError, TypeError):
                raise self.not_a_gateway() from None
            # Of events, `next` is always a number: the last page is the one that is not full.
            is_last = following is None or not fresh or (resource == "events" and len(fresh) < wanted)
            if is_last or (limit is not None and len(rows) >= limit):
                return {**page, resource: rows}
            after = following

    def read(self, text: str) -> Json:
        """The JSON object in an answer. Raises UnreachableError."""
        value = _parsed(text)
        if not isinstance(value, dict):
            raise self.not_a_gateway()
        return value

    def not_a_gateway(self) -> UnreachableError:
        """For an answer that no gateway gives."""
        return UnreachableError(self.command, self.url, "what answers there is no gateway of this kind")

    def refuse(self, response: httpx.Response) -> NoReturn:
        """Raise what this answer, which is not a success, means."""
        status, body = response.status_code, _parsed(response.text)
        body = body if isinstance(body, dict) else {}
        answered = f"{self.command}: {self.url} answered {status}: {told(response.text) or response.reason_phrase}"
        if status == 401:
            raise CommandError(answered.rstrip(".") + self._about_token(), status=Status.UNAUTHORISED)
        if status == 400 and body.get("parameter"):
            raise CommandError(f"{self.command}: {told(response.text)}", status=Status.WRONG)
        if status == 409 and isinstance(body.get("errors"), list):
            first = f"{self.command}: {self.url}: the configuration is wrong, and nothing has changed"
            raise CommandError(first, *map(str, body["errors"]), status=Status.WRONG)
        if status == 404:
            raise CommandError(answered.rstrip(".") + _about_path(response.request.url.path))
        raise CommandError(answered)

    def _about_token(self) -> str:
        if self._secret is None:
            return "; set GATEWAY_ADMIN_TOKEN or --admin-token-file"
        return "; the gateway has another admin token than GATEWAY_ADMIN_TOKEN or --admin-token-file gives"

    def _client(self, seconds: float) -> httpx.Client:
        headers = {b"accept": b"application/json"}
        if self._secret is not None:
            headers[b"authorization"] = f"Bearer {self._secret}".encode()  # the gateway has the hash of its UTF-8
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, read=seconds),
            trust_env=False,  # a proxy of the environment would lead away from this machine
            verify=self._tls,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts the system's CAs, where httpx has a list of its own."""
        return ssl.create_default_context()

    def _target(self, path: str, query: Query | None) -> str:
        given = {name: _written(value) for name, value in (query or {}).items() if value is not None}
        encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
        return f"{self.url}{path}" + (f"?{encoded}" if encoded else "")

    def _unreachable(self, error: Exception) -> UnreachableError:
        late = isinstance(error, httpx.TimeoutException)
        cause = "no answer in time" if late else str(error) or type(error).__name__
        return UnreachableError(self.command, self.url, cause)


def told(text: str) -> str:
    """The text of an answer on one line: the message of a JSON answer, else the body."""
    value = _parsed(text)
    message = value.get("message", text) if isinstance(value, dict) else text
    return " ".join(str(message).split())[:_TOLD_CHARACTERS]


def _parsed(text: str) -> object:
    """The JSON value that a text is. None: it is none, or one that no gateway gives."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def path_to(*names: str) -> str:
    """The path of a resource, with whatever a person wrote for a name.

    >>> path_to("links", "link-7", "drain")
    '/-/links/link-7/drain'
    """
    return "/-/" + "/".join(quote(name, safe="") for name in names)


def _about_path(path: str) -> str:
    """What a 404 may mean. Where the path names a link or an exchange, the answer says that it is not there."""
    _, _, name = path.rpartition("/-/")
    if "/" in name or name in _IN_ALL_VERSIONS:
        return ""
    return (
        f"; there is no /-/{name}: start the gateway with an admin token (GATEWAY_ADMIN_TOKEN), ask it at one of its "
        "control_hosts, or upgrade it: it may be older than this program"
    )


def _written(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
