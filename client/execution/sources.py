"""Files as sources of an execution: the names under which `client.execution` gives them out."""

from config.sourcefiles import SourceError, describe_file, mime_type

__all__ = ["SourceError", "describe_file", "mime_type"]
