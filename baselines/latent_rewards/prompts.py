"""What a language model is told, so that it writes the function that says factors of a step."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym

from bagged_envs.baselines.latent_rewards.bundled import TEXTS, read, task_name
from bagged_envs.baselines.latent_rewards.forms import action_parts, listed, observation_parts
from bagged_envs.make import dense
from bagged_envs.registration import env_id, spec_of
from bagged_envs.tasks import TASKS
from bagged_envs.wrappers.arguments import known

Mode = Literal["factors", "reward"]
MODES: tuple[Mode, ...] = ("factors", "reward")
FIELDS = ("understanding", "analysis", "function")

_ROLE = """\
You know a lot about reinforcement learning, and write Python that is easy to check. Think step by step:

1. Understand the task, and what the elements of an observation and of an action say.
2. Analyze which behaviors are good and which are bad for the task, and by which elements one can see them.
3. {assignment}"""

_ASSIGNMENTS: dict[Mode, str] = {
    "factors": """\
Write a function `evaluation_func(observation, action)` that judges steps from different aspects: a few factors,
   four to six as a rule, each of which a person can understand. They shall be no sum that weighs all up: how much each
   of them matters is learned later, from what the agent is paid.""",
    "reward": """\
Write a function `evaluation_func(observation, action)` that returns the reward of steps: one number that weighs all
   that matters up. An agent will learn from it alone.""",
}

_RETURNS: dict[Mode, str] = {
    "factors": "It returns a list of arrays, one for each factor, each of shape (batch, 1).",
    "reward": "It returns a list with exactly one array, the reward, of shape (batch, 1).",
}

_RULES = """\
Rules for the function:
- `observation` and `action` are NumPy arrays of float64, of shape (batch, dim); each row is a step of its own.
- {returns}
- Row i of what it returns depends on row i of the inputs alone: no mean, sum, sort or scale over the batch.
- All numbers it returns are finite, smaller than 1e6 in magnitude, and not the same in all steps.
- Use only the information that is given here. Use as few elements of the observation as are needed.
- Write generic and complete code, with nothing left to fill in. Never divide by what may be zero.
- The code is the function, and before it `import numpy as np`: nothing else may be imported.
- Use arithmetic, comparisons, slices, `if`, `for` and NumPy's functions on arrays, such as np.square, np.sqrt, np.exp,
  np.tanh, np.abs, np.sum, np.clip, np.maximum, np.where, np.concatenate and np.linalg.norm.
- Refused are: `while`, `try`, `with`, `class`, `lambda`, `assert`, `print`, `isinstance`, f-strings and all other
  strings but docstrings, arguments with a star, names that begin with an underscore, and writing into `observation` or
  `action`.

Answer as JSON with exactly three fields, all of them strings: "understanding" (of the task and of the elements),
"analysis" (of good and bad behaviors), and "function" (the source code)."""


@dataclass(frozen=True)
class TaskText:
    """What a language model is told of a task.

    Attributes:
        task: What the agent or the agents are, and what they shall do.
        observation_form: How many elements an observation has, and what each of them means.
        action_form: The same of an action.
    """

    task: str
    observation_form: str
    action_form: str

    def __post_init__(self) -> None:
        """Check that nothing is empty.

        Raises:
            TypeError: A text is not a string.
            ValueError: A text is empty.
        """
        for name, text in vars(self).items():
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a string, got {text!r} of type {type(text).__name__}.")
            if not text.strip():
                raise ValueError(f"{name} must say something, got {text!r}: a model knows nothing but these texts.")


def task_text(env_or_id: gym.Env[Any, Any] | str, **kwargs: Any) -> TaskText:
    """Return the text of a task of ours: where an environment has metadata, its forms come from them.

    Of several agents it describes one's observation and action.

    Args:
        env_or_id: An environment made from an ID of ours, or such an ID, of any variant.
        **kwargs: Of the task, for an ID, as for `gym.make`.

    Raises:
        TypeError: There are arguments for an environment, which is made already.
        ValueError: The task has no text, or the environment observes something else than its task.

    Example:
        >>> print(task_text("BaggedReacher-v0").action_form)
        2 dimensions.
        0: motor of joint joint0, from -1 to 1
        1: motor of joint joint1, from -1 to 1
    """
    remedy = "give TaskText(task=..., observation_form=..., action_form=...) with words of your own"
    if isinstance(env_or_id, gym.Env):
        if kwargs:
            raise TypeError(f"{sorted(kwargs)} have no use with an environment, which is made already: pass its ID.")
        return _told(env_or_id, read(*TEXTS, _id_of(env_or_id, remedy), remedy))
    text = read(*TEXTS, env_or_id, remedy)
    env = dense(_makeable(env_or_id), **kwargs)
    try:
        return _told(env, text)
    finally:
        env.close()


def role_instruction(mode: Mode = "factors") -> str:
    """Return what a model shall do, the same for all tasks.

    Args:
        mode: "factors" for factors of steps, "reward" for the reward itself.

    Raises:
        ValueError: `mode` is neither.
    """
    known("mode", mode, MODES)
    role = _ROLE.format(assignment=_ASSIGNMENTS[mode])
    return f"{role}\n\n{_RULES.format(returns=_RETURNS[mode])}"


def message(text: TaskText, mode: Mode = "factors") -> str:
    """Return the one message that a model gets: the task, what is observed, what is done, and what it shall do.

    Raises:
        ValueError: `mode` is unknown.
    """
    parts = {"Task": text.task, "Observation": text.observation_form, "Action": text.action_form}
    told = [f"{title}\n{part.strip()}" for title, part in parts.items()]
    return "\n\n".join([*told, role_instruction(mode)])


def _told(env: gym.Env[Any, Any], text: str) -> TaskText:
    said = tomllib.loads(text)
    observed = observation_parts(env, said.get("observation", ()))
    acted = action_parts(env, said.get("action", ()))
    return TaskText(said["task"].strip(), listed(observed, said.get("note", "")), listed(acted))


def _makeable(id: str) -> str:
    """Return an ID of ours: the Bagged variant's for a task's name, and for the Gymnasium ID that it is built on."""
    name = task_name(id)
    if name is not None and (id == name or spec_of(id).id == TASKS[name].base_id):
        return env_id("Bagged", name)
    return id


def _id_of(env: gym.Env[Any, Any], remedy: str) -> str:
    spec = env.unwrapped.spec
    if spec is None:
        raise ValueError(f"env_or_id={env} has no spec to find its task by: pass its ID, or {remedy}.")
    return spec.id
