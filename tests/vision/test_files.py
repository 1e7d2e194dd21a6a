"""V on disk."""

import pytest
import torch

from tests.vision.frames import SMALL, squares
from worldmodels.common import checkpoint
from worldmodels.common.checkpoint import CheckpointError
from worldmodels.vision.files import load_vision, save_vision
from worldmodels.vision.normaliser import fit_normaliser
from worldmodels.vision.vae import VAE

NORMALISER = fit_normaliser({"mean": [1.0, 2.0], "std": [3.0, 4.0], "binary": []})


@pytest.mark.parametrize(
    ("vision", "obs"),
    [(VAE(SMALL), torch.from_numpy(squares(2))), (NORMALISER, torch.tensor([[0.5, -3.0]]))],
    ids=["vae", "normaliser"],
)
def test_round_trip_and_stable_bytes(tmp_path, vision, obs):
    save_vision(tmp_path / "a.pt", vision)
    loaded = load_vision(tmp_path / "a.pt")
    assert type(loaded) is type(vision)
    assert loaded.z_dim == vision.z_dim
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode(obs), vision.encode(obs), rtol=0, atol=0)
    save_vision(tmp_path / "b.pt", loaded)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_what_is_no_v_is_refused(tmp_path):
    checkpoint.save(tmp_path / "m.pt", {"kind": "mdnrnn"})
    with pytest.raises(CheckpointError, match="'mdnrnn', not a V"):
        load_vision(tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="no such"):
        load_vision(tmp_path / "absent.pt")
