"""What a language model is told: every element once, and by its right name."""

import re

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.latent_rewards.bundled import TEXTS, names, there_are
from bagged_envs.baselines.latent_rewards.prompts import FIELDS, MODES, TaskText, message, role_instruction, task_text
from bagged_envs.tasks import TASKS

EVERYTHING = {"exclude_current_positions_from_observation": False}
SKIPPING = ["Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "Swimmer", "Walker2d"]
FORMS = [
    *((name, {}) for name in names()),
    *((name, EVERYTHING) for name in SKIPPING),
    ("Ant", {"include_cfrc_ext_in_observation": False}),
    ("Humanoid", {"include_cinert_in_observation": False, "include_qfrc_actuator_in_observation": False}),
    ("CooperativeNavigation", {"num_agents": 3}),
    ("CooperativeNavigation", {"num_agents": 6}),
    ("PredatorPrey", {"num_agents": 15}),
    ("CompetitivePredatorPrey", {"team": "prey"}),
    ("HiddenDoor", {"length": 5}),
]


def elements(form):
    """The meaning of each element that a form lists, by its index; no index may come twice."""
    found = {}
    for first, last, meaning in re.findall(r"^(\d+)(?:-(\d+))?: (.+)$", form, re.MULTILINE):
        for index in range(int(first), int(last or first) + 1):
            assert index not in found
            found[index] = meaning
    return found


def dense(name, **kwargs):
    return bagged_envs.dense(f"Bagged{name}-v0", **kwargs)


def test_there_is_a_text_for_every_task_of_mujoco_and_of_particles():
    wanted = {task.name for task in TASKS.values() if task.suite in ("mujoco", "particle")} | {"HiddenDoor"}
    assert set(there_are(*TEXTS)) == wanted


@pytest.mark.parametrize(("name", "kwargs"), FORMS)
def test_forms_list_every_element_once(name, kwargs):
    env, text = dense(name, **kwargs), task_text(f"Episodic{name}-v0", **kwargs)
    agents = getattr(env.unwrapped, "n_agents", 1)
    for space, form in ((env.observation_space, text.observation_form), (env.action_space, text.action_form)):
        size = Features(space, agents).size
        assert sorted(elements(form)) == list(range(size))
        assert form.startswith(f"{size} dimensions.")
    assert text == task_text(env)
    env.close()


@pytest.mark.parametrize("name", names())
def test_texts_are_a_few_sentences_and_tell_no_formula(name):
    task = task_text(name).task
    assert 2 <= len(re.findall(r"[.:](?:\s|$)", task)) <= 8
    assert "reward" not in task.lower()


@pytest.mark.parametrize(("name", "kwargs"), [(name, kwargs) for name in SKIPPING for kwargs in ({}, EVERYTHING)])
def test_a_joint_s_elements_are_named_after_it(name, kwargs):
    """Another angle and rate of one joint change the elements that bear its name, and no others of qpos and qvel."""
    env = dense(name, **kwargs)
    inner = env.unwrapped
    env.reset(seed=0)
    positions, velocities = inner.data.qpos.copy(), inner.data.qvel.copy()
    meanings, structure = elements(task_text(env).observation_form), inner.observation_structure
    count = structure["qpos"] + structure["qvel"]

    def observed(qpos, qvel):
        inner.set_state(qpos, qvel)
        return inner._get_obs()[:count]

    at_rest = observed(positions, velocities)
    hinges = [joint for joint in map(inner.model.joint, range(inner.model.njnt)) if joint.type[0] == 3]
    for joint in hinges:
        qpos, qvel = positions.copy(), velocities.copy()
        qpos[joint.qposadr[0]] += 0.01
        qvel[joint.dofadr[0]] += 0.02
        changed = np.flatnonzero(observed(qpos, qvel) != at_rest)
        assert [meanings[k].split(" about ")[0] for k in changed] == [
            f"joint {joint.name}: angle",
            f"joint {joint.name}: angular velocity",
        ]
    env.close()


@pytest.mark.parametrize("kwargs", [{}, EVERYTHING])
def test_a_free_trunk_s_elements_are_named_in_mujoco_s_order(kwargs):
    env = dense("Ant", **kwargs)
    inner = env.unwrapped
    meanings = elements(task_text(env).observation_form)
    env.reset(seed=0)
    qpos, qvel = inner.data.qpos.copy(), inner.data.qvel.copy()
    qpos[:7], qvel[:6] = (1.1, 1.2, 1.3, 0.5, 0.5, -0.5, 0.5), (2.1, 2.2, 2.3, 2.4, 2.5, 2.6)
    inner.set_state(qpos, qvel)
    said = {meanings[k]: value for k, value in enumerate(inner._get_obs().tolist())}
    assert said["position of the torso, z"] == 1.3
    assert ("position of the torso, x" in said) == bool(kwargs)
    assert said["orientation of the torso as a quaternion, y"] == -0.5
    assert said["velocity of the torso, y"] == 2.2
    assert said["angular velocity of the torso about its own x"] == 2.4
    env.close()


def test_joints_that_slide_or_turn_are_told_apart_with_their_axes():
    form = task_text("Hopper").observation_form
    assert form.startswith("11 dimensions. Velocities are clipped to the range from -10 to 10.\n0: ")
    said = elements(form)
    assert said[0] == "joint rootz: position along +z of the torso"
    assert said[2] == "joint thigh_joint: angle about -y of the thigh"
    assert said[5] == "joint rootx: velocity along +x of the torso"
    assert said[7] == "joint rooty: angular velocity about +y of the torso"


def test_blocks_of_bodies_are_named_in_mujoco_s_order():
    env = dense("Humanoid")
    env.reset(seed=0)
    inner, meanings = env.unwrapped, elements(task_text(env).observation_form)
    inner.data.cvel[inner.model.body("left_shin").id] = 77.0
    inner.data.cfrc_ext[inner.model.body("right_foot").id] = 78.0
    inner.data.qfrc_actuator[inner.model.joint("left_elbow").dofadr[0]] = 79.0
    observed = inner._get_obs()
    by_value = {value: {meanings[k] for k in np.flatnonzero(observed == value)} for value in (77.0, 78.0, 79.0)}
    assert by_value[77.0] == {"the left_shin: angular velocity x, y, z, velocity x, y, z"}
    assert by_value[78.0] == {"the right_foot: torque x, y, z and force x, y, z of contacts"}
    assert by_value[79.0] == {"force of motors on joint left_elbow"}
    masses = {k: observed[k] for k in elements(task_text(env).observation_form) if meanings[k].endswith("mass")}
    assert masses[54] == pytest.approx(inner.model.body("torso").mass[0])
    env.close()


def test_a_hand_written_form_is_that_of_the_environment():
    """Reacher's environment does not tell what it observes: our words are held against its state."""
    env = dense("Reacher")
    observed = env.reset(seed=3)[0]
    data = env.unwrapped.data
    said = {meaning: observed[k] for k, meaning in elements(task_text(env).observation_form).items()}
    fingertip, target = (data.body(name).xpos for name in ("fingertip", "target"))
    assert said["cosine of the angle of the second joint"] == pytest.approx(np.cos(data.qpos[1]))
    assert said["sine of the angle of the first joint"] == pytest.approx(np.sin(data.qpos[0]))
    assert said["position of the target, y"] == pytest.approx(target[1])
    assert said["angular velocity of the second joint"] == pytest.approx(data.qvel[1])
    assert said["position of the fingertip minus that of the target, x"] == pytest.approx(fingertip[0] - target[0])
    env.close()


def test_pusher_s_and_the_double_pendulum_s_forms_are_those_of_the_environments():
    env = dense("Pusher")
    observed, data = env.reset(seed=3)[0], env.unwrapped.data
    said = {meaning: observed[k] for k, meaning in elements(task_text(env).observation_form).items()}
    assert said["position of the object, y"] == pytest.approx(data.body("object").xpos[1])
    assert said["position of the fingertip, z"] == pytest.approx(data.body("tips_arm").xpos[2])
    assert said["angular velocity of the joint shoulder lift"] == pytest.approx(data.qvel[1])
    env.close()
    env = dense("InvertedDoublePendulum")
    observed, data = env.reset(seed=3)[0], env.unwrapped.data
    said = {meaning: observed[k] for k, meaning in elements(task_text(env).observation_form).items()}
    assert said["sine of the angle between second and first pole"] == pytest.approx(np.sin(data.qpos[2]))
    assert said["cosine of the angle of the first pole"] == pytest.approx(np.cos(data.qpos[1]))
    env.close()


def test_actions_are_motors_in_the_model_s_order_with_their_limits():
    form = elements(task_text("BaggedHumanoid-v0").action_form)
    assert form[0] == "motor of joint abdomen_y, from -0.4 to 0.4"
    assert form[1] == "motor of joint abdomen_z, from -0.4 to 0.4"
    assert elements(task_text("Pusher").action_form)[3] == "motor of joint r_elbow_flex_joint, from -2 to 2"


def test_few_agents_are_told_what_does_not_exist():
    form = elements(task_text("CooperativeNavigation", num_agents=3).observation_form)
    assert form[8] == "offset to the 3rd nearest landmark, x"
    assert form[10] == "offset to the 4th nearest landmark (0: there are not so many), x"


def test_a_choice_is_one_element_for_each_value():
    text = task_text("HiddenDoor", length=5)
    assert text.observation_form.startswith("10 dimensions.\n0-5: the cell of the agent")
    assert elements(text.action_form)[2] == "1 if the agent chooses this, else 0: press"


@pytest.mark.parametrize("mode", MODES)
def test_a_message_has_the_task_both_forms_and_the_role(mode):
    text = TaskText("Balance the broom.", "1 dimensions.\n0: lean", "1 dimensions.\n0: push")
    said = message(text, mode)
    assert said.startswith("Task\nBalance the broom.\n\nObservation\n1 dimensions.\n0: lean\n\nAction\n1 dimensions.\n")
    for part in (*vars(text).values(), role_instruction(mode), *FIELDS, "evaluation_func(observation, action)"):
        assert part in said
    assert "{" not in said  # nothing is left to fill in


def test_the_roles_differ_in_what_is_to_be_written():
    assert "four to six" in role_instruction("factors")
    assert "exactly one array" in role_instruction("reward")
    assert "exactly one array" not in role_instruction("factors")
    with pytest.raises(ValueError, match="mode must be one of 'factors', 'reward', got 'both'"):
        role_instruction("both")


@pytest.mark.parametrize("id", ["CartPole-v1", "BaggedKeyDoor-v0", "Nothing-v0"])
def test_a_task_without_a_text_asks_for_one(id):
    with pytest.raises(ValueError, match=f"got '{id}': for another task give TaskText"):
        task_text(id)


def test_what_cannot_be_told_is_refused():
    env = dense("Reacher")
    with pytest.raises(TypeError, match=r"\['frame_skip'\] have no use with an environment"):
        task_text(env, frame_skip=2)
    with pytest.raises(
        ValueError, match="elements of the observation, got 10: the environment has another observation"
    ):
        task_text(gym.wrappers.FrameStackObservation(env, 2))
    env.unwrapped.spec = None
    with pytest.raises(ValueError, match="has no spec to find its task by"):
        task_text(env)
    env.close()


@pytest.mark.parametrize(("text", "error"), [("", ValueError), (" \n", ValueError), (None, TypeError)])
def test_a_text_says_something(text, error):
    with pytest.raises(error, match="action_form must"):
        TaskText("Do it.", "1 dimensions.\n0: lean", text)
