"""``personalize-local``: the local backend from a terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.batch.recipes import job_kind, recipe_name
from airflow_provider_personalize.batch.validation import InputFile, validate_input
from airflow_provider_personalize.local.backend import STORE_VARIABLE, Backend, open_backend
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.layout import resource_name
from airflow_provider_personalize.local.progress import told
from airflow_provider_personalize.local.runner import Workers
from airflow_provider_personalize.local.storage import Location, check_location, storage_for
from airflow_provider_personalize.local.store import UNFINISHED, JobState

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Root = Annotated[Path, typer.Option("--root", help="Directory of models, datasets, logs and, by default, the store.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar=STORE_VARIABLE,
        show_envvar=True,
        help="SQLAlchemy URL of a PostgreSQL store (postgresql+psycopg://...); default: SQLite in the root.",
    ),
]
WorkerCount = Annotated[int, typer.Option("--workers", min=0, help="Jobs to run at a time.")]
ONE_FOR_EACH_CORE = available_cores()
_FOLLOW_SECONDS = 1.0


@app.command()
def serve(
    root: Root,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    workers: WorkerCount = ONE_FOR_EACH_CORE,
    store: StoreUrl = None,
    region: Annotated[str, typer.Option(help="Region of requests that are not signed for one.")] = "us-east-1",
) -> None:
    """Answer Amazon Personalize's API over HTTP and run its jobs, until SIGTERM or Ctrl-C."""
    import uvicorn

    from airflow_provider_personalize.local.transports.http import application

    backend = _open(root, store)
    pool = Workers(backend, workers)
    answering = application(backend, region=region, after_change=pool.wake)
    config = uvicorn.Config(answering, host=host, port=port, log_level="warning", access_log=False)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                bound = self.servers[0].sockets[0].getsockname()[1]
                print(f"Amazon Personalize answers at http://{host}:{bound} from {backend.root}", flush=True)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn raises the signal again once it has shut down, which would make a clean stop look like a kill.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.handle_exit)
            yield

    if workers:
        pool.start()
    server = Server(config)
    try:
        server.run()
    except SystemExit as error:  # uvicorn's way to say that it could not bind; it has logged why
        raise typer.Exit(int(error.code or 1)) from None
    finally:
        pool.stop()


@app.command()
def worker(root: Root, workers: WorkerCount = ONE_FOR_EACH_CORE, store: StoreUrl = None) -> None:
    """Run jobs of a store that is served elsewhere; the root must be the same directory, shared, as the server's."""
    pool = Workers(_open(root, store), workers)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    pool.start()
    print(f"{workers} worker(s) wait for jobs in {root}", flush=True)
    stop.wait()
    pool.stop()


@app.command()
def jobs(
    root: Root,
    store: StoreUrl = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest jobs.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Show it anew until all jobs have ended.")] = False,
) -> None:
    """List the newest jobs with how far they are, how long they will still take, and why they failed."""
    if store is None and not root.is_dir():
        _stop(f"there is no backend in {root}: no such directory.")
    opened = _open(root, store).store
    states = opened.job_states(last)
    if not follow:
        Console().print(_table(states))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(_table(states), refresh_per_second=2) as shown:
        while any(job.status in UNFINISHED for job in states):
            time.sleep(_FOLLOW_SECONDS)
            states = opened.job_states(last)
            shown.update(_table(states))


def _table(states: Sequence[JobState]) -> Table:
    table = Table("job", "status", "attempts", "progress", "took", "failure reason")
    for job in states:
        unfinished = job.status in UNFINISHED
        until = time.time() if unfinished else job.updated
        done, total = job.progress.get("done"), job.progress.get("total")
        progress: RenderableType = told(job.progress)
        if unfinished and done is not None and total:
            # Rows of a grid: in a Group the text would go on behind the bar, which ends no line, and be cut off.
            both = Table.grid()
            both.add_row(ProgressBar(total=total, completed=done, width=40))
            both.add_row(progress)
            progress = both
        name = f"{job.kind} {resource_name(job.arn)}"
        took = f"{until - job.created:.1f} s"
        table.add_row(name, job.status, str(job.attempts), progress, took, job.failure_reason or "")
    return table


@app.command("sample-data")
def sample_data(
    directory: Annotated[Path, typer.Argument(help="Where to write the CSV files, schemas and batch inputs.")],
    movielens: Annotated[
        Path | None, typer.Option(help="Convert this MovieLens directory (ratings.csv, movies.csv) instead.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 7,
) -> None:
    """Write a data set to try: interactions, items, users, their schemas, and batch inputs."""
    from airflow_provider_personalize.local import sample_data as samples

    try:
        if movielens:
            samples.convert_movielens(movielens, directory)
        else:
            samples.generate(directory, seed=seed)
    except (OSError, ValueError) as error:
        _stop(str(error))
    print(f"Written to {directory}: {', '.join(sorted(path.name for path in directory.iterdir()))}")


@app.command()
def validate(
    location: Annotated[
        str, typer.Argument(help="A batch job's input: a file or folder, or an s3:// or file:// prefix.")
    ],
    recipe: Annotated[str, typer.Option(help="Name or ARN of the recipe that the rows are for.")],
    mode: Annotated[str | None, typer.Option(help="BATCH_INFERENCE or THEME_GENERATION.")] = None,
    filter_expression: Annotated[
        str | None, typer.Option("--filter", help="The filter's expression, for rows with filterValues.")
    ] = None,
) -> None:
    """Check the input of a batch job; exits with 1 when a row is bad or the job would not take it."""
    uri = location if "://" in location else f"file://{Path(location).absolute()}{'/' * location.endswith('/')}"
    try:
        name = recipe_name(recipe)
        kind = job_kind(name, mode)
        expression = parse_filter(filter_expression) if filter_expression else None
        with tempfile.TemporaryDirectory() as scratch:
            place = check_location(uri)
            report = validate_input(_input_files(place, Path(scratch)), name, kind, filter_expression=expression)
    except (OSError, ValueError) as error:
        _stop(str(error))
    for line in report.lines():
        print(line)
    raise typer.Exit(int(bool(report.bad_rows or report.faults)))


def _input_files(place: Location, scratch: Path) -> Iterator[InputFile]:
    storage = storage_for(place, scratch)
    for stored in storage.matching(place):
        with storage.local_copy(stored) as path, path.open("rb") as stream:
            yield InputFile(stored.name, stored.size, stream)


def _open(root: Path, store: str | None) -> Backend:
    try:
        return open_backend(root, store)
    except (ValueError, OSError) as error:
        _stop(str(error))
    except SQLAlchemyError as error:
        _stop(f"the store cannot be used: {str(error).splitlines()[0]}")


def _stop(problem: str) -> NoReturn:
    print(f"personalize-local: {problem}", file=sys.stderr)
    raise typer.Exit(2)


def main() -> None:
    logging.basicConfig(
        level=os.environ.get("PERSONALIZE_LOCAL_LOG", "INFO"), format="%(asctime)s %(levelname)s %(message)s"
    )
    app()


if __name__ == "__main__":
    main()
