"""The pocket-watch demonstration: the process is the environment's, the agents are the demonstration's."""

import numpy as np
import pytest
import torch

from bagged_envs.baselines.experiments import pocket_watch
from bagged_envs.baselines.experiments.lessons import Lessons
from bagged_envs.baselines.experiments.pocket_watch import (
    STATES,
    episodes,
    features,
    first_values,
    learn,
    main,
    mc_targets,
    numbers,
    run,
    running_error,
    simulate,
    summary,
    td_targets,
)
from bagged_envs.baselines.growing_table import append_row, read_rows
from bagged_envs.envs.pocket_watch import HORIZON, LEAVE, REPAIR, PocketWatch


def played(seed, action):
    """An episode of the environment itself."""
    env = PocketWatch()
    observations, rewards = [env.reset(seed=seed)[0]], []
    for step in range(HORIZON):
        observation, reward, terminated, _, _ = env.step(action if step == 0 else LEAVE)
        observations.append(observation)
        rewards.append(reward)
    assert terminated
    return np.array(observations), np.array(rewards)


@pytest.mark.parametrize("action", [REPAIR, LEAVE])
def test_what_is_simulated_is_the_environment(action):
    seeds = range(12)
    block = simulate([np.random.default_rng(seed) for seed in seeds])
    for seed in seeds:
        observations, rewards = block.decided(seed, action)
        wanted = played(seed, action)
        assert np.array_equal(observations, wanted[0])
        assert np.array_equal(rewards, wanted[1])


def test_episodes_go_on_with_new_random_numbers():
    stream = episodes(np.random.SeedSequence(0))
    blocks = [next(stream) for _ in range(2 * pocket_watch.BLOCK)]
    first, second = blocks[0][0], blocks[-1][0]
    assert [episode for _, episode in blocks] == list(range(pocket_watch.BLOCK)) * 2
    assert first.rewards.shape == (pocket_watch.BLOCK, HORIZON)
    assert len(np.unique(np.concatenate([first.rewards[:, 0], second.rewards[:, 0]]))) == 2 * pocket_watch.BLOCK


def test_the_first_values():
    values = first_values().reshape(2, *pocket_watch.SIZES)
    assert (values[:, :, :, :, :, 0] == 10.0).all()
    assert (values[LEAVE, ..., 1:50] == 10.0).all()
    assert np.isnan(values[REPAIR, ..., 1:50]).all()
    assert (values[..., 50] == 0.0).all()


def test_td_moves_what_the_demonstration_moves_step_by_step():
    """Q <- 0.9 Q + 0.1 (r + max Q(s')), in step order, on a table of the demonstration's axes."""
    values, table = first_values(), first_values().reshape(2, *pocket_watch.SIZES)
    block = simulate([np.random.default_rng(seed) for seed in range(30)])
    for episode in range(30):
        action = episode % 2
        observations, rewards = block.decided(episode, action)
        states = numbers(observations)
        learn(values, states, action, td_targets(values, states, rewards))
        for step in range(HORIZON):
            place = (action if step == 0 else LEAVE, *observations[step])
            best = np.nanmax(table[(slice(None), *observations[step + 1])])
            table[place] = 0.9 * table[place] + 0.1 * (rewards[step] + best)
    assert np.array_equal(values, table.ravel(), equal_nan=True) or np.allclose(values, table.ravel(), equal_nan=True)
    assert (values != first_values()).sum() > np.isnan(values).sum()  # NaN differs from itself


def test_monte_carlo_moves_to_what_is_still_paid():
    assert mc_targets(np.array([-4.0, 0.0, 11.0])).tolist() == [7.0, 11.0, 11.0]
    values = first_values()
    observations, rewards = simulate([np.random.default_rng(0)]).decided(0, REPAIR)
    states = numbers(observations)
    learn(values, states, REPAIR, mc_targets(rewards))
    assert values[REPAIR * STATES + states[0]] == pytest.approx(10 + 0.1 * (rewards.sum() - 10))
    assert values[LEAVE * STATES + states[0]] == 10.0
    assert values[LEAVE * STATES + states[30]] == pytest.approx(10 + 0.1 * (rewards[-1] - 10))


