"""The new reader: columns, targets of what can be seen, and a stage that resumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lafi_tiny.hand.picture import random_picture
from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.reader import CLASSES, Reader, columns, load_reader
from lafi_tiny.stages.reader_targets import UNSEEN, Targets, names_shown, views_of_one
from lafi_tiny.stages.train_reader import (
    FLOOR_FILE,
    READER_FILE,
    STATE_FILE,
    ReaderBatches,
    ReaderTraining,
    angle_errors,
    newest_autoencoder,
    reader_loss,
    rendered,
    train_reader,
)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_columns_are_cut_and_padded_with_grey(count: int) -> None:
    images = torch.rand(2, 3, 128, 128) + 1
    parts = columns(images, count)
    assert [part.shape for part in parts] == [images.shape] * count
    assert torch.equal(torch.cat([p[..., p[0, 0, 0] != 0] for p in parts], dim=-1), images)


def test_targets_leave_out_what_cannot_be_seen() -> None:
    rng = np.random.default_rng(0)
    for kind in ("single", "trio"):
        for _ in range(40):
            picture = random_picture(rng, kind)
            targets = Targets()
            targets.add(picture, 0)
            shown = names_shown(picture, 0)
            for name, index in targets.classes().items():
                assert (index.item() == UNSEEN) == (name not in shown)
                if name in shown:
                    assert CLASSES[name][int(index)] == shown[name]
            assert ("framing" in shown) == (kind == "single")


def test_a_free_pose_has_no_action() -> None:
    picture = random_picture(np.random.default_rng(1), "single", free=True)
    assert "action" not in names_shown(picture, 0, posed=False)


def test_of_a_picture_of_three_one_column_is_read() -> None:
    rng = np.random.default_rng(2)
    pictures = [random_picture(rng, "trio") for _ in range(4)]
    views, targets = views_of_one(rendered(pictures), pictures, [True] * 4, rng)
    assert views.shape == (4, 3, 128, 128)
    assert (views[..., 0] == 0).all()
    assert targets.circle().shape == (4, len(ANGLES), 2)


def test_angles_wrap_around() -> None:
    def circle(degrees: float) -> torch.Tensor:
        radians = torch.tensor([[degrees]]).deg2rad()
        return torch.stack([radians.sin(), radians.cos()], dim=-1)

    assert angle_errors(circle(179), circle(-179)).item() == pytest.approx(2, abs=1e-3)


def test_the_loss_falls_on_one_batch() -> None:
    torch.manual_seed(0)
    reader = Reader(widths=(8, 16, 16, 16, 16))
    images, targets = ReaderBatches(4, 0.5, np.random.default_rng(0)).draw(None)
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = reader_loss(reader, images, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_what_went_through_the_autoencoder_is_shown_again(
    plan: Blueprint, with_autoencoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lafi_tiny.stages.train_reader.THROUGH_AUTOENCODER", 1.0)
    vae = newest_autoencoder(plan, with_autoencoder)
    assert vae is not None
    decoded = []
    monkeypatch.setattr(
        vae, "decode", lambda z, decode=vae.decode: decoded.append(len(z)) or decode(z)
    )
    batches = ReaderBatches(8, 0.0, np.random.default_rng(0))
    views = [batches.draw(vae) for _ in range(3)]
    assert [len(images) for images, _ in views] == [8, 8, 8]
    assert all(len(targets.counted()) == 8 for _, targets in views)
    assert decoded == [2, 2, 2]


def test_the_stage_resumes_and_leaves_reader_and_floor(
    plan: Blueprint, with_autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lafi_tiny.stages.train_reader.GROUPS", ("single",))
    (tmp_path / "autoencoder.pt").write_bytes((with_autoencoder / "autoencoder.pt").read_bytes())
    monkeypatch.setattr("lafi_tiny.stages.train_reader.FLOOR_PICTURES", 32)
    train_reader(plan, ReaderTraining(steps=1, batch=2), tmp_path)
    train_reader(plan, ReaderTraining(steps=2, batch=2), tmp_path)
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 2
    floor = json.loads((tmp_path / FLOOR_FILE).read_text())["floor"]
    assert 0 <= floor["single"]["top"]["low"] <= floor["single"]["top"]["mean"] <= 1
    assert floor["free"]["degrees"]["mean"] > 0
    reading = load_reader(tmp_path / READER_FILE).read(torch.zeros(1, 3, 128, 128))[0]
    assert reading.action in CLASSES["action"]
    assert reading.scene.place in CLASSES["place"]
    assert "top" in reading.visible
