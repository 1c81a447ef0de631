"""Names of task runs: they say the slice."""

from collections.abc import Callable

from prefect.runtime import task_run


def name_chunks(verb: str) -> Callable[[], str]:
    """Name a task run after the chunks it covers: `load chunks 5-9`, or `load 10 of chunks 0-19`."""

    def name() -> str:
        chunks = task_run.parameters["load"].chunks
        is_all = len(chunks) == chunks[-1] - chunks[0] + 1
        return f"{verb} {'' if is_all else f'{len(chunks)} of '}chunks {chunks[0]}-{chunks[-1]}"

    return name
