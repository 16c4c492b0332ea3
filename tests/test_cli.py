"""The command line, run as a user runs it: what it prints, and its exit code."""

import csv
import itertools
import sys

import gymnasium as gym
import pytest

import bagged_envs
from bagged_envs import check
from bagged_envs.cli import main
from bagged_envs.tasks import TASKS
from bagged_envs.testing import ScriptedEnv, episode

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line; return its exit code and what it wrote, as wide as it needs."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


class TestList:
    def test_it_lists_every_id_one_per_line_where_the_output_is_no_terminal(self, run):
        status, out, _ = run("list")
        assert status == 0
        assert out.splitlines() == bagged_envs.list_ids()

    def test_a_table_for_terminals(self, run, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        status, out, _ = run("list", "--tag", "balance", "--variant", "Sparse")
        assert status == 0
        assert "SparseInvertedPendulum-v0" in out
        assert "a cart balances a pole" in out
        assert "2 IDs" in out

    def test_filters(self, run):
        _, out, _ = run("list", "--suite", "mujoco", "--variant", "Bagged")
        assert out.splitlines() == bagged_envs.list_ids(suite="mujoco", variant="Bagged")

    @pytest.mark.parametrize("option", ["suite", "variant", "tag"])
    def test_an_unknown_filter_is_one_clear_line(self, run, option):
        status, _, err = run("list", f"--{option}", "nonesuch")
        assert status == 2
        assert err.startswith(f"bagged-envs: {option} must be one of")
        assert "'nonesuch'" in err


class TestDescribe:
    def test_everything_there_is_to_know(self, run):
        status, out, _ = run("describe", "SparseHalfCheetah-v0")
        assert status == 0
        for said in (
            "SparseHalfCheetah-v0[success='distance', threshold=50.0]",
            "1000 steps",
            "final x position of the body (info['x_position'], in m) >= 50.0",
            "LaRe",
            "threshold=500",
            "reward_forward, reward_ctrl, x_velocity",
            "Box(-inf, inf, (17,), float64)",
            "Box(-1.0, 1.0, (6,), float32)",
            'pip install "bagged_envs[mujoco]"',
            f"gymnasium {gym.__version__}",
            "mujoco 3.",
        ):
            assert said in out

    def test_the_resolved_schedule(self, run):
        _, out, _ = run("describe", "BaggedWalker2d-v0", "--bag-len", "5")
        assert "BaggedWalker2d-v0[bag_len=5]" in out

    def test_what_cannot_load_here_says_why(self, run, monkeypatch):
        def missing(name):
            raise ImportError(f"no module of {name}")

        monkeypatch.setattr("bagged_envs.entry_points.load_env_creator", missing)
        status, out, _ = run("describe", "BaggedCheetahRun-v0")
        assert status == 0
        assert "cannot load here" in out
        assert 'CheetahRun needs dm_control: pip install "bagged_envs[dmc]"' in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["BaggedWalkr2d-v0"], "BaggedWalker2d"),
            (["CartPole-v1"], "'CartPole-v1'"),
            (["BaggedWalker2d-v0", "--bag-len", "0"], "bag_len must lie between 1 and 2**53 steps, got 0."),
        ],
    )
    def test_a_wrong_call_is_one_clear_line(self, run, arguments, said):
        status, _, err = run("describe", *arguments)
        assert status == 2
        assert err.startswith("bagged-envs: ")
        assert said in err
        assert "Traceback" not in err


