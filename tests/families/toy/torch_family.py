"""What the toy family does with torch."""

from collections.abc import Sequence
from typing import Any, Final

from lafi_toy.family import GUIDANCE, MOOD
from lafi_toy.network import ToyTransformer
from lafi_toy.torch_texts import TORCH_TOY_TEXTS
from torch import Tensor

from lafi.engine.torch.attention import Collected, packed_by_group
from lafi.model.bank_groups import BankGroup, bank_groups, bank_places
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import complete
from lafi.ports.engines import DenoiserBatch, ReferenceBatch


class TorchToy:
    """`lafi.engine.torch.family.TorchFamily`."""

    name: Final = "toy"
    part: Final = "transformer"
    module_class: Final = ToyTransformer
    text: Final = TORCH_TOY_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        places = bank_places(bank_groups(info.layers))
        for index, site in enumerate(info.layers):
            block = module.get_submodule(site.name)
            block.site, block.place = index, places[index]

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        return module(*_inputs(batch), injection=batch)

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        collected = Collected()
        module(*_inputs(batch), injection=collected)
        return packed_by_group(collected, groups, batch.mask)


def _inputs(batch: DenoiserBatch | ReferenceBatch) -> tuple[Tensor, ...]:
    """What a batch may come without is what its port holds where nobody uses it."""
    told = complete(batch.ports, (GUIDANCE, MOOD)).values()
    return (batch["latents"], batch["timesteps"], batch["text"], batch["text_mask"], *told)


TORCH_TOY: Final = TorchToy()
