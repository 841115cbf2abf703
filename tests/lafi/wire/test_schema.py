import re
from pathlib import Path

import pytest

from lafi.model.info import ModelInfo, RecogniserInfo
from lafi.wire.contract import storyboard_from_tensors
from lafi.wire.events import EVENT_OF_KIND
from lafi.wire.model_spec import ModelSpec, bytes_tensor, served_models
from lafi.wire.schema import SCHEMAS, event_schema, main, schema_text, storyboard_schema

CLIENT = Path(__file__).parents[3] / "client"
WIRE = (CLIENT / "WIRE.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    text = (CLIENT / name).read_text(encoding="utf-8")
    assert text == schema_text(name), "run: python -m lafi.wire.schema client"


def test_it_is_written_into_a_folder(tmp_path: Path) -> None:
    main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SCHEMAS)


def test_a_reference_is_a_number_on_the_wire() -> None:
    character = storyboard_schema()["$defs"]["Character"]
    kinds = [kind["type"] for kind in character["properties"]["reference"]["anyOf"]]
    assert kinds == ["integer", "null"]
    assert "ReferenceImage" not in str(storyboard_schema())
    definitions = storyboard_schema()["$defs"]
    for name, short in (("StageSource", "integer"), ("StageMask", "array")):
        whole, alone = definitions[name]["anyOf"]
        assert whole["properties"]["image"] == character["properties"]["reference"]
        assert alone["type"] == short
    assert "from" in definitions["SamplingStage"]["properties"]
    assert "title" in storyboard_schema()["properties"]


def test_pictures_are_not_in_the_json() -> None:
    definitions = event_schema()["$defs"]
    assert not any("png" in one["properties"] for one in definitions.values())
    # Not an event itself, but a part of `accepted`.
    del definitions["PromptTokens"]
    assert len(definitions) == len(EVENT_OF_KIND)
    assert all("kind" in one["required"] for one in definitions.values())


def test_the_page_names_every_tensor_and_every_event(small_model: ModelInfo) -> None:
    recogniser = RecogniserInfo(side=16, width=8, threshold=0.9)
    model = small_model.model_copy(update={"recogniser": recogniser})
    specs: tuple[ModelSpec, ...] = served_models(model)
    for tensor in (tensor for spec in specs for tensor in (*spec.inputs, *spec.outputs)):
        assert f"`{tensor.name}`" in WIRE
    for kind, event in EVENT_OF_KIND.items():
        (row,) = re.findall(rf"^\| `{kind}` \|.*$", WIRE, re.MULTILINE)
        fields = set(event.model_fields) - {"kind", "png", "data"}
        assert fields <= set(re.findall(r"`(\w+)`", row))


def test_links_of_the_page_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", WIRE)
    assert len(links) >= 3
    headings = re.findall(r"^#+ (.*)$", WIRE, re.MULTILINE)
    own = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    assert [link for link in links if link not in own and not (CLIENT / link).is_file()] == []


def test_the_storyboards_of_the_page_are_valid(png: bytes) -> None:
    texts = re.findall(r"```json\n(.*?)```", WIRE, re.DOTALL)
    texts += re.findall(r'`({"panels.*})`', WIRE)
    assert len(texts) == 8
    for text in texts:
        number = len(re.findall(r'"(?:reference|image)": \d', text))
        images = (png,) * number or (b"",)
        board = storyboard_from_tensors(bytes_tensor(text.encode()), bytes_tensor(*images))
        assert board.panels
