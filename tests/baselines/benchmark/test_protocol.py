"""The protocol: what is in ours, what a file must have, and what scores come to."""

import dataclasses

import gymnasium as gym
import pytest

import bagged_envs
from bagged_envs.baselines.benchmark.protocol import FOLDER, Protocol, Reference, names, same_protocol
from bagged_envs.baselines.judging.models import finite_model
from bagged_envs.baselines.judging.regret import optimal_return, random_return

V1 = Protocol.load("v1")


class TestOurs:
    def test_what_reviewers_look_for(self):
        assert (V1.every, V1.episodes, V1.final_share) == (5000, 10, 0.1)
        assert len(V1.test) == len(set(V1.test)) == 10
        assert not set(V1.test) & set(V1.tuning)
        assert sorted(str(arguments["bag_len"]) for arguments in V1.schedules.values()) == [
            "100",
            "20",
            "5",
            "[100, 500]",
        ]

    def test_every_schedule_can_be_made(self):
        for arguments in V1.schedules.values():
            low, high = (arguments["bag_len"],) * 2 if isinstance(arguments["bag_len"], int) else arguments["bag_len"]
            schedule = bagged_envs.resolved_schedule("BaggedKeyDoor-v0", **arguments)
            assert schedule.bag_len in (low, (low, high))

    @pytest.mark.parametrize("task", ["KeyDoor", "PocketWatch", "HiddenDoor", "TraceBack", "ChargeDischarge"])
    def test_references_of_symbolic_tasks_are_exact(self, task):
        model = finite_model(bagged_envs.dense(f"Bagged{task}-v0"))
        reference = V1.references[task]
        assert reference.random == pytest.approx(random_return(model), rel=1e-9)
        assert reference.oracle == pytest.approx(optimal_return(model), rel=1e-9)

    def test_a_most_that_a_task_can_pay_is_one_per_step(self):
        for task, reference in V1.references.items():
            if "the most that the task can pay" in reference.source:
                assert reference.oracle == gym.spec(f"Bagged{task}-v0").max_episode_steps

    def test_its_hash_stays(self):
        # Released numbers stand under it: whoever changes this protocol makes another version instead.
        assert V1.hash == "17b915f0633b"


