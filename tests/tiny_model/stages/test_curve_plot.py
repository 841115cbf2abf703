from pathlib import Path

import pytest
from PIL import Image

from lafi_tiny.stages.curve_plot import GROUPS, plot_curve


def test_every_figure_is_drawn_against_pictures_seen(tmp_path: Path) -> None:
    names = [name for group in GROUPS.values() for name in group]
    value = {"mean": 0.5, "low": 0.4, "high": 0.6}
    rows = [{"pictures": 1000 * k, **dict.fromkeys(names, value)} for k in (1, 2, 3)]
    plot_curve(rows, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 2 * picture.height
    with pytest.raises(KeyError, match="twins"):
        plot_curve([{k: v for k, v in rows[0].items() if k != "twins"}], tmp_path / "none.png")


def test_a_curve_without_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows: got none"):
        plot_curve([], tmp_path / "curve.png")
