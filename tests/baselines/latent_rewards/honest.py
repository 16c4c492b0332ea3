"""Programs as models write them for locomotion and particle tasks: name, text. All take `[n, 24]` and `[n, 6]`."""

from __future__ import annotations

import textwrap


def plain(body: str, signature: str = "observation, action") -> str:
    return f"def evaluation_func({signature}):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"


def with_import(body: str) -> str:
    return "import numpy as np\n\n\n" + plain(body)


HONEST = {
    "cheetah": plain("""
        forward = observation[:, 8:9]
        control = -0.1 * np.sum(action ** 2, axis=1, keepdims=True)
        return [forward, control]
    """),
    "cheetah documented": '''import numpy as np

def evaluation_func(observation: np.ndarray, action: np.ndarray) -> list:
    """
    Evaluate the state of a running robot.

    Args:
        observation: array of shape [n, 24] (position [0, inf) and velocity).
        action: array of shape [n, 6].
    """
    # 1. Forward velocity -- the main objective
    velocity = observation[:, 8].reshape(-1, 1)
    # 2. Energy use
    energy = -np.square(action).mean(axis=1).reshape(-1, 1)
    # 3. Posture: |pitch| should stay below 30°
    pitch = -np.abs(observation[:, 1]).reshape(-1, 1)
    return [velocity, energy, pitch]
''',
    "typed": plain(
        """
        speed: np.ndarray = observation[:, [8]]
        weight: float = 0.5
        return [speed * weight]
        """,
        "observation: 'np.ndarray', action: np.ndarray | None",
    ),
    "import inside": plain("""
        import numpy as np
        return [np.tanh(observation[:, 0:1]), np.exp(-np.linalg.norm(action, axis=1, keepdims=True))]
    """),
    "windows line ends": plain("""
        height = observation[:, 0:1]
        return [height, height ** 2]
    """).replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + plain("return [observation[:, 2:3]]"),
    "tabs": "def evaluation_func(o, a):\n\tx = o[:, :1]\n\tif x.shape[0] > 0:\n\t\tx = x * 2\n\treturn [x]\n",
    "one line": "def evaluation_func(observation, action): return [observation[:, :1], action[:, :1]]",
    "semicolons": "def evaluation_func(o, a):\n    x = o[:, 0:1]; y = o[:, 1:2]\n    return [x, y]\n",
    "tuple returned": plain("return observation[:, 0:1], action[:, 0:1]"),
    "constants above": """import numpy as np

TARGET_HEIGHT = 1.25
WEIGHTS = np.array([1.0, 0.5, 0.25, 0.1, 0.1, 0.05])
EPS = 1e-8


def evaluation_func(observation, action):
    error = (observation[:, 0:1] - TARGET_HEIGHT) ** 2
    effort = (np.abs(action) * WEIGHTS).sum(axis=1, keepdims=True)
    return [-error, -effort, np.log(np.abs(observation[:, 5:6]) + EPS)]
""",
    "helpers above": """import numpy as np

def _norm(x):
    return np.sqrt(np.sum(x * x, axis=1, keepdims=True))

def distance(a, b):
    return _norm(a - b)

def evaluation_func(observation, action):
    agent = observation[:, 0:2]
    goal = observation[:, 4:6]
    return [-distance(agent, goal), -_norm(action)]
""",
    "helper with keywords": """def bounded(x, low, high):
    return np.clip(x, low, high)

def evaluation_func(observation, action):
    return [bounded(observation[:, :1], low=-1.0, high=1.0)]
""",
    "nested helper": plain("""
        def column(i):
            return observation[:, i:i + 1]

        def gaussian(x, sigma):
            return np.exp(-(x ** 2) / (2 * sigma ** 2))

        return [column(0), gaussian(column(3), 0.5), gaussian(column(7), 2.0)]
    """),
    "nested in nested": plain("""
        def outer_part(x):
            def squared(y):
                return y * y
            return squared(x) + 1.0
        return [outer_part(observation[:, 4:5])]
    """),
    "list appended": plain("""
        factors = []
        for i in range(6):
            factors.append(action[:, i:i + 1] ** 2)
        factors.append(observation[:, 8:9])
        return factors
    """),
    "list grown": plain("""
        factors = [observation[:, 0:1]]
        factors += [observation[:, i:i+1] for i in (3, 5, 7)]
        factors.extend([action[:, 0:1]])
        return factors
    """),
    "comprehension": plain("return [np.abs(observation[:, i][:, None]) for i in range(2, 8) if i % 2 == 0]"),
    "nested comprehension": plain("""
        pairs = [(i, j) for i in range(3) for j in range(i + 1, 3)]
        return [observation[:, i:i+1] * observation[:, j:j+1] for i, j in pairs]
    """),
    "enumerate": plain("""
        total = np.zeros((observation.shape[0], 1))
        for k, w in enumerate([0.5, 0.3, 0.2]):
            total = total + w * observation[:, k:k + 1]
        return [total]
    """),
    "zip": plain("""
        total = np.zeros_like(observation[:, :1])
        for start, end in zip([0, 2, 4], [2, 4, 6]):
            total += np.linalg.norm(observation[:, start:end], axis=1, keepdims=True)
        return [total]
    """),
    "dict of places": plain("""
        index = {"height": 0, "pitch": 1, "speed": 8}
        height = observation[:, index["height"]:index["height"] + 1]
        pitch = observation[:, index["pitch"]].reshape(-1, 1)
        return [height, np.cos(pitch)]
    """),
    "dict of factors": plain("""
        factors = {}
        factors["speed"] = observation[:, 8:9]
        factors["effort"] = -np.sum(np.square(action), axis=1, keepdims=True)
        return list(factors.values())
    """),
    "dict of weights": plain("""
        weights = {0: 1.0, 3: 0.5}
        total = sum(w * observation[:, i:i+1] for i, w in weights.items())
        return [total, weights.get(3, 0.0) * action[:, :1], {"a": 2.0}.get("a", 1.0) * action[:, 1:2]]
    """),
    "loops over words": plain("""
        columns = {"height": 0, "pitch": 1, "speed": 8}
        weights = {"height": 1.0, "speed": 0.5}
        parts = {}
        for name, i in columns.items():
            parts[name] = weights.get(name, 0.1) * observation[:, i:i + 1]
        for name in weights:
            parts[name] = parts[name] - 1.0
        doubled = {name: 2 * part for name, part in parts.items()}
        return [parts["pitch"]] + list(doubled.values())
    """),
    "hopper": plain("""
        z = observation[:, 0:1]
        angle = observation[:, 1:2]
        healthy = np.logical_and(z > 0.7, np.abs(angle) < 0.2).astype(np.float64)
        return [healthy, observation[:, 5:6], -1e-3 * np.sum(action**2, axis=1, keepdims=True)]
    """),
    "walker": plain("""
        upright = np.cos(observation[:, 1:2])
        symmetric = -np.abs(observation[:, 2:5] - observation[:, 5:8]).sum(axis=1, keepdims=True)
        return [upright, symmetric, observation[:, 8:9].clip(-10, 10)]
    """),
    "ant": plain("""
        quaternion = observation[:, 1:5]
        w, x, y, z = (quaternion[:, i] for i in range(4))
        up = 1 - 2 * (x ** 2 + y ** 2)
        joints = observation[:, 5:13]
        near_limit = np.sum(np.abs(joints) > 1.0, axis=1)
        return [up[:, np.newaxis], near_limit[:, np.newaxis].astype(float), (w * z).reshape((-1, 1))]
    """),
    "humanoid": plain("""
        n = observation.shape[0]
        height_error = np.abs(observation[:, 0] - 1.4).reshape(n, 1)
        tilt = np.arccos(np.clip(observation[:, 1], -1.0, 1.0)).reshape(n, 1)
        contact = np.minimum(np.sum(np.square(observation[:, 10:24]), axis=1), 10.0).reshape(n, 1)
        return [np.exp(-3.0 * height_error), -tilt, -5e-7 * contact]
    """),
    "swimmer": plain("""
        angles = observation[:, 0:3]
        undulation = np.sin(angles[:, 1:2] - angles[:, 2:3])
        return [observation[:, 3:4], undulation, np.abs(np.diff(angles, axis=1)).max(axis=1, keepdims=True)]
    """),
    "reacher": plain("""
        vector = observation[:, 8:11]
        distance = np.linalg.norm(vector, axis=-1, keepdims=True)
        return [-distance, -np.sum(action * action, axis=-1, keepdims=True), 1.0 / (1.0 + distance)]
    """),
    "pusher": plain("""
        hand, thing, goal = observation[:, 0:3], observation[:, 3:6], observation[:, 6:9]
        near = -np.linalg.norm(thing - hand, axis=1)[:, None]
        push = -np.linalg.norm(goal - thing, axis=1)[:, None]
        return [near, push, -np.square(action).sum(axis=1)[:, None]]
    """),
    "pendulum": plain("""
        theta = np.arctan2(observation[:, 1], observation[:, 0])
        wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
        return [-(wrapped ** 2)[:, None], -0.1 * observation[:, 2:3] ** 2, -0.001 * action[:, 0:1] ** 2]
    """),
    "mountain car": plain("""
        position, velocity = observation[:, 0:1], observation[:, 1:2]
        potential = np.sin(3 * position)
        kinetic = 0.5 * velocity ** 2
        return [potential, kinetic, potential + kinetic * 100]
    """),
    "spread": plain("""
        agent = observation[:, 2:4]
        landmarks = observation[:, 4:10].reshape(-1, 3, 2)
        others = observation[:, 10:14].reshape(-1, 2, 2)
        closest = np.linalg.norm(landmarks, axis=2).min(axis=1, keepdims=True)
        crowd = np.sum(np.linalg.norm(others, axis=2) < 0.3, axis=1, keepdims=True)
        return [-closest, -crowd.astype(np.float32), -np.linalg.norm(agent, axis=1, keepdims=True)]
    """),
    "predator": plain("""
        prey = observation[:, 12:14]
        d = np.hypot(prey[:, 0:1], prey[:, 1:2])
        caught = np.where(d < 0.5, 10.0, 0.0)
        return [np.exp(-d), caught, -d]
    """),
    "tag with walls": plain("""
        position = np.abs(observation[:, 2:4])
        outside = np.where(position < 1.0, (position - 0.9) * 10, np.exp(2 * position - 2))
        penalty = np.where(position < 0.9, 0.0, outside)
        return [-np.minimum(penalty, 10).sum(axis=1, keepdims=True)]
    """),
    "one-hot actions": plain("""
        chosen = np.argmax(action, axis=1)
        noop = (chosen == 0).astype(float)[:, None]
        moved = np.isin(chosen, [1, 2, 3]).reshape(-1, 1) * 1.0
        return [noop, moved]
    """),
    "select": plain("""
        x = observation[:, 0:1]
        level = np.select([x < -1, x < 0, x < 1], [0.0, 1.0, 2.0], default=3.0)
        return [level]
    """),
    "heaviside": plain("return [np.heaviside(observation[:, :1], 0.5), np.sign(observation[:, 1:2])]"),
    "digitize": plain("""
        return [np.digitize(observation[:, 0], bins=np.linspace(-1, 1, num=5)).reshape(-1, 1).astype("float64")]
    """),
    "interp": plain("return [np.interp(observation[:, 0], [-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]).reshape(-1, 1)]"),
    "whole numbers": plain(
        "return [np.rint(observation[:, :1]).astype(np.int64), np.floor(action[:, 1:2]).astype(int)]"
    ),
    "truth values": plain("return [observation[:, :1] > 0, (observation[:, 1:2] > 0) & (action[:, :1] < 0.5)]"),
    "inverted truth": plain(
        "return [~(observation[:, :1] > 0), np.logical_not(action[:, :1] > 0) | (action[:, 1:2] > 1)]"
    ),
    "float32": plain("return [observation[:, :1].astype(np.float32), np.float64(2) * action[:, :1].astype('float32')]"),
    "guarded ratio": plain("""
        speed = np.sqrt(np.sum(observation[:, 8:11] ** 2, axis=1, keepdims=True))
        effort = np.maximum(np.sum(np.abs(action), axis=1, keepdims=True), 1e-6)
        return [speed / effort, np.divide(speed, effort + 1.0)]
    """),
    "nan guarded": plain("""
        ratio = observation[:, 0:1] / observation[:, 1:2]
        bounded = np.where(np.isfinite(ratio), np.tanh(ratio), 0.0)
        return [np.nan_to_num(ratio, nan=0.0, posinf=1e3, neginf=-1e3), bounded]
    """),
    "divides by zero": plain("""
        zero = observation[:, 0:1] - observation[:, 0:1]
        return [np.where(zero == 0, observation[:, 1:2], 1.0 / zero)]
    """),
    "stacked": plain("""
        joints = np.concatenate([observation[:, 2:5], observation[:, 5:8]], axis=1)
        stacked = np.stack([joints[:, :3], joints[:, 3:]], axis=-1)
        return [stacked.std(axis=2).mean(axis=1)[:, None], np.hstack([joints, action]).var(axis=1, keepdims=True)]
    """),
    "split": plain("""
        left, right = np.split(action, 2, axis=1)
        return [np.sum((left - right) ** 2, axis=1, keepdims=True)] + np.hsplit(observation[:, :2], 2)
    """),
    "medians": plain("""
        return [
            np.median(observation, axis=1, keepdims=True),
            np.percentile(action, 75, axis=1, keepdims=True),
            np.quantile(action, q=0.25, axis=1).reshape(-1, 1),
        ]
    """),
    "einsum": plain("return [np.einsum('ij,ij->i', observation[:, :6], action)[:, None]]"),
    "matrix product": plain("""
        rotation = np.array([[0.0, 1.0], [-1.0, 0.0]])
        turned = observation[:, :2] @ rotation.T
        return [turned[:, :1], np.dot(observation[:, 2:4], rotation)[:, 1:]]
    """),
    "cross": plain("""
        torque = np.cross(observation[:, 0:3], observation[:, 3:6])
        return [torque[:, 2:], np.linalg.norm(torque, axis=1, keepdims=True)]
    """),
    "sorted": plain("""
        ordered = np.sort(np.abs(action), axis=1)
        return [ordered[:, -1:], ordered[:, :1], np.ptp(action, axis=1).reshape(-1, 1)]
    """),
    "largest place": plain("return [np.argmin(np.abs(observation), axis=1).reshape(-1, 1) / 24.0]"),
    "work on a copy": plain("""
        x = observation.copy()
        x[:, 0] = np.abs(x[:, 0])
        x[x > 2.0] = 2.0
        x[:, 1] *= 3
        return [x[:, :1], x[:, 1:2]]
    """),
    "filled": plain("""
        n = len(observation)
        out = np.zeros((n, 1))
        out[:, 0] = observation[:, 3] * action[:, 1]
        level = np.full((n, 1), 0.5) + action[:, :1]
        return [out, level]
    """),
    "row by row": plain("""
        n = observation.shape[0]
        penalty = np.zeros((n, 1), dtype=np.float64)
        for i in range(n):
            for j in range(6):
                if abs(action[i, j]) > 0.8:
                    penalty[i, 0] -= 0.5
                elif action[i, j] > 0.5:
                    continue
                else:
                    penalty[i, 0] -= 0.1 * j
        return [penalty]
    """),
    "rows in a list": plain("""
        values = [float(max(row[0], row[1])) for row in observation]
        return [np.array(values, dtype=float).reshape(-1, 1)]
    """),
    "break": plain("""
        worst = observation[:, :1]
        for i in range(1, 100):
            if i >= observation.shape[1]:
                break
            worst = np.minimum(worst, observation[:, i:i+1])
        return [worst]
    """),
    "conditions": plain("""
        if observation.ndim == 1 or action.ndim == 1:
            observation = observation.reshape(1, -1)
            action = action.reshape(1, -1)
        scale = 1.0 if observation.shape[1] > 10 else 0.1
        return [scale * observation[:, :1], action[:, :1]]
    """),
    "atleast": plain("""
        observation = np.atleast_2d(observation)
        action = np.asarray(action, dtype=np.float64)
        return [observation[:, 0:1] + action[:, -1:]]
    """),
    "not none": plain("""
        result = None
        if result is None and action is not None:
            result = np.mean(action, axis=1, keepdims=True)
        return [result]
    """),
    "ellipsis": plain("return [observation[..., 0:1], np.expand_dims(action[..., 1], axis=-1)]"),
    "steps of slices": plain("return [observation[:, ::2].sum(axis=1, keepdims=True), observation[:, ::-1][:, :1]]"),
    "chosen columns": plain("""
        joints = observation[:, [2, 3, 4]]
        return [np.take(observation, [5], axis=1), joints.mean(axis=1, keepdims=True), joints.max(axis=1)[:, None]]
    """),
    "smooth": plain("""
        logistic = 1 / (1 + np.exp(-observation[:, :1]))
        soft = np.logaddexp(0.0, observation[:, 1:2])
        return [logistic, soft, np.log1p(np.abs(action[:, :1])), np.expm1(0.1 * action[:, 1:2])]
    """),
    "angles": plain("""
        a = np.deg2rad(observation[:, :1] * 180.0)
        return [np.sin(a), np.cos(a), np.degrees(a), np.sinc(a), np.tan(0.1 * a), np.cbrt(a)]
    """),
    "norms": plain("""
        return [
            np.linalg.norm(action, ord=1, axis=1, keepdims=True),
            np.linalg.norm(action, np.inf, axis=1).reshape(-1, 1),
            np.linalg.norm(observation, axis=1, keepdims=True),
        ]
    """),
    "signs of words": plain('''
        "A docstring in double quotes."
        x = observation[:, :1]
        "a note between the lines"
        """and one
        of several"""
        return [x + 0]
    '''),
    "underscores": plain("""
        _vel = observation[:, 8:9]
        for _ in range(2):
            _vel = _vel * 0.99
        return [_vel]
    """),
    "unpacked": plain("""
        (a, b), c = (observation[:, :1], observation[:, 1:2]), 1_000.0
        a, b = b, a
        return [a - b, b / c, -a + +b]
    """),
    "chained": plain("""
        x = observation[:, :1]
        inside = (x > -1) * (x < 1) * 1.0
        low = high = 0.5
        ok = 0 < low <= high < 1
        return [inside, x * ok]
    """),
    "powers": plain(
        "return [observation[:, :1] ** 3, np.power(np.abs(action[:, :1]), 1.5), 2 ** action[:, 1:2], x(action)]"
    ).replace("def ", "def x(v):\n    return v[:, 2:3] // 0.25 % 3\n\ndef ", 1),
    "deep sums": plain(
        "return [" + " + ".join(f"{0.1 * i:.1f} * observation[:, {i}:{i + 1}]" for i in range(24)) + "]"
    ),
    "python's own": plain("""
        n = int(round(float(observation.shape[1]) / 2))
        columns = list(reversed(range(min(n, 4))))
        half = sorted([3, 1, 2])[0]
        flags = all([True, bool(n)]) and not any([False])
        return [observation[:, c:c + half] * (1.0 if flags else 0.0) for c in columns] + [pow(action[:, :1], 2)]
    """),
    "running sums": plain(
        "return [np.cumsum(action, axis=1)[:, -1:], np.prod(1 + 0.1 * action, axis=1, keepdims=True)]"
    ),
    "many rows of text": with_import(
        "\n".join(f"x{i} = observation[:, {i % 24}:{i % 24 + 1}]" for i in range(60)) + "\nreturn [x0, x59]"
    ),
    "repeated": plain("""
        center = np.repeat(observation.mean(axis=1, keepdims=True), 24, axis=1)
        tiled = np.tile(action[:, :1], (1, 3))
        return [np.abs(observation - center).sum(axis=1, keepdims=True), tiled[:, 2:], np.flip(action, axis=1)[:, :1]]
    """),
}
