"""What holds for every learner."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.learners.bc import BC, BCConfig
from bagged_envs.baselines.learners.iql import IQL, IQLConfig
from bagged_envs.baselines.learners.ppo import PPO, PPOConfig
from bagged_envs.baselines.learners.sac import SAC, SACConfig
from bagged_envs.baselines.learners.td3 import DDPG, TD3, TD3Config
from bagged_envs.baselines.learners.td3_bc import TD3BCConfig, td3_bc
from tests.baselines.learners.batches import ACTIONS, SIZE, rollout, transitions

BOX = spaces.Box(-1.0, 1.0, (2,))
CASES = {
    "td3": (TD3, TD3Config(hidden=(8, 8)), transitions),
    "ddpg": (TD3, dataclasses.replace(DDPG, hidden=(8, 8)), transitions),
    "td3-clipped": (TD3, TD3Config(hidden=(8,), max_grad_norm=0.1, init="xavier"), transitions),
    "sac": (SAC, SACConfig(hidden=(8, 8)), transitions),
    "sac-ircr": (
        SAC,
        SACConfig(
            hidden=(8, 8), tau=0.001, init="orthogonal", log_std_range=(-5.0, 2.0), temperature=0.1,
            critic_loss="huber", max_grad_norm=1.0,
        ),
        transitions,
    ),
    "sac-fixed": (SAC, SACConfig(hidden=(8,), learn_temperature=False, critics=1), transitions),
    "td3_bc": (td3_bc, TD3BCConfig(hidden=(8, 8)), transitions),
    "iql": (IQL, IQLConfig(hidden=(8, 8), decay_steps=20), transitions),
    "iql-deterministic": (IQL, IQLConfig(hidden=(8,), deterministic=True, decay_steps=None), transitions),
    "bc": (BC, BCConfig(hidden=(8,)), transitions),
    "bc-likelihood": (BC, BCConfig(hidden=(8,), loss="likelihood", max_grad_norm=0.1), transitions),
    "ppo": (PPO, PPOConfig(hidden=(8,), epochs=2, minibatch=4), rollout),
    "ppo-huber": (PPO, PPOConfig(hidden=(8,), epochs=2, minibatch=5, value_loss="huber", entropy_weight=0.01), rollout),
}  # fmt: skip
DETERMINISTIC = ("iql-deterministic", "bc")
HERE = torch.randn(5, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=CASES)
def case(request):
    learner, config, batch = CASES[request.param]
    return (lambda seed=0: learner(SIZE, BOX, config, seed=seed)), batch


def flat(state, path=""):
    """A state's leaves by path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {k: v for key, value in enumerate(state) for k, v in flat(value, f"{path}/{key}").items()}
    return {path: state}


def same(one, other):
    one, other = flat(one), flat(other)
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def go_on(learner, batch, count=5):
    """Updates and actions; returns all that was seen."""
    return [(learner.update(batch(seed)), learner.act(HERE, explore=True).tolist()) for seed in range(count)]


def test_two_learners_of_one_seed_are_one(case):
    make, batch = case
    one, two, other = make(), make(), make(1)
    assert go_on(one, batch) == go_on(two, batch)
    assert same(one.state_dict(), two.state_dict())
    assert not same(one.state_dict(), other.state_dict())


def test_saving_and_going_on_is_going_on(case):
    make, batch = case
    one = make()
    go_on(one, batch, 3)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    two, three = make(7), make(8)
    two.load_state_dict(saved)
    expected = go_on(one, batch)
    assert go_on(two, batch) == expected
    # What was loaded from is no part of what goes on.
    three.load_state_dict(saved)
    assert go_on(three, batch) == expected
    assert same(three.state_dict(), one.state_dict())


def test_a_saved_state_does_not_move(case):
    make, batch = case
    learner = make()
    go_on(learner, batch, 2)
    saved, again = learner.state_dict(), learner.state_dict()
    go_on(learner, batch, 2)
    assert same(saved, again)
    assert not same(saved, learner.state_dict())


