"""Small runs for the tests of the benchmark."""

from bagged_envs.baselines.benchmark.arms import Arm
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.results import judged as of_judged
from bagged_envs.baselines.benchmark.results import read_results, trained
from bagged_envs.baselines.judging.recordings import RecordingConfig

RECORDING = RecordingConfig(steps=200, episodes=4, random_steps=20, batch=8)
PROTOCOL = Protocol(
    "test", 40, 2, 0.5, (0,), (7, 8, 9), {"short": 120}, {"bags_of_3": {"bag_len": 3}}, recording=RECORDING
)
# The same rules as a file, for what is started as a command or has rules of its own.
PROTOCOL_FILE = """
version = "{version}"
[evaluation]
every = 40
episodes = 2
final_share = 0.5
[seeds]
tuning = {tuning}
test = [7, 8, 9]
[steps]
[recording]
steps = 200
episodes = 4
random_steps = 20
batch = 8
[schedules]
"""
ID = "BaggedInvertedPendulum-v0"
TRAINING = {"random_steps": 30, "batch_size": 8}


def arm(name="uniform-td3", **changes):
    settings = {"learner": {"hidden": (8, 8)}, "training": TRAINING, **changes}
    return Arm(name, name, "the tests' own", trials=0, **settings)


def job(name="uniform-td3", seed=7, steps=120, arguments=None, protocol=PROTOCOL, **changes):
    return Job(arm(name, **changes), ID, arguments or {"bag_len": 3}, seed, steps, protocol)


def judged(name="rd", seed=7, steps=120, id="BaggedKeyDoor-v0", protocol=PROTOCOL, **settings):
    """A run in which a redistributor is judged."""
    return Job(Arm(name, name, "the tests' own", 0, redistributor=settings), id, {"bag_len": 3}, seed, steps, protocol)


def results(out):
    """Results of training in a folder."""
    return trained(read_results(out)[0])


def redistributions(out):
    """Results of redistributors that were judged, in a folder."""
    return of_judged(read_results(out)[0])
