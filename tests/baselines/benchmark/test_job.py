"""A run is made once, goes on where it was stopped, and is whole or not there."""

import dataclasses
import json
import os

import pytest
from gymnasium.spaces import Box

from bagged_envs.baselines.benchmark import job as module
from bagged_envs.baselines.benchmark.arms import ARMS, Arm
from bagged_envs.baselines.benchmark.form import read_counted
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.provenance import machine, revision
from bagged_envs.baselines.benchmark.result_file import (
    EVALUATED,
    FAILURE,
    RESULT,
    origin_of,
    read_failure,
    read_result,
    write_result,
)
from bagged_envs.baselines.benchmark.results import run_row
from bagged_envs.baselines.lease import Taken, lease
from tests.baselines.benchmark.small import PROTOCOL, arm, job, judged


def interrupting(at):
    def report(step, row):
        if step == at:
            raise KeyboardInterrupt

    return report


class TestArms:
    def test_every_row_says_where_its_settings_come_from(self):
        assert all(one.name == name and len(one.source) > 20 for name, one in ARMS.items())

    def test_identity_has_its_honest_controls(self):
        assert ARMS["identity-td3 discount=0.999"].learner == {"discount": 0.999}
        assert ARMS["identity-td3 n_step=10"].training == {"n_step": 10}
        assert ARMS["identity-ppo discount=1"].learner == {"discount": 1.0, "gae_lambda": 1.0}
        for one in (row for row in ARMS.values() if row.kind == "training"):
            one.made().make_learner(3, Box(-1, 1, (1,)), seed=0)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"method": "rdd-td3"}, "got 'rdd'. Did you mean 'rd'"),
            ({"source": " "}, "source of 'x' must say where its settings come from"),
            ({"trials": -1}, "trials of 'x' must .*got -1"),
            ({"training": {"batch": 3}}, "setting of training.*got 'batch'. Did you mean 'batch_size'"),
            ({"method": "identity-ppo", "training": {"n_step": 2}}, "must not have n_step: ppo does without"),
            ({"redistributor": {"bag": 3}}, "setting of 'rd' must be .*got 'bag'. Did you mean 'bags'"),
            ({"learner": {"discount": 9.0}}, "discount must be .*got 9.0"),
            ({"training": {"evaluate_every": 3}}, "must leave evaluate_every to the protocol"),
        ],
    )
    def test_what_is_wrong_is_said_at_once(self, changes, message):
        with pytest.raises(ValueError, match=message):
            Arm(**{"name": "x", "method": "rd-td3", "source": "here", "trials": 0, **changes})


