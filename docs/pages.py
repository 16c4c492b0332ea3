"""One page per task of our own and per scenario of mpe2, from its row, its docstring and itself; `generate.py` writes.

A page's picture is drawn by the task. `generate.py` draws it where it is missing; to have it drawn anew, delete it.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from tables import HIDDEN, random_policy, spread, successes, table, wrapped

import bagged_envs
from bagged_envs.describe import success_text
from bagged_envs.registration import FACE, env_id, supports
from bagged_envs.suites import mpe, particle, symbolic
from bagged_envs.suites.row import Task
from bagged_envs.testing.rollout import random_actions
from bagged_envs.variants import VARIANTS

FOLDER = Path(__file__).parent / "environments"
PICTURES = FOLDER / "pictures"
FAMILIES = {"particle": particle.TASKS, "mpe": mpe.TASKS, "symbolic": symbolic.TASKS}
TASKS = {task.name: task for tasks in FAMILIES.values() for task in tasks}
STEPS = 12  # random ones, after which a picture is taken
# Of others: actions after which it is taken, and what it then shows.
SCENES = {
    "KeyDoor": ([0] * 4 + [3] * 4 + [2] * 2 + [1] * 8, "the agent has the key and walks the corridor to the treasure"),
    "PocketWatch": ([0] * 25, "a repaired watch; below it traffic jams, flat tires and time"),
    "HiddenDoor": ([1] * 6 + [2], "the lamp is lit and the door still shut; the small disc marks the hidden button"),
    "TraceBack": ([0], "one step made; golden rows win after the next, below is time"),
    "ChargeDischarge": ([0, 1, 0, 1, 0], "charged; below is time"),
}
HUNT = "predators red, prey green, obstacles gray"
LEGENDS = {
    "CooperativeNavigation": "agents blue; around each landmark the circle in which it is covered",
    "PredatorPrey": HUNT,
    "CompetitivePredatorPrey": HUNT,
    "TriangleArea": "agents blue, obstacles gray",
}
# Of the default arguments, as the classes say; tests/envs solves the tasks exactly.
OPTIMAL = {"KeyDoor": 8.0, "PocketWatch": 1.75, "HiddenDoor": 3.0, "TraceBack": 10.0, "ChargeDischarge": 50.0}
MADE = "<!-- Made by docs/generate.py from the task's row and docstring: change those, not this page. -->"


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


# Docstrings.


def docstring_of(task: Task) -> str:
    return inspect.getdoc(load_env_creator(task.factory or task.batch)) or ""


def sections(docstring: str) -> dict[str, str]:
    """The sections of a class's docstring, what precedes the first under "": text on the title's line or below it."""
    found, name = {"": ""}, ""
    for line in docstring.splitlines():
        title = re.fullmatch(r"([A-Z]\w+):(.*)", line)
        if title:
            name, line = title[1], title[2].strip()
            found[name] = ""
        found[name] += f"{line.removeprefix('    ')}\n"
    return {name: text.strip() for name, text in found.items()}


def markdown(text: str, here: str) -> str:
    """A section as Markdown: strings as code, names of other tasks as links to their pages."""
    parts = text.split("`")
    parts[::2] = [re.sub(r'"(\w+)"', r'`"\1"`', part) for part in parts[::2]]
    text = "`".join(parts)
    others = "|".join(name for name in TASKS if name != here)
    return re.sub(rf"`({others})`", lambda match: f"[{match[1]}]({snake(match[1])}.md)", text)


def meanings(text: str) -> dict[str, str]:
    """What a section says of each argument: in lines "name: text", or in a sentence "`name` (text), `name` (text)."."""
    if text.startswith("`"):
        text = re.sub(r",\s+default \S+(?=\))", "", text)
        pieces = re.split(r"(?<=\)), (?=`)", " ".join(text.split()).removesuffix("."))
        named = (re.match(r"`(\w+)`,? (.*)", piece) for piece in pieces)
        return {match[1]: re.sub(r"^\((.*)\)$", r"\1", match[2]) for match in named if match}
    lines = re.split(r"\n(?=\w+: )", text)
    return {name: " ".join(said.split()) for name, said in (line.split(": ", 1) for line in lines)}


# Parts of a page.


def ids(task: Task) -> str:
    rows = [[f"`{env_id(v.name, task.name)}`", v.summary] for v in VARIANTS.values() if supports(task, v)]
    if task.ours:
        rows.append([f"`{env_id('', task.name)}`", "the dense reward of every step"])
    told = table(["ID", "pays"], rows)
    if task.batch is not None:
        told += "\n\n`bagged_envs.make_vec` steps many copies of it in one NumPy call."
    if task.success is None:
        told += "\n\nThere is no Sparse variant, because there is no criterion of success."
    if not task.ours:
        told += f'\n\n`bagged_envs.dense("{env_id("Bagged", task.name)}")` makes the task without delay.'
    return told


def arguments(task: Task) -> str:
    defaults = {key: value for key, value in task.kwargs.items() if key not in ("scenario", *FACE)}
    if task.suite == "mpe":
        defaults = {**mpe_arguments(task), **defaults}
        rows = [[f"`{name}`", f"`{value!r}`"] for name, value in defaults.items()]
        return f"mpe2's own; what they mean, mpe2 says.\n\n{table(['argument', 'default'], rows)}"
    said = meanings(sections(docstring_of(task))["Arguments"])
    rows = [[f"`{name}`", f"`{value!r}`", markdown(said[name], task.name)] for name, value in defaults.items()]
    modes = ", ".join(f'`"{mode}"`' for mode in render_modes(task))
    rows.append(["`render_mode`", "`None`", f"{modes} or `None`"])
    return table(["argument", "default", "meaning"], rows)


def mpe_arguments(task: Task) -> dict[str, Any]:
    creator = importlib.import_module(f"mpe2.{task.kwargs['scenario']}").raw_env
    left_out = ("max_cycles", "render_mode")
    parameters = inspect.signature(creator).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name not in left_out}


def render_modes(task: Task) -> list[str]:
    return gym.make(env_id("Bagged", task.name)).metadata["render_modes"]


def limits(task: Task) -> str:
    horizon = f"The time limit is {task.max_episode_steps} steps; `max_episode_steps=` sets another."
    if task.max_episode_steps is None:
        horizon = "There is no time limit: the task ends every episode by itself."
    if task.success is None:
        return horizon
    criterion = f"Success in the Sparse variant: {success_text(task)}. Source: {task.success_source}."
    return f"{horizon}\n\n{wrapped(criterion)}"


def info(task: Task, said: str) -> str:
    if not task.agents:
        return "Info is empty but for the keys of the delay."
    hidden = ", ".join(f"`{key}`" for key in task.reward_info_keys)
    told = f"Facts of the world, for N worlds in a vector as arrays: {' '.join(markdown(said, task.name).split())}"
    facts = f"{wrapped(told)}\n\n" if said else ""
    solved = ""
    if task.success == "solved":
        solved = "`solved` says in every step whether mpe2's criterion holds. "
    return facts + wrapped(
        f"{solved}The joint face tells `agent_rewards`, an array of the agents' own rewards, and `alive`, which of "
        f"them still act. Hidden, because they are the dense reward or tell of it, unless `expose_reward=True`: "
        f"{hidden}."
    )


def spaces(task: Task) -> str:
    env = gym.make(env_id("Bagged", task.name))
    whole = [["observation", f"`{short(env.observation_space)}`"], ["action", f"`{short(env.action_space)}`"]]
    if not task.agents:
        return table(["", "space"], whole)
    parallel = bagged_envs.make_parallel(env_id("Bagged", task.name))
    rows = []
    for team, members in parallel.teams.items():
        for kind in dict.fromkeys(agent.rpartition("_")[0] for agent in members):
            agents = [agent for agent in members if agent.rpartition("_")[0] == kind]
            each = (parallel.observation_space(agents[0]), parallel.action_space(agents[0]))
            rows.append([team, span(agents), *(f"`{short(space)}`" for space in each)])
    teams = table(["team", "agents", "each observes", "each acts in"], rows)
    name = "joint face" if len(parallel.teams) == 1 else f"joint face of {env.unwrapped.team}"
    face = table([name, "space"], whole)
    return f"{teams}\n\n{face}\n\n{others(task, parallel)}".strip()


def short(space: gym.Space) -> str:
    if isinstance(space, gym.spaces.MultiDiscrete):
        sizes = space.nvec.tolist()
        many = len(sizes) > 3 and len(set(sizes)) == 1
        return f"MultiDiscrete([{sizes[0]}] * {len(sizes)})" if many else f"MultiDiscrete({sizes})"
    if isinstance(space, gym.spaces.Dict):
        return f"Dict({', '.join(f'{name}: {short(each)}' for name, each in space.items())})"
    return repr(space)


def span(agents: list[str]) -> str:
    if len(agents) > 2:
        return f"`{agents[0]}` to `{agents[-1]}`"
    return ", ".join(f"`{agent}`" for agent in agents)


def others(task: Task, parallel: Any) -> str:
    if len(parallel.teams) == 1:
        return ""
    first, second, *_ = parallel.teams
    policies = getattr(getattr(parallel.unwrapped, "batch", None), "policies", {})
    names = ", ".join(f'`"{name}"`' for name in sorted({"random", "still", *policies}))
    default = task.kwargs.get("opponents", FACE["opponents"])
    return wrapped(
        f'`gym.make` acts for one team: for {first}, or with `team="{second}"` for {second}. The other team acts by '
        f'`opponents=`: {names}, or a callable; the default is `"{default}"`.'
    )


def reached(task: Task) -> str:
    row = random_policy()[task.name]
    who = "Uniformly random actions" + (" of the first team" if task.agents else "")
    lines = [
        [
            "dense return" + (", summed over the team" if task.agents else ""),
            spread(row["mean_return"], row["sd_return"]),
        ]
    ]
    if task.name in OPTIMAL:
        lines.append(["optimal expected return, exact", f"{OPTIMAL[task.name]:g}"])
    lines.append(["steps", f"{float(row['mean_steps']):.4g}"])
    if row["mean_measure"] and task.success not in ("return", "solved"):
        lines.append(["what the criterion measures", spread(row["mean_measure"], row["sd_measure"])])
    if task.success is not None:
        lines.append(["successes", successes(row)])
    engine = f" ({row['engine']})" if row["engine"] else ""
    figures = table(["", "reached"], lines)
    return f"{who}, {row['episodes']} episodes{engine}; means ± standard deviations over episodes.\n\n{figures}"


# Examples, whose output is what they print when the page is made.

SEEDS = {"SimpleTag": 49}  # others than 0, where random predators touch somebody
MOVES = "UP, RIGHT, DOWN, LEFT = range(4)"
SYMBOLIC_EXAMPLES = {
    "KeyDoor": [
        'env = gym.make("bagged_envs:EpisodicKeyDoor-v0", size=3, delay=2)',
        "observation, info = env.reset(seed=0)",
        "observation.tolist()",
        MOVES,
        "actions = (UP, UP, DOWN, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)",
        "[env.step(action)[1] for action in actions]",
    ],
    "PocketWatch": [
        'env = gym.make("bagged_envs:EpisodicPocketWatch-v0")',
        "observation, info = env.reset(seed=0)",
        "REPAIR, LEAVE = range(2)",
        "rewards = [env.step(action)[1] for action in (REPAIR, *[LEAVE] * 49)]",
        "rewards[0], round(rewards[-1], 3)",
    ],
    "HiddenDoor": [
        'env = gym.make("bagged_envs:BaggedHiddenDoor-v0", length=4, bag_len=2)',
        "observation, info = env.reset(seed=0)",
        "LEFT, RIGHT, PRESS = range(3)",
        "[env.step(action)[1] for action in (RIGHT, RIGHT, RIGHT, PRESS, RIGHT)]",
    ],
    "TraceBack": [
        'env = gym.make("bagged_envs:EpisodicTraceBack-v0", delay=5)',
        "observation, info = env.reset(seed=0)",
        MOVES,
        "[env.step(action)[1] for action in (UP, UP, DOWN, DOWN, DOWN)]",
    ],
    "ChargeDischarge": [
        'env = gym.make("bagged_envs:BaggedChargeDischarge-v0", delay=6, bag_len=3)',
        "observation, info = env.reset(seed=0)",
        "CHARGE, DISCHARGE = range(2)",
        "[env.step(action)[1] for action in (CHARGE, DISCHARGE) * 3]",
    ],
}


def example(task: Task) -> list[str]:
    """The lines of a task's example."""
    if not task.agents:
        return ["import gymnasium as gym", *SYMBOLIC_EXAMPLES[task.name]]
    return [
        "import gymnasium as gym",
        f'env = gym.make("bagged_envs:{env_id("Bagged", task.name)}", bag_len=10)',
        f"observation, info = env.reset(seed={SEEDS.get(task.name, 0)})",
        f"_ = env.action_space.seed({SEEDS.get(task.name, 0)})",
        "paid = [env.step(env.action_space.sample())[1] for step in range(25)]",
        "[(number, round(reward, 3)) for number, reward in enumerate(paid, 1) if reward]",
        "import bagged_envs",
        'own = {"team_reward": "per_agent"}',
        f'parallel = bagged_envs.make_parallel("{env_id("Episodic", task.name)}", **own)',
        f"observations, infos = parallel.reset(seed={SEEDS.get(task.name, 0)})",
        "while parallel.agents:\n"
        "    actions = dict.fromkeys(parallel.agents, 0)\n"
        "    rewards = parallel.step(actions)[1]",
        "{agent: round(reward, 3) for agent, reward in rewards.items()}",
    ]


