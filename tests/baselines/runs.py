"""Small runs for the tests of training."""

from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.training import Training, TrainingConfig
from tests.baselines.programs import program_of

ID = "BaggedHopper-v0"
ARGUMENTS = {"max_episode_steps": 23, "bag_len": (2, 9)}
SMALL = TrainingConfig(
    random_steps=60, batch_size=16, rollout=50, capacity=150, evaluate_every=40, evaluation_episodes=1
)
# Sizes that make an update cheap, and due a few times within a hundred steps.
SETTINGS = {
    "constant": {"every": 5},
    "ircr": {"every": 5},
    "rd": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "imputer": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "rrd": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "rrd_unbiased": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "lare_rd": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "lare_rrd_unbiased": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "lare_sign": {"warm_up": 30, "bags": 4, "every": 20},
    "vib": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 5, "updates": 2},
    "reward_design": program_of("reward_design"),
    "grd": {"warm_up": 30, "bags": 4, "hidden": (8,), "every": 20, "updates": 2},
    "diaster": {"warm_up": 30, "bags": 4, "every": 20, "hidden": 8, "step_updates": 2},
    "rbt": {"width": 8, "warm_up": 30, "bags": 4, "every": 30, "updates": 2, "first": 3},
    "rudder": {"warm_up": 30, "bags": 4, "every": 30, "updates": 2},
    "arel": {"width": 8, "layers": 1, "warm_up": 30, "bags": 4, "every": 30, "updates": 2, "first": 3},
    "stas": {"width": 8, "layers": 1, "warm_up": 30, "bags": 4, "every": 30, "updates": 2, "first": 3},
    "tar2": {"width": 8, "layers": 1, "warm_up": 30, "bags": 4, "every": 30, "updates": 2, "first": 3},
}
# The same of learners of teams.
TEAM = {name: {"hidden": (8,), "epochs": 2, "minibatch": 32} for name in ("ippo", "mappo")}
TEAM |= {"qmix": {"hidden": 8, "embed": 4, "hypernet": (), "batch": 4, "epsilon_steps": 200}}


def method(name="rrd-td3", **learner):
    """The method of a name, with small sizes."""
    redistributor, _ = name.split("-")
    return Method.named(name, SETTINGS.get(redistributor, {}), {"hidden": (8, 8), **learner})


def training(name="rrd-td3", id=ID, config=SMALL, seed=3, arguments=None):
    """A run that has not begun."""
    return Training(method(name), id, {**ARGUMENTS, **(arguments or {})}, config, seed=seed)


def after(one, steps):
    """The run after so many steps."""
    for _ in one.run(steps):
        pass
    return one
