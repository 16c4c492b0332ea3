"""Learning offline as an experiment: what is run, who sees what, what the tables say, and what goes on."""

import contextlib
import dataclasses
import json
import re

import numpy as np
import pytest

from bagged_envs.baselines.experiments import imputed_rewards, offline, offline_run, offline_table, sweep
from bagged_envs.baselines.experiments.offline_run import OfflineRun, late, parsed, task_id, train
from bagged_envs.baselines.growing_table import write_rows
from bagged_envs.baselines.imputation import agreement
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.recorded import labeled_steps
from bagged_envs.datasets import DatasetError, dense_rewards, load, record, save
from bagged_envs.wrappers import RewardSchedule

SMALL = {"batch_size": 8, "fit_updates": 20, "fit_batch": 8, "fit_check_every": 5}
SMALL |= {"evaluate_every": 5, "evaluation_episodes": 1}
STEPS = RewardSchedule(bag_len=1)
RESCALE = "gymnasium.wrappers.transform_action:RescaleAction"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a dense dataset of a random policy on Hopper, which falls after some twenty steps."""
    folder = tmp_path_factory.mktemp("data")
    save(record("Hopper-v5", None, "hopper/random-v0", episodes=12, seed=0), folder / "hopper-random")
    return folder


def run_of(data, name="imputer-td3_bc", schedule=STEPS, labels=0.1, seed=0):
    redistributor = {"hidden": (8,)} if name.startswith(("imputer", "rd")) else {}
    method = Method.named(name, redistributor, {"hidden": (8,)})
    return OfflineRun(method, data / "hopper-random", schedule, labels, SMALL, seed)


def timeless(rows):
    return [{**row, "seconds": None} for row in rows]


class TestRun:
    def test_what_is_kept(self, data, tmp_path):
        rows = train(run_of(data), tmp_path / "run", 10)
        assert [row["step"] for row in rows] == [5, 10]
        assert set(rows[0]) == set(offline_run.COLUMNS)
        assert 0 < rows[0]["fit_updates"] <= 20
        told = json.loads((tmp_path / "run" / "run.json").read_text())
        assert (told["data"], told["schedule"], told["labels"]) == ("hopper-random", "bag_len=1", 0.1)
        assert told["settings"]["redistributor"]["hidden"] == [8]
        assert (tmp_path / "run" / "evaluations.csv").read_text().count("\n") == 3

    def test_scores_are_by_the_datasets_own_reference(self, data, tmp_path):
        random = load(data / "hopper-random")
        save(dataclasses.replace(random, reference=(0.0, 1000.0)), tmp_path / "hopper-random")
        (row,) = train(run_of(tmp_path), tmp_path / "run", 5)
        assert row["score"] == pytest.approx(row["return"] / 10)

    def test_a_task_without_scores_needs_a_reference_and_says_so_first(self, tmp_path, capsys):
        told = {"id": "InvertedPendulum-v5", "policy": None, "dataset_id": "pendulum/random-v0", "episodes": 12}
        save(record(**told), tmp_path / "hopper-random")
        words = ["imputer-bc", str(tmp_path / "hopper-random"), "bag_len=1", "--labels", "0.5", "--updates", "5"]
        with pytest.raises(SystemExit, match=r"must have the returns that are the scores 0 and 100, got none: record"):
            offline_run.main([*words, "--out", str(tmp_path / "run")])
        assert not (tmp_path / "run" / "run.json").exists()
        with pytest.raises(SystemExit, match="offline_run: .*nonesuch"):
            offline_run.main(["identity-bc", str(tmp_path / "nonesuch"), "--out", str(tmp_path / "other")])
        save(record(**told, reference=(4.0, 14.0)), tmp_path / "pendulum")
        (row,) = train(dataclasses.replace(run_of(tmp_path), data=tmp_path / "pendulum"), tmp_path / "run", 5)
        assert row["score"] == pytest.approx(10 * (row["return"] - 4))

    def test_a_run_that_was_stopped_goes_on_to_the_bit(self, data, tmp_path):
        def stop(row):
            raise KeyboardInterrupt

        whole = train(run_of(data), tmp_path / "whole", 10)
        with pytest.raises(KeyboardInterrupt):
            train(run_of(data), tmp_path / "other", 10, stop)
        assert timeless(train(run_of(data), tmp_path / "other", 10)) == timeless(whole)
        assert train(run_of(data), tmp_path / "other", 10) == train(run_of(data), tmp_path / "other", 5)

    def test_a_kill_between_checkpoint_and_table_loses_no_row(self, data, tmp_path, monkeypatch):
        def killed(folder, rows):
            raise KeyboardInterrupt

        whole = train(run_of(data), tmp_path / "whole", 5)
        with monkeypatch.context() as patch:
            patch.setattr(offline_run, "_tell", killed)
            with pytest.raises(KeyboardInterrupt):
                train(run_of(data), tmp_path / "run", 5)
        assert not (tmp_path / "run" / "evaluations.csv").exists()
        assert timeless(train(run_of(data), tmp_path / "run", 5)) == timeless(whole)
        assert [row["step"] for row in offline.read_rows(tmp_path / "run" / "evaluations.csv")] == ["5"]

    def test_another_run_in_its_folder_is_refused(self, data, tmp_path):
        train(run_of(data), tmp_path, 5)
        with pytest.raises(ValueError, match="has a run with labels=0.1, this one has 0.2: choose another folder"):
            train(run_of(data, labels=0.2), tmp_path, 5)
        (tmp_path / "run.json").write_text("{")
        with pytest.raises(ValueError, match=r"run.json must be JSON, got something else .*\. Remove"):
            train(run_of(data), tmp_path, 5)

    @pytest.mark.parametrize("name", ["imputer-td3_bc", "labels_only-iql"])
    def test_hidden_rewards_change_nothing_but_what_is_told_of_them(self, name, data, tmp_path):
        run = run_of(data, name)
        dense = load(run.data)
        shown = [labeled_steps(one) for one in late(run, dense)]
        changed = tuple(
            dataclasses.replace(one, rewards=rewards, extras={"dense_rewards": rewards})
            for one, rewards in zip(
                dense.trajectories,
                [np.where(mask, r, 100.0 - r) for mask, r in zip(shown, dense_rewards(dense), strict=True)],
                strict=True,
            )
        )
        save(dataclasses.replace(dense, trajectories=changed), tmp_path / "poisoned")
        honest = train(run, tmp_path / "one", 5)
        other = train(dataclasses.replace(run, data=tmp_path / "poisoned"), tmp_path / "other", 5)
        hidden = {"r2": None, "error": None, "seconds": None}
        assert {**honest[0], **hidden} == {**other[0], **hidden}
        assert (honest[0]["error"] != other[0]["error"]) == (name == "imputer-td3_bc")

    def test_what_is_told_of_imputed_rewards_is_of_hidden_transitions(self, data, tmp_path):
        (row,) = train(run_of(data), tmp_path, 5)
        dense = load(data / "hopper-random")
        training = offline_run.OfflineTraining(
            run_of(data).method, "BaggedHopper-v0", late(run_of(data), dense),
            config=offline_run.offline_config("td3_bc", SMALL), seed=0,
        )  # fmt: skip
        training.fit()
        hidden = [~labeled_steps(one) for one in late(run_of(data), dense)]
        found = agreement(training.predictions(), [one.rewards for one in dense.trajectories], hidden)
        assert (row["r2"], row["error"]) == (found.r2, found.error)
        assert found.steps == dense.steps - round(0.1 * dense.steps)

    def test_a_share_of_labels_is_exact_and_the_seed_draws_which(self, data):
        dense = load(data / "hopper-random")
        labeled = [np.concatenate([one.labeled for one in late(run_of(data, seed=n), dense)]) for n in (0, 0, 1)]
        assert [int(one.sum()) for one in labeled] == [round(0.1 * dense.steps)] * 3
        assert (labeled[0] == labeled[1]).all()
        assert (labeled[0] != labeled[2]).any()

    def test_only_the_oracle_is_told_the_truth(self, data):
        dense = load(data / "hopper-random")
        assert not any(one.extras for one in late(run_of(data, "uniform-td3_bc"), dense))
        told = late(run_of(data, "oracle-td3_bc"), dense)
        assert all(
            (a.extras["dense_rewards"] == b.rewards).all() for a, b in zip(told, dense.trajectories, strict=True)
        )

    def test_whole_episodes_as_bags(self, data, tmp_path):
        (row,) = train(run_of(data, "rd-td3_bc", RewardSchedule(bag_len=None), 1.0), tmp_path, 5)
        assert row["r2"] < 1.0
        assert (row["step"], row["fit_updates"] > 0) == (5, True)

    def test_data_of_another_task_is_refused(self, data):
        dense = load(data / "hopper-random")
        assert task_id(dense) == "BaggedHopper-v0"
        with pytest.raises(ValueError, match="must be recorded in a task of ours, such as Hopper-v5 or .* got None"):
            task_id(dataclasses.replace(dense, env_spec=None))

    @pytest.mark.parametrize("id", ["BaggedCheetahRun-v0", "BaggedHopper-v0"])
    def test_data_recorded_under_a_delayed_id_is_of_its_task(self, id):
        assert task_id(record(id, None, "some/data-v0", steps=30, bag_len=1)) == id
        counted = record(id, None, "some/data-v0", steps=30, bag_len=1, observe_bag=True)
        with pytest.raises(ValueError, match="'observe_bag': True"):
            task_id(counted)

    def test_a_task_with_an_id_of_its_own_scores_by_the_datas_reference(self, tmp_path):
        dense = record("BaggedCheetahRun-v0", None, "cheetah/random-v0", steps=200, reference=(0.0, 1000.0), bag_len=1)
        save(dense, tmp_path / "data")
        words = ["imputer-td3_bc", str(tmp_path / "data"), "bag_len=1", "--labels", "0.1", "--updates", "2"]
        small = ["learner.hidden=[8]", "redistributor.hidden=[8]", "training.evaluate_every=2"]
        small += ["training.evaluation_episodes=1", "training.fit_updates=3"]
        assert offline_run.main([*words, *small, "--out", str(tmp_path / "run")]) == 0
        (row,) = offline.read_rows(tmp_path / "run" / "evaluations.csv")
        assert float(row["score"]) == pytest.approx(float(row["return"]) / 10.0)

    def test_a_learner_that_has_no_use_for_the_actions_says_so_and_keeps_nothing(self, tmp_path):
        save(record("KeyDoor-v0", None, "door/random-v0", episodes=2, reference=(0.0, 1.0)), tmp_path / "data")
        words = ["imputer-td3_bc", str(tmp_path / "data"), "bag_len=1", "--out", str(tmp_path / "run")]
        with pytest.raises(SystemExit, match="offline_run: action_space must be a Box of floats for this learner"):
            offline_run.main(words)
        assert not (tmp_path / "run" / "run.json").exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kwargs": {"ctrl_cost_weight": 5.0}}, r"with arguments {}, got {'ctrl_cost_weight': 5.0}"),
            ({"max_episode_steps": 50}, "with max_episode_steps 1000, got 50"),
            (
                {"additional_wrappers": [{"name": "RescaleAction", "entry_point": RESCALE, "kwargs": {}}]},
                r"with wrappers \[\], got \['RescaleAction'\]",
            ),
        ],
    )
    def test_data_of_a_changed_task_is_refused(self, data, change, message):
        dense = load(data / "hopper-random")
        spec = json.dumps({**json.loads(dense.env_spec), **change})
        with pytest.raises(ValueError, match=message):
            task_id(dataclasses.replace(dense, env_spec=spec))

    @pytest.mark.parametrize(
        "wrapper", ["x", {"name": "X", "kwargs": {}}, {"name": "X", "entry_point": None, "kwargs": {}}]
    )
    def test_wrappers_that_are_none_are_damage(self, data, wrapper):
        dense = load(data / "hopper-random")
        spec = json.dumps({**json.loads(dense.env_spec), "additional_wrappers": [wrapper]})
        with pytest.raises(DatasetError, match="additional_wrappers must be tables of name, entry_point and kwargs"):
            task_id(dataclasses.replace(dense, env_spec=spec))

    def test_a_limit_that_is_not_the_tasks_own_is_another_task(self, data):
        dense, limit = load(data / "hopper-random"), "gymnasium.wrappers.common:TimeLimit"
        for steps, refused in ((1000, False), (50, True)):
            wrapper = {"name": "TimeLimit", "entry_point": limit, "kwargs": {"max_episode_steps": steps}}
            spec = json.dumps({**json.loads(dense.env_spec), "additional_wrappers": [wrapper]})
            with pytest.raises(ValueError, match="TimeLimit") if refused else contextlib.nullcontext():
                assert task_id(dataclasses.replace(dense, env_spec=spec)) == "BaggedHopper-v0"

    @pytest.mark.parametrize("kind", ["common:RecordEpisodeStatistics", "common:Autoreset", "rendering:RecordVideo"])
    def test_wrappers_that_change_nothing_of_the_task_are_none(self, data, kind):
        dense = load(data / "hopper-random")
        point = f"gymnasium.wrappers.{kind}"
        change = {"additional_wrappers": [{"name": "RecordEpisodeStatistics", "entry_point": point, "kwargs": {}}]}
        spec = json.dumps({**json.loads(dense.env_spec), **change})
        assert task_id(dataclasses.replace(dense, env_spec=spec)) == "BaggedHopper-v0"

    def test_labels_of_another_unit_are_refused(self, data):
        for schedule in (
            RewardSchedule(bag_len=1, aggregate="square_sum"),
            RewardSchedule(bag_len=(1, 3), aggregate="mean"),
            RewardSchedule(bag_len=None, aggregate="max"),
            RewardSchedule(bag_len=None, success="terminated"),
        ):
            with pytest.raises(ValueError, match="schedule must pay sums of rewards, got .*: other labels"):
                run_of(data, schedule=schedule)
        for aggregate in ("mean", "max"):  # of one step is that step's
            run_of(data, schedule=RewardSchedule(bag_len=1, aggregate=aggregate))

    @pytest.mark.parametrize("share", [0.5, 0.05])
    def test_shares_of_episodes_are_of_episodes(self, share, data):
        dense = load(data / "hopper-random")
        run = run_of(data, "rd-td3_bc", RewardSchedule(bag_len=5, label_unit="episode"), share)
        assert sum(one.labeled.all() for one in late(run, dense)) == max(1, round(12 * share))
        assert sum(one.labeled.any() for one in late(run, dense)) == max(1, round(12 * share))

    def test_the_truth_of_a_delayed_dataset_is_what_it_exposes(self, tmp_path):
        told = {"policy": None, "dataset_id": "hopper/random-v0", "episodes": 12, "seed": 0}
        save(record("Hopper-v5", **told), tmp_path / "a" / "hopper-random")
        exposed = record("BaggedHopper-v0", **told, bag_len=20, expose_reward=True)
        save(exposed, tmp_path / "b" / "hopper-random")
        same = [train(run_of(tmp_path / name), tmp_path / f"run-{name}", 5) for name in "ab"]
        assert timeless(same[0]) == timeless(same[1])
        assert same[0][0]["r2"] is not None
        for one, true in zip(late(run_of(tmp_path / "b", "oracle-td3_bc"), exposed), exposed.trajectories, strict=True):
            assert np.array_equal(one.extras["dense_rewards"], true.extras["dense_rewards"])

    def test_too_few_updates_are_said(self, data, tmp_path):
        with pytest.raises(ValueError, match="updates must be at least evaluate_every=5, got 4: nothing would be kept"):
            train(run_of(data), tmp_path, 4)

    @pytest.mark.parametrize("spec", ["[]", "{"])
    def test_a_specification_that_is_none_is_named(self, spec, data, tmp_path):
        dense = dataclasses.replace(load(data / "hopper-random"), env_spec=spec)
        save(dense, tmp_path / "data")
        words = ["imputer-bc", str(tmp_path / "data"), "bag_len=1", "--out", str(tmp_path / "run")]
        with pytest.raises(SystemExit, match="offline_run: hopper/random-v0: env_spec: "):
            offline_run.main(words)

    def test_a_file_in_the_place_of_the_folder_is_said(self, data, tmp_path):
        (tmp_path / "run").write_text("")
        with pytest.raises(SystemExit, match=r"offline_run: .*File exists"):
            offline_run.main(["imputer-bc", str(data / "hopper-random"), "bag_len=1", "--out", str(tmp_path / "run")])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [({"labels": 0.0}, "labels must be a share above 0"), ({"config": {"hidden": 3}}, "A setting of offline")],
    )
    def test_wrong_arguments(self, data, changes, message):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(run_of(data), **changes)


class TestProtocols:
    def test_the_table_is_nine_datasets_by_four_arms_by_two_learners(self, tmp_path):
        cells = offline.PROTOCOLS["table"]
        assert len(cells) == len(set(cells)) == 9 * 4 * 2
        assert {cell.labels for cell in cells} == {0.01}
        made = list(offline.commands(cells, tmp_path, tmp_path, offline.Preset(100, 2), tmp_path / "none.csv"))
        seeds = [words[words.index("--seed") + 1] for words in made]
        assert seeds == sorted(seeds)
        assert len({words[words.index("--out") + 1] for words in made}) == len(made) == 2 * len(cells)

    @pytest.mark.parametrize("rates", list(offline.RATES))
    @pytest.mark.parametrize("protocol", list(offline.PROTOCOLS))
    def test_every_command_can_be_read(self, protocol, rates, tmp_path):
        preset = offline.Preset(20_000, 3, rates)
        for cell in offline.PROTOCOLS[protocol]:
            words = offline.command(cell, 1, tmp_path, tmp_path / "run", preset)
            run, given = parsed(words[words.index(offline_run.__name__) + 1 :])
            assert (run.method.name, run.labels, str(run.schedule)) == (cell.method, cell.labels, cell.schedule)
            assert (run.data, run.seed, given.updates) == (tmp_path / cell.data, 1, 20_000)
            decays = run.method.resolved()["learner"].get("decay_steps")
            assert decays == (20_000 if cell.method.endswith("-iql") else None)
            learner = run.method.resolved()["learner"]
            values = [learner["tau"], *(value for name, value in learner.items() if name.endswith("learning_rate"))]
            count = 3 if cell.method.endswith("-iql") else 2
            assert values == {"published": [0.005, *[3e-4] * count], "faster": [0.02, *[1e-3] * count]}[rates]

    def test_runs_of_other_rates_and_lengths_are_kept_elsewhere(self, tmp_path):
        cell = offline.PROTOCOLS["table"][0]
        presets = [*offline.PRESETS.values(), offline.Preset(20_000, 3)]
        assert len({offline.folder_of(cell, 0, tmp_path, preset) for preset in presets}) == 4

    def test_what_the_table_has_whole_is_left_out(self, tmp_path):
        cells = offline.PROTOCOLS["labels"]
        rows = [dict(zip(offline.KEYS, cells[n].key(0), strict=True)) | {"step": step} for n, step in ((0, 8), (1, 7))]
        write_rows(tmp_path / "table.csv", offline.COLUMNS, rows)
        made = list(offline.commands(cells, tmp_path, tmp_path, offline.Preset(8, 1), tmp_path / "table.csv"))
        assert len(made) == len(cells) - 1

    @pytest.mark.parametrize(("updates", "last"), [(8, 8), (11, 10), (22_000, 20_000), (3, 3)])
    def test_a_run_is_whole_at_its_last_evaluation(self, tmp_path, updates, last):
        cell = offline.PROTOCOLS["labels"][0]
        words = offline.command(cell, 0, tmp_path, tmp_path, offline.Preset(updates, 1))
        run, _ = parsed(words[words.index(offline_run.__name__) + 1 :])
        assert last == updates - updates % run.config["evaluate_every"]
        for step, expected in ((last, 1), (last - 1, 0)):
            row = dict(zip(offline.KEYS, cell.key(0), strict=True)) | {"step": step}
            write_rows(tmp_path / "table.csv", offline.COLUMNS, [row])
            assert len(offline.whole(tmp_path / "table.csv", updates)) == expected

    def test_wrong_words_of_a_run_are_told(self, tmp_path, capsys):
        for word, message in (
            ("no_such_module:rd-iql", "there is no module 'no_such_module'"),
            ("imputer-none", "got 'none'"),
            ("imputer-iql", "got 'bag_lan'"),
        ):
            with pytest.raises(SystemExit):
                parsed([word, str(tmp_path), "--out", str(tmp_path), "bag_lan=1"])
            assert message in capsys.readouterr().err


@pytest.mark.long
def test_runs_are_made_once_and_collected(data, tmp_path, monkeypatch, capsys):
    """In this process, with two runs of eight updates each."""
    cells = tuple(offline.Cell("hopper-random", "bag_len=1", 0.1, f"{arm}-td3_bc") for arm in ("labels_only", "oracle"))
    monkeypatch.setitem(offline.PROTOCOLS, "labels", cells)
    ran = []

    def run(words):
        ran.append(words)
        return offline_run.main(words[words.index(offline_run.__name__) + 1 :])

    monkeypatch.setattr(sweep, "run", run)
    out = tmp_path / "table.csv"
    words = ["labels", "--data", str(data), "--runs", str(tmp_path / "runs"), "--out", str(out)]
    words += ["--updates", "8", "--seeds", "1", "--workers", "1"]
    assert offline.main(words) == 0
    assert len(ran) == 2
    assert all("learner.tau=0.02" in words for words in ran)
    rows = offline.read_rows(out)
    assert [(row["method"], row["step"]) for row in rows] == [
        (method, step) for method in ("labels_only-td3_bc", "oracle-td3_bc") for step in ("2", "4", "6", "8")
    ]
    assert offline.main(words) == 0
    assert len(ran) == 2
    assert offline.read_rows(out) == rows
    # Runs of another length have folders of their own; those that are refused leave no rows.
    assert offline.main([*words, "--updates", "4", "--out", str(tmp_path / "short.csv")]) == 0
    assert max(int(row["step"]) for row in offline.read_rows(tmp_path / "short.csv")) == 4
    made_anew = tmp_path / "anew"
    save(record("Hopper-v5", None, "hopper/random-v0", episodes=2, seed=1), made_anew / "hopper-random")
    monkeypatch.setattr(sweep, "run", lambda words: 1)
    other = tmp_path / "other.csv"
    assert offline.main([*words, "--data", str(made_anew), "--out", str(other)]) == 1
    assert offline.read_rows(other) == []
    for other in ("--updates", "16"), ("--rates", "published"), ("--data", str(tmp_path)), ("--seeds", "0"):
        with pytest.raises(SystemExit):
            offline.main([*words, *other])
    with pytest.raises(SystemExit):
        offline.main([*words, "--only", "hopper-rondom"])
    with pytest.raises(SystemExit):
        offline.main([*words, "--data", str(made_anew)])
    told = " ".join(capsys.readouterr().err.split())
    assert "has runs on a hopper-random with SHA-256" in told
    assert "--only must be one of 'hopper-random', got 'hopper-rondom'" in told.replace("‘", "'")
    assert "is for runs with protocol.name=labels protocol.rates=faster protocol.updates=8, got" in told
    assert "bagged-envs dataset make hopper-random" in told


def rows_of(scores):
    """Rows of a table: (data, method) -> scores by seed, at step 10, after worse ones at step 5."""
    for (data, method), values in scores.items():
        for seed, score in enumerate(values):
            for step, less in ((5, 1000.0), (10, 0.0)):
                row = {"data": data, "schedule": "bag_len=1", "labels": 0.01, "method": method, "seed": seed}
                row |= {"step": step, "score": score - less, "r2": 0.5 + seed / 10, "error": 0.25, "fit_updates": 1500}
                yield row


SCORES = {
    ("hopper-medium", "labels_only-iql"): [4.0, 6.0],
    ("hopper-medium", "imputer-iql"): [30.0, 50.0],
    ("hopper-medium", "constant-iql"): [20.0, 20.0],
    ("hopper-medium", "oracle-iql"): [50.0, 50.0],
    ("walker2d-medium", "labels_only-iql"): [15.0],
    ("walker2d-medium", "imputer-iql"): [60.0],
    ("walker2d-medium", "constant-iql"): [20.0],
    ("walker2d-medium", "oracle-iql"): [70.0],
    ("halfcheetah-medium", "imputer-iql"): [99.0],
}


class TestTold:
    @pytest.fixture
    def out(self, tmp_path):
        file = tmp_path / "table.csv"
        write_rows(file, offline.COLUMNS, list(rows_of(SCORES)))
        row = {"recipe": "hopper-medium", "transitions": 2000, "episodes": 7, "return": 1234.56, "score": 38.5}
        write_rows(offline.datasets_file(file), offline.OF_DATASETS, [row])
        return file

    def test_scores_are_the_last_ones(self, out):
        lines = offline_table.told(out, "table")["scores"]
        assert lines[0] == "| data | learner | labels only | imputed | constant | all rewards |"
        assert "| hopper-medium | IQL | 5.0 ± 1.4 (2) | 40.0 ± 14.1 (2) | 20.0 ± 0.0 (2) | 50.0 ± 0.0 (2) |" in lines
        assert "| halfcheetah-medium | IQL | – | 99.0 (1) | – | – |" in lines

    def test_scores_after_so_many_updates(self, out):
        lines = offline_table.by_updates(offline.read_rows(out), (5, 10, 15))
        assert lines[0] == "| data | learner | rewards | 5 updates | 10 updates | 15 updates |"
        assert lines[2:4] == [
            "| halfcheetah-medium | IQL | imputed | -901.0 (1) | 99.0 (1) | – |",
            "| hopper-medium | IQL | labels only | -995.0 ± 1.4 (2) | 5.0 ± 1.4 (2) | – |",
        ]
        assert [line.split(" | ")[2] for line in lines[3:7]] == ["labels only", "imputed", "constant", "all rewards"]

    def test_how_rewards_of_bags_agree(self, tmp_path):
        named = {"rd-iql": [1.0, 2.0], "uniform-iql": [3.0], "labels_only-iql": [4.0]}
        rows = list(rows_of({("hopper-medium", method): scores for method, scores in named.items()}))
        for row in rows:
            row["schedule"] = "bag_len=20" if row["seed"] == 0 else "bag_len=None"
            row["r2"] = "" if row["method"] == "labels_only-iql" else row["r2"]
        write_rows(tmp_path / "bags.csv", offline.COLUMNS, rows)
        assert offline_table.told(tmp_path / "bags.csv", "bags")["bags rewards"] == [
            "| schedule | equal shares | RD |",
            "| --- | --- | --- |",
            "| bag_len=20 | 0.500 | 0.500 |",
            "| bag_len=None | – | 0.600 |",
        ]

    def test_averages_are_over_datasets_that_all_arms_have(self, out, tmp_path):
        lines = offline_table.told(out, "table")["averages"]
        # Means over two datasets: 10, 20, 50 and 60; one of them has one seed.
        cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
        assert cells[:6] == ["IQL", "2 datasets", "10.0", "20.0", "50.0", "60.0"]
        assert cells[6:] == ["5.000", "2.500", "0.833"]
        more = {("walker2d-medium", f"{arm}-iql"): [60.0, 60.0] for arm in ("imputer", "oracle")}
        rows = offline_table.finals(list(rows_of(SCORES | more)))
        cells = [cell.strip() for cell in offline_table.averages(rows)[2].split("|")[1:-1]]
        # Resampling the two seeds of one dataset moves imputed by 5 at most.
        assert cells[2:6] == ["10.0", "20.0", "50.0 [45.0, 55.0]", "55.0 [55.0, 55.0]"]
        one = [row for row in offline.read_rows(out) if row["seed"] == "0"]
        assert "| 9.5 | 20.0 | 45.0 | 60.0 |" in offline_table.averages(offline_table.finals(one))[2]
        assert lines[-1].endswith("| 9 datasets | 9.19 | – | 68.51 | – | 7.455 | – | – |")

    def test_how_rewards_were_imputed_and_what_datasets_came_to(self, out):
        told = offline_table.told(out, "table")
        assert "| hopper-medium | 0.550 | 0.250 | 1,500 | 2 |" in told["imputed"]
        assert told["datasets"][2] == "| hopper-medium | 2,000 | 7 | 1,234.6 | 38.5 |"

    def test_the_command_tells_and_draws(self, out, tmp_path, capsys):
        assert offline.main(["table", "--out", str(out), "--plot", str(tmp_path / "table.png")]) == 0
        assert "| halfcheetah-medium | IQL |" in capsys.readouterr().out
        assert (tmp_path / "table.png").read_bytes()[:4] == b"\x89PNG"

    def test_an_empty_table_says_nothing(self, tmp_path):
        assert len(offline_table.told(tmp_path / "none.csv", "bags")["bags"]) == 2

    def test_of_a_table_that_is_not_there_nothing_is_told(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            offline.main(["bags", "--out", str(tmp_path / "none.csv"), "--tell"])
        assert "--out must be a table with rows, got" in capsys.readouterr().err


def test_a_histogram_of_imputed_against_true_rewards(data, tmp_path, monkeypatch, capsys):
    out, picture = tmp_path / "rows.csv", tmp_path / "rows.png"
    monkeypatch.setattr(imputed_rewards, "OfflineTraining", quick(imputed_rewards.OfflineTraining))
    words = [str(data / "hopper-random"), "--labels", "0.1", "--out", str(out), "--plot", str(picture)]
    assert imputed_rewards.main(words) == 0
    rows = offline.read_rows(out)
    dense = load(data / "hopper-random")
    assert sum(int(row["count"]) for row in rows) == dense.steps - round(0.1 * dense.steps)
    mean = sum(float(row["true"]) * int(row["count"]) for row in rows) / sum(int(row["count"]) for row in rows)
    assert mean == pytest.approx(np.mean(np.concatenate([one.rewards for one in dense.trajectories])), abs=0.1)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert imputed_rewards.main(words) == 0
    assert offline.read_rows(out) == rows
    assert capsys.readouterr().out.count("R²") == 1
    anew = tmp_path / "hopper-random"
    save(record("Hopper-v5", None, "hopper/random-v0", episodes=2, seed=1), anew)
    with pytest.raises(SystemExit):
        imputed_rewards.main([str(anew), *words[1:]])
    assert "has rows of another hopper-random: choose another --out" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no such dataset|missing"),
        (["--labels", "1.0"], "--labels must be a share above 0 and below 1"),
        (["--plot", "picture.png"], "rows.csv must have rows to draw, got none"),
    ],
)
def test_what_no_histogram_can_be_made_of_is_a_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        imputed_rewards.main([*words, "--out", "rows.csv"])
    assert re.search(message, capsys.readouterr().err)


def quick(kind):
    """The training with small settings of its own."""

    def made(*arguments, **named):
        return kind(*arguments, config=offline_run.offline_config("bc", SMALL), **named)

    return made
