"""One dream with Gymnasium's interface, for any compatible learning algorithm."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamStart, DreamState, Noise


class DreamEnv(gym.Env[NDArray[np.float32], Any]):
    """A dream as an environment: terminated as M predicts, truncated at the horizon.

    Each episode begins where the dream's starts say, or at a given state (``reset``), and is simulated by one member of
    the ensemble, drawn at reset. Observations
    are the dream's features (F,) float32: [z, h] or z.

    Args:
        dream: the simulator; its horizon, temperature and features apply.
        action_space: the real environment's.
        encode_action: the real environment's action as (A,) float32 (``EnvSpec.encode_action``).
        draw: z (Z,) as an RGB image; None: nothing can be rendered.
        render_mode: ``rgb_array``: ``render()`` gives the image of the last observation.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (Gymnasium's declaration)

    def __init__(
        self,
        dream: Dream,
        action_space: gym.Space,
        encode_action: Callable[[Any], NDArray],
        *,
        draw: Callable[[NDArray[np.float32]], NDArray[np.uint8]] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode, self._draw = render_mode, draw
        self.action_space = action_space
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (dream.feature_dim,), np.float32)
        self._dream = dream
        self._encode_action = encode_action
        self._state: DreamState | None = None
        self._z: NDArray[np.float32] | None = None  # of the last observation

    @torch.inference_mode()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a dream. The same ``seed`` and actions give the same dream.

        Args:
            options: ``z``: (Z,) the state to begin at, with M's state before an episode's first step.
        """
        super().reset(seed=seed, options=options)
        generator = torch.Generator().manual_seed(int(self.np_random.integers(2**63)))
        self._member = int(self.np_random.integers(self._dream.ensemble_size))
        if options and "z" in options:
            rnn = self._dream.memory.initial_state(1)
            start = DreamStart(torch.as_tensor(options["z"], dtype=torch.float32, device=rnn.h.device)[None], rnn)
            noise = Noise.draw((self._dream.config.horizon, 1), self._dream.z_dim, generator)
            self._noise = noise.to(rnn.h.device)
        else:
            start, self._noise = self._dream.draw(1, generator)
        # Every member simulates its own dream from here, with the same actions; only one of them is returned.
        self._state = self._dream.reset(start)
        self._t = 0
        return self._observe(self._state), {}

    @torch.inference_mode()
    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step of the dream; ``action`` is in the real environment's form.

        Raises:
            gymnasium.error.ResetNeeded: the episode has ended, or none was begun.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("no dream is under way: call DreamEnv.reset first")
        encoded = torch.as_tensor(self._encode_action(action), dtype=torch.float32, device=self._state.z.device)
        state, reward, ended, _ = self._dream.step(
            self._state, encoded.expand(self._dream.ensemble_size, 1, -1), self._noise.select(self._t)
        )
        self._t += 1
        terminated = bool(ended[self._member, 0])
        truncated = not terminated and self._t >= self._dream.config.horizon
        self._state = None if terminated or truncated else state
        return self._observe(state), float(reward[self._member, 0]), terminated, truncated, {}

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The last observation's image (H, W, 3); None without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: no episode was begun.
        """
        if self.render_mode is None or self._draw is None:
            return None
        if self._z is None:
            raise gym.error.ResetNeeded("no dream is under way: call DreamEnv.reset first")
        return self._draw(self._z)

    def _observe(self, state: DreamState) -> NDArray[np.float32]:
        self._z = state.z[self._member, 0].cpu().numpy()
        return self._dream.features(state)[self._member, 0].cpu().numpy()
