"""``metrics``: how the service does, for people and monitoring systems."""

from __future__ import annotations

import click

from agentbridged.ctl.daemon import ask_as, json_option, show_json
from agentbridged.wire.admin import Metric, Metrics, Sample

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@click.command()
@json_option
def metrics(as_json: bool) -> None:
    """
    Print the daemon's metrics, in the text format of Prometheus.

    There is no port to scrape: let a timer write them where the node exporter looks.
    """
    answer = ask_as(Metrics, "metrics")
    if as_json:
        show_json(answer)
    else:
        click.echo(exposition(answer.metrics), nl=False)


def exposition(metrics: list[Metric]) -> str:
    """Write metrics in Prometheus's text format, version 0.0.4."""
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}"]
        lines += [_line(metric.name, sample) for sample in metric.samples]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
    number = f"{sample.value:.17g}"
    return f"{name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {number}"


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
