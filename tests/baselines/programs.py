"""Programs that say factors of steps of any size, and the settings of methods that need one."""

from pathlib import Path

from bagged_envs.baselines.redistributors import reads_factors

FOLDER = Path(__file__).parent / "latent_rewards" / "programs"
EVERYTHING = str(FOLDER / "everything.txt")  # each element of the observation and of the action
REWARD = str(FOLDER / "reward.txt")  # twice the first element of the action, minus that of the observation


def program_of(name):
    """What a redistributor needs besides its defaults, to be made for any sizes."""
    if not reads_factors(name):
        return {}
    return {"factors": REWARD if name == "reward_design" else EVERYTHING}