def test_global_random_states_stay(case):
    make, batch = case
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    go_on(make(), batch, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_global_random_states_decide_nothing(case):
    make, batch = case
    expected = go_on(make(), batch, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        assert go_on(make(), batch, 2) == expected


def networks(learner):
    """The policy's network, and the one whose step is the last to be checked."""
    if isinstance(learner, PPO):
        return learner.policy, learner.policy
    policy = learner.actor.network if isinstance(learner, (BC, IQL)) else learner.actor
    return policy, policy if isinstance(learner, BC) else learner.critics


def test_actions(case, request):
    make, _ = case
    learner = make()
    explored = learner.act(HERE, explore=True)
    assert explored.shape == (5, ACTIONS)
    assert explored.dtype == torch.float32
    assert not explored.requires_grad
    assert all(BOX.contains(row) for row in explored.numpy())
    deterministic = request.node.callspec.params["case"] in DETERMINISTIC
    assert torch.equal(explored, learner.act(HERE, explore=True)) == deterministic
    # The mode is a function of the observation, and draws nothing.
    before = learner.state_dict()
    assert torch.equal(learner.act(HERE, explore=False), learner.act(HERE, explore=False))
    assert same(before, learner.state_dict())


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "next_observations"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_changes_nothing(case, name, value):
    make, batch = case
    learner = make()
    go_on(learner, batch, 3)  # the next is an update of TD3's policy
    before = learner.state_dict()
    if isinstance(learner, BC) and name in ("rewards", "next_observations"):
        pytest.skip("clones, and looks at nothing else")
    good = batch(9)
    spoiled = getattr(good, name).clone()
    spoiled[0] = value
    if name == "actions" and isinstance(learner, PPO) and value == float("inf"):
        pytest.skip("an infinite action is clipped to its bound")
    with pytest.raises(FloatingPointError, match="changed nothing"):
        learner.update(dataclasses.replace(good, **{name: spoiled}))
    assert same(before, learner.state_dict())


GRADIENT = "The gradient of .* too large to be squared; this update changed nothing"


@pytest.mark.parametrize("name", ["td3", "ddpg", "td3-clipped", "sac", "sac-fixed", "td3_bc", "iql"])
def test_a_gradient_whose_square_overflows_changes_nothing(name):
    """The loss is finite; but Adam would remember an infinite square for good, and move that weight no more."""
    learner_class, config, batch = CASES[name]
    learner = learner_class(SIZE, BOX, config, seed=0)
    go_on(learner, batch, 3)
    before, good = learner.state_dict(), batch(9)
    huge = dataclasses.replace(good, observations=good.observations * 1e4, rewards=good.rewards * 3e17)
    with pytest.raises(FloatingPointError, match=GRADIENT):
        learner.update(huge)
    assert same(before, learner.state_dict())


def test_a_gradient_that_is_not_finite_changes_nothing(case):
    make, batch = case
    learner = make()
    go_on(learner, batch, 3)
    before = learner.state_dict()
    networks(learner)[1].weights[0].register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(FloatingPointError, match=GRADIENT):
        learner.update(batch(9))
    assert same(before, learner.state_dict())


@pytest.mark.parametrize("name", ["iql", "iql-deterministic"])
def test_a_first_update_that_fails_late_changes_nothing(name):
    """The critics are the last to move: by then optimizers that knew nothing have made their first step."""
    learner_class, config, batch = CASES[name]
    learner = learner_class(SIZE, BOX, config, seed=0)
    before, good = learner.state_dict(), batch(9)
    with pytest.raises(FloatingPointError, match="critics' loss of IQL is nan"):
        learner.update(dataclasses.replace(good, rewards=good.rewards * float("nan")))
    assert same(before, learner.state_dict())


def test_a_spoiled_policy_changes_nothing_else(case):
    make, batch = case
    learner = make()
    go_on(learner, batch, 3)
    with torch.no_grad():
        networks(learner)[0].biases[0][0] = float("nan")
    before = {key: value for key, value in learner.state_dict().items() if key not in ("actor", "policy")}
    with pytest.raises(FloatingPointError):
        learner.update(batch(9))
    after = learner.state_dict()
    assert same(before, {key: after[key] for key in before})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("rewards", (8, 1)),
        ("rewards", (0,)),
        ("terminated", (8, 1)),
        ("observations", (8, SIZE + 1)),
        ("next_observations", (7, SIZE)),
        ("actions", (8, 1)),
    ],
)
def test_shapes_are_checked(case, name, shape):
    make, batch = case
    with pytest.raises(ValueError, match=f"{name} must be"):
        make().update(dataclasses.replace(batch(0), **{name: torch.zeros(shape)}))


@pytest.mark.parametrize("learner", [TD3, SAC, PPO, IQL, BC, td3_bc])
def test_unbounded_actions_are_refused(learner):
    with pytest.raises(ValueError, match="finite bounds"):
        learner(SIZE, spaces.Box(-np.inf, np.inf, (2,)), seed=0)


@pytest.mark.parametrize("learner", [TD3, SAC, IQL, BC, td3_bc])
def test_discrete_actions_are_refused(learner):
    with pytest.raises(TypeError, match=r"Box of floats for this learner, got Discrete\(3\)"):
        learner(SIZE, spaces.Discrete(3), seed=0)


def test_metrics_are_floats(case):
    make, batch = case
    learner = make()
    for seed in range(2):
        metrics = learner.update(batch(seed))
        assert metrics
        assert all(type(value) is float for value in metrics.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name):
    learner, config, batch = CASES[name]
    ours, theirs = (learner(SIZE, BOX, config, seed=0, device=device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(ours.act(HERE, explore=False), theirs.act(HERE, explore=False))
    moved = {key: value.to("cuda") for key, value in vars(batch(0)).items() if value is not None}
    theirs.update(type(batch(0))(**moved))
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.act(HERE, explore=False), theirs.act(HERE, explore=False))
