"""Strict, typed loading of params.yaml: one dataclass per section, one line of error message.

A configuration dataclass is defined in the module of the code it configures:

    @settings
    class VAEConfig:
        epochs: Count = 10
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, dataclass_transform

if TYPE_CHECKING:
    import pydantic
    from pydantic import Field
    from pydantic_core import ErrorDetails
else:
    try:
        import pydantic
        from pydantic import Field
    except ModuleNotFoundError:  # V, M and the dream also run with torch and numpy alone; settings are then not checked
        pydantic, Field = None, dict

T = TypeVar("T")

PARAMS_FILE = Path("params.yaml")

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["auto", "float32", "bfloat16"]
"""``auto`` is bfloat16 where the hardware multiplies it natively, float32 elsewhere.

It asks what the machine can do and times nothing, so a machine always gives the same answer, and the same bytes.
"""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass that checks types and ranges when it is constructed.

    Raises:
        pydantic.ValidationError: from the constructor, where a value has another type or is out of range.
    """
    if pydantic is None:
        return dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    from pydantic.dataclasses import dataclass

    strict = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return cast(type[T], dataclass(frozen=True, kw_only=True, config=strict)(cls))


class UserError(Exception):
    """An error that the user can correct. Its text is one line: what, where, what is accepted."""


class ParamError(UserError):
    """A value in params.yaml that is not accepted."""


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The content of a params file as plain dicts and lists.

    Raises:
        ParamError: the file is missing, is not YAML, or is not a mapping.
    """
    from ruamel.yaml import YAML  # imported late: code that reads no file does not need it

    try:
        # YAML 1.2, as DVC reads it: PyYAML would take 040 for 32 and 1:30 for 90
        params = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise ParamError(f"{path}: no such file; run the stages from the project's root") from None
    except Exception as error:  # the parser and the file system raise errors without a common base class
        raise ParamError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(params, dict):
        raise ParamError(f"{path}: expected a mapping of sections, got {type(params).__name__}")
    return {str(key): value for key, value in params.items()}


def load_section(section: str, config: type[T], path: Path = PARAMS_FILE) -> T:
    """One section of the params file as its configuration dataclass.

    Raises:
        ParamError: names the key, the value and what is accepted.
    """
    params = read_params(path)
    if section not in params:
        raise ParamError(f"{path}: section '{section}' is missing; sections are {', '.join(sorted(params))}")
    return parse_section(section, params[section], config, path)


def parse_section(section: str, value: Any, config: type[T], path: Path = PARAMS_FILE) -> T:
    """``value`` as ``config``; ``section`` and ``path`` are used only in the error message."""
    if not isinstance(value, Mapping):
        raise ParamError(
            f"{path}: {section} = {value!r} is not a section of settings"
            f" (choose an environment or a mode with `dvc exp run -S {section}={value}`, which recomposes {path})"
        )
    try:
        return config(**{str(key): item for key, item in value.items()})
    except pydantic.ValidationError as error:
        raise ParamError(f"{path}: {_explain(section, config, error.errors()[0])}") from None


def _explain(section: str, config: type, error: "ErrorDetails") -> str:
    key = ".".join([section, *(str(part) for part in error["loc"])])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = ", ".join(sorted(getattr(config, "__pydantic_fields__", {})))
        return f"{key} is not a setting; {section} takes {known}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key} = {error['input']!r}: {message[:1].lower()}{message[1:]}"
