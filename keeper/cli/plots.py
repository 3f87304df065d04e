"""Plots with matplotlib, which is an optional dependency."""

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from keeper.domain.errors import ConfigError, EnvironmentFault

FORMATS: Final = frozenset({".png", ".svg"})


def checked_plot(path: Path) -> Path:
    """Check a plot's file before any work is done for it.

    Raises:
        ConfigError: its name is neither PNG nor SVG, or its folder does not exist.
        EnvironmentFault: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"{path} is neither .png nor .svg", hint="use a file name that ends in .png or .svg"
        )
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"the folder of {path} does not exist")
    _load_figure_class()
    return path


def bars(path: Path, title: str, axes: tuple[str, str], values: Mapping[str, float]) -> None:
    """Draw one bar per name. The two ``axes`` are the labels across and up."""
    figure = _load_figure_class()(figsize=(9, 5), layout="constrained")
    plot = figure.add_subplot()
    plot.bar(list(values), list(values.values()), color="#3b6ea5")
    plot.tick_params(axis="x", rotation=45)
    _finish(figure, plot, path, title, axes)


def lines(
    path: Path,
    title: str,
    axes: tuple[str, str],
    across: Sequence[float],
    series: Mapping[str, Sequence[float]],
) -> None:
    """Draw each series over the values across."""
    figure = _load_figure_class()(figsize=(9, 5), layout="constrained")
    plot = figure.add_subplot()
    for name, values in series.items():
        plot.plot(across, values, marker=".", label=name)
    plot.legend()
    _finish(figure, plot, path, title, axes)


def points(
    path: Path,
    title: str,
    axes: tuple[str, str],
    series: Mapping[str, Sequence[tuple[float, float]]],
) -> None:
    """Draw each series as points on a logarithmic horizontal axis."""
    figure = _load_figure_class()(figsize=(9, 5), layout="constrained")
    plot = figure.add_subplot()
    for name, pairs in series.items():
        plot.scatter([x for x, _ in pairs], [y for _, y in pairs], s=18, alpha=0.7, label=name)
    plot.set_xscale("log")
    plot.legend()
    _finish(figure, plot, path, title, axes)


Line = tuple[Sequence[datetime], Sequence[float]]
"""Times across, values up."""


def stacked(path: Path, title: str, panels: Mapping[str, Mapping[str, Line]]) -> None:
    """Draw panels over the same time. Each panel's name labels its vertical axis."""
    figure = _load_figure_class()(figsize=(9, 3 * len(panels)), layout="constrained")
    plots = figure.subplots(len(panels), 1, sharex=True)
    for plot, (name, series) in zip(plots, panels.items(), strict=True):
        for label, (across, up) in series.items():
            plot.plot(across, up, label=label)
        plot.set_ylabel(name)
        plot.grid(visible=True, axis="y", alpha=0.3)
        above = (0.0, 1.0)  # where no line is hidden by it
        plot.legend(loc="lower left", bbox_to_anchor=above, ncols=2, frameon=False)
    figure.suptitle(title)
    plots[-1].tick_params(axis="x", rotation=45)
    _save_figure(figure, path)


def _finish(figure: Any, plot: Any, path: Path, title: str, axes: tuple[str, str]) -> None:  # noqa: ANN401 (matplotlib may be absent)
    plot.set_title(title)
    plot.set_xlabel(axes[0])
    plot.set_ylabel(axes[1])
    plot.ticklabel_format(axis="y", style="plain")
    plot.grid(visible=True, axis="y", alpha=0.3)
    _save_figure(figure, path)


def _save_figure(figure: Any, path: Path) -> None:  # noqa: ANN401 (matplotlib may be absent)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror}") from None


def _load_figure_class() -> Any:  # noqa: ANN401 (matplotlib may be absent)
    """Load matplotlib's ``Figure``, which needs no display."""
    try:
        return importlib.import_module("matplotlib.figure").Figure
    except ModuleNotFoundError:
        raise EnvironmentFault(
            "pictures need matplotlib, which is not installed",
            hint="pip install 'liquidation-keeper[plot]', or matplotlib into the same environment",
        ) from None
