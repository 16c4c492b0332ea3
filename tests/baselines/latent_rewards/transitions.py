"""Transitions of dense tasks under a random policy, one row for each step of each agent."""

import functools

import numpy as np

import bagged_envs
from bagged_envs.baselines.features import Features


@functools.lru_cache
def transitions(task, steps=400, **kwargs):
    """Observations `[N, D]`, actions `[N, U]` and rewards `[N]`, float64; of several agents each one's own reward."""
    env = bagged_envs.dense(f"Bagged{task}-v0", **kwargs)
    agents = getattr(env.unwrapped, "n_agents", 1)
    seen, acted = (Features(space, agents) for space in (env.observation_space, env.action_space))
    env.action_space.seed(0)
    rows, observation = [], env.reset(seed=0)[0]
    for _ in range(steps):
        action = env.action_space.sample()
        following, reward, terminated, truncated, info = env.step(action)
        rows.append((observation, action, info.get("agent_rewards", [reward])))
        observation = env.reset()[0] if terminated or truncated else following
    env.close()
    observations, actions, rewards = (np.array(column) for column in zip(*rows, strict=True))
    flat = [part.encode(batch).reshape(-1, part.size) for part, batch in ((seen, observations), (acted, actions))]
    return *(batch.astype(np.float64) for batch in flat), rewards.astype(np.float64).reshape(-1)
