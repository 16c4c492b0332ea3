"""Stable-Baselines3: train on late rewards, evaluate on the dense twin."""

import argparse
from pathlib import Path

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

import bagged_envs


def train(id, timesteps, out, **schedule):
    """Return the callback that holds the dense returns of every evaluation."""
    # The ID with `bagged_envs:` in front also works in the processes of SubprocVecEnv.
    envs = make_vec_env(f"bagged_envs:{id}", n_envs=4, seed=0, env_kwargs=schedule)
    judge = Monitor(bagged_envs.dense(id))
    callback = EvalCallback(judge, n_eval_episodes=5, eval_freq=max(1, timesteps // 20), log_path=str(out))
    model = PPO("MlpPolicy", envs, n_steps=256, batch_size=256, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(timesteps, callback=callback)
    envs.close()
    judge.close()
    return callback


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", default="BaggedInvertedPendulum-v0")
    parser.add_argument("--bag-len", type=int, help="for Bagged IDs; left out, the ID's own")
    parser.add_argument("--timesteps", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=Path("sb3_eval"))
    chosen = parser.parse_args()
    gym.spec(chosen.id)  # an unknown ID is an error here, before anything is built
    schedule = {} if chosen.bag_len is None else {"bag_len": chosen.bag_len}
    callback = train(chosen.id, chosen.timesteps, chosen.out, **schedule)
    print(f"last dense return: {callback.last_mean_reward:.1f}")
