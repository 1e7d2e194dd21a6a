"""Tests of agents as ONNX graphs: what ONNX Runtime computes is what torch computes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from worldmodels.agents import TrainedAgent, load_agent, load_agent_memory
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamState, Noise
from worldmodels.dreams import dream_config
from worldmodels.export import export_onnx, first_member, in_float32
from worldmodels.memory.mdnrnn import MDNRNN, RNNState

AGENTS = Path(__file__).parent.parent / "agents"


def ran(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return [np.asarray(out) for out in session.run(None, inputs)]


def step_inputs(memory: MDNRNN, action: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of memory.onnx: any, with these actions (N, A)."""
    rng, count = np.random.default_rng(1), len(action)
    normal = {name: rng.standard_normal((count, memory.z_dim)) for name in ("z", "normal")}
    state = {name: rng.standard_normal((count, memory.hidden_dim)) / 2 for name in ("h", "c")}
    uniform = {"uniform": rng.random((count, memory.z_dim)), "end": rng.random(count)}
    values = normal | state | uniform | {"action": action, "temperature": np.array(0.7)}
    return {name: value.astype(np.float32) for name, value in values.items()}


def stepped(agent: TrainedAgent, memory: MDNRNN, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """memory.onnx's outputs, by torch."""
    x = {name: torch.from_numpy(value)[None] for name, value in given.items() if value.ndim}
    dream = Dream(first_member(memory), None, replace(dream_config(agent), precision="float32"))
    before, noise = DreamState(x["z"], RNNState(x["h"], x["c"]), None), Noise(x["uniform"], x["normal"], x["end"])
    with torch.inference_mode():
        after, reward, terminated, _ = dream.step(before, x["action"], noise, float(given["temperature"]))
    return [out[0].numpy() for out in (after.z, after.rnn.h, after.rnn.c, reward, terminated)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lunarlander", "carracing", "pong"])
def test_the_graphs_compute_what_torch_computes(tmp_path: Path, name: str) -> None:
    agent, memory = load_agent(AGENTS / name), load_agent_memory(AGENTS / name)
    export_onnx(agent, memory, tmp_path)
    rng, count, spec = np.random.default_rng(0), 5, agent.spec
    obs = rng.standard_normal((count, *spec.obs_shape)).astype(np.float32)
    if spec.observation == "pixel":
        obs = rng.integers(0, 256, obs.shape).astype(np.uint8)
    vision = in_float32(agent.policy.vision)
    mu, logvar = ran(tmp_path / "encoder.onnx", obs=obs)
    np.testing.assert_allclose(mu, vision.encode(obs)[0], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(logvar, vision.encode(obs)[1], atol=1e-4, rtol=1e-4)
    z = rng.standard_normal((count, memory.z_dim)).astype(np.float32)
    (drawn,) = ran(tmp_path / "decoder.onnx", z=z)
    if spec.observation == "pixel":
        np.testing.assert_array_less(np.abs(255 * drawn - vision.decode(z)), 0.51)
    else:
        np.testing.assert_allclose(drawn, vision.decode(z), atol=1e-4)

    h = rng.standard_normal((count, memory.hidden_dim)).astype(np.float32) / 2
    (action,) = ran(tmp_path / "controller.onnx", z=z, h=h)
    features = np.concatenate([z, h], axis=1, dtype=np.float32)[:, : agent.policy.controller.feature_dim]
    expected = spec.encode_action(agent.decide(features))
    np.testing.assert_allclose(action, expected, atol=1e-4)

    given = step_inputs(memory, action)
    found = ran(tmp_path / "memory.onnx", **given)
    for one, other in zip(found, stepped(agent, memory, given), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)
