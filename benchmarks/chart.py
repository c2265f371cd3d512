"""The picture of the README: a bar chart for each measure, made by `make bench` from its results."""

from pathlib import Path

import matplotlib

from benchmarks.measures import Summary

matplotlib.use("svg")

from matplotlib import pyplot

CHARTS = (  # title, figure, logarithmic
    ("words/s to 1 connection", "words/s, K = 1", False),
    ("words/s to 8 connections", "words/s, K = 8", True),
    ("words/s to 64 connections", "words/s, K = 64", True),
    ("ms to the first event, 1 client", "first event ms, 1 client, p50", True),
    ("ms to the first event, 200 clients", "first event ms, 200 clients, p50", True),
    ("ms that a word is late, p99", "delay per word ms, p99", False),
    ("KiB for an idle connection", "KiB per idle connection", False),
    ("durable chats/s", "durable chats/s", True),
)
OURS, OTHERS = "#1f6feb", "#9aa4af"


def draw(results: dict[str, dict[str, Summary]], path: Path) -> None:
    """Draw the medians, with a line from the lowest to the highest round."""
    pyplot.rcParams.update({"svg.hashsalt": "threadcast", "font.size": 8})  # the same picture for the same results
    figure, axes = pyplot.subplots(4, 2, figsize=(10, 12), constrained_layout=True)
    for axis, (title, name, logarithmic) in zip(axes.flat, CHARTS, strict=True):
        found = results[name]
        servers = list(found)[::-1]
        medians = [found[server].median for server in servers]
        spread = [
            [found[server].median - found[server].low for server in servers],
            [found[server].high - found[server].median for server in servers],
        ]
        colours = [OURS if server.startswith("Threadcast") else OTHERS for server in servers]
        axis.barh(servers, medians, xerr=spread, color=colours, ecolor="#444", capsize=2)
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
        if logarithmic:
            axis.set_xscale("log")
        else:
            axis.locator_params(axis="x", nbins=5)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
