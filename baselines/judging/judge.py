"""One redistributor on one case: fitted, scored on episodes that it has not seen, as a row of a table."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np

import bagged_envs
from bagged_envs.baselines import layout
from bagged_envs.baselines.api import Redistributor
from bagged_envs.baselines.judging import regret, scores
from bagged_envs.baselines.judging.case import (
    Case,
    actions_taken,
    all_rewards,
    no_function,
    step_function,
    transitions_of,
)
from bagged_envs.baselines.judging.epic import Floats, epic_distance, shaping_free_distance, some_rows
from bagged_envs.baselines.judging.fit import REFUSALS, Fit, fit, predictions, rewards_of
from bagged_envs.baselines.judging.rebag import dense_rewards
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.promises import no_prediction
from bagged_envs.baselines.redistributors import config_class, settings_on
from bagged_envs.trajectory import Trajectory

Row = dict[str, Any]
SCORES = (
    "absolute_error", "pearson", "spearman", "return_to_go", "epic", "shaping_free", "bag_residual", "bag_error",
    "regret",
)  # fmt: skip
KEYS = ("id", "recording", "fitted_on", "scored_on", "method", "budget", "seed", "version", "settings")
COLUMNS = (*KEYS, *SCORES, "updates", "seconds_per_update", "refused")
MOST_STEPS = 20_000  # of those, drawn at random, the distance without shaping is taken


def judge(
    method: str,
    case: Case,
    steps: int,
    shifted: Sequence[Case] = (),
    after_update: Callable[[], None] = lambda: None,
    settings: Mapping[str, Any] | None = None,
    change: Callable[[Redistributor], None] = lambda made: None,
) -> list[Row]:
    """Fit a redistributor to a case and score it there, and on its held-out episodes in other bags.

    Args:
        method: A name of `REDISTRIBUTORS`.
        case: What to fit it to.
        steps: Environment steps whose worth of updates is made.
        shifted: The case under other schedules, to score on as well.
        after_update: As for `fit`.
        settings: Of the redistributor.
        change: As for `fit`.

    Returns:
        A row for the case and for each shifted one, with `COLUMNS`. Scores that are not defined are nan. Where the
        method refuses to be fitted, or to be asked in these bags, `refused` is the reason.
    """
    settings = settings_on(method, settings or {}, case.registered)
    rows = [_row(method, case, one, steps, settings) for one in (case, *shifted)]
    try:
        fitted = fit(method, case.spaces.store(case.fitted), steps, case.seed, after_update, change, **settings)
    except REFUSALS as error:
        return [{**row, "refused": _reason(error)} for row in rows]
    return [{**row, **_scored(fitted, case, one)} for row, one in zip(rows, (case, *shifted), strict=True)]


def keys_of(
    method: str, case: Case, scored: Case, steps: int, settings: Mapping[str, Any] = MappingProxyType({})
) -> Row:
    """Return what tells one row from others, `KEYS`."""
    own = {
        "id": case.id,
        "recording": case.recording,
        "fitted_on": str(case.schedule),
        "scored_on": str(scored.schedule),
        "method": method,
        "budget": steps,
        "seed": case.seed,
        "version": bagged_envs.__version__,
        "settings": settings_digest(method, settings_on(method, settings, case.registered)),
    }
    return {key: own[key] for key in KEYS}


def settings_digest(method: str, settings: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return eight hex digits that are others as soon as one of a method's settings is, defaults included.

    They are also others where the text of a program is.

    Raises:
        OSError: The file of a program cannot be read.
        ValueError: There is no such method, or no such program.
    """
    resolved = {**asdict(config_class(method)()), **settings}
    if resolved.get("factors") is not None:
        resolved["program"] = Program.named(resolved["factors"]).sha256
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, default=repr).encode()).hexdigest()[:8]


def label_sums(trajectories: Sequence[Trajectory], rewards: Sequence[Floats]) -> tuple[Floats, Floats, Any]:
    """Return what rewards add up to in each bag, the labels, and which are shown, `[bags]` each."""
    sums = [np.bincount(one.bag_ids, weights=own) for one, own in zip(trajectories, rewards, strict=True)]
    labels = [layout.labels(one) for one in trajectories]
    return np.concatenate(sums), np.concatenate(labels), np.concatenate([one.labeled for one in trajectories])


def _row(method: str, case: Case, scored: Case, steps: int, settings: Mapping[str, Any]) -> Row:
    return {**dict.fromkeys(COLUMNS, math.nan), **keys_of(method, case, scored, steps, settings), "refused": ""}


def _reason(error: Exception) -> str:
    """Return an error's message on one line, so that each row of a table is one line of its file."""
    return " ".join(str(error).split())


def _scored(fitted: Fit, case: Case, scored: Case) -> Row:
    try:
        return {**(_fixed(fitted, case) if scored is case else {}), **_scores(fitted, scored)}
    except REFUSALS as error:
        return {"refused": _reason(error)}


def _fixed(fitted: Fit, case: Case) -> Row:
    """Return what does not depend on the bags that are scored."""
    return {
        "epic": _epic(fitted.redistributor, case),
        "regret": _regret(fitted.redistributor, case),
        "updates": fitted.updates,
        "seconds_per_update": fitted.seconds_per_update,
    }


def _scores(fitted: Fit, case: Case) -> Row:
    redistributor, held_out = fitted.redistributor, case.held_out
    true = [dense_rewards(one) for one in held_out]
    rewards = rewards_of(redistributor, held_out, case.spaces)
    together, redistributed = np.concatenate(true), np.concatenate(rewards)
    return {
        "absolute_error": scores.absolute_error(together, redistributed),
        "pearson": scores.pearson(together, redistributed),
        "spearman": scores.spearman(together, redistributed),
        "return_to_go": scores.return_to_go_correlation(true, rewards),
        "shaping_free": _shaping_free(together, redistributed, case),
        "bag_residual": scores.bag_residual(*label_sums(held_out, rewards)),
        "bag_error": _bag_error(redistributor, case),
    }


def _bag_error(redistributor: Redistributor, case: Case) -> float:
    """Return the mean absolute error of the labels of held-out bags, predicted from their steps.

    nan where the method predicts none, and where none is shown.
    """
    store = case.spaces.store(case.held_out)
    if no_prediction(redistributor) is not None or not store.num_labeled_bags:
        return math.nan
    said, labels, _ = predictions(redistributor, store)
    return float(np.abs(said - labels).mean())


def _epic(redistributor: Redistributor, case: Case) -> float:
    if no_function(redistributor) is not None:
        return math.nan
    recorded = transitions_of([*case.fitted, *case.held_out], case.spaces)
    return epic_distance(case.truth, step_function(redistributor), recorded, seed=case.seed)


def _shaping_free(true: Floats, rewards: Floats, case: Case) -> float:
    rows = some_rows(len(true), MOST_STEPS, np.random.default_rng(case.seed))
    recorded = transitions_of(case.held_out, case.spaces).at(rows)
    return shaping_free_distance(true[rows], rewards[rows], recorded, seed=case.seed)


def _regret(redistributor: Redistributor, case: Case) -> float:
    """Return the regret of the best policy for the mean reward of each recorded state and action."""
    if case.model is None:
        return math.nan
    trajectories, rewards = all_rewards(redistributor, case)
    states = np.concatenate([case.model.numbers(one.observations[:-1]) for one in trajectories])
    actions = actions_taken(np.concatenate([one.actions for one in trajectories]), case.spaces)
    means, recorded = regret.tabular_rewards(case.model, states, actions, np.concatenate(rewards))
    return regret.regret(case.model, means, recorded)
