"""The real world: Gymnasium environments, preprocessing, policies, rollouts and the store of episodes."""

from worldmodels.environment.collect import CollectConfig, collect, mix
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.frames import FrameLoader
from worldmodels.environment.make import FRAME_SHAPE, make_env
from worldmodels.environment.manifest import DataError, manifest_digest, read_manifest
from worldmodels.environment.policy import BrownianPolicy, Policy, RandomPolicy, random_policy
from worldmodels.environment.rollout import Score, rollout, score
from worldmodels.environment.shard import read_shard, write_shard
from worldmodels.environment.spec import EnvSpec, spec_of
from worldmodels.environment.store import EpisodeStore

__all__ = [
    "FRAME_SHAPE",
    "BrownianPolicy",
    "CollectConfig",
    "DataError",
    "EnvConfig",
    "EnvSpec",
    "EpisodeStore",
    "FrameLoader",
    "Policy",
    "RandomPolicy",
    "Score",
    "collect",
    "make_env",
    "manifest_digest",
    "mix",
    "random_policy",
    "read_manifest",
    "read_shard",
    "rollout",
    "score",
    "spec_of",
    "write_shard",
]
