"""Tests of saving and loading V."""

import numpy as np
import pytest

from tests.vision.frames import SMALL, squares
from worldmodels.common import checkpoint
from worldmodels.common.checkpoint import CheckpointError
from worldmodels.vision.files import load_vision, save_vision
from worldmodels.vision.normaliser import fit_normaliser
from worldmodels.vision.vae import VAE

NORMALISER = fit_normaliser({"mean": [1.0, 2.0], "std": [3.0, 4.0], "binary": []})


@pytest.mark.parametrize(
    ("vision", "obs"),
    [(VAE(SMALL), squares(2)), (NORMALISER, np.array([[0.5, -3.0]], np.float32))],
    ids=["vae", "normaliser"],
)
def test_round_trip_and_stable_bytes(tmp_path, vision, obs):
    save_vision(tmp_path / "a", vision)
    loaded = load_vision(tmp_path / "a")
    assert type(loaded) is type(vision)
    assert loaded.z_dim == vision.z_dim
    assert not getattr(loaded, "training", False)
    for read, written in zip(loaded.encode(obs), vision.encode(obs), strict=True):
        np.testing.assert_array_equal(read, written)
    save_vision(tmp_path / "b", loaded)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_v_is_refused(tmp_path):
    checkpoint.save(tmp_path / "m", {}, {"kind": "mdnrnn"})
    with pytest.raises(CheckpointError, match="'mdnrnn', not vae or normaliser"):
        load_vision(tmp_path / "m")
    with pytest.raises(CheckpointError, match="no such"):
        load_vision(tmp_path / "absent")
