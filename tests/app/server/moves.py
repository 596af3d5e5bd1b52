"""A connection that moves only as its table says (`connection_states.py`): any other move fails the test."""

from app.server.connection_states import CLOSED, CLOSING, ROWS, WAITING, State


class Moves:
    """To be put before `Connection` among the bases."""

    _state = WAITING

    def __init__(self, *arguments: object) -> None:
        self.moves: list[tuple[State, State]] = []
        super().__init__(*arguments)

    @property
    def state(self) -> State:
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        before, self._state = self._state, state
        if state is before:
            return
        ends = state is CLOSED or (state is CLOSING and before is not CLOSED)
        assert ends or state in ROWS[before].next, f"{before} -> {state}"
        self.moves.append((before, state))
