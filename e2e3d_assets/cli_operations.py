"""The operators' commands of ``e2e3d``: backfills, deletion, storage, notifications, the code server.

What belongs here: arguments, questions, messages and exit codes. Heavy imports wait inside the commands.
"""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .cli_common import EXIT_FAILED, EXIT_USAGE, err, out, parse_overrides, stop
from .presets import Quality

operations = typer.Typer()

_PANEL = "For operators"
_PATIENCE_SECONDS = 90


@operations.command(rich_help_panel=_PANEL)
def backfill(
    image_sets: Annotated[list[str] | None, typer.Argument(help="Image sets; or use --all or --stale.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every image set.")] = False,
    stale: Annotated[
        bool, typer.Option(help="Of these only sets with a product that is missing or made by older code.")
    ] = False,
    quality: Annotated[Quality | None, typer.Option(help="Default: as each set was made last.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.OPTION=VALUE", help="Replace one value of the preset.")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Compute again even what would not change.")] = False,
    queue: Annotated[bool, typer.Option(help="Use the queue of the instance behind E2E3D_UI_URL.")] = False,
) -> None:
    """Reconstruct many image sets again. One that fails does not stop the others.

    Examples:

        e2e3d backfill banana harbour --quality high

        e2e3d backfill --all --stale --queue

    Exit codes: 0 all are ready, 1 some failed, 2 wrong usage.
    """
    from .backfills import RunHere, RunQueued, UnknownSets, chosen_sets, known_sets, plan, stale_sets, summary
    from .instance import open_instance
    from .settings import Settings

    values = parse_overrides(quality or "medium", overrides or [])
    if not (image_sets or everything or stale):
        stop(EXIT_USAGE, "Name image sets, or use --all or --stale.")
    settings = Settings()
    with open_instance(settings) as instance:
        try:
            names = chosen_sets(known_sets(instance), image_sets or [], everything=everything or not image_sets)
        except UnknownSets as error:
            stop(EXIT_USAGE, str(error))
        names = stale_sets(instance, names) if stale else names
        runner = RunQueued(instance, settings.ui_url) if queue else RunHere(instance)
        outcomes = []
        for outcome in runner.run(plan(instance, names, quality, values), fresh):
            outcomes.append(outcome)
            mark = "[green]✓[/]" if outcome.success else "[red]✗[/]"
            out.print(f"{mark} {outcome.image_set}  [dim]{escape(outcome.told)}[/]", highlight=False, soft_wrap=True)
    out.print(summary(outcomes))
    if not all(outcome.success for outcome in outcomes):
        raise typer.Exit(EXIT_FAILED)


@operations.command(rich_help_panel=_PANEL)
def delete(
    image_set: Annotated[str, typer.Argument(help="Name of the image set.")],
    cancel: Annotated[bool, typer.Option("--cancel-runs", help="Cancel its unfinished runs first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete an image set: its products, its uploaded photos and its partition. Its name is not used again.

    Example: e2e3d delete banana
    """
    from .deletion import InFlight, cancel_runs, delete_set, is_known
    from .instance import open_instance
    from .settings import Settings
    from .storage.errors import StoreError
    from .stores import open_artifacts, open_uploads

    settings = Settings()
    store, uploads = open_artifacts(settings), open_uploads(settings)
    with open_instance(settings) as instance:
        if not is_known(image_set, store, uploads, instance):
            stop(EXIT_USAGE, f"There is no image set {image_set!r}. `e2e3d sets` lists them.")
        if not yes:
            size = store.usage(image_set) / 1e6
            typer.confirm(f"Delete {image_set} for ever: {size:,.0f} MB of products, and its uploads?", abort=True)
        try:
            if cancel:
                cancel_runs(instance, image_set, _PATIENCE_SECONDS)
            delete_set(image_set, store, uploads, instance)
        except InFlight as error:
            stop(EXIT_USAGE, str(error))
        except StoreError as error:
            stop(EXIT_FAILED, f"{error} Type the same command again to go on.")
    out.print(f"[green]✓[/] {image_set} is deleted.")


@operations.command(rich_help_panel=_PANEL)
def storage(
    prune_now: Annotated[bool, typer.Option("--prune", help="Remove the old revisions that are listed.")] = False,
) -> None:
    """Say what every image set takes, and which old revisions can go.

    Example: e2e3d storage --prune
    """
    from datetime import timedelta

    from .settings import Settings
    from .storage.retention import prune
    from .storage_report import survey_storage, totals
    from .stores import open_artifacts, open_uploads, survey_uploads

    settings = Settings()
    store = open_artifacts(settings)
    rows = survey_storage(store, survey_uploads(open_uploads(settings))[0])
    table = Table("image set", "upload MB", "products MB", "older MB", "can go MB", "most in")
    age = timedelta(hours=settings.longest_run_hours)
    for row in rows:
        removals = (
            prune(store, row.image_set, keep=settings.keep_revisions, min_age=age, dry_run=not prune_now)
            if row.assets
            else []
        )
        sizes = (row.upload_bytes, row.latest_bytes, row.old_bytes, sum(removal.size for removal in removals))
        table.add_row(row.image_set, *(f"{size / 1e6:,.1f}" for size in sizes), row.largest)
    out.print(table)
    out.print(", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in totals(rows).items()))


@operations.command(rich_help_panel=_PANEL)
def notifications(
    resend: Annotated[bool, typer.Option(help="Put the dead letters into the queue again.")] = False,
) -> None:
    """List what could not be told to webhooks, Slack or mail.

    Example: e2e3d notifications --resend
    """
    from datetime import UTC, datetime

    from .instance import open_instance
    from .notifications.wording import headline
    from .sensors.run_events import load_told, save_told
    from .settings import Settings

    with open_instance(Settings()) as instance:
        told = load_told(instance)
        if told is None:
            out.print("Nothing was ever to be told.")
            return
        table = Table("state", "to", "what", "run", "attempts", "last problem")
        for state, letters in (("waits", told.outbox.waiting), ("dead", told.outbox.dead)):
            for letter in letters:
                what, run, attempts = headline(letter.event), letter.event.run_id[:8], str(letter.attempts)
                table.add_row(state, letter.channel, escape(what), run, attempts, escape(letter.reason))
        out.print(table)
        if resend:
            save_told(instance, told.model_copy(update={"outbox": told.outbox.revived(datetime.now(UTC))}))


@operations.command(rich_help_panel=_PANEL)
def link(
    image_set: Annotated[str, typer.Argument(help="Name of the image set.")],
    file: Annotated[str, typer.Argument(help="A file of its model, for example model.glb.")] = "viewer.html",
) -> None:
    """Make an address that opens a file of the latest model, for people who cannot reach the Dagster UI.

    It works for E2E3D_LINK_HOURS and only with products in a bucket. The addresses in the UI never expire.

    Example: e2e3d link banana report.html
    """
    from datetime import UTC, datetime, timedelta

    from .local_run import Unusable, delivered_file
    from .settings import Settings
    from .storage.errors import StoreError
    from .stores import open_artifacts

    settings = Settings()
    store = open_artifacts(settings)
    life = timedelta(hours=settings.link_hours)
    try:
        address = store.sign(delivered_file(store, image_set, file), file, life)
    except (Unusable, StoreError) as error:
        stop(EXIT_USAGE, str(error))
    if address is None:
        stop(EXIT_USAGE, f"Products in a folder have no address. Copy them: e2e3d export {image_set} FOLDER")
    out.print(address, soft_wrap=True, highlight=False, markup=False)
    err.print(f"[dim]until {datetime.now(UTC) + life:%Y-%m-%d %H:%M} UTC[/]", highlight=False)


@operations.command(rich_help_panel=_PANEL, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def webserver(context: typer.Context) -> None:
    """Serve the Dagster UI and, below /files, the products. Takes the options of dagster-webserver.

    Example: e2e3d webserver --host 127.0.0.1 --port 3000 --workspace workspace.yaml
    """
    from .serving import serve_ui
    from .settings import WrongSettings

    try:
        serve_ui(context.args)
    except WrongSettings as error:
        stop(EXIT_FAILED, str(error))


@operations.command(rich_help_panel=_PANEL)
def code_server(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 4266,
    module: Annotated[str, typer.Option(help="Module with the definitions.")] = "e2e3d_assets.definitions",
) -> None:
    """Check the settings, create the buckets, and become the Dagster code server.

    Example: e2e3d code-server --host 0.0.0.0
    """
    from .serving import become_code_server
    from .settings import WrongSettings
    from .storage.errors import StoreError

    try:
        become_code_server(host, port, module)
    except (WrongSettings, StoreError) as error:
        stop(EXIT_FAILED, str(error))
