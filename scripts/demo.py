"""The main job on this machine, with no AWS account: train, recommend, find segments, and show what came out.

Runs three DAGs of ``dags/`` through ``dag.test()``, in this one process, against a local backend. Everything is
left under ``build/demo/``; Airflow's own output in ``build/demo/logs/demo.log``.
"""

from __future__ import annotations

import argparse
import csv
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from sandbox import PROJECT, Sandbox, UnusableDataError

DAGS = ("personalize_train", "personalize_batch_inference", "personalize_batch_segment")
USERS_SHOWN = 4
ITEMS_SHOWN = 5
USERS_OF_SEGMENT_SHOWN = 8
# What an event without a value says, beside one whose value is a share of a film seen.
STRENGTH = {"buy": 1.0}


class DemoError(Exception):
    """The reason, in one paragraph, for a person."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Train, recommend and find segments on this machine, without AWS.")
    parser.add_argument("--data", type=Path, help="a MovieLens folder (ratings.csv, movies.csv) instead of sample data")
    sandbox = Sandbox(PROJECT / "build" / "demo", parser.parse_args().data)
    sandbox.logs.mkdir(parents=True, exist_ok=True)
    log = sandbox.logs / "demo.log"
    console = take_screen(log)
    started = time.monotonic()
    try:
        os.environ.clear()
        os.environ.update(sandbox.environment())
        outputs = Demo(console, sandbox).run()
        catalogue = Catalogue(sandbox.data)
        show_recommendations(console, catalogue, rows(outputs["personalize_batch_inference"]))
        show_segment(console, catalogue, rows(outputs["personalize_batch_segment"]))
    except (DemoError, UnusableDataError) as failure:
        console.print(f"\n[red b]The demo failed.[/red b] {escape(str(failure))}\nAirflow's log: {log}")
        return 1
    except BaseException as error:
        console.print(f"\n[red b]The demo stopped.[/red b] {escape(repr(error))}\nMore in {log}")
        raise
    seconds = time.monotonic() - started
    with (sandbox.logs / "timing.txt").open("a") as timings:
        timings.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sandbox.group} {seconds:.1f} s\n")
    console.print(f"\n[green b]Done[/green b] in {seconds:.0f} s. The files:")
    for what, path in [
        ("data", sandbox.data),
        ("output", sandbox.output),
        ("backend", sandbox.backend),
        ("logs", sandbox.logs),
    ]:
        console.print(f"  {what:8} {path.relative_to(PROJECT)}/")
    return 0


def take_screen(log: Path) -> Console:
    """The only way to the screen. What Airflow and its children print goes to the log, file descriptors included."""
    console = Console(file=os.fdopen(os.dup(1), "w"), width=None if os.isatty(1) else 120, highlight=False)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    return console


class Demo:
    """Runs the DAGs, and says on the screen what is going on."""

    def __init__(self, console: Console, sandbox: Sandbox) -> None:
        self.console = console
        self.sandbox = sandbox
        self.spinner = Spinner("dots")
        self.task = ""
        self.started = 0.0
        self.reason = ""

    def run(self) -> dict[str, str]:
        """Run every DAG; the output file of each that has one. Raises :class:`DemoError`."""
        # By default a live display takes over stdout and stderr, and shows what belongs in the log.
        with Live(self.spinner, console=self.console, transient=True, redirect_stdout=False, redirect_stderr=False):
            self.spinner.update(text=f"Preparing the data set {self.sandbox.group}")
            self.sandbox.prepare()
            self.spinner.update(text="Starting Airflow")
            from airflow.dag_processing.dagbag import BundleDagBag
            from airflow.sdk.listener import get_listener_manager
            from airflow.utils import db

            try:
                db.check_migrations(0)
            except Exception:  # a database that is new, old or broken; what is really wrong comes up in the next line
                db.initdb()
            folder = PROJECT / "dags"
            bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
            if bag.import_errors:
                raise DemoError(f"A DAG file does not load: {bag.import_errors}")
            get_listener_manager().add_listener(self._listener())
            ended = threading.Event()
            threading.Thread(target=self._follow, args=(ended,), daemon=True).start()
            try:
                outputs = {dag_id: self._run_dag(bag.dags[dag_id]) for dag_id in DAGS}
            finally:
                ended.set()
        self._nothing_left_queued()
        return outputs

    def _run_dag(self, dag: Any) -> str:
        from airflow.sdk import DagRunState, TaskInstanceState

        self.console.print(f"[b]{dag.dag_id}[/b]")
        run = dag.test()
        instances = run.get_task_instances()
        unfinished = [
            f"{instance.task_id} ({instance.state})"
            for instance in instances
            if instance.state not in (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)
        ]
        if run.state != DagRunState.SUCCESS or unfinished:
            raise DemoError(f"{dag.dag_id}: {', '.join(unfinished) or run.state}. {self.reason}")
        checked = [instance for instance in instances if instance.task_id == "check_output"]
        return checked[0].xcom_pull(task_ids="check_output")["output_files"][0] if checked else ""

    def _listener(self) -> Any:
        from airflow.listeners import hookimpl

        demo = self

        class Listener:
            @hookimpl
            def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
                demo.task, demo.started = task_instance.task_id, time.monotonic()
                demo.say()

            @hookimpl
            def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
                demo.ended("[green]ok[/green]     ")

            @hookimpl
            def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
                demo.ended("[dim]skipped[/dim]")

            @hookimpl
            def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
                demo.reason = str(error)
                demo.ended("[red]failed[/red] ")
                demo.console.print(f"          {escape(demo.reason)}")

        return Listener()

    def ended(self, outcome: str) -> None:
        self.console.print(f"  {outcome} {self.task:24} {time.monotonic() - self.started:6.1f} s")

    def say(self, progress: str = "") -> None:
        self.spinner.update(text=f"{self.task} {progress}")

    def _follow(self, ended: threading.Event) -> None:
        """Show how far the backend's job is, while a task waits for it."""
        from airflow_provider_personalize.local.backend import open_backend

        backend = open_backend(self.sandbox.backend)
        while not ended.wait(0.5):
            running = [job for job in backend.store.job_states(limit=5) if job.owner and job.progress]
            if running:
                progress = running[0].progress
                total = f" of {progress['total']}" if progress.get("total") else ""
                self.say(f"{progress.get('done', '')}{total} {progress.get('unit', '')}")

    def _nothing_left_queued(self) -> None:
        """``dag.test()`` delivers no asset events, but queues real ones for DAGs that are not paused."""
        from airflow.models.asset import AssetDagRunQueue
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import func, select

        with create_session() as session:
            events = session.scalar(select(func.count()).select_from(AssetDagRunQueue))
            runs = session.scalar(select(func.count()).where(DagRun.state.in_(["queued", "running"])))
        if events or runs:
            raise DemoError(f"{events} asset events and {runs} runs were left waiting in Airflow's database.")


