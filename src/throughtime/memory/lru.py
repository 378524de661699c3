"""The linear recurrent unit (Orvieto et al. 2023)."""

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory._checks import check_choice, check_sizes
from throughtime.memory.base import initial_rows
from throughtime.memory.linear import SCANS, LinearMemory, Scan
from throughtime.memory.parallel import Number


class LRUState(NamedTuple):
    """What an LRU remembers: a complex number for each unit, in two real arrays."""

    h_re: Float[Array, "B H"]
    h_im: Float[Array, "B H"]


class LRUInput(NamedTuple):
    """What an LRU reads: the normalised drive of each unit, in two real arrays, and the input itself."""

    b_re: Float[Array, "*batch H"]
    b_im: Float[Array, "*batch H"]
    x: Float[Array, "*batch I"]


class LRUHidden(NamedTuple):
    """What an LRU's output is made of: the new state and the input."""

    h_re: Float[Array, "*batch H"]
    h_im: Float[Array, "*batch H"]
    x: Float[Array, "*batch I"]


class LRU(LinearMemory):
    r"""A linear recurrent unit: a diagonal, complex, linear recurrence between two linear maps.

        h' = λ ∘ h + γ ∘ (x W_xh),   λ = exp(−exp(ν) + i exp(θ)),   γ = exp(γ_log)
        y  = Re(h' W_hy) + x W_xy

    |λ| = exp(−exp(ν)) is below 1 whatever ν is, so that the recurrence is stable; γ starts at √(1 − |λ|²), which
    keeps the state's size the same however slowly it forgets. ν, θ and γ are kept as `nu_log`, `theta_log` and
    `gamma_log`, complex numbers as two real arrays. It is linear in its inputs: what is not, has to be done by
    what lies above it (a readout with an activation, or the agent's heads).

    Reference: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", arXiv 2303.06349
    (equations 4-8; B, C, D there are W_xh, W_hy, W_xy here).
    """

    per_unit: ClassVar[tuple[str, ...]] = (
        "nu_log",
        "theta_log",
        "gamma_log",
        "weight_xh_re",
        "weight_xh_im",
        "initial_h_re",
        "initial_h_im",
    )

    nu_log: Float[Array, " H"]
    theta_log: Float[Array, " H"]
    gamma_log: Float[Array, " H"]
    weight_xh_re: Float[Array, "I H"]
    weight_xh_im: Float[Array, "I H"]
    weight_hy_re: Float[Array, "H H"]
    weight_hy_im: Float[Array, "H H"]
    weight_xy: Float[Array, "I H"]
    initial_h_re: Float[Array, " H"] | None
    initial_h_im: Float[Array, " H"] | None
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    scan: Scan = eqx.field(static=True)
    learn_initial_state: bool = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 0.99,
        max_phase: float = 2 * math.pi,
        scan: Scan = "serial",
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds an LRU whose λ are spread evenly over a ring in the complex plane.

        Args:
            input_size: I, features of an input.
            hidden_size: H, complex hidden units; also the output size.
            r_min: the ring's inner radius, the smallest |λ| at the start, at least 0.
            r_max: the outer radius, above `r_min` and at most 1; a unit forgets within about 1/(1 − |λ|) steps.
            max_phase: the largest angle of λ at the start in radians, above 0 and at most 2π; small angles suit
                long lags (the paper takes π/10 there).
            scan: how `unroll` solves the recurrence, "serial" or "parallel" in time; see `LinearMemory`.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, an empty ring, an angle out of range, or a `scan` that is neither.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        check_choice("scan", scan, SCANS)
        _check_ring(r_min, r_max, max_phase)
        self.input_size, self.output_size = input_size, hidden_size
        self.scan, self.learn_initial_state = scan, learn_initial_state
        key_radius, key_phase, key_xh, key_hy, key_xy = jax.random.split(key, 5)
        # Drawn at least in float32: in 16 bits |λ| would be rounded to 1.
        wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
        tiny = float(jnp.finfo(wide).tiny)
        u = jax.random.uniform(key_radius, (hidden_size,), wide, 1e-4, 1.0 - 1e-4)
        nu = -0.5 * jnp.log(u * (r_max**2 - r_min**2) + r_min**2)  # |λ|² uniform in [r_min², r_max²]
        phase = jax.random.uniform(key_phase, (hidden_size,), wide, tiny, max_phase)
        self.nu_log = jnp.log(nu).astype(dtype)
        self.theta_log = jnp.log(phase).astype(dtype)
        self.gamma_log = (0.5 * jnp.log(-jnp.expm1(-2.0 * nu))).astype(dtype)
        xh = jax.random.normal(key_xh, (2, input_size, hidden_size), dtype) * (2 * input_size) ** -0.5
        hy = jax.random.normal(key_hy, (2, hidden_size, hidden_size), dtype) * hidden_size**-0.5
        self.weight_xh_re, self.weight_xh_im = xh
        self.weight_hy_re, self.weight_hy_im = hy
        self.weight_xy = jax.random.normal(key_xy, (input_size, hidden_size), dtype) * input_size**-0.5
        self.initial_h_re = jnp.zeros(hidden_size, dtype) if learn_initial_state else None
        self.initial_h_im = jnp.zeros(hidden_size, dtype) if learn_initial_state else None

    def initial_state(self, batch_size: int) -> LRUState:
        """Zeros, or the learned row, for each of `batch_size` sequences."""
        shape, dtype = (self.output_size,), self.nu_log.dtype
        return LRUState(
            *(initial_rows(row, batch_size, shape, dtype) for row in (self.initial_h_re, self.initial_h_im))
        )

    def decay(self) -> tuple[Float[Array, " H"], Float[Array, " H"]]:
        """λ, its real and its imaginary part."""
        radius, phase = jnp.exp(-jnp.exp(self.nu_log)), jnp.exp(self.theta_log)
        return radius * jnp.cos(phase), radius * jnp.sin(phase)

    def project(self, x: Float[Array, "*batch I"]) -> LRUInput:
        """`γ ∘ (x W_xh)`, and the input for the path past the state."""
        gamma = jnp.exp(self.gamma_log)[None]
        return LRUInput(x @ (self.weight_xh_re * gamma), x @ (self.weight_xh_im * gamma), x)

    def coefficients(self, projected: LRUInput) -> tuple[Number, Number]:
        """λ, the same at every step, and the drive."""
        ones = (1,) * (projected.b_re.ndim - 1)
        return tuple(part.reshape(*ones, -1) for part in self.decay()), (projected.b_re, projected.b_im)

    def hidden(self, state: LRUState, projected: LRUInput) -> LRUHidden:
        """The new state and the input."""
        return LRUHidden(*state, projected.x)

    def read_out(self, hidden: LRUHidden) -> Float[Array, "*batch H"]:
        """`Re(h W_hy) + x W_xy`."""
        return hidden.h_re @ self.weight_hy_re - hidden.h_im @ self.weight_hy_im + hidden.x @ self.weight_xy


def _check_ring(r_min: float, r_max: float, max_phase: float) -> None:
    if not 0 <= r_min < r_max <= 1:
        raise ConfigError(
            f"r_min is {r_min} and r_max is {r_max}",
            "They are the radii of the ring in which the eigenvalues λ start; beyond 1 the state would explode.",
            "Choose 0 ≤ r_min < r_max ≤ 1, for example 0.9 and 0.999 for long lags.",
        )
    if not 0 < max_phase <= 2 * math.pi:
        raise ConfigError(
            f"max_phase is {max_phase}",
            "It is the largest angle of an eigenvalue λ in radians.",
            "Choose 0 < max_phase ≤ 2π, for example 0.314 for long lags.",
        )
