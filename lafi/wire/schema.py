"""JSON schemas of the wire, for clients in other languages.

`python -m lafi.wire.schema FOLDER` writes `storyboard.schema.json` and `event.schema.json`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lafi.board.limits import MAX_PANELS, MAX_PICTURES
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def storyboard_schema() -> dict[str, Any]:
    """The schema of STORYBOARD, in which a picture is the index of an image in REFERENCES."""
    schema = Storyboard.model_json_schema()
    definitions = schema["$defs"]
    del definitions["ReferenceImage"]
    index = {"type": "integer", "minimum": 0, "maximum": MAX_PICTURES - 1}
    described = {"description": "place of the image in REFERENCES, from 0"}
    needed = {**index, **described}
    place = {"anyOf": [index, {"type": "null"}], "default": None, **described}
    definitions["Character"]["properties"]["reference"] = place
    control = definitions["Control"]["properties"]
    control["image"] = place
    figures, nothing = control["pose"]["anyOf"]
    definitions["PicturePrompt"]["properties"]["image"] = place
    definitions["FurtherReference"]["properties"]["image"] = needed
    control["pose"]["anyOf"] = [figures, figures["items"], nothing]
    for name, short in (("StageSource", "panel"), ("StageMask", "region")):
        whole = definitions[name]
        whole["properties"]["image"] = place
        alone, _ = whole["properties"][short]["anyOf"]
        definitions[name] = {"anyOf": [whole, alone]}
    definitions["StageLatents"]["properties"]["data"] = {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_PICTURES + MAX_PANELS - 1,
        "description": "place of a safetensors file from an event `latents` in REFERENCES",
    }
    del definitions["Panel"]["properties"]["seed"]["default"]  # it is the panel's index
    stages = definitions["Sampling"]
    definitions["Sampling"] = {"anyOf": [stages, {"$ref": "#/$defs/SamplingStage"}]}
    return _titled("Storyboard, the text in STORYBOARD", schema)


def event_schema() -> dict[str, Any]:
    """The schema of EVENT; the picture of a panel or a portrait is in IMAGE."""
    schema = TypeAdapter(Event).json_schema(mode="serialization")
    return _titled("Event, the text in EVENT", schema)


def _titled(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": title, **_without_titles(schema)}


def _without_titles(node: Any) -> Any:
    """Removes the titles that pydantic makes from names (but not a property called title)."""
    if isinstance(node, list):
        return [_without_titles(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(child)
        for key, child in node.items()
        if key != "title" or not isinstance(child, str)
    }


SCHEMAS = {"storyboard.schema.json": storyboard_schema, "event.schema.json": event_schema}


def schema_text(name: str) -> str:
    """The content of one of the files in SCHEMAS."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write both files into `folder`."""
    for name in SCHEMAS:
        (folder / name).write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
