"""Play an agent's game and its dream, side by side, in a window: ``python -m worldmodels.play agents/NAME``.

Both begin at the same state. You drive both at once, or C does, in each on what it sees there.

    arrows, space     steer; space fires (digits choose an action by its number)
    Tab               C drives, you drive
    D                 both, the dream alone, reality alone
    + -               the dream's temperature
    P, N              pause, one step
    R                 begin again, elsewhere
    F                 begin a film, end it (film-1.mp4, …)
    Esc               leave
"""

import argparse
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.agents import TrainedAgent, load_agent, load_agent_memory
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError
from worldmodels.common.runtime import OFF_SCREEN, single_thread
from worldmodels.dream.env import DreamEnv
from worldmodels.dream.simulator import Dream
from worldmodels.dreams import Latent, dream_config
from worldmodels.environment.observation import frame_of
from worldmodels.environment.spec import EnvSpec
from worldmodels.memory.mdnrnn import MDNRNN
from worldmodels.report.films import draw_z
from worldmodels.report.frames import Frame, annotate, side_by_side, upscale
from worldmodels.report.play import playing_speed
from worldmodels.report.video import write_video

VIEWS = ("both", "dream", "reality")
LONGEST = 20_000  # steps of a dream: it ends where M says, not at a horizon


class Side(Protocol):
    """One of the two worlds.

    Attributes:
        features: (Z + D,) float32: what C sees there, [z, h].
        total, steps, over: the return so far, the number of actions, and whether the episode has ended.
    """

    features: NDArray[np.float32]
    total: float
    steps: int
    over: bool

    def step(self, action: Any) -> None:
        """One step; ``action`` is in the environment's form."""
        ...

    def frame(self) -> Frame:
        """The world as it is."""
        ...


class Reality:
    """The real environment, followed by V and M."""

    def __init__(self, agent: TrainedAgent, memory: MDNRNN) -> None:
        self._env = Latent(agent.make_env(render=True), agent.spec, agent.policy.vision, memory)
        self._z_dim = agent.policy.vision.z_dim
        self.fps = playing_speed(self._env, agent.env.frame_skip)
        self.meanings: list[str] = getattr(self._env.unwrapped, "get_action_meanings", list)()

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin the episode of ``seed``; its z (Z,)."""
        self.total, self.steps, self.over = 0.0, 0, False
        self.features, _ = self._env.reset(seed=seed)
        return self.features[: self._z_dim]

    def step(self, action: Any) -> None:
        """See ``Side``."""
        self.features, reward, terminated, truncated, _ = self._env.step(action)
        self.total, self.steps, self.over = self.total + float(reward), self.steps + 1, terminated or truncated

    def frame(self) -> Frame:
        """See ``Side``."""
        return upscale(np.array(frame_of(self._env.render())), 384)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


class Dreamt:
    """The dream that begins at a real state."""

    def __init__(self, agent: TrainedAgent, memory: MDNRNN) -> None:
        spec, vision = agent.spec, agent.policy.vision
        self.dream = Dream(memory, None, replace(dream_config(agent), horizon=LONGEST))
        self._env = DreamEnv(
            self.dream,
            spec.action_space(),
            spec.encode_action,
            draw=lambda z: draw_z(spec, vision, z),
            render_mode="rgb_array",
        )

    @property
    def temperature(self) -> float:
        """τ of what is dreamt from here on."""
        return self.dream.config.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.dream.config = replace(self.dream.config, temperature=value)

    def reset(self, seed: int, z: NDArray[np.float32]) -> None:
        """Begin at z (Z,), with h as before an episode's first step."""
        self.total, self.steps, self.over = 0.0, 0, False
        self.features, _ = self._env.reset(seed=seed, options={"z": z})

    def step(self, action: Any) -> None:
        """See ``Side``."""
        self.features, reward, terminated, truncated, _ = self._env.step(action)
        self.total, self.steps, self.over = self.total + reward, self.steps + 1, terminated or truncated

    def frame(self) -> Frame:
        """See ``Side``."""
        frame = self._env.render()
        assert frame is not None
        return frame


