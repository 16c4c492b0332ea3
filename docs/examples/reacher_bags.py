"""Six hundred episodes of Reacher in bags of 20 steps, without their dense rewards, for `bagged-envs diagnose`."""

import argparse
from dataclasses import replace
from pathlib import Path

from bagged_envs.baselines.judging.rebag import rebag
from bagged_envs.baselines.judging.recordings import RecordingConfig, recorded
from bagged_envs.trajectory_file import save_trajectories
from bagged_envs.wrappers import RewardSchedule

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--steps", type=int, default=10_000, help="SAC's, which plays two thirds of the episodes; at least 4000"
    )
    parser.add_argument("--episodes", type=int, default=200, help="of each of three policies")
    parser.add_argument("--out", type=Path, default=Path("data.npz"))
    chosen = parser.parse_args()
    dense = recorded("BaggedReacher-v0", {}, 0, RecordingConfig(steps=chosen.steps, episodes=chosen.episodes))
    late = [replace(one, extras={}) for one in rebag(dense, RewardSchedule(bag_len=20), 0)]
    print(save_trajectories(chosen.out, late))
