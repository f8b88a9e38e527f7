from agentbridged.bridges.ways import degraded, seat
from agentbridged.claude.session import Session
from agentbridged.wire import claude


def session(*ways: claude.Way) -> Session:
    attach = claude.Attach(contract=1, project_dir="/p", session_id="s1", claude_pid=42)
    made = Session(1, attach, None, since=0.0)  # type: ignore[arg-type]  # nothing is sent
    if ways:
        made.ways = claude.Ways(claude_version="2.1.330", ways=list(ways))
    return made


NO_INBOX = claude.Way(step="inbox", state="off", why="none named")
NO_CHANNEL = claude.Way(step="channel", state="off", why="not asked for")
PROOF = claude.Way(step="proof", state="proven")


def test_a_seat_tells_who_has_it_and_by_which_ways_it_is_reached() -> None:
    assert seat(session(NO_INBOX, PROOF)) == {
        "session_id": "s1",
        "pid": 42,
        "since": "1970-01-01T00:00:00.000Z",
        "version": "2.1.330",
        "ways": [
            {"step": "inbox", "state": "off", "why": "none named"},
            {"step": "proof", "state": "proven", "why": ""},
        ],
    }


def test_a_session_that_has_not_told_has_no_ways_yet() -> None:
    assert (seat(session())["version"], seat(session())["ways"]) == (None, [])
    assert degraded("p-1", session()) == degraded("p-1", None) == []


def test_a_missing_inbox_is_a_lack_and_a_channel_nobody_asked_for_is_none() -> None:
    (row,) = degraded("p-1", session(NO_INBOX, NO_CHANNEL, PROOF))
    assert (row["program"], row["bridge"], row["method"]) == ("claude", "p-1", "inbox")
    assert row["problem"] == "none named"
    assert row["instead"]
