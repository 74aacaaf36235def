"""adapter: backprop by AdamW of the small part of a network that sits on a frozen, pretrained one.

The frozen part is installed at every peer and no part of the state, so the baton is the adapter alone. AdamW and not
SGD, whatever the recipe's optimiser: LoRA's two factors start at zero and at random, and their gradients differ by
orders of magnitude between layers.
"""

from __future__ import annotations

from dataclasses import replace

from derelayl_protocol.errors import LocalFault

from ..architectures import minilm
from ..batches import Batches
from .backprop import BackpropMethod
from .port import Leg, Record

OPTIMISER = "adamw"


class AdapterMethod(BackpropMethod):
    """Minimise the cross-entropy by AdamW, on a network that is an adapter."""

    def prepare(self, leg: Leg) -> Batches:
        """See Method. Raises LocalFault too when the network is trained as a whole."""
        if not isinstance(leg.model, minilm.MiniLmLora):
            raise LocalFault(
                f"method adapter trains adapters on a pretrained network, this one has none; allowed is the "
                f"architecture {minilm.NAME}, or another method"
            )
        return super().prepare(replace(leg, recipe=leg.recipe.model_copy(update={"optimiser": OPTIMISER})))

    def finish(self) -> Record:
        """See Method."""
        return {**super().finish(), "optimiser": OPTIMISER}
