"""The board: one entry for each thing, its words, and who hears of a change."""

import asyncio

import msgspec

from app.demo.board import Board, Snapshot, State
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_a_change_is_told_once_and_wakes_who_waits():
    board = Board("r1", "http://demo.localhost:1/")
    told: list[State] = []
    board.listeners.append(lambda: told.append(board["chat"].state))
    waiting = asyncio.create_task(board.until(lambda: bool(told) and board["chat"].state is State.RUNNING))
    await quiet()
    for _ in range(2):
        board.set("chat", "chat", State.STARTING)
    await quiet()
    assert (told, waiting.done()) == ([State.STARTING], False)
    board.set("chat", "chat", State.RUNNING)
    await quiet()
    assert waiting.done()
    assert told == [State.STARTING, State.RUNNING]


@dialogue
async def test_since_is_the_time_of_the_state_and_not_of_its_words():
    board = Board("r1")
    board.set("chat", "chat", State.STARTING, "first")
    since = board["chat"].since
    board.set("chat", "chat", State.STARTING, "second")
    assert (board["chat"].words, board["chat"].since) == ("second", since)


@dialogue
async def test_a_snapshot_is_what_another_demo_recognises():
    board = Board("r1", "http://demo.localhost:1/")
    board.set("b", "B", State.READY, url="http://b/")
    board.set("a", "A", State.FAILED, "why")
    board.set("b", "B", State.DOWN, url="http://b/")
    raw = msgspec.json.encode(board.snapshot())
    assert msgspec.json.decode(raw)["demo"] == "tunnel-gateway"
    read = msgspec.json.decode(raw, type=Snapshot)
    assert read == board.snapshot()
    assert [entry.name for entry in read.entries] == ["b", "a"]
