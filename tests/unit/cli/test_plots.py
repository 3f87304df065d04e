"""Pictures are optional: what is missing is said before any work is done."""

import sys

import pytest

from keeper.cli import plots
from keeper.domain.errors import ConfigError, EnvironmentFault


@pytest.mark.slow
def test_only_png_and_svg_are_drawn(tmp_path):
    """By the file's name, as it will be opened."""
    assert plots.checked_plot(tmp_path / "a.SVG")
    with pytest.raises(ConfigError, match="neither"):
        plots.checked_plot(tmp_path / "a.pdf")
    with pytest.raises(ConfigError, match="folder"):
        plots.checked_plot(tmp_path / "missing" / "a.png")


def test_without_matplotlib_the_hint_says_how_to_install_it(tmp_path, monkeypatch):
    """The keeper itself does without."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentFault) as refused:
        plots.checked_plot(tmp_path / "a.png")
    assert "[plot]" in refused.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_both_kinds_of_picture_are_files_of_their_kind(tmp_path, name, begins):
    """Bars and lines."""
    path = tmp_path / name
    plots.bars(path, "title", ("x", "y"), {"1.0 - 1.1": 5.0, "more": 7.0})
    assert path.read_bytes().startswith(begins)
    plots.lines(path, "title", ("x", "y"), [0.0, 1.0], {"debt": [1.0, 2.0]})
    assert path.read_bytes().startswith(begins)
