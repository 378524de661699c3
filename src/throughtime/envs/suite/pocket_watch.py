"""The pocket watch: one decision now, its return after a long, noisy delivery (Arjona-Medina et al. 2019)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment, Tables

BRANDS = 4
LONGEST_TABLES = 4
"""The longest delivery whose tables are written out: the counts of events make S grow with the third power of it."""


class PocketWatchState(NamedTuple):
    """The watch and its delivery so far."""

    brand: Int[Array, ""]
    repaired: Int[Array, ""]  # 1 where the first action was to repair, else 0
    jams: Int[Array, ""]  # traffic jams up to now
    flats: Int[Array, ""]  # flat tyres up to now
    time: Int[Array, ""]  # steps since the reset


class PocketWatchParams(NamedTuple):
    """Prices, costs and their noise; `[4]` is one number for each brand."""

    price: Float[Array | np.ndarray, " 4"]  # of the repaired watch
    repair_cost: Float[Array | np.ndarray, " 4"]  # mean
    repair_noise: Float[Array | np.ndarray, " 4"]  # standard deviation
    brand_cost: Float[Array | np.ndarray, " 4"]  # of delivering that brand, mean
    brand_noise: Float[Array | np.ndarray, " 4"]  # standard deviation
    jam_cost: float | Array = 0.1
    jam_chance: float | Array = 0.1  # at each step
    flat_cost: float | Array = 7.0
    flat_chance: float | Array = 0.05  # at each step


@dataclass(frozen=True)
class PocketWatch(Environment[PocketWatchState, PocketWatchParams]):
    """The task of the RUDDER demonstration: is it worth while to repair this watch?

    One of four brands comes in, each as often. Action 0 of the first step repairs it at once, which costs about
    `repair_cost`; 1 leaves it. Later actions do nothing. At each step, the last one included, there may be a traffic
    jam (0.1 of the steps) and a flat tyre (0.05). The last step of a repaired watch pays its price minus 0.1 for each
    jam, 7 for each flat tyre, and about `brand_cost`; all other rewards are 0. Costs of repair and of the brand are
    normal. An episode has `length` steps and then terminates.

    With 50 steps a delivery costs 18 ± 10.8 by its events, and repairing pays −1.5, 3.5, 3.5 and −1.5 in the mean:
    a hard decision by its return, an easy one once the events are accounted for.

    Observation: `[repaired, jams, flats, brand one-hot (4), time / length]`: the state in full. (The published code
    gives brand and time as integers.)

    Reference: Arjona-Medina et al. 2019, "RUDDER: Return decomposition for delayed rewards", arXiv 1806.07857;
    numbers and order of events from the code of its demonstration (ml-jku/rudder-demonstration-code, commit
    2555626), which uses what its README calls variances as standard deviations. So does this.

    Args:
        length: steps of an episode, at least 1.
    """

    length: int = 50

    def __post_init__(self):
        check_at_least_one(self.name, "length", self.length, "It counts the steps of an episode.")

    @property
    def name(self) -> str:
        """`pocket-watch`."""
        return "pocket-watch"

    @property
    def default_params(self) -> PocketWatchParams:
        """The published numbers."""
        return PocketWatchParams(
            price=np.array([18.0, 28.0, 31.0, 59.0], np.float32),
            repair_cost=np.array([1.0, 4.0, 5.0, 24.5], np.float32),
            repair_noise=np.array([2.0, 2.0, 2.0, 1.0], np.float32),
            brand_cost=np.array([0.5, 2.5, 4.5, 18.0], np.float32),
            brand_noise=np.full(BRANDS, 1.5, np.float32),
        )

    @property
    def observation_space(self) -> Box:
        """Counts, at most `length`; the rest lies in [0, 1]."""
        return Box(0.0, float(self.length), (4 + BRANDS,))

    @property
    def action_space(self) -> Discrete:
        """Repair, leave."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("repaired", "jams", "flat tyres", *(f"brand {b}" for b in range(BRANDS)), "time")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does at the first step."""
        return ("repair", "leave")

    def reset_env(self, key: PRNGKeyArray, params: PocketWatchParams) -> tuple[Float[Array, " 8"], PocketWatchState]:
        """A watch of a random brand."""
        del params
        zero = jnp.zeros((), jnp.int32)
        state = PocketWatchState(jax.random.randint(key, (), 0, BRANDS), zero, zero, zero, zero)
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: PocketWatchState, action: Int[Array, ""], params: PocketWatchParams
    ) -> tuple[Float[Array, " 8"], PocketWatchState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One step of the delivery; see the class."""
        key_events, key_costs = jax.random.split(key)
        jam, flat = jax.random.uniform(key_events, (2,), jnp.float32)
        noise = jax.random.normal(key_costs, (2,), jnp.float32)
        p, brand = params, state.brand
        first = state.time == 0
        repaired = jnp.where(first, (action == 0).astype(jnp.int32), state.repaired)
        after = PocketWatchState(
            brand,
            repaired,
            state.jams + (jam < p.jam_chance).astype(jnp.int32),
            state.flats + (flat < p.flat_chance).astype(jnp.int32),
            state.time + 1,
        )
        ended = after.time >= self.length
        of_brand = [jnp.asarray(x)[brand] for x in (p.repair_cost, p.repair_noise, p.brand_cost, p.brand_noise)]
        repair = of_brand[0] + of_brand[1] * noise[0]
        events = p.jam_cost * after.jams.astype(jnp.float32) + p.flat_cost * after.flats.astype(jnp.float32)
        sale = jnp.asarray(p.price)[brand] - events - (of_brand[2] + of_brand[3] * noise[1])
        reward = jnp.where(ended, sale, 0.0) - jnp.where(first, repair, 0.0)
        reward = jnp.where(repaired == 1, reward, 0.0).astype(jnp.float32)
        return self._observe(after), after, reward, ended, {}

    def _observe(self, state: PocketWatchState) -> Float[Array, " 8"]:
        counts = jnp.stack([state.repaired, state.jams, state.flats]).astype(jnp.float32)
        brand = jax.nn.one_hot(state.brand, BRANDS, dtype=jnp.float32)
        return jnp.concatenate([counts, brand, state.time.astype(jnp.float32)[None] / self.length])

    def is_truncated(self, state: PocketWatchState, params: PocketWatchParams) -> Bool[Array, ""]:
        """Never: the end of the delivery terminates."""
        del state, params
        return jnp.zeros((), bool)

    @property
    def states(self) -> int:
        """How many numbers `index` gives."""
        counts = self.length + 1
        return 2 * counts * counts * counts * BRANDS

    def index(self, state: PocketWatchState) -> Int[Array, ""]:
        """A number of its own for each state, 0 … `states` − 1: the row of a table of values."""
        counts = self.length + 1
        number = state.time
        for part, size in ((state.jams, counts), (state.flats, counts), (state.repaired, 2), (state.brand, BRANDS)):
            number = number * size + part
        return number

    def hidden_state(self, state: PocketWatchState) -> Int[Array, ""]:
        """Nothing is hidden: the state's number in `tables()`, or its brand where there are none."""
        return self.index(state) if self.length <= LONGEST_TABLES else state.brand

    def action_values(self) -> Float[np.ndarray, "4 2"]:
        """The exact mean return of each first action for each brand (`default_params`), float64."""
        p = self.default_params
        events = self.length * (p.jam_chance * p.jam_cost + p.flat_chance * p.flat_cost)
        repair = np.asarray(p.price, float) - p.repair_cost - p.brand_cost - events
        return np.stack([repair, np.zeros(BRANDS)], axis=1)

    @property
    def optimal_return(self) -> float:
        """Repair where it pays: 1.75 with 50 steps, exact."""
        return float(self.action_values().max(axis=1).mean())

    @property
    def required_lag(self) -> int:
        """0: the observation is the state. What is far away is the reward."""
        return 0

    @property
    def max_episode_steps(self) -> int:
        """`length`."""
        return self.length

    def tables(self) -> Tables | None:
        """All states that `index` numbers, where `length` is at most 4; the last action's outcome is terminal."""
        if self.length > LONGEST_TABLES:
            return None
        p, S, n = self.default_params, self.states, self.length + 1
        transition, reward = np.zeros((S, 2, S)), np.zeros((S, 2))
        terminal = np.zeros((S, 2), bool)
        observations = np.zeros((S, 4 + BRANDS), np.float32)
        initial = np.zeros(S)
        for s in range(S):
            (time, jams, flats, repaired, brand) = np.unravel_index(s, (n, n, n, 2, BRANDS))
            observations[s] = [
                repaired,
                jams,
                flats,
                *np.eye(BRANDS)[brand],
                np.float32(time) / np.float32(self.length),
            ]
            if time == jams == flats == repaired == 0:
                initial[s] = 1 / BRANDS
            if time == self.length:
                transition[s, :, s] = 1.0
                terminal[s] = True
                continue
            for a in range(2):
                held = int(a == 0) if time == 0 else repaired
                paid = -p.repair_cost[brand] if time == 0 else 0.0
                ended = time + 1 == self.length
                terminal[s, a] = ended
                for jam, flat in np.ndindex(2, 2):
                    chance = abs(1 - jam - p.jam_chance) * abs(1 - flat - p.flat_chance)
                    after = (time + 1, min(jams + jam, n - 1), min(flats + flat, n - 1), held, brand)
                    transition[s, a, np.ravel_multi_index(after, (n, n, n, 2, BRANDS))] += chance
                    costs = p.jam_cost * (jams + jam) + p.flat_cost * (flats + flat) + p.brand_cost[brand]
                    reward[s, a] += held * chance * (p.price[brand] - costs) if ended else 0.0
                reward[s, a] += held * paid
        return Tables(
            initial=initial,
            transition=transition,
            observation=np.broadcast_to(np.eye(S), (2, S, S)).copy(),
            reward=reward,
            terminal=terminal,
            first_observation=np.eye(S),
            observations=observations,
        )
