"""What the originals did, step by step."""

import numpy as np
import pytest

from bagged_envs.particle.navigation import CooperativeNavigation
from bagged_envs.particle.predator_prey import CompetitivePredatorPrey, PredatorPrey
from bagged_envs.particle.triangle_area import TriangleArea
from tests.particle import recorded
from tests.particle.starting import at


def hunt(record, contact):
    """Predators as recorded, and prey that does what was recorded."""
    prey = np.array(record.actions)[:, None, 6:]
    return PredatorPrey(1, 6, prey=lambda sight: prey[sight.step[0]], contact=contact)


CASES = {
    "navigation": (recorded.NAVIGATION, lambda record: CooperativeNavigation(contact="fork")),
    "navigation, true": (recorded.NAVIGATION, lambda record: CooperativeNavigation(contact="true")),
    "predator-prey, fork": (recorded.PREDATOR_PREY_FORK, lambda record: hunt(record, "fork")),
    "predator-prey, true": (recorded.PREDATOR_PREY_TRUE, lambda record: hunt(record, "true")),
    "competitive": (recorded.COMPETITIVE, lambda record: CompetitivePredatorPrey(contact="fork")),
    "triangle area": (recorded.TRIANGLE_AREA, lambda record: TriangleArea()),
}


@pytest.mark.parametrize("case", CASES)
def test_states_rewards_and_observations_are_the_recorded_ones(case):
    record, make = CASES[case]
    batch = at(make(record), record.positions, record.velocities)
    rewards = [batch.step(np.array([actions[: len(batch.agents)]]))[0][0] for actions in record.actions]
    world = batch._hunt.world if hasattr(batch, "_hunt") else batch._world
    np.testing.assert_allclose(world.positions[0, : len(record.velocities)], record.positions_after, atol=1e-12)
    np.testing.assert_allclose(world.velocities[0], record.velocities_after, atol=1e-11)
    np.testing.assert_allclose(rewards, record.rewards, atol=1e-12)
    np.testing.assert_allclose(batch.observe()[0, -1], record.observation, atol=1e-6)
