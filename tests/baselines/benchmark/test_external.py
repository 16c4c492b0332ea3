"""Other libraries under the protocol: each finishes, and logs what we count and what dense rewards come to."""

import importlib.util
import tomllib

import pytest

from bagged_envs.baselines.benchmark.agents import packages
from bagged_envs.baselines.benchmark.arms import ARMS
from bagged_envs.baselines.benchmark.suite import FOLDER, Suite
from bagged_envs.baselines.redistributors.rrd import RRD
from tests.baselines.benchmark.external import train

NAMES = tomllib.loads((FOLDER / "external.toml").read_text())["methods"]
PACKAGE = {"sb3_agents": "stable_baselines3", "torchrl_agents": "torchrl", "single_file_agents": "torch"}

# Beside those of torch and Gymnasium, which all rows have.
VERSIONS = {
    "sb3_agents": ["stable-baselines3"],
    "torchrl_agents": ["tensordict", "torchrl"],
    "single_file_agents": [],
}

# To the last bit, but for what libraries do: sums of Python from 3.12 on are compensated, TorchRL's are float32.
TOLERANCE = {"sb3_agents": 1e-14, "torchrl_agents": 1e-6, "single_file_agents": 0.0}

SHORT = {"batch_size": 16}
OFF_POLICY = {**SHORT, "learning_starts": 120, "buffer_size": 1000}
CHANGES = {
    "sb3_agents:ppo": {**SHORT, "n_steps": 64},
    "sb3_agents:sac": OFF_POLICY,
    "sb3_agents:td3": OFF_POLICY,
    "torchrl_agents:sac": {**SHORT, "random_steps": 160, "steps_per_batch": 40, "capacity": 1000},
    "single_file_agents:td3": OFF_POLICY,
}
REDISTRIBUTED = {"redistributor": {"name": "rrd", "warm_up": 100, "every": 20, "updates": 2}}


def module_of(name):
    return ARMS[name].method.partition(":")[0].rpartition(".")[2]


def needs(name):
    package = PACKAGE[module_of(name)]
    return pytest.param(
        name, marks=pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")
    )


def shortened(name):
    """A row's settings for a run of a few hundred steps."""
    arm = ARMS[name]
    again = REDISTRIBUTED if "redistributor" in arm.learner else {}
    return {**arm.learner, **CHANGES[arm.method.rpartition(".")[2]], **again}


def agrees(kept, name):
    """Whether the library's log, our count and the dense returns are the same, episode for episode."""
    assert len(kept.agent.returns) == len(kept.env.returns) == len(kept.dense) >= 3
    assert kept.agent.returns == pytest.approx(kept.env.returns, rel=TOLERANCE[module_of(name)], abs=0.0)
    assert kept.env.returns == pytest.approx(kept.dense, rel=1e-12, abs=0.0)
    assert kept.rows[-1]["episodes"] <= len(kept.env.returns)


def run(monkeypatch, name, seed=7, steps=200, every=100):
    arguments = shortened(name), "BaggedHopper-v0", {"bag_len": 20}, seed, steps, every
    return train(monkeypatch, ARMS[name].method, *arguments)


@pytest.fixture
def updated(monkeypatch):
    """The updates that redistributors made."""
    made, update = [], RRD.update
    monkeypatch.setattr(RRD, "update", lambda self, batch: made.append(self) or update(self, batch))
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [needs(name) for name in NAMES])
class TestEveryLibrary:
    @pytest.mark.long
    def test_it_finishes_and_its_log_agrees(self, monkeypatch, updated, name):
        kept = run(monkeypatch, name)
        agrees(kept, name)
        assert [row["step"] for row in kept.rows] == [100, 200]
        assert all(row["return"] > 0.0 for row in kept.rows)
        assert bool(updated) == name.startswith("rrd-")

    def test_versions_are_on_its_rows(self, name):
        assert sorted(packages(ARMS[name].method)) == VERSIONS[module_of(name)]

    @pytest.mark.slow
    def test_the_whole_run_of_the_suite(self, monkeypatch, updated, name):
        suite = Suite.load("external")
        (job,) = (job for job in suite.jobs() if job.arm.name == name)
        protocol = suite.protocol
        assert (job.id, job.steps) == ("BaggedHopper-v0", 5000)
        kept = train(
            monkeypatch,
            job.arm.method,
            job.arm.learner,
            job.id,
            job.arguments,
            job.seed,
            job.steps,
            protocol.every,
            protocol.episodes,
        )
        agrees(kept, name)
        assert [row["step"] for row in kept.rows] == [5000]
        assert bool(updated) == name.startswith("rrd-")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [needs(name) for name in ("torchrl-sac", "cleanrl-style-td3")])
def test_a_seed_makes_it_the_same_however_often_it_is_evaluated(monkeypatch, name):
    same, often, other = (
        run(monkeypatch, name, seed=seed, every=every) for seed, every in ((7, 100), (7, 40), (8, 100))
    )
    assert same.env.returns == often.env.returns != other.env.returns
