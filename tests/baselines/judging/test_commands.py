"""`bagged-envs redistribute` and `bagged-envs diagnose`, as a user runs them."""

import csv
import dataclasses
import math
import statistics
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.judging import redistribute, report
from bagged_envs.baselines.judging.recordings import RecordingConfig
from bagged_envs.baselines.latent_rewards.cage import seccomp
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from bagged_envs.cli import main
from bagged_envs.trajectory_file import save_trajectories
from tests.baselines.judging.episodes import episodes
from tests.baselines.programs import program_of

PNG = b"\x89PNG\r\n\x1a\n"
ID, QUICK = "BaggedHiddenDoor-v0", ("--steps", "400", "--episodes", "8", "--updates", "5")


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command line; return its exit code and what it wrote."""
    monkeypatch.setenv("BAGGED_ENVS_CACHE", str(tmp_path / "cache"))

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.npz"
    save_trajectories(path, [dataclasses.replace(one, extras={}) for one in episodes(20)])
    return path


def test_updates_are_whole_numbers():
    row = {**dict.fromkeys(redistribute.HEADINGS, 0.5), "method": "rd", "refused": ""}
    for updates, shown in ((2000, "2,000"), (12345.0, "12,345"), (0, "0"), (math.nan, "-")):
        made = redistribute.table([{**row, "updates": updates}], "title")
        assert list(made.columns[-1].cells) == [shown]


class TestRedistribute:
    def test_a_table_with_a_row_for_each_method_and_the_same_in_a_file(self, run, tmp_path):
        out = tmp_path / "rows.csv"
        status, text, _ = run("redistribute", ID, *QUICK, "--methods", "uniform", "rd", "--seeds", 2, "--out", out)
        assert status == 0
        assert "BaggedHiddenDoor-v0: fitted on bag_len=20, scored on bag_len=20" in text
        for heading in ("abs. error", "Spearman", "return-to-go", "EPIC", "bag residual", "s/update", "regret"):
            assert heading in text
        assert "Regret is of an optimal return of 3; random actions have a regret of 2.3." in text
        rows = read_rows(out)
        assert [(row["method"], row["seed"]) for row in rows] == [
            ("uniform", "0"), ("rd", "0"), ("uniform", "1"), ("rd", "1"),
        ]  # fmt: skip
        mean = (float(rows[1]["absolute_error"]) + float(rows[3]["absolute_error"])) / 2
        assert f"{mean:.3g} ±" in text

    def test_a_method_that_is_named_twice_counts_once(self, run, tmp_path, data):
        out = tmp_path / "rows.csv"
        _, text, _ = run("redistribute", ID, *QUICK, "--methods", "uniform", "uniform", "--seeds", 2, "--out", out)
        assert len(read_rows(out)) == 2
        found = [float(row["absolute_error"]) for row in read_rows(out)]
        assert f"± {statistics.stdev(found):.3f}"[:6] in text
        _, text, _ = run("diagnose", data, "--methods", "rd", "rd", "--updates", 5, "--bootstraps", 0)
        assert text.count("│ rd ") == 1

    def test_wrong_seeds_are_named(self, run, data):
        for words in (("redistribute", ID, *QUICK), ("diagnose", data)):
            status, _, error = run(*words, "--seed", -1)
            assert status == 2
            assert "seed must be an int from 0" in error

    def test_all_methods_without_a_choice_and_how_the_error_ranks_them(self, run, monkeypatch):
        kinds = {name: REDISTRIBUTORS[name] for name in ("uniform", "rd", "rrd", "rudder")}
        monkeypatch.setattr(redistribute, "REDISTRIBUTORS", kinds)
        _, text, _ = run("redistribute", ID, *QUICK, "--seeds", 1)
        assert all(f"│ {name} " in text for name in kinds)
        assert "(Spearman over so many methods): abs. error" in " ".join(text.split())

    def test_methods_over_factors_are_among_all_where_there_is_a_program(self, run, tmp_path, monkeypatch):
        kinds = {name: REDISTRIBUTORS[name] for name in ("uniform", "lare_rd", "reward_design")}
        monkeypatch.setattr(redistribute, "REDISTRIBUTORS", kinds)
        _, text, _ = run("redistribute", ID, *QUICK, "--seeds", 1, "--out", tmp_path / "rows.csv")
        assert [name for name in kinds if f"│ {name} " in text] == ["uniform", "lare_rd"]
        _, text, _ = run("redistribute", "BaggedKeyDoor-v0", *QUICK, "--seeds", 1)
        assert [name for name in kinds if f"│ {name} " in text] == ["uniform"]
        _, text, _ = run("redistribute", ID, *QUICK, "--seeds", 1, "--factors", program_of("reward_design")["factors"])
        assert [name for name in kinds if f"│ {name} " in text] == ["uniform", "lare_rd", "reward_design"]

    def test_where_programs_cannot_be_caged_others_are_judged(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr(seccomp, "available", lambda: False)
        mine = tmp_path / "mine.txt"
        mine.write_text(Path(program_of("lare_rd")["factors"]).read_text() + f"# of {tmp_path}\n")
        call = ("redistribute", ID, *QUICK, "--seeds", 1, "--methods", "lare_rd", "uniform", "--factors", mine)
        status, text, _ = run(*call)
        assert status == 0
        assert "lare_rd refused: programs must run behind a lock of the kernel" in text
        assert "│ uniform " in text
        with pytest.warns(RuntimeWarning, match="without the kernel's lock"):
            _, text, _ = run(*call, "--allow-weaker-sandbox")
        assert "refused" not in text

    def test_a_program_that_cannot_be_read_is_said_at_once(self, run, monkeypatch):
        monkeypatch.setattr(redistribute, "make_case", None)
        status, _, error = run("redistribute", ID, "--methods", "rd", "--factors", "nothing.txt")
        assert status == 2
        assert "nothing.txt" in error

    def test_another_program_is_another_row(self, run, tmp_path, monkeypatch):
        out, mine = tmp_path / "rows.csv", tmp_path / "mine.txt"
        mine.write_text(Path(program_of("lare_rd")["factors"]).read_text())
        call = ("redistribute", ID, *QUICK, "--seeds", 1, "--methods", "lare_rd", "--out", out)
        run(*call)
        run(*call, "--factors", mine)
        mine.write_text(mine.read_text() + "# other\n")
        run(*call, "--factors", mine)
        monkeypatch.setattr(redistribute, "judge", None)
        run(*call, "--factors", mine)
        assert len({row["settings"] for row in read_rows(out)}) == len(read_rows(out)) == 3

    def test_finished_methods_are_not_run_again(self, run, tmp_path, monkeypatch):
        call = ("redistribute", ID, *QUICK, "--seeds", 1, "--out", tmp_path / "rows.csv", "--methods", "uniform")
        _, first, _ = run(*call)
        calls, judge = [], redistribute.judge
        monkeypatch.setattr(redistribute, "judge", lambda *a: calls.append(a[0]) or judge(*a))
        _, second, _ = run(*call)
        assert calls == []
        assert second == first
        run(*call, "rd")
        assert calls == ["rd"]
        run(*call, "--updates", "6")
        assert calls == ["rd", "uniform"]

    def test_other_shifts_are_added_to_what_is_there(self, run, tmp_path, monkeypatch):
        out = tmp_path / "rows.csv"
        call = ("redistribute", ID, *QUICK, "--methods", "rd", "--seeds", 1, "--out", out, "--shift")
        run(*call, 5)
        before = out.read_text()
        run(*call, 5, 10)
        assert out.read_text().startswith(before)
        assert [row["scored_on"] for row in read_rows(out)] == ["bag_len=20", "bag_len=5", "bag_len=10"]
        monkeypatch.setattr(redistribute, "judge", None)
        run(*call, 10, 5)
        _, text, _ = run(*call, 10, 10)
        assert len(read_rows(out)) == 3
        assert "scored on bag_len=5" not in text
        assert text.count("│ rd ") == 2

    @pytest.mark.parametrize("left", [1.0, 0.99, 0.4, 0.01])
    def test_an_interrupted_write_is_made_up_for(self, run, tmp_path, left):
        out = tmp_path / "rows.csv"
        call = ("redistribute", ID, *QUICK, "--methods", "uniform", "--seeds", 1, "--out", out, "--shift", 5)
        run(*call)
        whole = out.read_bytes()
        out.write_bytes(whole[: int(left * len(whole))])
        _, text, _ = run(*call)
        assert out.read_bytes() == whole
        assert text.count("│ uniform ") == 2

    def test_rows_that_stand_there_twice_count_once(self, run, tmp_path, monkeypatch):
        out = tmp_path / "rows.csv"
        call = ("redistribute", ID, *QUICK, "--methods", "uniform", "--seeds", 1, "--out", out)
        _, first, _ = run(*call)
        with out.open("a") as file:
            file.write(out.read_text().splitlines(keepends=True)[1])
        monkeypatch.setattr(redistribute, "judge", None)
        _, second, _ = run(*call)
        assert second == first

    @pytest.mark.parametrize("text", ["a,b\n1,2\n", "notes", "id,recording\n"])
    def test_another_table_is_refused_before_anything_is_done_to_it(self, run, tmp_path, monkeypatch, text):
        out = tmp_path / "rows.csv"
        out.write_text(text)
        monkeypatch.setattr(redistribute, "make_case", None)
        status, _, err = run("redistribute", ID, *QUICK, "--out", out)
        assert status == 2
        assert "out must be a table with columns id,recording," in err
        assert out.read_text() == text

    def test_another_version_is_not_believed(self, run, tmp_path, monkeypatch):
        out = tmp_path / "rows.csv"
        call = ("redistribute", ID, *QUICK, "--methods", "uniform", "--seeds", 1, "--out", out)
        run(*call)
        monkeypatch.setattr("bagged_envs.__version__", "99.0")
        run(*call)
        assert [row["version"] for row in read_rows(out)][1:] == ["99.0"]

    def test_shifted_bags_have_tables_of_their_own(self, run):
        _, text, _ = run("redistribute", ID, *QUICK, "--methods", "uniform", "--seeds", 1, "--shift", 5, 100)
        for length in (20, 5, 100):
            assert f"fitted on bag_len=20, scored on bag_len={length}" in text

    def test_shifted_bags_keep_the_other_arguments(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BAGGED_ENVS_CACHE", str(tmp_path))
        arguments, config = {"aggregate": "mean", "label_fraction": 0.5}, RecordingConfig(steps=400, episodes=8)
        rows = redistribute.run_redistribute(ID, arguments, ["uniform"], [0], 5, config, [5], None, Console(quiet=True))
        assert [row["scored_on"] for row in rows] == [
            "bag_len=20, aggregate='mean', label_fraction=0.5",
            "bag_len=5, aggregate='mean', label_fraction=0.5",
        ]

    def test_another_bag_length(self, run):
        _, text, _ = run("redistribute", ID, *QUICK, "--methods", "uniform", "--seeds", 1, "--bag-len", 7)
        assert "fitted on bag_len=7" in text

    def test_a_refusal_is_listed_with_its_reason(self, run, monkeypatch):
        def refuse(name, *rest, **settings):
            raise ValueError("these bags are not for me")

        monkeypatch.setattr("bagged_envs.baselines.judging.judge.fit", refuse)
        status, text, _ = run("redistribute", ID, *QUICK, "--methods", "rd", "--seeds", 1)
        assert status == 0
        assert "rd refused: these bags are not for me" in text
        assert "refused, see below" in text

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("SparseHiddenDoor-v0", *QUICK), "pays by success"),
            (("BaggedNonesuch-v0", *QUICK), "BaggedNonesuch"),
            ((ID, *QUICK, "--methods", "rdd"), "Did you mean 'rd'"),
            (("BaggedReacher-v0", "--steps", "1000"), "got 1000 with random_steps=1000"),
            ((ID, "--steps", "0"), "steps must be an int of at least 1"),
            ((ID, *QUICK, "--seeds", "0"), "seeds must be an int of at least 1"),
            ((ID, *QUICK, "--updates", "0"), "updates must be an int of at least 1"),
        ],
    )
    def test_a_wrong_call_is_one_clear_line(self, run, arguments, message):
        status, _, err = run("redistribute", *arguments)
        assert status == 2
        assert message in err
        assert len(err.splitlines()) == 1


class TestDiagnose:
    def test_a_table_warnings_and_timelines(self, run, data, tmp_path):
        out = tmp_path / "out"
        save_trajectories(data, episodes(20, noise=1.0))
        call = ("--methods", "uniform", "rd", "--updates", 30, "--bootstraps", 2, "--out", out)
        status, text, _ = run("diagnose", data, *call)
        assert status == 0
        assert "14 episodes with 56 labeled bags to fit, 6 with 24 to judge by." in text
        assert "Observations are taken for numbers of shape (3,), actions for numbers of shape (1,)." in text
        assert "gain over Uniform" in text
        assert "uniform: cannot be judged without the truth: it shares the label out" in text
        assert "do not use" in text
        with (out / "diagnosis.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["method"] for row in rows] == ["uniform", "rd"]
        assert "do not use" in rows[1]["warnings"]
        for name in ("uniform", "rd"):
            assert (out / f"timeline_{name}.png").read_bytes().startswith(PNG)

    def test_without_a_choice_all_that_can_be_judged(self, run, data, monkeypatch):
        kinds = {name: REDISTRIBUTORS[name] for name in ("oracle", "uniform", "rd", "rudder")}
        monkeypatch.setattr(report, "REDISTRIBUTORS", kinds)
        _, text, _ = run("diagnose", data, "--updates", 1, "--bootstraps", 0)
        assert "oracle" not in text
        assert all(f"│ {name} " in text for name in ("uniform", "rd", "rudder"))

    def test_few_bags_are_said(self, run, tmp_path):
        path = tmp_path / "few.npz"
        save_trajectories(path, episodes(4, bag_len=None))
        _, text, _ = run("diagnose", path, "--methods", "uniform")
        assert "Only 3 labeled bags: too few" in text

    def test_open_episodes_are_left_out_and_said(self, run, tmp_path):
        path, recorded = tmp_path / "open.npz", episodes(5)
        labeled = recorded[0].labeled.copy()
        labeled[-1] = False
        recorded[0] = dataclasses.replace(recorded[0], closed=False, labeled=labeled)
        save_trajectories(path, recorded)
        _, text, _ = run("diagnose", path, "--methods", "uniform")
        assert "1 episodes with an open bag are left out." in text

    def test_a_refusal_is_listed_with_its_reason(self, run, data, monkeypatch):
        def refuse(name, *rest, **settings):
            raise ValueError("these bags are not for me")

        monkeypatch.setattr("bagged_envs.baselines.judging.diagnose.fit", refuse)
        _, text, _ = run("diagnose", data, "--methods", "rd", "--updates", 1)
        assert "rd: refused: these bags are not for me" in " ".join(text.split())

    def test_a_damaged_file_is_one_clear_line(self, run, data):
        data.write_bytes(data.read_bytes()[:-200])
        status, _, err = run("diagnose", data)
        assert status == 2
        assert err.startswith("bagged-envs:")
        assert "data.npz: " in err
        assert len(err.splitlines()) == 1

    @pytest.mark.parametrize("content", [b"hello", b"id,reward\n1,2\n"])
    def test_a_file_of_something_else(self, run, tmp_path, content):
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        status, _, err = run("diagnose", path)
        assert status == 2
        assert "notes.txt: this is no file of save_trajectories" in err
        assert "pickle" not in err

    def test_no_file(self, run, tmp_path):
        status, _, err = run("diagnose", tmp_path / "nonesuch.npz")
        assert status == 2
        assert "nonesuch.npz" in err

    def test_bootstraps_below_none(self, run, data):
        status, _, err = run("diagnose", data, "--methods", "uniform", "--bootstraps", -1)
        assert status == 2
        assert "bootstraps must be an int of at least 0, got -1" in err

    def test_one_episode_is_too_few(self, run, tmp_path):
        save_trajectories(tmp_path / "one.npz", episodes(1))
        status, _, err = run("diagnose", tmp_path / "one.npz")
        assert status == 2
        assert "must have at least two whole episodes, got 1: record more" in err

    def test_no_label_at_all(self, run, tmp_path):
        hidden = [
            dataclasses.replace(one, labeled=one.labeled & False, rewards=one.rewards * 0.0) for one in episodes(3)
        ]
        save_trajectories(tmp_path / "hidden.npz", hidden)
        status, _, err = run("diagnose", tmp_path / "hidden.npz")
        assert status == 2
        assert f"must have labeled bags, got none among {sum(one.num_bags for one in hidden)} bags" in err


@pytest.mark.parametrize("command", [("redistribute", ID), ("diagnose", "data.npz")])
def test_without_torch_the_extra_is_named(run, monkeypatch, command):
    for name in [name for name in sys.modules if name.startswith("bagged_envs.baselines")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    status, _, err = run(*command)
    assert status == 2
    assert 'pip install "bagged_envs[baselines]"' in err


def test_without_matplotlib_timelines_name_the_extra(run, monkeypatch, data, tmp_path):
    monkeypatch.delitem(sys.modules, "bagged_envs.baselines.judging.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = run("diagnose", data, "--methods", "uniform", "--out", tmp_path / "out")
    assert status == 2
    assert 'pip install "bagged_envs[demo]"' in err
