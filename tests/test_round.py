"""A round knows its environment from what is there."""

import pytest

from tests.control.agents import STATE
from tests.memory.worlds import counting
from worldmodels.environment.contract import spec_of
from worldmodels.environment.manifest import write_manifest
from worldmodels.environment.shard import DataError
from worldmodels.round import Round
from worldmodels.vision.latents import LatentWriter


def test_the_environment_is_that_of_the_episodes_or_of_the_latents(tmp_path):
    source, spec = Round("r1", tmp_path), spec_of(STATE)
    with pytest.raises(DataError, match="no such manifest"):
        print(source.spec)
    with LatentWriter(source.files.latents, spec=spec.to_dict(), source="") as writer:
        writer.add(counting(3))
    assert source.spec == spec
    write_manifest(source.files.episodes, [], round_name="r1", spec=spec, previous=None)
    assert Round("r1", tmp_path).spec == spec
