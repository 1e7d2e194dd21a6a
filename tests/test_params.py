from pathlib import Path

import pytest
from pydantic import Field

from worldmodels.common.params import Count, Fraction, ParamError, Positive, load_section, settings


@settings
class Example:
    epochs: Count = 10
    rate: Positive = 1e-4
    share: Fraction = 0.5
    widths: list[int] = Field(default_factory=lambda: [1, 2])


def load(tmp_path: Path, text: str) -> Example:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_section("vae", Example, path)


def test_values_arrive_with_their_types(tmp_path: Path) -> None:
    assert load(tmp_path, "vae: {epochs: 3, rate: 5e-05, share: 1}") == Example(epochs=3, rate=5e-05, share=1.0)
    assert load(tmp_path, "vae: {epochs: 040}") == Example(epochs=40)  # as DVC reads it


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vae: {epoch: 3}", ["vae.epoch is not a setting", "epochs, rate, share, widths"]),
        ("vae: {epochs: many}", ["vae.epochs = 'many'", "integer"]),
        ("vae: {epochs: '3'}", ["vae.epochs = '3'", "integer"]),
        ("vae: {epochs: 1:30}", ["vae.epochs = '1:30'", "integer"]),
        ("vae: {epochs: 3, epochs: 4}", ["cannot be read as YAML", "duplicate key"]),
        ("vae: {epochs: true}", ["vae.epochs = True", "integer"]),
        ("vae: {epochs: 0}", ["vae.epochs = 0", "greater than or equal to 1"]),
        ("vae: {share: 1.5}", ["vae.share = 1.5", "less than or equal to 1"]),
        ("vae: {rate: .nan}", ["vae.rate = nan", "finite"]),
        ("vae: {widths: [1, a]}", ["vae.widths.1 = 'a'"]),
        ("vae: carracing", ["vae = 'carracing'", "-S vae=carracing"]),
        ("mdnrnn: {}", ["'vae' is missing"]),
        ("[1, 2]", ["expected a mapping"]),
        ("vae: {", ["cannot be read as YAML"]),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ParamError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    for part in [str(tmp_path / "params.yaml"), *parts]:
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamError, match=r"nothing\.yaml: no such file"):
        load_section("vae", Example, tmp_path / "nothing.yaml")
