"""NVIDIA's real parser and builder, which TensorRT-RTX has without a GPU, on our graphs.

What it shares with TensorRT is checked here for both. Running an engine needs a GPU.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lafi.engine.tensorrt.engines import PLANS
from lafi.model.artifacts import DENOISER, REFERENCE, TEXT_ENCODER
from lafi.model.engine_metadata import ShapeRange, load_engine_metadata
from lafi.model.families.registry import input_ports
from lafi.model.info import load_model_info, variant_folder
from lafi.wire.model_spec import text_encoder_spec
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import rtx_machine
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_export.tensorrt_plan import BuildError, BuildOptions, plan_build
from lafi_export.tensorrt_profiles import Limits, Range, denoiser_profile
from lafi_export.tensorrt_repository import build_repository, served_names
from lafi_kernels.tensorrt_module import import_tensorrt_rtx

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")

RTX = BuildOptions(builder="tensorrt-rtx", capabilities=("SM89",), attention="body")
LIMITS = Limits(rows=Range(1, 3, 4), batch=Range(1, 2, 4), side=Range(64, 64, 96))
HEAD = '<ir_version: 10, opset_import: ["" : 18]>\n'
PROFILE = {"x": ShapeRange(smallest=(1, 4), tuned=(2, 4), largest=(8, 4))}
Parse = Callable[[Path], Any]


@pytest.fixture(scope="session")
def trt() -> Any:
    return import_tensorrt_rtx()


@pytest.fixture(scope="session")
def said(trt: Any) -> list[str]:
    """What the builder warns of. One logger for the process: the first is the one that is used."""
    return []


@pytest.fixture(scope="session")
def parse(trt: Any, said: list[str]) -> Parse:
    """A file as TensorRT-RTX's network; the logger keeps warnings and errors."""

    class Kept(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            quiet = (trt.ILogger.Severity.INFO, trt.ILogger.Severity.VERBOSE)
            if severity not in quiet:
                said.append(text)

    logger = Kept()
    builder = trt.Builder(logger)
    kept = [logger, builder]

    def parsed(path: Path) -> Any:
        said.clear()
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        assert parser.parse_from_file(str(path)), parser.get_error(0).desc()
        kept.append(parser)
        return network

    return parsed


def given(source: Path, target: Path, plugin: bool = False) -> Path:
    """The graph that TensorRT gets of an exported denoiser."""
    info = load_model_info(source.parent)
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    write_graph(source, target, GraphChange("f16", plugin=plugin, exact_inputs=exact))
    return target


@pytest.fixture(scope="module")
def denoiser(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    return given(repository / "artifacts" / DENOISER, folder / DENOISER)


def layers(network: Any) -> list[Any]:
    return [network.get_layer(i) for i in range(network.num_layers)]


def test_the_parser_has_nothing_to_warn_of(
    parse: Parse, said: list[str], denoiser: Path, repository: Path
) -> None:
    info = load_model_info(repository / "artifacts")
    network = parse(denoiser)
    kinds = Counter(layer.type.name for layer in layers(network))
    assert said == []
    # One of its own attentions for each of ours.
    assert kinds["ATTENTION_INPUT"] == kinds["ATTENTION_OUTPUT"] == len(info.layers)


def test_an_exported_file_names_nodes_twice(
    parse: Parse, said: list[str], repository: Path
) -> None:
    """What `write_graph` mends."""
    parse(repository / "artifacts" / DENOISER)
    assert any("already exists" in line for line in said)


def test_less_than_half_of_the_layers_are_left(
    trt: Any, parse: Parse, denoiser: Path, repository: Path
) -> None:
    """Of all, and of those whose outputs are whole numbers: shapes and indices."""
    whole = {trt.int32, trt.int64, trt.bool}

    def counted(path: Path) -> tuple[int, int]:
        network = parse(path)
        shapes = [
            all(layer.get_output(i).dtype in whole for i in range(layer.num_outputs))
            for layer in layers(network)
        ]
        return len(shapes), sum(shapes)

    before, after = counted(repository / "artifacts" / DENOISER), counted(denoiser)
    assert after[0] < before[0] / 2
    assert after[1] < before[1] / 3


def test_precision_is_what_the_graph_says(trt: Any, parse: Parse, denoiser: Path) -> None:
    network = parse(denoiser)
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    assert {end.dtype for end in ends} == {trt.float32, trt.int32}
    kinds = {
        layer.get_output(0).dtype
        for layer in layers(network)
        if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    }
    assert kinds == {trt.float16}


def ends(network: Any) -> tuple[list[str], list[str]]:
    """Names of inputs and outputs."""
    return (
        [network.get_input(i).name for i in range(network.num_inputs)],
        [network.get_output(i).name for i in range(network.num_outputs)],
    )


def test_renamed_tensors_have_the_names_of_the_served_model(
    parse: Parse, repository: Path, tmp_path: Path
) -> None:
    """As the plans that Triton Server's own backend loads."""
    source = repository / "artifacts" / TEXT_ENCODER
    spec = text_encoder_spec(load_model_info(source.parent))
    assert ends(parse(source))[0] == ["token_ids", "clip_skip"]
    names = served_names(source, spec)
    write_graph(source, tmp_path / TEXT_ENCODER, GraphChange("f16", names, plugin=False))
    inputs, outputs = ends(parse(tmp_path / TEXT_ENCODER))
    assert inputs == [tensor.name for tensor in spec.inputs] == ["TOKEN_IDS", "CLIP_SKIP"]
    assert outputs == [tensor.name for tensor in spec.outputs]


class Unbuilt:
    """The real builder, which keeps profiles as it was given them and builds nothing."""

    def __init__(self, builder: Any, profiles: list[Any]) -> None:
        self._builder = builder
        self._profiles = profiles

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def create_optimization_profile(self) -> Any:
        self._profiles.append(self._builder.create_optimization_profile())
        return self._profiles[-1]

    def build_serialized_network(self, network: Any, config: Any) -> bytes:
        assert config.num_optimization_profiles == 1
        return b"plan"


def test_the_builder_takes_the_whole_profile_of_the_denoiser(
    trt: Any, denoiser: Path, repository: Path, tmp_path: Path
) -> None:
    """Read back from what it accepted."""
    wanted = denoiser_profile(load_model_info(repository / "artifacts"), LIMITS)
    profiles: list[Any] = []
    module = SimpleNamespace(
        **(vars(trt) | {"Builder": lambda logger: Unbuilt(trt.Builder(logger), profiles)})
    )
    build_engine(denoiser, tmp_path / "d.plan", plan_build(wanted, 0, RTX), tensorrt=module)
    (profile,) = profiles
    for name, shapes in wanted.items():
        taken = [tuple(shape) for shape in profile.get_shape(name)]
        assert taken == [shapes.smallest, shapes.tuned, shapes.largest], name


def weights_of(graph: Path) -> dict[str, int]:
    """Values by name, of what a checkpoint brought."""
    tensors = onnx.load(graph).graph.initializer
    return {t.name: numpy_helper.to_array(t).size for t in tensors if t.name.startswith("unet.")}


@pytest.mark.slow
def test_a_variant_can_be_a_refit(
    parse: Parse, denoiser: Path, varied_repository: Path, tmp_path: Path
) -> None:
    """The builder knows every weight by our name, and those of a LoRA variant are the same."""
    folder = variant_folder(varied_repository / "artifacts", "ink")
    ink = given(folder / DENOISER, tmp_path / "ink.onnx")
    own, other = weights_of(denoiser), weights_of(ink)
    assert own == other
    assert len(own) > 100
    for graph in (denoiser, ink):
        network = parse(graph)
        assert all(network.mark_weights_refittable(name) for name in own)
    assert not network.mark_weights_refittable("unet.nothing")


def write(path: Path, text: str) -> Path:
    model = onnx.parser.parse_model(HEAD + text)
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, path)
    return path


def test_what_the_parser_says_is_told(tmp_path: Path) -> None:
    graph = write(tmp_path / "g.onnx", "g (float[n, 4] x) => (float[n, 4] y) { y = Foo (x) }")
    with pytest.raises(BuildError, match=r"g\.onnx: TensorRT cannot read it\ny: .*not found"):
        build_engine(graph, tmp_path / "g.plan", plan_build(PROFILE, 0, RTX))
    assert not (tmp_path / "g.plan").exists()


GRAPH = "g (float[n, 4] x) => (float[n, 4] y) { y = Sigmoid (x) }"


def test_the_profile_goes_in_as_it_is(tmp_path: Path) -> None:
    graph = write(tmp_path / "g.onnx", GRAPH)
    assert build_engine(graph, tmp_path / "g.plan", plan_build(PROFILE, 0, RTX)) == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["g.onnx", "g.plan"]
    assert (tmp_path / "g.plan").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("shapes", "error"),
    [
        (((1, 5), (2, 5), (8, 5)), r"g\.onnx: TensorRT built no engine"),
        (((1, 4), (9, 4), (8, 4)), r"g\.onnx: TensorRT refused the profile"),
        (((2, 4), (1, 4), (8, 4)), r"g\.onnx: TensorRT refused the profile"),
    ],
    ids=["another width", "tuned beyond", "tuned below"],
)
def test_shapes_outside_are_refused(tmp_path: Path, shapes: Any, error: str) -> None:
    graph = write(tmp_path / "g.onnx", GRAPH)
    smallest, tuned, largest = shapes
    profile = {"x": ShapeRange(smallest=smallest, tuned=tuned, largest=largest)}
    with pytest.raises(BuildError, match=error):
        build_engine(graph, tmp_path / "g.plan", plan_build(profile, 0, RTX))


