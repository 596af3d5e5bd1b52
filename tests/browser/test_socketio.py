"""A chat on Socket.IO: two pages hear each other, over the WebSockets to which the library upgraded."""

from collections.abc import Callable

from tests.browser.conftest import Publish, Visit


def test_two_pages_hear_each_other(serve: Callable[[str], int], publish: Publish, visit: Visit) -> None:
    page = visit("socketio_page.js", publish("chat", serve("socketio_server.js")))
    page.wait_line("page: both see what 1 said", "failed:")
    assert page.wait_end() == 0
