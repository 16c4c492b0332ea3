"""Rendering needs OpenGL: EGL, or OSMesa, chosen by MUJOCO_GL before MuJoCo is imported."""

import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.render

TRY = """
import os
if os.environ.get("MUJOCO_GL") in ("disabled", "off", "0"):
    raise SystemExit("MUJOCO_GL=disabled")
import mujoco
context = mujoco.GLContext(8, 8)
context.make_current()
context.free()
"""


@pytest.fixture(scope="module")
def opengl():
    """Skip where no context can be made, with the reason; asked in another process, because it may abort."""
    result = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or [f"exit status {result.returncode}"]
        pytest.skip(f"no OpenGL: {reason[0]}")


@pytest.mark.parametrize("id", ["BaggedReacher-v0", "SparseCheetahRun-v0"])
def test_a_delayed_task_renders_what_its_dense_twin_renders(opengl, id):
    import gymnasium as gym

    import bagged_envs

    env = gym.make(id, render_mode="rgb_array")
    twin = bagged_envs.dense(env)
    frames = []
    for each in (env, twin):
        each.reset(seed=3)
        each.action_space.seed(0)
        for _ in range(5):
            each.step(each.action_space.sample())
        frames.append(each.render())
        each.close()
    assert frames[0].dtype == np.uint8
    assert frames[0].ndim == 3
    assert frames[0].std() > 0.0
    assert np.array_equal(*frames)


@pytest.mark.slow
def test_a_task_that_needs_opengl_to_load_passes_its_checks(opengl):
    from bagged_envs import check

    assert check.check_id("BaggedQuadrupedEscape-v0").outcome == check.PASSED
