"""Whether held-out error ranks methods as the truth does, by hand."""

import math

import pytest

from bagged_envs.baselines.judging.ranking import agreement


def row(method, bag_error, **scores):
    return {"method": method, "bag_error": bag_error, "refused": "", **scores}


def test_better_is_better_whichever_way_a_score_goes():
    rows = [row("a", 1.0, pearson=0.9, absolute_error=0.1), row("b", 2.0, pearson=0.8, absolute_error=0.2)]
    rows.append(row("c", 3.0, pearson=0.1, absolute_error=0.9))
    assert agreement(rows) == {"absolute_error": (1.0, 3), "pearson": (1.0, 3)}


def test_the_other_way_round():
    rows = [row(name, error, epic=epic) for name, error, epic in (("a", 1, 0.9), ("b", 2, 0.5), ("c", 3, 0.1))]
    assert agreement(rows) == {"epic": (-1.0, 3)}


def test_by_hand():
    # Ranks of the error 1, 2, 3, 4 and of the regret 2, 1, 4, 3: 1 - 6 * 4 / (4 * 15).
    rows = [row("a", 1, regret=5), row("b", 2, regret=3), row("c", 3, regret=9), row("d", 4, regret=7)]
    assert agreement(rows)["regret"] == (pytest.approx(0.6), 4)


def test_means_over_seeds():
    rows = [row("a", 1.0, pearson=0.0), row("a", 3.0, pearson=0.8)]  # 2.0 and 0.4
    rows += [row("b", 1.5, pearson=0.5), row("c", 4.0, pearson=0.3)]
    assert agreement(rows)["pearson"] == (1.0, 3)


def test_who_does_not_count():
    rows = [row("a", 1.0, pearson=0.9), row("b", 2.0, pearson=0.8)]
    assert agreement([*rows, row("uniform", math.nan, pearson=1.0)]) == {}
    assert agreement([*rows, row("c", 3.0, pearson=math.nan)]) == {}
    assert agreement([*rows, {**row("c", 0.0, pearson=0.1), "refused": "too long"}]) == {}


def test_where_all_methods_score_alike_there_is_nothing_to_rank():
    value, count = agreement([row(name, error, regret=0.0) for error, name in enumerate("abc")])["regret"]
    assert math.isnan(value)
    assert count == 3
