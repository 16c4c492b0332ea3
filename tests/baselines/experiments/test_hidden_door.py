"""Who pays for the lamp: the program of the recorded answers, measures on known rewards, the rows, and the claim."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.experiments import hidden_door
from bagged_envs.baselines.experiments.hidden_door import (
    ANSWERS,
    CANDIDATES,
    METHODS,
    RECORDED,
    episodes,
    generated,
    light,
    lighting,
    main,
    measure,
    played,
    plot,
    run,
    summary,
)
from bagged_envs.baselines.growing_table import append_row, read_rows
from bagged_envs.baselines.judging.case import table_reward
from bagged_envs.baselines.judging.fit import Spaces
from bagged_envs.baselines.judging.models import finite_model
from bagged_envs.baselines.latent_rewards.cage.verify import verify
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.latent_rewards.steps import random_steps

ID = "EpisodicHiddenDoor-v0"
LAMP = [9, 10]  # off, on
PRESS = 2


@pytest.fixture(scope="module")
def made():
    return generated()


class TestAnswers:
    told = json.loads(ANSWERS.read_text(encoding="utf-8"))

    def test_they_say_whose_they_are(self):
        assert self.told["model"] == "The bagged_envs authors, by hand"
        assert "No language model" in self.told["note"]

    def test_the_whole_pipeline_is_walked(self, made):
        assert len(self.told["answers"]) == CANDIDATES + 2
        assert made.answer.function == self.told["answers"][-1]["function"]
        assert made.size == 4
        (failure,) = made.failures
        assert "factor 2 must have shape [n, 1]" in failure

    @pytest.mark.parametrize("number", range(CANDIDATES))
    def test_the_candidates_are_programs(self, number):
        assert verify(self.told["answers"][number]["function"], *random_steps(ID)) == 3

    def test_the_program_does_not_see_the_lamp(self, made):
        factors = ProgramFactors(Program(made.text), 13, 3)
        seen, acted = (rows.astype(np.float32) for rows in random_steps(ID))
        other = seen.copy()
        other[:, LAMP] = 1.0 - other[:, LAMP]
        assert np.array_equal(factors(seen, acted, seen), factors(other, acted, other))

    def test_its_factors_step_by_step(self, made):
        factors = ProgramFactors(Program(made.text), 13, 3)
        seen, acted = np.zeros((4, 13), np.float32), np.zeros((4, 3), np.float32)
        steps = [(4, "shut", 0), (7, "shut", 2), (7, "open", 2), (7, "open", 1)]
        for row, (cell, door, action) in enumerate(steps):
            seen[row, [cell, LAMP[0], 11 if door == "shut" else 12]] = acted[row, action] = 1.0
        assert factors(seen, acted, seen).tolist() == [
            [0.5, 0, 0, 0],
            [0.875, 1, 0, 0],
            [0.875, 0, 1, 0],
            [0.875, 0, 1, 1],
        ]


class TestMeasures:
    @pytest.mark.parametrize(
        ("reward", "lit", "turned_on"),
        [
            (lambda seen, acted, after: 0.25 * seen[:, 10], 0.25, 0.0),
            (lambda seen, acted, after: 3.0 * (after[:, 10] - seen[:, 10]), 0.0, 3.0),
            (lambda seen, acted, after: 2.0 * acted[:, PRESS], 0.0, 2.0),
            (lambda seen, acted, after: np.where(acted[:, 0] == 1, -4.0, 0.0), 0.0, 2.0),
            (lambda seen, acted, after: 23.0 * seen[:, 10] * seen[:, 0] * acted[:, 1], 1.0, 0.0),
            (lambda seen, acted, after: seen[:, 12] + seen[:, 8], 0.0, 0.0),
        ],
        ids=["lamp on", "lamp goes on", "press", "left", "one step of 23", "door open, outside"],
    )
    def test_literal_rewards(self, reward, lit, turned_on):
        assert light(reward) == pytest.approx(lit)
        assert lighting(reward) == pytest.approx(turned_on)

    def test_the_true_reward_pays_for_neither(self):
        env = bagged_envs.dense(ID)
        truth = table_reward(finite_model(env), Spaces(env.observation_space, env.action_space))
        assert (light(truth), lighting(truth)) == (0.0, 0.0)
        env.close()

    def test_all_steps_in_the_hall_are_asked_about_and_what_follows_is_the_task_s(self):
        asked = []

        def reward(seen, acted, after):
            asked.extend(np.concatenate((seen, acted, after), axis=1).tolist())
            return np.zeros(len(seen))

        light(reward)
        rows = np.array(asked)
        assert len(rows) == len(np.unique(rows, axis=0)) == 2 * (8 * 3 - 1)
        assert rows[:, 8].sum() == 0  # nobody is outside
        assert rows[:, 10].sum() == 23
        assert rows[:, 11].all()
        opened = rows[rows[:, 16 + 12] == 1]
        assert opened[:, [7, 13 + PRESS]].tolist() == [[1, 1], [1, 1]]
        assert np.array_equal(rows[:, LAMP], rows[:, [16 + 9, 16 + 10]])


def test_episodes_are_paid_at_their_ends_and_fewer_are_the_first_of_more():
    more, fewer = episodes(3, 20), episodes(3, 5)
    assert len(more) == 20
    for one, other in zip(more, fewer, strict=False):
        assert np.array_equal(one.actions, other.actions)
        assert one.rewards.tolist() == [0.0] * (len(one) - 1) + [one.extras["dense_rewards"].sum()]
    assert {one.rewards.sum() for one in more} == {0.0, 1.0, 3.0}


@pytest.fixture
def program(made, tmp_path):
    file = tmp_path / "program.txt"
    file.write_text(made.text)
    return str(file)


@pytest.mark.long
def test_in_one_seed_early_in_a_fit_rd_pays_for_lighting_the_lamp_and_lare_does_not(program):
    rd, lare = (measure(name, episodes(0, 100), 0, program, 200) for name in ("rd", "lare_rd answers"))
    assert rd["lighting"] > 0.1  # the slow test has seeds that are not chosen, and what lasts
    assert max(abs(lare["lighting"]), abs(lare["light"])) < 1e-6
    assert lare["correlation"] > 0.95 > rd["correlation"]


@pytest.mark.slow
def test_on_recorded_episodes_rd_goes_on_to_pay_for_lighting_the_lamp(program):
    data = [played(seed, RECORDED, 0) for seed in range(3)]
    rd = [measure("rd", own, seed, program, 1_000)["lighting"] for seed, own in enumerate(data)]
    lare = [measure("lare_rd answers", own, seed, program, 1_000)["lighting"] for seed, own in enumerate(data)]
    assert min(rd) > 0.05
    assert max(map(abs, lare)) < 1e-6


@pytest.mark.long
def test_the_command_goes_on_where_it_was(tmp_path):
    table = tmp_path / "rows.csv"
    common = ["--episodes", "4", "--out", str(table)]
    main([*common, "--seeds", "1", "--updates", "2"])
    before = table.read_text()
    main([*common, "--seeds", "2", "--updates", "3", "2"])
    rows = read_rows(table)
    assert table.read_text().startswith(before)
    assert [(row["method"], row["seed"], row["updates"]) for row in rows] == [
        (method, seed, updates)
        for seed, updates in (("0", "2"), ("0", "3"), ("1", "3"), ("1", "2"))
        for method in METHODS
    ]


def test_each_row_has_the_first_episodes(tmp_path, monkeypatch):
    asked = []

    def told(method, played, seed, program, updates):
        asked.append((method, len(played), seed, updates))
        return dict.fromkeys(hidden_door.TRUTH, 0.5)

    monkeypatch.setattr(hidden_door, "measure", told)
    run(tmp_path / "rows.csv", 1, ("2", "5"), (7,))
    assert asked == [(method, count, 0, 7) for count in (2, 5) for method in METHODS]


def test_recorded_episodes_are_those_that_judges_fit_to(tmp_path, monkeypatch):
    monkeypatch.setattr(hidden_door, "make_case", lambda id, seed: SimpleNamespace(fitted=[id, seed]))
    assert hidden_door.played(7, "recorded", 0) == ["EpisodicHiddenDoor-v0", 7]
    assert [len(hidden_door.played(7, count, 4)) for count in ("2", "4")] == [2, 4]


def test_the_summary_and_the_picture(tmp_path):
    table, picture = tmp_path / "rows.csv", tmp_path / "picture.png"
    for seed, paid in enumerate((0.25, 0.75)):
        numbers = {"light": paid, "lighting": -paid, "correlation": 1.0}
        append_row(table, {"method": "rd", "episodes": 1000, "seed": seed, "updates": 9, **numbers})
    lines = [
        "| updates | episodes | method | seeds | light | lighting | correlation |",
        "|---|---|---|---|---|---|---|",
        "| 9 | 1,000 | rd | 2 | 0.50 ± 0.25 | -0.50 ± 0.25 | 1.00 ± 0.00 |",
    ]
    assert summary(table).splitlines() == lines
    pytest.importorskip("matplotlib")
    plot(table, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
