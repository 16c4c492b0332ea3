"""Learning offline in a benchmark: from the recordings that redistributors are judged on, kept as runs are."""

import dataclasses
import json

import numpy as np
import pytest

from bagged_envs.baselines.benchmark import probe, quality
from bagged_envs.baselines.benchmark.on_recordings import paid_as
from bagged_envs.baselines.benchmark.result_file import RESULT
from bagged_envs.baselines.benchmark.results import RUNS, read_results, write_tables
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.benchmark.validate import problems, reproduce
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.judging.recordings import recorded
from tests.baselines.benchmark.small import ID, PROTOCOL, RECORDING, job

TRAINING = {"batch_size": 8, "fit_updates": 5}


def offline(name="rd-td3_bc", **changes):
    return job(name, training={**TRAINING, **changes.pop("training", {})}, **changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    for one in (offline(), offline("oracle-iql")):
        one.work(out)
    return out


@pytest.mark.long
def test_its_result_keeps_the_protocol_and_comes_out_again(place):
    one = offline()
    told = json.loads((one.folder(place) / RESULT).read_text())
    assert (told["kind"], [row["step"] for row in told["rows"]]) == ("offline", [40, 80, 120])
    assert told["rows"][-1]["learner_updates"] == 120
    assert told["rows"][0]["episodes"] == 3 * RECORDING.episodes
    assert problems(one.folder(place), PROTOCOL) == []
    assert reproduce(one.folder(place), PROTOCOL).same
    write_tables(place, read_results(place)[0])
    assert {row["method"] for row in read_rows(place / RUNS)} == {"rd-td3_bc", "oracle-iql"}


def test_runs_share_their_recordings(place):
    assert len(list((place / quality.RECORDINGS).glob("*.npz"))) == 1


def test_what_it_depends_on_is_in_its_key():
    changed = [offline("oracle-iql"), offline(seed=8), offline(training={"fit_updates": 6}), offline(steps=160)]
    longer = dataclasses.replace(PROTOCOL, recording=dataclasses.replace(RECORDING, episodes=5))
    changed += [offline(protocol=longer), offline(learner={"hidden": (9,)})]
    assert len({one.key for one in (offline(), *changed)}) == 7
    assert offline().described()["training"]["held_out"] == 0.1


def test_episodes_are_paid_as_the_id_pays(place):
    episodes = recorded(ID, {"bag_len": 3}, 7, RECORDING, place / quality.RECORDINGS)
    for arguments, lengths in (({"bag_len": 3}, 3), ({"bag_len": 4}, 4)):
        paid = paid_as(ID, arguments, episodes, seed=0)
        for one, dense in zip(paid, episodes, strict=True):
            assert np.bincount(one.bag_ids)[:-1].tolist() == [lengths] * (one.num_bags - 1)
            assert one.rewards.sum() == pytest.approx(dense.rewards.sum())
    few = [one.labeled for one in paid_as(f"PartiallyLabeled{ID[6:]}", {"label_fraction": 0.5}, episodes, seed=0)]
    assert 0.2 < np.concatenate(few).mean() < 0.8


@pytest.mark.parametrize("name", ["rd-td3_bc", "identity-iql"])
def test_what_it_takes_is_measured(name):
    cost = probe.offline_cost(offline(name), 0.01)
    assert cost.idle == 0
    assert min(cost.learning, cost.acting) > 0.0


def test_the_preset_learns_from_recordings_alone():
    suite = Suite.load("offline")
    assert {arm.kind for arm in suite.arms} == {"offline"}
    assert {id for id, _ in suite.environments} == {
        f"{variant}HalfCheetah-v0" for variant in ("Bagged", "Episodic", "PartiallyLabeled")
    }
    suite.check()
