"""What all commands share: exit codes, where messages go, options that several of them take."""

import json
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from .presets import Quality, options_for

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_MODEL = 3

out = Console()
err = Console(stderr=True)


def stop(code: int, message: str) -> NoReturn:
    """Say why, and end the command."""
    err.print(f"[red]✗[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def parse_overrides(quality: Quality, assignments: list[str]) -> dict[str, dict[str, Any]]:
    """What ``--set STAGE.OPTION=VALUE`` says; a wrong one ends the command."""
    overrides: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        stage, dot, option = target.partition(".")
        if not (equals and dot and option):
            stop(EXIT_USAGE, f"--set {assignment}: expected STAGE.OPTION=VALUE, for example mesh.max_faces=50000")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        overrides.setdefault(stage, {})[option] = value
    try:
        options_for(quality, overrides)
    except ValueError as error:
        stop(EXIT_USAGE, f"--set: {error}")
    return overrides
