"""Where a simulator is not installed, the error names the extra that brings it."""

import gymnasium as gym
import pytest

import bagged_envs
import bagged_envs.vector_envs


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("BaggedHopper-v0", 'Hopper needs mujoco: pip install "bagged_envs\\[mujoco\\]" \\(no module'),
        ("BaggedCheetahRun-v0", 'CheetahRun needs dm_control: pip install "bagged_envs\\[dmc\\]"'),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "native"])
def test_the_extra_is_named(id, said, backend, monkeypatch):
    def missing(name):
        raise ImportError(f"no module of {name}")

    monkeypatch.setattr(bagged_envs.vector_envs, "load_env_creator", missing)
    with pytest.raises(gym.error.DependencyNotInstalled, match=said):
        bagged_envs.make_vec(id, 2, backend=backend)
