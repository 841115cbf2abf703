"""Pictures enlarged by the bundled network: whole or in tiles, alone or with others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lafi.engine.onnx.tiles
from lafi.engine.onnx.upscaler import (
    RunNetwork,
    TiledUpscaler,
    load_upscaler,
    to_pictures,
    to_planes,
)
from lafi.model.artifacts import ArtifactsError
from lafi.model.upscaler_files import NETWORK, UpscalerInfo, UpscalerNetwork
from lafi.ports.upscaler import Upscaler

BUNDLED = Path(__file__).parents[3] / "tiny_model/upscaler"


def pictures(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise, in which every pixel matters."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def upscaler(request: pytest.FixtureRequest) -> TiledUpscaler:
    found = load_upscaler(BUNDLED, request.param, threads=1)
    assert found is not None
    return found


def network(factor: int, reach: int = 0) -> UpscalerNetwork:
    digest = f"{factor:064x}"
    return UpscalerNetwork(
        name=f"x{factor}", factor=factor, reach=reach, sha256=digest, weights_sha256=digest
    )


def nearest(factor: int) -> RunNetwork:
    return lambda planes: planes.repeat(factor, axis=2).repeat(factor, axis=3)


def upscaler_of(*factors: int, make: Callable[[int], RunNetwork] = nearest) -> TiledUpscaler:
    info = UpscalerInfo(networks=tuple(network(factor) for factor in factors))
    return TiledUpscaler(info, {factor: make(factor) for factor in factors})


@pytest.mark.parametrize(("height", "width"), [(100, 70), (90, 31)])
def test_tiles_give_what_the_whole_picture_gives(
    upscaler: TiledUpscaler, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    given = pictures(2, height, width)
    whole = upscaler(given, 4).astype(int)
    # Tiles of 24 pixels, so that there are many cuts and little to compute.
    monkeypatch.setattr(lafi.engine.onnx.tiles, "CORE", 24)
    tiled = upscaler(given, 4).astype(int)
    assert np.abs(tiled - whole).max() <= 1


def test_a_narrower_overlap_leaves_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail, and the reach in the facts is what closes the seam."""
    found = load_upscaler(BUNDLED, "onnxruntime", threads=1)
    assert found is not None
    given = pictures(1, 90, 31)
    whole = found(given, 4).astype(int)
    (facts,) = found.info.networks
    near = UpscalerInfo(networks=(facts.model_copy(update={"reach": 2}),))
    monkeypatch.setattr(lafi.engine.onnx.tiles, "CORE", 24)
    seamed = TiledUpscaler(near, found._networks)(given, 4).astype(int)
    assert np.abs(seamed - whole).max() > 1


def test_a_large_picture_is_cut(upscaler: TiledUpscaler) -> None:
    sizes = []
    (facts,) = upscaler.info.networks

    def run(planes: np.ndarray) -> np.ndarray:
        sizes.append(planes.shape[2:])
        return nearest(4)(planes)

    given = pictures(1, 300, 40)
    made = TiledUpscaler(UpscalerInfo(networks=(facts,)), {4: run})(given, 4)
    assert sizes == [(168, 40), (168, 40)]
    np.testing.assert_array_equal(made, given.repeat(4, axis=1).repeat(4, axis=2))


def test_pictures_of_one_call_do_not_notice_each_other(upscaler: TiledUpscaler) -> None:
    given = pictures(3, 16, 24)
    together = upscaler(given, 4).astype(int)
    alone = [upscaler(each[None], 4)[0].astype(int) for each in given]
    assert np.abs(together - np.stack(alone)).max() <= 1


@pytest.mark.parametrize(
    ("factor", "method"), [(2, Image.Resampling.BOX), (3, Image.Resampling.LANCZOS)]
)
def test_a_larger_network_gives_a_smaller_factor_by_reduction(
    upscaler: TiledUpscaler, factor: int, method: Image.Resampling
) -> None:
    given = pictures(1, 16, 24)
    large = Image.fromarray(upscaler(given, 4)[0])
    expected = np.asarray(large.resize((24 * factor, 16 * factor), method))
    np.testing.assert_array_equal(upscaler(given, factor)[0], expected)


def test_a_network_of_that_factor_is_used_if_there_is_one() -> None:
    def marked(factor: int) -> RunNetwork:
        return lambda planes: nearest(factor)(planes * 0 + factor / 255)

    many = upscaler_of(2, 3, 4, make=marked)
    assert [int(many(pictures(1, 8, 8), factor).max()) for factor in (2, 3, 4)] == [2, 3, 4]
    few = upscaler_of(3, 4, make=marked)
    assert int(few(pictures(1, 8, 8), 2).max()) == 4


def test_a_factor_beyond_all_networks_is_refused() -> None:
    with pytest.raises(ValueError, match="factor: got 4, allowed 2 to the largest of 2, 3"):
        upscaler_of(2, 3)(pictures(1, 8, 8), 4)


def test_numbers_that_are_not_finite_are_no_picture() -> None:
    broken = upscaler_of(2, make=lambda factor: lambda planes: nearest(2)(planes) * np.nan)
    with pytest.raises(ValueError, match="not finite"):
        broken(pictures(1, 8, 8), 2)


def test_pixels_survive_the_way_to_planes_and_back() -> None:
    given = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    planes = to_planes(given)
    assert (planes.dtype, planes.shape, planes.min(), planes.max()) == (
        np.float32,
        (1, 3, 16, 16),
        0,
        1,
    )
    np.testing.assert_array_equal(to_pictures(planes), given)
    assert to_pictures(planes + 2).min() == 255


def test_it_is_an_upscaler(upscaler: TiledUpscaler) -> None:
    taken: Upscaler = upscaler
    assert taken.info.factors((2, 3, 4)) == (2, 3, 4)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x4"
    folder.mkdir()
    (folder / "network.json").write_bytes((BUNDLED / "x4/network.json").read_bytes())
    (folder / NETWORK).write_bytes(b"other")
    with pytest.raises(ArtifactsError, match=r"network\.onnx: got SHA-256"):
        load_upscaler(tmp_path, "onnxruntime")


def test_a_model_without_networks_has_no_upscaler(tmp_path: Path) -> None:
    assert load_upscaler(tmp_path, "onnxruntime") is None
