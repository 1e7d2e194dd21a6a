"""Tests of panels of known controllers."""

import numpy as np
import pytest

from worldmodels.common.checkpoint import CheckpointError, save
from worldmodels.control.controller import Controller
from worldmodels.control.panel import Panel, ends, load_panel, panel_of
from worldmodels.environment.config import EnvConfig
from worldmodels.vision.normaliser import StateNormaliser

S, A = 3, 2
LANDER = {"id": "LunarLander-v3", "kwargs": {}}


def panel(**changes) -> Panel:
    rng = np.random.default_rng(0)
    values = {
        "env": LANDER,
        "action_dim": A,
        "weights": rng.standard_normal((4, (S + 1) * A)).astype(np.float32),
        "returns": np.arange(4, dtype=np.float32),
        "ends": np.full((4, 4), 0.25, np.float32),
        "episodes": 8,
    }
    return Panel(**values | changes)


@pytest.mark.parametrize("hidden", [0, 5])
def test_its_controllers_act_on_z_as_on_the_states(hidden):
    rng = np.random.default_rng(1)
    vision = StateNormaliser(rng.standard_normal(S, np.float32), rng.uniform(0.5, 2, S).astype(np.float32))
    states = rng.standard_normal((4, 6, S)).astype(np.float32)
    z = (states - vision.mean) / vision.std
    features = np.concatenate([z, rng.standard_normal((4, 6, hidden))], -1).astype(np.float32)
    on_states, on_z = (Controller(feature_dim=dim, action_dim=A, features="z", action="box") for dim in (S, S + hidden))
    wanted = on_states.act(panel().weights, states)
    np.testing.assert_allclose(on_z.act(panel().solutions(vision, S + hidden), features), wanted, atol=1e-5)


def test_it_is_found_by_its_environment(tmp_path):
    assert panel_of(EnvConfig(), tmp_path) is None
    panel().save(tmp_path / "lander.safetensors")
    found = panel_of(EnvConfig(), tmp_path)
    assert found is not None
    np.testing.assert_array_equal(found.weights, panel().weights)
    assert (found.action_dim, found.episodes, found.env) == (A, 8, LANDER)
    assert panel_of(EnvConfig(kwargs={"continuous": True}), tmp_path) is None
    assert panel_of(EnvConfig(id="CartPole-v1"), tmp_path) is None
    assert panel_of(EnvConfig(frame_skip=2), tmp_path) is None


def test_a_file_that_is_no_panel_is_named(tmp_path):
    save(tmp_path / "other.safetensors", {"x": np.zeros(1, np.float32)}, {"kind": "other"})
    with pytest.raises(CheckpointError, match=r"other\.safetensors: holds 'other', not panel"):
        load_panel(tmp_path / "other.safetensors")


def test_every_episode_has_one_end():
    terminated = np.array([[True, True, True, False]])
    last_reward = np.array([[100.0, -100.0, 100.0, 100.0]])
    left = np.array([[False, False, True, False]])
    np.testing.assert_array_equal(ends(terminated, last_reward, left), [[0.25, 0.25, 0.25, 0.25]])
