"""The data set as files: what is where, and that rendering goes on where it stopped."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny import dataset
from lafi_tiny.attributes import is_held_out_identity
from lafi_tiny.dataset import (
    DatasetSpec,
    chunk_path,
    load_pictures,
    render_dataset,
    render_range,
)
from lafi_tiny.picture import KINDS

SPEC = DatasetSpec(seed=5)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads instead of processes; the first index of every chunk that is rendered."""
    starts: list[int] = []

    def spied(spec: DatasetSpec, start: int, stop: int) -> Any:
        starts.append(start)
        return render_range(spec, start, stop)

    monkeypatch.setattr(dataset, "render_range", spied)
    monkeypatch.setattr(
        dataset, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(workers)
    )
    return starts


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.booleans())
def test_a_picture_is_a_function_of_seed_and_index(seed: int, index: int, held_out: bool) -> None:
    spec = DatasetSpec(seed=seed, held_out=held_out)
    picture = spec.picture(index)
    assert picture == DatasetSpec(seed=seed, held_out=held_out).picture(index)
    assert picture != spec.picture(index + 1)
    assert picture != DatasetSpec(seed=seed + 1, held_out=held_out).picture(index)
    assert all(is_held_out_identity(f.identity) == held_out for f in picture.figures)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000))
def test_pixels_do_not_depend_on_what_else_is_rendered(index: int) -> None:
    both = render_range(SPEC, index, index + 2)
    assert both.dtype == np.uint8
    assert both.shape == (2, 64, 64, 3)
    assert np.array_equal(both[1:], render_range(SPEC, index + 1, index + 2))


def test_kinds_come_in_their_shares() -> None:
    kinds = [DatasetSpec().picture(i).kind for i in range(2000)]
    for kind, share in KINDS.items():
        assert kinds.count(kind) / 2000 == pytest.approx(share, abs=0.04)


def test_wording_is_drawn_anew() -> None:
    rng = np.random.default_rng(0)
    assert len({SPEC.caption(0, rng) for _ in range(20)}) > 3


def test_rendering_goes_on_where_it_stopped(
    rendered: list[int], tmp_path: Path, small_chunks: int
) -> None:
    folder = tmp_path / "pictures"
    assert list(render_dataset(SPEC, 8, folder)) == [8]
    first = chunk_path(folder, 0).read_bytes()
    assert list(render_dataset(SPEC, 16, folder)) == [16]
    assert list(render_dataset(SPEC, 16, folder)) == []
    assert sorted(rendered) == [0, small_chunks]
    assert chunk_path(folder, 0).read_bytes() == first
    assert np.array_equal(load_pictures(folder)[9], render_range(SPEC, 9, 10)[0])
    assert not list(folder.glob("*.partial*"))


def test_another_process_renders_the_same(finished: Path) -> None:
    pictures = load_pictures(finished / "pictures")
    assert len(pictures) == 32
    assert np.array_equal(pictures[30:], render_range(DatasetSpec(), 30, 32))


def test_pictures_after_a_gap_are_not_loaded(tmp_path: Path) -> None:
    for start in (0, 16):
        np.save(chunk_path(tmp_path, start), np.full((8, 4, 4, 3), start, np.uint8))
    assert load_pictures(tmp_path).shape == (8, 4, 4, 3)


def test_a_count_that_leaves_a_chunk_half_full_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count: got 12, allowed: a multiple of 8"):
        next(render_dataset(SPEC, 12, tmp_path))


def test_a_folder_without_pictures_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no pictures in .*: run `python -m lafi_tiny data`"
    ):
        load_pictures(tmp_path)
