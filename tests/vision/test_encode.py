"""Tests that encoding keeps episodes complete, in order and aligned."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vision.frames import SMALL, squares
from worldmodels.records import Episode
from worldmodels.vision.config import EncodeConfig
from worldmodels.vision.encode import encode_episodes
from worldmodels.vision.latents import LatentError
from worldmodels.vision.normaliser import fit_normaliser
from worldmodels.vision.vae import VAE


def episode(obs: np.ndarray, seed: int = 0) -> Episode:
    steps = len(obs) - 1
    return Episode(
        obs=obs,
        action=np.arange(steps) % 3,
        reward=np.arange(steps, dtype=np.float32),
        terminated=np.arange(steps) == steps - 1,
        truncated=np.zeros(steps, dtype=bool),
        seed=seed,
        policy="test",
    )


def one_hot(action: np.ndarray) -> np.ndarray:
    return np.eye(3)[action]


def encode(vision, episodes, folder, batch_size=4):
    config = EncodeConfig(batch_size=batch_size)
    return encode_episodes(vision, episodes, config, encode_action=one_hot, spec={"id": "X"}, source="s", folder=folder)


def test_latents_are_aligned_with_what_happened(tmp_path):
    counting = [np.arange(first, first + length, dtype=np.float32)[:, None] for first, length in ((0, 9), (50, 6))]
    identity = fit_normaliser({"mean": [0.0], "std": [1.0], "binary": []})
    store = encode(identity, [episode(obs) for obs in counting], tmp_path / "r1")
    assert store.lengths.tolist() == [8, 5]
    for obs, got in zip(counting, store.episodes(), strict=True):
        np.testing.assert_array_equal(got.mu, obs)
        np.testing.assert_array_equal(got.action.argmax(1), np.arange(len(got)) % 3)
        np.testing.assert_array_equal(got.reward, np.arange(len(got)))
        assert got.terminated.tolist() == [False] * (len(got) - 1) + [True]
    assert store.action.dtype == np.float32


GAME = replace(
    episode(np.arange(9, dtype=np.float32)[:, None]),
    reward=np.array([0, 0, -1, 0, 0.5, 1, 0, 0], np.float32),
    truth=np.array([[0, 3], [0, 3], [0, 2], [0, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 0]], np.float32),
)


@pytest.mark.parametrize(("config", "ends"), [
    (EncodeConfig(), [7]),
    (EncodeConfig(lives="lives"), [1, 4, 7]),
    (EncodeConfig(points=True), [2, 4, 5, 7]),
    (EncodeConfig(lives="lives", points=True), [1, 2, 4, 5, 7]),
])  # fmt: skip
@pytest.mark.parametrize("cut", [False, True])
def test_a_lost_life_or_a_point_terminates_and_the_game_goes_on(tmp_path, config, ends, cut):
    game = GAME
    if cut:  # the recording ends before the game does
        assert GAME.truth is not None
        game = replace(GAME, terminated=np.zeros(8, bool), truth=np.where(GAME.truth[:, 1:] == 0, 1, GAME.truth))
        ends = ends[:-1]
    identity = fit_normaliser({"mean": [0.0], "std": [1.0], "binary": []})
    spec = {"id": "X", "truth": ("other", "lives")}
    store = encode_episodes(
        identity, [game], config, encode_action=one_hot, spec=spec, source="s", folder=tmp_path / "r1"
    )
    assert store.lengths.tolist() == [8]
    assert np.flatnonzero(store.terminated).tolist() == ends
    np.testing.assert_array_equal(store.mu, game.obs)
    np.testing.assert_array_equal(store.reward, game.reward)
    assert not GAME.terminated[:-1].any()  # the recording is left as it was


def test_frames_are_encoded_as_v_does_whatever_the_batches(tmp_path):
    vae, frames = VAE(SMALL), squares(11)
    mu, logvar = vae.encode(frames)
    for batch_size in (3, 11, 100):
        got = encode(vae, [episode(frames)], tmp_path / str(batch_size), batch_size).episode(0)
        np.testing.assert_allclose(got.mu, mu, atol=1e-5)
        np.testing.assert_allclose(got.logvar, logvar, atol=1e-5)


def test_episodes_are_taken_one_at_a_time(tmp_path):
    identity = fit_normaliser({"mean": [0.0], "std": [1.0], "binary": []})
    partial = tmp_path / ".r1-partial" / "mu.npy"
    sizes = []

    def stream():
        for _ in range(3):
            sizes.append(partial.stat().st_size if partial.exists() else 0)
            yield episode(np.zeros((5000, 1), dtype=np.float32))

    encode(identity, stream(), tmp_path / "r1")
    assert sizes[0] < sizes[1] < sizes[2]


def test_nothing_to_encode_is_an_error(tmp_path):
    with pytest.raises(LatentError, match="no episode"):
        encode(VAE(SMALL), [], tmp_path / "r1")
