"""An agent for other programs.

    python -m worldmodels.export onnx FOLDER agents/NAME
    python -m worldmodels.export page FOLDER agents/NAME…

``page`` makes a folder of web pages in which one plays in the agents' dreams. Any web server gives them, as ``python -m
http.server -d FOLDER`` does, and they load nothing from elsewhere.

In ``onnx`` V, M and C are four graphs in float32, one step each, for a batch of any size N; of an ensemble, member 0:

    encoder.onnx     obs (N, 64, 64, 3) uint8, or (N, S) float → mu, logvar (N, Z)
    decoder.onnx     z (N, Z) → obs: pixels (N, 64, 64, 3) in [0, 1], or states (N, S)
    memory.onnx      z (N, Z), action (N, A) encoded, h, c (N, D), uniform, normal (N, Z), end (N,), temperature ()
                     → z_next, h_next, c_next, reward (N,), terminated (N,) bool
    controller.onnx  z (N, Z), h (N, D) → action (N, A), encoded
    about.json       the sizes, the environment's id, and its actions

All noise is an argument, so a graph is a function: ``uniform`` and ``end`` in [0, 1), ``normal`` standard normal. An
encoded action is one-hot, or in [-1, 1]; a dream begins with h and c of zeros.
"""

import argparse
import logging
import shutil
import subprocess
import tarfile
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment
from torch import Tensor, nn

from worldmodels.agents import TrainedAgent, load_agent, load_agent_memory
from worldmodels.common.checkpoint import atomic_path, write_bytes, write_json
from worldmodels.common.errors import one_line_errors
from worldmodels.common.params import UserError
from worldmodels.common.seeding import torch_rng
from worldmodels.dream.simulator import Dream
from worldmodels.dream.state import DreamState, Noise
from worldmodels.dreams import RealStarts, dream_config
from worldmodels.memory.mdnrnn import MDNRNN, RNNState
from worldmodels.play import controls
from worldmodels.report.play import playing_speed
from worldmodels.vision.base import LOGVAR_EXACT, Vision, frames_to_float
from worldmodels.vision.vae import VAE

OPSET = 18
ABOUT = "about.json"
STARTS = 16  # of a page's dreams: first observations of real episodes
KEYS = ("up", "down", "left", "right", "space")  # bits of an index into about.json's actions
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_SIGNS = (("left", "◀"), ("up", "▲"), ("down", "▼"), ("right", "▶"), ("space", "●"))
_BROWSER = Path(__file__).parent / "browser"
_EXAMPLES = 7  # N while a graph is made, unlike any other size


class _Vision(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, vision: Vision) -> None:
        super().__init__()
        self.vae = vision if isinstance(vision, VAE) else None
        for name, value in vision.weights().items() if self.vae is None else ():
            self.register_buffer(name, torch.as_tensor(value))


class _Encoder(_Vision):
    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        if self.vae is not None:
            return self.vae.posterior_of(frames_to_float(obs))
        mu = (obs - self.mean) / self.std
        return mu, torch.full_like(mu, LOGVAR_EXACT)


class _Decoder(_Vision):
    def forward(self, z: Tensor) -> Tensor:
        if self.vae is not None:
            return self.vae.pixels_of(z).permute(0, 2, 3, 1)
        return z * self.std + self.mean


class _Memory(nn.Module):
    """One step of the dream."""

    def __init__(self, dream: Dream) -> None:
        super().__init__()
        self.dream, self.memory = dream, dream.memory

    def forward(
        self,
        z: Tensor,
        action: Tensor,
        h: Tensor,
        c: Tensor,
        uniform: Tensor,
        normal: Tensor,
        end: Tensor,
        temperature: Tensor,
    ) -> tuple[Tensor, ...]:
        before = DreamState(z[None], RNNState(h[None], c[None]), None)
        noise = Noise(uniform[None], normal[None], end[None])
        after, reward, terminated, _ = self.dream.step(before, action[None], noise, temperature)
        return after.z[0], after.rnn.h[0], after.rnn.c[0], reward[0], terminated[0]


class _Controller(nn.Module):
    solution: Tensor

    def __init__(self, agent: TrainedAgent) -> None:
        super().__init__()
        self.controller = agent.policy.controller
        self.register_buffer("solution", torch.as_tensor(agent.policy.solution))

    def forward(self, z: Tensor, h: Tensor) -> Tensor:
        features = torch.cat([z, h], -1) if self.controller.features == "zh" else z + 0 * h[:, :1]
        return self.controller.act(self.solution[None], features[None])[0]


def export_onnx(agent: TrainedAgent, memory: MDNRNN, folder: Path, **more: Any) -> None:
    """Write the four graphs and about.json into ``folder``; each file appears when it is whole.

    Args:
        more: for about.json.

    Raises:
        UserError: the packages ``onnx`` and ``onnxscript`` are not installed.
    """
    spec, vision, first = agent.spec, in_float32(agent.policy.vision), first_member(memory)
    config = replace(dream_config(agent), precision="float32", compile=False)
    z, h = torch.zeros(_EXAMPLES, first.z_dim), torch.zeros(_EXAMPLES, first.hidden_dim)
    obs = torch.zeros(_EXAMPLES, *spec.obs_shape, dtype=torch.uint8 if spec.observation == "pixel" else torch.float32)
    action = torch.zeros(_EXAMPLES, spec.action_dim)
    # one tensor for two arguments would make one argument of them
    step = (z, action, h, h.clone(), z.clone(), z.clone(), torch.zeros(_EXAMPLES), torch.ones(()))
    names = ("z", "action", "h", "c", "uniform", "normal", "end", "temperature")
    _write(folder / "encoder.onnx", _Encoder(vision), {"obs": obs}, ["mu", "logvar"])
    _write(folder / "decoder.onnx", _Decoder(vision), {"z": z}, ["obs"])
    after = ["z_next", "h_next", "c_next", "reward", "terminated"]
    _write(folder / "memory.onnx", _Memory(Dream(first, None, config)), dict(zip(names, step, strict=True)), after)
    _write(folder / "controller.onnx", _Controller(agent), {"z": z, "h": h}, ["action"])
    sizes = {"z_dim": first.z_dim, "hidden_dim": first.hidden_dim, "action_dim": spec.action_dim}
    write_json(folder / ABOUT, {**sizes, "temperature": config.temperature, "spec": spec.to_dict(), **more})


