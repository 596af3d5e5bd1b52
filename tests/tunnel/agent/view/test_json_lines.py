"""The view for programs: each line is an object, and says each thing once."""

import json

import msgspec

from tests.tunnel.agent.view.rows import row
from tunnel.agent.view.json_lines import JsonView
from tunnel.agent.view.view import Address


class Output:
    """Takes lines while it has room."""

    def __init__(self):
        self.text = ""
        self.room = True
        self.closed = False

    def write(self, text):
        if self.room:
            self.text += text
        return self.room

    def close(self):
        self.closed = True

    def lines(self):
        return [json.loads(line) for line in self.text.splitlines()]


def test_every_kind_of_line():
    output = Output()
    view = JsonView(output)
    view.state("connected", well=True)
    view.published([Address("http://localhost:80", "https://a.example.com/")])
    view.requests([row(), row("/y")], 3)
    view.note("something")
    view.published([])
    view.close()
    assert output.closed
    assert output.lines() == [
        {"type": "state", "text": "connected", "well": True},
        {"type": "published", "addresses": [{"service": "http://localhost:80", "url": "https://a.example.com/"}]},
        {"type": "request", **msgspec.to_builtins(row())},
        {"type": "request", **msgspec.to_builtins(row("/y"))},
        {"type": "left_out", "requests": 3},
        {"type": "note", "text": "something"},
        {"type": "published", "addresses": []},
    ]


def test_what_has_not_changed_is_not_said_again():
    output = Output()
    view = JsonView(output)
    for round_trip in (None, 0.1, 0.2):
        view.state("connected", well=True, round_trip=round_trip)
        view.published([Address("http://localhost:80", "https://a.example.com/")])
        view.requests([])
    assert [line["type"] for line in output.lines()] == ["state", "published"]


def test_texts_of_strangers_do_nothing_to_a_terminal():
    output = Output()
    JsonView(output).requests([row("/\x1b[2J\x9b1m\u202e\n")])
    assert output.text.isascii()
    assert output.text.count("\n") == 1
    assert output.text.rstrip("\n").isprintable()
    assert output.lines()[0]["path"] == "/\x1b[2J\x9b1m\u202e\n"


def test_an_output_that_is_too_slow_is_told_how_much_it_missed():
    output = Output()
    view = JsonView(output)
    output.room = False
    view.requests([row(), row()])
    output.room = True
    view.note("and on")
    view.note("and on")
    assert [line["type"] for line in output.lines()] == ["lines_lost", "note", "note"]
    assert output.lines()[0]["lines"] == 2
