"""Any order of steps, resets and masked resets, against the simplest model of a delay that one can write down."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bagged_envs.testing import ScriptedEnv, scripted_vector
from bagged_envs.testing.model import PAYMENTS
from bagged_envs.testing.strategies import schedules, scripts
from bagged_envs.wrappers import DelayedReward, RewardSchedule, vector

pytestmark = pytest.mark.law


class Slot:
    """The model of one slot: the rewards since its bag opened, and what may happen at the next border."""

    def __init__(self, schedule: RewardSchedule) -> None:
        self.schedule, self.bag = schedule, []
        fixed = schedule.bag_len
        self.shortest, self.longest = fixed if isinstance(fixed, tuple) else (fixed, fixed)

    def begin(self) -> None:
        self.bag = []

    def check(self, reward: float, ended: bool, paid: float, info: dict, count: float | None = None) -> None:
        """Compare one step of a running episode with the model."""
        self.bag.append(float(reward))
        steps = len(self.bag)
        must = ended or (self.longest is not None and steps == self.longest)
        may = must or (self.shortest is not None and steps >= self.shortest)
        if must:
            assert info["bag_end"]
        elif not may:
            assert not info["bag_end"]
        if not info["bag_end"]:
            assert not info["reward_observed"]
            assert paid == 0.0
        else:
            if not self.schedule.draws_labels:
                assert info["reward_observed"]
            due = PAYMENTS[self.schedule.aggregate](self.bag) if info["reward_observed"] else None
            assert repr(paid) == repr(self.schedule.unlabeled_reward if due is None else due)
            self.bag = []
        if count is not None:
            assert count == len(self.bag)


class SingleMachine(RuleBasedStateMachine):
    """One environment."""

    @initialize(schedule=schedules(), script=scripts(max_steps=8), observe=st.booleans(), seed=st.integers(0, 99))
    def make(self, schedule, script, observe, seed):
        self.env = DelayedReward(ScriptedEnv(script), schedule, observe_bag=observe)
        self.twin, self.observe, self.slot = ScriptedEnv(script), observe, Slot(schedule)
        self.reset_to(seed)

    def reset_to(self, seed):
        observation, info = self.env.reset(seed=seed)
        self.transparent(observation, self.twin.reset(seed=seed)[0])
        assert (info["bag_end"], info["reward_observed"]) == (False, False)
        self.slot.begin()
        self.over = False

    def transparent(self, observation, other):
        assert (observation[:3] == other).all()
        assert len(observation) == 3 + self.observe

    @rule(seed=st.none() | st.integers(0, 99))
    def reset(self, seed):
        self.reset_to(seed)

    @precondition(lambda self: not self.over)
    @rule()
    def step(self):
        observation, paid, terminated, truncated, info = self.env.step(0)
        other, reward, *ends, _ = self.twin.step(0)
        self.over = terminated or truncated
        assert [terminated, truncated] == ends
        assert type(paid) is float
        self.transparent(observation, other)
        self.slot.check(reward, self.over, paid, info, observation[3] if self.observe else None)

    @invariant()
    def steps_one_to_one(self):
        assert not hasattr(self, "env") or self.env.unwrapped.calls == self.twin.calls


class VectorMachine(RuleBasedStateMachine):
    """A vector environment; subclasses name the autoreset mode."""

    mode: AutoresetMode

    @initialize(
        schedule=schedules(),
        slot_scripts=st.lists(scripts(max_steps=6), min_size=2, max_size=2),
        observe=st.booleans(),
        seed=st.integers(0, 99),
    )
    def make(self, schedule, slot_scripts, observe, seed):
        self.envs = vector.DelayedReward(scripted_vector(slot_scripts, self.mode), schedule, observe_bag=observe)
        self.twins, self.observe = scripted_vector(slot_scripts, self.mode), observe
        self.slots = [Slot(schedule) for _ in slot_scripts]
        self.reset(seed)

    @rule(seed=st.none() | st.integers(0, 99))
    def reset(self, seed):
        self._reset(seed, np.ones(2, dtype=bool), None)

    @rule(seed=st.none() | st.integers(0, 99), first=st.booleans(), second=st.booleans())
    def masked_reset(self, seed, first, second):
        mask = np.array([first, second])
        if mask.any():
            options = {"reset_mask": mask.copy()}
            self._reset(seed, mask, options)
            assert options.keys() == {"reset_mask"}
            assert (options["reset_mask"] == mask).all()

    def _reset(self, seed, mask, options):
        observations, infos = self.envs.reset(seed=seed, options=options)
        others, _ = self.twins.reset(seed=seed, options=None if options is None else {"reset_mask": mask.copy()})
        assert (observations[:, :3] == others).all()
        assert not infos["bag_end"].any()
        assert (infos["_bag_end"] == mask).all()
        for slot in np.flatnonzero(mask):
            self.slots[slot].begin()
        self.done = np.where(mask, False, self.done) if options is not None else np.zeros(2, dtype=bool)
        if self.observe:
            assert (observations[:, 3] == [len(slot.bag) for slot in self.slots]).all()

    @precondition(lambda self: self.mode is not AutoresetMode.DISABLED or not self.done.any())
    @rule()
    def step(self):
        observations, paid, terminated, truncated, infos = self.envs.step(np.zeros(2, dtype=int))
        others, rewards, *ends, _ = self.twins.step(np.zeros(2, dtype=int))
        assert (observations[:, :3] == others).all()
        assert (np.array([terminated, truncated]) == ends).all()
        done = terminated | truncated
        for number, slot in enumerate(self.slots):
            if self.done[number] and self.mode is AutoresetMode.NEXT_STEP:
                assert paid[number] == 0.0
                assert not infos["bag_end"][number]
                slot.begin()
                continue
            told = infos["final_info"] if done[number] and self.mode is AutoresetMode.SAME_STEP else infos
            info = {key: bool(told[key][number]) for key in ("bag_end", "reward_observed")}
            slot.check(rewards[number], bool(done[number]), float(paid[number]), info)
        if self.observe:
            assert (observations[:, 3] == [len(slot.bag) for slot in self.slots]).all()
        self.done = done


class NextStepMachine(VectorMachine):
    mode = AutoresetMode.NEXT_STEP


class SameStepMachine(VectorMachine):
    mode = AutoresetMode.SAME_STEP


class DisabledMachine(VectorMachine):
    mode = AutoresetMode.DISABLED


TestSingle = SingleMachine.TestCase
TestNextStep = NextStepMachine.TestCase
TestSameStep = SameStepMachine.TestCase
TestDisabled = DisabledMachine.TestCase
for machine in (TestSingle, TestNextStep, TestSameStep, TestDisabled):
    machine.settings = settings(stateful_step_count=60)
del machine  # else it would be collected once more
