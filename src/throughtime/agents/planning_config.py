"""The settings of the agent that plans in a world model, checked before anything is compiled."""

from dataclasses import dataclass, fields
from typing import Literal

from throughtime.agents.sized_replay import sized_replay
from throughtime.core import ConfigError, did_you_mean, require
from throughtime.envs import Box, Space
from throughtime.rl import SequenceReplay
from throughtime.world import WorldModelConfig
from throughtime.world.planning import UCT, CategoricalCrossEntropy, CrossEntropy, Planner, SparseSampling, StateValue

PLANNERS = ("auto", "tree", "uct", "cross-entropy")


@dataclass(frozen=True)
class PlanningConfig(WorldModelConfig):
    """Planning in a world model: act, learn the model from a replay of sequences, plan in it, and so on."""

    model: Literal["rssm", "mdn-rnn"] = "mdn-rnn"
    components: int = 1
    num_envs: int = 4
    """Environments stepped together (B)."""
    rollout_length: int = 32
    """Steps of each environment in one iteration, between updates (T)."""
    updates: int = 40
    """Gradient steps an iteration."""
    batch_size: int = 32
    """Sequences a gradient step (N)."""
    replay_steps: int = 100_000
    """Environment steps that are kept, of all environments together; rounded down to whole pieces."""
    random_steps: int = 1_000
    """Environment steps of random actions at the beginning; learning starts when they are over."""
    period: int = 8
    """Steps from the beginning of one stored sequence to that of the next; divides rollout_length."""
    burn_in: int = 8
    """Steps at a sequence's head that only bring the model's memory up to date: no loss and no gradient (l)."""
    bptt_length: int = 32
    """Steps after them that are learned from, and that gradients flow back through (m)."""
    planner: Literal["auto", "tree", "uct", "cross-entropy"] = "auto"
    """tree: sparse sampling; uct: Monte-Carlo tree search; auto: tree for discrete actions, else cross-entropy."""
    widths: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    """tree: outcomes that are drawn of each action, at each depth."""
    simulations: int = 128
    """uct: walks from the root."""
    horizon: int = 15
    """uct, cross-entropy: imagined steps."""
    candidates: int = 128
    """cross-entropy: action sequences a round."""
    elites: int = 16
    """cross-entropy: the best of them, which the next round is fitted to."""
    rounds: int = 4
    """cross-entropy: rounds."""
    discount: float = 0.98
    """γ of plans and values."""
    value: bool = True
    """Learns V of the model's states in imagination, for the end of a plan's horizon; of discrete actions only."""
    value_width: int = 64
    """Units of each of the two layers of a network of V."""
    value_members: int = 2
    """Networks of V; the least of what they say counts, for searches go where one errs upwards."""
    value_batch: int = 256
    """States that V is fitted at in a gradient step."""
    lookahead: int = 3
    """Steps of the full search that V is fitted to."""
    target_period: int = 10
    """Updates from one copy of V into its target to the next."""
    exploration: float = 0.1
    """After random_steps. Discrete actions: ε, the share of random ones. Continuous ones: standard deviation of what is
    added to the planned one, in units where the range is [-1, 1]."""
    learning_rate: float = 3e-3
    """Adam's, at the start."""
    anneal: bool = True
    """Lowers the learning rate linearly to zero over the run."""
    gradient_clip: float | None = 10.0
    """Threshold of clipping by global norm; none to turn it off."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""

    @property
    def length(self) -> int:
        """Steps of a drawn sequence."""
        return self.burn_in + self.bptt_length

    @property
    def replay(self) -> SequenceReplay:
        """The replay of these sizes; all sequences alike.

        Raises:
            ConfigError: sizes that do not fit together.
        """
        return sized_replay(self, "burn_in + bptt_length")

    def learns_value(self, space: Space) -> bool:
        """Whether there is a V to learn."""
        return self.value and not isinstance(space, Box)

    def make_planner(self, space: Space, value: StateValue | None) -> Planner:
        """The planner of these settings.

        Args:
            space: of the actions.
            value: V at the end of plans, or None.

        Raises:
            ConfigError: a planner that does not search such actions.
        """
        kind = self.planner
        if kind == "auto":
            kind = "cross-entropy" if isinstance(space, Box) else "tree"
        planner: Planner
        if kind == "tree":
            planner = SparseSampling(
                widths=self.widths,
                discount=self.discount,
                terminal_value=value,
                common_draws=set(self.widths) == {1},
            )
        elif kind == "uct":
            planner = UCT(
                simulations=self.simulations, depth=self.horizon, discount=self.discount, terminal_value=value
            )
        else:
            method = CrossEntropy if isinstance(space, Box) else CategoricalCrossEntropy
            planner = method(
                horizon=self.horizon,
                candidates=self.candidates,
                elites=self.elites,
                iterations=self.rounds,
                discount=self.discount,
                terminal_value=value,
            )
        planner.check(space)
        return planner

    @property
    def world_model(self) -> WorldModelConfig:
        """The model's settings alone."""
        return WorldModelConfig(**{f.name: getattr(self, f.name) for f in fields(WorldModelConfig)})


def check(config: PlanningConfig) -> None:
    """Sizes that cannot work, before anything is compiled.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    for name in ("num_envs", "rollout_length", "updates", "batch_size", "period", "bptt_length", "value_width"):
        require(getattr(config, name) >= 1, f"{name} = {getattr(config, name)}", "It is a size.", "Give 1 or more.")
    for name in ("value_members", "value_batch", "lookahead", "target_period", "max_skipped_updates"):
        require(getattr(config, name) >= 1, f"{name} = {getattr(config, name)}", "It is a count.", "Give 1 or more.")
    for name in ("burn_in", "random_steps"):
        require(getattr(config, name) >= 0, f"{name} = {getattr(config, name)}", "It counts steps.", "Give 0 or more.")
    require(
        config.rollout_length % config.period == 0,
        f"period = {config.period} does not divide rollout_length = {config.rollout_length}.",
        "Whole pieces are stored.",
        "Take a divisor.",
    )
    for name in ("discount", "exploration"):
        require(
            0.0 <= getattr(config, name) <= 1.0, f"{name} = {getattr(config, name)}", "It lies between 0.0 and 1.0."
        )
    require(
        not config.value or config.discount < 1.0,
        "discount = 1.0 with a learned value.",
        "The value of an episode without an end would be infinite.",
        "Give a discount below 1, or value = false.",
    )
    require(config.learning_rate > 0, f"learning_rate = {config.learning_rate}", "It has to be positive.")
    clip = config.gradient_clip
    require(clip is None or clip > 0, f"gradient_clip = {clip}", "It has to be positive; leave it out for none.")
    if config.planner not in PLANNERS:
        raise ConfigError(f"There is no planner {config.planner!r}.", "", did_you_mean(config.planner, PLANNERS))
    _ = config.replay
