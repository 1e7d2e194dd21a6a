import numpy as np
import pytest

from worldmodels.records import Episode, LatentEpisode


def episode(steps: int = 3, **changes) -> Episode:
    ends = np.arange(steps) == steps - 1
    fields = {
        "obs": np.zeros((steps + 1, 2), np.float32),
        "action": np.zeros(steps, np.int64),
        "reward": np.ones(steps, np.float32),
        "terminated": ends,
        "truncated": np.zeros(steps, bool),
        "seed": 0,
        "policy": "test",
    }
    return Episode(**(fields | changes))


def test_an_episode_knows_its_length_and_return() -> None:
    assert len(episode(3)) == 3
    assert episode(3).episode_return == 3.0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"obs": np.zeros((3, 2), np.float32)}, "4 observations"),
        ({"action": np.zeros(2, np.int64)}, "action"),
        ({"terminated": np.array([True, False, False])}, "last step"),
        ({"truncated": np.array([False, True, False])}, "last step"),
        ({"reward": np.zeros(0, np.float32)}, "at least one step"),
    ],
)
def test_a_misaligned_episode_is_refused(changes: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        episode(3, **changes)


def test_encoded_a_game_may_terminate_on_its_way_but_is_not_cut() -> None:
    mu, flags = np.zeros((4, 2), np.float32), np.array([True, False, False])
    rest = {"mu": mu, "logvar": mu, "action": np.zeros((3, 1), np.float32), "reward": np.zeros(3, np.float32)}
    assert LatentEpisode(**rest, terminated=flags, truncated=np.zeros(3, bool)).terminated[0]
    with pytest.raises(ValueError, match="last step"):
        LatentEpisode(**rest, terminated=np.zeros(3, bool), truncated=flags)


def test_latents_need_as_many_variances_as_means() -> None:
    with pytest.raises(ValueError, match="logvar"):
        LatentEpisode(
            mu=np.zeros((3, 4), np.float32),
            logvar=np.zeros((3, 5), np.float32),
            action=np.zeros((2, 1), np.float32),
            reward=np.zeros(2, np.float32),
            terminated=np.zeros(2, bool),
            truncated=np.zeros(2, bool),
        )
