"""Base of the storyboard's types: immutable, no unknown fields, errors as `StoryboardError`."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lafi.board.error import storyboard_error

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _Meta
else:

    class _Meta(type(BaseModel)):
        """Translates the errors of `Model(...)`.

        Pydantic creates nested models itself, without this method, so that an error keeps its
        whole path.
        """

        def __call__(cls, *args: Any, **fields: Any) -> Any:
            try:
                return super().__call__(*args, **fields)
            except ValidationError as failed:
                raise storyboard_error(cls, failed, fields) from None


class CheckedModel(BaseModel, metaclass=_Meta):
    """Immutable; `Model(...)`, `model_validate` and `model_validate_json` raise StoryboardError."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        json_schema_serialization_defaults_required=True,
    )

    if not TYPE_CHECKING:  # type checkers should use pydantic's own signatures

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Any:
            """Like pydantic's, but raises `StoryboardError`."""
            try:
                return super().model_validate(obj, **options)
            except ValidationError as failed:
                raise storyboard_error(cls, failed, obj) from None

        @classmethod
        def model_validate_json(cls, json_data: str | bytes, **options: Any) -> Any:
            """Like pydantic's, but raises `StoryboardError`."""
            try:
                return super().model_validate_json(json_data, **options)
            except ValidationError as failed:
                raise storyboard_error(cls, failed, None) from None
