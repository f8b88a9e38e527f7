from pathlib import Path

from agentbridged.ctl.doctor.finding import Finding, Findings, rows, shown, table


def test_a_finding_is_one_line_with_a_stable_id() -> None:
    found = Findings("plugin", "plugin")
    found.ok("all\n  is well")
    found.fail("it is old", "mend it", of="1")
    assert found.all == [
        Finding("plugin", "plugin", "ok", "all is well"),
        Finding("plugin.1", "plugin", "fail", "it is old", "mend it"),
    ]


def test_a_path_is_shown_as_a_person_writes_it() -> None:
    assert shown(Path("/home/me/x"), {"HOME": "/home/me"}) == "~/x"
    assert shown(Path("/home/meme/x"), {"HOME": "/home/me"}) == "/home/meme/x"
    assert shown(Path("/x"), {}) == "/x"


def test_a_status_of_another_version_may_lack_anything() -> None:
    assert table({}, "proxy") == table({"proxy": [1]}, "proxy") == {}
    assert rows({}, "bridges") == rows({"bridges": None}, "bridges") == []
    assert rows({"bridges": [{"id": "a"}, 3]}, "bridges") == [{"id": "a"}]
