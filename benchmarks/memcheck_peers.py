"""Policies of other libraries, fresh from their constructors, for `throughtime check` (docs/memcheck.md).

    throughtime check benchmarks/memcheck_peers.py:sb3_recurrent_ppo
    throughtime check benchmarks/memcheck_peers.py:memorax_gru

memorax pins old packages: it needs an environment of its own, in which throughtime is installed too.
"""
# pyright: basic, reportMissingImports=false

from typing import Any


def sb3_recurrent_ppo(**policy: Any) -> Any:
    """RecurrentPPO with its default network: an LSTM each for actor and critic."""
    from sb3_contrib import RecurrentPPO

    return RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs=policy, seed=0, device="cpu")


def sb3_shared_lstm() -> Any:
    """With one LSTM for both."""
    return sb3_recurrent_ppo(shared_lstm=True, enable_critic_lstm=False)


def sb3_feedforward_critic() -> Any:
    """With an LSTM for the actor alone."""
    return sb3_recurrent_ppo(enable_critic_lstm=False)


def memorax_ppo(torso: Any) -> Any:
    """PPO of memorax on CartPole, with a torso of its own."""
    import optax
    from memorax.algorithms import PPO, PPOConfig
    from memorax.environments import environment
    from memorax.networks import MLP, FeatureExtractor, Network, heads

    env, params = environment.make("gymnax::CartPole-v1")
    config = PPOConfig(
        name="ppo",
        num_envs=4,
        num_eval_envs=4,
        num_steps=16,
        gamma=0.99,
        gae_lambda=0.95,
        num_minibatches=1,
        update_epochs=1,
        normalize_advantage=True,
        clip_coef=0.2,
        clip_vloss=False,
        ent_coef=0.01,
        vf_coef=0.5,
    )

    def network(head: Any) -> Any:
        return Network(FeatureExtractor(observation_extractor=MLP(features=(16,))), torso, head)

    actor, critic = network(heads.Categorical(env.action_space(params).n)), network(heads.VNetwork())
    return PPO(config, env, params, actor, critic, optax.adam(1e-3), optax.adam(1e-3))


def _cell(name: str, **options: Any) -> Any:
    """A cell of memorax by its class, inside RNN (step by step) or Memoroid (parallel scan)."""
    import memorax.networks.sequence_models as models
    from memorax.networks import RNN, Memoroid
    from memorax.networks.sequence_models.memoroid import MemoroidCellBase

    cell = getattr(models, name)(**options)
    return memorax_ppo(Memoroid(cell=cell) if isinstance(cell, MemoroidCellBase) else RNN(cell=cell))


def memorax_gru() -> Any:
    """Flax's GRUCell in memorax's RNN."""
    import flax.linen as nn
    from memorax.networks import RNN

    return memorax_ppo(RNN(cell=nn.GRUCell(features=16)))


def memorax_lstm() -> Any:
    """Flax's OptimizedLSTMCell in memorax's RNN."""
    import flax.linen as nn
    from memorax.networks import RNN

    return memorax_ppo(RNN(cell=nn.OptimizedLSTMCell(features=16)))


def memorax_lru() -> Any:
    """Linear recurrent unit."""
    return _cell("LRUCell", features=16, hidden_dim=16)


def memorax_mingru() -> Any:
    """MinGRU."""
    return _cell("MinGRUCell", features=16)


def memorax_ffm() -> Any:
    """Fast and forgetful memory."""
    return _cell("FFMCell", features=16, memory_size=8, context_size=4)


def memorax_s5() -> Any:
    """S5."""
    return _cell("S5Cell", features=16, state_size=16)


def memorax_mlstm() -> Any:
    """MLSTM."""
    return _cell("mLSTMCell", features=16, hidden_dim=16)


def memorax_slstm() -> Any:
    """SLSTM."""
    return _cell("sLSTMCell", features=16, hidden_dim=16)


def memorax_shm() -> Any:
    """Stable Hadamard memory."""
    return _cell("SHMCell", features=16, output_features=16)
