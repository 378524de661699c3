"""sb3-contrib's RecurrentPPO, or its policy: acting beside what training evaluates.

Both run `_process_sequence`, the policy's own treatment of sequences and episode starts: acting on sequences of one
step, training on sequences padded to one length and laid out row by row, as its buffer hands them over. The output is
the action net's (logits or means), without the distribution around it, which would refuse NaN, and the value.
"""
# pyright: reportMissingImports=false

from typing import Any

import numpy as np
import torch


def wrap(model: Any, observation_shape: tuple[int, ...] | None) -> "Sb3Policy":
    """The policy of a model, or the policy itself."""
    return Sb3Policy(getattr(model, "policy", model), observation_shape)


class Sb3Policy:
    """See the module. The policy is put into evaluation mode, as for acting."""

    batch_axis = 1  # [layers, B, H]

    def __init__(self, policy: Any, observation_shape: tuple[int, ...] | None):
        self.policy = policy
        self.observation_space = None if observation_shape else policy.observation_space
        self.observation_shape = observation_shape
        policy.set_training_mode(False)

    def initial_state(self, batch: int) -> dict[str, Any]:
        """Zeros, as RecurrentPPO begins with."""
        layers, _, width = self.policy.lstm_hidden_state_shape

        def zeros() -> tuple[Any, Any]:
            return tuple(torch.zeros(layers, batch, width, device=self.policy.device) for _ in range(2))  # pyright: ignore

        return {"pi": zeros()} | ({"vf": zeros()} if self.policy.lstm_critic is not None else {})

    def step(self, state: Any, obs: Any, reset: np.ndarray) -> tuple[Any, Any]:
        """A sequence of one step."""
        state, outs = self.sequence(state, _map(lambda x: x[None], obs), reset[None])
        return state, {name: out[0] for name, out in outs.items()}

    def sequence(self, state: Any, obs: Any, resets: np.ndarray) -> tuple[Any, Any]:
        """All time steps."""
        with torch.no_grad():
            return self._sequence(state, _map(self._tensor, obs), resets)

    def gradient(self, state: Any, obs: Any, resets: np.ndarray, weights: Any) -> Any:
        """d(sum of weights · outs)/d(obs), by autograd."""
        x = _map(lambda leaf: self._tensor(leaf).requires_grad_(), obs)
        _, outs = self._sequence(state, x, resets)
        total = torch.stack([(out * torch.as_tensor(weights[name]).to(out)).sum() for name, out in outs.items()]).sum()
        leaves = list(x.values()) if isinstance(x, dict) else [x]
        found = torch.autograd.grad(total, leaves)
        return dict(zip(x, found, strict=True)) if isinstance(x, dict) else found[0]

    def _sequence(self, state: Any, obs: Any, resets: np.ndarray) -> tuple[Any, Any]:
        policy, (T, B) = self.policy, resets.shape
        state = {name: tuple(torch.as_tensor(leaf, device=policy.device) for leaf in s) for name, s in state.items()}

        def rows(x: Any) -> Any:  # [T, B, ...] -> [B·T, ...]
            return x.transpose(0, 1).reshape(B * T, *x.shape[2:])

        starts = rows(torch.as_tensor(resets, dtype=torch.float32, device=policy.device))
        features = policy.extract_features(_map(rows, obs))
        pi_features, vf_features = (features, features) if policy.share_features_extractor else features
        pi, after_pi = policy._process_sequence(pi_features, state["pi"], starts, policy.lstm_actor)
        after = {"pi": after_pi}
        if policy.lstm_critic is not None:
            vf, after["vf"] = policy._process_sequence(vf_features, state["vf"], starts, policy.lstm_critic)
        else:
            vf = pi if policy.shared_lstm else policy.critic(vf_features)
        outs = {
            "action": policy.action_net(policy.mlp_extractor.forward_actor(pi)),
            "value": policy.value_net(policy.mlp_extractor.forward_critic(vf)),
        }
        return after, {name: out.reshape(B, T, -1).transpose(0, 1) for name, out in outs.items()}

    def _tensor(self, x: Any) -> Any:
        return torch.as_tensor(x, device=self.policy.device)


def _map(function: Any, obs: Any) -> Any:
    return {key: function(x) for key, x in obs.items()} if isinstance(obs, dict) else function(obs)
