"""What every value that crosses a process boundary has in common.

Frozen, so that a value can be shared; unknown fields are ignored and every new field has a
default, so that histories and artifacts written by another version still load. Validation
errors name the field and never repeat its value: values hold prompts and answers.

What pydantic builds of a contract to validate and write it takes most of its import, and no
process needs that of all: it is built when it is first needed, each contract's after those that
it consists of, and each once.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)
from pydantic_core import CoreSchema

type_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

Json = Any
"""What JSON can hold: None, bool, int, float, str, list, dict with string keys."""

StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""A step's or an input's name: an identifier, since prompts and conditions spell it."""


class _UnderWay(threading.local):
    """The contracts that this thread is building; one that holds its own kind meets itself."""

    def __init__(self) -> None:
        self.contracts: set[type] = set()

    @contextlib.contextmanager
    def building(self, contract: type) -> Iterator[None]:
        added = {contract} - self.contracts
        self.contracts |= added
        try:
            yield
        finally:
            self.contracts -= added


_under_way = _UnderWay()


class Frozen(BaseModel):
    """Base of all contracts."""

    model_config = type_config

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        """Build what validates and writes the contract, as pydantic does; thread-safe."""
        with _under_way.building(cls):
            return super().model_rebuild(
                force=force,
                raise_errors=raise_errors,
                _parent_namespace_depth=_parent_namespace_depth and _parent_namespace_depth + 1,
                _types_namespace=_types_namespace,
            )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the contract before whatever it is a part of.

        By itself pydantic would build a part within each whole, time and again, and never the
        part: a value of it that came with a whole could then not be written alone.
        """
        if not cls.__pydantic_complete__ and cls not in _under_way.contracts:
            cls.model_rebuild(raise_errors=False, _parent_namespace_depth=0)
        return handler(source)


class Slim(Frozen):
    """A contract of which a run has many: written without the fields that have their default.

    Pages of them stay small. It follows that a default here never changes.
    """

    _defaults: ClassVar[dict[str, Any]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Look the defaults up once a class: asking pydantic each time takes most of the time."""
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.model_fields.items()
        cls._defaults = {name: f.get_default() for name, f in fields if not f.is_required()}

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return self._slimmed(handler(self))

    def _slimmed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what was written without the fields that have their default."""
        defaults, own = self._defaults, self.__dict__
        return {
            key: value
            for key, value in data.items()
            if key not in defaults or own[key] != defaults[key]
        }
