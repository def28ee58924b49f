"""What every value that crosses a process boundary has in common.

Frozen, so that a value can be shared; unknown fields are ignored and every new field has a
default, so that histories and artifacts written by another version still load. Validation
errors name the field and never repeat its value: values hold prompts and answers.
"""

from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

type_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

Json = Any
"""What JSON can hold: None, bool, int, float, str, list, dict with string keys."""

StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""A step's or an input's name: an identifier, since prompts and conditions spell it."""


class Frozen(BaseModel):
    """Base of all contracts."""

    model_config = type_config


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
