"""What delays a reward: schedules, ledgers, and wrappers for Gymnasium environments.

For vector environments see `bagged_envs.wrappers.vector`, for PettingZoo's parallel environments
`bagged_envs.wrappers.parallel`.
"""

from bagged_envs.wrappers.declared import DeclaredBags
from bagged_envs.wrappers.ledger import NonFiniteRewardError, RewardLedger, SlotLedger
from bagged_envs.wrappers.schedule import RewardSchedule
from bagged_envs.wrappers.single import (
    BaggedReward,
    DelayedReward,
    EpisodicReward,
    PartiallyLabeledReward,
    SparseReward,
)

__all__ = [
    "BaggedReward",
    "DeclaredBags",
    "DelayedReward",
    "EpisodicReward",
    "NonFiniteRewardError",
    "PartiallyLabeledReward",
    "RewardLedger",
    "RewardSchedule",
    "SlotLedger",
    "SparseReward",
]
