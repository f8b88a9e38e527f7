"""``metrics`` as people and a monitoring system read it."""

import re

import pytest

from agentbridged.ctl.metrics import exposition
from agentbridged.wire.admin import Metric, Sample
from tests.admin.desk import served
from tests.ctl.shell import Shell

LINE = re.compile(
    r"# (HELP \w+ [^\n]+|TYPE \w+ (gauge|counter|histogram))"
    r'|\w+(\{\w+="(\\.|[^"\\])*"(,\w+="(\\.|[^"\\])*")*\})? [0-9.e+-]+'
)
"""A line of Prometheus's text format, version 0.0.4."""


@pytest.mark.realtime
async def test_metrics_are_for_scrapers_and_for_programs(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        desk.ensure_bridge(str(shell.project))
        done = await shell.ctl("metrics")
        assert done.code == 0
        assert [line for line in done.out.splitlines() if not LINE.fullmatch(line)] == []
        assert 'agentbridge_bridges{state="active"} 1\n' in done.out
        listed = (await shell.ctl("metrics", "--json")).json["metrics"]
    names = [metric["name"] for metric in listed]
    assert len(names) == len(set(names))
    (bridges,) = [metric for metric in listed if metric["name"] == "agentbridge_bridges"]
    assert {"labels": {"state": "active"}, "value": 1.0, "suffix": ""} in bridges["samples"]


def test_what_would_end_a_label_is_escaped() -> None:
    metric = Metric(
        name="m",
        type="gauge",
        help="h",
        samples=[Sample(value=0.1, labels={"a": 'quote " slash \\ line \n'})],
    )
    assert exposition([metric]).splitlines()[-1] == (
        r'm{a="quote \" slash \\ line \n"} 0.10000000000000001'
    )
