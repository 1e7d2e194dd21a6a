"""Paths of a round's artefacts in the project's folder."""

from pathlib import Path


class RoundFiles:
    """The paths of a round.

    Args:
        name: ``r0``, ``r1``, …; round ``r0`` has neither data nor models.
        root: the project's folder.

    Attributes:
        episodes: folder of the episodes that this round collected; earlier rounds' are its siblings.
        latents: folder of all episodes so far, encoded by this round's V.
        vae, mdnrnn, controller: the models' files, each in its own folder.
    """

    def __init__(self, name: str, root: Path = Path()) -> None:
        self.name = name
        self.episodes = root / "data" / "episodes" / name
        self.latents = root / "data" / "latents" / name
        self.vae = root / "models" / "vae" / name / "vae.safetensors"
        self.mdnrnn = root / "models" / "mdnrnn" / name / "mdnrnn.safetensors"
        self.controller = root / "models" / "controller" / name / "controller.safetensors"