class TestCheck:
    def test_an_id_that_passes(self, run):
        status, out, _ = run("check", "BaggedReacher-v0")
        assert status == 0
        assert "1 passed, 0 failed, 0 could not load" in out

    def test_an_id_that_a_module_in_the_current_folder_registers(self, run, tmp_path, monkeypatch):
        code = 'import bagged_envs\nbagged_envs.register_task("Pendulum-v1", name="Elsewhere", max_episode_steps=9)\n'
        (tmp_path / "my_elsewhere.py").write_text(code)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.path", list(sys.path))
        status, out, _ = run("check", "my_elsewhere:BaggedElsewhere-v0")
        assert status == 0
        assert "1 passed, 0 failed, 0 could not load" in out

    def test_an_unknown_id(self, run):
        status, _, err = run("check", "BaggedReachr-v0")
        assert status == 2
        assert "BaggedReacher" in err

    @pytest.mark.parametrize("workers", ["0", "-1"])
    def test_workers_must_be_positive(self, run, workers):
        status, _, err = run("check", "BaggedReacher-v0", "--workers", workers)
        assert status == 2
        assert f"workers must be an int of at least 1, got {workers}" in err

    def test_a_failure_is_reported_with_its_reason(self, monkeypatch):
        class Odd(ScriptedEnv):
            def reset(self, **arguments):
                observation, info = super().reset(**arguments)
                return observation * next(counter), info

        counter = itertools.count(1)
        monkeypatch.setattr(gym.envs.registration, "registry", gym.registry.copy())
        monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
        monkeypatch.setattr("bagged_envs.registration.TASKS", TASKS.copy())
        for place in ("entry_points", "user_tasks"):
            monkeypatch.setattr(f"bagged_envs.{place}.TASKS", bagged_envs.registration.TASKS)
        gym.register("tests/Odd-v0", Odd, max_episode_steps=9, kwargs={"script": [episode([1.0, 2.0])]})
        bagged_envs.register_task("tests/Odd-v0", name="Odd")
        result = check.check_id("BaggedOdd-v0")
        assert result.outcome == check.FAILED
        assert "AssertionError" in result.reason

    def test_an_unexpected_warning_of_check_env_is_a_failure(self, monkeypatch):
        monkeypatch.setattr(check, "EXPECTED_WARNINGS", ())
        result = check.check_id("BaggedReacher-v0")
        assert result.outcome == check.FAILED
        assert "check_env warned" in result.reason

    @pytest.mark.parametrize(
        ("id", "outcome"), [("BaggedQuadrupedEscape-v0", check.NOT_LOADED), ("BaggedReacher-v0", check.FAILED)]
    )
    def test_only_a_task_that_needs_more_than_packages_may_fail_to_load_at_its_reset(self, monkeypatch, id, outcome):
        def broken(*_, **__):
            raise RuntimeError("No OpenGL rendering backend is available.")

        monkeypatch.setattr("bagged_envs.wrappers.DelayedReward.reset", broken)
        result = check.check_id(id)
        assert result.outcome == outcome
        assert "No OpenGL rendering backend is available." in result.reason

    def test_a_missing_package_is_no_failure(self, monkeypatch):
        def missing(name):
            raise ImportError(f"no module of {name}")

        monkeypatch.setattr("bagged_envs.entry_points.load_env_creator", missing)
        result = check.check_id("BaggedReacher-v0")
        assert result.outcome == check.NOT_LOADED
        assert 'pip install "bagged_envs[mujoco]"' in result.reason

    def test_the_exit_code_and_the_counts_of_several(self, monkeypatch, capsys):
        from rich.console import Console

        outcomes = {"BaggedReacher-v0": check.PASSED, "BaggedPusher-v0": check.FAILED, "BaggedAnt-v0": check.NOT_LOADED}

        class Pool:
            def __init__(self, *_):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                return None

            def submit(self, _, id, full):
                from concurrent.futures import Future

                future = Future()
                future.set_result(check.Result(id, outcomes[id], f"why {id}"))
                return future

        monkeypatch.setattr(check, "ProcessPoolExecutor", Pool)
        assert check.check_ids(list(outcomes), False, 2, Console(width=200)) == 1
        out = capsys.readouterr().out
        assert "BaggedPusher-v0[bag_len=20] failed: why BaggedPusher-v0" in out
        assert "BaggedAnt-v0[bag_len=20] could not load: why BaggedAnt-v0" in out
        assert "why BaggedReacher-v0" not in out
        assert "1 passed, 1 failed, 1 could not load" in out


def test_help_names_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    for command in ("list", "describe", "check", "demo"):
        assert command in out


def test_an_unknown_command_exits_with_2(run):
    status, _, _ = run("nonesuch")
    assert status == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "deep" / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bagged_envs.demo.learning.WORKERS", 1)  # they take longer to start than to train
        assert main(["demo", "--out", str(folder), "--quick"]) == 0
    return folder


class TestDemo:
    @staticmethod
    def rows(file):
        with file.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def test_late_rewards_agree_with_dense_ones_to_the_bit(self, folder):
        rows = self.rows(folder / "agreement.csv")
        assert [row["environment"] for row in rows] == [
            "BaggedWalker2d-v0[bag_len=20]",
            "BaggedWalker2d-v0[bag_len=(5, 15)]",
            "EpisodicWalker2d-v0[bag_len=None]",
        ]
        for row in rows:
            assert float(row["difference"]) == 0.0
            assert row["paid"] == row["dense"]
            assert int(row["steps"]) > int(row["bags"]) >= int(row["episodes"]) == 2

    def test_the_same_episode_in_four_variants(self, folder):
        rows = self.rows(folder / "timeline.csv")
        by_environment = {}
        for row in rows:
            by_environment.setdefault(row["environment"], []).append(row)
        assert len(by_environment) == 4
        dense = [[row["dense_reward"] for row in steps] for steps in by_environment.values()]
        assert all(one == dense[0] for one in dense)
        shown = [sum(row["reward_observed"] == "True" for row in steps) for steps in by_environment.values()]
        assert shown[0] == 12  # 240 steps in bags of 20
        assert 10 < shown[1] < 40  # a tenth of the steps
        assert shown[2:] == [1, 1]
        assert by_environment["SparseSwimmer-v0[success='distance', threshold=1.0]"][-1]["paid"] == "1.0"

    def test_learning_is_written_and_the_picture_is_one(self, folder):
        rows = self.rows(folder / "learning.csv")
        assert [row["reward"].split()[0] for row in rows] == [
            "dense",
            "BaggedInvertedPendulum-v0",
            "EpisodicInvertedPendulum-v0",
        ]
        assert all(1.0 <= float(row["dense_return"]) <= 1000.0 for row in rows)
        assert (folder / "demo.png").read_bytes().startswith(PNG)

    def test_a_file_in_the_way_is_one_clear_line(self, run, tmp_path):
        file = tmp_path / "taken"
        file.write_text("")
        status, _, err = run("demo", "--quick", "--out", str(file))
        assert status == 2
        assert f"out must be a folder, got the file {file}" in err
