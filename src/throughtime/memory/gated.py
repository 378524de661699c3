"""What gated cells share: all gates side by side in one matrix, and each gate's own weights by name."""

from typing import ClassVar

import equinox as eqx
from jaxtyping import Array

from throughtime.memory._checks import check_choice
from throughtime.memory.base import Memory


class Gated(Memory):
    """A memory with G gates, in the order of `gates`.

    `weight_xh` is `[I, G·H]`, `weight_hh` `[H, G·H]` and `bias_h` `[G·H]`.
    """

    gates: ClassVar[tuple[str, ...]]
    weight_xh: eqx.AbstractVar[Array]
    weight_hh: eqx.AbstractVar[Array]
    bias_h: eqx.AbstractVar[Array]

    def gate(self, name: str) -> dict[str, Array]:
        """The weights of one gate: `weight_xh [I, H]`, `weight_hh [H, H]`, `bias_h [H]`, and any others.

        Args:
            name: one of `gates`.

        Raises:
            ConfigError: there is no such gate.
        """
        check_choice("gate", name, self.gates)
        H = self.output_size
        part = slice(self.gates.index(name) * H, (self.gates.index(name) + 1) * H)
        return {
            "weight_xh": self.weight_xh[:, part],
            "weight_hh": self.weight_hh[:, part],
            "bias_h": self.bias_h[part],
        }
