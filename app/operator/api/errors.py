"""What the operator's API answers when it cannot do what was asked: one shape, and one code per status.

Messages name the parameter and say what to write instead. They repeat numbers, never texts: a text may be a secret that
was put in the wrong place.
"""

from collections.abc import Mapping

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The body of such an answer."""

    status: int
    code: str
    parameter: str | None
    """The query parameter that is wrong, or `body`. null: it is none of them."""
    message: str


class NotAdmitted(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a 401, as JSON. A browser gets a page instead."""

    status: int
    code: str
    message: str
    hint: str


class ApiError(Exception):
    """The request gets this answer instead."""

    def __init__(
        self, status: int, code: str, message: str, *, parameter: str | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.fault = Fault(status=status, code=code, parameter=parameter, message=message)
        self.headers = headers

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return msgspec.json.encode(self.fault) + b"\n"


def bad_request(parameter: str | None, message: str) -> ApiError:
    """What was asked is not valid."""
    return ApiError(400, "bad_request", message, parameter=parameter)


def not_found(message: str) -> ApiError:
    """There is no such thing, and we do not know that there ever was."""
    return ApiError(404, "not_found", message)


def method_not_allowed(allowed: str) -> ApiError:
    """The path is there, the method is not. `allowed`: the value of Allow."""
    message = f"this path does not take the method; use {allowed}"
    return ApiError(405, "method_not_allowed", message, headers={"allow": allowed})


def gone(message: str) -> ApiError:
    """It was there, and has ended."""
    return ApiError(410, "gone", message)


def busy(message: str) -> ApiError:
    """There is no room for it now."""
    return ApiError(503, "busy", message, headers={"retry-after": "5"})