def doctested(lines: list[str]) -> str:
    """Lines of Python as a doctest, with what they print."""
    names: dict[str, Any] = {}
    shown = []
    for line in lines:
        first, *rest = line.splitlines()
        shown += [f">>> {first}", *(f"... {more}" for more in rest)]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(f"{line}\n", "<example>", "single"), names)
        shown += out.getvalue().splitlines()
    text = "\n".join(shown)
    doctest.DocTestParser().get_examples(text)  # raises where it is none
    return f"```python\n{text}\n\n```"


# Pages.


def page(task: Task) -> str:
    """The page of a task."""
    said = sections(docstring_of(task)) if task.ours else mpe_sections(task)
    summary = said.pop("").splitlines()[0]
    told = [
        MADE,
        f"# {task.name}",
        summary,
        f"![{task.name}, drawn by the task](pictures/{snake(task.name)}.png)",
        f"*{caption(task)}.*",
        "## IDs",
        ids(task),
    ]
    for name in ("Description", "Observation", "Action", "Reward", "Termination", "Episode", "Policies"):
        if name in said:
            told += [f"## {name}", markdown(said[name], task.name)]
    told += [f"## {'Teams and spaces' if task.agents else 'Spaces'}", spaces(task)]
    if task.agents:
        told.append("What the faces of several agents are: [Several agents](../agents.md).")
    told += [
        "## Arguments",
        arguments(task),
        "## Time limit and success",
        limits(task),
        "## Info",
        info(task, said.get("Info", "")),
        "## What a random policy reaches",
        reached(task),
        "## Example",
        doctested(example(task)),
        "## Source",
        markdown(said["Source"], task.name),
    ]
    return "\n\n".join(told) + "\n"