class Catalogue:
    """What the demo has to know of a data set to make its ids readable."""

    def __init__(self, folder: Path) -> None:
        with (folder / "items.csv").open(newline="", encoding="utf-8") as lines:
            self.items = {row["ITEM_ID"]: row for row in csv.DictReader(lines)}
        self.events: dict[str, list[dict[str, str]]] = defaultdict(list)
        with (folder / "interactions.csv").open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                self.events[row["USER_ID"]].append(row)

    def title(self, item: str) -> str:
        return escape(self.items.get(item, {}).get("TITLE") or item)

    def genres(self, item: str) -> list[str]:
        return [genre for genre in self.items.get(item, {}).get("GENRES", "").split("|") if genre]

    def liked(self, user: str, count: int) -> list[str]:
        """The items of a user's strongest events, the latest first among equals."""

        def strength(event: dict[str, str]) -> tuple[float, int]:
            value = event.get("EVENT_VALUE") or STRENGTH.get(event["EVENT_TYPE"], 0)
            return float(value), int(event["TIMESTAMP"])

        events = sorted(self.events[user], key=strength, reverse=True)
        return list(dict.fromkeys(row["ITEM_ID"] for row in events))[:count]

    def taste(self, user: str, count: int) -> list[str]:
        """The user's most frequent genres, with the share of the user's events that have them."""
        events = self.events[user]
        seen = Counter(genre for event in events for genre in self.genres(event["ITEM_ID"]))
        return [f"{escape(genre)} {times / len(events):.0%}" for genre, times in seen.most_common(count)]


def rows(uri: str) -> list[Any]:
    from airflow_provider_personalize.batch.output import read_output

    with Path(uri.removeprefix("file://")).open("rb") as lines:
        return list(read_output(lines))


def spread(values: list[Any], count: int) -> Iterable[Any]:
    return values[:: max(1, len(values) // count)][:count]


def show_recommendations(console: Console, catalogue: Catalogue, answers: list[Any]) -> None:
    table = Table(title=f"\nRecommendations: {USERS_SHOWN} of {len(answers)} users", title_justify="left", expand=True)
    table.add_column("user and taste", width=20, no_wrap=True)
    for heading, ratio in (("liked", 3), ("recommended", 3), ("of the genres", 2)):
        table.add_column(heading, ratio=ratio, no_wrap=True)
    table.add_column("score", justify="right", width=9)
    for row in spread([row for row in answers if row.error is None], USERS_SHOWN):
        user = row.input["userId"]
        about = [f"[b]{escape(user)}[/b]", *(f"[dim]{taste}[/dim]" for taste in catalogue.taste(user, 4))]
        liked = [catalogue.title(item) for item in catalogue.liked(user, ITEMS_SHOWN)]
        best = row.ids[:ITEMS_SHOWN]
        titles = [catalogue.title(item) for item in best]
        genres = [escape(", ".join(catalogue.genres(item))) for item in best]
        scores = [f"{score:.7f}" for score in (row.scores or ())[: len(best)]]
        for cells in zip_longest(about, liked, titles, genres, scores, fillvalue=""):
            table.add_row(*cells)
        table.add_section()
    console.print(table)


def show_segment(console: Console, catalogue: Catalogue, answers: list[Any]) -> None:
    row = next(row for row in answers if row.error is None and row.ids)
    item = row.input["itemId"]
    what = f"{catalogue.title(item)} [dim]{escape(', '.join(catalogue.genres(item)))}[/dim]"
    table = Table(title=f"\nOne of {len(answers)} segments: who would like {what}", title_justify="left")
    for heading in ("user", "events", "taste"):
        table.add_column(heading, no_wrap=True)
    for user in row.ids[:USERS_OF_SEGMENT_SHOWN]:
        table.add_row(escape(user), str(len(catalogue.events[user])), ", ".join(catalogue.taste(user, 4)))
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
