"""Writes what the documents show of tables and of semantics: run it after a change, `--check` says what is stale.

    python docs/generate.py [--check]

`docs/tasks.md` is made from the tables of tasks and variants and from `docs/random_policy.csv`; the pages in
`docs/environments` and `docs/methods` from rows and docstrings (`pages.py`, `methods.py`), and pictures that are
missing are drawn. Tables between `<!-- generated: NAME -->` and `<!-- end -->` are made by running the wrappers on
scripted episodes in `docs/concepts.md`, and from the files in `docs/results` elsewhere (`outcomes.py`).
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import methods
import numpy as np
import outcomes
import pages
from gymnasium.vector import AutoresetMode
from tables import HIDDEN, cell, filled, item, random_policy, spread, successes, table

from bagged_envs.describe import success_text
from bagged_envs.registration import supports
from bagged_envs.suites import dm_control, mujoco
from bagged_envs.suites.row import Task
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers import BaggedReward, EpisodicReward, PartiallyLabeledReward, SparseReward, parallel, vector

DOCS = Path(__file__).parent
CONCEPTS, TASKS = DOCS / "concepts.md", DOCS / "tasks.md"
POWERS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


# One environment.


def steps(env: Any, seed: int | None = 0, episodes: int = 1, more: Sequence[str] = ()) -> str:
    """Play whole episodes and show every step."""
    twin, keys, rows = ScriptedEnv(env.unwrapped.script), ("bag_end", "reward_observed", *more), []
    for number in range(episodes):
        env.reset(seed=seed if number == 0 else None)
        twin.reset(seed=seed if number == 0 else None)
        t, over = 0, False
        while not over:
            _, paid, terminated, truncated, info = env.step(0)
            dense = twin.step(0)[1]
            t, over = t + 1, terminated or truncated
            ends = " and ".join(word for word, said in (("terminated", terminated), ("truncated", truncated)) if said)
            counted = [number + 1, t] if episodes > 1 else [t]
            rows.append([*counted, dense, paid, *(info[key] for key in keys), ends])
    counted = ["episode", "t"] if episodes > 1 else ["t"]
    return table([*counted, "dense reward", "paid", *(f"`{key}`" for key in keys), "ends"], rows)


def script(length: int, **ends: bool) -> list[Any]:
    return [episode(POWERS[:length], **ends)]


TRUNCATED = {"terminated": False, "truncated": True}


def reset_in_mid_bag() -> str:
    env = BaggedReward(ScriptedEnv(script(7)), 3)
    rows = []
    for calls in (2, 4):
        _, info = env.reset(seed=0)
        rows.append(["`reset()`", HIDDEN, HIDDEN, info["bag_end"], info["reward_observed"]])
        for t in range(1, calls + 1):
            _, paid, _, _, info = env.step(0)
            rows.append([t, POWERS[t - 1], paid, info["bag_end"], info["reward_observed"]])
    return table(["t", "dense reward", "paid", "`bag_end`", "`reward_observed`"], rows)


def partially(bag_len: int, unit: str, episodes: int = 1) -> str:
    env = PartiallyLabeledReward(ScriptedEnv(script(4)), 0.5, bag_len=bag_len, label_unit=unit)
    return steps(env, seed=1, episodes=episodes)


def sparse() -> str:
    env = SparseReward(ScriptedEnv([episode(POWERS[:3]), episode(POWERS[:4])]), "return", 10.0)
    return steps(env, episodes=2, more=["is_success"])


# Vector environments: slot 0 has episodes of two steps, slot 1 of four.


def autoreset(mode: AutoresetMode) -> str:
    scripts = [[episode([1.0, 2.0]), episode([10.0, 20.0])], [episode([4.0, 8.0, 16.0, 32.0])]]
    envs, twins = vector.BaggedReward(scripted_vector(scripts, mode), 3), scripted_vector(scripts, mode)
    envs.reset(seed=0)
    twins.reset(seed=0)
    rows, done = [], np.zeros(2, dtype=bool)
    for number in range(1, 6):
        if mode is AutoresetMode.DISABLED and done.any():
            for each in (envs, twins):
                each.reset(options={"reset_mask": done.copy()})
            rows.append([f"`reset` of {', '.join(map(str, np.flatnonzero(done)))}", *[HIDDEN] * 6])
        _, paid, terminated, truncated, infos = envs.step(np.zeros(2, dtype=int))
        dense = twins.step(np.zeros(2, dtype=int))[1]
        only_reset = done & (mode is AutoresetMode.NEXT_STEP)
        done = terminated | truncated
        rows.append([f"`step` {number}", *_slots(mode, infos, paid, dense, done, only_reset)])
    return table(["call", *(f"{word} {i}" for i in range(2) for word in ("dense", "paid", "`bag_end`"))], rows)


def _slots(mode: AutoresetMode, infos: Any, paid: Any, dense: Any, done: Any, only_reset: Any) -> Iterable[Any]:
    for i in range(2):
        final = mode is AutoresetMode.SAME_STEP and done[i]
        border = cell(bool(infos["final_info"]["bag_end"][i])) + ", in `final_info`" if final else infos["bag_end"][i]
        yield from ("reset" if only_reset[i] else dense[i], paid[i], border)


# Agents: one dies after two steps.


def agents(team_reward: str) -> str:
    scripts = {"agent_0": episode([1.0, 2.0]), "agent_1": episode([10.0, 20.0, 40.0, 80.0])}
    env = parallel.BaggedReward(ScriptedParallelEnv(scripts), 3, team_reward=team_reward)
    twin = ScriptedParallelEnv(scripts)
    env.reset(seed=0)
    twin.reset(seed=0)
    rows, t = [], 0
    while env.agents:
        actions, t = dict.fromkeys(env.agents, 0), t + 1
        _, paid, _, _, infos = env.step(actions)
        _, dense, _, _, _ = twin.step(actions)
        row = [t]
        for agent in scripts:
            here = agent in paid
            row += [dense[agent], paid[agent], infos[agent]["bag_end"]] if here else ["gone", HIDDEN, HIDDEN]
        rows.append(row)
    return table(["t", *(f"{word} {agent[-1]}" for agent in scripts for word in ("dense", "paid", "`bag_end`"))], rows)


WORKED: dict[str, Callable[[], str]] = {
    "bagged": lambda: steps(BaggedReward(ScriptedEnv(script(7, **TRUNCATED)), 3)),
    "terminated": lambda: steps(BaggedReward(ScriptedEnv(script(5)), 3)),
    "both": lambda: steps(BaggedReward(ScriptedEnv(script(4, truncated=True)), 3)),
    "random lengths": lambda: steps(BaggedReward(ScriptedEnv(script(7)), (1, 4)), seed=2),
    "reset in mid-bag": reset_in_mid_bag,
    "episodic": lambda: steps(EpisodicReward(ScriptedEnv(script(4, **TRUNCATED)))),
    "labels per step": lambda: partially(1, "step"),
    "labels per bag": lambda: partially(2, "bag", 2),
    "labels per episode": lambda: partially(2, "episode", 3),
    "sparse": sparse,
    "next step": lambda: autoreset(AutoresetMode.NEXT_STEP),
    "same step": lambda: autoreset(AutoresetMode.SAME_STEP),
    "disabled": lambda: autoreset(AutoresetMode.DISABLED),
    "per agent": lambda: agents("per_agent"),
    "team sum": lambda: agents("sum"),
    "team mean": lambda: agents("mean"),
}


def concepts() -> str:
    """The page of concepts with its tables made anew."""
    return filled(CONCEPTS, WORKED)


# The page of tasks.


def tagged(tasks: Iterable[Task]) -> str:
    """Every tag with its tasks."""
    tasks = list(tasks)
    tags = sorted({tag for task in tasks for tag in task.tags})
    return "\n".join(item(f"`{tag}`: {', '.join(task.name for task in tasks if tag in task.tags)}.") for tag in tags)


def mujoco_page(rows: dict[str, dict[str, str]]) -> str:
    overview = [[task.name, task.summary, task.max_episode_steps, f"`{task.base_id}`"] for task in mujoco.TASKS]
    reached = []
    for task in mujoco.TASKS:
        row = rows[task.name]
        returns, measures = spread(row["mean_return"], row["sd_return"]), spread(row["mean_measure"], row["sd_measure"])
        reached.append([task.name, f"{float(row['mean_steps']):.4g}", returns, measures, successes(row)])
    hidden = [[task.name, ", ".join(f"`{key}`" for key in task.reward_info_keys)] for task in mujoco.TASKS]
    return MUJOCO_PAGE.format(
        overview=table(["task", "what is to be done", "horizon", "base ID"], overview),
        criteria="\n".join(
            item(f"**{task.name}**: {success_text(task)}. Source: {task.success_source}.") for task in mujoco.TASKS
        ),
        reached=table(["task", "steps", "dense return", "what the criterion measures", "successes"], reached),
        hidden=table(["task", "removed from info"], hidden),
        version=rows["Ant"]["engine"].removeprefix("mujoco "),
        tags=tagged(mujoco.TASKS),
    )


def dmc_page(rows: dict[str, dict[str, str]]) -> str:
    lines = []
    for task in dm_control.TASKS:
        row = rows[task.name]
        returns = spread(row["mean_return"], row["sd_return"]) if row["mean_return"] else row["reason"]
        lines.append([task.name, dmc_name(task), returns, successes(row) if row["mean_return"] else HIDDEN])
    needs = "\n".join(f"- `{task.name}` needs {task.needs}." for task in dm_control.TASKS if task.needs)
    lqr = next(task for task in dm_control.TASKS if task.success == "terminated")
    others = next(task for task in dm_control.TASKS if task.success == "return")
    return DMC_PAGE.format(
        horizon=dm_control.HORIZON,
        native=sum(task.batch is not None for task in dm_control.TASKS),
        engines=", ".join(task.name for task in dm_control.TASKS if task.batch is not None),
        criterion=success_text(others),
        criterion_source=others.success_source,
        lqr=success_text(lqr),
        lqr_source=lqr.success_source,
        table=table(["task", "dm_control", "dense return of a random policy", "successes"], lines),
        needs=needs,
    )


def dmc_name(task: Task) -> str:
    return f"{task.kwargs['domain']}, {task.kwargs['task']}"


def tasks() -> str:
    """The page of tasks."""
    rows = random_policy()
    variants = [
        [
            v.name,
            v.summary,
            ", ".join(
                f"`{key}={value!r}`" for key, value in v.arguments.items() if key in ("bag_len", "label_fraction")
            ),
        ]
        for v in VARIANTS.values()
    ]
    every = [*mujoco.TASKS, *dm_control.TASKS, *pages.TASKS.values()]
    return PAGE.format(
        count=len(every),
        ids=sum(supports(task, variant) for task in every for variant in VARIANTS.values()),
        dense=sum(task.ours for task in every),
        without=sum(task.success is None for task in every),
        variants=table(["variant", "pays", "default"], variants),
        mujoco=mujoco_page(rows).strip(),
        dmc=dmc_page(rows).strip(),
        particle=pages.overview("particle"),
        mpe=pages.overview("mpe"),
        mpe_version=rows["SimpleSpread"]["engine"],
        symbolic=pages.overview("symbolic"),
        hidden=HIDDEN,
    )


PAGE = """\
<!-- Made by docs/generate.py from the tables of tasks and variants: change those, not this page. -->