class TestKeys:
    def test_a_key_is_of_what_results_depend_on(self):
        one = job()
        changed = [
            job("identity-td3"), job(seed=8), job(steps=160), job(arguments={"bag_len": 4}),
            job(learner={"hidden": (8, 9)}), job(training={"random_steps": 31, "batch_size": 8}),
            job(protocol=dataclasses.replace(PROTOCOL, episodes=3)), dataclasses.replace(one, threads=2),
        ]  # fmt: skip
        assert len({other.key for other in (one, *changed)}) == 1 + len(changed)
        renamed = dataclasses.replace(one, arm=Arm("mine", "uniform-td3", "elsewhere", 9, **{
            name: getattr(one.arm, name) for name in ("redistributor", "learner", "training")
        }))  # fmt: skip
        assert (renamed.key, renamed.name) == (one.key, one.name)

    def test_versions_are_in_it(self, monkeypatch):
        before = job().key
        monkeypatch.setattr(module.runs, "version", lambda package: f"another {package}")
        assert job().key != before
        assert set(job().described()["versions"]) == {"bagged_envs", "gymnasium", "numpy", "torch", "mujoco"}

    def test_an_environment_is_the_same_however_it_is_told(self):
        plain = dataclasses.replace(job(), arguments={})
        assert dataclasses.replace(job(), arguments={"bag_len": 20}).key == plain.key
        assert dataclasses.replace(job(), arguments={"bag_len": 20}).name == plain.name
        one, other = {"bag_len": 3, "reset_noise_scale": 0.02}, {"reset_noise_scale": 0.02, "bag_len": 3}
        assert dataclasses.replace(job(), arguments=one).name == dataclasses.replace(job(), arguments=other).name
        assert dataclasses.replace(job(), arguments={"bag_len": (2, 4)}).key == job(arguments={"bag_len": [2, 4]}).key

    @pytest.mark.parametrize("spelt", ["bagged_envs:BaggedInvertedPendulum-v0", "BaggedInvertedPendulum"])
    def test_an_id_is_the_same_however_it_is_spelt(self, spelt):
        other = dataclasses.replace(job(), id=spelt)
        assert (other.id, other.key, other.name) == (job().id, job().key, job().name)

    def test_the_registered_limit_is_no_change(self):
        one = job(arguments={"bag_len": 3, "max_episode_steps": 1000})
        assert one.key == job(arguments={"bag_len": 3}).key
        assert one.key != job(arguments={"bag_len": 3, "max_episode_steps": 999}).key

    def test_only_methods_of_ours_have_another_device(self):
        with pytest.raises(ValueError, match="device must be 'cpu' for kind 'agent', got 'cuda'"):
            dataclasses.replace(job(), arm=ARMS["sb3-td3"], device="cuda")

    def test_defaults_are_in_it(self, monkeypatch):
        before = job("rrd-td3").key
        assert job("rrd-td3", redistributor={"bags": 4}).key == before
        assert job("rrd-td3", learner={"hidden": (8, 8), "discount": 0.99}).key == before
        assert job("rrd-td3").described()["redistributor"]["steps"] == 64

    def test_a_folder_s_name_can_be_read(self):
        one = job()
        assert one.name == f"uniform-td3-BaggedInvertedPendulum-v0-bag_len=3-7-{one.key}"

    def test_a_run_must_have_an_evaluation(self):
        with pytest.raises(ValueError, match="steps must be at least 40, one evaluation, got 39"):
            job(steps=39)
        assert judged(steps=39).steps == 39  # it has none


