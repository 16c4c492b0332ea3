"""The documents: generated pages are fresh, examples run, links lead somewhere."""

import csv
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.error import NameNotFound
from gymnasium.utils.env_checker import check_env

import bagged_envs
from bagged_envs.baselines import redistributors
from bagged_envs.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("environments/*.md"), *ROOT.glob("*.md")])
sys.path.append(str(DOCS))  # where the generator finds its other files, as when it is run


def load(file):
    """Import a file of the documents, which are no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script, *arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, DOCS / "examples" / script, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, tmp_path, capsys):
    """Runs a script in this process, which has imported already what takes seconds; returns what it said."""

    def run_here(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        capsys.readouterr()
        runpy.run_path(str(DOCS / "examples" / script), run_name="__main__")
        return capsys.readouterr().out

    return run_here


class TestGenerated:
    @pytest.fixture
    def generate(self):
        return load(DOCS / "generate.py")

    def test_no_page_is_stale(self, generate):
        assert generate.stale() == [], "run python docs/generate.py"

    def test_a_page_that_is_stale_is_found_and_made_anew(self, generate, monkeypatch, tmp_path, capsys):
        page = tmp_path / "docs" / "concepts.md"
        page.parent.mkdir()
        page.write_text(generate.CONCEPTS.read_text().replace("| 3 | 4.0 | 7.0 |", "| 3 | 4.0 | 6.0 |"))
        monkeypatch.setattr(generate, "DOCS", page.parent)
        monkeypatch.setattr(generate, "CONCEPTS", page)
        monkeypatch.setattr(generate, "PAGES", {page: generate.concepts})
        assert generate.main(["--check"]) == 1
        assert "docs/concepts.md is stale" in capsys.readouterr().err
        assert "| 3 | 4.0 | 6.0 |" in page.read_text()
        assert generate.main([]) == 0
        assert page.read_text() == (DOCS / "concepts.md").read_text()
        assert generate.main(["--check"]) == 0

    def test_a_table_that_is_missing_is_an_error(self, generate, monkeypatch, tmp_path):
        page = tmp_path / "concepts.md"
        page.write_text(generate.CONCEPTS.read_text().replace("generated: sparse", "generated: spare"))
        monkeypatch.setattr(generate, "CONCEPTS", page)
        with pytest.raises(ValueError, match="'sparse'.*got.*'spare'"):
            generate.concepts()

    def test_figures_have_two_or_three_digits(self, generate):
        figure = generate.outcomes.figure
        assert figure([0.5, 0.7]) == "0.60 ± 0.1"
        assert figure([0.0123]) == "0.012"
        assert figure([700.0, 827.0]) == "764 ± 90"
        assert figure([7000.0, 9000.0]) == "8,000 ± 1,000"
        assert figure([1e-4, 1e-4 + 8e-6]) == "0.0001 ± 6e-06"
        assert figure([1234.5, 1234.5]) == "1,234"
        assert figure([3e-8, -2e-8]) == "0"
        assert figure([float("nan"), 2.0]) == "2.00"
        assert figure([float("nan")]) == "–"
        assert figure([0.5, 0.7], deviation=False) == "0.60"

    def test_scores_are_means_over_seeds_of_the_bags_fitted(self, generate):
        rows = [row for row in generate.outcomes.judged("BaggedReacher-v0") if row["method"] == "rd"]
        own = [row["pearson"] for row in rows if row["scored_on"] == row["fitted_on"]]
        assert len(own) == 3 < len(rows)
        (line,) = [line for line in generate.outcomes.scores("BaggedReacher-v0").splitlines() if "| rd |" in line]
        assert f"| {sum(own) / 3:.2f} ± " in line

    def test_every_task_of_the_tables_has_a_measured_random_policy(self):
        with (DOCS / "random_policy.csv").open(newline="") as stream:
            rows = {row["task"]: row for row in csv.DictReader(stream)}
        suites = load(DOCS / "random_policy.py").SUITES
        expected = [task.name for task in TASKS.values() if task.suite in suites]
        assert list(rows) == expected
        for row in rows.values():
            assert int(row["episodes"]) >= 5 or row["reason"]

    @pytest.mark.parametrize("task", ["Reacher", "SimpleSpread", "TriangleArea", "KeyDoor", "PocketWatch"])
    def test_the_random_policy_is_measured_as_its_script_says(self, task):
        """Cheap tasks again, with the versions that the file was made with."""
        script = load(DOCS / "random_policy.py")
        recorded = script.read()[task]
        measured = script.measure(TASKS[task], 20)
        if recorded.engine != measured.engine:
            pytest.skip(f"made with {recorded.engine}, here is {measured.engine}")
        for name in ("mean_steps", "mean_return", "sd_return", "mean_measure", "success_rate"):
            then, now = getattr(recorded, name), getattr(measured, name)
            assert (then == now == "") or float(then) == pytest.approx(float(now), rel=1e-4), name

    def test_a_picture_that_is_missing_is_found_and_drawn(self, generate, monkeypatch, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        monkeypatch.setattr(generate, "DOCS", tmp_path / "docs")
        monkeypatch.setattr(generate, "PAGES", {})
        monkeypatch.setattr(generate.pages, "PICTURES", tmp_path / "docs" / "pictures")
        monkeypatch.setattr(generate.pages, "TASKS", {"KeyDoor": TASKS["KeyDoor"]})
        assert generate.main(["--check"]) == 1
        assert "docs/pictures/key_door.png is stale" in capsys.readouterr().err
        assert generate.main([]) == 0
        assert generate.main(["--check"]) == 0
        assert (tmp_path / "docs" / "pictures" / "key_door.png").stat().st_size > 500

    def test_pictures_are_small_and_none_is_left_over(self, generate):
        pictures = list(generate.pages.PICTURES.iterdir())
        assert set(pictures) == set(map(generate.pages.picture_of, generate.pages.TASKS.values()))
        assert max(picture.stat().st_size for picture in pictures) < 60_000

    def test_the_totals_are_those_of_the_registry(self, generate):
        suites = load(DOCS / "random_policy.py").SUITES
        ids = [id for suite in suites for id in bagged_envs.list_ids(suite=suite)]
        count = sum(task.suite in suites for task in TASKS.values())
        said = f"{count} tasks in up to four variants are {len(ids)} IDs"
        assert said in generate.tasks()
        assert f"{count} tasks in up to four variants, {len(ids)} IDs" in (ROOT / "README.md").read_text()

    def test_optimal_returns_are_those_of_the_docstrings(self, generate):
        pages = generate.pages
        for name, optimal in pages.OPTIMAL.items():
            reward = " ".join(pages.sections(pages.docstring_of(TASKS[name]))["Reward"].split())
            said = re.search(r"optimal (?:expected )?return is ([\d.]+\d|\d)( \* delay for an even delay)?", reward)
            assert float(said[1]) * (TASKS[name].kwargs["delay"] if said[2] else 1) == optimal, name

    def test_every_section_of_a_docstring_and_every_argument_is_shown(self, generate):
        pages = generate.pages
        shown = {"", "Description", "Observation", "Action", "Reward", "Termination", "Episode", "Policies"}
        shown |= {"Arguments", "Info", "Source", "Example"}
        for task in (task for task in pages.TASKS.values() if task.ours):
            said = pages.sections(pages.docstring_of(task))
            assert set(said) <= shown, task.name
            arguments = set(pages.meanings(said["Arguments"])) - {"num_envs", "render_mode"}
            assert arguments == set(task.kwargs) - {"opponents"}, task.name


class TestShift:
    """The simulator that already pays late."""

    @pytest.fixture
    def shift(self):
        return load(DOCS / "examples" / "shift.py")

    @staticmethod
    def play(env, seed):
        env.action_space.seed(seed)
        env.reset(seed=seed)
        steps, over = [], False
        while not over:
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            steps.append((reward, info["bag_end"], info["shipped"]))
            over = terminated or truncated
        return steps

    def test_it_is_a_gymnasium_environment(self, shift):
        env = shift.ShiftEnv()
        check_env(env, skip_render_check=True)

    def test_bags_are_orders_and_cover_all_480_minutes(self, shift):
        for seed in range(5):
            steps = self.play(shift.make(), seed)
            assert len(steps) == 480
            ends = [t for t, (_, end, _) in enumerate(steps, 1) if end]
            assert ends[-1] == 480
            assert ends[:-1] == [t for t, (_, _, shipped) in enumerate(steps, 1) if shipped and t < 480]
            assert len(set(np.diff([0, *ends]))) > 2  # lengths are irregular

    def test_rewards_are_left_alone_and_come_at_borders_only(self, shift):
        declared = self.play(shift.make(), 3)
        env = shift.ShiftEnv()
        env.action_space.seed(3)
        env.reset(seed=3)
        plain = [env.step(env.action_space.sample())[1] for _ in range(480)]
        assert [reward for reward, _, _ in declared] == plain
        assert all(reward == 0.0 for reward, end, _ in declared if not end)
        assert sum(reward != 0.0 for reward, _, _ in declared) >= 5

    def test_a_callable_finds_the_borders_that_the_info_key_does(self, shift):
        by_callable = shift.DeclaredBags(shift.ShiftEnv(), closes=lambda observation, info: info["shipped"])
        assert self.play(by_callable, 3) == self.play(shift.make(), 3)

    def test_every_order_is_paid_its_price_less_its_energy(self, shift):
        """Always slow and no breakdown: an order of n units takes n minutes, pays n / 2 and costs n / 10."""
        env = shift.make()
        env.reset(seed=1)
        env.unwrapped.wear = (0.0, 0.0, 0.0)
        length = 0
        for _ in range(480):
            _, reward, _, truncated, info = env.step(1)
            length += 1
            if info["shipped"]:
                assert reward == pytest.approx(0.4 * length)
            elif truncated:
                assert reward == pytest.approx(-0.1 * length)
            if info["bag_end"]:
                length = 0

    def test_the_script_runs(self, tmp_path):
        result = run("shift.py", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert sum(int(n) for n in re.findall(r"a bag of (\d+) minutes paid", result.stdout)) == 480


def test_a_redistributor_of_ones_own_keeps_what_it_must(here, monkeypatch):
    monkeypatch.setattr(redistributors, "REDISTRIBUTORS", dict(redistributors.REDISTRIBUTORS))
    assert here("own_redistributor.py") == "ridge keeps what a redistributor promises\n"
    assert "ridge" in redistributors.REDISTRIBUTORS


class TestRecipes:
    @pytest.mark.slow
    def test_stable_baselines3_as_the_page_says(self, tmp_path):
        chosen = ("--id", "EpisodicInvertedPendulum-v0", "--out", "logs")
        result = run("sb3_eval.py", "--timesteps", "1024", *chosen, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert float(re.search(r"last dense return: ([\d.]+)", result.stdout)[1]) >= 1.0
        assert (tmp_path / "logs" / "evaluations.npz").exists()

    def test_stable_baselines3_with_arguments(self, here, tmp_path):
        said = here("sb3_eval.py", "--timesteps", "1024", "--out", "logs", "--bag-len", "10")
        assert float(re.search(r"last dense return: ([\d.]+)", said)[1]) >= 1.0
        assert (tmp_path / "logs" / "evaluations.npz").exists()

    @pytest.mark.parametrize("script", ["sb3_eval.py", "sb3_bag_replay_buffer.py"])
    def test_an_unknown_id_is_said_before_anything_is_built(self, here, tmp_path, script):
        with pytest.raises(NameNotFound, match="BaggedNone"):
            here(script, "--id", "BaggedNone-v0")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_stable_baselines3_on_redistributed_rewards_skips_what_it_has(self, here, tmp_path):
        chosen = ["--id", "BaggedInvertedPendulum-v0", "--timesteps", "150", "--learning-starts", "50"]
        chosen += ["--eval-every", "75", "--eval-episodes", "1", "--out", "rows.csv"]
        written = []
        for methods in (["plain"], ["plain", "uniform"]):
            said = here("sb3_bag_replay_buffer.py", *chosen, "--methods", *methods, "--seeds", "0")
            with (tmp_path / "rows.csv").open(newline="") as stream:
                written.append(list(csv.DictReader(stream)))
        assert written[1][:2] == written[0]
        runs = [(row["method"], int(row["seed"]), int(row["step"])) for row in written[1]]
        expected = [(m, 0, step) for m in ("plain", "uniform") for step in (75, 150)]
        assert runs == expected
        assert all(float(row["return"]) >= 1.0 for row in written[1])
        assert said.count("last dense return") == 1
        with pytest.raises(SystemExit, match=r"\('BaggedInvertedPendulum-v0', 'plain', 0\) .* up to step 150, not 300"):
            here("sb3_bag_replay_buffer.py", *chosen, "--timesteps", "300")

    def test_the_loop_in_one_file(self, here):
        said = here("cleanrl_loop.py", "--total-timesteps", "1024", "--num-steps", "64")
        assert float(re.search(r"dense return: ([\d.]+)", said)[1]) >= 1.0

    @pytest.mark.slow
    def test_the_loop_in_one_file_learns(self, tmp_path):
        result = run("cleanrl_loop.py", cwd=tmp_path)
        assert float(re.search(r"dense return: ([\d.]+)", result.stdout)[1]) > 900.0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    included = re.findall(r"```\{literalinclude\} (\S+)", page.read_text())
    relative = [link for link in [*links, *included] if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in relative if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("folder", [DOCS, DOCS / "environments"], ids=["docs", "environments"])
def test_every_page_is_in_the_table_of_contents(folder):
    trees = re.findall(r"```\{toctree\}.*?```", (folder / "index.md").read_text(), re.DOTALL)
    listed = [name for tree in trees for name in tree.split()]
    assert {page.stem for page in folder.glob("*.md")} - {"index"} <= set(listed)
