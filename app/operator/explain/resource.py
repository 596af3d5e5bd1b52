"""The row of `GET /-/explain` in the API's table: its parameters, and what answers."""

from typing import Final

from ..api.errors import bad_request, busy
from ..api.parameters import Choice, Flag, Parameter, Text
from ..api.resources import Answer, Asked, Node, answer
from .explaining import TooManyProbesError, explain
from .question import METHODS, ORIGIN_CHARACTERS, URL_CHARACTERS, WrongParameterError, question_of

PARAMETERS: Final = (
    Parameter(
        "url", Text("https://host/path", most_characters=URL_CHARACTERS), "The URL, as its client has it.",
        required=True,
    ),
    Parameter(
        "method", Choice(METHODS),
        "What its client sends. Absent: WEBSOCKET for a ws URL, else GET, which changes nothing at a service.",
    ),
    Parameter(
        "origin", Text("what a browser sends, like https://host", most_characters=ORIGIN_CHARACTERS),
        "The origin of the page that opens the WebSocket. Absent: a program opens it.",
    ),
    Parameter(
        "probe", Flag(), "Send the request too, with this method and without a body; the answer is thrown away.",
        default=True,
    ),
)  # fmt: skip


async def explanation(node: Node, asked: Asked) -> Answer:
    """What would become of a request for the URL, and why."""
    query = asked.query
    try:
        question = question_of(query["url"], query["method"], query["origin"], probes=query["probe"])
        return answer(await explain(node.gateway, question, asked.client))
    except WrongParameterError as error:
        raise bad_request(error.parameter, str(error)) from None
    except TooManyProbesError as error:
        raise busy(f"{error}; try again in a few seconds, or with probe=false") from None
