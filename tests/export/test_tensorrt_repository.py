"""The repository that is left when the plans are built; the building itself is pretended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import numpy_helper
from tritonclient.grpc import model_config_pb2 as pb

from lafi.engine.tensorrt.engines import PLANS
from lafi.model.artifacts import DENOISER, REFERENCE, TEXT_ENCODER, VAE_DECODER, file_sha256
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, load_engine_metadata
from lafi.model.info import variant_folder
from lafi.wire.model_spec import text_encoder_spec
from lafi_export.tensorrt_graph import GraphError, attention_nodes
from lafi_export.tensorrt_plan import BuildError, BuildOptions, BuildPlan
from lafi_export.tensorrt_profiles import Limits, Range
from lafi_export.tensorrt_repository import OURS, build_repository, served_names
from lafi_kernels.onnx_function import attention_function
from model_infos import attention_sites, model_info

HERE = GpuMachine(gpu="NVIDIA H200", capability="9.0", tensorrt="11.4.0.106")
LIMITS = Limits(batch=Range(1, 2, 6), side=Range(64, 64, 128))
INFO = model_info(
    side_multiple=64,
    text_length=7,
    text_width=6,
    layers=attention_sites(heads=2),
    weights_sha256="ab" * 32,
)
HEAD = '<ir_version: 10, opset_import: ["" : 18, "lafi" : 1]>\n'
GRAPHS = {
    "text_encoder.onnx": "g (int64[n, 7] token_ids) => (float[n, 7, 6] text) "
    "{ text = Gather (table, token_ids) }",
    "vae_encoder.onnx": "g (float[n, 3, h, w] images) => (float[n, 4, p, q] latent) "
    "{ latent = Conv (images, enc) }",
    "vae_decoder.onnx": "g (float[n, 4, h, w] latents) => (float[n, 3, p, q] image) "
    "{ image = Conv (latents, dec) }",
    "denoiser.onnx": "g (float[n, 4, h, w] latents, float[n, t, 8] q, int32[n, r] routes, "
    "float[n, r] bias, float[n, t] mask, float[n, r, t] region, float[z, t, 8] bank, "
    "float[z, t] bank_mask) => (float[n, t, 8] noise_pred) { p = Mul (q, scale) "
    "noise_pred = lafi.LafiAttention <heads = 2> "
    "(p, q, q, bank, bank, routes, bias, mask, bank_mask, region) }",
    "reference.onnx": "g (float[n, 4, h, w] latents, float[n] timesteps) => "
    "(float[1, n, s, 8] bank_k_1_8, float[1, n, s, 8] bank_v_1_8) { "
    "level = Cos (timesteps) all = ReduceMax <keepdims = 0> (level) "
    "bank_k_1_8 = Mul (latents, scale) bank_v_1_8 = Mul (latents, all) }",
}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """What `lafi export` leaves, with graphs that have the right ends and little in between."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    weights = {
        "table": np.ones((9, 6), np.float32),
        "enc": np.ones((4, 3, 8, 8), np.float32),
        "dec": np.ones((3, 4, 1, 1), np.float32),
        "scale": np.float32(0.5),
    }
    for name, text in GRAPHS.items():
        model = onnx.parser.parse_model(HEAD + text)
        model.graph.initializer.extend(
            numpy_helper.from_array(values, key) for key, values in weights.items() if key in text
        )
        if name == DENOISER:
            model.functions.append(attention_function())
        onnx.save(model, artifacts / name)
    hashes = {name: file_sha256(artifacts / name) for name in GRAPHS}
    INFO.model_copy(update={"onnx_sha256": hashes}).save(artifacts)
    (tmp_path / "models" / "before").mkdir(parents=True)
    return tmp_path


class PretendedBuilder:
    """Writes what it was asked for in the place of a plan."""

    def __init__(self, fails_at: str = "") -> None:
        self.graphs: dict[str, onnx.ModelProto] = {}
        self.plans: dict[str, BuildPlan] = {}
        self._fails_at = fails_at

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int:
        if graph.name == self._fails_at:
            raise BuildError(f"{graph.name}: no")
        self.graphs[graph.name] = onnx.load(graph)
        self.plans[graph.name] = plan
        target.write_bytes(graph.name.encode())
        return plan.attention_plugins


def config_of(repository: Path, model: str) -> pb.ModelConfig:
    text = (repository / "models" / model / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, pb.ModelConfig())


