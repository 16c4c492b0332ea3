"""Runs in folders: rows, checkpoints, and that nothing that was done is lost."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import gymnasium
import pytest
import torch

from bagged_envs import cli
from bagged_envs.baselines import checkpoint, runs
from bagged_envs.baselines.checkpoint import CheckpointError, fingerprint
from bagged_envs.baselines.command import grouped, value
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.learners.td3 import TD3
from bagged_envs.baselines.lease import lease
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.runs import COLUMNS, Run, config_of, reopen, train
from bagged_envs.baselines.training import Means
from tests.baselines.runs import ARGUMENTS, ID, SETTINGS, SMALL, method

RUN = Run(method("rrd-td3"), ID, ARGUMENTS, SMALL, seed=1, threads=torch.get_num_threads())
WORDS = ["rrd-td3", ID, "bag_len=[2,9]", "max_episode_steps=23", "learner.hidden=[8,8]"]
WORDS += [f"redistributor.{name}={value}" for name, value in (("bags", 4), ("warm_up", 30), ("hidden", "[8]"))]
WORDS += [f"redistributor.{name}={value}" for name, value in (("every", 5), ("updates", 2))]
WORDS += [f"training.{name}={value}" for name, value in vars(SMALL).items()]


class Killed(Exception):
    pass


def rows_of(folder):
    with (folder / "evaluations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trained(folder):
    return fingerprint(checkpoint.load(folder / "checkpoint.pt")["training"])


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_folder_has_what_was_run_how_it_went_and_a_checkpoint(tmp_path):
    rows = train(RUN, tmp_path / "run", 120)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "checkpoint.pt",
        "evaluations.csv",
        "lease-0.json",
        "metrics.jsonl",
        "run.json",
    ]
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["method"]["redistributor_settings"]["bags"] == 4
    assert described["arguments"] == {"max_episode_steps": 23, "bag_len": [2, 9]}
    assert described["versions"]["gymnasium"] == gymnasium.__version__
    assert [int(row["step"]) for row in rows_of(tmp_path / "run")] == [40, 80, 120]
    assert tuple(rows_of(tmp_path / "run")[0]) == COLUMNS == tuple(rows[0])
    assert [float(row["return"]) for row in rows_of(tmp_path / "run")] == [row["return"] for row in rows]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [40, 80, 120]
    assert lines[1]["redistributor/loss"] == rows[1]["redistribution_loss"] > 0


@pytest.mark.long
def test_a_run_in_another_process_goes_on_to_the_bit(tmp_path):
    """Train 2N; train N, stop, and N more in a new process: the same weights, optimizers, buffers, random states."""
    train(RUN, tmp_path / "whole", 160)
    train(RUN, tmp_path / "parts", 80)
    command = [sys.executable, "-m", "bagged_envs.cli", "train", *WORDS, "--steps", "160", "--seed", "1"]
    more = ["--threads", str(RUN.threads), "--out", str(tmp_path / "parts")]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert trained(tmp_path / "parts") == trained(tmp_path / "whole")
    for part in ("parts", "whole"):
        assert len(rows_of(tmp_path / part)) == 4
    assert without_seconds(rows_of(tmp_path / "parts")) == without_seconds(rows_of(tmp_path / "whole"))
    assert (tmp_path / "parts/metrics.jsonl").read_text() == (tmp_path / "whole/metrics.jsonl").read_text()


@pytest.mark.long
def test_rows_after_the_last_checkpoint_come_anew(tmp_path):
    def killed(step, row):
        if step == 130:
            raise Killed

    with pytest.raises(Killed):
        train(RUN, tmp_path / "run", 200, checkpoint_every=100, report=killed)
    assert [row["step"] for row in rows_of(tmp_path / "run")] == ["40", "80", "120"]
    train(RUN, tmp_path / "run", 200)
    train(RUN, tmp_path / "whole", 200)
    assert without_seconds(rows_of(tmp_path / "run")) == without_seconds(rows_of(tmp_path / "whole"))
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(tmp_path):
    rows = train(RUN, tmp_path, 80)
    steps = []
    assert train(RUN, tmp_path, 80, report=lambda step, row: steps.append(step)) == rows
    assert not steps


def strict(text):
    """What JSON says, of which nan and infinity are no part."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("name", ["rrd-td3", "identity-td3"])
