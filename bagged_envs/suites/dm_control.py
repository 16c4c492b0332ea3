"""Every task of dm_control's suite, through shimmy's compatibility class."""

from __future__ import annotations

from typing import Any

from bagged_envs.suites.row import Task

# domain: its tasks, as dm_control.suite.ALL_TASKS lists them (a test compares).
DOMAINS: dict[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": ("balance", "balance_sparse", "swingup", "swingup_sparse", "two_poles", "three_poles"),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "lqr": ("lqr_2_1", "lqr_6_2"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}
# Those whose steps can call MuJoCo directly, to the same bits.
NATIVE: dict[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": ("balance", "balance_sparse", "swingup", "swingup_sparse", "two_poles", "three_poles"),
    "cheetah": ("run",),
    "hopper": ("stand", "hop"),
    "pendulum": ("swingup",),
    "walker": ("stand", "walk", "run"),
}
HORIZON = 1000
RETURN_THRESHOLD = 800.0


def camel_case(domain: str, task: str) -> str:
    """Return the table's name of a task.

    Example:
        >>> camel_case("humanoid_CMU", "stand"), camel_case("cartpole", "swingup_sparse")
        ('HumanoidCMUStand', 'CartpoleSwingupSparse')
    """
    return "".join(word[0].upper() + word[1:] for word in f"{domain}_{task}".split("_"))


def _task(domain: str, task: str) -> Task:
    lqr = domain == "lqr"
    return Task(
        name=camel_case(domain, task),
        suite="dmc",
        summary=f"dm_control's {domain}, {task}",
        factory="bagged_envs.suites.dm_control_engines:make",
        batch="bagged_envs.engines.dm_control_batch:DMControlBatch" if task in NATIVE.get(domain, ()) else None,
        kwargs={"domain": domain, "task": task, "flatten": True, "dtype": "float32"},
        max_episode_steps=HORIZON,
        success="terminated" if lqr else "return",
        threshold=None if lqr else RETURN_THRESHOLD,
        success_source=(
            "dm_control ends the episode when the state's norm falls below 1e-6"
            if lqr
            else "our choice: 800 of the 1000 that every suite task can pay at most"
        ),
        extra="dmc",
        source="Tassa et al. 2018, DeepMind Control Suite (arXiv 1801.00690); shimmy",
        bibtex="tassa2018dmcontrol",
        tags=("continuous", domain),
        needs="OpenGL to load its terrain" if (domain, task) == ("quadruped", "escape") else "",
    )


TASKS: tuple[Task, ...] = tuple(_task(domain, task) for domain, tasks in DOMAINS.items() for task in tasks)
__all__: list[Any] = ["DOMAINS", "HORIZON", "NATIVE", "TASKS", "camel_case"]
