"""Objects of other libraries are wrapped by themselves, and what is right there holds."""

import jax
import jax.numpy as jnp
import pytest

import throughtime as tt
from throughtime.agents import NetworkConfig, Policy
from throughtime.core import ConfigError
from throughtime.memory import make_memory


@pytest.fixture(autouse=True)
def quick_and_as_other_libraries_need_it():
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_disable_most_optimizations", False)


def held(report):
    assert report.passed, str(report)
    return report.count("held")


def test_a_memory():
    assert held(tt.memcheck(make_memory("gru", 3, 8, key=jax.random.key(0)))) == 26


def test_a_policy_of_this_library_with_its_previous_action():
    config = NetworkConfig(memory="elman", hidden_size=4, encoder=(4,), previous_action=True, separate_critic=True)
    assert held(tt.memcheck(Policy(tt.make("t-maze"), config, jax.random.key(0)))) == 26


def test_equinox():
    eqx = pytest.importorskip("equinox")
    assert held(tt.memcheck(eqx.nn.LSTMCell(3, 4, key=jax.random.key(0)))) == 26
    with pytest.raises(ConfigError, match="no recurrent cell"):
        tt.memcheck(eqx.nn.Linear(3, 4, key=jax.random.key(0)))


def test_flax_nnx_and_linen():
    nnx, nn = pytest.importorskip("flax.nnx"), pytest.importorskip("flax.linen")
    assert held(tt.memcheck(nnx.RNN(nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))))) == 26
    rnn = nn.RNN(nn.GRUCell(features=4))
    variables = rnn.init(jax.random.key(0), jnp.zeros((1, 5, 3)))
    assert held(tt.memcheck((rnn, variables), observation_shape=(3,))) == 26
    with pytest.raises(ConfigError, match="input size"):
        tt.memcheck((rnn, variables))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_modules_of_torch():
    torch = pytest.importorskip("torch")
    for module in (torch.nn.GRU(3, 8, 2), torch.nn.LSTM(3, 8, batch_first=True), torch.nn.RNNCell(3, 8)):
        assert held(tt.memcheck(module)) == 26
    report = tt.memcheck(torch.nn.GRU(3, 8, bidirectional=True))
    assert [finding.law.id for finding in report.broken] == ["policy/causal"]

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.rnn, self.head = torch.nn.Linear(5, 8), torch.nn.GRU(8, 8), torch.nn.Linear(8, 2)
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x, state):
            out, state = self.rnn(torch.relu(self.encoder(x)), state)
            return self.head(self.dropout(out)), state

    assert [f.law.id for f in tt.memcheck(Net()).broken] == ["policy/deterministic"]  # dropout is on
    assert held(tt.memcheck(Net().eval())) == 26
    with pytest.raises(ConfigError, match="0 recurrent modules"):
        tt.memcheck(torch.nn.Linear(3, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "kwargs", [{}, {"shared_lstm": True, "enable_critic_lstm": False}, {"enable_critic_lstm": False}]
)
def test_recurrent_ppo_of_sb3_contrib_drops_no_nan(kwargs):
    """Its states are multiplied by 1 - episode_start. All else holds."""
    sb3_contrib = pytest.importorskip("sb3_contrib")
    kwargs = {**kwargs, "lstm_hidden_size": 8, "net_arch": [4]}
    model = sb3_contrib.RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs=kwargs, device="cpu")
    report = tt.memcheck(model)
    assert [finding.law.id for finding in report.broken] == ["policy/reset-drops-nan"]
    assert report.count("held") == 25