@pytest.mark.parametrize("asked", [{"refit": True}, {"strip": True}], ids=str)
def test_refittable_plans_want_a_driver(tmp_path: Path, asked: dict[str, bool]) -> None:
    """Why the options refuse them: should the builder learn it, this fails and they can go in."""
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a driver")
    text = "g (float[n, 4] x) => (float[n, 4] y) { y = MatMul (x, w) }"
    model = onnx.load(write(tmp_path / "g.onnx", text))
    weight = np.eye(4, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "g.onnx")
    flags = plan_build(PROFILE, 0, BuildOptions(attention="body", **asked)).builder_flags  # type: ignore[arg-type]
    plan = plan_build(PROFILE, 0, RTX)
    build_engine(tmp_path / "g.onnx", tmp_path / "g.plan", plan)
    with pytest.raises(BuildError, match=r"g\.onnx: TensorRT built no engine"):
        build_engine(tmp_path / "g.onnx", tmp_path / "r.plan", replace(plan, builder_flags=flags))


def test_nodes_that_ask_for_the_plugin_are_not_inlined_in_silence(
    repository: Path, tmp_path: Path
) -> None:
    graph = given(repository / "artifacts" / DENOISER, tmp_path / DENOISER, plugin=True)
    asked = len(load_model_info(repository / "artifacts").layers)
    plan = replace(plan_build({}, asked, RTX), attention_plugins=asked)
    with pytest.raises(BuildError, match=f"got 0 attention plugin layers .* allowed {asked}, one"):
        build_engine(graph, tmp_path / "d.plan", plan)