def ends(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in (*model.graph.input, *model.graph.output)]


def test_the_whole_repository(exported: Path) -> None:
    build = PretendedBuilder()
    steps: list[str] = []
    made = build_repository(exported, HERE, build, limits=LIMITS, tell=steps.append)
    assert sorted(path.name for path in (exported / "models").iterdir()) == [
        "storyboard",
        "text_encoder",
        "vae_decoder",
        "vae_encoder",
    ]
    for model, given, output, dims in (
        ("text_encoder", "TOKEN_IDS", "TEXT", [7]),
        ("vae_encoder", "IMAGE", "LATENT", [3, -1, -1]),
        ("vae_decoder", "LATENT", "IMAGE", [4, -1, -1]),
    ):
        config = config_of(exported, model)
        assert (config.backend, config.max_batch_size) == ("tensorrt", 6)
        assert config.HasField("dynamic_batching")
        assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
        assert [tensor.name for tensor in config.input] == [given]
        assert list(config.input[0].dims) == dims
        assert [tensor.name for tensor in config.output] == [output]
        # The engine has the names that the config promises.
        assert ends(build.graphs[f"{model}.onnx"]) == [given, output]
        served = exported / "models" / model / "1" / "model.plan"
        assert served.read_bytes() == (exported / "artifacts" / f"{model}.plan").read_bytes()
    for name in PLANS:
        assert load_engine_metadata(exported / "artifacts" / PLANS[name]) == made[name]
        made[name].check_machine(HERE)
    assert steps[-1] == "writing the model repository"
    assert not [path for path in exported.iterdir() if path.name.startswith(".")]


def test_the_denoiser_is_for_the_python_model(exported: Path) -> None:
    build = PretendedBuilder()
    made = build_repository(exported, HERE, build, limits=LIMITS)
    config = config_of(exported, "storyboard")
    assert config.backend == "python"
    assert config.parameters["runtime"].string_value == "tensorrt"
    assert config.parameters["precision"].string_value == "f16"
    assert (exported / "models" / "storyboard" / "1" / "model.py").is_file()
    assert made[DENOISER].attention_plugins == 1
    (node,) = attention_nodes(build.graphs[DENOISER])
    attributes = {attribute.name: attribute for attribute in node.attribute}
    assert attributes["plugin_namespace"].s == b"lafi"
    assert attributes["heads"].i == 2
    assert build.plans[DENOISER].profile["latents"].largest == (20, 4, 16, 16)


def test_the_plan_that_reads_references_is_for_the_python_model_too(exported: Path) -> None:
    build = PretendedBuilder()
    made = build_repository(exported, HERE, build, limits=LIMITS)
    profile = build.plans[REFERENCE].profile
    # A row for each entry that the denoiser's bank takes, and none of what rows have that read.
    assert list(profile) == ["latents", "timesteps", "text"]
    assert profile["latents"].largest == (8, 4, 16, 16)
    assert made[DENOISER].profile["bank_mask"].largest == (8, 16, 16)
    assert made[REFERENCE].profile == profile
    assert (made[REFERENCE].plan, made[REFERENCE].attention_plugins) == ("reference.plan", 0)
    assert not (exported / "models" / "reference").exists()
    # Its ends keep their names and fp32, and timesteps stay exact up to the first weights.
    graph = build.graphs[REFERENCE].graph
    assert ends(build.graphs[REFERENCE]) == ends(onnx.load(exported / "artifacts" / REFERENCE))
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {1}
    (level,) = [node for node in graph.node if node.op_type == "Cos"]
    assert list(level.input) == ["timesteps"]


def test_precision_of_each(exported: Path) -> None:
    made = build_repository(exported, HERE, PretendedBuilder(), limits=LIMITS)
    kinds = {name: metadata.precision for name, metadata in made.items()}
    assert kinds[TEXT_ENCODER] == kinds[DENOISER] == kinds[REFERENCE] == "f16"
    assert kinds[VAE_DECODER] == "f32"


def test_without_the_plugin_nodes_do_not_ask_for_it(exported: Path) -> None:
    build = PretendedBuilder()
    options = BuildOptions(attention="body")
    made = build_repository(exported, HERE, build, options=options, limits=LIMITS)
    assert made[DENOISER].attention_plugins == 0
    graph = build.graphs[DENOISER]
    # The body stands in the op's place, and a CUDA graph holds no branch.
    assert attention_nodes(graph) == []
    assert len(graph.functions) == 0
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("Attention") == 1
    assert "If" not in operators


