"""Mistakes in files and variables are told in the words of who wrote them, not of a library."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from config.attachedmodel import ArtifactFile
from config.problems import _PATTERNS, explain
from config.settings import Settings

pytestmark = pytest.mark.unit


def said(model: type[BaseModel], **values: Any) -> str:
    with pytest.raises(ValidationError) as error:
        model.model_validate(values)
    ((_, message),) = explain(error.value, model)
    return message


def test_a_digest_that_is_none() -> None:
    message = said(ArtifactFile, artifact="0c4e…", type="application/pdf", size_bytes=1)
    assert message == 'must be a SHA-256: 64 digits of 0 to 9 and a to f, not "0c4e…"'


def test_a_reference_without_quotes_is_no_mapping() -> None:
    message = said(ArtifactFile, artifact="a" * 64, type={"data": None}, size_bytes=1)
    assert message == 'must be a text, and { begins a mapping: "{data}" in quotes is one'
    other = said(ArtifactFile, artifact="a" * 64, type={"data": 1}, size_bytes=1)
    assert other == "must be a text"


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("temporal_address", "localhost", "localhost:7233"),
        ("artifacts_url", "bucket/prefix", "s3://bucket/prefix"),
        ("redis_url", "localhost:6379", "redis://localhost:6379/1"),
        ("spool_url", "/srv/spools", "file:///srv/spools"),
    ],
)
def test_an_address_that_is_none(name: str, value: str, example: str) -> None:
    message = said(Settings, home=Path("/h"), **{name: value})
    assert example in message
    assert value in message


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("cost_budget", "lots", "must be a number"), ("concurrency", "two", "must be a whole number")],
)
def test_a_number_that_is_none(name: str, value: str, wanted: str) -> None:
    assert said(Settings, home=Path("/h"), **{name: value}) == f'{wanted}, not "{value}"'


def test_every_regular_expression_of_what_people_write_has_words() -> None:
    used = {
        str(piece.pattern)
        for model in (ArtifactFile, Settings)
        for field in model.model_fields.values()
        for piece in field.metadata
        if getattr(piece, "pattern", None)
    }
    assert used == set(_PATTERNS)