@pytest.mark.slow
def test_a_whole_repository_for_three_kinds_of_gpu(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "repository"
    shutil.copytree(repository, out)
    options = BuildOptions(
        builder="tensorrt-rtx", capabilities=("SM86", "SM89", "SM120"), attention="body"
    )
    here = rtx_machine(options)
    assert (here.gpu, here.capability) == ("", "8.6 8.9 12.0")
    made = build_repository(out, here, build_engine, options=options, limits=LIMITS)
    artifacts = out / "artifacts"
    for name, plan in PLANS.items():
        assert load_engine_metadata(artifacts / plan) == made[name]
        assert made[name].builder == "tensorrt-rtx"
        assert (artifacts / plan).stat().st_size > 10_000
    assert not (artifacts / "tensorrt.timing").exists()
    # Our models load the plans, whose tensors have the exported names.
    for model in ("storyboard", "text_encoder", "vae_encoder", "vae_decoder"):
        config = (out / "models" / model / "config.pbtxt").read_text(encoding="utf-8")
        assert '"tensorrt-rtx"' in config
        assert 'backend: "python"' in config
        assert [path.name for path in (out / "models" / model / "1").iterdir()] == ["model.py"]
    assert set(made[TEXT_ENCODER].profile) == {"token_ids", "clip_skip"}
    assert set(made[REFERENCE].profile) < set(made[DENOISER].profile)