def test_rewards_that_are_hidden_as_nan_get_into_no_record(tmp_path, name):
    arguments = {"max_episode_steps": 23, "bag_len": 3, "label_fraction": 0.5, "unlabeled_reward": float("nan")}
    run = replace(RUN, method=method(name), arguments=arguments)
    train(run, tmp_path, 90)
    rows = train(run, tmp_path, 120)
    assert [row["step"] for row in rows] == [40, 80, 120]
    assert all(math.isfinite(row["paid"]) for row in rows)
    lines = [strict(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["training/paid"] for line in lines] == [row["paid"] for row in rows]
    assert strict((tmp_path / "run.json").read_text())["arguments"]["unlabeled_reward"] == "NaN"


def test_a_metric_that_is_not_finite_is_null_in_the_records(tmp_path, monkeypatch):
    monkeypatch.setattr(Means, "take", lambda self: {"redistributor/odd": math.inf, "redistributor/loss": 2.0})
    train(RUN, tmp_path, 70)
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert strict(line) == {"step": 40, "redistributor/odd": None, "redistributor/loss": 2.0}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(RUN, seed=2), "seed=1, this one has 2"),
        (replace(RUN, method=method("rrd-td3", tau=0.1)), "method=.*'tau': 0.1"),
        (replace(RUN, config=replace(SMALL, updates=2)), "config=.*'updates': 1.*'updates': 2"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(tmp_path, other, named):
    train(RUN, tmp_path, 70)
    before = (tmp_path / "evaluations.csv").read_text()
    with pytest.raises(ValueError, match=named):
        train(other, tmp_path, 80)
    assert (tmp_path / "evaluations.csv").read_text() == before


def test_a_reopened_run_is_as_its_checkpoint_has_it(tmp_path):
    hidden = {**ARGUMENTS, "label_fraction": 0.5, "unlabeled_reward": math.nan, "healthy_z_range": (0.5, math.inf)}
    run = replace(RUN, id="BaggedHopper-v0", arguments=hidden)
    rows = train(run, tmp_path / "run", 80)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    training = reopen(str(tmp_path / "run"))
    assert training.total_steps == 80
    assert fingerprint(training.state_dict()) == trained(tmp_path / "run")
    assert training.arguments["bag_len"] == (2, 9)
    assert math.isnan(training.arguments["unlabeled_reward"])
    assert training.arguments["healthy_z_range"] == (0.5, math.inf)
    assert training.progress().evaluation.mean == rows[-1]["return"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert [progress.step for progress in training.run(120)] == [120]
    train(run, tmp_path / "run", 120)
    assert fingerprint(training.state_dict()) == trained(tmp_path / "run")
    training.close()


@pytest.mark.parametrize("name", ["tar2-ippo", "rd-qmix"])
def test_a_team_comes_back_as_well(name, tmp_path):
    team = Method.named(
        name, SETTINGS[name.partition("-")[0]], {"hidden": (8,)} if name == "tar2-ippo" else {"batch": 2}
    )
    config = config_of(team, {"worlds": 2, "evaluate_every": 100, "evaluation_episodes": 2})
    rows = train(Run(team, "EpisodicTriangleArea-v0", {}, config), tmp_path, 100)
    training = reopen(tmp_path)
    assert fingerprint(training.state_dict()) == trained(tmp_path)
    assert training.progress().evaluation.mean == rows[-1]["return"]
    training.close()


def test_what_cannot_be_reopened_says_why(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"folder must have a run .* which has no run.json"):
        reopen(tmp_path)
    train(RUN, tmp_path, 70)
    told, data = (tmp_path / "run.json").read_text(), (tmp_path / "checkpoint.pt").read_bytes()
    cannot = "run.json does not describe a run that can be made here .*"
    for text, message in (
        ("[]", r"run.json must be a JSON object, got \[\]\."),
        ("{", "run.json must be JSON, got something else"),
        ("{}", cannot + "KeyError.*method"),
        (told.replace('"seed": 1', '"seed": "one"'), cannot + "TypeError"),
        (told.replace(ID, "BaggedHoper-v0"), cannot + "BaggedHoper"),
        (told.replace('"device": "cpu"', '"device": null'), cannot + "AttributeError"),
        (told.replace('"updates": 1', '"updates": 0'), cannot + "updates must be"),
        (
            told.replace('"tau": 0.005', '"tau": 0.5'),
            r"run.json has settings=.*'tau': 0.5.*, here it is .*'tau': 0.005",
        ),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            reopen(tmp_path)
    (tmp_path / "run.json").write_text(told)
    (tmp_path / "checkpoint.pt").write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt is no whole checkpoint"):
        reopen(tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(FileNotFoundError, match="which has no checkpoint.pt"):
        reopen(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(data)
    monkeypatch.setattr(runs, "versions", lambda id: {"mujoco": "0.1"})
    with pytest.raises(ValueError, match=r"run.json has versions=.*, here it is \{'mujoco': '0.1'\}: use what made it"):
        reopen(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -3}, "seed must be at least 0, got -3"),
        ({"threads": 0}, "threads must be an int of at least 1, got 0"),
        ({"device": "gpu"}, "device must be one of 'cpu', 'cuda', got 'gpu'"),
    ],
)
def test_what_would_fail_in_the_middle_is_refused_at_once(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(RUN, **wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device must be 'cpu' where torch finds no GPU, got 'cuda:1'"):
        replace(RUN, device="cuda:1")


def test_a_run_that_never_got_anywhere_makes_room(tmp_path):
    def stopped(step, row):
        raise Killed

    with pytest.raises(Killed):
        train(replace(RUN, seed=5), tmp_path, 70, report=stopped)
    train(RUN, tmp_path, 70)
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == RUN.seed


def test_a_damaged_description_is_refused_by_name(tmp_path):
    train(RUN, tmp_path, 70)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json must be JSON, got something else .*\. Remove .*"):
        train(RUN, tmp_path, 80)


def test_another_version_of_a_package_is_refused(tmp_path, monkeypatch):
    train(RUN, tmp_path, 70)
    monkeypatch.setattr(runs, "versions", lambda id: {"mujoco": "0.1"})
    with pytest.raises(ValueError, match=r"versions=.* this one has \{'mujoco': '0.1'\}: choose another folder"):
        train(RUN, tmp_path, 80)


def test_a_damaged_checkpoint_is_refused_and_the_rows_stay(tmp_path):
    train(RUN, tmp_path, 70)
    data = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt is no whole checkpoint"):
        train(RUN, tmp_path, 80)
    assert len(rows_of(tmp_path)) == 1


def test_a_loss_that_is_not_finite_says_where_and_loses_nothing(tmp_path):
    train(RUN, tmp_path, 80)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    state["training"]["parts"]["learner"]["critics"] = {
        name: value * float("nan") for name, value in state["training"]["parts"]["learner"]["critics"].items()
    }
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(FloatingPointError, match=r"TD3 is nan.*at step 81 of .*whose checkpoint of step 80"):
        train(RUN, tmp_path, 120)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert len(rows_of(tmp_path)) == 2


def test_no_checkpoint_of_what_is_not_finite_is_written(tmp_path, monkeypatch):
    train(RUN, tmp_path, 80)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def spoil(learner, _):
        with torch.no_grad():
            learner.critics.biases[0][0] = math.inf
        return {}

    monkeypatch.setattr(TD3, "update", spoil)
    with pytest.raises(
        FloatingPointError, match=r"critics\..* of the learner is not finite at step 100: .* of step 80 in"
    ):
        train(RUN, tmp_path, 120, checkpoint_every=100)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "id", "steps", "why"),
    [
        ({"max_episode_steps": 150}, "EpisodicHalfCheetah-v0", 70, "no episode has ended"),
        (
            {"label_fraction": 1e-9, "max_episode_steps": 9},
            "PartiallyLabeledHopper-v0",
            70,
            "none of .* bags was labeled",
        ),
        ({"max_episode_steps": 9}, "EpisodicHopper-v0", 50, "training.random_steps=60 steps are not over"),
    ],
)
def test_a_run_that_learned_nothing_says_why_and_is_kept(tmp_path, arguments, id, steps, why):
    run = replace(RUN, id=id, arguments=arguments, method=method("labels_only-td3"))
    with pytest.raises(RuntimeError, match=f"nothing was learned in {steps} steps: {why}"):
        train(run, tmp_path, steps)
    assert checkpoint.load(tmp_path / "checkpoint.pt")["training"]["counts"]["total_steps"] == steps


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ({"warm_up": 71}, "redistributor.warm_up=71 steps are not over: train for more, or lower it"),
        (
            {"warm_up": 10, "every": 1000},
            r"the redistributor is updated at step 1000 for the first time \(redistributor",
        ),
        ({"warm_up": 61, "every": 60}, r"the redistributor is updated at step 120 for the first time"),
        ({"warm_up": 1, "every": 5}, r"no bag was labeled yet when the redistributor was .* \(redistributor.every=5\)"),
    ],
)
def test_a_run_whose_redistributor_was_never_updated_says_why(tmp_path, schedule, why, monkeypatch):
    run = replace(RUN, method=Method.named("rudder-td3", schedule))
    if schedule.get("every") == 5:
        monkeypatch.setattr(Driver, "drive", lambda *_: False)  # as if the first label had come after the last time
    with pytest.raises(RuntimeError, match=f"nothing was learned in 70 steps: {why}"):
        train(run, tmp_path, 70)