class Session:
    """Both worlds, and who drives.

    Attributes:
        reality, dreamt: the two sides.
        human: whether you drive.
        view: one of ``VIEWS``.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.agent, memory = load_agent(folder), load_agent_memory(folder)
        self.reality, self.dreamt = Reality(self.agent, memory), Dreamt(self.agent, memory)
        self.controls = controls(self.agent.spec, self.reality.meanings)
        self.human, self.view = False, "both"
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed`` in both worlds."""
        self.seed = seed
        self.dreamt.reset(seed, self.reality.reset(seed))

    def tick(self, keys: frozenset[str] = frozenset()) -> None:
        """One step of each world that has not ended: by ``keys`` that are down, or by C."""
        for side in self.sides:
            if not side.over:
                side.step(self.controls(keys) if self.human else self._chosen(side))

    @property
    def sides(self) -> tuple[Side, Side]:
        """Reality, and the dream."""
        return self.reality, self.dreamt

    @property
    def over(self) -> bool:
        """Whether all that is shown has ended."""
        return all(side.over for name, side in zip(("reality", "dream"), self.sides, strict=True) if self._shows(name))

    def frame(self) -> Frame:
        """What is shown."""
        real, dream = (annotate(side.frame(), side.steps, side.total, side.over) for side in self.sides)
        if self.view == "both":
            driver = "you drive" if self.human else "C drives"
            return side_by_side(real, dream, (f"reality: {driver}", f"dream at {self.dreamt.temperature:.1f}"))
        return real if self.view == "reality" else dream

    def close(self) -> None:
        """Close the real environment."""
        self.reality.close()

    def _shows(self, name: str) -> bool:
        return self.view in ("both", name)

    def _chosen(self, side: Side) -> Any:
        seen = side.features[: self.agent.policy.controller.feature_dim]  # z comes first
        return self.agent.decide(seen[None])[0]


def controls(spec: EnvSpec, meanings: list[str]) -> Callable[[frozenset[str]], Any]:
    """What the keys that are down mean, in the environment's form.

    Args:
        meanings: names of the discrete actions, as ALE has them; empty if there are none.
    """
    if spec.action == "box":
        return lambda keys: spec.decode_action(_axes(spec, keys))
    names = meanings or _NAMED.get(_bare(spec.id), {}).get(spec.action_dim, _numbered(spec.action_dim))
    return lambda keys: np.int64(spec.action_start + _named(names, keys))


_NAMED = {"LunarLander-v3": {4: ["NOOP", "LEFT", "UP", "RIGHT"]}}
_SIDEWAYS_LAST = ("LunarLander-v3",)  # its first axis is the main engine


def _numbered(actions: int) -> list[str]:
    return {2: ["LEFT", "RIGHT"], 3: ["LEFT", "NOOP", "RIGHT"]}.get(actions, ["NOOP"] * actions)


def _bare(env_id: str) -> str:
    return env_id.rpartition(":")[2].rpartition("/")[2]


def _axes(spec: EnvSpec, keys: frozenset[str]) -> NDArray[np.float32]:
    sideways = ("right" in keys) - ("left" in keys)
    ahead = ("up" in keys) - ("down" in keys)
    axes = (ahead, sideways) if _bare(spec.id) in _SIDEWAYS_LAST else (sideways, ahead)
    encoded = np.zeros(spec.action_dim, np.float32)
    encoded[: len(axes)] = axes[: spec.action_dim]
    return encoded


def _named(names: list[str], keys: frozenset[str]) -> int:
    """The action of a pressed digit, or the one whose name has the most of the pressed keys and nothing else."""
    digits = [int(key) for key in keys if key.isdigit() and int(key) < len(names)]
    if digits:
        return digits[0]
    wanted = {"FIRE" if key == "space" else key.upper() for key in keys}
    if "UP" not in "".join(names):  # Pong's paddle goes up by RIGHT
        wanted = {{"UP": "RIGHT", "DOWN": "LEFT"}.get(name, name) for name in wanted}
    parts = [{part for part in ("UP", "DOWN", "LEFT", "RIGHT", "FIRE") if part in name} for name in names]
    fitting = [i for i, needed in enumerate(parts) if needed <= wanted]
    return max(fitting, key=lambda i: len(parts[i]), default=0)


