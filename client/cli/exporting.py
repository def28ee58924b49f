"""`export-history`: what the server wrote down of a run or a conversation, for replay and reports.

One that has gone on in new histories has several. A file gets the newest, and files beside it the
others, numbered from the oldest: talk.1.json, talk.2.json, …, talk.json. stdout gets the newest.
"""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from client.cli.chats_found import found_chat
from client.cli.console import DONE, Refusal, run_async, say
from client.cli.session import open_session
from client.histories import NoHistory, goes_on_from, histories


def export_history(name: str, file: Path | None) -> int:
    """Write the histories; return the exit code."""
    session = open_session()

    async def main() -> int:
        async with found_chat(session, name) as chat:
            handle = chat.handle if chat else (await session.find_on_server(name)).handle
            client = chat.runs.client if chat else (await session.server_runs()).client
            found: list[str] = []
            more = False
            try:
                async with aclosing(histories(client, handle.id)) as chain:
                    async for one in chain:
                        found.append(one.to_json())
                        if file is None:
                            more = goes_on_from(one) is not None
                            break
            except NoHistory as error:
                raise Refusal(str(error)) from None
        if file is not None:
            return _written(file, found)
        print(found[0])
        if more:
            say("note: this is the newest of its histories; -o FILE writes all of them")
        return DONE

    return run_async(main)


def files_of(file: Path, count: int) -> list[Path]:
    """Return where so many histories go, newest first."""
    before = [file.with_name(f"{file.stem}.{n}{file.suffix}") for n in range(count - 1, 0, -1)]
    return [file, *before]


def _written(file: Path, found: Sequence[str]) -> int:
    for path, text in zip(files_of(file, len(found)), found, strict=True):
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise Refusal(f"-o {path}: {error.strerror}") from None
        say(f"{path}: {len(text.encode()) + 1:,} bytes")
    return DONE
