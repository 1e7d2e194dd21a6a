import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.control.agents import identity
from tests.control.searches import CONTROLLER, SMALL, TOP, Hill, ToldHill, changed, search
from tests.runs import Killed
from worldmodels.common.checkpoint import Scratch
from worldmodels.common.runtime import RuntimeConfig
from worldmodels.common.seeding import Role, env_seeds
from worldmodels.control.agent import Agent
from worldmodels.control.config import ControllerConfig
from worldmodels.control.controller import Controller, FeatureScale, TrainedController, load_controller
from worldmodels.control.evaluate import evaluate_policy
from worldmodels.control.fitness import RealFitness
from worldmodels.control.train import train_controller
from worldmodels.environment.config import EnvConfig
from worldmodels.environment.contract import spec_of
from worldmodels.training import TrainingError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes and the log of an uninterrupted search."""
    folder, logged = tmp_path_factory.mktemp("whole"), []
    search(folder, log=lambda step, metrics: logged.append((step, metrics)))
    return (folder / "controller.safetensors").read_bytes(), logged


def test_a_real_controller_is_learned(tmp_path):
    env, runtime = EnvConfig(id="CartPole-v1"), RuntimeConfig(workers=1)
    config = changed(fitness="real", generations=10, popsize=16, real_rollouts=3, sigma0=1.0, validation_every=2)
    controller = Controller.build(config, z_dim=4, rnn_dim=0, action="discrete", action_dim=2)
    zeros = np.zeros((1, controller.num_params))
    agent = Agent(spec_of(env), identity(4), None, controller, zeros)
    found = train_controller(
        controller,
        config,
        {"real": RealFitness(env=env, agent=agent, runtime=runtime, seed=1)},
        seed=1,
        scratch=Scratch(tmp_path, "controller", "0" * 16),
        log=lambda step, metrics: None,
    )
    held_out = env_seeds(Role.EVALUATE, 10)
    assert evaluate_policy(env, agent, held_out, runtime).returns.mean() < 50
    assert evaluate_policy(env, agent.with_solutions(found.best[None]), held_out, runtime).returns.mean() > 300


def test_it_climbs(tmp_path):
    found = search(tmp_path, changed(generations=60, sigma0=1.0))
    np.testing.assert_allclose(found.best, TOP, atol=0.05)
    assert found.samples.shape == (60, 3)
    distance = np.abs(found.samples - TOP).max(axis=1)
    assert distance[:5].min() > 0.5 and distance[-5:].max() < 0.1  # from all over the search
    read = load_controller(tmp_path / "controller.safetensors")
    assert np.array_equal(read.best, found.best) and read.validation_return == found.validation_return


@pytest.mark.parametrize("kill_at", [1, 4, 11, 12, 13])
def test_a_killed_search_resumes_to_the_same_bytes_and_log(tmp_path, whole, kill_at):

    def die(step, metrics):
        if step == kill_at:
            raise Killed

    with pytest.raises(Killed):
        search(tmp_path, log=die)
    assert not (tmp_path / "controller.safetensors").exists()
    np.random.seed(kill_at)  # noqa: NPY002 (must not affect the search)
    logged, hill = [], Hill()
    search(tmp_path, hill=hill, log=lambda step, metrics: logged.append((step, metrics)))
    assert (tmp_path / "controller.safetensors").read_bytes() == whole[0]
    assert logged == whole[1]
    assert len(hill.asked(Role.FITNESS)) == 12 - min(kill_at - 1, 12)


@pytest.mark.parametrize("kill_at", [12, 13, 18, 19, 21, 22])
def test_searches_killed_around_their_ends_resume_to_the_same_bytes(tmp_path, kill_at):
    """From the previous controller, then from zero, then in reality: 12, 6 and 3 generations, and a final."""
    config = changed(fitness="both", fresh_generations=6, real_generations=3)

    def run(folder, log):
        search(folder, config, previous=previous_controller(), log=log)
        return (folder / "controller.safetensors").read_bytes()

    def die(step, metrics):
        if step == kill_at:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "killed", die)
    logs = [], []
    again, whole = (
        run(tmp_path / name, lambda step, metrics, log=log: log.append((step, metrics)))
        for name, log in zip(("killed", "whole"), logs, strict=True)
    )
    assert again == whole and logs[0] == logs[1]
    assert logs[0][-1][0] == 12 + 6 + 3 + 1


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bytes(tmp_path, whole):
    command = [sys.executable, "-m", "tests.control.hanging_job", str(tmp_path), "7"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        job.send_signal(signal.SIGKILL)
    assert job.returncode == -signal.SIGKILL
    assert not (tmp_path / "controller.safetensors").exists()
    search(tmp_path)
    assert (tmp_path / "controller.safetensors").read_bytes() == whole[0]


def test_no_two_calls_share_their_random_numbers_and_validation_has_its_own(tmp_path):
    hill = Hill()
    search(tmp_path, changed(fitness="both", real_generations=3), hill=hill)
    streams = [(role, path) for role, path, *_ in hill.calls]
    assert len(set(streams)) == len(streams)
    assert {role for role, _ in streams} == {Role.FITNESS, Role.VALIDATE}
    assert all(path[0] == "r1" for _, path in streams)


def test_the_cost_of_validation_is_what_the_settings_say(tmp_path):
    hill = Hill()
    found = search(tmp_path, hill=hill)
    assert [(len(solutions), rollouts) for _, solutions, rollouts in hill.asked(Role.VALIDATE)] == 3 * [(1, 3)] + [
        (2, 5)
    ]
    assert found.env_steps == 12 * 8 * 2 + 3 * 3 + 2 * 5


def test_the_best_validated_mean_wins_and_not_the_last(tmp_path):
    hill = ToldHill({(0, 8): 7.0})
    found = search(tmp_path, changed(finalists=1), hill=hill)
    (_, mean, _) = hill.asked(Role.VALIDATE)[1]
    np.testing.assert_array_equal(found.best, mean[0].astype(np.float32))
    asked = [solutions[0] for _, solutions, _ in hill.asked(Role.FITNESS)]
    np.testing.assert_array_equal(found.samples, np.stack(asked).astype(np.float32))
    assert found.validation_return == 7.0


def test_the_final_decides_among_the_best(tmp_path):
    hill = ToldHill({(0, 4): 5.0, (0, 8): 6.0}, final=[1.0, 2.0])
    found = search(tmp_path, hill=hill)
    (_, first, _), (_, second, _), *_, (_, finalists, _) = hill.asked(Role.VALIDATE)
    np.testing.assert_array_equal(finalists, np.concatenate([second, first]))
    np.testing.assert_array_equal(found.best, first[0].astype(np.float32))
    assert found.validation_return == 2.0


def test_a_mean_without_a_finite_return_never_wins(tmp_path):
    found = search(tmp_path, changed(finalists=1), hill=ToldHill({(0, 4): np.nan, (0, 8): -3.0, (0, 12): np.inf}))
    assert found.validation_return == -3.0


def previous_controller(controller=CONTROLLER):
    best = (TOP * 0.9).astype(np.float32)
    return TrainedController(
        controller=controller,
        best=best,
        samples=np.tile(best, (4, 1)),
        lineage=np.ones((2, 3), np.float32),
        validation_return=0.0,
        env_steps=5,
    )


def test_it_starts_at_the_previous_controller_and_has_to_beat_it(tmp_path):
    hill, previous = ToldHill({}, final=[7.0, 7.5, 8.0]), previous_controller()
    found = search(tmp_path, changed(warm_sigma0=1e-3), hill=hill, previous=previous)
    assert np.array_equal(found.best, previous.best) and not np.array_equal(found.samples, previous.samples)
    assert found.validation_return == 8.0
    np.testing.assert_allclose(hill.asked(Role.FITNESS)[0][1], np.tile(TOP * 0.9, (8, 1)), atol=0.01)


def test_in_other_units_it_finds_the_same_and_starts_at_the_same(tmp_path):
    scale = FeatureScale(np.array([3.0, -2.0]), np.array([0.5, 4.0]))
    config = changed(generations=60, sigma0=1.0)
    np.testing.assert_allclose(search(tmp_path / "far", config, scale=scale).best, TOP, atol=0.1)
    hill, previous = Hill(), previous_controller()
    search(tmp_path / "near", changed(warm_sigma0=1e-4), hill=hill, previous=previous, scale=scale)
    _, first, _ = hill.asked(Role.FITNESS)[0]
    np.testing.assert_allclose(first, np.tile(previous.best, (len(first), 1)), atol=1e-2)


def test_a_search_from_zero_competes_with_the_one_from_the_previous_controller(tmp_path):
    dream, real, config = Hill(), Hill(), changed(warm_sigma0=1e-3, sigma0=1e-3, fresh_generations=6)
    found = search(tmp_path, config, hill=dream, real=real, previous=previous_controller())
    starts = [rows for path, rows, _ in dream.asked(Role.FITNESS) if path[-1] == 0]
    np.testing.assert_allclose(starts[0], np.tile(TOP * 0.9, (8, 1)), atol=0.01)
    np.testing.assert_allclose(starts[1], np.zeros((8, 3)), atol=0.01)
    assert len(dream.asked(Role.FITNESS)) == 12 + 6 == len(found.samples)
    np.testing.assert_allclose(found.samples[[0, -1]], np.stack([TOP * 0.9, 0 * TOP]), atol=0.1)
    ((_, finalists, _),) = real.asked(Role.VALIDATE)  # two of each search and the previous controller
    np.testing.assert_allclose(finalists, np.stack([TOP * 0.9, TOP * 0.9, 0 * TOP, 0 * TOP, TOP * 0.9]), atol=0.3)

    first = Hill()
    search(tmp_path / "first", config, hill=first)
    assert len(first.asked(Role.FITNESS)) == 12  # without a previous controller the first search is from zero


def test_a_later_round_s_search_can_begin_at_zero_and_the_previous_controller_still_competes(tmp_path):
    dream, real, config = Hill(), Hill(), changed(start="zero", sigma0=1e-3)
    search(tmp_path, config, hill=dream, real=real, previous=previous_controller())
    first = dream.asked(Role.FITNESS)[0][1]
    np.testing.assert_allclose(first, np.zeros((8, 3)), atol=0.01)
    ((_, finalists, _),) = real.asked(Role.VALIDATE)
    np.testing.assert_allclose(finalists[-1], TOP * 0.9, atol=1e-6)


def test_a_search_in_the_dream_needs_no_real_step_but_those_of_its_final(tmp_path):
    dream, real = Hill(), Hill()
    search(tmp_path / "one", changed(finalists=1), hill=dream, real=real)
    assert not real.calls
    found = search(tmp_path / "two", hill=dream, real=real)
    assert [(role, path, len(rows), rollouts) for role, path, rows, rollouts in real.calls] == [
        (Role.VALIDATE, ("r1", "final"), 2, 5)
    ]
    assert np.isfinite(found.validation_return)


def test_what_the_rounds_before_found_and_cost_is_handed_on(tmp_path):
    previous = previous_controller()
    first = search(tmp_path / "first")
    found = search(tmp_path / "later", previous=previous)
    assert first.lineage.shape == (0, 3)
    assert np.array_equal(found.lineage, np.concatenate([previous.lineage, previous.best[None]]))
    assert found.env_steps == first.env_steps + 5 + 5  # the previous controller plays in the final


def test_a_previous_controller_of_another_shape_is_an_error(tmp_path):
    other = Controller.build(ControllerConfig(features="z"), z_dim=3, rnn_dim=0, action="box", action_dim=1)
    with pytest.raises(TrainingError, match=r"feature_dim=3.*this one.*feature_dim=2"):
        search(tmp_path, previous=previous_controller(other))


def test_after_the_dream_the_search_goes_on_in_reality_from_the_best(tmp_path):
    dream, real = Hill(), Hill()
    dream.judge = lambda returns, role, path: returns + (100 if path[-2:] == (0, 8) else 0)
    found = train_controller(
        CONTROLLER,
        changed(fitness="both", real_generations=3, real_rollouts=4, finalists=1, warm_sigma0=1e-3),
        {"dream": dream, "real": real},
        seed=3,
        scratch=Scratch(tmp_path, "controller", "0" * 16),
        log=lambda step, metrics: None,
    )
    assert len(dream.asked(Role.FITNESS)) == 12 and len(dream.asked(Role.VALIDATE)) == 3
    assert len(real.asked(Role.FITNESS)) == 3 and len(real.asked(Role.VALIDATE)) == 2  # the start, and the last mean
    assert {rollouts for *_, rollouts in dream.asked(Role.FITNESS)} == {2}
    assert {rollouts for *_, rollouts in real.asked(Role.FITNESS)} == {4}
    start = real.asked(Role.FITNESS)[0][1]
    best_of_dream = dream.asked(Role.VALIDATE)[1][1]
    np.testing.assert_allclose(start, np.tile(best_of_dream, (8, 1)), atol=0.01)
    assert found.validation_return < 0  # a real return, not the dream's 100


@pytest.mark.parametrize("best", [0, 1])
def test_reality_goes_on_from_the_best_of_both_dream_searches(tmp_path, best):
    dream, real = Hill(), Hill()
    dream.judge = lambda returns, role, path: returns + (100 if path[-2:] == (best, 4) else 0)
    config = changed(fitness="both", fresh_generations=6, real_generations=3, warm_sigma0=1e-3)
    search(tmp_path, config, hill=dream, real=real, previous=previous_controller())
    winner = next(rows for path, rows, _ in dream.asked(Role.VALIDATE) if path[-2:] == (best, 4))
    np.testing.assert_allclose(real.asked(Role.FITNESS)[0][1], np.tile(winner, (8, 1)), atol=0.01)
    *_, (path, finalists, _) = real.asked(Role.VALIDATE)
    assert path[-1] == "final" and len(finalists) == 2 + 1  # means of the real search, and the previous controller


def test_the_log_has_what_plots_need(whole):
    steps = [step for step, _ in whole[1]]
    assert steps == list(range(1, 14))  # 12 generations and the final
    for _, metrics in whole[1][:12]:
        assert {"fitness_mean", "fitness_std", "fitness_best", "length_mean", "sigma", "non_finite"} <= metrics.keys()
        assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert [step for step, metrics in whole[1] if "validation_mean" in metrics] == [4, 8, 12]
    assert "final_mean" in whole[1][-1][1]
    assert SMALL.generations == 12