def mpe_sections(task: Task) -> dict[str, str]:
    may_succeed = "terminate_on_success" in mpe_arguments(task)
    success = ", or with `terminate_on_success=True` by success" if may_succeed else ""
    return {
        "": f"{task.summary[0].upper()}{task.summary[1:]}.",
        "Description": wrapped(
            f"The scenario `mpe2.{task.kwargs['scenario']}` as it is: observations, actions, rewards and random "
            f"numbers are mpe2's. Its definition is in the module and in [mpe2's documentation]"
            f"(https://mpe2.farama.org/). An episode ends by its time limit{success}."
        ),
        "Source": wrapped(f"{task.source}."),
    }


INDEX = """\
# Environments

A page for every task of our own and for every scenario of mpe2. The tasks of Gymnasium's MuJoCo and of the DeepMind
Control Suite are their authors'; they are listed with the others in [Tasks](../tasks.md).
"""
TITLES = {
    "particle": ("Several agents: particle world", "Our own, on a particle world of our own."),
    "mpe": ("mpe2", "mpe2's scenarios, as they are."),
    "symbolic": ("Symbolic", "Our own, for one agent; small and solved exactly."),
}


def index() -> str:
    """The list of the pages."""
    told = [MADE, INDEX.strip()]
    for family, tasks in FAMILIES.items():
        title, summary = TITLES[family]
        names = "\n".join(snake(task.name) for task in tasks)
        told += [f"## {title}", summary, f"```{{toctree}}\n:maxdepth: 1\n\n{names}\n```"]
    return "\n\n".join(told) + "\n"