class TestWork:
    def test_what_a_result_says(self, tmp_path):
        one = job()
        result = one.work(tmp_path)
        folder = one.folder(tmp_path)
        assert json.loads((folder / RESULT).read_text()) == result == read_result(folder)
        assert [row["step"] for row in result["rows"]] == [40, 80, 120]
        assert tuple(result["rows"][0]) == EVALUATED
        returns = [row["return"] for row in result["rows"]]
        assert result["final"] == pytest.approx((returns[1] + returns[2]) / 2)
        assert (result["task"], result["normalized"], result["key"]) == ("InvertedPendulum", None, one.key)
        assert result["job"]["protocol"] == PROTOCOL.hash
        assert result["arm"] == {"name": "uniform-td3", "source": "the tests' own", "trials": 0}
        assert result["environment"]["id"] == "BaggedInvertedPendulum-v0"
        assert result["environment"]["kwargs"]["bag_len"] == 3
        assert result["job"]["versions"]["torch"]
        (part,) = result["parts"]
        assert part == {"revision": revision(), "machine": machine()}
        assert all(part["machine"].values())
        assert sorted(os.listdir(folder)) == [
            "checkpoint.pt",
            "evaluations.csv",
            "lease-0.json",
            "metrics.jsonl",
            "parts.json",
            RESULT,
            "run.json",
        ]

    def test_it_is_made_once(self, tmp_path, monkeypatch):
        first = job().work(tmp_path)
        monkeypatch.setattr(module.runs, "train", lambda *_, **__: pytest.fail("trained again"))
        assert job().work(tmp_path) == first

    def test_one_that_goes_on_elsewhere_says_where_its_parts_were_made(self, tmp_path, monkeypatch):
        one, place = job(), iter(("old", "old", "new"))
        for at in (45, 90):
            part = next(place)
            monkeypatch.setattr(module, "revision", lambda part=part: f"{part} commit")
            with pytest.raises(KeyboardInterrupt):
                one.work(tmp_path, checkpoint_every=20, report=interrupting(at))
        monkeypatch.setattr(module, "revision", lambda: "new commit")
        monkeypatch.setattr(module, "machine", lambda: {"processor": "new one", "system": machine()["system"]})
        result = one.work(tmp_path, checkpoint_every=20)
        assert [part["revision"] for part in result["parts"]] == ["old commit", "new commit"]
        told = origin_of(result)
        assert told["revision"] == run_row(result)["revision"] == "old commit and new commit"
        assert told["processor"] == f"{machine()['processor']} and new one"
        assert told["system"] == machine()["system"]

    def test_one_that_begins_anew_forgets_where_it_was_begun(self, tmp_path, monkeypatch):
        one = job()
        monkeypatch.setattr(module, "revision", lambda: "old commit")
        with pytest.raises(KeyboardInterrupt):
            one.work(tmp_path, checkpoint_every=1000, report=interrupting(15))
        assert not (one.folder(tmp_path) / "checkpoint.pt").exists()
        monkeypatch.setattr(module, "revision", lambda: "new commit")
        assert [part["revision"] for part in one.work(tmp_path)["parts"]] == ["new commit"]

    @pytest.mark.parametrize("told", ["[1]", "{", "{}", '[{"revision": 3, "machine": {}}]', '[{"machine": {}}]'])
    def test_where_parts_were_made_must_be_known(self, tmp_path, told):
        with pytest.raises(KeyboardInterrupt):
            job().work(tmp_path, 50, interrupting(at=60))
        file = job().folder(tmp_path) / "parts.json"
        kept = file.read_text()
        file.write_text(told)
        with pytest.raises(ValueError, match="parts.json must say where the parts of this run were made, and is dam"):
            job().work(tmp_path, 50)
        assert "parts.json" in read_failure(job().folder(tmp_path))
        file.write_text(kept)
        assert job().work(tmp_path, 50)["parts"] == json.loads(kept)

    @pytest.mark.parametrize("place", ["key", "job"])
    def test_a_result_that_is_not_its_own_does_not_count(self, tmp_path, place):
        one = job()
        told = one.work(tmp_path)
        folder = one.folder(tmp_path)
        assert read_counted(folder, one.key) == told
        write_result(folder, {**told, place: job(seed=8).key if place == "key" else job(seed=8).described()})
        assert read_counted(folder, one.key) is None
        assert one.work(tmp_path) == told

    def test_a_result_of_another_form_is_made_again(self, tmp_path):
        one = job()
        first = one.work(tmp_path)
        write_result(one.folder(tmp_path), {name: value for name, value in first.items() if name != "parts"})
        again = one.work(tmp_path)
        assert again["rows"] == first["rows"]
        assert read_result(one.folder(tmp_path))["parts"] == first["parts"]

    def test_a_task_s_own_argument_that_changes_nothing_keeps_its_scale(self, tmp_path):
        scaled = dataclasses.replace(PROTOCOL, references=Protocol.load("v1").references)
        limit = job(protocol=scaled, arguments={"bag_len": 3, "max_episode_steps": 1000}).work(tmp_path)
        assert limit["normalized"] == scaled.normalized("InvertedPendulum", limit["final"])
        shorter = job(protocol=scaled, arguments={"bag_len": 3, "max_episode_steps": 50}).work(tmp_path)
        assert shorter["normalized"] is None

    @pytest.mark.long
    def test_a_stopped_one_goes_on_and_comes_to_the_same(self, tmp_path):
        whole = job("rrd-td3", redistributor={"warm_up": 30, "every": 10, "updates": 1}).work(tmp_path / "whole")
        stopped = job("rrd-td3", redistributor={"warm_up": 30, "every": 10, "updates": 1})
        for at in (45, 90):
            with pytest.raises(KeyboardInterrupt):
                stopped.work(tmp_path / "stopped", checkpoint_every=20, report=interrupting(at))
            assert read_result(stopped.folder(tmp_path / "stopped")) is None
        seen = []
        again = stopped.work(tmp_path / "stopped", checkpoint_every=20, report=lambda step, row: seen.append(step))
        assert seen[0] == 81
        different = {"seconds", "sha256"}
        assert {k: v for k, v in again.items() if k not in different} == {
            k: v for k, v in whole.items() if k not in different
        }

    def test_only_one_works_there(self, tmp_path):
        with lease(job().folder(tmp_path)), pytest.raises(Taken):
            job().work(tmp_path)

    def test_who_lost_the_folder_stops(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "lease", lost)
        with pytest.raises(Taken, match="was taken over by another process"):
            job().work(tmp_path)
        assert read_failure(job().folder(tmp_path)) is None

    def test_a_failure_is_kept_and_tried_again(self, tmp_path, monkeypatch):
        one, train = job(), module.runs.train

        def fails(*_, **__):
            raise FloatingPointError("the loss is nan")

        monkeypatch.setattr(module.runs, "train", fails)
        with pytest.raises(FloatingPointError):
            one.work(tmp_path)
        folder = one.folder(tmp_path)
        assert read_failure(folder) == "FloatingPointError: the loss is nan"
        assert "Traceback" in (folder / FAILURE).read_text()
        monkeypatch.setattr(module.runs, "train", train)
        assert one.work(tmp_path)["final"] > 0.0
        assert read_failure(folder) is None

    def test_a_full_disk_is_no_failure_of_the_method(self, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module.runs, "train", full)
        with pytest.raises(OSError, match="No space left"):
            job().work(tmp_path)
        assert read_failure(job().folder(tmp_path)) is None

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: text[:-3],
            lambda text: "",
            lambda text: text.replace('"final": ', '"final": 1'),
            lambda text: "[]",
        ],
    )
    def test_a_damaged_result_is_none_and_is_made_anew(self, tmp_path, spoil):
        one = job()
        before = one.work(tmp_path)
        file = one.folder(tmp_path) / RESULT
        file.write_text(spoil(file.read_text()))
        assert read_result(one.folder(tmp_path)) is None
        assert one.work(tmp_path)["rows"] == before["rows"]

    def test_what_a_killed_writer_left_is_removed(self, tmp_path):
        folder = job().folder(tmp_path)
        folder.mkdir(parents=True)
        (folder / ".checkpoint.pt.0123.unfinished").write_text("half")
        job().work(tmp_path)
        assert not [name for name in os.listdir(folder) if name.startswith(".")]


class lost:
    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.folder.mkdir(parents=True)
        return lambda: False

    def __exit__(self, *_):
        pass


def test_symbolic_tasks_are_normalized_unless_they_are_changed(tmp_path):
    references = {"KeyDoor": module.Protocol.load("v1").references["KeyDoor"]}
    protocol = dataclasses.replace(PROTOCOL, references=references)
    ppo = arm("identity-ppo", training={"rollout": 20})
    plain = module.Job(ppo, "BaggedKeyDoor-v0", {"bag_len": 3}, 7, 40, protocol).work(tmp_path)
    reference = references["KeyDoor"]
    assert plain["normalized"] == (plain["final"] - reference.random) / (reference.oracle - reference.random)
    longer = module.Job(ppo, "BaggedKeyDoor-v0", {"bag_len": 3, "delay": 20}, 7, 40, protocol).work(tmp_path)
    assert longer["normalized"] is None


def test_without_git_there_is_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert revision() is None


def test_the_revision_is_of_our_own_repository():
    found = revision()
    assert found is None or len(found.removesuffix("-dirty")) == 12
