"""Stable-Baselines3's SAC on late rewards: as they are paid, and redistributed by a replay buffer that knows bags."""

import argparse
import csv
from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor

import bagged_envs
from bagged_envs.baselines.sb3 import BagReplayBuffer

COLUMNS = ["id", "method", "seed", "step", "return"]


class Recorder(EvalCallback):
    """Evaluates on the dense twin every N steps and keeps (step, mean return)."""

    def __init__(self, judge, every, episodes):
        super().__init__(judge, n_eval_episodes=episodes, eval_freq=every, verbose=0)
        self.points = []

    def _on_step(self):
        going_on = super()._on_step()
        if self.n_calls % self.eval_freq == 0:
            self.points.append((self.num_timesteps, self.last_mean_reward))
        return going_on


def train(id, method, seed, timesteps, eval_every, eval_episodes, learning_starts):
    """Return (step, mean dense return) of every evaluation; `method` is "plain" or a redistributor's name."""
    buffer = {}
    if method != "plain":
        buffer = {"replay_buffer_class": BagReplayBuffer, "replay_buffer_kwargs": {"redistributor": method}}
    # Steps can be sampled once their bag has closed: an Episodic ID needs its first whole episodes before.
    env = gym.make(f"bagged_envs:{id}")
    model = SAC("MlpPolicy", env, learning_starts=learning_starts, seed=seed, device="cpu", **buffer)
    judge = Monitor(bagged_envs.dense(id))
    judge.reset(seed=seed + 1_000_000)  # other episodes than those of training
    recorder = Recorder(judge, eval_every, eval_episodes)
    model.learn(timesteps, callback=recorder)
    model.get_env().close()
    judge.close()
    return recorder.points


def finished(out, last):
    """Return the (id, method, seed) that the CSV has already; a run's rows are written together at its end."""
    if not out.exists():
        return set()
    steps = {}
    with out.open(newline="") as stream:
        for row in csv.DictReader(stream):
            run = (row["id"], row["method"], int(row["seed"]))
            steps[run] = max(steps.get(run, 0), int(row["step"]))
    for run, reached in steps.items():
        if reached != last:
            raise SystemExit(f"{out} has {run} evaluated up to step {reached}, not {last}: choose another --out.")
    return set(steps)


def append(out, rows):
    fresh = not out.exists()
    with out.open("a", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([COLUMNS, *rows] if fresh else rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", default="EpisodicHalfCheetah-v0")
    parser.add_argument("--methods", nargs="+", default=["plain", "rrd"], help="plain, or names of redistributors")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--timesteps", type=int, default=100_000)
    parser.add_argument("--learning-starts", type=int, default=10_000, help="what RRD's authors use, as its warm-up")
    parser.add_argument("--eval-every", type=int, default=5_000)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("sb3_bag_replay_buffer.csv"))
    chosen = parser.parse_args()
    gym.spec(chosen.id)  # an unknown ID is an error here, before anything is built
    torch.set_num_threads(1)
    last = chosen.timesteps - chosen.timesteps % chosen.eval_every
    for seed in chosen.seeds:
        for method in chosen.methods:
            if (chosen.id, method, seed) in finished(chosen.out, last):
                continue
            budget = (chosen.timesteps, chosen.eval_every, chosen.eval_episodes, chosen.learning_starts)
            points = train(chosen.id, method, seed, *budget)
            append(chosen.out, [(chosen.id, method, seed, step, value) for step, value in points])
            print(f"{chosen.id} {method} seed {seed}: last dense return {points[-1][1]:.1f}", flush=True)
