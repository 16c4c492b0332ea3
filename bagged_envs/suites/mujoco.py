"""Gymnasium's MuJoCo tasks, version 5."""

from __future__ import annotations

from bagged_envs.suites.row import Task

_RUNNER = ("reward_forward", "reward_ctrl", "x_velocity", "x_position")
_WALKER = (*_RUNNER, "reward_survive")
# With y_position, which stays, distance_from_origin gives x_position back.
_HUMANOID = (*_WALKER, "reward_contact", "distance_from_origin")
_OURS = "our choice: "


def _task(
    name: str,
    summary: str,
    success: tuple[str, float, str],
    reward_info_keys: tuple[str, ...],
    tags: tuple[str, ...],
    max_episode_steps: int = 1000,
) -> Task:
    criterion, threshold, success_source = success
    return Task(
        name=name,
        suite="mujoco",
        summary=summary,
        base_id=f"{name}-v5",
        batch=f"bagged_envs.engines.mujoco_tasks:{name}",
        max_episode_steps=max_episode_steps,
        success=criterion,
        threshold=threshold,
        success_source=success_source,
        reward_info_keys=reward_info_keys,
        extra="mujoco",
        source=f"Gymnasium, {name}-v5",
        bibtex="towers2024gymnasium",
        tags=("continuous", *tags),
    )


# Where info carries x_velocity it is the reward's forward term (times its weight, 1 by default), and the difference of
# two x_positions over the time step is x_velocity: both are removed. So is the height that HumanoidStandup pays for.
TASKS: tuple[Task, ...] = (
    _task(
        "Ant",
        "a four-legged robot runs forward",
        ("distance", 50.0, _OURS + "as HalfCheetah, whose control step of 0.05 s it shares"),
        _HUMANOID,
        ("locomotion", "terminates"),
    ),
    _task(
        "HalfCheetah",
        "a planar two-legged robot runs forward",
        (
            "distance",
            50.0,
            "what the released code of LaRe (arXiv 2412.11120) amounts to: forward rewards that add up to more than "
            "1000, at 0.05 s per step; its text says a distance above 500 (threshold=500)",
        ),
        _RUNNER,
        ("locomotion",),
    ),
    _task(
        "Hopper",
        "a planar one-legged robot hops forward",
        ("distance", 10.0, _OURS + "about half of what Gymnasium's solved return of 3800 means, 22 m"),
        _WALKER,
        ("locomotion", "terminates"),
    ),
    _task(
        "Humanoid",
        "a humanoid robot walks forward",
        ("distance", 10.0, _OURS + "as Walker2d"),
        _HUMANOID,
        ("locomotion", "terminates"),
    ),
    _task(
        "HumanoidStandup",
        "a humanoid robot stands up",
        (
            "height",
            0.9,
            _OURS
            + "the torso 0.9 m above its start at 0.105 m, the lower end of what Humanoid-v5 calls healthy (1.0 m)",
        ),
        ("reward_linup", "reward_quadctrl", "reward_impact", "z_distance_from_origin"),
        ("standing",),
    ),
    _task(
        "InvertedDoublePendulum",
        "a cart balances two poles, one on the other",
        ("return", 9100.0, "Gymnasium's reward_threshold"),
        ("reward_survive", "distance_penalty", "velocity_penalty"),
        ("balance", "terminates"),
    ),
    _task(
        "InvertedPendulum",
        "a cart balances a pole",
        ("return", 950.0, "Gymnasium's reward_threshold"),
        ("reward_survive",),
        ("balance", "terminates"),
    ),
    _task(
        "Pusher",
        "an arm pushes an object to a goal",
        ("push_tolerance", 0.05, _OURS + "the radius that dm_control's reacher calls its big target"),
        ("reward_dist", "reward_ctrl", "reward_near"),
        ("manipulation",),
        max_episode_steps=100,
    ),
    _task(
        "Reacher",
        "an arm moves its fingertip to a target",
        ("reach_tolerance", 0.05, _OURS + "the radius that dm_control's reacher calls its big target"),
        ("reward_dist", "reward_ctrl"),
        ("manipulation",),
        max_episode_steps=50,
    ),
    _task(
        "Swimmer",
        "a three-link swimmer moves forward",
        ("distance", 10.0, _OURS + "about two thirds of what Gymnasium's solved return of 360 means, 14 m"),
        (*_RUNNER, "distance_from_origin"),
        ("locomotion",),
    ),
    _task(
        "Walker2d",
        "a planar two-legged robot walks forward",
        ("distance", 10.0, _OURS + "as Hopper, whose control step of 0.008 s it shares"),
        _WALKER,
        ("locomotion", "terminates"),
    ),
)
