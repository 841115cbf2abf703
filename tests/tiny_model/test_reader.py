"""The attribute reader as a network: names, angles, halves and its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lafi_tiny.attributes import Scene
from lafi_tiny.picture import KINDS, Kind, random_picture
from lafi_tiny.pose import ANGLES
from lafi_tiny.reader import (
    CLASSES,
    IDENTITY_NAMES,
    Reader,
    halves,
    load_reader,
    targets,
)
from lafi_tiny.training import save_half

quick = settings(max_examples=15, deadline=None)
rngs = st.from_type(np.random.Generator)


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader().eval()


def test_logits_for_every_class_and_a_point_for_every_angle(reader: Reader) -> None:
    with torch.inference_mode():
        logits, circle = reader(torch.zeros(3, 3, 64, 64))
    assert {name: tuple(v.shape) for name, v in logits.items()} == {
        name: (3, len(values)) for name, values in CLASSES.items()
    }
    assert circle.shape == (3, len(ANGLES), 2)


@quick
@given(data=st.data(), degrees=st.lists(st.floats(-170, 170), min_size=9, max_size=9))
def test_a_reading_is_the_likeliest_name_and_the_angle_of_the_point(
    reader: Reader, data: st.DataObject, degrees: list[float]
) -> None:
    names = {name: data.draw(st.sampled_from(values)) for name, values in CLASSES.items()}
    sure = Reader().eval()
    radians = torch.tensor(degrees).deg2rad()
    with torch.no_grad():
        for name, head in sure.heads.items():
            head.weight.zero_()
            head.bias.zero_()
            head.bias[CLASSES[name].index(names[name])] = 5.0
        sure.angles.weight.zero_()
        sure.angles.bias.copy_(3 * torch.stack([radians.sin(), radians.cos()], -1).flatten())
    first, second = sure.read(torch.randn(2, 3, 64, 64))
    assert first.names == second.names == names
    assert tuple(first.angles) == ANGLES
    assert list(first.angles.values()) == pytest.approx(degrees, abs=0.01)
    assert first.action == names["action"]
    assert first.scene == Scene(names["background"], names["time"])
    assert all(getattr(first.identity, name) == names[name] for name in IDENTITY_NAMES)


def test_a_picture_is_read_the_same_in_any_company(reader: Reader) -> None:
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    together = reader.read(images)
    alone = [reader.read(image[None])[0] for image in images]
    assert [r.names for r in together] == [r.names for r in alone]


def test_halves_lie_in_the_middle_of_grey() -> None:
    images = torch.rand(2, 3, 64, 64) + 0.1
    left, right = halves(images)
    assert left.shape == right.shape == images.shape
    assert torch.equal(left[..., 16:48], images[..., :32])
    assert torch.equal(right[..., 16:48], images[..., 32:])
    for half in (left, right):
        assert (half[..., :16] == 0).all()
        assert (half[..., 48:] == 0).all()


@quick
@given(rngs, st.sampled_from(list(KINDS)))
def test_targets_name_the_figure_the_scene_and_the_pose(
    rng: np.random.Generator, kind: Kind
) -> None:
    picture = random_picture(rng, kind)
    figures = list(picture.figures)
    scenes = [picture.scenes[-1]] * len(figures)
    wanted, circle = targets(figures, scenes)
    assert wanted.keys() == CLASSES.keys()
    for row, figure in enumerate(figures):
        names = {name: CLASSES[name][int(wanted[name][row])] for name in CLASSES}
        assert all(getattr(figure.identity, n) == names[n] for n in IDENTITY_NAMES)
        assert (names["action"], names["facing"]) == (figure.action, figure.facing)
        assert Scene(names["background"], names["time"]) == scenes[row]
        degrees = torch.atan2(circle[row, :, 0], circle[row, :, 1]).rad2deg().tolist()
        for angle, name in zip(degrees, ANGLES, strict=True):
            assert (angle - getattr(figure.pose, name) + 180) % 360 == pytest.approx(180, abs=0.01)


def test_the_file_is_float16_and_reads_back_rounded(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "below" / "reader.safetensors"
    save_half(reader, path)
    assert {v.dtype for v in load_file(path).values()} == {torch.float16}
    again = load_reader(path)
    assert not again.training
    for (name, a), b in zip(reader.state_dict().items(), again.state_dict().values(), strict=True):
        assert b.dtype == torch.float32, name
        assert torch.equal(a.half().float(), b), name
