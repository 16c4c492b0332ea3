"""Recipes of datasets: what is recorded is what SAC did, and a stopped making goes on to the bit."""

import json
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from bagged_envs import cli
from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.lease import Taken, lease
from bagged_envs.baselines.recipes import RECIPES, RecipeConfig, described, make, sac_run, summary
from bagged_envs.baselines.runs import begin
from bagged_envs.baselines.scores import normalized_score
from bagged_envs.datasets import Dataset, load
from tests.baselines.trajectories import trajectory

CONFIG = RecipeConfig(
    steps=120,
    medium=90,
    expert=130,
    learner={"hidden": (8, 8)},
    training={"random_steps": 40, "batch_size": 16, "evaluate_every": 50, "evaluation_episodes": 1},
)
SEED = 3
NAMES = ("hopper-medium", "hopper-medium-replay", "hopper-medium-expert")


def digests(folder):
    content = json.loads((folder / "manifest.json").read_text())["content"]
    return [(one["steps"], one["sha256"]) for one in content["episodes"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The three datasets of a Hopper that has learned hardly anything, and what was said of them."""
    out = tmp_path_factory.mktemp("datasets")
    return out, {name: make(name, out, CONFIG, SEED) for name in NAMES}


@contextmanager
def stopped(what, step):
    """Watches, and interrupts what is called so at a step."""

    def watch(now, steps):
        @contextmanager
        def watched():
            def report(at, row):
                if now.startswith(what) and at == step:
                    raise KeyboardInterrupt

            yield report

        return watched()

    yield watch


def test_there_is_one_for_each_quality_of_each_task():
    tasks, qualities = ("halfcheetah", "hopper", "walker2d"), ("medium", "medium-replay", "medium-expert")
    assert list(RECIPES) == [f"{task}-{quality}" for task in tasks for quality in qualities]


class TestMade:
    def test_so_many_transitions_of_the_dense_task(self, made):
        out, _ = made
        for name in ("hopper-medium", "hopper-medium-expert"):
            dataset = load(out / name)
            assert (dataset.steps, dataset.num_labels, dataset.seed) == (120, 120, SEED)
            assert json.loads(dataset.env_spec)["id"] == "Hopper-v5"
            assert dataset.reference == (-20.272305, 3234.3)
            # Hopper falls long before its time limit: all but the last one, which is cut.
            assert [one.terminated for one in dataset.trajectories[:-1]] == [True] * (len(dataset) - 1)

    def test_the_steps_are_the_tasks_own(self, made):
        out, _ = made
        env = gym.make("Hopper-v5").unwrapped
        for name in NAMES:
            one = load(out / name).trajectories[0]
            assert len(one) > 3
            env.reset(seed=0)
            positions, velocities = env.data.qpos.copy(), env.data.qvel.copy()
            positions[1:], velocities[:] = one.observations[0][:5], one.observations[0][5:]
            env.set_state(positions, velocities)
            for step in range(3):
                after, reward, terminated, _, _ = env.step(one.actions[step])
                np.testing.assert_allclose(after, one.observations[step + 1], atol=1e-4)
                assert reward == pytest.approx(one.rewards[step], abs=1e-3)
                assert not terminated

    def test_replay_is_what_sac_played_and_learned_from(self, made):
        """Played here once more, without a stop."""
        out, _ = made
        training = begin(sac_run("Hopper", CONFIG, SEED))
        played, add = [], training.store.add
        training.store.add = lambda episode: played.append(episode) or add(episode)
        for _ in training.run(until=CONFIG.medium):
            pass
        kept = load(out / "hopper-medium-replay").trajectories
        assert len(kept) == len(played) > 2
        for one, other in zip(kept, played, strict=True):
            np.testing.assert_array_equal(one.observations, other.observations.astype(np.float32))
            np.testing.assert_array_equal(one.actions, other.actions)
            np.testing.assert_array_equal(one.rewards, other.rewards.astype(np.float32))
            assert one.terminated == other.terminated

    def test_of_a_longer_replay_some_episodes_are_taken(self, made, tmp_path):
        out, _ = made
        shutil.copytree(out / "sac-hopper", tmp_path / "sac-hopper")
        make("hopper-medium-replay", tmp_path, replace(CONFIG, steps=60), SEED)
        some, every = (load(folder / "hopper-medium-replay").trajectories for folder in (tmp_path, out))
        assert sum(map(len, some)) <= 60 < sum(map(len, every))
        assert 1 < len(some) < len(every)
        places = [
            next(k for k, other in enumerate(every) if np.array_equal(one.actions, other.actions)) for one in some
        ]
        assert places == sorted(set(places))

    def test_the_other_half_is_an_experts(self, made):
        out, _ = made
        medium, both = load(out / "hopper-medium").trajectories, load(out / "hopper-medium-expert").trajectories
        shared = 0
        while np.array_equal(medium[shared].rewards, both[shared].rewards):
            shared += 1
        first = sum(map(len, both[:shared]))
        assert 30 < first <= 60 < first + len(medium[shared])

    def test_one_training_serves_all(self, made):
        out, _ = made
        sac = out / "sac-hopper"
        kept = {path.name: checkpoint.load(path)["training"]["counts"] for path in sac.glob("checkpoint-*.pt")}
        assert {name: counts["total_steps"] for name, counts in kept.items()} == {
            "checkpoint-90.pt": 90,
            "checkpoint-130.pt": 130,
        }
        assert checkpoint.load(sac / "checkpoint.pt")["training"]["counts"] == kept["checkpoint-130.pt"]

    def test_it_is_told_what_it_came_to(self, made):
        out, told = made
        for name in NAMES:
            assert json.loads((out / f"{name}.recipe.json").read_text()) == told[name]
        whole = [one.rewards.sum() for one in load(out / "hopper-medium").trajectories if one.terminated]
        assert told["hopper-medium"]["return"] == pytest.approx(np.mean(whole))
        assert told["hopper-medium"]["score"] == normalized_score("BaggedHopper-v0", np.mean(whole))
        assert told["hopper-medium"]["medium"] == 90
        assert "expert" not in told["hopper-medium"]

    def test_made_again_it_is_left_as_it_is(self, made, capsys):
        out, told = made
        before = (out / "hopper-medium" / "main_data.hdf5").stat().st_mtime_ns
        assert make("hopper-medium", out, CONFIG, SEED) == told["hopper-medium"]
        assert (out / "hopper-medium" / "main_data.hdf5").stat().st_mtime_ns == before
        words = ["learner.hidden=[8,8]", *(f"training.{name}={value}" for name, value in CONFIG.training.items())]
        words += ["--steps", "120", "--medium", "90", "--expert", "130", "--seed", str(SEED), "--out", str(out)]
        assert cli.main(["dataset", "make", "hopper-medium", *words]) == 0
        assert "hopper-medium: 120 transitions" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("changes", "seed", "told"),
        [({}, 4, "seed=3, and this is 4"), ({"steps": 50}, SEED, "steps=120, and this is 50")],
    )
    def test_another_one_in_its_place_is_refused(self, made, changes, seed, told):
        config = RecipeConfig(**{**vars(CONFIG), **changes})
        with pytest.raises(ValueError, match=f"hopper-medium is there, made with {told}: choose another out"):
            make("hopper-medium", made[0], config, seed)

    def test_a_state_that_was_passed_and_not_kept_is_said(self, made):
        config = RecipeConfig(**{**vars(CONFIG), "medium": 100})
        (made[0] / "hopper-medium").rename(made[0] / "elsewhere")
        try:
            with pytest.raises(ValueError, match="its state after 100 was not kept: take one of 130, 90, or choose"):
                make("hopper-medium", made[0], config, SEED)
        finally:
            (made[0] / "elsewhere").rename(made[0] / "hopper-medium")


@pytest.mark.parametrize(("what", "step"), [("sac", 77), pytest.param("medium policy", 60, marks=pytest.mark.slow)])
def test_a_making_that_was_stopped_goes_on_to_the_bit(made, tmp_path, what, step):
    left = tmp_path / ".hopper-medium.0123.unfinished"
    left.mkdir()
    with stopped(what, step) as watch, pytest.raises(KeyboardInterrupt):
        make("hopper-medium", tmp_path, CONFIG, SEED, 30, watch)
    assert not (tmp_path / "hopper-medium").exists()
    make("hopper-medium", tmp_path, CONFIG, SEED, 30)
    assert digests(tmp_path / "hopper-medium") == digests(made[0] / "hopper-medium")
    assert not left.exists()


def test_without_minari_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(gym.error.DependencyNotInstalled, match="datasets need Minari"):
        make("hopper-medium", tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_make_one(tmp_path):
    with lease(tmp_path / "sac-hopper"), pytest.raises(Taken):
        make("hopper-medium", tmp_path, CONFIG)


def test_an_episode_that_was_cut_has_no_return():
    cut, fallen = trajectory([1] * 5, terminated=False), trajectory([1] * 3, terminated=True)
    space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    found = summary("Hopper", Dataset((fallen, cut), space, space, "some/dense-v0"))
    assert found["return"] == pytest.approx(fallen.rewards.sum())
    limited = trajectory([1] * 1000, terminated=False)  # Hopper's time limit
    found = summary("Hopper", Dataset((fallen, cut, limited), space, space, "some/dense-v0"))
    assert found["return"] == pytest.approx((fallen.rewards.sum() + limited.rewards.sum()) / 2)
    assert summary("Hopper", Dataset((cut,), space, space, "some/dense-v0"))["score"] is None


def test_what_does_not_matter_to_a_dataset_is_not_told_of_it():
    run = sac_run("Hopper", CONFIG, SEED)
    told = described(RECIPES["hopper-medium"], CONFIG, run)
    assert told == described(RECIPES["hopper-medium"], RecipeConfig(**{**vars(CONFIG), "expert": 999}), run)
    assert json.loads(json.dumps(told)) == told


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"steps": 0}, "steps must be an int of at least 1, got 0"),
            ({"expert": 90}, "expert must be more steps than medium=90, got 90"),
            ({"training": {"capacity": 80}}, "training.capacity must hold medium=90 steps, got 80"),
            ({"training": {"batch": 8}}, "A setting of training must be one of .*got 'batch'"),
            ({"learner": {"hiden": (8,)}}, "A setting of 'sac' must be one of .*got 'hiden'"),
        ],
    )
    def test_numbers(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            RecipeConfig(**{**vars(CONFIG), **wrong})

    def test_names_and_settings(self, tmp_path, capsys):
        assert cli.main(["dataset", "make", "hopper-mediun", "--out", str(tmp_path)]) == 2
        assert "recipe must be one of" in capsys.readouterr().err
        assert cli.main(["dataset", "make", "hopper-medium", "bag_len=3", "--out", str(tmp_path)]) == 2
        assert "settings must begin with learner. or training., got bag_len" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


def test_they_are_listed(capsys):
    assert cli.main(["dataset", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "walker2d-medium-expert: medium and expert of Walker2d" in lines
    assert len(lines) == 9