def run(session: Session, films: Path = Path()) -> None:
    """Open a window and play until it is closed.

    Raises:
        UserError: this machine has no display.
    """
    import pygame

    if OFF_SCREEN:
        os.environ.pop("SDL_VIDEODRIVER", None)
    pygame.display.quit()  # environments may have begun it off screen
    pygame.init()
    try:
        if OFF_SCREEN and pygame.display.get_driver() in ("dummy", "offscreen"):
            raise UserError("no window can be opened here: there is no display")
        window = _Window(session, films, pygame)
        try:
            window.run()
        finally:
            window.end_film()
    finally:
        pygame.quit()


class _Window:
    """The window, its clock, and the film that is being made."""

    def __init__(self, session: Session, films: Path, pygame: Any) -> None:
        self._session, self._films, self._pygame = session, films, pygame
        self._paused, self._leaving = False, False
        self._film: _Film | None = None

    def run(self) -> None:
        clock = self._pygame.time.Clock()
        self._show()
        while not self._leaving:
            once = False
            for event in self._pygame.event.get():
                if event.type == self._pygame.QUIT:
                    self._leaving = True
                elif event.type == self._pygame.KEYDOWN:
                    once |= self._pressed(self._pygame.key.name(event.key))
            if once or not (self._paused or self._session.over):
                self._session.tick(self._down())
            self._show()
            clock.tick(self._session.reality.fps)

    def _down(self) -> frozenset[str]:
        names = ("left", "right", "up", "down", "space", *map(str, range(10)))
        pressed = self._pygame.key.get_pressed()
        return frozenset(name for name in names if pressed[self._pygame.key.key_code(name)])

    def _pressed(self, key: str) -> bool:
        """Do what the key asks; whether it asks for a single step."""
        session = self._session
        if key == "escape":
            self._leaving = True
        elif key == "tab":
            session.human = not session.human
        elif key == "d":
            session.view = VIEWS[(VIEWS.index(session.view) + 1) % len(VIEWS)]
        elif key in ("+", "=", "[+]", "-", "[-]"):
            change = -0.1 if "-" in key else 0.1
            session.dreamt.temperature = round(max(0.1, session.dreamt.temperature + change), 1)
        elif key == "p":
            self._paused = not self._paused
        elif key == "r":
            session.reset(session.seed + 1)
        elif key == "f":
            if self._film is None:
                self._film = _Film()
            else:
                self.end_film()
        elif key == "n":
            self._paused = True
            return True
        return False

    def _show(self) -> None:
        frame = self._session.frame()
        size = frame.shape[1::-1]
        screen = self._pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = self._pygame.display.set_mode(size)
            self._pygame.display.set_caption("worldmodels")
        screen.blit(self._pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        self._pygame.display.flip()
        if self._film is not None:
            self._film.add(frame)

    def end_film(self) -> None:
        """Write the film that is being made, if there is one."""
        film, self._film = self._film, None
        if film is not None and film.sizes:
            number = next(n for n in itertools.count(1) if not (self._films / f"film-{n}.mp4").exists())
            write_video(self._films / f"film-{number}.mp4", film.frames(), self._session.reality.fps)


class _Film:
    """Frames of one size, kept on the disk: a minute of them would be a gigabyte of memory.

    Attributes:
        sizes: bytes of each frame.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._shape: tuple[int, ...] | None = None
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (``frames`` closes it)

    def add(self, frame: Frame) -> None:
        """Keep the frame if it has the size of the first; the view may have been changed meanwhile."""
        self._shape = self._shape or frame.shape
        if frame.shape == self._shape:
            self.sizes.append(self._file.write(cv2.imencode(".png", frame)[1].tobytes()))

    def frames(self) -> Iterator[Frame]:
        """All of them, and no more after that."""
        with self._file:
            self._file.seek(0)
            for size in self.sizes:
                png = np.frombuffer(self._file.read(size), np.uint8)
                yield np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR), np.uint8)


def main() -> None:
    """Play."""
    parser = argparse.ArgumentParser(
        prog="worldmodels.play", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("agent", type=Path, help="folder of a packed agent")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (default: 0)")
    parser.add_argument("--human", action="store_true", help="you drive from the beginning")
    arguments = parser.parse_args()
    with one_line_errors(), single_thread():
        session = Session(arguments.agent, arguments.seed)
        session.human = arguments.human
        try:
            run(session)
        finally:
            session.close()


if __name__ == "__main__":
    main()
