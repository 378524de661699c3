"""Planning in a learned world model: act by planning, learn the model from what happened, and plan in the better one.

One iteration acts for T steps in B environments, each action a search in the model so far; stores the steps; and takes
`updates` gradient steps on sequences drawn from the replay: on the model's loss, and, for discrete actions, on that of
a value of the model's states, fitted to searches in imagination. The first `random_steps` actions are random.
Everything, many iterations in a row, is one compiled program, searches and replay included.

References: Hafner et al. 2019, "Learning latent dynamics for planning from pixels" (PlaNet, arXiv 1811.04551),
algorithm 1, for the alternation; Chua et al. 2018 (PETS, arXiv 1805.12114); for the value `world.planning.state_value`.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.agents.agent import Learning, Words
from throughtime.agents.gradient_step import Updated, annealed, gradient_step
from throughtime.agents.network import NetworkConfig
from throughtime.agents.off_policy import Step, difference, empty_replay, play, recompute, store
from throughtime.agents.planning_config import PlanningConfig, check
from throughtime.agents.planning_loss import Learned, model_and_value_loss, states_along, to_sequences
from throughtime.agents.planning_metrics import Metrics, metrics_of
from throughtime.agents.planning_policy import explore, planning_policy
from throughtime.agents.policy import Policy
from throughtime.agents.preflight import Fault, find_fault
from throughtime.agents.replaying import Replaying, learn_where
from throughtime.agents.rollout import Actors, start
from throughtime.core import ConfigError, select_rows
from throughtime.envs import Environment, VectorEnvironment
from throughtime.gradients import Guard, parameter_names
from throughtime.rl import Replay
from throughtime.world import LearnedModel, MemoryConfig, build_model, observation_kind
from throughtime.world.learning import trainable
from throughtime.world.planning import StateValue
from throughtime.world.planning.state_value import numbers

FORWARD = {"total": "world model's loss", "value": "value loss"}


class PlanningState(NamedTuple):
    """Everything that a checkpoint has to hold for a run to go on bit for bit, the replay included."""

    policy: Policy  # its network holds the world model and the value
    target: StateValue | None
    optimiser: optax.OptState
    guard: Guard
    actors: Actors
    replay: Replay
    key: PRNGKeyArray
    iteration: Int[Array, ""]


class _Learner(NamedTuple):
    updated: Updated
    target: StateValue | None


class PlanningAgent(Replaying):
    """The agent of this file's head on one environment: pure functions of a `PlanningState`.

    Args:
        env: the environment; discrete actions, or continuous ones with bounds.
        config: the algorithm.
        network: gives the model's memory (its name, sizes and options); the rest of it is not read.

    Raises:
        ConfigError: sizes that do not fit together, or actions that the planner does not search.
    """

    words = Words(
        forward=tuple(FORWARD.values()),
        replayed="planned actions or their values",
        broken="The model would be in other states than those that plans were made in.",
        calmer="Lower the learning rate, or set gradient_clip.",
    )

    def __init__(self, env: Environment, config: PlanningConfig, network: NetworkConfig):
        check(config)
        config.make_planner(env.action_space, None)
        self.env, self.config = env, config
        self.memory = MemoryConfig(
            network.memory, network.hidden_size, network.num_layers, dict(network.memory_options)
        )
        self.environments, self.spec = VectorEnvironment(env, config.num_envs), config.replay
        observation_kind(env, config.observations)  # looks once, outside of compiled programs
        # Shapes only: an impossible memory or width is refused here, before anything is compiled.
        eqx.filter_eval_shape(self.fresh_policy, jax.random.key(0))
        self.optimiser = optax.scale_by_adam()

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A policy before any update: it plans in a model that knows nothing."""
        key_model, key_value = jax.random.split(key)
        model = build_model(self.env, self.config.world_model, key_model, self.memory)
        learns = self.config.learns_value(self.env.action_space)
        value = StateValue(model, self.config.value_width, key_value, self.config.value_members) if learns else None
        return planning_policy(self.env, model, self.config.make_planner(self.env.action_space, value))

    def init(self, seed: int | Array) -> PlanningState:
        """A fresh policy, fresh environments and an empty replay."""
        key_policy, key_start, key = jax.random.split(jax.random.key(seed), 3)
        policy = self.fresh_policy(key_policy)
        actors = start(policy, self.environments, key_start)
        learned, _ = self._learned(policy)
        # A copy of its own: a chunk is given its state's buffers, each once.
        target = jax.tree.map(jnp.copy, _value(policy))
        return PlanningState(
            policy=policy,
            target=target,
            optimiser=self.optimiser.init(learned),
            guard=Guard.create(learned, len(FORWARD)),
            actors=actors,
            replay=empty_replay(self.spec, policy, actors, False),
            key=key,
            iteration=jnp.zeros((), jnp.int32),
        )

    def parameter_names(self, state: Any) -> list[str]:
        """Of what the guard watches."""
        return parameter_names(self._learned(state.policy)[0])

    def iterate(
        self, state: PlanningState, total: Int[Array, ""], first: Int[Array, ""]
    ) -> tuple[PlanningState, Metrics, Fault]:
        """One iteration: act, store, learn.

        Args:
            state: before it.
            total: iterations of the whole run.
            first: the iteration in which this process began: the preflight runs there.
        """
        config = self.config
        key, key_play, key_learn = jax.random.split(state.key, 3)
        random = state.iteration * self.steps_per_iteration < config.random_steps
        actors, played = play(
            state.policy,
            self.environments,
            state.actors,
            key_play,
            partial(explore, random=random, amount=config.exploration),
            length=config.rollout_length,
            period=config.period,
        )
        replay_error = jax.lax.cond(
            state.iteration <= first + 1,
            lambda: difference(played.said, recompute(state.policy, played, config.period)),
            lambda: jnp.zeros(()),
        )
        replay = store(self.spec, state.replay, played, False)
        policy = self._in_units_of(state.policy, played.steps)
        learning_rate = annealed(config, state.iteration, total)
        learned, fixed = self._learned(policy)
        learner = _Learner(Updated(learned, state.optimiser, state.guard), state.target)
        learner, infos = self._learn(policy, fixed, replay, learner, learning_rate, state.iteration, key_learn)
        (learned, optimiser, guard), target = learner
        fault = find_fault(
            played.finite,
            policy.to_environment(played.steps.action),
            played.steps.reward,
            replay_error,
            first,
            config.period,
            guard,
            config.max_skipped_updates,
        )
        policy = self._with(policy, learned, fixed)
        after = PlanningState(policy, target, optimiser, guard, actors, replay, key, state.iteration + 1)
        return after, metrics_of(played, infos, learning_rate, replay_error), fault

    def _learned(self, policy: Policy) -> tuple[Learned, Any]:
        """What gradient steps change, and the rest of the model."""
        learned, fixed = trainable(_model(policy))
        value = _value(policy)
        return Learned(learned, None if value is None else value.members), fixed

    def _with(self, policy: Policy, learned: Learned, fixed: Any) -> Policy:
        """The policy with these parameters."""

        def parts(p: Policy) -> Any:
            value = _value(p)
            return (_model(p),) if value is None else (_model(p), value.members)

        model = eqx.combine(learned.model, fixed)
        return eqx.tree_at(parts, policy, (model,) if learned.value is None else (model, learned.value))

    def _in_units_of(self, policy: Policy, steps: Step) -> Policy:
        """The policy with the moments of model and value moved on by a rollout."""
        sequences = to_sequences(policy, steps)
        model = _model(policy).scaled_by(sequences)
        policy = eqx.tree_at(_model, policy, model)
        value = _value(policy)
        if value is None:
            return policy
        states = states_along(model, sequences, jax.random.key(0))
        x = jax.vmap(numbers)(states)
        size = jnp.sqrt(model.reward_moments.var + model.reward_moments.mean**2)
        value = eqx.tree_at(
            lambda v: (v.moments, v.unit),
            value,
            (value.moments.update(x), jnp.maximum(size, 1e-6) / (1.0 - self.config.discount)),
        )
        return eqx.tree_at(_value, policy, value)

    def _learn(
        self,
        policy: Policy,
        fixed: Any,
        replay: Replay,
        learner: _Learner,
        learning_rate: Float[Array, ""],
        iteration: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[_Learner, dict[str, Array]]:
        """All gradient steps of an iteration; none before the random steps are over and a sequence is whole."""
        config, keys = self.config, jax.random.split(key, self.config.updates)
        done = (iteration + 1) * self.steps_per_iteration

        step = partial(self._step, policy, fixed, replay, learning_rate, iteration)

        ready = (done >= config.random_steps) & (self.spec.size(replay) > 0)
        return learn_where(ready, step, learner, keys)

    def _step(
        self,
        policy: Policy,
        fixed: Any,
        replay: Replay,
        learning_rate: Float[Array, ""],
        iteration: Int[Array, ""],
        learner: _Learner,
        key: PRNGKeyArray,
    ) -> tuple[_Learner, dict[str, Array]]:
        """One gradient step on sequences drawn anew."""
        config, before = self.config, learner.updated
        key_draw, key_loss = jax.random.split(key)
        sequences = to_sequences(policy, self.spec.sample(replay, key_draw, config.batch_size).steps)
        value, target = _value(policy), learner.target
        if value is not None and target is not None:  # the unit is today's, whenever the target was copied
            target = eqx.tree_at(lambda v: (v.moments, v.unit), target, (value.moments, value.unit))
        (_, info), grads = jax.value_and_grad(model_and_value_loss, has_aux=True)(
            before.params, fixed, value, target, sequences, key_loss, config
        )
        done = gradient_step(
            self.optimiser,
            before,
            grads,
            forward=[info[name] for name in FORWARD],
            iteration=iteration,
            allowed=before.guard.in_row < config.max_skipped_updates,
            learning_rate=learning_rate,
            clip_by="norm",
            limit=config.gradient_clip,
        )
        if target is not None:
            copies = done.taken & (done.updated.guard.updates % config.target_period == 0)
            members = select_rows(copies, done.updated.params.value, target.members)
            target = eqx.tree_at(lambda v: v.members, target, members)
        info = {**info, "gradient_norm": done.norm, "taken": done.taken, "skipped": done.skipped}
        return _Learner(done.updated, target), info

    def learning(self, state: PlanningState) -> Learning:
        """There is none of the kind that the gradient microscope looks at.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "The gradient microscope does not look at agents that plan.",
            "It follows the loss of a policy's towers, and here a search acts.",
            "Leave --flow out.",
        )


def _model(policy: Policy) -> LearnedModel:
    """What the policy plans in."""
    network: Any = policy.network
    return network.controller.model


def _value(policy: Policy) -> StateValue | None:
    """V at the end of its plans."""
    network: Any = policy.network
    return network.controller.planner.terminal_value
