"""The card tasks step by step beside POPGym's own code; all decks are ours, put into theirs."""

import numpy as np
import pytest
from popgym_beside import LEVELS, assert_it_steps_alike, mixed, original

from throughtime.core import ConfigError
from throughtime.envs import make

pytestmark = pytest.mark.usefixtures("quick_compiler")


def dealt(module, name, level):
    """Theirs with our decks: they deal from the end."""

    def build(state, keys):
        decks = [state.cards, state.queries] if name == "CountRecall" else [state.cards]
        return original(module, name, level, shuffle=[deck[::-1] for deck in decks])

    return build


@pytest.mark.parametrize("level", LEVELS)
def test_repeat_first(level):
    right = lambda theirs, rng: int(theirs.card)  # noqa: E731
    choices = [mixed(right, share) for share in (0.0, 0.5, 1.0)]
    build = dealt("repeat_first", "RepeatFirst", level)
    episodes = assert_it_steps_alike(make("repeat-first", difficulty=level), build, choices, lambda t: t.card)
    assert sum(episodes[2].rewards) == pytest.approx(1.0)


@pytest.mark.parametrize("level", LEVELS)
def test_autoencode(level):
    on_top = lambda theirs: int(theirs.deck.suits_idx[theirs.deck["system"][-1]])  # noqa: E731
    choices = [mixed(lambda theirs, rng: on_top(theirs), share) for share in (0.0, 0.5, 1.0)]
    build = dealt("autoencode", "Autoencode", level)
    episodes = assert_it_steps_alike(make("autoencode", difficulty=level), build, choices, on_top)
    assert sum(episodes[2].rewards) == pytest.approx(1.0)


@pytest.mark.parametrize("level", LEVELS)
def test_count_recall(level):
    """Right answers of M too, which are none of the actions: theirs takes them all the same."""
    right = lambda theirs, rng: int(theirs.counts[theirs.query])  # noqa: E731
    choices = [mixed(right, share) for share in (0.0, 0.5, 1.0)]
    build = dealt("count_recall", "CountRecall", level)
    env = make("count-recall", difficulty=level)
    episodes = assert_it_steps_alike(env, build, choices, lambda t: t.get_state()[0])
    assert sum(episodes[2].rewards) == pytest.approx(1.0)
    theirs = original("count_recall", "CountRecall", level)
    assert env.action_space.n == theirs.action_space.n
    if level == "hard":
        assert max(episodes[2].actions) == env.action_space.n


@pytest.mark.parametrize("level", LEVELS)
def test_higher_lower(level):
    follow = lambda theirs, rng: int(theirs.deck.show("player", ["ranks_idx"]).item() > 6)  # noqa: E731
    choices = [mixed(follow, share) for share in (0.0, 0.5, 1.0)]
    build = dealt("higher_lower", "HigherLower", level)
    episodes = assert_it_steps_alike(
        make("higher-lower", difficulty=level), build, choices, lambda theirs: theirs.get_state()
    )
    assert 0.0 in episodes[0].rewards


@pytest.mark.parametrize("level", LEVELS)
def test_concentration(level):
    def right(theirs, rng):
        """A card that is not up yet and, as the second, makes a pair."""
        in_play, up = theirs.deck["in_play_idx"], theirs.deck["face_up_idx"]
        kinds = theirs.deck_type[theirs.deck.idx]
        places = [p for p in range(len(kinds)) if p not in up and p not in in_play]
        return int(rng.choice([p for p in places if not in_play or kinds[p] == kinds[in_play[0]]]))

    def build(state, keys):
        return original("concentration", "Concentration", level, shuffle=[state.cards])

    choices = [mixed(right, share) for share in (0.0, 0.5, 0.5, 0.95, 0.95, 1.0)]
    episodes = assert_it_steps_alike(
        make("concentration", difficulty=level), build, choices, lambda theirs: theirs.get_state()[0]
    )
    assert episodes[0].truncated[-1]
    assert episodes[5].terminated[-1]
    assert sum(episodes[5].rewards) == pytest.approx(1.0)
    # All there is: a first card, a pair, a miss, and one wasted on a card that was found.
    theirs = original("concentration", "Concentration", level)
    cost = theirs.failure_reward_scale
    paid = {round(reward, 9) for episode in episodes for reward in episode.rewards}
    assert paid == {0.0, *(round(r, 9) for r in (theirs.success_reward_scale, cost, 2 * cost))}


@pytest.mark.parametrize("name", ["repeat-first", "bandit", "minesweeper", "cartpole-positions-noisy"])
def test_an_unknown_difficulty_is_refused(name):
    with pytest.raises(ConfigError, match="difficulty") as error:
        make(name, difficulty="hrad")
    assert "Did you mean 'hard'" in error.value.mend


def test_observations_are_labelled_one_by_one():
    for name in (
        "repeat-first",
        "autoencode",
        "count-recall",
        "higher-lower",
        "concentration",
        "minesweeper",
        "bandit",
    ):
        for level in LEVELS:
            env = make(name, difficulty=level)
            assert len(env.observation_labels) == np.prod(env.observation_space.shape)
