"""Measures, in seconds of a processor, what a step of an environment takes, and one of a method once it learns."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial

import gymnasium as gym
import numpy as np
import torch

from bagged_envs import resolved_schedule
from bagged_envs.baselines import runs
from bagged_envs.baselines.benchmark.agents import Watched, factory
from bagged_envs.baselines.benchmark.arms import Arm
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.checkpoint import packed
from bagged_envs.baselines.collect import Collector
from bagged_envs.baselines.judging.case import REGRESSION_STEPS
from bagged_envs.baselines.judging.fit import REFUSALS, Spaces, updates_of
from bagged_envs.baselines.judging.models import finite_model
from bagged_envs.baselines.judging.rebag import rebag
from bagged_envs.baselines.judging.recordings import dense_env
from bagged_envs.baselines.offline import OfflineTraining
from bagged_envs.baselines.recorded_rewards import FIT_STEPS
from bagged_envs.baselines.redistributors import config_class, make_redistributor, settings_on
from bagged_envs.baselines.redistributors.own import imported
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.registration import delay_arguments, spec_of
from bagged_envs.testing.rollout import random_actions
from bagged_envs.wrappers import RewardSchedule

WARM = 1_200  # steps until everything learns, in a probe
PATIENCE = 20_000  # steps after which a method that has not learned is given up
STEPPING_SECONDS = 0.3  # of random actions
MARK = 50  # steps between two looks at the clock
ACTIONS = 200  # of an agent, to be timed
EPISODES = 4  # random ones, to fit a redistributor to
FITS = 20  # updates of it, before a learner that never plays
REGRESSION = Arm("rd", "rd", "as a judge fits the dense rewards", 0, {"bags": 256, "standardize": True})


@dataclass(frozen=True)
class Cost:
    """What a method takes on an environment.

    Attributes:
        idle: Steps of a run before it learns.
        learning: Seconds of a step after that, the environment's own included.
        acting: Seconds of a step of evaluation.
        slope: Bytes that a checkpoint grows by with each step.
        fixed: Bytes of a checkpoint besides.
    """

    idle: int
    learning: float
    acting: float
    slope: float = 0.0
    fixed: float = 0.0


def stepping(job: Job) -> float:
    """Return the seconds of a step of a job's environment."""
    env = gym.make(job.id, disable_env_checker=True, **job.arguments)
    act, steps = random_actions(env.action_space, seed=0), 0
    env.reset(seed=0)
    begin = time.process_time()
    while time.process_time() - begin < STEPPING_SECONDS:
        _, _, terminated, truncated, _ = env.step(act())
        steps += 1
        if terminated or truncated:
            env.reset()
    took = time.process_time() - begin
    env.close()
    return took / steps


def training_cost(job: Job, seconds: float) -> Cost:
    """Return what one of our methods takes.

    It is made to learn early, and then timed for whole periods, in which all that comes round comes as often as it
    should.

    Args:
        job: A run of it.
        seconds: How long to look, at least for a period.

    Raises:
        ValueError: It does not learn.
    """
    arm = early(job.arm)
    config = arm.config() if arm.made().team else arm.config(random_steps=min(WARM, _random_steps(job)))
    training = runs.begin(runs.Run(arm.made(), job.id, job.arguments, config, device=job.device))
    period = _period(training)
    while training.total_steps < WARM or not training.updates:
        if training.total_steps > PATIENCE:
            raise ValueError(f"{job.arm.name!r} must learn on {job.id} within {PATIENCE} steps to be measured.")
        training.step()
    before, small = training.total_steps, _size(training.state_dict())
    begin = time.process_time()
    _timed(partial(_steps, training, period), seconds)
    took = (time.process_time() - begin) / (training.total_steps - before)
    begin = time.process_time()
    at_once = min(config.worlds, job.protocol.episodes) if isinstance(config, TeamConfig) else 1
    lengths = training.evaluate(at_once, seed=0).lengths
    acting = (time.process_time() - begin) / sum(lengths)
    slope = (_size(training.state_dict()) - small) / (training.total_steps - before)
    training.close()
    return Cost(_idle(job), took, acting, slope, small - before * slope)


class _Over(Exception):
    """The time of a probe is over: it ends what a library does from within."""


