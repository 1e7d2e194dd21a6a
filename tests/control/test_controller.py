import numpy as np
import pytest
import torch

from worldmodels.common.checkpoint import CheckpointError, save
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, FeatureScale, TrainedController, load_controller
from worldmodels.vision.normaliser import StateNormaliser

Z, D, A = 3, 4, 2
P, R = 5, 6


def build(features, action, hidden_dim=0):
    config = ControllerConfig(features=features, hidden_dim=hidden_dim)
    return Controller.build(config, z_dim=Z, rnn_dim=D, action=action, action_dim=A)


def layer(values, inputs, outputs):
    weight, bias = values[:-outputs].reshape(-1, outputs), values[-outputs:]
    return np.array([sum(f * w for f, w in zip(inputs, weight[:, a], strict=True)) + bias[a] for a in range(outputs)])


def one_at_a_time(controller, solution, feature):
    """The same function for one candidate and one rollout, in NumPy, one weight at a time."""
    x = list(feature)
    if controller.hidden_dim:
        units, solution = np.split(solution, [(len(x) + 1) * controller.hidden_dim])
        x = np.tanh(layer(units, x, controller.hidden_dim))
    x = layer(solution, x, A)
    return np.eye(A)[x.argmax()] if controller.action == "discrete" else np.tanh(x)


@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("features", ["z", "zh"])
@pytest.mark.parametrize("hidden_dim", [0, 4])
def test_all_candidates_at_once_act_as_each_alone(features, action, hidden_dim):
    controller = build(features, action, hidden_dim)
    generator = torch.Generator().manual_seed(1)
    solutions = torch.randn(P, controller.num_params, generator=generator)
    seen = torch.randn(P, R, controller.feature_dim, generator=generator)
    actions = controller.act(solutions, seen)
    np.testing.assert_allclose(controller.act(solutions.numpy(), seen.numpy()), actions, atol=1e-6)  # arrays too
    expected = [
        [one_at_a_time(controller, solutions[p].numpy(), seen[p, r].numpy()) for r in range(R)] for p in range(P)
    ]
    assert actions.shape == (P, R, A)
    np.testing.assert_allclose(actions, np.array(expected), atol=1e-5)


def test_the_papers_carracing_controller_has_867_parameters():
    controller = Controller.build(ControllerConfig(), z_dim=32, rnn_dim=256, action="box", action_dim=3)
    assert controller.num_params == 867


def test_features_without_h_do_not_count_it():
    assert build("z", "box").num_params == Z * A + A
    assert build("zh", "box").num_params == (Z + D) * A + A


def test_a_hidden_layer_counts_its_weights_and_biases():
    assert build("zh", "box", hidden_dim=5).num_params == (Z + D) * 5 + 5 + 5 * A + A


def trained(controller, **changes):
    values = {
        "best": np.arange(controller.num_params, dtype=np.float32),
        "samples": np.ones((2, controller.num_params), np.float32),
        "lineage": np.full((3, controller.num_params), 2, np.float32),
        "validation_return": 1.5,
        "env_steps": 10,
    }
    return TrainedController(controller=controller, **{**values, **changes})


def test_a_trained_controller_survives_its_file(tmp_path):
    written = trained(build("zh", "discrete"))
    written.save(tmp_path / "controller.safetensors")
    read = load_controller(tmp_path / "controller.safetensors")
    assert read.controller == written.controller
    for name in ("best", "samples", "lineage"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
    assert (read.validation_return, read.env_steps) == (1.5, 10)


@pytest.mark.parametrize("hidden_dim", [0, 4])
@pytest.mark.parametrize("features", ["z", "zh"])
def test_composed_it_acts_on_other_features_as_before(features, hidden_dim):
    """A normaliser was fitted again: what was z to the controller is gain · z + offset now. h is the same here."""
    rng = np.random.default_rng(0)
    controller = build(features, "box", hidden_dim)
    before, after = (
        StateNormaliser(rng.standard_normal(Z, np.float32), rng.uniform(0.5, 2, Z).astype(np.float32)) for _ in "12"
    )
    rows = rng.standard_normal((4, controller.num_params), np.float32)
    moved = trained(controller, best=rows[0], samples=rows[1:3], lineage=rows[3:]).composed(*after.map_to(before))
    states = rng.standard_normal((6, Z)).astype(np.float32)
    h = rng.standard_normal((6, controller.feature_dim - Z), np.float32)

    def act(solutions, vision):
        features = np.concatenate([vision.encode(states)[0], h], 1)
        return controller.act(solutions, np.broadcast_to(features, (len(solutions), *features.shape)))

    again = np.concatenate([moved.best[None], moved.samples, moved.lineage])
    np.testing.assert_allclose(act(again, after), act(rows, before), atol=1e-5)
    assert trained(controller, lineage=rows[:0]).composed(*after.map_to(before)).lineage.shape == rows[:0].shape


@pytest.mark.parametrize("hidden_dim", [0, 4])
def test_in_plain_features_it_does_as_in_scaled_ones(hidden_dim):
    rng = np.random.default_rng(0)
    controller = build("zh", "box", hidden_dim)
    scale = FeatureScale(rng.normal(size=controller.feature_dim), rng.uniform(0.1, 3, controller.feature_dim))
    rows = rng.standard_normal((3, controller.num_params), np.float32)
    plain, features = scale.to_plain(controller, rows), rng.standard_normal((3, 5, controller.feature_dim), np.float32)
    scaled = ((features - scale.mean) / scale.std).astype(np.float32)
    np.testing.assert_allclose(controller.act(plain, features), controller.act(rows, scaled), atol=1e-4)
    np.testing.assert_allclose(scale.from_plain(controller, plain), rows, atol=1e-4)


def test_something_else_is_not_a_controller(tmp_path):
    save(tmp_path / "vae", {}, {"kind": "vae"})
    with pytest.raises(CheckpointError, match="not controller"):
        load_controller(tmp_path / "vae")


def test_a_population_too_small_is_refused_on_reading():
    with pytest.raises(ValueError, match="popsize = 3"):
        ControllerConfig(popsize=3)
