"""Names of task runs: they say the slice."""

from collections.abc import Callable

from prefect.runtime import task_run


def name_chunks(verb: str) -> Callable[[], str]:
    """Name a task run after the chunks it covers: `load chunks 5-9`."""

    def name() -> str:
        chunks = task_run.parameters["load"].chunks
        return f"{verb} chunks {chunks[0]}-{chunks[-1]}"

    return name
