"""``e2e3d …``: the pipeline from a terminal, through the same assets as everywhere else.

What belongs here: arguments and messages of everyday commands; those of operators are in ``cli_operations``.
Heavy imports wait inside the commands, so that ``--help`` is quick.
"""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .cli_common import EXIT_FAILED, EXIT_NO_MODEL, EXIT_USAGE, err, out, parse_overrides, stop
from .cli_operations import operations
from .presets import Quality

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Photos in, a textured and measurable 3D model out.\n\nExample: [bold]e2e3d run photos/ --quality medium[/]",
)
app.add_typer(operations)


@app.command()
def run(
    photos: Annotated[Path, typer.Argument(help="A folder of photos, a video, or a zip or tar archive of photos.")],
    quality: Annotated[Quality, typer.Option(help="How much work to spend.")] = "medium",
    output: Annotated[
        Path | None, typer.Option(help="Where the model's files go; default: ./<image set>-model.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the image set; default: the name of PHOTOS.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.OPTION=VALUE", help="Replace one value of the preset.")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Compute again what an earlier run has already made.")] = False,
) -> None:
    """Make a textured model of PHOTOS.

    A run that was interrupted goes on where it stopped: finished stages of the same photos and options are kept.

    Examples:

        e2e3d run photos/

        e2e3d run flight.zip --quality high --output model/ --name harbour

        e2e3d run walk.mp4 --set mesh.max_faces=50000

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the photos cannot give a model.
    """
    from .local_run import NoModel, Unusable, reconstruct
    from .terminal import steady_console

    values = parse_overrides(quality, overrides or [])
    try:
        written = reconstruct(photos, quality, values, output, name, fresh, steady_console())
    except Unusable as error:
        stop(EXIT_USAGE, str(error))
    except NoModel as error:
        stop(EXIT_NO_MODEL, str(error))
    except KeyboardInterrupt:
        stop(EXIT_FAILED, "Interrupted. Type the same command again to go on where it stopped.")
    except Exception as error:
        stop(EXIT_FAILED, f"{error}\nFinished stages are kept: the same command goes on after them.")
    out.print(f"[green]✓[/] {escape(str(written))}: model.glb, viewer.html, report.html …", soft_wrap=True)


@app.command()
def sets() -> None:
    """List the image sets and the state of their models.

    Example: e2e3d sets
    """
    from .local_run import list_sets

    table = Table("image set", "state", "quality", "photos", "faces", "last run", "size")
    for row in list_sets():
        table.add_row(row.name, row.state, row.quality, row.photos, row.faces, row.last_run, row.size)
    out.print(table)


@app.command()
def export(
    image_set: Annotated[str, typer.Argument(help="Name of the image set, as listed by [bold]e2e3d sets[/].")],
    directory: Annotated[Path, typer.Argument(help="Where the files go; made if needed.")],
) -> None:
    """Copy the latest model of an image set into a folder.

    Example: e2e3d export banana ./banana-model
    """
    from .local_run import Unusable, export_set

    try:
        export_set(image_set, directory)
    except Unusable as error:
        stop(EXIT_USAGE, str(error))
    except OSError as error:
        stop(EXIT_FAILED, f"{directory} cannot be written: {error.strerror}. Choose another folder or free some space.")
    out.print(f"[green]✓[/] {escape(str(directory))}", soft_wrap=True)


@app.command()
def dev(
    sample: Annotated[Path | None, typer.Option(help="Photos to upload as an image set before the UI starts.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of that image set; default: the name of the folder.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; Dagster's UI has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
) -> None:
    """Start the Dagster UI and daemon on this machine.

    Example: e2e3d dev --sample photos/ --name harbour
    """
    from .local_run import Unusable, serve_dagster

    try:
        raise typer.Exit(serve_dagster(sample, name, host, port))
    except Unusable as error:
        stop(EXIT_USAGE, str(error))


@app.command()
def doctor() -> None:
    """Say what is installed and whether everything that a run needs can be reached.

    Example: e2e3d doctor
    """
    from .doctor import examine

    findings = examine()
    table = Table("", "what", "found")
    for finding in findings:
        table.add_row("[green]✓[/]" if finding.good else "[red]✗[/]", finding.what, escape(finding.found))
    out.print(table)
    if not all(finding.good for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command(hidden=True)
def warm_up() -> None:
    """Compile all kernels, so that the first run does not have to."""
    from .reconstruction.monitor import Monitor
    from .reconstruction.stereo.warming import warm_up as compile_kernels

    compile_kernels(Monitor())


def main() -> None:
    """Entry point of the ``e2e3d`` command."""
    from .settings import WrongSettings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        app()
    except WrongSettings as error:
        err.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
