"""Server-sent events: an EventSource gets each when it is sent, and comes back after an end."""

from collections.abc import Callable

from tests.browser.conftest import Publish, Visit


def test_events_come_one_by_one(serve: Callable[[str], int], publish: Publish, visit: Visit) -> None:
    page = visit("events_page.js", publish("events", serve("events_server.js")))
    page.wait_line("page: shows all events", "failed:")
    assert page.wait_end() == 0
