"""Stable-Baselines3's TD3 on the dense twin of an ID, with the settings of ours: what the Oracle should come to.

    python -m bagged_envs.baselines.experiments.reference EpisodicHopper-v0 --seeds 3 --steps 150000 \
        --batch-size 128 --out docs/results/reference.csv

Needs the extra `sb3`. Rows are those of `sweep`, as is the file beside them that tells the settings; seeds that have a
last row are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bagged_envs
from bagged_envs.baselines.actions import BoxActions
from bagged_envs.baselines.evaluate import evaluate, evaluation_env
from bagged_envs.baselines.experiments import sweep
from bagged_envs.baselines.growing_table import append_row, done
from bagged_envs.baselines.learners.td3 import TD3Config
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.training import TrainingConfig
from bagged_envs.wrappers.arguments import counted


def learner(id: str, seed: int, batch_size: int) -> Any:
    """Return Stable-Baselines3's TD3 on the dense twin, set as ours is by default."""
    from stable_baselines3 import TD3
    from stable_baselines3.common.noise import NormalActionNoise

    ours, env = TD3Config(), bagged_envs.dense(id)
    noise = np.full(BoxActions(env.action_space, "cpu").size, ours.exploration_noise)
    return TD3(
        "MlpPolicy",
        env,
        learning_rate=ours.actor_learning_rate,
        batch_size=batch_size,
        learning_starts=TrainingConfig().random_steps,
        train_freq=1,
        gradient_steps=1,
        action_noise=NormalActionNoise(np.zeros_like(noise), noise),
        policy_kwargs={"net_arch": list(ours.hidden)},
        seed=seed,
        device="cpu",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("id")
    parser.add_argument("--seeds", type=counted, default=3)
    parser.add_argument("--steps", type=counted, default=150_000)
    parser.add_argument("--batch-size", type=counted, default=TrainingConfig().batch_size)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    try:
        sweep.claim(given.out, [f"training.batch_size={given.batch_size}"])
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    every = TrainingConfig().evaluate_every
    last = given.steps // every * every
    env = evaluation_env(given.id, {})
    for seed in range(given.seeds):
        if (given.id, str(seed), str(last)) in done(given.out, ("id", "seed", "step")):
            continue
        model = learner(given.id, seed, given.batch_size)
        rows = []
        for step in range(every, last + 1, every):
            model.learn(every, reset_num_timesteps=False)
            policy = lambda observation: model.predict(observation, deterministic=True)[0]  # noqa: B023, E731
            found = evaluate(env, policy, TrainingConfig().evaluation_episodes, SEEDS + step)
            rows.append({"method": "sb3-td3", "id": given.id, "seed": seed, "step": step, "return": found.mean})
            print(rows[-1], flush=True)
        for row in rows:
            append_row(given.out, row)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
