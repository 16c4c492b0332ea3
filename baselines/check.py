"""`check_redistributor`: does a class keep what training, judging and checkpoints rely on?"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.api import BagBatch, Redistributor
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, add_up, bags_of, columns_of, drawn, with_padding
from bagged_envs.baselines.redistributors import make_redistributor, named_settings
from bagged_envs.baselines.redistributors.own import checked_name, settings_class
from bagged_envs.testing.rollout import demand
from bagged_envs.wrappers.arguments import positive_int

LENGTHS = [5, 1, 7, 3, 7, 2]
SHOWN = [True, True, False, True, False, True]
UPDATES = 3
STAY = "Check sizes, losses and labels before anything is changed."
Make = Callable[[int], Redistributor]  # of a seed


def check_redistributor(kind: str | type[Any], agents: tuple[int, ...] = (1, 3), **settings: Any) -> None:
    """Check a redistributor of your own against what `api.Redistributor` promises, on random bags of six lengths.

    Checked are shapes, types and padding; that neither the dense rewards nor what stands in unlabeled bags makes a
    difference, nor, where a step is paid by itself, its bag's label and length; sums, where it says that it is exact;
    that unlabeled bags, other sizes and labels that are not finite change nothing; that a saved state has everything,
    is not changed later, and can be read without pickle; that a seed reproduces all of it, and no global random state
    is touched. Not checked is whether it learns anything.

    Args:
        kind: A class, or a name of `REDISTRIBUTORS`. The Oracle fails: it pays the dense rewards.
        agents: Numbers of agents to check with.
        **settings: Fields of its configuration: smaller networks are as good.

    Raises:
        BaggedError: A promise is broken; the text says which, what came, and what to do.
        TypeError: It lacks an attribute, or one is of a wrong type; or `agents` is.
        ValueError: There is no such redistributor or setting, or no number of agents.

    Example:
        >>> from bagged_envs.baselines.redistributors.rd import RD
        >>> check_redistributor(RD, hidden=(8,))
    """
    if not isinstance(kind, str):
        checked_name(kind)
    numbers: Any = agents
    if not isinstance(numbers, tuple) or not numbers:
        raise TypeError(f"agents must be a tuple of ints, at least one, got {agents!r}.")
    for number in agents:
        positive_int("each of agents", number)
        _check(_maker(kind, number, settings), number)


def _maker(kind: str | type[Any], agents: int, settings: Mapping[str, Any]) -> Make:
    if isinstance(kind, str):
        return lambda seed: make_redistributor(kind, OBSERVATION, ACTION, seed, agents=agents, **settings)
    config = named_settings(kind.name, settings_class(kind.name, kind), settings)
    return lambda seed: kind(OBSERVATION, ACTION, config=config, seed=seed, device="cpu", agents=agents)


def _check(make: Make, agents: int) -> None:
    _check_metrics(make(0), agents)
    _check_reproducible(make, agents)  # first: what draws otherwise each time seems to depend on everything
    for updates in (0, UPDATES):
        _check_rewards(_trained(make, agents, updates), agents)
        _check_order(_trained(make, agents, updates), agents)
    _check_what_counts(make, agents)
    _check_batch_stays(_trained(make, agents), agents)
    _check_unlabeled(_trained(make, agents), agents)
    _check_refusals(_trained(make, agents), agents)
    _check_state(make, agents)


def _trained(make: Make, agents: int, updates: int = UPDATES) -> Redistributor:
    made = make(0)
    for number in range(updates):
        _update(made, bags_of(LENGTHS, seed=number, agents=agents), number)
    return made


def _update(redistributor: Redistributor, batch: BagBatch, number: int = 0) -> dict[str, float]:
    return redistributor.update(drawn(batch, redistributor.sampling, number))


def _check_batch_stays(redistributor: Redistributor, agents: int) -> None:
    for name, call in (("relabel", redistributor.relabel), ("update", redistributor.update)):
        batch = drawn(bags_of(LENGTHS, seed=9, agents=agents), redistributor.sampling)
        before = {field: value.clone() for field, value in vars(batch).items() if isinstance(value, Tensor)}
        call(batch)
        moved = [field for field, value in before.items() if not _same(value, getattr(batch, field))]
        demand(not moved, f"{name}() leaves the batch as it is", f"others in {moved}", "Copy before you write.")


def _kept(redistributor: Redistributor) -> dict[str, Any]:
    """Return the state as runs keep it; nothing is shared with the redistributor."""
    try:
        return checkpoint.copied(redistributor.state_dict())
    except TypeError as error:
        law = "state_dict() has tensors, NumPy arrays, numbers, texts, None, and lists and dicts of them only"
        demand(False, law, str(error), "Convert the rest.")
        raise


def _check_metrics(redistributor: Redistributor, agents: int) -> None:
    batch = bags_of(LENGTHS, seed=9, agents=agents, labeled=SHOWN)
    told: Any = _update(redistributor, batch)
    numbers = isinstance(told, Mapping) and all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in told.values()
    )
    demand(
        numbers and told.get("labeled") == sum(SHOWN),
        f"update() returns a dict of finite Python numbers, among them how many bags were 'labeled', here {sum(SHOWN)}",
        f"{told}",
        "Count batch.labeled, and use .item().",
    )
    _kept(redistributor)


def _check_reproducible(make: Make, agents: int) -> None:
    remedy = "Draw from a generator of your own, made of `seed`; weights, too."
    batch, before = bags_of(LENGTHS, seed=9, agents=agents), _global_randomness()
    one = _trained(make, agents)
    rewards = one.relabel(batch)
    same = all(_same(left, right) for left, right in zip(before, _global_randomness(), strict=True))
    demand(same, "Global random states stay as they were", "torch's, NumPy's or Python's moved", remedy)
    other = _trained(make, agents)
    demand(
        _same(_kept(one), _kept(other)) and _same(rewards, other.relabel(batch)),
        "Two of one seed agree to the bit, in state and rewards",
        "others",
        remedy,
    )


def _check_rewards(redistributor: Redistributor, agents: int) -> None:
    batch = bags_of(LENGTHS, seed=9, agents=agents, labeled=SHOWN)
    rewards = redistributor.relabel(batch)
    shape = tuple(batch.mask.shape)
    demand(isinstance(rewards, Tensor), "relabel() returns a tensor", repr(type(rewards)), "Return a tensor.")
    demand(
        tuple(rewards.shape) == shape and rewards.dtype == torch.float32 and not rewards.requires_grad,
        f"relabel() returns float32 of shape [B, L, A], here {list(shape)}, detached",
        f"{rewards.dtype} of shape {list(rewards.shape)}{', with gradients' if rewards.requires_grad else ''}",
        "Use .float(), .detach() or torch.no_grad().",
    )
    demand(bool(rewards.isfinite().all()), "Rewards are finite", f"{rewards}", "Look for what overflows.")
    outside = rewards[~batch.mask]
    demand(not outside.any(), "Rewards are 0.0 in padding", f"{outside[outside != 0].tolist()}", "Use batch.mask.")
    if redistributor.exact:
        for seed in range(10):
            labels = [-3.0, 0.0, 1e4, 7.7, -0.1, float(seed)]
            whole = bags_of(LENGTHS, seed=seed, agents=agents, labels=labels)
            sums = redistributor.relabel(whole).sum(dim=(1, 2)).tolist()
            demand(
                add_up(redistributor.relabel(whole), whole),
                "Rewards of an exact redistributor add up to the labels",
                f"{sums} of {labels}",
                "Use api.rounded or api.project, or set exact = False.",
            )


def _check_order(redistributor: Redistributor, agents: int) -> None:
    batch, order = bags_of(LENGTHS, seed=9, agents=agents), torch.tensor([3, 0, 5, 1])
    _demand_close(
        redistributor.relabel(batch.select(order)),
        redistributor.relabel(batch)[order],
        "The rewards of a bag do not depend on the other bags of the batch, nor on their order",
    )
    if redistributor.context != "bag":
        batch, columns = bags_of([6, 6], seed=9, agents=agents), torch.tensor([[5, 0, 3, 0], [2, 4, 1, 1]])
        _demand_close(
            redistributor.relabel(columns_of(batch, columns)),
            redistributor.relabel(batch)[torch.arange(2)[:, None], columns],
            f"With context {redistributor.context!r} a step's reward does not depend on which others are in the batch",
        )
    if redistributor.context == "step":
        inside = columns_of(batch, torch.tensor([[0, 3, 1], [2, 4, 0]]))  # before the end, where nothing is paid
        early = replace(inside, label=inside.label * 0, labeled=~inside.labeled, length=inside.length // 2)
        _demand_close(
            redistributor.relabel(early),
            redistributor.relabel(inside),
            "With context 'step' the reward of a step does not depend on its bag's label or length, which it is paid "
            "before",
        )


def _demand_close(came: Tensor, wanted: Tensor, law: str) -> None:
    apart = float((came - wanted).abs().max())
    close = torch.allclose(came, wanted, rtol=1e-4, atol=1e-5)
    demand(close, law, f"rewards up to {apart:.3g} apart", "Look only at what the context allows.")


def _check_what_counts(make: Make, agents: int) -> None:
    """Neither dense rewards, nor padding, nor what unlabeled bags hide makes a difference."""
    batch = bags_of(LENGTHS, seed=9, agents=agents, labeled=SHOWN)
    hidden = replace(
        batch,
        label=torch.where(batch.labeled, batch.label, 1e3),
        paid=torch.where(batch.labeled[:, None, None] | ~batch.mask, batch.paid, 1e3),
    )
    for what, changed, remedy in (
        ("the dense rewards", replace(batch, dense=torch.full_like(batch.paid, 1e3)), "They are for the Oracle only."),
        ("what stands in padding", with_padding(batch, -3.0), "Use batch.mask in relabel() and update()."),
        ("what unlabeled bags hide", hidden, "Use batch.labeled in relabel() and update()."),
    ):
        one, other = _trained(make, agents), _trained(make, agents)
        demand(
            torch.equal(one.relabel(batch), other.relabel(changed)),
            f"Rewards do not depend on {what}",
            "other rewards",
            remedy,
        )
        told = _update(one, batch), _update(other, changed)
        demand(
            told[0] == told[1] and _same(_kept(one), _kept(other)),
            f"Updates do not depend on {what}",
            "another state or other metrics",
            remedy,
        )


def _check_unlabeled(redistributor: Redistributor, agents: int) -> None:
    before = _kept(redistributor)
    told = _update(redistributor, bags_of(LENGTHS, seed=9, agents=agents, labeled=[False] * len(LENGTHS)))
    demand(
        told.get("labeled") == 0.0 and _same(before, _kept(redistributor)),
        "A batch without labels changes nothing, and 'labeled' is 0.0",
        f"{told}",
        STAY,
    )


def _check_refusals(redistributor: Redistributor, agents: int) -> None:
    """What cannot be meant is refused, and then nothing has changed."""
    batch = bags_of(LENGTHS, seed=9, agents=agents)
    narrow = replace(
        batch, observations=batch.observations[..., 1:], next_observations=batch.next_observations[..., 1:]
    )
    label = batch.label.clone()
    label[2] = math.inf
    broken, update = replace(batch, label=label), redistributor.update
    wrong: list[tuple[str, Callable[[BagBatch], Any], BagBatch, type[Exception]]] = [
        ("update() refuses observations of another size with a ValueError", update, narrow, ValueError),
        ("relabel() refuses observations of another size with a ValueError", redistributor.relabel, narrow, ValueError),
    ]
    if redistributor.sampling is not None:
        wrong.append(
            ("update() answers an infinite label with a FloatingPointError", update, broken, FloatingPointError)
        )
    for law, call, given, error in wrong:
        before = _kept(redistributor)
        try:
            call(drawn(given, redistributor.sampling))
        except error:
            came = None
        except Exception as other:  # told below
            came = repr(other)
        else:
            came = "no error"
        demand(came is None, law, f"{came}", "Use redistributors.fitting.Sizes, and look whether the loss is finite.")
        demand(_same(before, _kept(redistributor)), f"{law}, and changes nothing", "another state", STAY)


def _check_state(make: Make, agents: int) -> None:
    going = _trained(make, agents)
    saved = going.state_dict()
    kept, read = checkpoint.copied(saved), checkpoint.copied(saved)
    loaded, later = make(123), bags_of(LENGTHS, seed=9, agents=agents)
    loaded.load_state_dict(read)
    for number in range(UPDATES):
        batch = bags_of(LENGTHS, seed=20 + number, agents=agents)
        told = _update(going, batch, number), _update(loaded, batch, number)
        demand(
            told[0] == told[1] and torch.equal(going.relabel(later), loaded.relabel(later)),
            "Loaded from its state_dict(), it goes on as it would have, to the bit",
            f"metrics {told[1]} for {told[0]}" if told[0] != told[1] else "other rewards",
            "Put all that updates change into the state: weights, optimizers, generators, counts.",
        )
    for whose, state in (("that was returned", saved), ("that was loaded", read)):
        demand(_same(kept, state), f"A state {whose} is not changed by later updates", "another", "Copy its tensors.")


def _global_randomness() -> tuple[Any, ...]:
    numpys: Any = np.random.get_state()
    return torch.get_rng_state(), torch.as_tensor(numpys[1].astype(np.int64)), numpys[2:], random.getstate()


def _same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal to the bit; nan equals nan."""
    one, other = (torch.as_tensor(value) if isinstance(value, np.ndarray) else value for value in (one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = isinstance(one, Tensor) and isinstance(other, Tensor) and one.dtype == other.dtype
        return both and one.shape == other.shape and bool(torch.allclose(one, other, rtol=0, atol=0, equal_nan=True))
    if isinstance(one, Mapping):
        same_keys = isinstance(other, Mapping) and one.keys() == other.keys()
        return same_keys and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        same_length = isinstance(other, (list, tuple)) and len(one) == len(other)
        return same_length and all(_same(left, right) for left, right in zip(one, other, strict=True))
    return bool(one == other or (one != one and other != other))
