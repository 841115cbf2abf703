"""The facts of networks in a folder."""

import json
from pathlib import Path

import pytest

from lafi.model.artifacts import ArtifactsError
from lafi.model.upscaler_files import (
    UpscalerInfo,
    UpscalerNetwork,
    read_upscaler_info,
    upscaler_folder,
)
from model_infos import model_info


def network(factor: int) -> UpscalerNetwork:
    digest = f"{factor:064x}"
    return UpscalerNetwork(
        name=f"x{factor}", factor=factor, reach=18, sha256=digest, weights_sha256=digest
    )


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "network.json").write_text(text)


def test_all_networks_of_a_folder_by_factor(tmp_path: Path) -> None:
    for factor in (4, 2):
        write(tmp_path, f"x{factor}", network(factor).model_dump_json())
    info = read_upscaler_info(tmp_path)
    assert info is not None
    assert info.networks == (network(2), network(4))


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [((4,), 2, 4), ((2, 4), 2, 2), ((3, 4), 2, 4), ((2, 3), 4, None), ((2, 3, 4), 3, 3)],
)
def test_its_own_network_else_the_largest_above(
    there: tuple[int, ...], wanted: int, found: int | None
) -> None:
    info = UpscalerInfo(networks=tuple(map(network, there)))
    chosen = info.network(wanted)
    assert (chosen.factor if chosen else None) == found


def test_factors_by_which_something_enlarges() -> None:
    assert UpscalerInfo(networks=(network(3),)).factors((2, 3, 4)) == (2, 3)


def test_no_folder_is_no_network(tmp_path: Path) -> None:
    assert read_upscaler_info(tmp_path / "none") is None


def test_damaged_facts_are_refused_with_the_command(tmp_path: Path) -> None:
    write(tmp_path, "x4", json.dumps({"name": "x"}))
    with pytest.raises(ArtifactsError, match=r"x4/network\.json.*\n(.*\n)*.*lafi export-upscaler"):
        read_upscaler_info(tmp_path)


def test_facts_in_the_folder_of_another_factor_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "x2", network(4).model_dump_json())
    with pytest.raises(ArtifactsError, match="factor: got 4 in x2, allowed in x4"):
        read_upscaler_info(tmp_path)


def test_a_variant_uses_those_of_the_model(tmp_path: Path) -> None:
    base = model_info()
    ink = base.model_copy(update={"variant": "ink"})
    assert upscaler_folder(tmp_path, base) == tmp_path / "upscaler"
    assert upscaler_folder(tmp_path / "variants/ink", ink) == tmp_path / "upscaler"