def test_a_learner_that_did_not_wait_for_a_redistributor_is_not_called_by_its_name(tmp_path):
    run = replace(RUN, method=Method.named("rudder-ppo", {"warm_up": 71}), config=replace(SMALL, rollout=20))
    why = "rudder was never updated in 70 steps, .* as they were paid: redistributor.warm_up=71 steps are not over"
    with pytest.raises(RuntimeError, match=why):
        train(run, tmp_path, 70)
    assert checkpoint.load(tmp_path / "checkpoint.pt")["training"]["counts"]["total_steps"] == 70
    plain = replace(run, method=Method.named("identity-ppo"))
    train(plain, tmp_path / "plain", 70)


def test_a_learner_that_waits_for_no_redistributor_is_not_said_to(tmp_path):
    run = replace(RUN, method=Method.named("rudder-ppo"), config=replace(SMALL, rollout=500))
    with pytest.raises(RuntimeError, match="nothing was learned in 70 steps: training.rollout=500 steps are not over"):
        train(run, tmp_path, 70)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_a_checkpoint(tmp_path, number):
    def interrupted(step, row):
        if step == 70:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 70"):
        train(RUN, tmp_path / "run", 160, report=interrupted)
    assert signal.getsignal(number) is before
    assert checkpoint.load(tmp_path / "run" / "checkpoint.pt")["training"]["counts"]["total_steps"] == 70
    train(RUN, tmp_path / "run", 160)
    train(RUN, tmp_path / "whole", 160)
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


