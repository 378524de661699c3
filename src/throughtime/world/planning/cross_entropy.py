"""Planning by the cross-entropy method: continuous actions (CrossEntropy) and discrete ones (CategoricalCrossEntropy).

A distribution over action sequences is fitted to the best of its own draws, a few times over; its first action is
taken and the rest, moved on by one step, is where the next search begins.

References: Rubinstein 1999, "The cross-entropy method for combinatorial and continuous optimization"; Chua et al. 2018,
"Deep reinforcement learning in a handful of trials using probabilistic dynamics models" (PETS, arXiv 1805.12114), for
bounded actions, several particles a sequence and the shifted plan; Hafner et al. 2019, "Learning latent dynamics for
planning from pixels" (PlaNet, arXiv 1811.04551), algorithm 2, for planning in a recurrent latent model.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, Space
from throughtime.rl import Categorical, DiagonalGaussian
from throughtime.world.model import WorldModel
from throughtime.world.planning.planner import (
    Planned,
    Planner,
    TerminalValue,
    average_elites,
    check_counts,
    check_share,
    imagined_returns,
    repeat_rows,
    within_bounds,
)

LEAST_STD = 1e-3  # of a planned continuous action, so that its density exists
LEAST_PROBABILITY = 1e-30  # of a planned discrete one, so that its logarithm does


class _CrossEntropy(Planner):
    """What both have in common: sizes, and how candidates are valued."""

    horizon: int = eqx.field(static=True, default=15)
    candidates: int = eqx.field(static=True, default=128)
    elites: int = eqx.field(static=True, default=16)
    iterations: int = eqx.field(static=True, default=4)
    particles: int = eqx.field(static=True, default=1)
    discount: float = eqx.field(static=True, default=0.99)
    smoothing: float = eqx.field(static=True, default=0.1)
    terminal_value: TerminalValue | None = None

    def __check_init__(self):
        name = type(self).__name__
        check_counts(
            name,
            horizon=self.horizon,
            candidates=self.candidates,
            elites=self.elites,
            iterations=self.iterations,
            particles=self.particles,
        )
        check_share(name, "discount", self.discount)
        check_share(name, "smoothing", self.smoothing)
        if self.elites > self.candidates:
            raise ConfigError(
                f"{name}: elites = {self.elites} of candidates = {self.candidates}",
                "The elites are the best of the candidates.",
                "Give fewer elites, about a tenth of the candidates.",
            )

    def value_of(self, model: WorldModel, state: Any, actions: Array, key: PRNGKeyArray) -> Float[Array, " N"]:
        """Mean returns of `candidates` sequences `[N, H, ...]` over `particles` rollouts each."""
        rows = jnp.repeat(jnp.moveaxis(actions, 0, 1), self.particles, axis=1)  # [H, N·P, ...]
        returns = imagined_returns(
            model,
            repeat_rows(state, self.candidates * self.particles),
            rows,
            key,
            discount=self.discount,
            terminal_value=self.terminal_value,
        )
        return jnp.mean(returns.reshape(self.candidates, self.particles), axis=1)


class CrossEntropy(_CrossEntropy):
    """The cross-entropy method for continuous actions: independent normals over H · A numbers.

    Actions are drawn in units where the range is [-1, 1] and clipped to it. One of the candidates is always the mean
    itself, so that the last plan is beaten only by a better one (Pinneri et al. 2020, iCEM, arXiv 2008.06389).

    Args:
        horizon: H, imagined steps.
        candidates: N, sequences a round.
        elites: of these, the best that the next round is fitted to.
        iterations: rounds.
        particles: P, rollouts of each sequence, over which its return is averaged.
        discount: γ.
        smoothing: α; what is kept of the last round's mean and deviation, 1 − α comes from the elites.
        terminal_value: V(state after H steps), or None.
        initial_std: standard deviation in the first round.
        exploration: standard deviation of the normal in `Planned.distribution`; its mean is the planned action.

    Raises:
        ConfigError: sizes that make no search.
    """

    initial_std: float = eqx.field(static=True, default=0.5)
    exploration: float = eqx.field(static=True, default=LEAST_STD)

    def __check_init__(self):
        check_share("CrossEntropy", "initial_std", self.initial_std, low=LEAST_STD, high=10.0)
        check_share("CrossEntropy", "exploration", self.exploration, low=LEAST_STD, high=10.0)

    def check(self, space: Space) -> None:
        """Continuous actions `[A]` with finite bounds."""
        if not isinstance(space, Box):
            raise ConfigError(
                f"CrossEntropy does not plan actions of {space}.",
                "It draws real numbers.",
                "Take CategoricalCrossEntropy, SparseSampling or UCT.",
            )

    def no_plan(self, space: Space) -> Float[Array, "H A"]:
        """The middle of the range, H times."""
        return jnp.zeros((self.horizon, *space.shape))

    def __call__(self, model: WorldModel, state: Any, plan: Float[Array, "H A"], key: PRNGKeyArray) -> Planned:
        """Searches from `plan`, the mean of the first round."""
        space: Any = model.action_space

        def one_round(carry: Any, key: PRNGKeyArray) -> tuple[Any, Array]:
            mean, std = carry
            key_draw, key_model = jax.random.split(key)
            noise = jax.random.normal(key_draw, (self.candidates, *mean.shape)).at[0].set(0.0)
            drawn = jnp.clip(mean[None] + std[None] * noise, -1.0, 1.0)
            returns = self.value_of(model, state, within_bounds(space, drawn), key_model)
            best_mean, best_std, promised = average_elites(drawn, returns, self.elites)
            a = jnp.where(jnp.isfinite(promised), self.smoothing, 1.0)  # nothing is learned where nothing was finite
            return (a * mean + (1.0 - a) * best_mean, a * std + (1.0 - a) * best_std), promised

        first = plan, jnp.full(plan.shape, self.initial_std)
        (mean, _), promised = jax.lax.scan(one_round, first, jax.random.split(key, self.iterations))
        action = DiagonalGaussian(mean[0], jnp.full(mean.shape[1:], jnp.log(self.exploration)))
        return Planned(action, promised[-1], jnp.concatenate([mean[1:], jnp.zeros_like(mean[:1])]))


class CategoricalCrossEntropy(_CrossEntropy):
    """The cross-entropy method for discrete actions: an independent categorical distribution for each of H steps.

    One of the candidates is always the sequence of the most probable actions. With `iterations = 1` and `elites = 1`
    it is random shooting.

    Args:
        horizon: as for `CrossEntropy`, and so the others.
        candidates: N.
        elites: the best of them.
        iterations: rounds.
        particles: P.
        discount: γ.
        smoothing: α; what is kept of the last round's probabilities.
        terminal_value: V(state after H steps), or None.
        forget: how much of the uniform distribution is mixed into the plan that the next search begins with: what the
            last search was certain of can be looked at again.

    Raises:
        ConfigError: sizes that make no search.
    """

    forget: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        check_share("CategoricalCrossEntropy", "forget", self.forget)

    def check(self, space: Space) -> None:
        """One discrete action."""
        check_discrete("CategoricalCrossEntropy", space)

    def no_plan(self, space: Space) -> Float[Array, "H A"]:
        """Uniform probabilities, H times."""
        n = getattr(space, "n", 1)
        return jnp.full((self.horizon, n), 1.0 / n)

    def __call__(self, model: WorldModel, state: Any, plan: Float[Array, "H A"], key: PRNGKeyArray) -> Planned:
        """Searches from `plan`, the probabilities of the first round."""
        A = plan.shape[-1]

        def one_round(probability: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
            key_draw, key_model = jax.random.split(key)
            shape = (self.candidates, self.horizon)
            chances = Categorical(jnp.broadcast_to(jnp.log(probability), (*shape, A)))
            drawn = chances.sample(Categorical.noise(key_draw, shape, A))
            drawn = drawn.at[0].set(chances.mode()[0])
            returns = self.value_of(model, state, drawn, key_model)
            frequency, _, promised = average_elites(jax.nn.one_hot(drawn, A), returns, self.elites)
            a = jnp.where(jnp.isfinite(promised), self.smoothing, 1.0)
            return a * probability + (1.0 - a) * frequency, promised

        probability, promised = jax.lax.scan(one_round, plan, jax.random.split(key, self.iterations))
        after = jnp.concatenate([probability[1:], jnp.full((1, A), 1.0 / A)])
        after = (1.0 - self.forget) * after + self.forget / A
        return Planned(Categorical(jnp.log(jnp.maximum(probability[0], LEAST_PROBABILITY))), promised[-1], after)


def check_discrete(name: str, space: Space) -> None:
    """Refuses what is not one discrete action.

    Raises:
        ConfigError: which planner to take instead.
    """
    if not isinstance(space, Discrete):
        instead = "Take CrossEntropy." if isinstance(space, Box) else "Give the environment one discrete action."
        raise ConfigError(f"{name} does not plan actions of {space}.", "It tells discrete actions apart.", instead)