def test_the_body_computes_the_same_in_half_precision(exported: Path) -> None:
    build = PretendedBuilder()
    build_repository(exported, HERE, build, options=BuildOptions(attention="body"), limits=LIMITS)
    generator = np.random.default_rng(0)
    feed: dict[str, Any] = {
        "latents": np.zeros((2, 4, 8, 8), np.float32),
        "q": generator.normal(size=(2, 5, 8)).astype(np.float32),
        "routes": np.int32([[1], [-1]]),
        "bias": np.float32([[0.5], [0]]),
        "mask": np.float32([[1, 1, 0, 1, 1]] * 2),
        "region": np.ones((2, 1, 5), np.float32),
        "bank": np.zeros((0, 5, 8), np.float32),
        "bank_mask": np.zeros((0, 5), np.float32),
    }
    before = (exported / "artifacts" / DENOISER).read_bytes()
    wanted, got = (
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for model in (before, build.graphs[DENOISER].SerializeToString())
    )
    assert 0 < np.abs(got - wanted).max() < 5e-3


def test_only_plans_that_no_served_model_has_are_refitted(exported: Path) -> None:
    options = BuildOptions(refit=True, strip=True)
    made = build_repository(exported, HERE, PretendedBuilder(), options=options, limits=LIMITS)
    assert [name for name, metadata in made.items() if metadata.refittable] == [*OURS]
    assert [name for name, metadata in made.items() if metadata.stripped] == [*OURS]
    for name in ("denoiser", "reference"):
        kept = onnx.load(exported / "artifacts" / f"{name}.refit.onnx")
        assert [tensor.name for tensor in kept.graph.initializer] == ["scale"]


def test_a_build_that_fails_leaves_the_models_as_they_were(exported: Path) -> None:
    with pytest.raises(BuildError, match=r"vae_decoder.onnx: no"):
        build_repository(exported, HERE, PretendedBuilder(fails_at=VAE_DECODER), limits=LIMITS)
    assert [path.name for path in (exported / "models").iterdir()] == ["before"]


def test_a_repository_with_variants_is_refused(exported: Path) -> None:
    folder = variant_folder(exported / "artifacts", "ink")
    folder.mkdir(parents=True)
    INFO.model_copy(update={"variant": "ink"}).save(folder)
    with pytest.raises(BuildError, match="variants: got ink, allowed none: plans are for"):
        build_repository(exported, HERE, PretendedBuilder(), limits=LIMITS)


def test_every_plan_is_compared_with_its_file(exported: Path) -> None:
    seen: dict[str, Mapping[str, str]] = {}

    def check(source: Path, names: Mapping[str, str], metadata: EngineMetadata) -> None:
        assert metadata == load_engine_metadata(source.with_name(metadata.plan))
        seen[source.name] = names

    build_repository(exported, HERE, PretendedBuilder(), check=check, limits=LIMITS)
    assert list(seen) == list(PLANS)
    assert seen[DENOISER] == seen[REFERENCE] == {}
    for name in set(PLANS) - {*OURS}:
        exported_ends = ends(onnx.load(exported / "artifacts" / name))
        assert list(seen[name]) == exported_ends
        assert set(seen[name].values()) < {"TOKEN_IDS", "TEXT", "IMAGE", "LATENT"}


def test_an_engine_that_disagrees_is_refused(exported: Path) -> None:
    def check(source: Path, names: Mapping[str, str], metadata: EngineMetadata) -> None:
        if source.name == VAE_DECODER:
            raise BuildError(f"{metadata.plan}: got IMAGE off by 0.5")

    with pytest.raises(BuildError, match=r"vae_decoder\.plan: got IMAGE off by 0\.5"):
        build_repository(exported, HERE, PretendedBuilder(), check=check, limits=LIMITS)
    assert [path.name for path in (exported / "models").iterdir()] == ["before"]


def test_outputs_that_the_model_does_not_have(exported: Path) -> None:
    spec: Any = text_encoder_spec(INFO)
    with pytest.raises(GraphError, match=r"inputs: got latents, .*, allowed as many as TOKEN_IDS"):
        served_names(exported / "artifacts" / DENOISER, spec)