def maker(task: Task) -> Callable[[], str]:
    return lambda: page(task)


PAGES: dict[Path, Callable[[], str]] = {FOLDER / "index.md": index} | {
    FOLDER / f"{snake(task.name)}.md": maker(task) for task in TASKS.values()
}


# Pictures.


def picture_of(task: Task) -> Path:
    return PICTURES / f"{snake(task.name)}.png"


def caption(task: Task) -> str:
    if task.name in SCENES:
        return f"Drawn by the task, seed 0: {SCENES[task.name][1]}"
    legend = LEGENDS.get(task.name)
    return f"Drawn by the task, seed 0, after {STEPS} random steps" + (f": {legend}" if legend else "")


def draw(task: Task) -> Any:
    """What the task shows of itself, uint8 `(height, width, 3)`."""
    env = bagged_envs.dense(env_id("Bagged", task.name), render_mode="rgb_array")
    env.reset(seed=0)
    act = random_actions(env.action_space, 0)
    for action in SCENES[task.name][0] if task.name in SCENES else (act() for _ in range(STEPS)):
        env.step(action)
    shown = env.render()
    env.close()
    return framed(halved(shown)) if task.suite == "mpe" else shown


def halved(shown: Any) -> Any:
    """A picture at half its size."""
    height, width = (side // 2 * 2 for side in shown.shape[:2])
    blocks = shown[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def framed(shown: Any) -> Any:
    """A picture with a line around it: mpe2's are white, as pages are."""
    return np.pad(shown, ((1, 1), (1, 1), (0, 0)), constant_values=200)


def save(task: Task) -> None:
    """Draw a task's picture into its file."""
    from matplotlib.image import imsave

    PICTURES.mkdir(parents=True, exist_ok=True)
    imsave(picture_of(task), draw(task))


# Rows of the page of tasks.


def overview(family: str) -> str:
    figures, rows = random_policy(), []
    for task in FAMILIES[family]:
        row = figures[task.name]
        link = f"[{task.name}](environments/{snake(task.name)}.md)"
        returns = spread(row["mean_return"], row["sd_return"])
        if family == "symbolic":
            limit = task.max_episode_steps or HIDDEN
            rows.append([link, task.summary, limit, returns, f"{OPTIMAL[task.name]:g}", successes(row)])
        else:
            rows.append([link, task.summary, teams(task), returns, successes(row)])
    if family == "symbolic":
        return table(["task", "what is to be done", "time limit", "random return", "optimal return", "successes"], rows)
    return table(["task", "what is to be done", "agents by team", "random return", "successes"], rows)


def teams(task: Task) -> str:
    parallel = bagged_envs.make_parallel(env_id("Bagged", task.name))
    if len(parallel.teams) == 1:
        count = len(parallel.possible_agents)
        return f"{count} agent{'s' if count > 1 else ''}"
    return ", ".join(f"{team} ({len(members)})" for team, members in parallel.teams.items())
