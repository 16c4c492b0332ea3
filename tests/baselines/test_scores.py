"""Normalized scores by hand."""

import pytest

from bagged_envs.baselines.scores import RANGES, normalized_score


@pytest.mark.parametrize(
    ("id", "dense_return", "score"),
    [
        ("PartiallyLabeledHalfCheetah-v0", 12135.0, 100.0),
        ("BaggedHalfCheetah-v0", -280.178953, 0.0),
        ("EpisodicHopper-v0", 793.37077125, 25.0),  # 813.64307625 of 3,254.572305
        ("SparseWalker2d-v0", 460.6961072, 10.0),  # 459.0670992 of 4,590.670992
        ("PartiallyLabeledAnt-v0", 8085.0, 200.0),  # 8,410.6 of 4,205.3
    ],
)
def test_scores(id, dense_return, score):
    assert normalized_score(id, dense_return) == pytest.approx(score, rel=1e-6, abs=1e-9)


def test_other_tasks_have_none():
    with pytest.raises(ValueError, match="a task with a normalized score must be one of 'Ant', .* got 'Reacher'"):
        normalized_score("BaggedReacher-v0", 0.0)


def test_a_reference_of_its_own():
    assert normalized_score("BaggedReacher-v0", -20.0, (-40.0, 0.0)) == 50.0
    assert normalized_score("BaggedHopper-v0", 1.0, (0.0, 4.0)) == 25.0


def test_the_ranges_are_of_experts_that_are_better():
    assert all(low < high for low, high in RANGES.values())
