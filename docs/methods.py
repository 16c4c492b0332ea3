"""One page per redistributor, from the table of all of them and their docstrings; `generate.py` writes."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from tables import table

from bagged_envs.baselines.redistributors import REDISTRIBUTORS, config_class, make_redistributor, reads_factors

FOLDER = Path(__file__).parent / "methods"
TITLES = {
    "identity": "Identity",
    "labels_only": "Labels only",
    "oracle": "Oracle",
    "uniform": "Uniform",
    "constant": "Constant",
    "ircr": "IRCR",
    "rd": "RD",
    "rrd": "RRD",
    "rrd_unbiased": "RRD, unbiased",
    "grd": "GRD",
    "diaster": "Diaster",
    "rbt": "Reward Bag Transformer",
    "rudder": "RUDDER",
    "arel": "AREL",
    "stas": "STAS",
    "tar2": "TAR2",
    "lare_rd": "LaRe-RD",
    "lare_rrd_unbiased": "LaRe-RRD, unbiased",
    "lare_sign": "LaRe without a reward model",
    "vib": "VIB",
    "reward_design": "Reward design",
    "imputer": "Imputer",
}
CONTEXTS = {"step": "the step", "label": "the step, and its bag's label and length", "bag": "all steps of the bag"}


def summary(name: str) -> str:
    """The first sentence of a redistributor's docstring."""
    return (inspect.getdoc(REDISTRIBUTORS[name]) or "").split("\n", 1)[0]


def example(name: str) -> Any:
    """A redistributor of this name, or its class where that tells as much."""
    if name == "reward_design":  # no task has a program for it
        return REDISTRIBUTORS[name]
    if reads_factors(name):
        return make_redistributor(name, observation_size=10, action_size=2, factors="Reacher")
    return make_redistributor(name, observation_size=1, action_size=1)


def facts(name: str) -> dict[str, str]:
    """What a redistributor declares."""
    made = example(name)
    return {
        "sees of a step": CONTEXTS[made.context],
        "sums of labels": "kept" if made.exact else "not kept",
        "rewards are": stored(made) if made.stored else "made anew when steps are drawn",
        "learners see": "steps of labeled bags" if made.only_labeled else "all steps",
        "an update": update(made.sampling),
        "updates": schedule(made),
    }


def stored(made: Any) -> str:
    steps = made.schedule.refresh
    return "stored after each burst of updates" + ("" if steps is None else f", those of {steps:,} steps in turn")


def update(sampling: Any) -> str:
    if sampling is None:
        return "none: there is nothing to learn"
    steps = "whole" if sampling.steps is None else f"{sampling.steps} random step{'s' * (sampling.steps > 1)} of each"
    weight = ", drawn in proportion to their lengths" if sampling.weight == "length" else ""
    enough = "" if sampling.enough is None else f", until they have {sampling.enough:,} steps"
    return f"{sampling.bags} bags, {steps}{weight}{enough}"


def schedule(made: Any) -> str:
    if made.sampling is None:
        return "none"
    when = made.schedule
    every = "each step" if when.every == 1 else f"every {when.every:,} steps"
    count = f"{when.updates:,} {every}" if when.first is None else f"{when.updates:,} {every}, {when.first:,} at first"
    return f"{count}, after {when.warm_up:,} steps" if when.warm_up else count


def described(made: type, option: str) -> str:
    return f"```{{eval-rst}}\n.. autoclass:: {made.__module__}.{made.__name__}\n   {option}\n```"


def page(name: str) -> str:
    """The page of one redistributor."""
    made, config = REDISTRIBUTORS[name], config_class(name)
    lines = [
        MADE,
        f"# {TITLES[name]}",
        f"`make_redistributor({name!r}, ...)`, and `{name}-<learner>` on the command line.",
        table(["by default", ""], facts(name).items()),
        described(made, ":members: update, relabel"),
    ]
    owner = next(other for other in REDISTRIBUTORS if config_class(other) is config)
    if fields(config) and owner != name:
        lines += ["## Settings", f"Those of [{TITLES[owner]}]({owner}.md)."]
    elif fields(config):
        named = [field.name for field in fields(config)]
        lines += [
            "## Settings",
            f"`redistributor.{named[0]}=...` on the command line.",
            described(config, ":no-members:"),
        ]
    return "\n\n".join(lines) + "\n"


def index() -> str:
    """The page that leads to the others."""
    rows = [
        [f"[{TITLES[name]}]({name}.md)", f"`{name}`", summary(name), facts(name)["sums of labels"]]
        for name in REDISTRIBUTORS
    ]
    names = "\n".join(REDISTRIBUTORS)
    return INDEX.format(made=MADE, table=table(["method", "name", "what it does", "sums of labels"], rows), names=names)


MADE = "<!-- Made by docs/generate.py from the table of redistributors: change that, not this page. -->"
INDEX = """\
{made}

# Redistributors

What turns bags and their labels into a reward per step. Identity, labels only, Uniform, Constant and Oracle are the
controls of every comparison. [Training](../training.md) says how they are run;
[yours](../own_redistributor.md) can stand beside them.

{table}

```{{toctree}}
:hidden:

{names}
```
"""


def pages_of_methods() -> dict[Path, Callable[[], str]]:
    """Every page with what makes it."""
    every: dict[Path, Callable[[], str]] = {FOLDER / "index.md": index}
    for name in REDISTRIBUTORS:
        every[FOLDER / f"{name}.md"] = lambda name=name: page(name)  # type: ignore[misc]
    return every