def test_the_features_by_hand():
    observations = np.array([[0, 0, 0, 2, 0], [1, 1, 0, 2, 1], [1, 1, 1, 2, 2]])
    assert features(observations) == pytest.approx(
        np.array(
            [
                [0, 0, 0, 0, 0, 1, 0, 0],
                [1, 1, 0, 1, 0, 0, 0, 1 / 3],
                [0, 0, 1, 1, 0, 0, 0, 1 / 3],
            ]
        )
    )


def test_the_running_error_by_hand():
    assert running_error(0.3, 0.1, 0.2) == pytest.approx(0.298)
    assert running_error(0.3, 0.7, 0.9) == 0.9  # the average is 0.304, and 0.7 is more than twice that
    assert running_error(0.3, 0.6, 0.9) == pytest.approx(0.303)


def test_lessons_are_a_ring():
    lessons = Lessons(3, steps=2, observation_size=1, action_size=1)
    assert not lessons.differ()
    for label in (1.0, 1.0, 1.0):
        lessons.add(np.full((3, 1), label, np.float32), np.zeros((2, 1), np.float32), label)
    assert not lessons.differ()
    place = lessons.add(np.array([[4.0], [5.0], [6.0]], np.float32), np.array([[7.0], [8.0]], np.float32), 9.0)
    assert (place, lessons.added, lessons.differ()) == (0, 4, True)
    bag = lessons.bags(torch.tensor([0]))
    found = [value.flatten().tolist() for value in (bag.observations, bag.actions, bag.next_observations, bag.paid)]
    assert found == [[4.0, 5.0], [7.0, 8.0], [5.0, 6.0], [0.0, 9.0]]
    assert bag.label.tolist() == [9.0]
    drawn = lessons.sample(np.random.default_rng(0), 300).label
    assert 60 < int((drawn == 9.0).sum()) < 140


def test_lessons_differ_by_marks_where_they_are_given():
    lessons = Lessons(3, steps=1, observation_size=1, action_size=1)
    for label in (1.0, 2.0):
        lessons.add(np.zeros((2, 1), np.float32), np.zeros((1, 1), np.float32), label, mark=0.0)
    assert not lessons.differ()


def test_an_easy_shop_is_solved_and_the_limit_holds(monkeypatch):
    assert run("td", 0, limit=100) == (100, False, 0)
    # Where everything counts as optimal, the first full window ends it.
    monkeypatch.setattr(pocket_watch, "SOLVED", 0.0)
    assert run("mc", 0) == (750, True, 0)


def test_rudder_learns_after_enough_lessons(monkeypatch):
    trainings = []
    monkeypatch.setattr(pocket_watch, "train", lambda rudder, draw: trainings.append(draw().num_bags) or 1)
    assert run("rudder", 0, limit=320) == (320, False, 2)  # after 275 and 300 episodes
    assert trainings == [8, 8]


def test_the_command_goes_on_where_it_was(tmp_path, capsys):
    table = tmp_path / "rows.csv"
    main(["--method", "mc", "--seeds", "1", "--limit", "60", "--out", str(table)])
    main(["--method", "mc", "--seeds", "2", "--limit", "50", "--out", str(table)])
    assert [(row["seed"], row["episodes"], row["solved"]) for row in read_rows(table)] == [
        ("0", "60", "0"),
        ("1", "50", "0"),
    ]
    capsys.readouterr()
    main(["--summarize", "--out", str(table)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("| mc | 2 | 0 | > 50 | > 50 | > 60 |")


def test_a_table_keeps_its_columns(tmp_path):
    table = tmp_path / "rows.csv"
    append_row(table, {"a": 1})
    with pytest.raises(ValueError, match="columns"):
        append_row(table, {"b": 1})


def test_the_summary_by_hand(tmp_path):
    table = tmp_path / "rows.csv"
    for episodes_, solved in ((10, 1), (30, 1), (20, 1), (40, 0)):
        append_row(table, {"method": "td", "seed": 0, "episodes": episodes_, "solved": solved, "seconds": 2.0})
    assert summary(table).splitlines()[-1] == "| td | 4 | 3 | 10 | 20 | > 40 | 2 |"
