"""A folder of finished panels, and which of them still match the storyboard.

Every file is written whole or not at all. `drawing.json` records the settings of each picture;
the pictures themselves are stored byte for byte as the server sent them, or signed with a key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.origin.made import Made, made_by
from lafi.origin.signing import Signing
from lafi.wire.events import Latents, PanelImage, Portrait, Preview

RECORD_NAME = "drawing.json"
_ALWAYS = {
    *("steps", "sampler", "sigmas", "guidance", "guidance_start", "guidance_end"),
    *("reuse_threshold", "reuse_start", "reuse_end"),
}
_FIRST_DEFAULT = "DDIM"
"""What an unset sampler is recorded as, so that older drawings are still recognised."""
_RESOLVED = {"prompt", "injection", "source", "mask"}
"""Fields of a stage that are hashed by what they resolve to."""


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """The record of a picture file: hashes of its settings and bytes, seconds, content address.

    seed, scores, attempts: as in the event of a panel; none for a portrait. signer: SHA-256 of the
    certificate that the file is signed with; "": it is not signed.
    """

    settings: str
    sha256: str
    seconds: float | None = None
    address: str = ""
    seed: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    attempts: int = 1
    signer: str = ""


class DrawingFolder:
    """The pictures of one storyboard in the folder `path`, which is created if it is missing.

    `names`: the panels' file names; default: `panel_00.png` and so on. `signing`: who signs every
    PNG file; None: nobody.
    """

    def __init__(
        self,
        path: Path,
        storyboard: Storyboard,
        names: Sequence[str] | None = None,
        signing: Signing | None = None,
    ) -> None:
        self.path = path
        self._storyboard = storyboard
        self._signing = signing
        self._names = names or [panel_file(number) for number in range(len(storyboard.panels))]
        path.mkdir(parents=True, exist_ok=True)
        self._records = _read_records(path / RECORD_NAME)

    def of(self, storyboard: Storyboard) -> DrawingFolder:
        """The same folder and file names for a changed storyboard."""
        return DrawingFolder(self.path, storyboard, self._names, self._signing)

    def current(self, number: int) -> bool:
        """Whether the panel's file exists, is unchanged and was drawn with the current settings."""
        name = self._names[number]
        record, picture = self._records.get(name), self._read(name)
        if record is None or picture is None or record.sha256 != sha256_of(picture):
            return False
        return record.settings == panel_settings(self._storyboard, number)

    def panel(self, number: int) -> bytes | None:
        """The panel's PNG file, drawn with any settings; None if there is none."""
        return self._read(self._names[number])

    def record(self, number: int) -> PictureRecord | None:
        """The record of the panel's file; None if there is none."""
        return self._records.get(self._names[number])

    def portrait(self, name: str) -> bytes | None:
        """The portrait of a character; None if there is none."""
        return self._read(portrait_file(name))

    def save_preview(self, preview: Preview) -> None:
        """Writes the preview of a finished stage. It gets no record, as it is never reused."""
        name = preview_file(preview.panel, preview.stage)
        self.write(name, self.signed(name, preview.png))

    def save_latents(self, latents: Latents) -> None:
        """What a stage left, so that the panel can go on from there (`latents_file`)."""
        self.write(latents_file(latents.panel, latents.stage), latents.data)

    def latents(self, number: int, stage: int) -> bytes | None:
        """What panel `number` had after that stage, counted from 1; None if nothing is kept."""
        return self._read(latents_file(number, stage))

    def save_panel(self, image: PanelImage) -> None:
        settings = panel_settings(self._storyboard, image.panel)
        name = self._names[image.panel]
        png = self.signed(name, image.png)
        record = PictureRecord(
            settings,
            sha256_of(png),
            image.seconds,
            image.address,
            image.seed,
            image.scores,
            image.attempts,
            self._signer,
        )
        self._save(name, png, record)

    def save_portrait(self, portrait: Portrait) -> None:
        settings = _digest(self._storyboard.character(portrait.character).caption)
        name = portrait_file(portrait.character)
        png = self.signed(name, portrait.png)
        self._save(name, png, PictureRecord(settings, sha256_of(png), signer=self._signer))

    def signed(self, name: str, png: bytes, shows: Sequence[Made] | None = None) -> bytes:
        """The picture with a manifest, or as it is without a key. Raises StoryboardError.

        shows: what it is made of; default: what it says of itself.
        """
        if self._signing is None:
            return png
        short = Path(name).name
        return self._signing.signed(png, short, [made_by(png, short)] if shows is None else shows)

    def sign_kept(self) -> int:
        """Sign what an earlier call left unsigned here and nobody changed; returns how many."""
        if self._signing is None:
            return 0
        count = 0
        for name, record in list(self._records.items()):
            png = self._read(name)
            if png is None or record.signer or sha256_of(png) != record.sha256:
                continue
            signed = self.signed(name, png)
            self._save(name, signed, replace(record, sha256=sha256_of(signed), signer=self._signer))
            count += 1
        return count

    @property
    def _signer(self) -> str:
        return "" if self._signing is None else self._signing.fingerprint

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        write_whole(self.path / name, data)

    def _save(self, name: str, picture: bytes, record: PictureRecord) -> None:
        self.write(name, picture)
        self._records[name] = record
        records = {key: asdict(value) for key, value in sorted(self._records.items())}
        self.write(RECORD_NAME, json.dumps(records, indent=1).encode())

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step, so that no reader sees half of it. Creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def panel_file(number: int) -> str:
    """`panel_00.png` for panel 0."""
    return f"panel_{number:02d}.png"


