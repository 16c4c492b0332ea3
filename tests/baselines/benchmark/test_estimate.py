"""What a suite takes: counted up by hand from given costs, and measured for real on small runs."""

import re
from dataclasses import replace

import pytest

from bagged_envs.baselines.benchmark import estimate as module
from bagged_envs.baselines.benchmark import probe
from bagged_envs.baselines.benchmark.arms import ARMS, Arm
from bagged_envs.baselines.benchmark.estimate import Share, estimate, table
from bagged_envs.baselines.benchmark.probe import Cost
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.team_training import TeamTraining
from bagged_envs.baselines.training import Training
from bagged_envs.cli import main
from tests.baselines.benchmark.small import PROTOCOL, arm, job, judged

PENDULUM, REACHER = "EpisodicInvertedPendulum-v0", "EpisodicReacher-v0"  # up to 1,000 and 50 steps per episode
BAGGED = "BaggedInvertedPendulum-v0"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Probes are over sooner."""
    monkeypatch.setattr(probe, "WARM", 60)


@pytest.fixture
def suite(monkeypatch):
    """Two methods on two environments, with three seeds, and costs that are given."""
    monkeypatch.setattr(module, "stepping", lambda job: 0.001 if job.id == PENDULUM else 0.003)
    cost = Cost(idle=100, learning=0.011, acting=0.002, slope=10.0, fixed=5000.0)
    monkeypatch.setitem(module.MEASURE, "training", lambda job, seconds: cost)
    return Suite("s", PROTOCOL, (arm(), arm("rrd-td3")), ((PENDULUM, {}), (REACHER, {})), (7, 8, 9), 1000)


def test_runs_seconds_and_bytes_by_hand(suite):
    shares = estimate(suite, seconds=0.1)
    assert [(share.method, share.id, share.runs) for share in shares] == [
        ("uniform-td3", PENDULUM, 3), ("uniform-td3", REACHER, 3), ("rrd-td3", PENDULUM, 3), ("rrd-td3", REACHER, 3),
    ]  # fmt: skip
    # 100 idle steps at 1 ms, 900 at 11 ms, and 25 evaluations of two episodes of 1,000 steps at 2 ms.
    assert shares[0].seconds == pytest.approx(3 * (0.1 + 9.9 + 25 * 2 * 1000 * 0.002))
    # An environment whose steps take 2 ms more, in training and in evaluation, with episodes of 50 steps.
    assert shares[1].seconds == pytest.approx(3 * (0.3 + 900 * 0.013 + 25 * 2 * 50 * 0.004))
    assert shares[0].bytes == shares[1].bytes == pytest.approx(3 * (5000 + 10 * 1000 + 25 * module.ROW))


def test_a_full_store_grows_no_more(suite):
    kept = replace(suite, arms=(arm(training={"capacity": 400, "random_steps": 30, "batch_size": 8}),))
    assert estimate(kept)[0].bytes == pytest.approx(3 * (5000 + 10 * 400 + 25 * module.ROW))


def test_recordings_are_counted_once_for_all_redistributors(suite, monkeypatch):
    monkeypatch.setitem(module.MEASURE, "redistribution", lambda job, seconds: Cost(0, 0.02, 0.0))
    monkeypatch.setattr(module, "training_cost", lambda job, seconds: Cost(0, 0.006, 0.0))
    both = replace(suite, arms=(judged("rd").arm, judged("rrd").arm))
    rd, _, _, _, pendulum, reacher = estimate(both)
    assert rd.seconds == pytest.approx(3 * 1000 * 0.02)
    assert (pendulum.method, pendulum.id, pendulum.runs) == ("(recording)", PENDULUM, 0)
    # 200 steps that SAC learns in, at 6 ms, and three times four episodes of 1,000 steps at 1 ms.
    assert pendulum.seconds == pytest.approx(3 * (200 * 0.006 + 3 * 4 * 1000 * 0.001))
    assert reacher.seconds == pytest.approx(3 * (200 * (0.006 - 0.001 + 0.003) + 3 * 4 * 50 * 0.003))


def test_recordings_are_no_runs_and_none_are_made_for_controls_on_tuning_seeds(suite, monkeypatch):
    monkeypatch.setitem(module.MEASURE, "redistribution", lambda job, seconds: Cost(0, 0.02, 0.0))
    monkeypatch.setattr(module, "training_cost", lambda job, seconds: Cost(0, 0.011, 0.0))
    arms = (arm("identity-td3"), judged("rd").arm)
    one = replace(suite, arms=arms, seeds=(7,), tuning_seeds=1, environments=((PENDULUM, {}),))
    assert len(one.jobs()) == 3
    shares = estimate(one)
    assert sum(share.runs for share in shares) == 3
    played = 3 * 4 * 1000 * 0.001
    assert shares[-1].seconds == pytest.approx(200 * 0.011 + played)
    rows = list(zip(*(column.cells for column in table(shares, 1).columns), strict=True))
    assert rows[-1][:2] == ("together", "3")
    assert (rows[-2][0], rows[-2][1], rows[-2][3]) == ("(recording)", "", "")


def test_a_store_that_seems_to_shrink_takes_nothing(suite, monkeypatch):
    shrinking = Cost(idle=100, learning=0.011, acting=0.002, slope=-9.0, fixed=5000.0)
    monkeypatch.setitem(module.MEASURE, "training", lambda job, seconds: shrinking)
    assert estimate(suite)[0].bytes == pytest.approx(3 * (5000 + 25 * module.ROW))


@pytest.mark.parametrize(("words", "message"), [
    (["--seconds", "-5"], "seconds must be above 0, got -5.0"), (["--workers", "0"], "workers must be .* got 0"),
])  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_measured(words, message, monkeypatch, capsys):
    monkeypatch.setattr(module, "estimate", lambda *_: pytest.fail("it was measured"))
    assert main(["bench", "estimate", "quick", *words]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.long
def test_what_a_method_takes_is_measured():
    cost, step = probe.training_cost(job("rrd-td3"), 0.05), probe.stepping(job())
    assert cost.learning > step > 0.0
    assert cost.acting > 0.0
    assert cost.idle == 10_000  # RRD's warm-up, longer than the 30 random steps
    # A step of the pendulum: 4 numbers that are seen, an action, what was paid, and which bag it is of.
    assert 20 < cost.slope < 200
    assert 10_000 < cost.fixed < 10_000_000


def test_methods_that_learn_in_bursts_are_measured_over_one():
    bursts = arm("rrd-td3", redistributor={"every": 150, "updates": 2})
    calls = []
    step = Training.step

    def counted(training):
        calls.append(training.total_steps)
        step(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "step", counted)
        probe.training_cost(replace(job(), arm=bursts), 0.0)
    assert len(calls) >= 150 + 150  # until the first burst, and one period more


def test_a_team_is_measured_by_the_step_of_its_environment():
    small = arm("uniform-ippo", training={"worlds": 4, "rollout": 90})
    of_a_team = replace(job(), arm=small, id="EpisodicTriangleArea-v0", arguments={"max_episode_steps": 9})
    calls, step = [], TeamTraining.step

    def counted(training):
        step(training)
        calls.append(training.total_steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeamTraining, "step", counted)
        cost = probe.training_cost(of_a_team, 0.0)
    assert len(calls) >= probe.WARM / 108  # three rounds of four worlds and nine steps make an iteration
    assert cost.idle == 0
    assert 0.0 < cost.acting < 1.0
    assert 0.0 < cost.learning < 0.1  # seconds of a step, not of an iteration
    assert cost.slope > 0.0


def test_a_method_learns_early_in_a_probe_with_its_own_settings_else():
    early = probe.early(ARMS["rbt-td3"])
    assert early.redistributor == {"warm_up": probe.WARM, "first": 60}
    assert probe.early(arm("rrd-td3", redistributor={"warm_up": 30, "bags": 2})).redistributor == {
        "warm_up": 30, "bags": 2,
    }  # fmt: skip
    assert probe.early(ARMS["identity-td3"]).redistributor == {}


def test_a_redistributor_alone_is_measured():
    known, network = probe.judging_cost(judged("rd"), 0.05), probe.judging_cost(judged("rd", id=BAGGED), 0.05)
    assert 0.0 < known.learning < network.learning  # only where nothing is known a regression is fitted, too
    assert probe.judging_cost(judged("uniform"), 0.05).learning == 0.0


@pytest.mark.slow
def test_another_library_s_agent_is_measured():
    agent = Arm("sb3", "bagged_envs.baselines.benchmark.sb3_agents:td3", "here", 0, learner={"learning_starts": 50})
    cost = probe.agent_cost(replace(job(steps=100_000), arm=agent), 0.2)
    assert cost.learning > 0.0
    assert cost.acting > 0.0


def test_a_method_that_never_learns_is_told(monkeypatch):
    monkeypatch.setattr(probe, "PATIENCE", probe.WARM + 100)
    hidden = replace(job("rd-td3"), arguments={"label_fraction": 1e-9})
    with pytest.raises(ValueError, match="'rd-td3' must learn on .* within 160 steps to be measured"):
        probe.training_cost(hidden, 0.0)


def test_the_table_adds_up(capsys):
    from rich.console import Console

    shares = [
        Share("a", "x", "{}", 3, 3600.0, 2e9),
        Share("a", "y", "{}", 3, 1800.0, 0.0),
        Share("b", "x", "{}", 4, 7200.0, 1e9),
    ]
    Console(width=100).print(table(shares, workers=4))
    told = capsys.readouterr().out
    for words in (
        ("a", "6", "1.50", "0.250", "2.00 GB"),
        ("b", "4", "2.00", "0.500"),
        ("together", "10", "3.50", "3.00 GB"),
    ):
        line = next(line for line in told.splitlines() if f" {words[0]} " in line)
        assert all(word in line for word in words)
    assert "About 0.9 hours with 4 workers" in " ".join(told.split())


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "estimate", lambda suite, seconds, report: [Share("m", "x", "{}", 8, seconds, 0.0)])
    assert main(["bench", "estimate", "quick", "--seconds", "7200"]) == 0
    assert "together" in capsys.readouterr().out