# Tasks

{count} tasks in up to four variants are {ids} IDs: `<Variant><Task>-v0`, such as `BaggedHalfCheetah-v0`. {without}
tasks have no criterion of success, and so no Sparse variant. `bagged_envs.list_ids(suite=, variant=, tag=)` lists the
IDs; `bagged-envs describe ID` says everything about one. The {dense} tasks of our own have an ID without delay as well,
such as `KeyDoor-v0`. [Environments](environments/index.md) has a page for each of them and for the scenarios of mpe2.

{variants}

Every argument of the schedule is a keyword of `gym.make`, and so is every argument of the task itself.

{mujoco}

{dmc}

## Several agents: particle world

Installed by `pip install "bagged_envs[marl]"`. Four tasks on a particle world of our own, whose physics is mpe2's. The
time limit is 25 steps. [Several agents](agents.md) says how `gym.make`, PettingZoo and EPyMARL see them. Tags:
`multi-agent`, `discrete`, and `cooperative` or `competitive`.

Random returns here and below: uniformly random actions of the first team, 20 episodes each, summed over the team; means
± standard deviations over episodes.

{particle}

## mpe2

Installed by `pip install "bagged_envs[marl]"`. Every scenario of mpe2, as it is; the time limit is 25 steps. Tags as
above. Random returns with {mpe_version}.