def preview_file(number: int, stage: int) -> str:
    """`preview_03_1.png` for panel 3 after its first stage."""
    return f"preview_{number:02d}_{stage}.png"


def latents_file(number: int, stage: int) -> str:
    """`stage_03_1.safetensors` for panel 3 after its first stage."""
    return f"stage_{number:02d}_{stage}.safetensors"


def portrait_file(name: str) -> str:
    """`portrait_mia.png` for mia."""
    return f"portrait_{name}.png"


def panel_settings(storyboard: Storyboard, number: int) -> str:
    """SHA-256 of everything in the storyboard that decides a panel's pixels.

    The server's content address also covers the model, which the client does not know beforehand.
    """
    return _settings(storyboard, storyboard.panels[number])


def _settings(storyboard: Storyboard, panel: Panel) -> str:
    return _digest(
        {
            "size": [*storyboard.effective_size(panel)],
            "negative": panel.negative_text(storyboard),
            "characters": [_character(storyboard, name) for name in panel.characters],
            **_panel(storyboard, panel),
            **_retry(storyboard, panel),
            **_conditions(panel),
            **_control(panel),
            **_pictures(storyboard, panel),
            **_objects(panel),
            **_references(storyboard, panel),
            **_upscale(storyboard, panel),
        }
    )


def _panel(storyboard: Storyboard, panel: Panel) -> dict[str, object]:
    stages = storyboard.effective_sampling(panel).stages
    return {
        "prompt": panel.prompt_text(storyboard),
        "seed": panel.seed,
        "sampling": {"stages": [_stage(storyboard, panel, stage) for stage in stages]},
        "injection": storyboard.effective_injection(panel).model_dump(mode="json"),
        "regions": {name: list(box) for name, box in panel.regions.items()},
    }


def _stage(storyboard: Storyboard, panel: Panel, stage: SamplingStage) -> dict[str, object]:
    """Newer fields count only if they are set, so that older drawings are still recognised."""
    newer = {*SamplingStage.model_fields} - _ALWAYS - _RESOLVED
    found = stage.model_dump(mode="json", include=_ALWAYS)
    found["sampler"] = stage.sampler or _FIRST_DEFAULT
    found |= stage.model_dump(mode="json", include=newer, exclude_defaults=True)
    if stage.prompt is not None:
        found["prompt"] = panel.stage_text(storyboard, stage)
    if stage.injection is not None:
        injection = storyboard.effective_injection(panel, stage)
        found["injection"] = injection.model_dump(mode="json")
    if stage.source is not None and stage.source.panel is not None:
        # A stage begins with the panel as it was drawn, whatever became of it afterwards.
        earlier = storyboard.panels[stage.source.panel]
        found["from"] = _settings(storyboard, earlier.model_copy(update={"upscale": 1}))
    for key, slot in (("from", stage.source), ("mask", stage.mask)):
        if slot is not None and slot.image is not None:
            found[key] = sha256_of(slot.image.data)
    if stage.mask is not None and stage.mask.region is not None:
        found["mask"] = list(stage.mask.region)
    return found


def _conditions(panel: Panel) -> dict[str, object]:
    given = [condition.model_dump(mode="json") for condition in panel.conditions]
    return {"conditions": given} if given else {}


def _control(panel: Panel) -> dict[str, object]:
    """Empty for a panel without any, so that older drawings are still recognised."""
    given = [control.described() for control in panel.control]
    return {"control": given} if given else {}


def _references(storyboard: Storyboard, panel: Panel) -> dict[str, object]:
    """Empty for a panel without further references, so that older drawings are recognised."""
    given = [reference.described() for reference in panel.references]
    for reference in given:
        reference["character"] = _character(storyboard, reference["character"])
    return {"references": given} if given else {}


def _pictures(storyboard: Storyboard, panel: Panel) -> dict[str, object]:
    """Empty for a panel without picture prompts, so that older drawings are still recognised."""
    given = [prompt.described() for prompt in panel.picture_prompts]
    for prompt in given:
        if prompt["character"] is not None:
            prompt["character"] = _character(storyboard, prompt["character"])
    return {"picture_prompts": given} if given else {}


def _objects(panel: Panel) -> dict[str, object]:
    """Empty for a panel without any, so that older drawings are still recognised."""
    given = [each.described() for each in panel.objects]
    return {"objects": given} if given else {}


def _upscale(storyboard: Storyboard, panel: Panel) -> dict[str, object]:
    """Empty for a panel as it is drawn, so that older drawings are still recognised."""
    factor = storyboard.effective_upscale(panel)
    return {"upscale": factor} if factor > 1 else {}


def _retry(storyboard: Storyboard, panel: Panel) -> dict[str, object]:
    """Empty for a panel without retries, so that older drawings are still recognised."""
    retry = storyboard.effective_retry(panel)
    return {"retry": list(retry)} if retry else {}


def _character(storyboard: Storyboard, name: str) -> dict[str, object]:
    character = storyboard.character(name)
    kind = {} if character.kind == "figure" else {"kind": character.kind}
    if character.reference is not None:
        reference = sha256_of(character.reference.data)
        return {"caption": character.caption, "reference": reference, **kind}
    portrait = storyboard.portrait_panel(name)
    return {"negative": storyboard.negative_prompt, **_panel(storyboard, portrait), **kind}


def _digest(value: object) -> str:
    return sha256_of(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def sha256_of(data: bytes) -> str:
    """As 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _read_records(path: Path) -> dict[str, PictureRecord]:
    """The records by picture; none if the file is missing or not one of ours."""
    try:
        entries = json.loads(path.read_bytes())
        return {name: PictureRecord(**entry) for name, entry in entries.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}
