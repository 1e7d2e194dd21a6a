"""Tests of the web page in which one plays in a dream, in headless Chromium."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from axe_core_python.sync_playwright import Axe

from tests.browser import chromium, needs_chromium, page_of
from tests.test_export import step_inputs, stepped
from worldmodels.agents import load_agent, load_agent_memory
from worldmodels.common.params import UserError
from worldmodels.export import export_page, fetch_runtime

AGENTS = Path(__file__).parent.parent / "agents"
STEP = """async (inputs) => {
  const ort = await import(new URL("../runtime/ort.wasm.bundle.min.mjs", location.href).href);
  const given = {};
  for (const [name, [values, dims]] of Object.entries(inputs)) given[name] = new ort.Tensor("float32", values, dims);
  const after = await game.turn(() => game.dream.memory.run(given));
  return ["z_next", "h_next", "c_next", "reward", "terminated"].map((name) => Array.from(after[name].data, Number));
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on loopback."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@needs_chromium
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm, which fetches ONNX Runtime")
def test_one_plays_in_the_dream_and_c_earns_its_return(tmp_path: Path) -> None:
    export_page(tmp_path, [AGENTS / "lunarlander_continuous", AGENTS / "carracing"])
    with served(tmp_path) as address, chromium() as browser:
        with page_of(browser, viewport={"width": 400, "height": 800}) as (page, errors):
            page.goto(f"{address}/index.html")
            assert not Axe().run(page)["violations"]
            page.click("text=lunarlander_continuous")
            page.wait_for_function("window.game && game.dream.steps > 3")  # C drives
            picture = "document.getElementById('screen').toDataURL()"
            page.keyboard.press("p")
            page.evaluate("game.last")
            before = page.evaluate(picture)
            page.keyboard.press("n")
            page.evaluate("game.last")
            assert page.evaluate(picture) != before

            page.keyboard.press("r")
            page.evaluate("game.last")
            page.keyboard.down("ArrowUp")
            assert page.inner_text("#driver") == "You drive"
            assert page.evaluate("game.action()")[0] == 1.0  # the main engine
            page.keyboard.up("ArrowUp")
            assert page.evaluate("game.action()") == [0.0, 0.0]
            page.keyboard.press("c")
            assert page.inner_text("#driver") == "C drives"
            page.locator("[data-key=left]").dispatch_event("pointerdown")
            assert page.evaluate("game.action()")[1] == -1.0
            page.locator("[data-key=left]").dispatch_event("pointerup")
            page.click("#again")  # it keeps the focus
            page.keyboard.down("ArrowRight")
            assert page.evaluate("game.action()")[1] == 1.0
            page.keyboard.up("ArrowRight")

            driven = [page.evaluate(f"game.driven({seed}, 1000)") for seed in range(8)]
            idle = [
                page.evaluate(
                    f"""game.turn(async () => {{
                        game.dream.reset({seed});
                        while (!game.dream.over && game.dream.steps < 1000) await game.dream.step([0, 0]);
                        return game.dream.total;
                    }})"""
                )
                for seed in range(8)
            ]
            assert np.mean(driven) > 100 > 0 > np.mean(idle)
            assert not Axe().run(page)["violations"]
            assert page.evaluate("document.documentElement.scrollWidth") == 400
            assert not errors
        with page_of(browser) as (page, errors):
            page.goto(f"{address}/carracing/index.html")
            page.wait_for_function("window.game && game.dream.steps > 3")
            agent, memory = load_agent(AGENTS / "carracing"), load_agent_memory(AGENTS / "carracing")
            given = step_inputs(memory, np.full((3, agent.spec.action_dim), 0.5, np.float32))
            found = page.evaluate(STEP, {name: [x.ravel().tolist(), list(x.shape)] for name, x in given.items()})
            for one, other in zip(found, stepped(agent, memory, given), strict=True):
                np.testing.assert_allclose(one, other.ravel(), atol=1e-4, rtol=1e-4)
            assert not errors


def test_no_npm_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no npm, which fetches onnxruntime-web@"):
        fetch_runtime(tmp_path)