{mpe}

## Symbolic

Nothing more to install. Small tasks for one agent, whose states can be counted and whose optimal expected returns are
known exactly. Tags: `discrete`, `tabular`, `terminates`, and `stochastic` for PocketWatch.

{symbolic}

A time limit of {hidden} means that the task ends every episode by itself.

## References

- Tassa and others: *DeepMind Control Suite*. arXiv 1801.00690, 2018.
- Towers and others: *Gymnasium: A Standard Interface for Reinforcement Learning Environments*. arXiv 2407.17032, 2024.
- *Latent Reward: LLM-Empowered Credit Assignment in Episodic Reinforcement Learning* (LaRe). arXiv 2412.11120, 2024.
"""

MUJOCO_PAGE = """\
## Gymnasium's MuJoCo tasks

Installed by `pip install "bagged_envs[mujoco]"`. Observations, actions and dynamics are those of the base ID, to the
bit; they differ slightly between MuJoCo's versions, so write the version down.

{overview}

Tags, for `bagged_envs.list_ids(tag=...)`:

{tags}

### Success in the Sparse variants

`threshold=` chooses another threshold, `success=` another criterion.

{criteria}

HalfCheetah's default of 50 m follows the released code of LaRe; the text of its paper says 500, which is
`gym.make("SparseHalfCheetah-v0", threshold=500)`.

