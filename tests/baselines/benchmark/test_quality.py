"""Redistributors that are judged in a benchmark: scored as by `bagged-envs redistribute`, kept as runs are."""

import json
import math
import threading
from dataclasses import replace

import pytest

from bagged_envs.baselines.benchmark import quality
from bagged_envs.baselines.benchmark.arms import Arm
from bagged_envs.baselines.benchmark.result_file import RESULT, write_result
from bagged_envs.baselines.benchmark.results import REDISTRIBUTION, RUNS, read_results, write_tables
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.benchmark.validate import problems, reproduce
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.judging.case import make_case
from bagged_envs.baselines.judging.judge import SCORES, judge
from tests.baselines.benchmark.small import PROTOCOL, RECORDING, job, judged, redistributions, results


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    for one in (judged(), judged("oracle"), judged("rd", seed=8)):
        one.work(out)
    return out


def result_of(one, out):
    return json.loads((one.folder(out) / RESULT).read_text())


def test_its_scores_are_those_of_the_judge(place):
    case = make_case("BaggedKeyDoor-v0", {"bag_len": 3}, 7, RECORDING, place / quality.RECORDINGS)
    (row,) = judge("rd", case, 120)
    told = result_of(judged(), place)
    assert told["kind"] == "redistribution"
    assert told["scores"] == {name: None if math.isnan(row[name]) else row[name] for name in SCORES}
    assert told["scores"]["regret"] is not None
    assert told["refused"] == ""
    assert told["seconds_per_update"] > 0.0
    assert result_of(judged("oracle"), place)["scores"]["absolute_error"] < 1e-6  # labels are exact, features float32


def test_settings_seed_and_recordings_are_in_its_key():
    one = judged()
    longer = replace(PROTOCOL, recording=replace(RECORDING, episodes=5))
    changed = [judged(seed=8), judged(bags=7), judged("rrd"), judged(protocol=longer), judged(steps=160)]
    assert len({each.key for each in (one, *changed)}) == 6
    assert judged().key == one.key


def test_settings_arrive(place):
    other = judged("rd", bags=1)
    other.work(place)
    assert result_of(other, place)["scores"] != result_of(judged(), place)["scores"]
    assert result_of(other, place)["job"]["redistributor"]["bags"] == 1


def test_progress_ends_at_its_steps(tmp_path):
    steps = []
    judged("rd", every=40, updates=2).work(tmp_path, report=lambda step, row: steps.append(step))
    assert steps == [20, 40, 60, 80, 100, 120]


def test_a_task_without_a_program_is_a_refusal(place):
    for name, refused in (("lare_rd", True), ("rd", False)):
        one = judged(name, id="EpisodicKeyDoor-v0", seed=9)
        one = replace(one, arguments={})
        one.work(place)
        assert ("lare_rd needs factors" in result_of(one, place)["refused"]) == refused


def test_a_refusal_is_a_result(place):
    refused = judged("rudder", id="EpisodicKeyDoor-v0")
    refused = replace(refused, arguments={"label_fraction": 0.0001})
    refused.work(place)
    told = result_of(refused, place)
    assert "label" in told["refused"]
    assert set(told["scores"].values()) == {None}
    assert problems(refused.folder(place), PROTOCOL) == []


def test_tables_have_them_apart_from_training(tmp_path):
    job().work(tmp_path)
    judged().work(tmp_path)
    write_tables(tmp_path, read_results(tmp_path)[0])
    assert [row["method"] for row in read_rows(tmp_path / RUNS)] == ["uniform-td3"]
    (row,) = read_rows(tmp_path / REDISTRIBUTION)
    told = result_of(judged(), tmp_path)
    assert float(row["absolute_error"]) == told["scores"]["absolute_error"]
    assert (row["method"], row["seed"], row["source"], row["refused"]) == ("rd", "7", "the tests' own", "")
    assert len(results(tmp_path)) == len(redistributions(tmp_path)) == 1


def test_episodes_are_recorded_once_though_several_need_them(tmp_path, monkeypatch):
    made, record = [], quality.recorded

    def counted(*given):
        if not any(tmp_path.rglob("*.npz")):
            made.append(given)
        return record(*given)

    monkeypatch.setattr(quality, "recorded", counted)
    monkeypatch.setattr(quality, "PAUSE", 0.01)
    own = ("EpisodicKeyDoor-v0", {}, 7, RECORDING, tmp_path)
    threads = [threading.Thread(target=quality.record, args=own) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_it_comes_out_again(place):
    found = reproduce(judged().folder(place), PROTOCOL)
    assert (found.same, found.furthest) == (True, 0.0)


def test_a_score_that_comes_out_otherwise_is_seen(place, tmp_path):
    told = result_of(judged(), place)
    told["scores"]["absolute_error"] += 0.5
    folder = tmp_path / "run"
    folder.mkdir()
    write_result(folder, told)
    found = reproduce(folder, PROTOCOL)
    assert not found.same
    assert found.furthest == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "judgment"}, "kind must be one of training, agent, redistribution, offline, got 'judgment'"),
        ({"scores": {}}, "scores.absolute_error must be of type float or null, got nothing"),
        ({"refused": None}, "refused must be of type str"),
        ({"task": "HiddenDoor"}, "task must be KeyDoor, got HiddenDoor"),
    ],
)
def test_contributed_ones_are_looked_at(place, tmp_path, change, message):
    write_result(tmp_path, {**result_of(judged(), place), **change})
    assert message in "; ".join(problems(tmp_path, PROTOCOL))


def test_scores_must_be_there_and_finite(place, tmp_path):
    told = result_of(judged(), place)
    write_result(tmp_path, {**told, "scores": {**told["scores"], "absolute_error": None}})
    assert problems(tmp_path, PROTOCOL) == ["scores must have absolute_error where the method did not refuse, got null"]
    write_result(tmp_path, {**told, "scores": {**told["scores"], "epic": float("inf")}})
    assert problems(tmp_path, PROTOCOL) == ["scores.epic must be finite, got inf"]


def test_whole_ones_keep_the_protocol(place):
    assert problems(judged().folder(place), PROTOCOL) == []


def test_settings_of_a_learner_are_refused():
    with pytest.raises(ValueError, match="learner of 'rd' must be empty for kind 'redistribution'"):
        Arm("rd", "rd", "here", 0, learner={"discount": 0.9})
    with pytest.raises(ValueError, match="A setting of 'rd' must be .*got 'bag'"):
        Arm("rd", "rd", "here", 0, redistributor={"bag": 3})


def test_it_is_judged_on_the_processor():
    with pytest.raises(ValueError, match="device must be 'cpu' for kind 'redistribution', got 'cuda'"):
        replace(judged(), device="cuda")


def test_the_preset_is_of_this_kind():
    suite = Suite.load("redistribution")
    assert {arm.kind for arm in suite.arms} == {"redistribution"}
