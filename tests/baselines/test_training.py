"""The training loop: who learns from what and when, and that a run which is stopped goes on to the bit."""

import pytest
import torch

from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.checkpoint import fingerprint
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from bagged_envs.baselines.training import Training, TrainingConfig

ID = "BaggedHopper-v0"
SMALL = TrainingConfig(
    random_steps=60, batch_size=16, rollout=50, capacity=150, evaluate_every=40, evaluation_episodes=1
)
# Sizes that make a learned redistributor's update cheap, and due a few times within some hundred steps.
SETTINGS = {
    "ircr": {"every": 5},
    "rd": {"warm_up": 30, "bags": 4, "hidden": (8,)},
    "rrd": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5},
    "rrd_unbiased": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5},
    "grd": {"warm_up": 30, "bags": 4, "every": 10},
    "diaster": {"warm_up": 30, "bags": 4, "every": 10},
    "rbt": {"warm_up": 30, "bags": 4, "every": 30, "updates": 2, "first": 3},
    "rudder": {"warm_up": 30, "bags": 4, "every": 30, "updates": 2},
}
SMALL_LEARNER = {"hidden": (8, 8)}


def training(method="rrd-td3", id=ID, config=SMALL, seed=3, **arguments):
    redistributor, learner = method.split("-")
    made = Method(redistributor, learner, SETTINGS.get(redistributor, {}), SMALL_LEARNER)
    return Training(made, id, {"max_episode_steps": 23, "bag_len": (2, 9), **arguments}, config, seed=seed)


def after(one, steps):
    list(one.run(steps))
    return one


METHODS = [f"{name}-td3" for name in REDISTRIBUTORS] + ["rrd-sac", "identity-ddpg"]
METHODS += [f"{name}-ppo" for name in ("identity", "labels_only", "uniform", "rrd", "rudder")]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_in_mid_episode_goes_on_to_the_bit(method, tmp_path):
    torch.set_num_threads(1)
    more = {"variant": "PartiallyLabeled"} if method.startswith("labels_only") else {}
    del more
    whole = after(training(method), 170)
    first = after(training(method), 111)
    checkpoint.save(tmp_path / "checkpoint.pt", first.state_dict())
    second = training(method)
    second.load_state_dict(checkpoint.load(tmp_path / "checkpoint.pt"))
    assert fingerprint(second.state_dict()) == fingerprint(first.state_dict())
    after(second, 170)
    assert fingerprint(second.state_dict()) == fingerprint(whole.state_dict())
    assert whole.updates > 0
    assert fingerprint(first.state_dict()["parts"]["learner"]) != fingerprint(whole.state_dict()["parts"]["learner"])
