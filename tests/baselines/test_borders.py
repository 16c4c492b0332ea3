"""Reading the borders of bags out of infos."""

import numpy as np
import pytest

from bagged_envs.baselines.borders import borders, check_borders, infos_of_step

NO, YES = np.array([False, False]), np.array([True, True])


def info(end, observed):
    return {"bag_end": end, "reward_observed": observed}


def test_only_steps_that_close_a_bag_are_labeled():
    closes, labeled = borders([info(True, True), info(False, True)], np.zeros(2, np.float32), NO)
    assert closes.tolist() == [True, False]
    assert labeled.tolist() == [True, False]


def test_infos_come_in_three_forms():
    told = [info(True, False), info(False, False)]
    assert infos_of_step(told, 2)[0] == told
    old = [{**info(False, False), "final_info": told[0]}, told[1]]
    together = {"bag_end": np.array([False, False]), "_bag_end": YES, "reward_observed": NO, "_reward_observed": YES}
    here = np.array([True, False])
    final = {"bag_end": here, "_bag_end": here, "reward_observed": NO, "_reward_observed": here}
    for infos in (old, {**together, "final_info": final, "_final_info": here}):
        found, finals = infos_of_step(infos, 2)
        assert [info(one["bag_end"], one["reward_observed"]) for one in found] == told
        assert finals.tolist() == [True, False]
    assert infos_of_step(told, 2)[1].tolist() == [False, False]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="got no bag_end and no reward_observed: make an ID with a delay"):
        check_borders({})
    rewards = np.array([0.0, 3.0], np.float32)
    with pytest.raises(ValueError, match="must be 0.0 before a bag's last step, got 3.0"):
        borders([info(True, True), info(False, False)], rewards, NO)
    with pytest.raises(ValueError, match="must be True in an episode's last step, got False"):
        borders([info(True, True), info(False, False)], np.zeros(2, np.float32), YES)
    with pytest.raises(ValueError, match="must be a finite float32 where it is a label, got nan"):
        borders([info(True, True), info(True, False)], np.array([np.nan, np.nan], np.float32), NO)
