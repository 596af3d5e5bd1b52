"""Compares what came of a case with its verdict; says each difference in a sentence."""

from tests.doors.case import Answered, Case, Fields, Opened, Outcome, Refused, Seen, Verdict
from tests.doors.player import Observed
from tests.doors.recorder import Arrived, Pairs
from tests.doors.wire import Answer


def differences(case: Case, observed: Observed) -> list[str]:
    """Empty: the door did what is right."""
    found = _differences(case.verdict, observed)
    return [] if case.also is not None and not _differences(case.also, observed) else found


def _differences(verdict: Verdict, observed: Observed) -> list[str]:
    found = list(observed.faults)
    outcomes = verdict.outcomes
    arrived = list(observed.arrived)
    if not outcomes:
        if arrived:
            found.append(f"the service got a request that was never whole: {arrived!r}")
        if any(answer.status < 400 for answer in observed.answers):
            found.append("an unfinished request was answered")
        return found
    if len(observed.answers) != len(outcomes):
        found.append(f"{len(observed.answers)} answers for {len(outcomes)} requests")
    for number, outcome in enumerate(outcomes):
        answer = observed.answers[number] if number < len(observed.answers) else None
        found += _one(outcome, answer, arrived, observed)
    interim = [item.interim for item in outcomes if isinstance(item, Seen) and item.interim is not None]
    if observed.interim not in (([], [100]) if not interim else ([status for each in interim for status in each],)):
        found.append(f"the interim answers are {observed.interim}")
    if arrived:
        found.append(f"the service got more: {[(item.method, item.target[:60]) for item in arrived]!r}")
    stays = verdict.stays
    if stays is not None and stays != observed.stayed:
        found.append(f"the connection {'does not stay' if stays else 'stays'}")
    if not stays and stays is not None and not observed.closed and not observed.stayed:
        found.append("the connection is not closed")
    return found


def _one(outcome: Outcome, answer: Answer | None, arrived: list[Arrived], observed: Observed) -> list[str]:
    status = answer.status if answer is not None else None
    match outcome:
        case Refused(statuses):
            return [] if status in statuses else [f"the answer is {status}, not one of {statuses}"]
        case Answered(statuses):
            arrived.clear()
            return [] if status in statuses else [f"the answer is {status}, not one of {statuses}"]
        case Seen():
            if not arrived:
                return [f"the service got no request; the answer is {status}"]
            found = _request(outcome, arrived.pop(0))
            if answer is None or status != 200 or answer.values(b"x-served") != [b"yes"]:
                found.append(f"the answer is {status}, not the service's")
            elif outcome.answer is not None and answer.body != outcome.answer:
                found.append(f"the answer's bytes are {answer.body[:100]!r}")
            elif outcome.answer_trailers not in (None, tuple(answer.trailers)):
                found.append(f"the answer's trailers are {_short(answer.trailers)}")
            return found
        case Opened():
            if not arrived:
                return [f"the service got no handshake; the answer is {status}"]
            return _websocket(outcome, answer, arrived.pop(0), observed)


def _request(expected: Seen, request: Arrived) -> list[str]:
    found = []
    if (request.method, request.target) != (expected.method, expected.target):
        found.append(f"the service got {request.method!r} {request.target[:100]!r}")
    if request.body != expected.body:
        found.append(f"the body is {len(request.body)} bytes: {request.body[:100]!r}")
    if request.trailers and request.trailers != list(expected.trailers):
        found.append(f"the trailers are {_short(request.trailers)}")
    said = b"\n".join(value for _, value in request.fields)
    found += [f"the service was told {value!r}" for value in expected.unsaid if value in said]
    found += _fields(expected.fields, expected.absent, request)
    kept = {name for name, _ in expected.fields}
    found += [
        f"the trailer {name!r} is in the head"
        for name, _ in expected.trailers
        if name not in kept and request.values(name)
    ]
    return found


def _fields(expected: Fields, absent: tuple[bytes, ...], request: Arrived) -> list[str]:
    found = []
    for name in dict.fromkeys(name for name, _ in expected):
        right = [value for key, value in expected if key == name]
        if request.values(name) != right:
            found.append(f"{name[:40]!r} is {_short([(name, value) for value in request.values(name)])}")
    found += [f"{name!r} was passed on" for name in absent if request.values(name)]
    return found


def _websocket(expected: Opened, answer: Answer | None, request: Arrived, observed: Observed) -> list[str]:
    found = _fields(expected.fields, expected.absent, request)
    if answer is None or answer.status != 101:
        found.append(f"the answer is {answer.status if answer else None}, not 101")
    if (request.method, request.target) != (b"GET", expected.target):
        found.append(f"the service got {request.method!r} {request.target[:100]!r}")
    if tuple(request.messages) != expected.messages:
        found.append(f"the service got the messages {request.messages!r}")
    echoed = tuple(payload for opcode, payload in observed.frames if opcode == 1)
    if echoed != expected.messages:
        found.append(f"the client got the messages {echoed!r}")
    pongs = sum(opcode == 10 for opcode, _ in observed.frames)
    if pongs != expected.pongs:
        found.append(f"{pongs} pongs, not {expected.pongs}")
    return found


def _short(pairs: Pairs) -> str:
    return repr([(name[:30], value[:60]) for name, value in pairs[:5]]) + (" ..." if len(pairs) > 5 else "")
