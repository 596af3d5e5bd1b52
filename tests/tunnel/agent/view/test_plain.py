"""The view in plain lines, over an output that may have no room."""

from tests.tunnel.agent.view.rows import row
from tunnel.agent.view import Address
from tunnel.agent.view.plain import PlainView

VITE = Address("http://localhost:5173", "https://me.example.com/")
API = Address("http://localhost:8000", "https://api.me.example.com/")


class Output:
    def __init__(self):
        self.lines = []
        self.full = self.closed = False

    def write(self, text):
        if not self.full:
            self.lines.append(text)
        return not self.full

    def close(self):
        self.closed = True

    def taken(self):
        taken, self.lines = self.lines, []
        return taken


def make():
    output = Output()
    return PlainView(output), output


def test_addresses_are_said_once():
    view, output = make()
    view.published([VITE])
    view.published([VITE, API])
    view.published([VITE, API])
    assert output.taken() == [
        "http://localhost:5173 is published at https://me.example.com/\n",
        "http://localhost:8000 is published at https://api.me.example.com/\n",
    ]
    view.published([API])
    assert output.taken() == ["http://localhost:5173 is no longer published at https://me.example.com/\n"]


def test_a_link_is_said_to_be_lost_and_back():
    view, output = make()
    view.state("connecting")
    view.state("refused; trying again")
    view.state("connected", well=True)
    view.state("connected", well=True, round_trip=0.1)
    assert output.taken() == []
    view.state("lost\x1b[2J; trying again")
    view.state("refused; trying again")
    view.state("connected", well=True)
    assert output.taken() == ["lost\\x1b[2J; trying again\n", "connected\n"]


def test_a_request_names_its_host_where_there_are_several():
    view, output = make()
    view.published([VITE])
    output.taken()
    view.requests([row("/1")])
    assert output.taken() == ["2026-11-29T09:52:39Z 200 GET /1 12 ms 203.0.113.7\n"]


def test_requests_and_notes():
    view, output = make()
    view.published([VITE, API])
    output.taken()
    view.requests([row("/1"), row("/2\n")], left_out=3)
    view.note("one\ntwo")
    assert output.taken() == [
        "2026-11-29T09:52:39Z 200 GET me.example.com/1 12 ms 203.0.113.7\n",
        "2026-11-29T09:52:39Z 200 GET me.example.com/2\\n 12 ms 203.0.113.7\n",
        "left out 3 more\n",
        "one\\ntwo\n",
    ]


def test_an_output_without_room_loses_lines_and_says_how_many():
    view, output = make()
    output.full = True
    view.note("lost")
    view.note("lost too")
    output.full = False
    view.note("seen")
    assert output.taken() == ["(2 lines are missing here: the output was too slow)\n", "seen\n"]
    output.full = True
    view.note("lost")
    output.full = False
    view.close()
    assert output.taken() == ["(1 line is missing here: the output was too slow)\n"]


def test_it_leaves_the_log_alone_and_closes():
    view, output = make()
    assert not view.takes_log
    view.close()
    assert output.closed