class TestScores:
    def test_the_final_score_is_the_mean_of_the_last_tenth(self):
        assert V1.final([float(n) for n in range(30)]) == 28.0
        assert V1.final([9.0] * 13 + [1.0, 2.0]) == 1.5  # one and a half evaluations are two
        assert V1.final([5.0]) == 5.0
        assert V1.final([1.5e308] * 20) == 1.5e308

    def test_a_run_without_evaluations_has_none(self):
        with pytest.raises(ValueError, match="at least one evaluation, got none"):
            V1.final([])

    def test_normalized(self):
        protocol = dataclasses.replace(V1, references={"X": Reference(10.0, 30.0, "test")})
        assert [protocol.normalized("X", score) for score in (10.0, 30.0, 20.0, 50.0)] == [0.0, 1.0, 0.5, 2.0]
        with pytest.raises(ValueError, match="task must be .*'X', got 'Y'"):
            protocol.normalized("Y", 1.0)

    @pytest.mark.parametrize("ends", [(1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
    def test_a_scale_needs_two_ends(self, ends):
        with pytest.raises(ValueError, match="must be different and finite"):
            Reference(*ends, "test")


class TestHash:
    @pytest.mark.parametrize(
        "change",
        [
            {"every": 5001}, {"episodes": 9}, {"final_share": 0.2}, {"tuning": (0,)}, {"test": (7,)},
            {"steps": {"a": 1}}, {"schedules": {}}, {"references": {"X": Reference(0.0, 1.0, "test")}},
            {"version": "2"},
        ],
    )  # fmt: skip
    def test_it_changes_with_anything(self, change):
        assert dataclasses.replace(V1, **change).hash != V1.hash

    def test_it_is_the_content_s_and_not_the_file_s(self, tmp_path):
        text = (FOLDER / "v1.toml").read_text()
        (tmp_path / "mine.toml").write_text("# another comment\n" + text)
        (tmp_path / "mine.csv").write_text((FOLDER / "v1.csv").read_text())
        assert Protocol.load(tmp_path / "mine.toml").hash == V1.hash

    def test_rows_of_different_ones_stay_apart(self):
        assert same_protocol(["a", "a"]) == "a"
        with pytest.raises(ValueError, match="of one protocol, got a, b"):
            same_protocol(["b", "a", "b"])
        with pytest.raises(ValueError, match="of one protocol, got none"):
            same_protocol([])


class TestFiles:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("every = 5_000", "evry = 5_000", "setting of .evaluation. must be .*got 'evry'. Did you mean 'every'"),
            ("every = 5_000", "", "must have evaluation.every"),
            ("every = 5_000", "every = 0", "evaluation.every must be .*got 0"),
            ("every = 5_000", "every = 5000.0", "evaluation.every must be an int.*got 5000.0"),
            ("final_share = 0.1", "final_share = 10", r"final_share must lie in \(0, 1\], got 10"),
            ("tuning = [0,", "tuning = [1000,", r"none of seeds.tuning, got \[1000\] in both"),
            ("quick = 20_000", "quick = 0", "steps.quick must be .*got 0"),
            ("[schedules]", "[schedulers]", "section must be .*got 'schedulers'. Did you mean 'schedules'"),
            ('version = "1"', "", "must have version"),
            ("[evaluation]", "[evaluation", "mine.toml: .*line"),
            ("final_share = 0.1", 'final_share = "a"', "evaluation.final_share must be a number, got 'a'"),
            ("final_share = 0.1", "final_share = true", "evaluation.final_share must be a number, got True"),
            ('version = "1"', "version = 1", "version must be a string, got 1"),
            ("tuning = [0,", 'tuning = "ab" # [', "seeds.tuning must be a list of ints, got 'ab'"),
            ("tuning = [0,", "tuning = [0.5,", "seeds.tuning must be an int.*got 0.5"),
            ("tuning = [0,", "tuning = [-7,", "seeds.tuning must be an int.*got -7"),
            ("test = [1000,", "test = [1001,", r"seeds.test must have each seed once, got \[1001\] twice"),
            ("{ bag_len = 5 }", "3", "schedules.bags_of_5 must be a table, .*got 3"),
            (
                "{ bag_len = 5 }",
                "{ bag_length = 5 }",
                "schedules.bags_of_5 must .*'bag_length'. Did you mean 'bag_len'",
            ),
        ],
    )
    def test_what_is_wrong_is_said_with_the_file(self, tmp_path, old, new, message):
        text = (FOLDER / "v1.toml").read_text()
        assert old in text
        (tmp_path / "mine.toml").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message) as told:
            Protocol.load(tmp_path / "mine.toml")
        assert "mine.toml" in str(told.value)

    def test_references_must_have_their_columns(self, tmp_path):
        (tmp_path / "mine.toml").write_text((FOLDER / "v1.toml").read_text())
        (tmp_path / "mine.csv").write_text("task,random,best,source\nX,0,1,here\n")
        with pytest.raises(ValueError, match="mine.csv must have columns task, random, oracle, source"):
            Protocol.load(tmp_path / "mine.toml")

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("X,zero,1,here", r"mine.csv, line 2, must be a task, two numbers and a source, got \['X', 'zero'.*'zero'"),
            ("X,0,1", "line 2, must be"),
            ("X,0,1,here\nX,0,2,there", "line 3, must be .*X stands there twice"),
            ("X,1,1,here", "line 2, must be .*different and finite"),
        ],
    )
    def test_references_must_be_numbers(self, tmp_path, rows, message):
        (tmp_path / "mine.toml").write_text((FOLDER / "v1.toml").read_text())
        (tmp_path / "mine.csv").write_text(f"task,random,oracle,source\n{rows}\n")
        with pytest.raises(ValueError, match=message):
            Protocol.load(tmp_path / "mine.toml")

    def test_columns_without_rows_must_be_the_right_ones_too(self, tmp_path):
        (tmp_path / "mine.toml").write_text((FOLDER / "v1.toml").read_text())
        for text, came in (("task,best\n", "task, best"), ("", "none")):
            (tmp_path / "mine.csv").write_text(text)
            with pytest.raises(ValueError, match=f"mine.csv must have columns .*, got {came}"):
                Protocol.load(tmp_path / "mine.toml")

    def test_without_references_nothing_is_normalized(self, tmp_path):
        (tmp_path / "mine.toml").write_text((FOLDER / "v1.toml").read_text())
        assert Protocol.load(tmp_path / "mine.toml").references == {}

    def test_an_unknown_one_lists_ours(self):
        assert names() == ["teams", "v1"]
        with pytest.raises(FileNotFoundError, match="one of teams, v1 or a file, got v2"):
            Protocol.load("v2")