### What a random policy reaches

Uniform random actions, 20 episodes each, MuJoCo {version}: means ± standard deviations over episodes.

{reached}

### What info hides

These keys are the dense reward or terms of it, and are removed unless `expose_reward=True`.

{hidden}
"""

DMC_PAGE = """\
## DeepMind Control Suite

Installed by `pip install "bagged_envs[dmc]"` (Python below 3.13). Every task of `dm_control.suite`, through shimmy's
class; observations flattened to float32 (`flatten=False` keeps the Dict, `dtype="float64"` the precision). The time
limit is {horizon} steps. Info is empty but for the keys of the delay. {native} tasks also have a native engine, equal
to the bit ([Vectors](vector.md)): {engines}.

Success in the Sparse variants: {criterion} ({criterion_source}).
LQR: {lqr} ({lqr_source}).

Tags, for `bagged_envs.list_ids(tag=...)`: `continuous`, and the name of the domain, such as `humanoid_CMU`.

{needs}
- LQR draws its masses and springs while it is loaded; here they are always those of one fixed seed.

A random policy, 20 episodes of {horizon} steps each: uniform actions (LQR, whose forces have no bounds: standard
normal), means ± standard deviations over episodes.

{table}
"""

PAGES: dict[Path, Callable[[], str]] = {CONCEPTS: concepts, TASKS: tasks}
PAGES |= pages.PAGES | methods.pages_of_methods() | outcomes.PAGES


def stale() -> list[Path]:
    """The pages that are not as they would be made now."""
    return [page for page, make in PAGES.items() if not page.exists() or page.read_text() != make()]


def without_picture() -> list[Task]:
    """The tasks whose picture is missing: how a picture looks may depend on versions, so only that is asked."""
    return [task for task in pages.TASKS.values() if not pages.picture_of(task).exists()]


def main(arguments: Sequence[str]) -> int:
    old, bare = stale(), without_picture()
    if "--check" in arguments:
        for path in (*old, *map(pages.picture_of, bare)):
            print(f"{path.relative_to(DOCS.parent)} is stale: run python docs/generate.py", file=sys.stderr)
        return int(bool(old or bare))
    for page in old:
        page.parent.mkdir(exist_ok=True)
        page.write_text(PAGES[page]())
        print(f"written: {page.relative_to(DOCS.parent)}")
    for task in bare:
        pages.save(task)
        print(f"drawn: {pages.picture_of(task).relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
