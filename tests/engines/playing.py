"""Playing a native vector environment beside Gymnasium's own of the same ID."""

import copy

import numpy as np
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.testing.rollout import same

NAMES = ("observations", "rewards", "terminated", "truncated", "infos")


def pair(id, num_envs, mode=AutoresetMode.NEXT_STEP, num_threads=1, **arguments):
    """The native vector environment and `SyncVectorEnv`, dense rewards and all info keys shown."""
    kwargs = {"autoreset_mode": mode}
    given = {"expose_reward": True, **arguments}
    threads = {"num_threads": num_threads}
    native = bagged_envs.make_vec(id, num_envs, backend="native", vector_kwargs={**kwargs, **threads}, **given)
    return native, bagged_envs.make_vec(id, num_envs, backend="sync", vector_kwargs=kwargs, **given)


def assert_same(ours, theirs, when):
    """Both returned the same, to the bit, types and masks included."""
    names = NAMES if len(ours) == len(NAMES) else (NAMES[0], NAMES[-1])
    for name, mine, other in zip(names, ours, theirs, strict=True):
        assert same(mine, other), (when, name, mine, other)


def play(native, theirs, steps, seed, actions=None):
    """Play both, demand that they agree, and return how many episodes ended; random actions leave the Box at times."""
    disabled = native.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert_same(native.reset(seed=seed), theirs.reset(seed=seed), "reset")
    draw = np.random.default_rng(seed)
    low, high = native.action_space.low, native.action_space.high
    ends = 0
    for step in range(steps):
        chosen = (1.3 * draw.uniform(low, high)).astype(np.float32) if actions is None else actions(step)
        ours = native.step(chosen)
        assert_same(ours, theirs.step(copy.deepcopy(chosen)), step)
        ended = ours[2] | ours[3]
        ends += int(ended.sum())
        if disabled and ended.any():
            # Gymnasium 1.4 takes the mask out of the caller's options.
            both = [envs.reset(options={"reset_mask": ended.copy()}) for envs in (native, theirs)]
            assert_same(*both, f"reset after {step}")
    native.close()
    theirs.close()
    return ends