def in_float32(vision: Vision) -> Vision:
    """The same V, computed in float32: an ONNX runtime knows nothing of autocast."""
    if not isinstance(vision, VAE):
        return vision
    plain = VAE(replace(vision.config, precision="float32"))
    plain.load_weights(vision.weights())
    return plain.to(memory_format=torch.contiguous_format).eval()  # the exporter takes the bytes as they lie


def first_member(memory: MDNRNN) -> MDNRNN:
    """Member 0 alone, whose h C reads."""
    alone = MDNRNN(replace(memory.config, ensemble_size=1), memory.z_dim, memory.action_dim, memory.stats)
    members = dict(memory.named_parameters())
    alone.load_state_dict(
        {name: value[:1] if name in members else value for name, value in memory.state_dict().items()}
    )
    return alone.eval()


def _write(path: Path, module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> None:
    many = torch.export.Dim("n", min=1)
    shapes = {name: ({0: many} if value.ndim else {}) for name, value in inputs.items()}
    try:
        with warnings.catch_warnings(), atomic_path(path) as temporary:
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                temporary,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple(shapes.values()),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise UserError(f"export to ONNX: {error}; `uv sync --extra onnx` brings it") from None


def export_page(folder: Path, agents: Sequence[Path]) -> None:
    """Write a page for each agent, and one that lists them; ONNX Runtime comes from the npm registry, once.

    Raises:
        UserError: as ``export_onnx``; there is no npm, or it could not fetch the runtime.
    """
    fetch_runtime(folder / "runtime")
    write_bytes(folder / "play.js", (_BROWSER / "play.js").read_bytes())
    listed = []
    for path in agents:
        agent, memory = load_agent(path), load_agent_memory(path)
        with closing(agent.make_env()) as env:
            meanings = getattr(env.unwrapped, "get_action_meanings", list)()
            fps = playing_speed(env, agent.env.frame_skip)
            starts = RealStarts(env, agent.policy.vision).draw(STARTS, torch_rng(0, "page")).z[:, -1].tolist()
        steer = controls(agent.spec, meanings)
        pressed = [
            frozenset(key for bit, key in enumerate(KEYS) if index >> bit & 1) for index in range(2 ** len(KEYS))
        ]
        actions = [agent.spec.encode_action(steer(keys)).tolist() for keys in pressed]
        export_onnx(agent, memory, folder / path.name, fps=fps, starts=starts, actions=actions)
        title = f"In the dream of {path.name}"
        size = (64, 64) if agent.spec.observation == "pixel" else (600, 400)
        text = f"{agent.spec.id}, {agent.about['score']['metrics']['return_mean']:.1f} in reality"
        _page(folder / path.name, title=title, width=size[0], height=size[1], about=f"{text}.")
        listed.append((path.name, text))
    _page(folder, title="Play in a dream", agents=listed)


def _page(folder: Path, **given: Any) -> None:
    template = Environment(autoescape=True).from_string((_BROWSER / "play.html").read_text(encoding="utf-8"))
    write_bytes(folder / "index.html", template.render(keys=_SIGNS, **given).encode())


def fetch_runtime(folder: Path) -> None:
    """Put ONNX Runtime for browsers into ``folder``, unless it is there.

    Raises:
        UserError: there is no npm, or it could not fetch it.
    """
    if all((folder / name).exists() for name in RUNTIME_FILES):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"page: there is no npm, which fetches {RUNTIME} for the browser")
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run([npm, "pack", RUNTIME, "--silent"], cwd=name, capture_output=True, text=True, check=False)
        packed = next(Path(name).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise UserError(f"page: npm could not fetch {RUNTIME}: {' '.join(done.stderr.split())[-200:]}")
        with tarfile.open(packed) as tar:
            for file in RUNTIME_FILES:
                member = tar.extractfile(f"package/dist/{file}")
                assert member is not None
                write_bytes(folder / file, member.read())


def main() -> None:
    """Export agents."""
    parser = argparse.ArgumentParser(
        prog="worldmodels.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("form", choices=["onnx", "page"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("agents", type=Path, nargs="+", metavar="AGENT")
    given = parser.parse_args()
    if given.form == "onnx" and len(given.agents) > 1:
        parser.error("onnx: one agent, please")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with one_line_errors():
        if given.form == "onnx":
            export_onnx(load_agent(given.agents[0]), load_agent_memory(given.agents[0]), given.folder)
        else:
            export_page(given.folder, given.agents)
            print(f"`python -m http.server -d {given.folder}` serves it")
        for path in sorted(path for path in given.folder.rglob("*") if path.is_file()):
            print(f"{path}  {path.stat().st_size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