def test_words_are_settings_of_the_environment_or_of_what_they_name():
    assert grouped(["bag_len=(100,500)", "learner.hidden=[64,64]", "training.updates=2", "aggregate=sum"]) == {
        "environment": {"bag_len": (100, 500), "aggregate": "sum"},
        "redistributor": {},
        "learner": {"hidden": (64, 64)},
        "training": {"updates": 2},
    }
    assert [value(text) for text in ("1e-3", "null", "None", "true", "False", "a b", "")] == [
        1e-3,
        None,
        None,
        True,
        False,
        "a b",
        "",
    ]
    assert [str(value(text)) for text in ("nan", "NaN", "inf", "-inf", "Infinity")] == [
        "nan",
        "nan",
        "inf",
        "-inf",
        "inf",
    ]
    assert grouped(["unlabeled_reward=nan"])["environment"]["unlabeled_reward"] != "nan"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rrd-td3", ID, "bag_len"], "settings must be name=value, such as bag_len=20, got 'bag_len'"),
        (["rrd-td3", ID, "bag_len=1", "bag_len=2"], "each setting must come once"),
        (["rrd-td3", ID, "lerner.tau=1"], "must be one of 'redistributor', 'learner', 'training', got 'lerner'"),
        (["rrd-td3", ID, "training.step=1"], "A setting of training must be one of"),
        (["rrd-td3", ID, "learner.taus=1"], "A setting of 'td3' must be one of .*'taus'"),
        (["rrd-td3", ID, "redistributor.bag=1"], "A setting of 'rrd' must be one of .*'bag'"),
        (["rrd-td3", ID, "bag_length=3"], "bag_length"),
        (["rrd-td3", "BaggedHoper-v0"], "BaggedHoper"),
        (["rrd", ID], "method must be <redistributor>-<learner>"),
    ],
)
def test_wrong_words_are_refused(words, message, capsys, tmp_path):
    assert cli.main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_the_command_tells_how_it_goes_and_what_went_wrong(tmp_path, capsys):
    assert cli.main(["train", *WORDS, "--steps", "40", "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().out
    assert "step 40: return" in told
    assert "nothing was learned in 40 steps" in told.replace("\n", " ")
    assert cli.main(["train", *WORDS, "--steps", "80", "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "step 80: return" in told
    assert "redistribution loss" in told
    assert "finished before" not in told
    assert cli.main(["train", *WORDS, "--steps", "80", "--out", str(tmp_path / "run")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"finished before: 80 steps were made already, with return [-\d.]+ at step 80", told)
    assert "80/80" in told


def test_folders_are_named_after_their_runs():
    assert RUN.folder() == f"rrd-td3-{ID}-max_episode_steps=23-bag_len=_2,_9_-1"


def test_two_do_not_work_in_one_folder(tmp_path, capsys):
    with lease(tmp_path / "run"):
        assert cli.main(["train", "identity-td3", ID, "--steps", "80", "--out", str(tmp_path / "run")]) == 1
    assert "is worked in by process" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run" / "run.json").exists()
