"""Tests that a loaded agent equals the packed one."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.control.agents import BOX, STATE, identity, new_controller, new_memory, random_solutions
from worldmodels import load_agent
from worldmodels.agents import AgentError, save_agent
from worldmodels.common.checkpoint import CheckpointError
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.control.controller import TrainedController
from worldmodels.control.evaluate import evaluate_policy
from worldmodels.environment.contract import spec_of
from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.rollout import rollout
from worldmodels.evaluate import evaluate, main
from worldmodels.memory.files import save_memory
from worldmodels.round import Round
from worldmodels.vision.files import save_vision

SHIPPED = sorted((Path(__file__).parents[1] / "agents").iterdir())
METRICS = {"return_mean": 1.0, "dream_return_mean": 2.0, "env_steps": 3}


def packed(folder, env, features):
    """A round of untrained models, and the folder of its agent."""
    controller, source = new_controller(env, features), Round("r1", folder)
    write_manifest(source.files.episodes, [], round_name="r1", spec=spec_of(env), previous=None)
    save_vision(source.files.vae, identity(3))
    save_memory(source.files.mdnrnn, new_memory(controller.action_dim))
    rows = random_solutions(controller, 3)
    options = {"validation_return": 0.0, "env_steps": 3}
    trained = TrainedController(controller=controller, best=rows[0], samples=rows[1:], lineage=rows[:0], **options)
    trained.save(source.files.controller)
    save_agent(folder / "agents" / "a", source, env, spec_of(env), {"score": {"metrics": METRICS}})
    return source, folder / "agents" / "a"


@pytest.mark.parametrize("env", [STATE, BOX])
@pytest.mark.parametrize("features", ["z", "zh"])
def test_it_acts_as_the_round_it_was_packed_from(tmp_path, env, features):
    source, folder = packed(tmp_path, env, features)
    agent = load_agent(folder)
    played = agent.make_env()
    for episode in rollout(env, source.agent(), [4, 5]):
        agent.reset(seed=episode.seed)
        obs, _ = played.reset(seed=episode.seed)
        for action, reward, terminated in zip(episode.action, episode.reward, episode.terminated, strict=True):
            ours = agent.act(obs)
            np.testing.assert_array_equal(ours, action)
            obs, paid, ended, _, _ = played.step(ours)
            assert (paid, ended) == (reward, terminated)


def test_its_score_is_of_the_seeds_asked_for(tmp_path):
    _, folder = packed(tmp_path, STATE, "z")
    agent = load_agent(str(folder))
    metrics = evaluate(agent, episodes=4, seed=12345, workers=1)
    expected = evaluate_policy(agent.env, agent.policy, [12345, 12346, 12347, 12348], RuntimeConfig(workers=1))
    assert (metrics["return_mean"], metrics["episodes"]) == (expected.returns.mean(), 4)
    assert (metrics["dream_return_mean"], metrics["env_steps"]) == (2.0, 3)


def test_it_is_scored_in_an_environment_with_other_arguments(monkeypatch, capsys):
    pong = Path(__file__).parents[1] / "agents" / "pong"
    monkeypatch.setattr("worldmodels.evaluate.evaluate", lambda agent, **_: agent.env.kwargs)
    monkeypatch.setattr("sys.argv", ["evaluate", str(pong), "--kwarg", "repeat_action_probability=0"])
    main()
    assert json.loads(capsys.readouterr().out) == {**load_agent(pong).env.kwargs, "repeat_action_probability": 0}
    monkeypatch.setattr("sys.argv", ["evaluate", str(pong), "--kwarg", "sticky=maybe"])
    with pytest.raises(SystemExit):
        main()
    assert "sticky=maybe: expected NAME=VALUE" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_agent_scores_what_it_claims(folder):
    """On seeds never used before: within three standard errors of both means."""
    agent = load_agent(folder)
    fast = agent.spec.observation == "state"
    claimed, episodes = agent.about["score"]["metrics"], 40 if fast else 8
    found = evaluate(agent, episodes=episodes, seed=31_000)
    error = claimed["return_std"] * (1 / claimed["episodes"] + 1 / episodes) ** 0.5
    assert abs(found["return_mean"] - claimed["return_mean"]) < 3 * error
    assert claimed["episodes"] >= (100 if fast else 50)
    assert found["return_mean"] > (agent.spec.solved_return if claimed["solved"] else claimed["random_return_mean"])


def test_the_same_agent_gives_the_same_bytes_and_replaces_what_was_there(tmp_path):
    source, folder = packed(tmp_path, STATE, "zh")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "old").write_text("")
    save_agent(folder, source, STATE, spec_of(STATE), {"score": {"metrics": METRICS}})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_what_is_no_agent_is_one_line(tmp_path):
    with pytest.raises(AgentError, match=r"none/agent\.json: no such agent"):
        load_agent(tmp_path / "none")
    _, folder = packed(tmp_path, STATE, "z")
    about = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps(about))  # laid out otherwise
    load_agent(folder)
    (folder / "agent.json").write_text(json.dumps(about | {"lineage": "another"}))
    with pytest.raises(AgentError, match=r"agent\.json is not the one that was packed"):
        load_agent(folder)
    (folder / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged"):
        load_agent(folder)
    (folder / "agent.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(AgentError, match="format 99, expected 1"):
        load_agent(folder)
    (folder / "agent.json").write_text("{")
    with pytest.raises(AgentError, match="damaged"):
        load_agent(folder)
