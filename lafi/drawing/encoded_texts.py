"""Every distinct text of a storyboard is encoded once for each variant.

Knows plans and encoders, not how texts are used.
"""

from collections.abc import Mapping, Sequence

from lafi.conditioning.prompts import encode_texts
from lafi.drawing.pictures import Size
from lafi.drawing.plan import StagePlan
from lafi.drawing.staged import Materials, zero_negative
from lafi.model.families.registry import input_ports


def encode_all_texts(
    materials: Materials,
    read: Mapping[str, Mapping[Size, set[str]]],
    plans: Sequence[tuple[StagePlan, ...]],
) -> None:
    """Encode captions first, then prompts in panels' order, into `materials.texts`.

    read: characters whose reference some stage reads -> sizes at which -> by which variants.
    plans: the stages of every picture that may be drawn. Negative prompts go with the others
    where they are read in the same way.
    """
    reading = materials.reading
    wanted: dict[tuple[str, int], list[str]] = {}
    for name, sizes in read.items():
        for variant in dict.fromkeys(v for used in sizes.values() for v in sorted(used)):
            caption = materials.storyboard.character(name).caption
            wanted.setdefault((variant, reading.clip_skip), []).append(caption)
    for stage in (stage for stages in plans for stage in stages):
        wanted.setdefault((stage.variant, reading.clip_skip), []).append(stage.text)
        if stage.guided and not zero_negative(stage, materials.engines[stage.variant]):
            wanted.setdefault((stage.variant, 0), []).append(stage.negative)
    for (variant, clip_skip), texts in wanted.items():
        engines = materials.engines[variant]
        materials.texts[variant, clip_skip] = encode_texts(
            *(texts, engines.prompts, engines.text_encoder, input_ports(engines.info)),
            reading._replace(clip_skip=clip_skip),
        )
