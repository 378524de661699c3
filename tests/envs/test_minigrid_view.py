"""The quick view of MiniGrid against MiniGrid's own, number by number."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("minigrid")

from minigrid.minigrid_env import MiniGridEnv

from throughtime.envs.adapters._minigrid_view import quicken, view


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MiniGrid-MemoryS7-v0", {}),
        ("MiniGrid-MemoryS7-v0", {"agent_view_size": 5}),
        ("MiniGrid-DoorKey-8x8-v0", {}),  # doors that open, a key that is carried
        ("MiniGrid-ObstructedMaze-2Dlh-v0", {}),
        ("MiniGrid-MemoryS7-v0", {"see_through_walls": True}),
    ],
    ids=["memory", "small view", "door and key", "maze", "through walls"],
)
def test_it_shows_what_minigrid_shows(name, options):
    env = gymnasium.make(name, **{k: v for k, v in options.items() if k != "see_through_walls"}).unwrapped
    env.see_through_walls = options.get("see_through_walls", env.see_through_walls)
    rng, directions, carried = np.random.default_rng(0), set(), False
    env.reset(seed=0)
    for t in range(400):
        if t % 100 == 99:
            env.reset()
        env.step(rng.choice([0, 1, 2, 2, 3, 5]))
        stood = env.agent_pos
        for place in (stood, tuple(int(x) for x in rng.integers(0, (env.width, env.height)))):  # and at the edges
            env.agent_pos = place
            expected, found = MiniGridEnv.gen_obs(env)["image"], view(env)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        env.agent_pos = stood
        directions.add(int(env.agent_dir))
        carried |= env.carrying is not None
    assert directions == {0, 1, 2, 3}
    assert carried or "Memory" in name


def test_it_takes_the_place_of_minigrids_own_alone():
    plain = gymnasium.make("MiniGrid-MemoryS7-v0").unwrapped
    quicken(plain)
    observation, _ = plain.reset(seed=3)
    assert sorted(observation) == ["direction", "image", "mission"]
    np.testing.assert_array_equal(observation["image"], MiniGridEnv.gen_obs(plain)["image"])

    class Blind(type(plain)):
        def gen_obs(self):
            return {"image": np.zeros((7, 7, 3), np.uint8), "direction": 0, "mission": ""}

    blind = Blind(size=7)
    quicken(blind)
    assert not blind.reset(seed=0)[0]["image"].any()
