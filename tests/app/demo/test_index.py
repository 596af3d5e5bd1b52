"""The index: what its page says, without a script too, and what its watchers hear."""

import msgspec

from app.demo.board import Entry, Snapshot, State
from app.demo.index import BEAT_SECONDS, Index, table
from tests.fakes.loop import dialogue

CHAT = Entry("page chat", "Chat", State.READY, url="http://chat.localhost:8080/")


def shown(*entries: Entry) -> Snapshot:
    return Snapshot("http://demo.localhost:8080/", "r1", list(entries))


def test_only_what_was_answered_is_a_link():
    assert '<a href="http://chat.localhost:8080/">Chat</a><td class="ready">ready' in table(shown(CHAT))
    for state in set(State) - {State.READY}:
        told = table(shown(Entry("page chat", "Chat", state, "why", CHAT.url)))
        assert "<a" not in told
        assert f'<td>Chat<td class="{state}">{state}' in told
        assert "<td>why</tr>" in told


def test_what_a_program_printed_is_no_html():
    told = table(shown(Entry("chat", "<b>", State.DOWN, "<script>alert('1')</script>")))
    assert "<b>" not in told
    assert "<script>" not in told
    assert "&lt;script&gt;" in told


@dialogue
async def test_the_page_has_the_states_in_it():
    index = Index()
    index.show(shown(CHAT))
    page = bytes((await index.page(None)).body).decode()  # type: ignore[arg-type]
    assert table(shown(CHAT)) in page
    assert "{{" not in page
    document = bytes((await index.document(None)).body)  # type: ignore[arg-type]
    assert msgspec.json.decode(document, type=Snapshot) == shown(CHAT)


@dialogue
async def test_a_watcher_gets_the_table_now_and_after_each_change_and_signs_of_life():
    index = Index()
    index.show(shown())
    tables = index.tables()
    assert await anext(tables) == b"data: " + msgspec.json.encode(table(shown())) + b"\n\n"
    assert await anext(tables) == b": nothing new\n\n"
    index.show(shown(CHAT))
    event = await anext(tables)
    assert msgspec.json.decode(event.removeprefix(b"data: ")) == table(shown(CHAT))
    assert BEAT_SECONDS < 30
    await tables.aclose()  # type: ignore[attr-defined]


@dialogue
async def test_a_watcher_that_is_slow_gets_the_newest_only():
    index = Index()
    tables = index.tables()
    await anext(tables)
    for words in ("first", "second"):
        index.show(shown(Entry("chat", "chat", State.DOWN, words)))
    assert b"second" in await anext(tables)
    assert await anext(tables) == b": nothing new\n\n"
    await tables.aclose()  # type: ignore[attr-defined]
