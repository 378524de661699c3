"""A rollout of sb3-contrib's RecurrentPPO, as memcheck reads it; sb3-contrib is imported only here."""
# pyright: reportMissingImports=false

from typing import Any

import numpy as np

from throughtime.core import ConfigError
from throughtime.proof.memcheck.rollout.data import Rollout, Sequences


class Sb3RecurrentPolicy:
    """A recurrent policy of sb3-contrib behind memcheck's protocol.

    States are `{"pi": (h, c), "vf": (h, c)}`, arrays `[B, layers, H]`.

    Args:
        policy: `model.policy`.
    """

    def __init__(self, policy: Any):
        self.policy = policy
        self._shape = policy.lstm_hidden_state_shape  # (layers, 1, H)

    def initial_state(self, batch: int) -> dict:
        """Zeros."""
        layers, _, size = self._shape
        zeros = np.zeros((batch, layers, size), np.float32)
        return {"pi": (zeros, zeros.copy()), "vf": (zeros.copy(), zeros.copy())}

    def step(self, state: dict, obs: np.ndarray, reset: np.ndarray) -> tuple[dict, Any]:
        """The state, and what `log_prob` and `value` need."""
        import torch

        self.policy.set_training_mode(False)
        before, starts = self._to_torch(state), torch.as_tensor(reset, dtype=torch.float32)
        tensor, _ = self.policy.obs_to_tensor(obs)
        with torch.no_grad(), torch.random.fork_rng():  # forward also draws an action, which is not needed
            _, values, _, after = self.policy.forward(tensor, before, starts)
        return self._to_numpy(after), (tensor, before, starts, values)

    def log_prob(self, out: Any, actions: np.ndarray) -> np.ndarray:
        """As the update computes it (`evaluate_actions`)."""
        import torch

        tensor, before, starts, _ = out
        with torch.no_grad():
            return self.policy.evaluate_actions(tensor, torch.as_tensor(actions), before, starts)[1].cpu().numpy()

    def value(self, out: Any) -> np.ndarray:
        """Of each row."""
        return out[3].cpu().numpy()[:, 0]

    def _to_torch(self, state: dict) -> Any:
        import torch
        from sb3_contrib.common.recurrent.type_aliases import RNNStates

        device = self.policy.device
        made = (tuple(torch.as_tensor(np.swapaxes(a, 0, 1).copy()).to(device) for a in state[n]) for n in ("pi", "vf"))
        return RNNStates(*made)

    @staticmethod
    def _to_numpy(states: Any) -> dict:
        return {n: tuple(a.cpu().numpy().swapaxes(0, 1).copy() for a in getattr(states, n)) for n in ("pi", "vf")}


def rollout_from_sb3(model: Any, warm_up: int = 1) -> tuple[Rollout, Sb3RecurrentPolicy]:
    """Lets a RecurrentPPO collect, and reads its rollout buffer; nothing is trained.

    RecurrentPPO adds γ·V(final observation) to the reward where an episode was truncated. Here `rewards` are as the
    environment paid them, and `final_values` what was added, divided by γ.

    Args:
        model: `sb3_contrib.RecurrentPPO`, with its environment.
        warm_up: rollouts collected before the one that is read, so that it begins within episodes.

    Returns:
        The rollout and its policy, for `check_rollout`.

    Raises:
        ConfigError: the model has no recurrent rollout buffer, or its observations are not arrays.
    """
    buffer: Any = getattr(model, "rollout_buffer", None)
    if not hasattr(buffer, "hidden_states_pi") or not isinstance(buffer.observations, np.ndarray):
        raise ConfigError(
            f"A {type(model).__name__} has no recurrent rollout buffer with array observations.",
            "memcheck reads the LSTM states that sb3-contrib's RecurrentPPO stores beside its observations.",
            "Give a sb3_contrib.RecurrentPPO with MlpLstmPolicy or CnnLstmPolicy.",
        )
    recorder = _recorder()
    _, callback = model._setup_learn((warm_up + 1) * model.n_steps * model.n_envs, recorder, reset_num_timesteps=False)
    for _ in range(warm_up + 1):
        recorder.clear()
        model.collect_rollouts(model.env, callback, buffer, n_rollout_steps=model.n_steps)
    rewards, dones, truncated = (np.array(a) for a in (recorder.rewards, recorder.dones, recorder.truncated))
    discrete = not hasattr(model.action_space, "low")
    observations = buffer.observations.copy()
    final = observations.copy()
    for t, b, observation in recorder.finals:
        final[t, b] = observation
    actions = buffer.actions[..., 0].astype(np.int64) if discrete else buffer.actions.copy()
    states = {
        "pi": tuple(a.swapaxes(1, 2).copy() for a in (buffer.hidden_states_pi, buffer.cell_states_pi)),
        "vf": tuple(a.swapaxes(1, 2).copy() for a in (buffer.hidden_states_vf, buffer.cell_states_vf)),
    }
    policy = Sb3RecurrentPolicy(model.policy)
    after = policy._to_numpy(model._last_lstm_states)
    last = policy.value(policy.step(after, model._last_obs, np.asarray(model._last_episode_starts, bool))[1])
    fields = {name: getattr(buffer, name).copy() for name in ("log_probs", "values", "advantages", "returns")}
    rollout = Rollout(
        observations=observations,
        resets=buffer.episode_starts.astype(bool),
        terminated=dones & ~truncated,
        truncated=truncated,
        rewards=rewards,
        actions=actions,
        states=states,
        next_observation=np.array(model._last_obs),
        last_values=last,
        final_observations=final,
        final_values=(buffer.rewards.astype(np.float64) - rewards) / model.gamma,
        discount=model.gamma,
        trace=buffer.gae_lambda,
        autoreset="same-step",
        sequences=_sequences(next(iter(buffer.get())), discrete),  # last: it turns the buffer's axes
        **fields,
    )
    return rollout, policy


def _sequences(samples: Any, discrete: bool) -> Sequences:
    """One minibatch with all steps: flat `[N · L, ...]`, padded, to `[L, N, ...]`."""
    N = samples.lstm_states.pi[0].shape[1]

    def unflatten(flat: Any) -> np.ndarray:
        array = flat.cpu().numpy()
        return array.reshape(N, -1, *array.shape[1:]).swapaxes(0, 1)

    actions = unflatten(samples.actions)
    return Sequences(
        observations=unflatten(samples.observations),
        resets=unflatten(samples.episode_starts).astype(bool),
        states=Sb3RecurrentPolicy._to_numpy(samples.lstm_states),
        mask=unflatten(samples.mask) > 0.5,
        actions=actions[..., 0].astype(np.int64) if discrete else actions,
        log_probs=unflatten(samples.old_log_prob),
        values=unflatten(samples.old_values),
        advantages=unflatten(samples.advantages),
        returns=unflatten(samples.returns),
    )


def _recorder() -> Any:
    """A callback that keeps what the buffer does not: rewards as paid, ends, final observations."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Recorder(BaseCallback):
        def clear(self) -> None:
            self.rewards, self.dones, self.truncated, self.finals = [], [], [], []

        def _on_step(self) -> bool:
            infos, t = self.locals["infos"], len(self.rewards)
            self.rewards.append(np.array(self.locals["rewards"], np.float64))
            self.dones.append(np.array(self.locals["dones"], bool))
            self.truncated.append(np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos]))
            told = [(b, info.get("terminal_observation")) for b, info in enumerate(infos)]
            self.finals += [(t, b, observation) for b, observation in told if observation is not None]
            return True

    recorder = Recorder()
    recorder.clear()
    return recorder