def agent_cost(job: Job, seconds: float) -> Cost:
    """Return what another library's agent takes: the second half of what it does in so many seconds."""
    marks: list[tuple[float, int]] = []

    def mark() -> None:
        marks.append((time.process_time(), env.steps))
        if marks[-1][0] - marks[0][0] > seconds and env.steps >= 2 * WARM:
            raise _Over

    env = Watched(gym.make(job.id, disable_env_checker=True, **job.arguments), 0, MARK, mark)
    agent = factory(job.arm.method)(env, seed=0, **job.arm.learner)
    with suppress(_Over):
        agent.learn(job.steps)
    if len(marks) < 2:
        raise ValueError(f"{job.arm.name!r} must make {2 * MARK} steps on {job.id} to be measured, made {env.steps}.")
    (began, before), (ended, after) = marks[len(marks) // 2], marks[-1]
    observation, _ = env.reset()
    acting = _timed(lambda: agent.act(observation), 0.0, ACTIONS)
    env.close()
    return Cost(0, (ended - began) / max(1, after - before), acting + stepping(job))


def judging_cost(job: Job, seconds: float) -> Cost:
    """Return what it takes to judge a redistributor, as a cost per step; recording is not in it."""
    env = dense_env(job.id, job.arguments)
    act = random_actions(env.action_space, seed=0)
    recorded = Collector(env, seed=0).collect(lambda observation: act(), episodes=EPISODES)
    spaces, known = Spaces(env.observation_space, env.action_space), finite_model(env) is not None
    env.close()
    schedule = resolved_schedule(job.id, **delay_arguments({**spec_of(job.id).kwargs, **job.arguments}))
    arm = replace(job.arm, redistributor=settings_on(job.arm.method, job.arm.redistributor, job.id))
    took = _fitting(arm, spaces.store(rebag(recorded, schedule)), job.steps, seconds)
    if not known:  # a regression of the dense rewards is fitted, too, to compare with
        dense = spaces.store(rebag(recorded, RewardSchedule(bag_len=1)))
        took += _fitting(REGRESSION, dense, REGRESSION_STEPS, seconds / 4)
    return Cost(0, took / job.steps, 0.0)


def offline_cost(job: Job, seconds: float) -> Cost:
    """Return what learning offline takes: fitting, shared out over the learner's updates, and these; not recording."""
    env = dense_env(job.id, job.arguments)
    act = random_actions(env.action_space, seed=0)
    episodes = Collector(env, seed=0).collect(lambda observation: act(), episodes=EPISODES)
    env.close()
    given = resolved_schedule(job.id, **delay_arguments({**spec_of(job.id).kwargs, **job.arguments}))
    paid = rebag(episodes, replace(given, label_fraction=1.0))  # few episodes might have no label at all
    method, config = job.arm.made(), job.arm.offline_config(fit_updates=FITS, held_out=0.0)
    training = OfflineTraining(method, job.id, paid, job.arguments, config, seed=0)
    begin = time.process_time()
    training.fit()
    made = 0 if training.imputation is None else training.imputation.made
    most = job.arm.offline_config().fit_updates or updates_of(training.redistributor.schedule, FIT_STEPS)
    fitting = (time.process_time() - begin) * most / FITS if made else 0.0
    took = _timed(training.step, seconds)
    begin = time.process_time()
    lengths = training.evaluate(1, seed=0).lengths
    acting = (time.process_time() - begin) / sum(lengths)
    training.close()
    return Cost(0, took + fitting / job.steps, acting)


def _fitting(arm: Arm, store: EpisodeStore, steps: int, seconds: float) -> float:
    """Return the seconds of all updates that a redistributor makes in so many steps."""
    sizes = store.observation_size, store.action_size
    try:
        made = make_redistributor(arm.method, *sizes, **early(arm).redistributor)
    except REFUSALS:  # such a run says so, and is over
        return 0.0
    store.keep(getattr(made, "factors", None))
    sampling = made.sampling
    if sampling is None:
        return 0.0
    generator = np.random.default_rng(0)

    def update() -> None:
        made.update(store.sample_bags(sampling, generator, only_labeled=True))

    update()  # the first one takes longer
    whole = make_redistributor(arm.method, *sizes, **arm.redistributor).schedule
    return _timed(update, seconds) * updates_of(whole, steps)


def early(arm: Arm) -> Arm:
    """Return an arm whose redistributor learns as soon as a probe does, in bursts like all others from the first."""
    name = imported(arm.method).partition("-")[0]
    config = config_class(name)(**arm.redistributor)
    own = {one.name for one in fields(config)}
    sooner = {"warm_up": min(WARM, config.warm_up)} if "warm_up" in own else {}
    burst = {"first": config.updates} if "first" in own else {}
    return replace(arm, redistributor={**arm.redistributor, **sooner, **burst})


def _random_steps(job: Job) -> int:
    return TrainingConfig(**job.arm.training).random_steps


def _idle(job: Job) -> int:
    """Return the steps of a run before its method learns."""
    method = job.arm.made()
    if method.learner == "ppo" or method.team:
        return 0
    warm_up = getattr(config_class(method.redistributor)(**method.redistributor_settings), "warm_up", 0)
    return max(_random_steps(job), warm_up)


def _steps(training: Training | TeamTraining, count: int) -> None:
    until = training.total_steps + count
    while training.total_steps < until:
        training.step()


def _period(training: Training | TeamTraining) -> int:
    """Return after how many steps everything has come round once; of teams, about."""
    every, rollout = training.redistributor.schedule.every, training.config.rollout
    if training.method.team:
        return max(every, rollout)
    return math.lcm(every, rollout) if training.method.learner == "ppo" else every


def _timed(do: Callable[[], object], seconds: float, times: int = 1) -> float:
    """Return the mean seconds of what is done so often, and on until so many seconds are over."""
    begin, done = time.process_time(), 0
    while done < times or time.process_time() - begin < seconds:
        do()
        done += 1
    return (time.process_time() - begin) / done


def _size(state: object) -> int:
    """Return the bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(packed(state), buffer)
    return buffer.getbuffer().nbytes
